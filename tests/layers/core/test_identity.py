import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.core.keras_tensor import KerasTensor


def test_returns_the_very_tensors():
    x = {"a": torch.ones(2), "b": [torch.tensor([1, 2])]}
    y = layers.Identity()(x)
    assert y["a"] is x["a"] and y["b"][0] is x["b"][0]


def test_symbols_keep_integer_dtypes_and_floats_take_the_compute_dtype():
    assert layers.Identity()(keras.Input((2,), dtype="int32")).dtype == "int32"
    layer = layers.Identity(dtype="bfloat16")
    assert layer(KerasTensor((None, 2), "float32")).dtype == "bfloat16"
    assert layer(torch.ones(2)).dtype is torch.bfloat16


def test_a_subclass_with_a_build_is_built_at_its_first_call():
    class Scaled(layers.Identity):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    layer = Scaled()
    assert not layer.built
    layer(torch.ones(2))
    assert len(layer.weights) == 1
