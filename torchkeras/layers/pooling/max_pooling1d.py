"""MaxPooling1D: the largest value of each window of sequences."""

from torchkeras.kernels.max_pool import max_pool
from torchkeras.layers.pooling.base_pooling import BasePooling


class MaxPooling1D(BasePooling):
    """The largest value of each window, for each channel of sequences.

    Args:
        pool_size: int of at least 1, or a tuple of one, size of the window in steps.
        strides: int of at least 1, or a tuple of one, distance of the windows in steps; None for
            `pool_size`.
        padding: `"valid"` for windows inside the input alone, or `"same"` for
            `ceil(size / stride)` windows, which may reach past the ends, at the far end by one
            more where the number is odd. Places past the ends count for nothing.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Input shape:
        `(batch, steps, channels)`, or `(batch, channels, steps)` with
        `"channels_first"`. Integers are computed in the compute dtype.

    Output shape:
        `(batch, new_steps, channels)`, or
        `(batch, channels, new_steps)` with `"channels_first"`. A size `n`
        becomes `ceil(n / stride)` with `"same"`, else `floor((n - pool_size) / stride) + 1`.

    Raises:
        ValueError: an argument is out of its range; the input is smaller than the window and
            `padding` is `"valid"`.

    Source:
        Riesenhuber & Poggio 1999, "Hierarchical models of object recognition in cortex".

    Example:

    >>> keras.layers.MaxPooling1D(2, padding="same")(torch.ones(1, 7, 3)).shape
    torch.Size([1, 4, 3])
    """

    rank = 1

    def _pooled(self, inputs, padding, ceil_mode):
        return max_pool(inputs, self.pool_size, self.strides, padding, ceil_mode)
