"""Rescaling: a linear change of range, as from bytes to [0, 1]."""

import torch

from torchkeras.core import config
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.layer import Layer


class Rescaling(Layer):
    """`inputs * scale + offset`, in training and at inference.

    Args:
        scale: float, or a list or array that broadcasts to the input, as one value a channel.
            With `keras.config.image_data_format()` `"channels_first"` the values belong to axis 1.
        offset: float, or a list or array likewise.

    Input shape: any, of integers or floats.
    Output shape: that of the input, in the layer's compute dtype.

    Example:

    >>> keras.layers.Rescaling(1 / 127.5, offset=-1)(torch.tensor([0, 255], dtype=torch.uint8))
    tensor([-1.,  1.])
    """

    keeps_shape = True

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.supports_masking = True

    def call(self, inputs):
        inputs = inputs.to(to_torch_dtype(self.compute_dtype))
        return inputs * _factor(self.scale, inputs) + _factor(self.offset, inputs)

    def get_config(self):
        return {
            **super().get_config(),
            "scale": serialize_keras_object(self.scale),
            "offset": serialize_keras_object(self.offset),
        }

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described."""
        config = dict(config)
        for key in ("scale", "offset"):
            config[key] = deserialize_keras_object(config[key])
        return super().from_config(config)


def _factor(value, x):
    """`value` as a Python number, or as a tensor on the device of `x` in the layout of images."""
    if isinstance(value, (int, float)):
        return value
    value = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    if value.dim() == 1 and config.image_data_format() == "channels_first":
        value = value.reshape(-1, *[1] * (x.dim() - 2))
    return value
