"""MaxPooling3D: the largest value of each window of volumes."""

import torch

from torchkeras.layers.pooling.base_pooling import BasePooling


class MaxPooling3D(BasePooling):
    """The largest value of each window, for each channel of volumes.

    Args:
        pool_size: int of at least 1, or three for depth, height and width, size of the window in
            voxels.
        strides: int of at least 1, or three, distance of the windows in voxels; None for
            `pool_size`.
        padding: `"valid"` for windows inside the input alone, or `"same"` for
            `ceil(size / stride)` windows, which may reach past the ends, at the far end by one
            more where the number is odd. Places past the ends count for nothing.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Input shape:
        `(batch, depth, height, width, channels)`, or `(batch, channels, depth, height, width)` with
        `"channels_first"`. Integers are computed in the compute dtype.

    Output shape:
        `(batch, new_depth, new_height, new_width, channels)`, or
        `(batch, channels, new_depth, new_height, new_width)` with `"channels_first"`. A size `n`
        becomes `ceil(n / stride)` with `"same"`, else `floor((n - pool_size) / stride) + 1`.

    Raises:
        ValueError: an argument is out of its range; the input is smaller than the window and
            `padding` is `"valid"`.

    Source:
        Riesenhuber & Poggio 1999, "Hierarchical models of object recognition in cortex".

    Example:

    >>> keras.layers.MaxPooling3D(2, padding="same")(torch.ones(1, 7, 8, 9, 3)).shape
    torch.Size([1, 4, 4, 5, 3])
    """

    rank = 3

    def _pooled(self, inputs, padding, ceil_mode):
        return torch.max_pool3d(inputs, self.pool_size, self.strides, padding, 1, ceil_mode)
