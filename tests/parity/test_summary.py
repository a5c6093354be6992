"""`Model.summary` against real Keras 3: the same text, line by line."""

import io
import re
import sys

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import torchkeras  # noqa: E402

if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

pytestmark = [
    # Keras converts tensors in a way that NumPy warns about.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # It also warns about a layer that a subclassed model does not use.
    pytest.mark.filterwarnings(r"ignore:`build\(\)` was called on layer:UserWarning"),
]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def sequential_unbuilt(k):
    return k.Sequential([k.layers.Dense(4), k.layers.Dropout(0.5), k.layers.Dense(1)])


def sequential_built(k):
    return k.Sequential(
        [
            k.Input((12,)),
            k.layers.Dense(64, activation="relu", name="hidden"),
            k.layers.Dropout(0.5),
            k.layers.Reshape((8, 8)),
            k.layers.Flatten(),
            k.layers.Dense(1000),
        ],
        name="classifier",
    )


def sequential_built_by_shape(k):
    model = sequential_unbuilt(k)
    model.build((None, 3))
    return model


def sequential_called(k):
    model = sequential_unbuilt(k)
    model(np.zeros((5, 3), "float32"))
    return model


def sequential_empty(k):
    return k.Sequential()


def chain(k):
    x = k.Input((3,), name="x")
    return k.Model(x, k.layers.Dense(2)(k.layers.Dense(4)(x)))


def chain_with_inner_output(k):
    x = k.Input((3,))
    h = k.layers.Dense(4)(x)
    return k.Model(x, [h, k.layers.Dense(2)(h)])


def identity(k):
    x = k.Input((3,))
    return k.Model(x, x)


def branches(k):
    a, b = k.Input((16,), name="a"), k.Input((7, 5), name="b")
    h = k.layers.Concatenate(name="together")([k.layers.Dense(8)(a), k.layers.Flatten()(b)])
    outputs = [k.layers.Dense(1, name="head")(h), k.layers.Dense(3)(h)]
    return k.Model([a, b], outputs, name="two_ends")


def dict_ends(k):
    a, b = k.Input((4,), name="left"), k.Input((4,), name="right")
    total = k.layers.Add()([a, b])
    outputs = {"sum": total, "class": k.layers.Dense(3, activation="softmax")(total)}
    return k.Model({"left": a, "right": b}, outputs)


def same_tensor_twice(k):
    x = k.Input((4,))
    return k.Model(x, k.layers.Multiply()([x, x]))


def shared_layer(k):
    a, b = k.Input((4,)), k.Input((4,))
    encoder = k.layers.Dense(6, name="encoder")
    return k.Model([a, b], k.layers.Subtract()([encoder(a), encoder(b)]))


def shared_layer_in_a_row(k):
    x = k.Input((4,))
    layer = k.layers.Dense(4)
    return k.Model(x, layer(layer(x)))


def nested(k):
    inner = k.Sequential([k.Input((6,)), k.layers.Dense(5), k.layers.ReLU()], name="inner")
    block_input = k.Input((5,))
    hidden = k.layers.Dense(3, name="deep")(block_input)
    block = k.Model(block_input, k.layers.Add()([hidden, hidden]), name="block")
    outer = k.Sequential([k.Input((5,)), block, k.layers.Dense(2)], name="outer")
    x = k.Input((6,))
    h = inner(x)
    return k.Model(x, k.layers.Concatenate()([outer(h), block(h), h]), name="whole")


def nested_chain(k):
    block = k.Sequential([k.Input((6,)), k.layers.Dense(5)])
    return k.Sequential([k.Input((6,)), block, k.layers.Dense(2)])


def nested_unbuilt(k):
    return k.Sequential([k.Sequential([k.layers.Dense(5)]), k.layers.Dense(2)])


def frozen(k):
    x = k.Input((6,))
    body = k.layers.Dense(5, name="body", trainable=False)(x)
    side = k.layers.Dense(5, name="side")(x)
    return k.Model(x, k.layers.Add()([body, side]))


def long_names(k):
    x = k.Input((6,), name="a_very_long_name_of_an_input_that_cannot_stand_in_any_single_column")
    h = k.layers.Dense(12345, name="a_long_name_that_is_wrapped_before_its_type_is_told")(x)
    h = k.layers.Dense(3, name="words with spaces in a name are wrapped between those words")(h)
    # Too wide for any column: where such a name fits exactly, Keras cuts it all the same.
    h = k.layers.Dense(3, name="密集层" * 30)(h)
    return k.Model(x, h, name="model_" * 25)


def long_connections(k):
    x = k.Input((6,))
    ends = [k.layers.Dense(2, name=f"branch_number_{i}")(x) for i in range(6)]
    return k.Model(x, k.layers.Concatenate()(ends))


def ops(k):
    x = k.Input((6,))
    y = k.ops.relu(x) + 1.0
    return k.Model(
        x, [k.ops.expand_dims(y, 1), k.ops.log_softmax(y), k.ops.matmul(y, k.ops.transpose(y))]
    )


def several_outputs(k):
    class Halves(k.layers.Layer):
        def call(self, x):
            return x[:, :2], x[:, 2:]

    first, second = Halves()(k.Input((6,), name="x"))
    return k.Model(first._keras_history.operation.input, k.layers.Concatenate()([second, first]))


def subclass_of(k):
    class Net(k.Model):
        def __init__(self):
            super().__init__()
            self.first = k.layers.Dense(4)
            self.rest = k.Sequential([k.layers.Dense(3), k.layers.Dropout(0.1)])
            self.unused = k.layers.Dense(9)

        def call(self, x):
            return self.rest(self.first(x))

    return Net()


def subclass_called(k):
    model = subclass_of(k)
    model(np.zeros((2, 3), "float32"))
    return model


def subclass_with_functional(k):
    class Net(k.Model):
        def __init__(self):
            super().__init__()
            x = k.Input((3,))
            self.body = k.Model(x, k.layers.Dense(2)(x))

        def call(self, x):
            return self.body(x)

    return Net()


def subclass_with_own_layers(k):
    class Scale(k.layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],))

        def call(self, x):
            return x * self.scale

    class Net(k.Model):
        def __init__(self):
            super().__init__()
            self.scale = Scale()
            self.relu = k.layers.ReLU()

        def call(self, x):
            return self.relu(self.scale(x))

    model = Net()
    model(np.zeros((2, 3), "float32"))
    return model


def features_of(k):
    model = branches(k)
    return k.Model(model.inputs, model.get_layer("together").output)


def torch_module(k):
    import torch

    return k.Sequential(
        [
            k.Input((3,)),
            k.layers.TorchModuleWrapper(torch.nn.Linear(3, 2), output_shape=(None, 2)),
            k.layers.Dense(1),
        ]
    )


def mixed_dtypes(k):
    layers = [k.layers.Dense(7, dtype=d) for d in ("float16", "float64", "mixed_bfloat16")]
    return k.Sequential([k.Input((3,)), *layers])


def compiled(k):
    model = sequential_built(k)
    model.compile("adam", "mse")
    return model


def trained(k):
    model = branches(k)
    model.compile(k.optimizers.SGD(0.1, momentum=0.9), ["mse", "mse"])
    x = [np.zeros((2, 16), "float32"), np.zeros((2, 7, 5), "float32")]
    model.train_on_batch(x, [np.zeros((2, 1), "float32"), np.zeros((2, 3), "float32")])
    return model


MODELS = [
    sequential_unbuilt,
    sequential_built,
    sequential_built_by_shape,
    sequential_called,
    sequential_empty,
    chain,
    chain_with_inner_output,
    identity,
    branches,
    dict_ends,
    same_tensor_twice,
    shared_layer,
    shared_layer_in_a_row,
    nested,
    nested_chain,
    nested_unbuilt,
    frozen,
    long_names,
    long_connections,
    ops,
    several_outputs,
    subclass_of,
    subclass_called,
    subclass_with_functional,
    subclass_with_own_layers,
    features_of,
    torch_module,
    mixed_dtypes,
    compiled,
    trained,
]

OPTIONS = {
    "default": {},
    "nested": {"expand_nested": True},
    "trainable": {"show_trainable": True},
    "nested and trainable": {"expand_nested": True, "show_trainable": True},
}


def pair(make):
    """The model in both libraries, under the same automatic names."""
    models = []
    for k in (keras, torchkeras):
        k.utils.clear_session(free_memory=False)
        models.append(make(k))
    return models


def lines_of(model, **options):
    texts = []
    model.summary(print_fn=texts.append, **options)
    assert len(texts) == 1
    return [line.rstrip() for line in _ANSI.sub("", texts[0]).split("\n")]


def assert_same(models, **options):
    theirs, ours = models
    assert lines_of(ours, **options) == lines_of(theirs, **options)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("make", MODELS)
def test_summary_of_model(make, options):
    assert_same(pair(make), **options)


@pytest.mark.parametrize("show_trainable", [False, True])
@pytest.mark.parametrize("make", [chain, nested, long_names])
def test_summary_of_any_length(make, show_trainable, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    models = pair(make)
    for length in (30, 44, 59, *range(60, 141, 7), 175):
        if show_trainable and length < 60:
            continue  # Keras refuses
        assert_same(models, line_length=length, show_trainable=show_trainable, expand_nested=True)


@pytest.mark.parametrize("columns", [48, 70, 80, 97, 300])
@pytest.mark.parametrize("make", [sequential_built, branches, long_names])
def test_summary_in_terminal_of_any_width(make, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    models = pair(make)
    assert_same(models)
    assert_same(models, line_length=120)


@pytest.mark.parametrize(
    ("make", "positions"),
    [
        (chain, [0.2, 0.5, 1.0]),
        (chain, [0.3, 0.5, 0.7]),
        (chain, [0.88, 0.94, 1.0]),
        (chain, [0.05, 0.1, 0.15]),
        (chain, [0.3, 0.6, 0.7, 1.0]),
        (branches, [0.3, 0.6, 0.7, 1.0]),
        (branches, [0.1, 0.2, 0.9, 1.0]),
        (branches, [0.25, 0.4, 0.5, 0.6]),
    ],
)
@pytest.mark.parametrize("show_trainable", [False, True])
def test_summary_with_positions(make, positions, show_trainable):
    models = pair(make)
    for length in (None, 101, 120, 133):
        assert_same(models, positions=positions, line_length=length, show_trainable=show_trainable)


@pytest.mark.parametrize(
    "layer_range",
    [("a", "head"), ("head", "a"), ("dense", "dense.*"), ["fl", "tog"], ("", "")],
)
def test_summary_of_layer_range(layer_range):
    assert_same(pair(branches), layer_range=layer_range)


def test_summary_of_nothing_but_latin(monkeypatch):
    # What cannot be encoded is drawn with ASCII characters by both.
    drawn = []
    for model in pair(sequential_built):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
        monkeypatch.setattr(sys, "stdout", stream)
        model.summary()
        stream.flush()
        drawn.append(stream.buffer.getvalue().decode("latin-1").rstrip())
    assert drawn[0] == drawn[1]
