"""BaseZeroPadding: the body of ZeroPadding1D, ZeroPadding2D and ZeroPadding3D."""

import torch

from torchkeras.core import config
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer
from torchkeras.layers.spatial import channel_axis, sides_argument, spatial_sizes, with_sizes


class BaseZeroPadding(Layer):
    """Zeros at the ends of `rank` axes; a subclass sets `rank`, and is documented."""

    rank = None  # number of spatial axes
    keeps_dtype = True

    def __init__(self, padding=1, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        sides = sides_argument(padding, self.rank, "padding")
        self.padding = sides[0] if self.rank == 1 else sides
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self._sides = sides
        # Torch counts from the last axis.
        around = [zeros for side in reversed(sides) for zeros in side]
        self._around = [0, 0, *around] if self.data_format == "channels_last" else around

    def call(self, inputs):
        return torch.nn.functional.pad(inputs, self._around)

    def compute_output_shape(self, input_shape):
        sizes = [
            None if size is None else size + before + after
            for size, (before, after) in zip(
                spatial_sizes(self, self.rank, input_shape), self._sides, strict=True
            )
        ]
        channels = input_shape[channel_axis(self.data_format)]
        return with_sizes(input_shape, sizes, channels, self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "padding": self.padding,
            "data_format": self.data_format,
        }
