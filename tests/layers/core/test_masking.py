import pytest
import torch

import torchkeras as keras
from torchkeras import layers


def test_steps_that_equal_the_value_are_masked_and_set_to_zero():
    x = torch.tensor([[[1.0, 5.0], [5.0, 5.0], [5.0, 1.0]]])
    y = layers.Masking(mask_value=5.0)(x)
    assert y._keras_mask.tolist() == [[True, False, True]]
    assert y.tolist() == [[[1.0, 5.0], [0.0, 0.0], [5.0, 1.0]]]


def test_mask_travels_through_layers_that_support_it_and_symbols():
    x = torch.tensor([[[1.0], [0.0]]])
    y = layers.Dropout(0.5)(layers.Dense(2, activation="relu")(layers.Masking()(x)))
    assert y._keras_mask.tolist() == [[True, False]]
    symbol = layers.Identity()(layers.Dense(2)(layers.Masking()(keras.Input((4, 3)))))
    assert symbol._keras_mask.shape == (None, 4)
    with pytest.warns(UserWarning, match="does not support masking"):
        assert layers.Flatten()(symbol)._keras_mask is None


def test_tensor_as_value_survives_its_config():
    layer = layers.Masking(mask_value=torch.tensor([1.0, 2.0]))
    config = keras.layers.serialize(layer)
    again = keras.layers.deserialize(config)
    x = torch.tensor([[[1.0, 2.0], [2.0, 1.0]]])
    assert again(x)._keras_mask.tolist() == [[False, True]]
