"""Cropping3D: volumes without their ends."""

from torchkeras.layers.reshaping.base_cropping import BaseCropping


class Cropping3D(BaseCropping):
    """Cuts voxels off the ends of volumes. The output is a view, not a copy.

    Args:
        cropping: int of at least 0 for all sides; three, one for each axis; or three
            pairs, for the two ends of each axis, in voxels.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Input shape:
        `(batch, depth, height, width, channels)`; `"channels_first"` has the channels on axis 1.

    Output shape:
        `(batch, new_depth, new_height, new_width, channels)`, each axis shorter by what is cut off.

    Raises:
        ValueError: an argument is out of its range; nothing is left of an axis.

    Example:

    >>> keras.layers.Cropping3D(((1, 2), 1, 0))(torch.ones(1, 5, 6, 7, 3)).shape
    torch.Size([1, 2, 4, 7, 3])
    """

    rank = 3

    def __init__(self, cropping=1, data_format=None, **kwargs):
        super().__init__(cropping, data_format, **kwargs)
