"""ZeroPadding2D: images with zeros at their ends."""

from torchkeras.layers.reshaping.base_zero_padding import BaseZeroPadding


class ZeroPadding2D(BaseZeroPadding):
    """Adds zeros to the ends of images.

    Args:
        padding: int of at least 0 for all sides; two, for height and width; or two
            pairs, for top and bottom, and for left and right, in pixels.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Input shape:
        `(batch, height, width, channels)`; `"channels_first"` has the channels on axis 1.

    Output shape:
        `(batch, new_height, new_width, channels)`, each axis longer by what is added.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> keras.layers.ZeroPadding2D(((1, 2), 1))(torch.ones(1, 5, 6, 3)).shape
    torch.Size([1, 8, 8, 3])
    """

    rank = 2
