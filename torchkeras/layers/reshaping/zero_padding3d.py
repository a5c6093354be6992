"""ZeroPadding3D: volumes with zeros at their ends."""

from torchkeras.layers.reshaping.base_zero_padding import BaseZeroPadding


class ZeroPadding3D(BaseZeroPadding):
    """Adds zeros to the ends of volumes.

    Args:
        padding: int of at least 0 for all sides; three, one for each axis; or three
            pairs, for the two ends of each axis, in voxels.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Input shape:
        `(batch, depth, height, width, channels)`; `"channels_first"` has the channels on axis 1.

    Output shape:
        `(batch, new_depth, new_height, new_width, channels)`, each axis longer by what is added.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> keras.layers.ZeroPadding3D(((1, 2), 1, 0))(torch.ones(1, 5, 6, 7, 3)).shape
    torch.Size([1, 8, 8, 7, 3])
    """

    rank = 3
