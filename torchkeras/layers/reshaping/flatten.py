"""Flatten: all axes but the batch as one."""

import math

from torchkeras.core import config
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer


class Flatten(Layer):
    """Joins all axes but the batch.

    Args:
        data_format: `"channels_last"`, `"channels_first"`, or None for
            `keras.config.image_data_format()`. With `"channels_first"` axis 1 is moved to the
            end first, so that the same features come in the same order.

    Input shape: `(batch, ...)`.
    Output shape: `(batch, product of the other sizes)`; `(batch, 1)` for an input `(batch,)`.

    Example:

    >>> keras.layers.Flatten()(torch.ones(2, 3, 4)).shape
    torch.Size([2, 12])
    """

    keeps_dtype = True

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs):
        if inputs.dim() == 1:
            return inputs.unsqueeze(1)
        if self.data_format == "channels_first" and inputs.dim() > 2:
            inputs = inputs.movedim(1, -1)
        return inputs.flatten(1)

    def compute_output_shape(self, input_shape):
        sizes = input_shape[1:]
        return (input_shape[0], None if None in sizes else math.prod(sizes))

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}
