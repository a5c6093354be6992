"""Plain torch modules in a mixed model compute in its compute dtype, as under torch.autocast."""

import numpy as np
import pytest
import torch

import torchkeras as keras

X = torch.linspace(-1, 1, 24).reshape(6, 4)


class Subclass(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(4, activation="relu")
        self.foreign = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh())
        self.norm = torch.nn.LayerNorm(5)

    def call(self, x):
        return self.norm(self.foreign(self.first(x)))


def in_sequence(dtype):
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(4, dtype=dtype),
            keras.layers.TorchModuleWrapper(torch.nn.Linear(4, 3), dtype=dtype),
            keras.layers.Dense(2, dtype=dtype),
        ]
    )


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_values_are_those_under_autocast(name):
    dtype = getattr(torch, name.removeprefix("mixed_"))
    linear = torch.nn.Linear(4, 3)
    layer = keras.layers.TorchModuleWrapper(linear, dtype=name)
    with torch.autocast("cpu", dtype):
        expected = linear(X.to(dtype))
    for _ in range(2):  # also where the layer has found its fast way
        assert torch.equal(layer(X), expected) and expected.dtype is dtype
    assert layer(keras.KerasTensor((None, 4))).dtype == str(dtype).removeprefix("torch.")
    layer(X).float().sum().backward()
    assert linear.weight.grad.dtype is torch.float32


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("make", [in_sequence, lambda name: Subclass(dtype=name)])
def test_models_train(make, name):
    model = make(name)
    size = model(X).shape[1]
    model.compile("adam", "mse")
    before = [np.copy(weight) for weight in model.get_weights()]
    model.fit(X, torch.ones(6, size), epochs=2, verbose=0)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert all(weight.dtype == "float32" for weight in model.weights)
    assert not torch.is_autocast_enabled("cpu")


def test_a_layer_of_one_dtype_is_not_under_autocast():
    linear = torch.nn.Linear(4, 3)
    assert keras.layers.TorchModuleWrapper(linear, dtype="float32")(X).dtype is torch.float32
