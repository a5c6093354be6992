"""BaseGlobalPooling: the body of the layers that pool all places of an input."""

from torchkeras.core import config
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer
from torchkeras.layers.spatial import channel_axis, first_spatial_axis, spatial_sizes, with_sizes


class BaseGlobalPooling(Layer):
    """Pooling of whole inputs; a subclass sets `rank`, says `call`, and is documented."""

    rank = None  # number of spatial axes

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self.rank + 2)
        first = first_spatial_axis(self.data_format)
        self._axes = tuple(range(first, first + self.rank))
        mark_built(self)

    def compute_output_shape(self, input_shape):
        spatial_sizes(self, self.rank, input_shape)  # refuses another rank
        channels = input_shape[channel_axis(self.data_format)]
        sizes = (1,) * self.rank if self.keepdims else ()
        return with_sizes(input_shape, sizes, channels, self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "data_format": self.data_format,
            "keepdims": self.keepdims,
        }


class BaseGlobalMaxPooling(BaseGlobalPooling):
    """The largest value of each channel."""

    keeps_dtype = True

    def call(self, inputs):
        return inputs.amax(self._axes, self.keepdims)


class BaseGlobalAveragePooling(BaseGlobalPooling):
    """The mean of each channel."""

    def call(self, inputs):
        if not inputs.is_floating_point():  # integers, such as pixels, come as they are
            inputs = inputs.to(self._compute_dtype)
        return inputs.mean(self._axes, self.keepdims)
