"""Cropping2D: images without their ends."""

from torchkeras.layers.reshaping.base_cropping import BaseCropping


class Cropping2D(BaseCropping):
    """Cuts pixels off the ends of images. The output is a view, not a copy.

    Args:
        cropping: int of at least 0 for all sides; two, for height and width; or two
            pairs, for top and bottom, and for left and right, in pixels.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Input shape:
        `(batch, height, width, channels)`; `"channels_first"` has the channels on axis 1.

    Output shape:
        `(batch, new_height, new_width, channels)`, each axis shorter by what is cut off.

    Raises:
        ValueError: an argument is out of its range; nothing is left of an axis.

    Example:

    >>> keras.layers.Cropping2D(((1, 2), 1))(torch.ones(1, 5, 6, 3)).shape
    torch.Size([1, 2, 4, 3])
    """

    rank = 2

    def __init__(self, cropping=0, data_format=None, **kwargs):
        super().__init__(cropping, data_format, **kwargs)
