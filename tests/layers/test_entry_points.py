"""`call` and `forward`: which one a call runs, and what names torch finds."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras import layers

X = torch.ones(2, 3)


class Diffusion(keras.Model):
    """A method `forward` of its own, beside `call`."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, kernel_initializer="ones")

    def call(self, x):
        return self.forward(self.dense(x), 2)

    def forward(self, x, t):
        return x * t


class HalfLayer(layers.Layer):
    def call(self, x):
        return x + 1

    def forward(self, x):
        return x * 100


class Below(HalfLayer):
    def call(self, x):
        return super().call(x) + self.forward(x)


class Helper:
    def forward(self, x):
        return x * 1000


class WithHelper(Helper, layers.Layer):
    def call(self, x):
        return self.forward(x) + 1


class HelperBelow(Below):
    def forward(self, x):
        return -x


class Doubled(layers.Dense):
    """Overrides `forward` of a layer of ours, as in torch."""

    def forward(self, x):
        return 2 * super().forward(x)


class Torch(keras.Model):
    """Written as for torch."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.dense = layers.Dense(1)

    def forward(self, x):
        return self.dense(self.linear(x))


class TorchBelow(Torch):
    def forward(self, x):
        return super().forward(x) + 1


class CallBelow(Torch):
    def call(self, x):
        return super().forward(x) + 2


def test_call_runs_where_there_is_a_method_forward_too():
    assert Diffusion()(X).tolist() == [[6.0] * 3] * 2
    assert HalfLayer()(X).tolist() == [[2.0] * 3] * 2
    assert Below()(X).tolist() == [[102.0] * 3] * 2
    assert WithHelper()(X).tolist() == [[1001.0] * 3] * 2
    assert HelperBelow()(X).tolist() == [[1.0] * 3] * 2
    assert Doubled(2, kernel_initializer="ones")(X).tolist() == [[6.0] * 2] * 2
    assert HalfLayer().forward(3) == 300
    layer = nn.Sequential(HalfLayer())
    assert layer(X).tolist() == [[2.0] * 3] * 2
    assert pickle.loads(pickle.dumps(HalfLayer()))(X).tolist() == [[2.0] * 3] * 2
    assert copy.deepcopy(layer)(X).tolist() == [[2.0] * 3] * 2


def test_a_model_with_a_method_forward_trains_and_takes_symbols():
    model = Diffusion()
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    inputs = keras.Input((3,))
    assert keras.Model(inputs, Diffusion()(inputs))(X).shape == (2, 3)
    assert model.predict(X, verbose=0).shape == (2, 3)


def test_hooks_run_around_call_and_not_around_forward():
    model, seen = Diffusion(), []
    model.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    model.register_forward_hook(lambda module, args, y: y + 1)
    assert model(X).tolist() == [[7.0] * 3] * 2 and seen == [X.shape]
    assert model.forward(3, 4) == 12 and "forward" not in model.__dict__


def test_such_models_compile():
    model = Diffusion()
    want = model(X)
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(X), want)
    outer = keras.Sequential([model])
    outer(X)
    torch.testing.assert_close(torch.compile(outer, backend="eager", fullgraph=True)(X), want)


def test_forward_alone_is_call():
    model = Torch()
    y = model(X)
    want = model.linear(X) @ model.dense.kernel + model.dense.bias
    torch.testing.assert_close(y, want.detach())
    assert model.built and len(model.weights) == 4
    below, call = TorchBelow(), CallBelow()
    for other, more in ((below, 1), (call, 2)):
        other(X)
        other.load_state_dict(model.state_dict())
        torch.testing.assert_close(other(X), y + more)


@pytest.mark.parametrize("cls", [Torch, TorchBelow, CallBelow])
def test_a_model_with_forward_alone_trains(cls):
    model = cls()
    model.compile("sgd", "mse")
    history = model.fit(X, torch.ones(2, 1), epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    inputs = keras.Input((3,))
    outputs = keras.Model(inputs, model(inputs))(X)
    torch.testing.assert_close(outputs, model(X))
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(X), outputs)


class TwoNames(layers.Layer):
    def call(self, x, scale=None, training=False):
        return x if scale is None else x * scale


def sequential():
    return keras.Sequential([keras.Input((3,), name="x"), layers.Dense(2)])


def functional():
    model = sequential()
    return keras.Model(model.inputs, model.outputs)


def built(layer):
    layer(X)
    return layer


MAKERS = {
    "dense": (lambda: built(layers.Dense(2)), "inputs"),
    "own": (lambda: built(TwoNames()), "x"),
    "sequential": (sequential, "inputs"),
    "functional": (lambda: functional(), "inputs"),
    "subclassed": (lambda: built(Torch()), "x"),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("kind", MAKERS)
def test_export_with_dynamic_sizes_by_place_and_by_name(kind, strict):
    make, name = MAKERS[kind]
    layer = make()
    sizes = {0: torch.export.Dim.AUTO}
    for dynamic in ((sizes,), [sizes], {name: sizes}):
        exported = torch.export.export(layer, (X,), dynamic_shapes=dynamic, strict=strict)
        x = torch.randn(7, 3)
        torch.testing.assert_close(exported.module()(x), layer(x))
    exported = torch.export.export(layer, (), {name: X}, dynamic_shapes={name: sizes})
    torch.testing.assert_close(exported.module()(**{name: x}), layer(x))


def test_forward_tells_the_names_of_call():
    assert list(inspect.signature(TwoNames().forward).parameters) == ["x", "scale", "training"]
    assert list(inspect.signature(layers.Dense(2).forward).parameters) == ["inputs"]
    assert list(inspect.signature(Torch().forward).parameters) == ["x"]


def two_inputs(struct=list):
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    inputs = {"a": a, "b": b} if struct is dict else struct([a, b])
    return keras.Model(inputs, layers.Subtract()([a, b]))


@pytest.mark.parametrize("struct", [list, tuple, dict])
def test_functional_models_take_inputs_by_name(struct):
    model = two_inputs(struct)
    torch.testing.assert_close(model(b=X, a=5 * X), 4 * X)
    torch.testing.assert_close(model(**{"a": X, "b": X}, training=True), 0 * X)
    torch.testing.assert_close(model(a=np.ones((2, 3)), b=X), 0 * X)
    assert sequential()(x=X).shape == (2, 2)
    assert model(a=keras.Input((3,)), b=keras.Input((3,))).shape == (None, 3)
    with pytest.raises(ValueError, match=r"expects the inputs \['a', 'b'\].*missing: \['b'\]"):
        model(a=X)
    for wrong in ({}, {"a": X, "b": X, "c": X}, {"training": True}):
        with pytest.raises(TypeError, match=r"by their names, \['a', 'b'\]. Received"):
            model(**wrong)
    with pytest.raises(TypeError, match="by their names"):
        sequential()(y=X)


def test_export_of_a_model_called_by_names():
    model = two_inputs()
    exported = torch.export.export(model, (), {"inputs": [X, 2 * X]})
    torch.testing.assert_close(exported.module()(inputs=[X, 3 * X]), -2 * X)
