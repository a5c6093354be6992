"""Training beside Keras on torch: same weights and batches, so same logs and same weights after."""

import warnings

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

import torchkeras  # noqa: E402

# Keras's tensors become arrays in a way that numpy 2 warns about.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # An output without a loss; both libraries say so.
    pytest.mark.filterwarnings("ignore:Gradients do not exist"),
]

LIBRARIES = (keras, torchkeras)
# Both compute in float32; the sums of a batch are taken in other orders.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 6)).astype("float32")
LABELS = RNG.integers(0, 4, 70)
TARGET = RNG.normal(size=(70, 3)).astype("float32")
WEIGHTS = RNG.uniform(0.1, 2, 70).astype("float32")


def classifier(lib):
    inputs = lib.Input((6,))
    x = lib.layers.Dense(8, activation="relu")(inputs)
    return lib.Model(inputs, lib.layers.Dense(4, activation="softmax")(x))


def regressor(lib):
    return lib.Sequential(
        [lib.Input((6,)), lib.layers.Dense(8, activation="tanh"), lib.layers.Dense(3)]
    )


def regularized(lib):
    inputs = lib.Input((6,))
    x = lib.layers.Dense(
        8, kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l2"
    )(inputs)
    return lib.Model(inputs, lib.layers.Dense(3)(x))


def two_outputs(lib):
    inputs = lib.Input((6,))
    x = lib.layers.Dense(8, activation="relu")(inputs)
    z_class = lib.layers.Dense(4, activation="softmax", name="z_class")(x)
    a_value = lib.layers.Dense(3, name="a_value")(x)
    return lib.Model(inputs, [z_class, a_value])


def dict_outputs(lib):
    inputs = lib.Input((6,))
    x = lib.layers.Dense(8, activation="relu")(inputs)
    z_class = lib.layers.Dense(4, activation="softmax", name="z_class")(x)
    a_value = lib.layers.Dense(3, name="a_value")(x)
    return lib.Model(inputs, {"z_class": z_class, "a_value": a_value})


def other_dict_outputs(lib):
    """The keys of the outputs are not the names of the layers."""
    inputs = lib.Input((6,))
    x = lib.layers.Dense(8, activation="relu")(inputs)
    outputs = {
        "zz": lib.layers.Dense(4, activation="softmax", name="first")(x),
        "aa": lib.layers.Dense(3, name="second")(x),
    }
    return lib.Model(inputs, outputs)


def two_inputs(lib):
    a, b = lib.Input((6,), name="a"), lib.Input((3,), name="b")
    x = lib.layers.Concatenate()([lib.layers.Dense(4)(a), b])
    return lib.Model({"a": a, "b": b}, lib.layers.Dense(3)(x))


def subclassed(lib, returns=tuple):
    class Pair(lib.Model):
        def __init__(self):
            super().__init__()
            self.hidden = lib.layers.Dense(8, activation="relu")
            self.one = lib.layers.Dense(4, activation="softmax")
            self.two = lib.layers.Dense(3)

        def call(self, x):
            x = self.hidden(x)
            if returns is dict:
                return {"zz": self.one(x), "aa": self.two(x)}
            return returns([self.one(x), self.two(x)])

    model = Pair()
    model(np.zeros((1, 6), "float32"))
    return model


def adds_losses(lib):
    class Penalty(lib.layers.Layer):
        def call(self, x):
            self.add_loss(lib.ops.mean(lib.ops.abs(x)))
            return x * 2.0

        def compute_output_shape(self, input_shape):
            return input_shape

    inputs = lib.Input((6,))
    x = Penalty()(lib.layers.Dense(5)(inputs))
    return lib.Model(inputs, lib.layers.Dense(3)(x))


def pair(build):
    """A model from Keras, and ours with the same weights."""
    for lib in LIBRARIES:
        lib.utils.clear_session(free_memory=False)  # automatic names from 0
    theirs, ours = build(keras), build(torchkeras)
    ours.set_weights(theirs.get_weights())
    return theirs, ours


def assert_same(ours, theirs, **tolerance):
    """Structures of one nesting, keys and types, with values that are close."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for key in theirs:
            assert_same(ours[key], theirs[key], **tolerance)
    elif isinstance(theirs, (list, tuple)):
        assert type(ours) is type(theirs) and len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b, **tolerance)
    else:
        assert np.shape(ours) == np.shape(theirs)
        np.testing.assert_allclose(ours, theirs, **{**TOLERANCE, **tolerance})


def check_fit(build, compile_arguments, data, **fit_arguments):
    """`fit`, `evaluate` and `predict` of both libraries agree. Returns our model and History."""
    histories = []
    models = pair(build)
    for lib, model in zip(LIBRARIES, models, strict=True):
        model.compile(**compile_arguments(lib))
        arguments = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
        histories.append(model.fit(**data, **{**arguments, **fit_arguments}))
    theirs, ours = models
    assert histories[1].epoch == histories[0].epoch
    assert_same(histories[1].history, histories[0].history)
    assert_same(ours.get_weights(), theirs.get_weights())
    for return_dict in (True, False):
        evaluate = {"verbose": 0, "batch_size": 16, "return_dict": return_dict}
        assert_same(ours.evaluate(**data, **evaluate), theirs.evaluate(**data, **evaluate))
    predicted = [model.predict(data["x"], batch_size=16, verbose=0) for model in models]
    assert_same(predicted[1], predicted[0])
    assert ours.metrics_names == theirs.metrics_names
    return ours, histories[1]


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda lib: lib.optimizers.SGD(0.05),
        lambda lib: lib.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        lambda lib: lib.optimizers.RMSprop(1e-3),
        lambda lib: lib.optimizers.Adam(1e-3),
        lambda lib: lib.optimizers.AdamW(1e-3, weight_decay=0.1),
        lambda lib: lib.optimizers.Adam(
            lib.optimizers.schedules.ExponentialDecay(0.01, 10, 0.9), clipnorm=0.1
        ),
        lambda lib: lib.optimizers.Adam(1e-3, gradient_accumulation_steps=4),
        lambda lib: lib.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.8),
    ],
    ids=["sgd", "nesterov", "rmsprop", "adam", "adamw", "schedule", "accumulation", "ema"],
)
def test_weights_after_100_steps(optimizer):
    models = pair(classifier)
    losses = []
    for lib, model in zip(LIBRARIES, models, strict=True):
        model.compile(optimizer(lib), "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(X, LABELS, batch_size=18, epochs=25, shuffle=False, verbose=0)
        losses.append(history.history)
    assert_same(losses[1], losses[0])
    assert int(models[1].optimizer.iterations) == int(models[0].optimizer.iterations)
    for ours, theirs in zip(models[1].get_weights(), models[0].get_weights(), strict=True):
        # A weight near zero is compared with the size of its array.
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())


def own_loss(lib):
    def absolute(y_true, y_pred):
        return lib.ops.mean(lib.ops.abs(y_true - y_pred), axis=-1)

    return absolute


ONE_OUTPUT = {
    "names": lambda lib: {"loss": "mse", "metrics": ["mae", "mse"]},
    "objects": lambda lib: {
        "loss": lib.losses.MeanSquaredError(),
        "metrics": [lib.metrics.MeanAbsoluteError(), lib.metrics.RootMeanSquaredError(name="r")],
    },
    "classes": lambda lib: {
        "loss": lib.losses.MeanSquaredError,
        "metrics": [lib.metrics.MeanAbsoluteError],
    },
    "functions": lambda lib: {"loss": own_loss(lib), "metrics": [own_loss(lib)]},
    "library functions": lambda lib: {
        "loss": lib.losses.huber,
        "metrics": [lib.metrics.mean_absolute_error],
    },
    "class names": lambda lib: {
        "loss": "MeanSquaredError",
        "metrics": ["MeanAbsoluteError", "mean_squared_error"],
    },
    "weighted": lambda lib: {"loss": "mse", "metrics": ["mae"], "weighted_metrics": ["mse"]},
    "only weighted": lambda lib: {"loss": "mse", "weighted_metrics": ["mae"]},
    "loss weight": lambda lib: {"loss": "mse", "loss_weights": 0.3},
    "loss weight in a list": lambda lib: {"loss": ["mse"], "loss_weights": [0.3]},
    "sum": lambda lib: {"loss": lib.losses.MeanSquaredError(reduction="sum"), "optimizer": "sgd"},
    "no metrics": lambda lib: {"loss": "mse"},
    "empty metrics": lambda lib: {"loss": "mse", "metrics": []},
    "nested metrics": lambda lib: {"loss": "mse", "metrics": [["mae", "mse"]]},
}


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "sample_weight"])
@pytest.mark.parametrize("arguments", ONE_OUTPUT.values(), ids=ONE_OUTPUT)
def test_one_output(arguments, weights):
    data = {"x": X, "y": TARGET, "sample_weight": weights}
    optimizer = {"optimizer": "adam"}
    check_fit(regressor, lambda lib: {**optimizer, **arguments(lib)}, data)


@pytest.mark.parametrize(
    ("loss", "metrics", "y"),
    [
        ("sparse_categorical_crossentropy", ["accuracy"], LABELS),
        ("sparse_categorical_crossentropy", ["acc", "sparse_categorical_crossentropy"], LABELS),
        ("sparse_categorical_crossentropy", ["accuracy"], LABELS[:, None]),
        ("sparse_categorical_crossentropy", ["accuracy"], LABELS.astype("float32")),
        ("categorical_crossentropy", ["accuracy", "AUC"], np.eye(4)[LABELS]),
        ("crossentropy", ["acc"], LABELS),
        ("ce", ["categorical_accuracy"], np.eye(4, dtype="float32")[LABELS]),
    ],
)
def test_classification(loss, metrics, y):
    check_fit(
        classifier,
        lambda lib: {"optimizer": "adam", "loss": loss, "metrics": metrics},
        {"x": X, "y": y},
    )


@pytest.mark.parametrize("shape", [(70,), (70, 1)])
def test_binary_classification(shape):
    check_fit(
        lambda lib: lib.Sequential(
            [lib.Input((6,)), lib.layers.Dense(1, activation="sigmoid", kernel_initializer="ones")]
        ),
        lambda lib: {"optimizer": "adam", "loss": "crossentropy", "metrics": ["accuracy"]},
        {"x": X, "y": (LABELS > 1).reshape(shape)},
    )


def test_class_weight():
    def arguments(lib):
        return {
            "optimizer": "adam",
            "loss": "sparse_categorical_crossentropy",
            "metrics": ["accuracy"],
            "weighted_metrics": ["sparse_categorical_crossentropy"],
        }

    data = {"x": X, "y": LABELS}
    check_fit(classifier, arguments, data, class_weight={0: 0.2, 1: 1.0, 2: 3.0, 3: 0.5})


SEVERAL_LOSSES = [
    {"loss": ["sparse_categorical_crossentropy", "mse"]},
    {"loss": ("sparse_categorical_crossentropy", "mse"), "loss_weights": [0.3, 2.0]},
    {"loss": ["sparse_categorical_crossentropy", "mse"], "metrics": [["accuracy"], ["mae", "mse"]]},
    {"loss": ["sparse_categorical_crossentropy", "mse"], "metrics": ["accuracy", "mae"]},
    {"loss": ["sparse_categorical_crossentropy", "mse"], "metrics": [None, "mae"]},
    {"loss": [None, "mse"], "metrics": [["accuracy"], []]},
    {"loss": ["sparse_categorical_crossentropy", "mse"], "weighted_metrics": [["accuracy"], None]},
    {
        "loss": ["sparse_categorical_crossentropy", "mse"],
        "metrics": [["accuracy"], ["mae"]],
        "weighted_metrics": [["accuracy"], ["mae"]],
    },
]
BY_NAME = [
    {"loss": {"z_class": "sparse_categorical_crossentropy", "a_value": "mse"}},
    {
        "loss": {"a_value": "mse", "z_class": "sparse_categorical_crossentropy"},
        "loss_weights": {"z_class": 0.5, "a_value": 2.0},
        "metrics": {"z_class": ["accuracy"], "a_value": "mae"},
    },
    {
        "loss": {"a_value": "mse", "z_class": "sparse_categorical_crossentropy"},
        "metrics": {"a_value": ["mae"]},
        "weighted_metrics": {"z_class": ["accuracy"]},
    },
]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "sample_weight"])
@pytest.mark.parametrize("arguments", SEVERAL_LOSSES + BY_NAME)
def test_outputs_by_list(arguments, weights):
    data = {"x": X, "y": [LABELS, TARGET], "sample_weight": weights}
    check_fit(two_outputs, lambda lib: {"optimizer": "adam", **arguments}, data)


# Not with weights: Keras cannot match them to targets by name.
@pytest.mark.parametrize("arguments", SEVERAL_LOSSES + BY_NAME)
def test_outputs_by_list_with_targets_by_name(arguments):
    data = {"x": X, "y": {"z_class": LABELS, "a_value": TARGET}}
    check_fit(two_outputs, lambda lib: {"optimizer": "adam", **arguments}, data)


@pytest.mark.parametrize("arguments", BY_NAME)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "sample_weight"])
def test_outputs_by_dict(arguments, weights):
    y = {"z_class": LABELS, "a_value": TARGET}
    data = {"x": X, "y": y, "sample_weight": weights}
    check_fit(dict_outputs, lambda lib: {"optimizer": "adam", **arguments}, data)


def test_keys_of_outputs_that_are_no_layer_names():
    check_fit(
        other_dict_outputs,
        lambda lib: {
            "optimizer": "adam",
            "loss": {"zz": "sparse_categorical_crossentropy", "aa": "mse"},
            "loss_weights": {"zz": 0.5, "aa": 2.0},
            "metrics": {"zz": ["accuracy"], "aa": ["mae"]},
        },
        {"x": X, "y": {"zz": LABELS, "aa": TARGET}},
    )


@pytest.mark.parametrize("lists", [False, True])
def test_weights_of_each_output(lists):
    weights = [WEIGHTS, WEIGHTS[::-1].copy()]
    if not lists:
        weights = {"z_class": weights[0], "a_value": weights[1]}
    y = [LABELS, TARGET] if lists else {"z_class": LABELS, "a_value": TARGET}
    check_fit(
        two_outputs if lists else dict_outputs,
        lambda lib: {
            "optimizer": "adam",
            "loss": (
                ["sparse_categorical_crossentropy", "mse"]
                if lists
                else {"z_class": "sparse_categorical_crossentropy", "a_value": "mse"}
            ),
            "weighted_metrics": [["accuracy"], ["mae"]]
            if lists
            else {"z_class": ["accuracy"], "a_value": ["mae"]},
        },
        {"x": X, "y": y, "sample_weight": weights},
    )


@pytest.mark.parametrize("loss", ["mse", ["mse", "mae"]])
def test_one_loss_for_all_outputs(loss):
    def build(lib):
        inputs = lib.Input((6,))
        x = lib.layers.Dense(8)(inputs)
        return lib.Model(inputs, [lib.layers.Dense(3, name="p")(x), lib.layers.Dense(3)(x)])

    data = {"x": X, "y": [TARGET, TARGET * 2]}
    check_fit(build, lambda lib: {"optimizer": "adam", "loss": loss, "loss_weights": None}, data)


@pytest.mark.parametrize("returns", [tuple, list])
def test_subclassed_model_with_a_sequence_of_outputs(returns):
    check_fit(
        lambda lib: subclassed(lib, returns),
        lambda lib: {
            "optimizer": "adam",
            "loss": returns(["sparse_categorical_crossentropy", "mse"]),
            "metrics": [["accuracy"], ["mae"]],
        },
        {"x": X, "y": (LABELS, TARGET)},
    )


def test_subclassed_model_with_a_dict_of_outputs():
    check_fit(
        lambda lib: subclassed(lib, dict),
        lambda lib: {
            "optimizer": "adam",
            "loss": {"zz": "sparse_categorical_crossentropy", "aa": "mse"},
            "metrics": {"zz": ["accuracy"], "aa": ["mae"]},
        },
        {"x": X, "y": {"zz": LABELS, "aa": TARGET}},
    )


def test_inputs_by_dict():
    check_fit(
        two_inputs,
        lambda lib: {"optimizer": "adam", "loss": "mse", "metrics": ["mae"]},
        {"x": {"b": X[:, :3], "a": X}, "y": TARGET},
    )


@pytest.mark.parametrize("build", [regularized, adds_losses])
def test_added_losses(build):
    arguments = {"optimizer": "adam", "loss": "mse", "metrics": ["mae"]}
    check_fit(build, lambda lib: arguments, {"x": X, "y": TARGET})


@pytest.mark.parametrize("build", [regularized, adds_losses])
def test_added_losses_alone(build):
    data = {"x": X}
    check_fit(build, lambda lib: {"optimizer": "adam", "loss": None}, data)


@pytest.mark.parametrize(
    "arguments",
    [
        {"validation_split": 0.3},
        {"validation_data": (X[:9], TARGET[:9])},
        {"validation_data": (X[:9], TARGET[:9], WEIGHTS[:9])},
        {"validation_data": (X, TARGET), "validation_steps": 2},
        {"validation_data": (X, TARGET), "validation_batch_size": 5, "validation_freq": 2},
        {"validation_data": (X, TARGET), "validation_freq": [1, 3]},
        {"validation_split": 0.2, "validation_data": (X[:9], TARGET[:9])},
        {"initial_epoch": 2, "epochs": 4},
        {"initial_epoch": 5, "epochs": 4},
        {"epochs": 0},
        {"steps_per_epoch": 2, "batch_size": None},
        {"steps_per_epoch": 2},
    ],
)
@pytest.mark.filterwarnings("ignore:.*ran out")
def test_arguments_of_fit(arguments):
    data = {"x": X, "y": TARGET, "sample_weight": WEIGHTS}
    check_fit(
        regressor,
        lambda lib: {
            "optimizer": "adam",
            "loss": "mse",
            "metrics": ["mae"],
            "weighted_metrics": ["mse"],
        },
        data,
        **arguments,
    )


def batches(weights):
    while True:
        for start in range(0, 70, 16):
            stop = start + 16
            batch = X[start:stop], TARGET[start:stop], WEIGHTS[start:stop]
            yield batch if weights else batch[:2]


def py_dataset(lib):
    class Batches(lib.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            rows = slice(16 * index, 16 * index + 16)
            return X[rows], TARGET[rows]

    return Batches()


def loader():
    rows = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(TARGET))
    return torch.utils.data.DataLoader(rows, batch_size=16)


@pytest.mark.parametrize(
    ("source", "steps"),
    [
        (lambda lib: batches(False), 5),
        (lambda lib: batches(True), 3),
        (py_dataset, None),
        (py_dataset, 5),
        (lambda lib: loader(), None),
    ],
    ids=["generator", "weighted generator", "PyDataset", "PyDataset in steps", "DataLoader"],
)
def test_sources_of_batches(source, steps):
    results = []
    for lib, model in zip(LIBRARIES, pair(regressor), strict=True):
        model.compile("adam", "mse", metrics=["mae"], weighted_metrics=["mse"])
        # Else Keras reads a batch of a generator to find out shapes, and drops it.
        model.test_on_batch(X[:2], TARGET[:2])
        arguments = {"steps_per_epoch": steps, "verbose": 0}
        if not hasattr(source(lib), "__next__"):  # Keras gives some batches of those twice
            arguments.update(validation_data=source(lib), validation_steps=steps)
        history = model.fit(source(lib), epochs=3, shuffle=False, **arguments)
        evaluated = model.evaluate(source(lib), steps=steps, verbose=0)
        predicted = model.predict(source(lib), steps=steps, verbose=0)
        results.append([history.history, model.get_weights(), evaluated, predicted])
    assert_same(results[1], results[0])


def test_single_batches():
    results = []
    for lib, model in zip(LIBRARIES, pair(regressor), strict=True):
        model.compile(lib.optimizers.Adam(), "mse", metrics=["mae"], weighted_metrics=["mse"])
        rows = slice(0, 16)
        results.append(
            [
                model.train_on_batch(X[rows], TARGET[rows]),
                model.train_on_batch(X[rows], TARGET[rows], return_dict=True),
                model.train_on_batch(X[rows], TARGET[rows], sample_weight=WEIGHTS[rows]),
                model.test_on_batch(X[rows], TARGET[rows]),
                model.test_on_batch(X[16:], TARGET[16:], WEIGHTS[16:], return_dict=True),
                model.predict_on_batch(X[rows]),
                model.get_weights(),
            ]
        )
    assert_same(results[1], results[0])


def test_single_batches_with_class_weight():
    results = []
    for model in pair(classifier):
        model.compile("sgd", "sparse_categorical_crossentropy")
        for _ in range(2):
            loss = model.train_on_batch(X[:8], LABELS[:8], class_weight={0: 2.0, 3: 0.1})
        results.append([loss, model.get_weights()])
    assert_same(results[1], results[0])


def test_single_batches_of_two_outputs():
    results = []
    for model in pair(two_outputs):
        model.compile("sgd", ["sparse_categorical_crossentropy", "mse"], metrics=["acc", "mae"])
        y = [LABELS[:8], TARGET[:8]]
        results.append(
            [
                model.train_on_batch(X[:8], y),
                model.test_on_batch(X[:8], y),
                model.predict_on_batch(X[:8]),
                model.get_weights(),
            ]
        )
    assert_same(results[1], results[0])


def with_own_steps(lib):
    class Own(lib.Model):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.own_metric = lib.metrics.Mean(name="own")

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            loss = lib.ops.mean((y - y_pred) ** 2) + lib.ops.sum(self.losses)
            self.own_metric.update_state(loss * 2)
            return loss

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            logs = super().compute_metrics(x, y, y_pred, sample_weight)
            logs["constant"] = 3.0
            return logs

    inputs = lib.Input((6,))
    hidden = lib.layers.Dense(5, kernel_regularizer="l2")(inputs)
    return Own(inputs, lib.layers.Dense(3)(hidden))


def test_own_loss_metrics_and_log_keys():
    arguments = {"optimizer": "adam", "metrics": ["mae"]}
    check_fit(with_own_steps, lambda lib: arguments, {"x": X, "y": TARGET})


def test_own_metric_of_a_layer():
    def build(lib):
        class Spy(lib.layers.Layer):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.size = lib.metrics.Mean(name="size")

            def call(self, x):
                if not isinstance(x, lib.KerasTensor) and x.device.type != "meta":
                    self.size.update_state(x)
                return x

            def compute_output_shape(self, input_shape):
                return input_shape

        inputs = lib.Input((6,))
        return lib.Model(inputs, lib.layers.Dense(3)(Spy()(inputs)))

    arguments = {"optimizer": "adam", "loss": "mse", "metrics": ["mae"]}
    check_fit(build, lambda lib: arguments, {"x": X, "y": TARGET})


def test_learning_rate_and_frozen_layers_from_callbacks():
    results = []
    for lib, model in zip(LIBRARIES, pair(regressor), strict=True):

        class Meddle(lib.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                self.model.optimizer.learning_rate = 0.01 / (epoch + 1)

        model.compile("adam", "mse")
        history = model.fit(
            X, TARGET, epochs=3, batch_size=16, shuffle=False, verbose=0, callbacks=[Meddle()]
        )
        model.layers[0].trainable = False
        model.compile("adam", "mse")
        more = model.fit(X, TARGET, batch_size=16, shuffle=False, verbose=0)
        results.append([history.history, more.history, model.get_weights()])
    assert_same(results[1], results[0])


def test_logs_that_callbacks_see():
    seen = ([], [])
    for lib, model, calls in zip(LIBRARIES, pair(classifier), seen, strict=True):

        class Watch(lib.callbacks.Callback):
            def __init__(self, calls):
                super().__init__()
                self.calls = calls

            def on_train_batch_end(self, batch, logs=None):
                self.calls.append(("train", batch, {k: float(v) for k, v in logs.items()}))

            def on_test_batch_end(self, batch, logs=None):
                self.calls.append(("test", batch, {k: float(v) for k, v in logs.items()}))

            def on_test_end(self, logs=None):
                self.calls.append(("test end", {k: float(v) for k, v in logs.items()}))

            def on_epoch_end(self, epoch, logs=None):
                self.calls.append(("epoch", epoch, {k: float(v) for k, v in logs.items()}))

            def on_train_end(self, logs=None):
                self.calls.append(("end", {k: float(v) for k, v in logs.items()}))

        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(
            X,
            LABELS,
            validation_split=0.3,
            batch_size=16,
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=[Watch(calls)],
        )
    theirs, ours = seen
    assert [call[:-1] for call in ours] == [call[:-1] for call in theirs]
    assert_same([call[-1] for call in ours], [call[-1] for call in theirs])


def test_float64_data_gives_the_same_training():
    arguments = {"optimizer": "adam", "loss": "mse"}
    data = {"x": X.astype("float64"), "y": TARGET.astype("float64")}
    check_fit(regressor, lambda lib: arguments, data)


def test_loss_of_a_partial_batch_is_weighted_by_its_size():
    arguments = {"optimizer": "sgd", "loss": "mse", "metrics": ["mae"]}
    check_fit(regressor, lambda lib: arguments, {"x": X, "y": TARGET}, batch_size=69)


def test_torch_optimizer_agrees_with_keras():
    theirs, ours = pair(regressor)
    theirs.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    ours.compile(lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9), "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        histories = [
            model.fit(X, TARGET, batch_size=16, epochs=3, shuffle=False, verbose=0).history
            for model in (theirs, ours)
        ]
    assert_same(histories[1], histories[0])
    assert_same(ours.get_weights(), theirs.get_weights())
