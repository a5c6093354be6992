import numpy as np
import torch

import torchkeras as keras
from torchkeras import layers


def test_bytes_to_a_range():
    layer = layers.Rescaling(1 / 255)
    y = layer(torch.tensor([[0, 51, 255]], dtype=torch.uint8))
    torch.testing.assert_close(y, torch.tensor([[0.0, 0.2, 1.0]]))
    assert layer(keras.Input((3,), dtype="uint8")).dtype == "float32"


def test_one_value_a_channel_in_both_layouts():
    scale, offset = [1.0, 2.0, 3.0], np.array([0.0, 1.0, -1.0])
    x = torch.randn(2, 4, 5, 3)
    expected = x * torch.tensor(scale) + torch.tensor([0.0, 1.0, -1.0])
    layer = layers.Rescaling(scale, offset)
    torch.testing.assert_close(layer(x), expected)
    keras.config.set_image_data_format("channels_first")
    torch.testing.assert_close(layer(x.movedim(-1, 1)), expected.movedim(-1, 1))


def test_arrays_survive_the_config():
    layer = layers.Rescaling(np.array([1.0, 2.0]), offset=[0.5, 0.0])
    again = layers.deserialize(layers.serialize(layer))
    x = torch.ones(1, 2)
    assert again(x).tolist() == layer(x).tolist() == [[1.5, 2.0]]
