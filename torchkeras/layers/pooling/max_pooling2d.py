"""MaxPooling2D: the largest value of each window of images."""

from torchkeras.kernels.max_pool import max_pool
from torchkeras.layers.pooling.base_pooling import BasePooling


class MaxPooling2D(BasePooling):
    """The largest value of each window, for each channel of images.

    Args:
        pool_size: int of at least 1, or two for height and width, size of the window in pixels.
        strides: int of at least 1, or two, distance of the windows in pixels; None for `pool_size`.
        padding: `"valid"` for windows inside the input alone, or `"same"` for
            `ceil(size / stride)` windows, which may reach past the ends, at the far end by one
            more where the number is odd. Places past the ends count for nothing.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `"channels_first"`. Integers are computed in the compute dtype.

    Output shape:
        `(batch, new_height, new_width, channels)`, or
        `(batch, channels, new_height, new_width)` with `"channels_first"`. A size `n`
        becomes `ceil(n / stride)` with `"same"`, else `floor((n - pool_size) / stride) + 1`.

    Raises:
        ValueError: an argument is out of its range; the input is smaller than the window and
            `padding` is `"valid"`.

    Source:
        Riesenhuber & Poggio 1999, "Hierarchical models of object recognition in cortex".

    Example:

    >>> keras.layers.MaxPooling2D(2, padding="same")(torch.ones(1, 7, 8, 3)).shape
    torch.Size([1, 4, 4, 3])
    """

    rank = 2

    def _pooled(self, inputs, padding, ceil_mode):
        return max_pool(inputs, self.pool_size, self.strides, padding, ceil_mode)
