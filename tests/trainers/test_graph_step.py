"""jit_compile=True: a step as one graph gives what the step gives without."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.trainers import graph, graph_step, predictions

pytestmark = pytest.mark.skipif(
    not graph.can_trace_gradients(), reason="this torch traces no gradients"
)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 6)).astype("float32")
LABELS = RNG.integers(0, 3, 22)
WORDS = RNG.integers(0, 5, (22, 7))
WEIGHTS = RNG.uniform(size=22).astype("float32")


@pytest.fixture(autouse=True)
def traced_but_not_compiled(request, monkeypatch):
    """Inductor takes seconds a graph; what is tested but once with it is what Dynamo traces."""
    compiled = []

    def compile_module(module, inputs, options):
        compiled.append(options)
        return torch._dynamo.lookup_backend("aot_eager")(module, inputs)

    if not request.node.get_closest_marker("slow"):
        monkeypatch.setattr(graph, "compile_module", compile_module)
    return compiled


class UserLayer(layers.Layer):
    """A layer of a user's, which counts its calls."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)
        self.calls = 0

    def call(self, x):
        self.calls = self.calls + 1
        return keras.ops.softmax(self.dense(x))


class UserMetric(keras.metrics.Metric):
    def __init__(self, name="largest", **kwargs):
        super().__init__(name=name, **kwargs)
        self.largest = self.add_weight(name="largest", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.largest.assign(keras.ops.maximum(self.largest, keras.ops.max(y_pred)))

    def result(self):
        return self.largest


class UserModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(4, activation="tanh")
        self.out = layers.Dense(3, activation="softmax")
        self.tracker = keras.metrics.Mean(name="own")

    def call(self, x, training=False):
        hidden = self.hidden(x)
        self.add_loss(0.1 * keras.ops.mean(hidden**2))
        return self.out(hidden)


class OwnLogs(UserModel):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss + keras.ops.mean(y_pred**2)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.tracker.update_state(y_pred[:, 0])
        return super().compute_metrics(x, y, y_pred, sample_weight)


def mlp(**output):
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.Dense(3, **{"activation": "softmax", **output}),
        ]
    )


def random_layers():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.GaussianNoise(0.1),
            layers.Dense(8, activation="relu", kernel_regularizer="l2"),
            layers.Dropout(0.5),
            layers.BatchNormalization(),
            layers.Dropout(0.3, seed=4),
            layers.Dense(3, activation="softmax", activity_regularizer="l2"),
        ]
    )


def masked():
    return keras.Sequential(
        [
            keras.Input((7,), dtype="int32"),
            layers.Embedding(5, 4, mask_zero=True),
            layers.Dense(4),
            layers.LSTM(3),
            layers.Dense(3, activation="softmax"),
        ]
    )


def masked_outputs():
    return keras.Sequential(
        [
            keras.Input((7,), dtype="int32"),
            layers.Embedding(5, 4, mask_zero=True),
            layers.Dense(5, activation="softmax"),
        ]
    )


def two_outputs():
    a, b = keras.Input((6,), name="a"), keras.Input((7,), name="b")
    hidden = layers.concatenate([layers.Dense(4)(a), layers.Dense(4)(b)])
    outputs = {"c": layers.Dense(3, activation="softmax", name="c")(hidden)}
    outputs["d"] = layers.Dense(1, name="d")(hidden)
    return keras.Model({"a": a, "b": b}, outputs)


def frozen():
    model = mlp()
    model.layers[0].trainable = False
    return model


SPARSE = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
CASES = {
    "mlp": (mlp, SPARSE, {}),
    "random": (random_layers, SPARSE, {}),
    "weighted": (
        mlp,
        {**SPARSE, "weighted_metrics": ["accuracy"]},
        {"sample_weight": WEIGHTS},
    ),
    "class_weight": (mlp, SPARSE, {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}),
    "masked": (masked, SPARSE, {"x": WORDS}),
    "masked_outputs": (masked_outputs, SPARSE, {"x": WORDS, "y": (WORDS + 1) % 5}),
    "two_outputs": (
        two_outputs,
        {"loss": {"c": SPARSE["loss"], "d": "mse"}, "metrics": {"d": ["mae"]}},
        {"x": {"a": X, "b": WORDS.astype("float32")}, "y": {"c": LABELS, "d": X[:, :1]}},
    ),
    "frozen": (frozen, SPARSE, {}),
    "user_model": (UserModel, SPARSE, {}),
    "own_logs": (OwnLogs, SPARSE, {}),
    "user_metric": (mlp, {**SPARSE, "metrics": [UserMetric(), "accuracy"]}, {}),
    "own_loss": (mlp, {"loss": lambda y, p: keras.ops.mean((p[:, 0] - y) ** 2)}, {}),
    "bfloat16": (lambda: mlp(dtype="mixed_bfloat16"), SPARSE, {}),
    "float16": (lambda: mlp(dtype="mixed_float16"), SPARSE, {}),
    "accumulation": (
        mlp,
        {"optimizer": keras.optimizers.Adam(0.01, gradient_accumulation_steps=2), **SPARSE},
        {},
    ),
    "everything": (
        mlp,
        {
            "optimizer": keras.optimizers.AdamW(
                keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.9),
                global_clipnorm=0.5,
                use_ema=True,
                ema_overwrite_frequency=3,
            ),
            **SPARSE,
        },
        {},
    ),
    "torch_optimizer": (mlp, {"optimizer": torch.optim.Adam, **SPARSE}, {}),
}


def train(make, compilation, data, jit_compile, callbacks=(), epochs=3):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    model = make()
    compilation = dict(compilation)
    optimizer = compilation.get("optimizer", "adam")
    if isinstance(optimizer, keras.optimizers.Optimizer):
        compilation["optimizer"] = optimizer.from_config(optimizer.get_config())
    compilation.setdefault("optimizer", optimizer)
    model.compile(**compilation, jit_compile=jit_compile)
    data = {"x": X, "y": LABELS, **data}
    history = model.fit(
        **data, batch_size=5, epochs=epochs, verbose=0, callbacks=[each() for each in callbacks]
    )
    data.pop("class_weight", None)
    results = [history.history, model.get_weights()]
    results.append(model.evaluate(**data, batch_size=5, verbose=0, return_dict=True))
    results.append(model.predict(data["x"], batch_size=5, verbose=0))
    return model, results


def assert_alike(found, expected, tolerance=1e-5):
    flat = keras.tree.flatten(found), keras.tree.flatten(expected)
    for ours, theirs in zip(*flat, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


# A trace takes up to a second; the others are held by the test of compiled graphs.
QUICK = ("mlp", "random", "masked_outputs", "two_outputs", "own_logs", "user_metric", "everything")


@pytest.mark.parametrize("name", QUICK)
def test_a_graph_gives_what_the_step_gives(name):
    _, expected = train(*CASES[name], jit_compile=False)
    model, found = train(*CASES[name], jit_compile=True)
    assert_alike(found, expected, 2e-3 if "16" in name else 1e-5)
    for kind, step in model._graph_steps.items():
        assert step.failure is None, kind
        # One for a whole batch; one for the rest, which comes again only in training.
        graphs = [each for each in step._graphs.values() if isinstance(each, graph.Graph)]
        assert len(graphs) == (2 if kind == "train_step" else 1)
        users = name in ("user_model", "own_logs", "user_metric", "own_loss")
        assert (graphs[0]._direct is None) is users, kind
    assert set(model._graph_steps) == set(graph_step.STEPS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, of its own modules
@pytest.mark.parametrize("name", CASES)
def test_a_compiled_graph_gives_what_the_step_gives(name):
    epochs = 5 if "16" in name else 20  # 25 or 100 steps
    _, expected = train(*CASES[name], jit_compile=False, epochs=epochs)
    model, found = train(*CASES[name], jit_compile=True, epochs=epochs)
    assert not any(step.failure for step in model._graph_steps.values())
    assert_alike(found, expected, 2e-2 if "16" in name else 1e-5)


@pytest.mark.parametrize("code", ["known", "users"])
def test_loops_share_their_graphs(code, traced_but_not_compiled):
    model = mlp() if code == "known" else UserModel()
    model.compile("adam", **SPARSE, jit_compile=True)
    counts = []
    for _ in range(3):
        model.fit(X, LABELS, batch_size=11, verbose=0, validation_data=(X, LABELS))
        counts.append(len(traced_but_not_compiled))
    # A third of the first passes ran eagerly; the graphs are those of two kinds of steps.
    assert counts[1:] == [2, 2]


def test_a_users_layer_keeps_count():
    model = keras.Sequential([keras.Input((6,)), UserLayer()])
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    before = model.layers[0].calls
    with pytest.warns(UserWarning, match="something in Python changes with the steps"):
        model.fit(X[:20], LABELS[:20], batch_size=5, epochs=2, verbose=0)
    assert model.layers[0].calls == before + 8


class Meddler(keras.callbacks.Callback):
    """Changes a model in each way that a callback may."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self.model.optimizer.learning_rate = 0.5
            self.model.layers[0].rate = 0.9
        elif batch == 2:
            self.model.layers[1].kernel.assign(keras.ops.ones((6, 8)))
            self.model.layers[0].rate = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.model.layers[1].trainable = epoch != 1
        if epoch == 2:
            self.model.layers[1].bias.value.data = torch.ones(8)


def test_what_callbacks_change_counts():
    def make():
        rest = [layers.Dense(8, activation="relu"), layers.Dense(3, activation="softmax")]
        return keras.Sequential([keras.Input((6,)), layers.Dropout(0.5, seed=1), *rest])

    case = (make, SPARSE, {})
    _, expected = train(*case, jit_compile=False, callbacks=[Meddler])
    _, found = train(*case, jit_compile=True, callbacks=[Meddler])
    assert_alike(found, expected)
    _, without = train(*case, jit_compile=True)
    assert np.abs(without[1][0] - found[1][0]).max() > 0.1


def test_metrics_in_float64_count():
    """Torch 2.13 drops what a graph writes to a float64 scalar on the CPU."""
    keras.config.set_floatx("float64")
    try:
        model = mlp()
        model.compile("sgd", **SPARSE, jit_compile=True)
        model.fit(X[:20], LABELS[:20], batch_size=5, verbose=0)
    finally:
        keras.config.set_floatx("float32")
    assert model._graph_steps["train_step"].failure is None
    assert [float(v.value) for v in model.metrics_variables if "count" in v.path] == [20, 20]


def test_a_weight_in_another_tensor_counts():
    model = mlp()
    model.compile("sgd", **SPARSE, jit_compile=True)
    model.evaluate(X, LABELS, batch_size=11, verbose=0)
    model.predict(X, batch_size=11, verbose=0)
    model.load_state_dict({k: v * 0 for k, v in model.state_dict().items()}, assign=True)
    np.testing.assert_allclose(model.predict(X, batch_size=11, verbose=0), 1 / 3, rtol=1e-6)
    model.to(torch.float64)
    assert model.predict(X, batch_size=11, verbose=0).dtype == np.float64


def test_memory_that_changes_within_an_epoch_counts():
    """A Parameter stays the same object while its `.data` becomes another tensor."""

    class Swap(keras.callbacks.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            if batch == 1:
                weight = self.model.layers[-1].kernel.value
                weight.data = torch.zeros_like(weight, dtype=torch.float64)

    model = mlp()
    model.compile("sgd", **SPARSE, jit_compile=True)
    found = model.predict(np.tile(X, (2, 1)), batch_size=11, verbose=0, callbacks=[Swap()])
    assert np.abs(found[:22] - 1 / 3).min() > 1e-4
    np.testing.assert_allclose(found[22:], 1 / 3, rtol=1e-6)


def test_a_short_prediction_at_once_makes_no_graph(monkeypatch):
    model = mlp()
    model.compile("sgd", **SPARSE, jit_compile=True)
    expected = model(X).detach().numpy()
    for _ in range(5):
        np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-6)
    assert not model._graph_steps
    monkeypatch.setattr(predictions, "_LONG_S", 0)
    for _ in range(3):
        np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-5)
    assert list(model._graph_steps) == ["predict_step"]


def test_a_wish_to_stop_leaves_the_graph(monkeypatch):
    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 5

    calls, dynamo = [], graph.Graph.__call__
    monkeypatch.setattr(graph.Graph, "__call__", lambda *a: calls.append(1) or dynamo(*a))
    model = mlp()
    model.compile("sgd", **SPARSE, jit_compile=True)
    model.fit(np.tile(X, (4, 1)), np.tile(LABELS, 4), batch_size=11, verbose=0, callbacks=[Watch()])
    assert int(model.optimizer.iterations) == 6 and len(calls) == 1


@pytest.mark.filterwarnings("ignore:Model 'functional' expects inputs in the structure")
def test_data_in_another_structure_has_a_graph_of_its_own():
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    model = keras.Model({"a": a, "b": b}, layers.Subtract()([a, b]))
    model.compile("sgd", "mse", jit_compile=True)
    ones, zeros = np.ones((3, 2), "float32"), np.zeros((3, 2), "float32")

    def batches():
        for _ in range(3):
            yield ({"a": ones, "b": zeros},)
            yield ([ones, zeros],)
            yield ({"b": ones, "a": zeros},)

    found = model.predict(batches(), verbose=0).reshape(-1, 6)
    assert found.tolist() == [[1] * 6, [1] * 6, [-1] * 6] * 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, of its own modules
def test_what_inductor_makes_in_python_only_is_made_there(monkeypatch):
    from torch._inductor import compile_fx as inductor

    compile_fx, tries = inductor.compile_fx, []

    def no_wrapper(module, inputs, config_patches=None, **options):
        if config_patches is not None:  # else it is its own call of itself
            tries.append(config_patches.get("cpp_wrapper", False))
            if tries[-1]:
                raise NotImplementedError("in C++")
        return compile_fx(module, inputs, config_patches=config_patches, **options)

    monkeypatch.setattr(inductor, "compile_fx", no_wrapper)
    model = mlp()
    model.compile("sgd", **SPARSE, jit_compile=True)
    expected = model.predict_on_batch(X[:11])
    found = model.predict(X, batch_size=11, verbose=0)
    np.testing.assert_allclose(found[:11], expected, rtol=1e-5)
    assert tries == [True, False] and not model._graph_steps["predict_step"].failure


def test_what_has_no_graph_runs_eagerly_and_says_why():
    class Branching(UserModel):
        def call(self, x):
            if float(x.sum()) > 0:
                return self.out(self.hidden(x))
            return self.out(self.hidden(-x))

    _, expected = train(Branching, SPARSE, {}, jit_compile=False)
    with pytest.warns(UserWarning, match="runs without a graph from here on") as caught:
        model, found = train(Branching, SPARSE, {}, jit_compile=True)
    assert_alike(found, expected)
    texts = {str(each.message) for each in caught if "without a graph" in str(each.message)}
    assert len(texts) == 3 and all("user_model" in text or "branching" in text for text in texts)
    assert all(step.failure for step in model._graph_steps.values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_metrics_of_any_dtype_see_each_batch(dtype):
    """AOTAutograd of torch 2.13 drops what is added to a scalar of float64 on a CPU."""

    def results(jit_compile):
        keras.utils.set_random_seed(0)
        model = mlp()
        metric = keras.metrics.SparseCategoricalAccuracy(dtype=dtype)
        model.compile("sgd", SPARSE["loss"], metrics=[metric], jit_compile=jit_compile)
        arguments = {"batch_size": 11, "verbose": 0}
        histories = [model.fit(X, LABELS, shuffle=False, **arguments).history for _ in range(2)]
        evaluated = [model.evaluate(X, LABELS, **arguments) for _ in range(2)]
        return [list(history.values()) for history in histories], evaluated

    for found, expected in zip(results(True), results(False), strict=True):
        np.testing.assert_allclose(np.ravel(found), np.ravel(expected), rtol=1e-5)


def test_wrong_data_is_told_as_without_a_graph():
    model = mlp()
    model.compile("sgd", **SPARSE, jit_compile=True)
    model.fit(X, LABELS, batch_size=11, epochs=2, verbose=0)
    before = model.get_weights()
    with pytest.raises(ValueError, match="expects 6 features"):
        model.fit(X[:, :5], LABELS, batch_size=11, verbose=0)
    assert_alike(model.get_weights(), before)
    assert model.fit(X, LABELS, batch_size=11, verbose=0)


def test_batches_of_many_shapes_get_few_graphs(traced_but_not_compiled, monkeypatch):
    monkeypatch.setattr(graph_step, "_MOST_GRAPHS", 2)
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling1D()(inputs)))
    model.compile("sgd", "mse", jit_compile=True)

    def batches():
        for length in [2, 3, 4, 5] * 4:
            yield np.ones((2, length, 3), "float32"), np.ones((2, 1), "float32")

    model.fit(batches(), verbose=0)
    assert len(traced_but_not_compiled) == 2


def test_options_reach_inductor(traced_but_not_compiled):
    model = mlp()
    model.compile("sgd", **SPARSE, jit_compile=True, jit_options={"max_autotune": True})
    model.fit(X, LABELS, batch_size=11, verbose=0)
    own = {"fallback_random": True, "realize_reads_threshold": 8}
    assert traced_but_not_compiled == [{**own, "max_autotune": True}]
    assert model.get_compile_config()["jit_options"] == {"max_autotune": True}
