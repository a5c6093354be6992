"""AveragePooling2D: the mean of each window of images."""

import torch

from torchkeras.layers.pooling.base_pooling import BasePooling


class AveragePooling2D(BasePooling):
    """The mean of each window, for each channel of images.

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
        LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II.
        Keras on torch repeats the border into the mean where `"same"` adds an odd number of
        places; here no added place is counted, as in Keras on TensorFlow and JAX.

    Example:

    >>> keras.layers.AveragePooling2D(2, padding="same")(torch.ones(1, 7, 8, 3)).shape
    torch.Size([1, 4, 4, 3])
    """

    rank = 2

    def _pooled(self, inputs, padding, ceil_mode):
        return torch.nn.functional.avg_pool2d(
            inputs, self.pool_size, self.strides, padding, ceil_mode, False
        )
