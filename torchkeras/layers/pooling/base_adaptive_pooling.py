"""BaseAdaptivePooling: the body of the layers that pool to a given size."""

from torchkeras.core import config
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer
from torchkeras.layers.spatial import (
    TO_CHANNELS_FIRST,
    TO_CHANNELS_LAST,
    channel_axis,
    sizes_argument,
    spatial_sizes,
    with_sizes,
)


class BaseAdaptivePooling(Layer):
    """Pooling to `output_size`; a subclass sets `rank`, says `_pooled`, and is documented."""

    rank = None  # number of spatial axes

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(**kwargs)
        many = isinstance(output_size, (tuple, list)) and self.rank in (1, len(output_size))
        if not many and not isinstance(output_size, int):
            raise TypeError(
                f"`output_size` must be an int, or a tuple of {self.rank} ints. Received: "
                f"output_size={output_size!r} of type {type(output_size).__name__}."
            )
        self.output_size = sizes_argument(output_size, self.rank, "output_size")
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _pooled(self, inputs):
        """What torch makes of channels-first `inputs`."""
        raise NotImplementedError

    def call(self, inputs):
        rank = self.rank
        if not inputs.is_floating_point():  # integers, such as pixels, come as they are
            inputs = inputs.to(self._compute_dtype)
        if self.data_format == "channels_first":
            return self._pooled(inputs)
        inputs = inputs.permute(*TO_CHANNELS_FIRST[rank])
        return self._pooled(inputs).permute(*TO_CHANNELS_LAST[rank])

    def compute_output_shape(self, input_shape):
        spatial_sizes(self, self.rank, input_shape)  # refuses another rank
        channels = input_shape[channel_axis(self.data_format)]
        return with_sizes(input_shape, self.output_size, channels, self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "output_size": self.output_size,
            "data_format": self.data_format,
        }
