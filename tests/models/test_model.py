import copy
import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras

layers = keras.layers
BATCH = torch.randn(4, 3)


class Net(keras.Model):
    def __init__(self, units=2):
        super().__init__()
        self.hidden = layers.Dense(4, activation="relu")
        self.blocks = [layers.Dense(4) for _ in range(2)]
        self.torch_part = nn.Linear(4, units)

    def call(self, x, training=None):
        x = self.hidden(x)
        for block in self.blocks:
            x = block(x)
        return self.torch_part(x)


def test_subclass_builds_at_its_first_call():
    model = Net()
    assert [w.path for w in model.weights] == ["net/torch_part/weight", "net/torch_part/bias"]
    assert model(BATCH.numpy()).shape == (4, 2)
    assert list(model.state_dict())[::2] == [
        "hidden.kernel",
        "blocks_0.kernel",
        "blocks_1.kernel",
        "torch_part.weight",
    ]
    assert [layer.name for layer in model.layers] == ["dense", "dense_1", "dense_2"]
    assert len(model.weights) == len(list(model.parameters())) == 8


@pytest.mark.parametrize("shape", [(None, 3), [None, 3], (4, 3)])
def test_build_makes_the_weights_without_data(shape):
    model = Net()
    model.build(shape)
    assert model.built and model.hidden.kernel.shape == (3, 4)
    count = model.count_params()
    model.build((None, 99))  # a second build does nothing
    assert model.count_params() == count
    assert model(BATCH).shape == (4, 2)


def test_build_by_a_dict_and_by_named_shapes():
    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = layers.Dense(2), layers.Dense(2)

        def call(self, inputs):
            return self.a(inputs["a"]) + self.b(inputs["b"])

    model = Pair()
    model.build({"a": (None, 3), "b": (None, 5)})
    assert model.a.kernel.shape == (3, 2) and model.b.kernel.shape == (5, 2)

    class TwoArguments(Pair):
        def call(self, left, right):
            return self.a(left) + self.b(right)

    model = TwoArguments()
    model.build(left_shape=(None, 3), right_shape=(None, 5))
    assert model.b.kernel.shape == (5, 2)
    assert model(torch.ones(1, 3), torch.ones(1, 5)).shape == (1, 2)


def test_failed_build_says_which_model():
    class Broken(keras.Model):
        def call(self, x):
            return x @ torch.ones(7, 7)

    with pytest.raises(RuntimeError, match=r"'broken' could not be built for .*\(None, 3\)"):
        Broken().build((None, 3))


@pytest.mark.parametrize("pack", [list, tuple, lambda pair: dict(zip("ab", pair, strict=True))])
def test_lists_tuples_and_dicts_in_and_out(pack):
    class Swap(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3, kernel_initializer="identity")

        def call(self, inputs):
            first, second = inputs.values() if isinstance(inputs, dict) else inputs
            return pack([self.dense(second), first])

    model = Swap()
    given = pack([BATCH, 2 * BATCH])
    expected = pack([2 * BATCH, BATCH])
    for made in (model, copy.deepcopy(model)):
        torch.testing.assert_close(made(given), expected)
    symbols = keras.tree.map_structure(lambda x: keras.Input((3,)), given)
    outer = keras.Model(symbols, model(symbols))
    torch.testing.assert_close(outer(given), expected)
    swapped = pack([BATCH.numpy(), BATCH.numpy()])
    assert isinstance(keras.tree.flatten(model(swapped))[0], torch.Tensor)


def test_functional_in_subclass_in_functional():
    x = keras.Input((3,))
    inner = keras.Model(x, layers.Dense(4)(x))

    class Middle(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = inner
            self.stack = keras.Sequential([layers.Dense(5)])

        def call(self, x):
            return self.stack(self.inner(x))

    middle = Middle()
    y = keras.Input((3,))
    outer = keras.Model(y, layers.Dense(1)(middle(y)))
    assert list(outer.state_dict())[::2] == [
        "middle.inner.dense.kernel",
        "middle.stack.dense.kernel",
        "dense.kernel",
    ]
    for made in (copy.deepcopy(outer), pickle.loads(pickle.dumps(copy.deepcopy(inner)))):
        assert made(BATCH).shape[0] == 4
    torch.testing.assert_close(copy.deepcopy(outer)(BATCH), outer(BATCH))


def test_get_layer():
    model = keras.Sequential([layers.Dense(1, name="a"), layers.Dense(1, name="b")])
    assert model.get_layer("b") is model.get_layer(index=1) is model.get_layer(index=-1)
    with pytest.raises(ValueError, match=r"name='c'. Its layers are \['a', 'b'\]"):
        model.get_layer("c")
    with pytest.raises(ValueError, match="has 2 layers. Received: index=2"):
        model.get_layer(index=2)
    for arguments in ({}, {"name": "a", "index": 0}):
        with pytest.raises(ValueError, match="either the name or the index"):
            model.get_layer(**arguments)


def test_wrong_uses_are_errors():
    with pytest.raises(TypeError, match="Received: 1 positional argument"):
        keras.Model(3)
    with pytest.raises(AttributeError, match="`layers` .* cannot be set"):
        Net().layers = []
    with pytest.raises(NotImplementedError, match="must define a `call` method"):
        keras.Model()(BATCH)
    with pytest.raises(ValueError, match="no such keyword arguments"):
        keras.Model(unit=3)


def test_kinds_of_models():
    x = keras.Input((3,))
    for model in (keras.Model(x, x + 1), keras.Model(inputs=x, outputs=x + 1), keras.Sequential()):
        assert isinstance(model, keras.Model) and isinstance(model, nn.Module)
    assert type(keras.Model(x, outputs=x + 1)).__name__ == "Functional"
    assert type(Net()) is Net


def test_config_of_a_subclass_and_json():
    model = Net(units=5)
    config = json.loads(model.to_json(indent=2))
    assert config["class_name"] == "Net" and config["config"]["units"] == 5
    again = keras.models.model_from_json(model.to_json(), custom_objects={"Net": Net})
    assert again(BATCH).shape == (4, 5)
    with pytest.raises(ValueError, match="'Net'.*custom_objects"):
        keras.models.model_from_json(model.to_json())


def test_training_argument_and_mode():
    class Mode(keras.Model):
        def __init__(self):
            super().__init__()
            self.dropout = layers.Dropout(0.5)

        def call(self, x, training=None):
            return self.dropout(x), training

    model, ones = Mode(), torch.ones(1, 500)
    for training in (True, False, True):
        y, seen = model(ones, training=training)
        assert seen is training and bool((y == 0).any()) is training
    model.train()
    assert model(ones)[1] is True


def test_copies_of_a_trained_subclass_go_on_training():
    model = Net(1)
    model.compile(optimizer="adam", loss="mse")
    x, y = np.random.rand(8, 3).astype("float32"), np.ones((8, 1), "float32")
    model.fit(x, y, verbose=0)
    copied = copy.deepcopy(model)
    losses = [
        m.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"] for m in (model, copied)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
    for a, b in zip(model.weights, copied.weights, strict=True):
        torch.testing.assert_close(a.value, b.value)
        assert a.value.data_ptr() != b.value.data_ptr()
