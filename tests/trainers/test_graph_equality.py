"""jit_compile=True: after 100 steps the weights are those without graphs, whatever is trained.

Each model takes seconds of Inductor. So a model has many outputs, with a loss or metrics of
another family each; and optimizers, which stay outside of the graph, share one that torch keeps.
"""

import functools

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.trainers import graph

pytestmark = [
    pytest.mark.skipif(not graph.can_trace_gradients(), reason="this torch traces no gradients"),
    pytest.mark.exhaustive,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's, of its own modules
]
RNG = np.random.default_rng(0)
ROWS = 22  # batches of 5: the rest gets a graph of its own
X = RNG.normal(size=(ROWS, 6))
WORDS = RNG.integers(0, 5, (ROWS, 7))
IMAGES = RNG.normal(size=(ROWS, 8, 8, 2))
SERIES = RNG.normal(size=(ROWS, 5, 4))
LABELS = RNG.integers(0, 3, ROWS)
WEIGHTS = RNG.uniform(0.1, 2.0, ROWS)


def train(make, jit_compile, x, y, epochs=20, callbacks=(), **arguments):
    """Weights, logs and outputs after 5 steps an epoch, in float64: rounding stays small."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    keras.config.set_floatx("float64")
    try:
        model, compilation = make()
        model.compile(**compilation, jit_compile=jit_compile)
        history = model.fit(
            x, y, batch_size=5, epochs=epochs, verbose=0, callbacks=list(callbacks), **arguments
        )
        weights = model.get_weights()
        evaluated = model.evaluate(x, y, batch_size=5, verbose=0, return_dict=True)
        predicted = model.predict(x, batch_size=5, verbose=0)
    finally:
        keras.config.set_floatx("float32")
    if jit_compile:
        failures = [step.failure for step in model._graph_steps.values()]
        assert failures == [None] * 3, failures
        trained = model._graph_steps["train_step"]._graphs.values()
        assert sum(isinstance(each, graph.Graph) for each in trained) == 2
    return {"weights": weights, "logs": history.history, "eval": evaluated, "outputs": predicted}


def check(make, x, y, **arguments):
    expected = train(make, False, x, y, **arguments)
    found = train(make, True, x, y, **arguments)
    assert all(np.isfinite(w).all() for w in expected["weights"])
    for name, value in expected.items():
        flat = keras.tree.flatten(found[name]), keras.tree.flatten(value)
        for ours, theirs in zip(*flat, strict=True):
            # Logs are float32 where a metric counts in it.
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5, err_msg=name)


# Optimizers

KINDS = keras.optimizers
OPTIMIZERS = {
    name: functools.partial(getattr(KINDS, name), learning_rate=0.01)
    for name in (
        "Adadelta Adafactor Adagrad Adam Adamax AdamW Ftrl Lamb Lion Muon Nadam RMSprop SGD "
        "ScheduleFreeAdamW"
    ).split()
}
OPTIMIZERS |= {
    "clipnorm": lambda: KINDS.Adam(0.01, clipnorm=0.1),
    "clipvalue": lambda: KINDS.SGD(0.01, clipvalue=0.01),
    "global_clipnorm": lambda: KINDS.SGD(0.1, momentum=0.9, nesterov=True, global_clipnorm=0.1),
    "accumulation": lambda: KINDS.Adam(0.01, gradient_accumulation_steps=3, weight_decay=0.01),
    "average": lambda: KINDS.Adam(0.01, amsgrad=True, use_ema=True, ema_overwrite_frequency=7),
    "schedule": lambda: KINDS.RMSprop(
        KINDS.schedules.CosineDecay(0.01, 60, warmup_steps=9), centered=True
    ),
    "loss_scale": lambda: KINDS.LossScaleOptimizer(KINDS.Adam(0.01), dynamic_growth_steps=9),
    "fixed_scale": lambda: KINDS.SGD(0.1, loss_scale_factor=64.0),
    "torch": lambda: torch.optim.NAdam,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name):
    def make():
        model = keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(8, activation="tanh", kernel_constraint="max_norm"),
                layers.Dropout(0.2),
                layers.Dense(3, activation="softmax"),
            ]
        )
        loss = "sparse_categorical_crossentropy"
        return model, {"optimizer": OPTIMIZERS[name](), "loss": loss, "metrics": ["accuracy"]}

    check(make, X, LABELS)


# Losses

L = keras.losses
NUMBERS = RNG.normal(size=(ROWS, 3))
POSITIVE = RNG.uniform(0.1, 1.0, (ROWS, 3))
BITS = RNG.integers(0, 2, (ROWS, 3)).astype("float64")
ONE_HOT = np.eye(3)[LABELS]
LOSSES = {
    "mse": (L.MeanSquaredError(), None, NUMBERS),
    "mae": (L.MeanAbsoluteError(), None, NUMBERS),
    "mape": (L.MeanAbsolutePercentageError(), None, POSITIVE),
    "msle": (L.MeanSquaredLogarithmicError(), "sigmoid", POSITIVE),
    "huber": (L.Huber(0.5), None, NUMBERS),
    "log_cosh": (L.LogCosh(), None, NUMBERS),
    "cosine": (L.CosineSimilarity(), None, NUMBERS),
    "poisson": (L.Poisson(), "softplus", POSITIVE),
    "kl": (L.KLDivergence(), "softmax", POSITIVE),
    "binary": (L.BinaryCrossentropy(label_smoothing=0.1), "sigmoid", BITS),
    "binary_logits": (L.BinaryCrossentropy(from_logits=True), None, BITS),
    "binary_focal": (L.BinaryFocalCrossentropy(), "sigmoid", BITS),
    "categorical": (L.CategoricalCrossentropy(), "softmax", ONE_HOT),
    "categorical_focal": (L.CategoricalFocalCrossentropy(), "softmax", ONE_HOT),
    "sparse": (L.SparseCategoricalCrossentropy(), "softmax", LABELS),
    "sparse_logits": (L.SparseCategoricalCrossentropy(from_logits=True), None, LABELS),
    "hinge": (L.Hinge(), "tanh", 2 * BITS - 1),
    "squared_hinge": (L.SquaredHinge(), "tanh", 2 * BITS - 1),
    "categorical_hinge": (L.CategoricalHinge(), None, ONE_HOT),
    "dice": (L.Dice(), "sigmoid", BITS),
    "tversky": (L.Tversky(), "sigmoid", BITS),
    "sum": (L.MeanSquaredError(reduction="sum"), None, NUMBERS),
    "weighted_mean": (L.MeanSquaredError(reduction="mean_with_sample_weight"), None, NUMBERS),
    "own": (lambda y, p: keras.ops.mean(keras.ops.abs(y - p) ** 1.5, -1), None, NUMBERS),
    "of_torch": (torch.nn.SmoothL1Loss(), None, NUMBERS),
}


@pytest.mark.parametrize("weights", [False, True])
def test_losses(weights):
    def make():
        inputs = keras.Input((6,))
        outputs = {
            name: layers.Dense(3, activation=activation, name=name)(inputs)
            for name, (_, activation, _) in LOSSES.items()
        }
        losses = {name: loss for name, (loss, _, _) in LOSSES.items()}
        return keras.Model(inputs, outputs), {"optimizer": KINDS.SGD(0.01), "loss": losses}

    y = {name: target for name, (_, _, target) in LOSSES.items()}
    given = {name: WEIGHTS for name in LOSSES if name != "of_torch"}  # it gives one number
    check(make, X, y, **({"sample_weight": {**given, "of_torch": None}} if weights else {}))


# Metrics

M = keras.metrics


class Largest(M.Metric):
    """A metric of a user's, with a state."""

    def __init__(self, name="largest", **kwargs):
        super().__init__(name=name, **kwargs)
        self.largest = self.add_weight(name="largest", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.largest.assign(keras.ops.maximum(self.largest, keras.ops.max(y_pred)))

    def result(self):
        return self.largest


METRICS = {
    "numbers": (
        None,
        NUMBERS,
        lambda: [
            M.MeanSquaredError(),
            M.RootMeanSquaredError(),
            M.MeanAbsoluteError(),
            M.R2Score(),
            M.PearsonCorrelation(),
            M.ConcordanceCorrelation(),
            M.CosineSimilarity(),
            Largest(),
            lambda y, p: keras.ops.mean(p, -1),
        ],
    ),
    "bits": (
        "sigmoid",
        BITS,
        lambda: [
            M.BinaryAccuracy(),
            M.Precision(),
            M.Recall(),
            M.AUC(),
            M.AUC(curve="PR", name="pr"),
            M.TruePositives(),
            M.SensitivityAtSpecificity(0.5),
            M.F1Score(threshold=0.5),
            M.BinaryIoU(),
        ],
    ),
    "classes": (
        "softmax",
        ONE_HOT,
        lambda: [
            "accuracy",
            M.CategoricalAccuracy(name="again"),
            M.TopKCategoricalAccuracy(2),
            M.F1Score(average="macro"),
            M.OneHotMeanIoU(3),
            M.CategoricalCrossentropy(),
        ],
    ),
}


def test_metrics():
    def make():
        inputs = keras.Input((6,))
        outputs = {
            name: layers.Dense(3, activation=activation, name=name)(inputs)
            for name, (activation, _, _) in METRICS.items()
        }
        metrics = {name: made() for name, (_, _, made) in METRICS.items()}
        compilation = {
            "optimizer": KINDS.SGD(0.01),
            "loss": dict.fromkeys(METRICS, "mse"),
            "metrics": metrics,
            "weighted_metrics": {"bits": [M.AUC(name="weighted")], "numbers": ["mae"]},
        }
        return keras.Model(inputs, outputs), compilation

    y = {name: target for name, (_, target, _) in METRICS.items()}
    check(make, X, y, sample_weight={name: WEIGHTS for name in METRICS})


# Layers


def recurrent():
    a, b = keras.Input((7,), dtype="int32", name="a"), keras.Input((5, 4), name="b")
    words = layers.Embedding(5, 4, mask_zero=True)(a)
    found = [
        layers.LSTM(3)(words),
        layers.GRU(3, dropout=0.2, recurrent_dropout=0.2)(words),
        layers.SimpleRNN(3, go_backwards=True)(words),
        layers.Bidirectional(layers.LSTM(2, return_sequences=False))(b),
        layers.GRU(2, reset_after=False)(b),
        layers.GlobalAveragePooling1D()(layers.Conv1D(3, 2)(b)),
    ]
    outputs = {"c": layers.Dense(3, activation="softmax", name="c")(layers.concatenate(found))}
    outputs["d"] = layers.Dense(5, activation="softmax", name="d")(words)
    losses = dict.fromkeys(outputs, "sparse_categorical_crossentropy")
    metrics = dict.fromkeys(outputs, ["accuracy"])
    model = keras.Model({"a": a, "b": b}, outputs)
    return model, {"optimizer": "adam", "loss": losses, "metrics": metrics}


def images():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, padding="same", kernel_regularizer="l1"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.SpatialDropout2D(0.2),
            layers.MaxPooling2D(),
            layers.SeparableConv2D(4, 3, bias_regularizer="l2"),
            layers.GroupNormalization(2),
            layers.GaussianNoise(0.1),
            layers.Flatten(),
            layers.Dense(4, activity_regularizer="l1"),
            layers.LayerNormalization(),
            layers.GaussianDropout(0.1, seed=3),
            layers.AlphaDropout(0.1),
            layers.UnitNormalization(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    return model, {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"}


class Added(layers.Layer):
    """Adds losses, and keeps a moving average by itself."""

    def build(self, input_shape):
        self.mean = self.add_weight(shape=(4,), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        self.add_loss(0.1 * keras.ops.mean(x**2))
        if training:
            self.mean.assign(0.9 * self.mean + 0.1 * keras.ops.mean(x, (0, 1)))
        return x - self.mean


def attention():
    inputs = keras.Input((5, 4))
    x = layers.LayerNormalization()(inputs + layers.MultiHeadAttention(2, 3)(inputs, inputs))
    x = Added()(x)
    x = layers.Dropout(0.2)(x + layers.Dense(4, activation="gelu")(x))
    hidden = layers.GlobalMaxPooling1D()(x)
    outputs = [layers.Dense(3, activation="softmax")(hidden), layers.Dense(1)(hidden)]
    model = keras.Model(inputs, outputs)
    losses = ["sparse_categorical_crossentropy", "mse"]
    return model, {"optimizer": "adam", "loss": losses, "loss_weights": [0.3, 1.0]}


MODELS = {
    "recurrent": (recurrent, {"a": WORDS, "b": SERIES}, {"c": LABELS, "d": (WORDS + 1) % 5}),
    "images": (images, IMAGES, LABELS),
    "attention": (attention, SERIES, [LABELS, X[:, :1]]),
}


@pytest.mark.parametrize("name", MODELS)
def test_layers(name):
    check(*MODELS[name])


def test_weights_of_classes_and_groups_of_steps():
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((batch, float(logs["loss"])))

    def make():
        model = keras.Sequential([keras.Input((6,)), layers.Dense(3, activation="softmax")])
        loss = "sparse_categorical_crossentropy"
        return model, {"optimizer": "adam", "loss": loss, "steps_per_execution": 3}

    check(make, X, LABELS, class_weight={0: 1.0, 1: 2.0, 2: 0.3}, callbacks=[Watch()])
    half = len(seen) // 2
    assert [batch for batch, _ in seen[:2]] == [2, 5] and half == 2 * 20
    np.testing.assert_allclose(seen[half:], seen[:half], rtol=1e-5)
