"""BaseCropping: the body of Cropping1D, Cropping2D and Cropping3D."""

from torchkeras.core import config
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer
from torchkeras.layers.spatial import (
    channel_axis,
    first_spatial_axis,
    sides_argument,
    spatial_sizes,
    with_sizes,
)


class BaseCropping(Layer):
    """Cuts off the ends of `rank` axes; a subclass sets `rank`, and is documented."""

    rank = None  # number of spatial axes
    keeps_dtype = True

    def __init__(self, cropping, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        sides = sides_argument(cropping, self.rank, "cropping")
        self.cropping = sides[0] if self.rank == 1 else sides
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self._sides = sides
        whole = (slice(None),) * first_spatial_axis(self.data_format)
        self._inside = (*whole, *(slice(before, -after or None) for before, after in sides))

    def call(self, inputs):
        outputs = inputs[self._inside]
        if not outputs.numel():
            self.compute_output_shape(tuple(inputs.shape))  # says so where nothing is left
        return outputs

    def compute_output_shape(self, input_shape):
        sizes = []
        for size, (before, after) in zip(
            spatial_sizes(self, self.rank, input_shape), self._sides, strict=True
        ):
            if size is not None:
                size -= before + after
                if size < 1:
                    raise ValueError(
                        f"Layer '{self.name}' must leave something of each axis. Received: "
                        f"input_shape={tuple(input_shape)}, cropping={self.cropping}. Cut off less."
                    )
            sizes.append(size)
        channels = input_shape[channel_axis(self.data_format)]
        return with_sizes(input_shape, sizes, channels, self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "cropping": self.cropping,
            "data_format": self.data_format,
        }
