"""Whole models exchanged with real Keras 3, both ways: archives, weight files and JSON.

A model trains three steps in one library, goes through a file into the other, and trains on there
as it does where it stayed: the same predictions, losses, metrics, weights and optimizer state.
"""

import dataclasses
import json
import warnings
from collections.abc import Callable

import numpy as np
import pytest

import torchkeras

keras = pytest.importorskip("keras")
pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",
    "ignore:Layer .* does not have:UserWarning",
    "ignore:(?s).*use of `x.T` on tensors:UserWarning",  # by Keras, of a scale
)

BOTH_WAYS = [(torchkeras, keras), (keras, torchkeras)]
IDS = ["ours_to_keras", "keras_to_ours"]
ROWS = 6


def numbers(*shape):
    return np.random.default_rng(sum(shape)).normal(size=(ROWS, *shape)).astype("float32")


def words(*shape, count=11):
    return np.random.default_rng(sum(shape)).integers(0, count, (ROWS, *shape)).astype("int32")


def registered(lib, cls):
    """A class that the library finds by its name."""
    return lib.saving.register_keras_serializable("architectures")(cls)


# Architectures: functions of the library


def mlp(lib):
    layers = lib.layers
    return lib.Sequential(
        [
            lib.Input((5,)),
            layers.Dense(8, activation="gelu", kernel_regularizer="l2"),
            layers.LayerNormalization(),
            layers.Dense(8, kernel_constraint=lib.constraints.MaxNorm(0.9)),
            layers.PReLU(),
            layers.Dropout(0.0),
            layers.Dense(3, activation="softmax"),
        ]
    )


def several_ends(lib):
    layers = lib.layers
    a, b = lib.Input((5,), name="a"), lib.Input((4, 2), name="b")
    h = layers.Concatenate()([layers.Dense(4)(a), layers.Flatten()(b)])
    h = layers.Dense(6, activation="tanh")(h)
    ends = {"p": layers.Dense(1, name="p")(h), "q": layers.Dense(3, name="q")(h)}
    return lib.Model({"a": a, "b": b}, ends, name="ends")


def subclassed(lib):
    layers = lib.layers

    class Gate(layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.inner = layers.Dense(units)

        def build(self, shape):
            self.inner.build(shape)
            self.scale = self.add_weight(name="scale", shape=(self.units,), initializer="ones")

        def call(self, x):
            return self.inner(x) * self.scale

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    class Net(lib.Model):
        def __init__(self, units, depth, **kwargs):
            super().__init__(**kwargs)
            self.units, self.depth = units, depth
            self.gates = [registered(lib, Gate)(units) for _ in range(depth)]
            self.tail = layers.Dense(3)

        def call(self, x):
            for gate in self.gates:
                x = lib.ops.tanh(gate(x))
            return self.tail(x)

        def get_config(self):
            return {**super().get_config(), "units": self.units, "depth": self.depth}

    return registered(lib, Net)(4, 2)


def nested(lib):
    layers = lib.layers
    stack = lib.Sequential([layers.Dense(4, activation="relu"), layers.Dense(4)], name="stack")
    a = lib.Input((5,))
    block = lib.Model(a, layers.Add()([layers.Dense(4)(a), stack(a)]), name="block")
    b = lib.Input((5,))
    return lib.Model(b, layers.Dense(3)(lib.ops.relu(block(b)) * 2.0))


def shared(lib):
    layers = lib.layers
    a, b = lib.Input((5,), name="a"), lib.Input((5,), name="b")
    tower = layers.Dense(6, activation="relu", name="tower")
    return lib.Model([a, b], layers.Dense(1)(abs(tower(a) - tower(layers.Dense(5)(b)))))


def sequential_within(lib):
    layers = lib.layers
    image = lib.Input((8, 8, 2))
    features = lib.Sequential(
        [lib.Input((8, 8, 2)), layers.Conv2D(3, 3), layers.ReLU(), layers.GlobalMaxPooling2D()]
    )
    inner = lib.Sequential([features, layers.Dense(4, activation="elu")], name="encoder")
    return lib.Model(image, layers.Dense(3, name="head")(inner(image)))


def convolutional(lib):
    layers = lib.layers
    return lib.Sequential(
        [
            lib.Input((8, 8, 2)),
            layers.Conv2D(4, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(6, 3, strides=2, activation="silu"),
            layers.SpatialDropout2D(0.0),
            layers.AveragePooling2D(1),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def residual(lib):
    layers = lib.layers
    x = inputs = lib.Input((8, 8, 4))
    y = layers.SeparableConv2D(4, 3, padding="same", depth_multiplier=2, use_bias=False)(x)
    y = layers.ReLU(max_value=6.0)(layers.BatchNormalization()(y))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
    y = layers.GroupNormalization(2)(y)
    x = layers.Activation("swish")(layers.Add()([x, y]))
    x = layers.ZeroPadding2D(1)(x)
    return lib.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def one_dimensional(lib):
    layers = lib.layers
    return lib.Sequential(
        [
            lib.Input((12, 3)),
            layers.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu"),
            layers.SeparableConv1D(4, 3, padding="same"),
            layers.MaxPooling1D(2),
            layers.Conv1DTranspose(3, 2, strides=2, padding="same"),
            layers.Cropping1D(1),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3),
        ]
    )


def u_net(lib):
    layers = lib.layers
    x = inputs = lib.Input((8, 8, 2))
    skips = []
    for filters in (3, 4):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(5, 3, padding="same", activation="relu")(x)
    for filters, skip in ((4, skips[1]), (3, skips[0])):
        if filters == 4:
            x = layers.Conv2DTranspose(filters, 2, strides=2)(x)
        else:
            x = layers.UpSampling2D(interpolation="bilinear")(x)
        x = layers.Concatenate()([x, skip])
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    return lib.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(x))


def lstm(lib):
    layers = lib.layers
    return lib.Sequential(
        [
            lib.Input((None, 4)),
            layers.Masking(9.0),
            layers.LSTM(5, return_sequences=True, unit_forget_bias=False),
            layers.LSTM(4, go_backwards=True, recurrent_activation="hard_sigmoid"),
            layers.Dense(3),
        ]
    )


def bidirectional(lib):
    layers = lib.layers
    return lib.Sequential(
        [
            lib.Input((7, 4)),
            layers.Bidirectional(layers.GRU(3, return_sequences=True), merge_mode="concat"),
            layers.Bidirectional(
                layers.GRU(3, reset_after=False),
                backward_layer=layers.SimpleRNN(3, go_backwards=True),
                merge_mode="sum",
            ),
            layers.Dense(3),
        ]
    )


def stacked_cells(lib):
    layers = lib.layers
    inputs = lib.Input((7, 4))
    cells = [layers.LSTMCell(4), layers.GRUCell(3), layers.SimpleRNNCell(5)]
    sequence, *states = layers.RNN(cells, return_sequences=True, return_state=True)(inputs)
    last = layers.Concatenate()([layers.GlobalMaxPooling1D()(sequence), states[-1]])
    return lib.Model(inputs, layers.Dense(3)(last))


def convolutional_recurrent(lib):
    layers = lib.layers
    return lib.Sequential(
        [
            lib.Input((4, 6, 6, 2)),
            layers.ConvLSTM2D(3, 3, padding="same", return_sequences=True),
            layers.ConvLSTM2D(2, 3),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def distributed_in_time(lib):
    layers = lib.layers
    frame = lib.Sequential(
        [lib.Input((6, 6, 2)), layers.Conv2D(3, 3, activation="relu"), layers.Flatten()]
    )
    return lib.Sequential(
        [
            lib.Input((4, 6, 6, 2)),
            layers.TimeDistributed(frame),
            layers.TimeDistributed(layers.Dense(4, activation="relu")),
            layers.LSTM(4),
            layers.Dense(3),
        ]
    )


def transformer(lib, heads=None):
    layers = lib.layers
    x = inputs = lib.Input((6, 8))
    attention = heads or layers.MultiHeadAttention(2, 4, dropout=0.0, name="attention")
    h = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.Add()([x, attention(h, h, use_causal_mask=True)])
    h = layers.RMSNormalization()(x)
    h = layers.EinsumDense("abc,cd->abd", (6, 16), bias_axes="d", activation="gelu")(h)
    x = x + layers.Dense(8)(h)
    return lib.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


def grouped_queries(lib):
    return transformer(lib, lib.layers.GroupQueryAttention(4, 4, 2))


def text(lib):
    layers = lib.layers
    return lib.Sequential(
        [
            lib.Input((7,), dtype="int32"),
            layers.Embedding(11, 6, mask_zero=True),
            layers.LSTM(5, return_sequences=True),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def prepared_numbers(lib):
    layers = lib.layers
    scale = layers.Normalization()
    scale.adapt(numbers(5) * 3 + 2)
    x = inputs = lib.Input((5,))
    x = layers.Rescaling(0.5, offset=0.1)(scale(x))
    bins = layers.Discretization([-0.5, 0.0, 0.5], output_mode="int")(inputs)
    coded = layers.Flatten()(layers.Embedding(4, 2)(bins))
    return lib.Model(inputs, layers.Dense(3)(layers.Concatenate()([x, coded])))


def prepared_images(lib):
    layers = lib.layers
    return lib.Sequential(
        [
            lib.Input((8, 8, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Resizing(6, 6),
            layers.CenterCrop(4, 4),
            layers.Conv2D(3, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def mixed(policy):
    def build(lib):
        layers = lib.layers
        inputs = lib.Input((5,))
        h = layers.Dense(8, activation="relu", dtype=policy)(inputs)
        h = layers.LayerNormalization(dtype=policy)(h)
        return lib.Model(inputs, layers.Dense(3, dtype="float32")(h))

    return build


def low_rank(lib):
    layers = lib.layers
    model = lib.Sequential(
        [lib.Input((5,)), layers.Dense(8, activation="relu"), layers.Dense(3, name="head")]
    )
    model.layers[0].enable_lora(2)
    return model


def quantized(mode):
    def build(lib):
        layers = lib.layers
        ids = lib.Input((7,), dtype="int32")
        h = layers.Embedding(11, 8)(ids)
        h = layers.EinsumDense("abc,cd->abd", (7, 8), bias_axes="d", activation="relu")(h)
        model = lib.Model(ids, layers.Dense(3)(layers.Flatten()(h)))
        model.quantize(mode)
        return model

    return build


# What they are compiled with: functions of the library


def classes(lib):
    return {
        "optimizer": lib.optimizers.Adam(lib.optimizers.schedules.ExponentialDecay(0.01, 2, 0.5)),
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy", lib.metrics.SparseTopKCategoricalAccuracy(2, name="top_2")],
    }


def ends_by_name(lib):
    return {
        "optimizer": lib.optimizers.AdamW(0.01, weight_decay=0.1, clipnorm=1.0),
        "loss": {"p": "mae", "q": lib.losses.SparseCategoricalCrossentropy(from_logits=True)},
        "loss_weights": {"p": 2.0, "q": 0.5},
        "metrics": {"p": [lib.metrics.RootMeanSquaredError(name="far")], "q": ["accuracy"]},
    }


def with_momentum(lib):
    schedule = lib.optimizers.schedules.CosineDecay(0.05, 10, warmup_target=0.1, warmup_steps=2)
    return {
        "optimizer": lib.optimizers.SGD(schedule, momentum=0.9, nesterov=True, clipvalue=0.5),
        "loss": lib.losses.MeanSquaredError(reduction="sum", name="gap"),
        "metrics": ["mae"],
        "weighted_metrics": ["mse"],
    }


def averaged(lib):
    return {
        "optimizer": lib.optimizers.RMSprop(
            0.01, momentum=0.5, centered=True, use_ema=True, ema_overwrite_frequency=4
        ),
        "loss": "mse",
        "metrics": [lib.metrics.CosineSimilarity(axis=-1)],
    }


def two_classes(lib):
    return {
        "optimizer": lib.optimizers.Nadam(0.01),
        "loss": lib.losses.BinaryCrossentropy(label_smoothing=0.1),
        "metrics": ["accuracy", lib.metrics.AUC(num_thresholds=20, name="area")],
    }


def scaled(lib):
    return {
        "optimizer": lib.optimizers.LossScaleOptimizer(
            lib.optimizers.SGD(0.1), initial_scale=256.0, dynamic_growth_steps=2
        ),
        "loss": "mse",
    }


def by_lion(lib):
    return {"optimizer": lib.optimizers.Lion(0.01), "loss": "mse", "metrics": ["mse"]}


def accumulated(lib):
    return {
        "optimizer": lib.optimizers.Adam(0.01, amsgrad=True, gradient_accumulation_steps=2),
        "loss": "log_cosh",
    }


def by_adafactor(lib):
    return {"optimizer": lib.optimizers.Adafactor(0.01), "loss": "mse"}


def by_several(lib):
    optimizers = {".*conv2d.*": lib.optimizers.SGD(0.05, momentum=0.5)}
    chosen = lib.optimizers.OptimizerMap(lib.optimizers.AdamW(0.01), optimizers)
    return {"optimizer": lib.optimizers.MultiOptimizer(chosen), "loss": "mse"}


def of_ones_own(lib):
    """A loss and a metric of one's own, by registered names."""

    def squared_gap(y_true, y_pred):
        return lib.ops.mean(lib.ops.square(y_true - y_pred), axis=-1)

    class Bias(lib.metrics.Metric):
        def __init__(self, factor=2.0, name="bias", **kwargs):
            super().__init__(name=name, **kwargs)
            self.factor = factor
            self.total = self.add_weight(name="total", initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            gap = lib.ops.mean(lib.ops.subtract(y_pred, y_true))
            self.total.assign(self.total + self.factor * lib.ops.stop_gradient(gap))

        def result(self):
            return self.total.value * 1.0

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    return {
        "optimizer": lib.optimizers.Ftrl(0.05),
        "loss": registered(lib, squared_gap),
        "metrics": [registered(lib, Bias)(3.0)],
    }


@dataclasses.dataclass
class Architecture:
    """A model, its data, and what it is compiled with.

    Without `compiled` it does not train. `tolerance` is that of outputs, relative to the largest
    of them; float32 sums in another order where nothing else is said. Over six steps that grows by
    about 10.
    """

    build: Callable
    compiled: Callable | None
    x: object
    y: object
    tolerance: float = 1e-6
    trains_on: bool = True  # whether the file holds all that training needs


LABELS, PAIRS = words(count=3), numbers(3)
ARCHITECTURES = {
    "mlp": Architecture(mlp, classes, numbers(5), LABELS),
    "several_ends": Architecture(
        several_ends,
        ends_by_name,
        {"a": numbers(5), "b": numbers(4, 2)},
        {"p": numbers(1), "q": LABELS},
    ),
    "subclassed": Architecture(subclassed, with_momentum, numbers(5), PAIRS),
    "nested": Architecture(nested, averaged, numbers(5), PAIRS),
    "shared": Architecture(shared, accumulated, [numbers(5), numbers(5)[::-1].copy()], numbers(1)),
    "sequential_within": Architecture(sequential_within, by_several, numbers(8, 8, 2), PAIRS),
    "convolutional": Architecture(convolutional, classes, numbers(8, 8, 2), LABELS),
    "residual": Architecture(residual, with_momentum, numbers(8, 8, 4), PAIRS),
    "one_dimensional": Architecture(one_dimensional, averaged, numbers(12, 3), PAIRS),
    "u_net": Architecture(
        u_net, two_classes, numbers(8, 8, 2), words(8, 8, 1, count=2).astype("float32")
    ),
    "lstm": Architecture(lstm, with_momentum, numbers(7, 4), PAIRS),
    "bidirectional": Architecture(bidirectional, averaged, numbers(7, 4), PAIRS),
    "stacked_cells": Architecture(stacked_cells, by_lion, numbers(7, 4), PAIRS),
    "convolutional_recurrent": Architecture(
        convolutional_recurrent, with_momentum, numbers(4, 6, 6, 2), PAIRS
    ),
    "distributed_in_time": Architecture(
        distributed_in_time, by_adafactor, numbers(4, 6, 6, 2), PAIRS
    ),
    "transformer": Architecture(transformer, with_momentum, numbers(6, 8), PAIRS),
    "grouped_queries": Architecture(grouped_queries, with_momentum, numbers(6, 8), PAIRS),
    "text": Architecture(text, two_classes, words(7), words(1, count=2)),
    "prepared_numbers": Architecture(prepared_numbers, of_ones_own, numbers(5) * 3 + 2, PAIRS),
    "prepared_images": Architecture(
        prepared_images, with_momentum, abs(numbers(8, 8, 3)) * 80, PAIRS
    ),
    # Sums and outputs of 8 and 11 bits.
    "mixed_bfloat16": Architecture(
        mixed("mixed_bfloat16"), with_momentum, numbers(5), PAIRS, tolerance=1e-2
    ),
    "mixed_float16": Architecture(
        mixed("mixed_float16"), scaled, numbers(5), PAIRS, tolerance=2e-3
    ),
    # LoRA is merged into the kernel in a file, and starts anew.
    "low_rank": Architecture(low_rank, with_momentum, numbers(5), PAIRS, trains_on=False),
    "int8": Architecture(quantized("int8"), None, words(7), PAIRS, trains_on=False),
    "int4": Architecture(quantized("int4"), None, words(7), PAIRS, trains_on=False),
}
QUICK = ("several_ends", "subclassed", "convolutional", "bidirectional", "transformer", "low_rank")


def over(names):
    return pytest.mark.parametrize(
        "architecture",
        [
            pytest.param(
                ARCHITECTURES[name], id=name, marks=() if name in QUICK else pytest.mark.slow
            )
            for name in names
        ],
    )


both_ways = pytest.mark.parametrize(("source", "target"), BOTH_WAYS, ids=IDS)


@pytest.fixture(autouse=True)
def same_names():
    """Automatic names from 0 in both, and what was registered forgotten."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    registries = [
        vars(keras.src.saving.object_registration)[name]
        for name in ("GLOBAL_CUSTOM_OBJECTS", "GLOBAL_CUSTOM_NAMES")
    ]
    kept = [dict(registry) for registry in registries]
    yield
    for registry, content in zip(registries, kept, strict=True):
        registry.clear()
        registry.update(content)


def make(lib, architecture):
    """A built and compiled model."""
    model = architecture.build(lib)
    if architecture.compiled is not None:
        model.compile(**architecture.compiled(lib))
    if not model.built:
        model.predict(architecture.x, verbose=0)
    return model


def train(model, architecture, steps=3):
    if architecture.compiled is None:
        return []
    x, y = architecture.x, architecture.y
    return [model.train_on_batch(x, y, return_dict=True) for _ in range(steps)]


def outputs(model, architecture):
    made = model.predict(architecture.x, verbose=0)
    return made if isinstance(made, dict) else {"": made}


def assert_alike(ours, theirs, tolerance):
    """Structures of arrays are equal up to a part of the largest value of each."""
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        expected = np.asarray(expected, dtype="float64")
        scale = max(1.0, float(abs(expected).max(initial=0)))
        np.testing.assert_allclose(
            np.asarray(ours[name], dtype="float64"),
            expected,
            rtol=0,
            atol=tolerance * scale,
            err_msg=name,
        )


def state(variables):
    return {
        place: np.asarray(v.value.detach().float().numpy()) for place, v in enumerate(variables)
    }


def assert_trains_alike(own, other, architecture):
    """Three more steps, and what they have moved."""
    tolerance = 20 * architecture.tolerance
    for ours, theirs in zip(train(own, architecture), train(other, architecture), strict=True):
        assert_alike(ours, theirs, tolerance)
    assert_alike(state(own.weights), state(other.weights), tolerance)
    assert_alike(state(own.optimizer.variables), state(other.optimizer.variables), tolerance)
    assert_alike(outputs(own, architecture), outputs(other, architecture), tolerance)


def load(lib, path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return lib.saving.load_model(path)


def described(config):
    return without_modules(json.loads(json.dumps(config)))


def without_modules(config):
    """A config without the places of classes, and what only one of both says once more.

    That is, in Keras, shapes of models and of a layer without weights, and masks of None.
    """
    if isinstance(config, list):
        return [without_modules(item) for item in config]
    if not isinstance(config, dict):
        return config
    config = {k: without_modules(v) for k, v in config.items()}
    if "class_name" in config:
        kind, name = config["class_name"], config.pop("registered_name", None)
        if kind == "function":
            config["config"] = config["config"].split(">")[-1]
        else:
            config["registered_name"] = name or kind
        if kind == "Discretization" or "layers" in config["config"]:
            config.pop("build_config", None)
            config["compile_config"] = config.get("compile_config") or {}
        config = {k: v for k, v in config.items() if k not in ("module", "shared_object_id")}
    if "args" in config and "kwargs" in config:
        given = config["kwargs"].items()
        config["kwargs"] = {k: v for k, v in given if (k, v) != ("mask", None)}
    return config


@both_ways
@over(ARCHITECTURES)
def test_archive(tmp_path, architecture, source, target):
    path = str(tmp_path / "model.keras")
    make(target, architecture)  # so that the classes are known
    model = make(source, architecture)
    train(model, architecture)
    model.save(path, **({"weights_format": "h5"} if source is torchkeras else {}))
    again = load(target, path)
    assert_alike(outputs(again, architecture), outputs(model, architecture), architecture.tolerance)
    if architecture.compiled is not None:
        configs = [described(m.get_compile_config()) for m in (again, model)]
        assert configs[0] == configs[1]
    if architecture.trains_on:
        ours, theirs = state(again.optimizer.variables), state(model.optimizer.variables)
        assert_alike(ours, theirs, 0)
        assert_trains_alike(again, model, architecture)


@both_ways
@over(ARCHITECTURES)
def test_weights(tmp_path, architecture, source, target):
    path = str(tmp_path / "model.weights.h5")
    model, other = make(source, architecture), make(target, architecture)
    train(model, architecture)
    train(other, architecture, steps=1)  # a state that has to give way
    model.save_weights(path)
    other.load_weights(path)
    assert_alike(outputs(other, architecture), outputs(model, architecture), architecture.tolerance)
    if architecture.trains_on:
        assert_trains_alike(other, model, architecture)


@both_ways
@over(ARCHITECTURES)
def test_json(architecture, source, target):
    make(target, architecture)
    model = make(source, architecture)
    again = target.models.model_from_json(model.to_json())
    assert described(json.loads(again.to_json())) == described(json.loads(model.to_json()))
    if not again.built:
        again.predict(architecture.x, verbose=0)
    again.set_weights(model.get_weights())
    assert_alike(outputs(again, architecture), outputs(model, architecture), architecture.tolerance)
