import numpy as np
import pytest
import torch

import torchkeras as keras

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype("float32")
Y = RNG.normal(size=(20, 1)).astype("float32")
LABELS = RNG.integers(0, 3, 20)


def linear(**arguments):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(**{"optimizer": "adam", "loss": "mse", **arguments})
    return model


def two_outputs(**arguments):
    inputs = keras.Input((3,))
    z = keras.layers.Dense(3, activation="softmax", name="z")(inputs)
    model = keras.Model(inputs, [z, keras.layers.Dense(1, name="a")(inputs)])
    losses = ["sparse_categorical_crossentropy", "mse"]
    model.compile(**{"optimizer": "adam", "loss": losses, **arguments})
    return model


def error_of(model):
    return X @ model.get_weights()[0] + model.get_weights()[1] - Y


def test_loss_alone_is_a_float():
    model = linear()
    loss = model.evaluate(X, Y, verbose=0)
    assert type(loss) is float
    assert loss == pytest.approx((error_of(model) ** 2).mean(), rel=1e-5)


def test_partial_batches_count_by_their_size():
    model = linear(metrics=["mae"])
    expected = [(error_of(model) ** 2).mean(), np.abs(error_of(model)).mean()]
    for batch_size in (1, 7, 19, 20, 64):
        results = model.evaluate(X, Y, batch_size=batch_size, verbose=0)
        assert results == pytest.approx(expected, rel=1e-5)
        assert all(type(value) is float for value in results)


def test_sample_weights_count_in_loss_and_weighted_metrics():
    weights = np.repeat([0.5, 2.0], 10)
    model = linear(metrics=["mae"], weighted_metrics=[keras.metrics.MeanSquaredError(name="w")])
    square = error_of(model)[:, 0] ** 2
    logs = model.evaluate(X, Y, sample_weight=weights, batch_size=7, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx((square * weights).mean(), rel=1e-5)
    assert logs["w"] == pytest.approx((square * weights).sum() / weights.sum(), rel=1e-5)
    assert logs["mae"] == pytest.approx(np.abs(error_of(model)).mean(), rel=1e-5)


def test_order_of_the_list():
    model = linear(metrics=["mae"], weighted_metrics=["mse"])
    logs = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert model.evaluate(X, Y, verbose=0) == [logs["loss"], logs["mae"], logs["mse"]]
    assert model.metrics_names == ["loss", "compile_metrics"]
    model = two_outputs(metrics=[["accuracy"], ["mae"]])
    logs = model.evaluate(X, [LABELS, Y], verbose=0, return_dict=True)
    assert sorted(logs) == ["a_loss", "a_mae", "loss", "z_accuracy", "z_loss"]
    names = ["loss", "z_loss", "a_loss", "a_mae", "z_accuracy"]
    assert model.evaluate(X, [LABELS, Y], verbose=0) == [logs[name] for name in names]
    assert model.metrics_names == ["loss", "compile_metrics", "z_loss", "a_loss"]


def test_a_repeated_name_has_one_value_for_each_log():
    model = linear(metrics=["mae"], weighted_metrics=["mae"])
    weights = np.repeat([0.5, 2.0], 10)
    arguments = {"x": X, "y": Y, "sample_weight": weights, "verbose": 0}
    logs = model.evaluate(**arguments, return_dict=True)
    assert model.evaluate(**arguments) == [logs["loss"], logs["mae"], logs["weighted_mae"]]
    assert logs["mae"] != logs["weighted_mae"]


def test_losses_of_outputs():
    model = two_outputs(loss_weights=[0.5, 2.0])
    logs = model.evaluate(X, [LABELS, Y], batch_size=6, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(0.5 * logs["z_loss"] + 2 * logs["a_loss"], rel=1e-5)
    predicted = model.predict(X, verbose=0)
    assert logs["a_loss"] == pytest.approx(((predicted[1] - Y) ** 2).mean(), rel=1e-5)
    chosen = predicted[0][np.arange(20), LABELS]
    assert logs["z_loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)


def test_weights_of_one_array_for_targets_by_name():
    weights = np.repeat([0.5, 2.0], 10)
    model = two_outputs()
    by_name = model.evaluate(X, {"a": Y, "z": LABELS}, sample_weight=weights, verbose=0)
    by_place = model.evaluate(X, [LABELS, Y], sample_weight=weights, verbose=0)
    assert by_name == by_place


def test_regularization_counts():
    inputs = keras.Input((3,))
    layer = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.5))
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    kernel = model.get_weights()[0]
    expected = (error_of(model) ** 2).mean() + 0.5 * (kernel**2).sum()
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert model.evaluate(X, Y, batch_size=3, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_steps():
    model = linear()
    first = model.evaluate(X[:6], Y[:6], verbose=0)
    assert model.evaluate(X, Y, batch_size=3, steps=2, verbose=0) == pytest.approx(first, rel=1e-5)


def test_sources_of_batches():
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    model = linear(metrics=["mae"])
    expected = model.evaluate(X, Y, verbose=0)
    for source in (
        torch.utils.data.DataLoader(data, batch_size=7),
        ((X[i : i + 7], Y[i : i + 7]) for i in range(0, 20, 7)),
    ):
        assert model.evaluate(source, verbose=0) == pytest.approx(expected, rel=1e-5)


def snapshot(model):
    """Everything that evaluation must not change."""
    seeds = [
        layer.seed_generator.state for layer in model.layers if hasattr(layer, "seed_generator")
    ]
    tensors = [*(v.value for v in model.weights), *(v.value for v in model.optimizer.variables)]
    tensors += [v.value for v in seeds]
    return (
        [tensor.detach().clone().tolist() for tensor in tensors],
        [module.training for module in model.modules()],
        [p.requires_grad for p in model.parameters()],
        [p.grad is None for p in model.parameters()],
        torch.get_rng_state().tolist(),
    )


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("method", ["evaluate", "predict", "test_on_batch", "predict_on_batch"])
def test_the_model_stays_as_it_is(method, training):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dropout(0.5, seed=3), keras.layers.Dense(4),
         keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )  # fmt: skip
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(X, Y, verbose=0)
    model.train(training)
    model.layers[2].training = not training  # a part with a mode of its own
    before = snapshot(model)
    arguments = {} if method.endswith("batch") else {"verbose": 0, "batch_size": 7}
    run = getattr(model, method)
    results = [
        run(X, **arguments) if "predict" in method else run(X, Y, **arguments) for _ in range(2)
    ]
    assert snapshot(model) == before
    np.testing.assert_array_equal(*results)  # no dropout
    assert torch.is_grad_enabled()


def test_stop_evaluating_and_predicting():
    seen = []

    class Stop(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            seen.append(("test", batch, sorted(logs)))
            self.model.stop_evaluating = True

        def on_predict_batch_end(self, batch, logs=None):
            seen.append(("predict", batch, sorted(logs)))
            self.model.stop_predicting = True

    model = linear()
    for _ in range(2):
        assert model.evaluate(X, Y, batch_size=5, verbose=0, callbacks=[Stop()]) > 0
        assert model.predict(X, batch_size=5, verbose=0, callbacks=[Stop()]).shape == (5, 1)
    assert seen == [("test", 0, ["loss"]), ("predict", 0, ["outputs"])] * 2


def test_a_wish_to_stop_is_heeded_after_a_whole_group_of_batches():
    seen = []

    class Stop(keras.callbacks.Callback):
        def on_test_batch_begin(self, batch, logs=None):
            seen.append(("test begin", batch))
            self.model.stop_evaluating = True

        def on_test_batch_end(self, batch, logs=None):
            seen.append(("test end", batch))

        def on_predict_batch_begin(self, batch, logs=None):
            seen.append(("predict begin", batch))
            self.model.stop_predicting = True

        def on_predict_batch_end(self, batch, logs=None):
            seen.append(("predict end", batch))

    model = linear(steps_per_execution=2)
    loss = model.evaluate(X, Y, batch_size=5, verbose=0, callbacks=[Stop()])
    assert loss == pytest.approx((error_of(model)[:10] ** 2).mean(), rel=1e-5)
    assert model.predict(X, batch_size=5, verbose=0, callbacks=[Stop()]).shape == (10, 1)
    assert seen == [("test begin", 0), ("test end", 1), ("predict begin", 0), ("predict end", 1)]


def test_callbacks():
    calls = []
    callback = keras.callbacks.LambdaCallback(
        on_test_begin=lambda logs: calls.append("begin"),
        on_test_batch_end=lambda batch, logs: calls.append(batch),
        on_test_end=lambda logs: calls.append(logs),
    )
    model = linear()
    loss = model.evaluate(X, Y, batch_size=8, verbose=0, callbacks=[callback])
    assert calls == ["begin", 0, 1, 2, {"loss": pytest.approx(loss)}]


def test_a_model_that_is_not_built():
    model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    expected = ((X.sum(-1, keepdims=True) - Y) ** 2).mean()
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert not model.optimizer.built


def test_an_error_leaves_the_model_usable():
    def fail(batch, logs):
        raise KeyboardInterrupt

    model = linear()
    model.train()
    with pytest.raises(KeyboardInterrupt):
        callback = keras.callbacks.LambdaCallback(on_test_batch_end=fail)
        model.evaluate(X, Y, verbose=0, callbacks=[callback])
    assert model.training and torch.is_grad_enabled() and model._running is None
    assert model.evaluate(X, Y, verbose=0) > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": X[:, :2], "y": Y}, r"Received: x of shape \(20, 2\)"),
        ({"x": X, "y": Y[:3]}, "x: 20, y: 3"),
        ({"x": X}, "Received: 0 in `y`"),
        ({"x": X[:0], "y": Y[:0]}, "at least one sample"),
        ({"x": iter([])}, "at least one batch"),
        ({"x": X, "y": Y, "batch_size": 0}, "batch_size=0"),
        ({"x": X, "y": Y, "sample_weight": np.ones(3)}, "sample_weight: 3"),
        ({"x": X, "y": Y, "no_such": 1}, "no_such"),
    ],
)
def test_what_evaluate_refuses(arguments, words):
    model = linear()
    with pytest.raises(ValueError, match=words):
        model.evaluate(**arguments, verbose=0)
    assert not model.training and model._running is None


def test_evaluate_before_compile_and_without_a_loss():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    for method in (model.evaluate, model.test_on_batch):
        with pytest.raises(ValueError, match="must be compiled before"):
            method(X, Y)
    model.compile(metrics=["mae"])
    with pytest.raises(ValueError, match="no loss to compute"):
        model.evaluate(X, Y, verbose=0)


def test_a_generator_that_is_used_up():
    model = linear()
    source = ((X, Y) for _ in range(2))
    model.evaluate(source, verbose=0)
    with pytest.raises(ValueError, match="at least one batch"):
        model.evaluate(source, verbose=0)
