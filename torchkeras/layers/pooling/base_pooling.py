"""BasePooling: the body of the layers that pool windows."""

from torchkeras.core import config
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer
from torchkeras.layers.spatial import (
    TO_CHANNELS_FIRST,
    TO_CHANNELS_LAST,
    channel_axis,
    choice_argument,
    sizes_argument,
    window_counts,
    with_sizes,
    zeros_around,
)


class BasePooling(Layer):
    """Pooling over `rank` axes; a subclass sets `rank`, says `_pooled`, and is documented."""

    rank = None  # number of spatial axes

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = sizes_argument(pool_size, self.rank, "pool_size")
        strides = self.pool_size if strides is None else strides
        self.strides = sizes_argument(strides, self.rank, "strides")
        self.padding = choice_argument(padding, "padding", ("valid", "same"))
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        mark_built(self)

    def _pooled(self, inputs, padding, ceil_mode):
        """What torch makes of channels-first `inputs`, `padding` left out on both sides."""
        raise NotImplementedError

    def call(self, inputs):
        rank = self.rank
        if not inputs.is_floating_point():  # integers, such as pixels, come as they are
            inputs = inputs.to(self._compute_dtype)
        channels_last = self.data_format == "channels_last"
        if channels_last:
            inputs = inputs.permute(*TO_CHANNELS_FIRST[rank])
        if self.padding == "same":
            outputs = self._pooled_same(inputs)
        else:
            try:
                outputs = self._pooled(inputs, 0, False)
            except RuntimeError:
                shape = inputs.movedim(1, -1).shape if channels_last else inputs.shape
                self.compute_output_shape(tuple(shape))  # says so where the window is too large
                raise
        return outputs.permute(*TO_CHANNELS_LAST[rank]) if channels_last else outputs

    def _pooled_same(self, inputs):
        # Torch takes the same padding at both ends. Where one more is needed at the end, its
        # `ceil_mode` lets the last window reach past the end; with strides of 1 that makes no
        # window, and we pad by one more at the start too, and leave the first window out.
        padding, doubled = [], []
        for axis, (size, window, stride) in enumerate(
            zip(inputs.shape[2:], self.pool_size, self.strides, strict=True), 2
        ):
            before, after = zeros_around(size, window, stride)
            if stride == 1 and before != after:
                doubled.append(axis)
                before = after
            padding.append(before)
        outputs = self._pooled(inputs, padding, True)
        for axis in doubled:
            outputs = outputs.narrow(axis, 1, outputs.shape[axis] - 1)
        return outputs

    def compute_output_shape(self, input_shape):
        counts = window_counts(
            self, input_shape, self.pool_size, self.strides, self.padding, "window"
        )
        channels = input_shape[channel_axis(self.data_format)]
        return with_sizes(input_shape, counts, channels, self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }
