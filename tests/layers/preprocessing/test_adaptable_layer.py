"""`adapt`, and text through layers and models."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.layers.preprocessing.adaptable_layer import AdaptableLayer, batches_of_inputs


class Lookup(AdaptableLayer):
    """Words as their places in the sorted vocabulary, from 1; 0 for any other."""

    takes_text = True
    keeps_shape = True

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "int64", **kwargs})
        self.words = []

    def reset_state(self):
        self._seen = set()

    def update_state(self, batch):
        self._seen.update(batch.reshape(-1).tolist())

    def finalize_state(self):
        self.words = sorted(self._seen)

    def call(self, x):
        places = {word: place for place, word in enumerate(self.words, 1)}
        found = [places.get(word, 0) for word in x.reshape(-1).tolist()]
        return torch.tensor(found).reshape(x.shape)


class Mean(AdaptableLayer):
    """Subtracts the mean of each feature."""

    keeps_shape = True

    def build(self, input_shape):
        self.mean = self.add_weight(shape=input_shape[-1:], trainable=False, name="mean")

    def reset_state(self):
        self._sum, self._count = 0, 0

    def update_state(self, batch):
        self._sum = self._sum + batch.sum(0)
        self._count += len(batch)

    def finalize_state(self):
        self.mean.assign(self._sum / self._count)

    def call(self, x):
        return x - self.mean.value


def adapted():
    layer = Lookup()
    layer.adapt(["b", "a", "c", "a"])
    return layer


def test_adapt_learns_anew_each_time():
    layer = adapted()
    assert layer(["c", "b", "z"]).tolist() == [3, 2, 0]
    layer.adapt(["z", "c"])
    assert layer(["c", "b", "z"]).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    "data",
    [
        np.arange(6.0).reshape(3, 2),
        torch.arange(6.0).reshape(3, 2),
        [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]],
        (np.array([[i, i + 1.0]]) for i in (0, 2, 4)),
        ([[i, i + 1.0]] for i in (0, 2, 4)),
        [np.array([[i, i + 1.0]]) for i in (0, 2, 4)],
        ((np.array([[i, i + 1.0]]), np.ones(1), np.ones(1)) for i in (0, 2, 4)),
        torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(torch.arange(6.0).reshape(3, 2)), batch_size=2
        ),
    ],
    ids=["array", "tensor", "list", "generator", "lists", "arrays", "labelled", "loader"],
)
def test_adapt_to_numbers(data):
    layer = Mean()
    layer.adapt(data)
    assert layer.mean.numpy().tolist() == [2.0, 3.0]
    assert layer.built and layer.get_build_config() == {"input_shape": (None, 2)}
    assert layer(np.array([[2.0, 4.0]])).tolist() == [[0.0, 1.0]]


def test_adapt_takes_batches_and_steps():
    layer = Mean()
    layer.adapt(np.arange(8.0).reshape(8, 1), batch_size=3)
    assert layer.mean.numpy() == 3.5
    layer.adapt(np.arange(8.0).reshape(8, 1), batch_size=2, steps=2)
    assert layer.mean.numpy() == 1.5
    assert [len(b) for b in batches_of_inputs(np.zeros((100, 1)), steps=2)] == [32, 32]


@pytest.mark.parametrize(
    "data, options, match",
    [
        ([], {}, "at least one batch"),
        (iter(()), {}, "at least one batch"),
        ([[1.0]], {"steps": 0}, "`steps` must be an int of at least 1"),
        ([[1.0]], {"batch_size": True}, None),
        ([[1.0]], {"batch_size": 1.5}, "`batch_size` must be an int"),
        (3, {}, "takes arrays, tensors"),
        (iter([(np.ones((1, 1)),) * 4]), {}, "tuples of inputs, targets and sample weights"),
    ],
)
def test_what_adapt_refuses(data, options, match):
    layer = Mean()
    if match is None:
        layer.adapt(data, **options)  # True is 1
        return
    with pytest.raises(ValueError, match=match):
        layer.adapt(data, **options)


def test_a_layer_without_update_state_cannot_be_adapted():
    with pytest.raises(NotImplementedError, match="must define `update_state"):
        AdaptableLayer().adapt([[1.0]])


@pytest.mark.parametrize(
    "x", [[["a"], ["c"]], np.array([["a"], ["c"]]), np.array([[b"a"], [b"c"]]), ["a", "c"]]
)
def test_text_enters_a_functional_model(x):
    inputs = keras.Input((1,), dtype="string", name="words")
    assert inputs.dtype == "string"
    symbol = adapted()(inputs)
    assert symbol.shape == (None, 1) and symbol.dtype == "int64"
    head = layers.Dense(2, kernel_initializer="ones")
    model = keras.Model(inputs, head(symbol))
    expected = [[1.0, 1.0], [3.0, 3.0]]
    assert model(x).tolist() == expected
    assert model({"words": x}).tolist() == expected
    assert model.double()(x).tolist() == expected


def test_text_beside_numbers():
    words, number = keras.Input((1,), dtype="string"), keras.Input((1,))
    joined = layers.Concatenate()(
        [layers.Dense(1, kernel_initializer="ones")(adapted()(words)), number]
    )
    model = keras.Model({"words": words, "number": number}, joined)
    y = model({"words": [["b"]], "number": np.array([[5.0]])})
    assert y.tolist() == [[2.0, 5.0]]


def test_text_through_a_stack_and_an_own_model():
    stack = keras.Sequential([adapted(), layers.Dense(1, kernel_initializer="ones")])
    assert stack(np.array([["a"], ["c"]])).tolist() == [[1.0], [3.0]]

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.lookup, self.head = adapted(), layers.Dense(1, kernel_initializer="ones")

        def call(self, words):
            return self.head(self.lookup(words))

    assert Own()([["b"], ["c"]]).tolist() == [[2.0], [3.0]]


@pytest.mark.parametrize("x", [np.array([["a"]]), np.array([[b"a"]]), np.array(["a"], object)])
def test_layers_of_numbers_refuse_text(x):
    with pytest.raises(ValueError, match="'d'.*computes with numbers.*StringLookup"):
        layers.Dense(1, name="d")(x)


@pytest.mark.parametrize("x", [["a"], [["a"]]])
def test_lists_of_text_are_no_tensors(x):
    with pytest.raises(ValueError, match="'d' expects.*Received"):
        layers.Dense(1, name="d")(x)


def test_a_layer_without_assets_refuses_some():
    layer = layers.Dense(1)
    layer.set_assets({})
    with pytest.raises(ValueError, match="keeps no assets"):
        layer.set_assets({"vocabulary.txt": b"a"})
