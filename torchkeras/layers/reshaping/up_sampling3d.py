"""UpSampling3D: each voxel of volumes repeated."""

from torchkeras.layers.reshaping.base_up_sampling import BaseUpSampling


class UpSampling3D(BaseUpSampling):
    """Repeats each voxel of volumes along each axis.

    Args:
        size: int of at least 1, or three for depth, height and width.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Input shape:
        `(batch, depth, height, width, channels)`; `"channels_first"` has the channels on axis 1.

    Output shape:
        `(batch, depth * size[0], height * size[1], width * size[2], channels)`.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> keras.layers.UpSampling3D((1, 2, 3))(torch.ones(1, 2, 2, 2, 3)).shape
    torch.Size([1, 2, 4, 6, 3])
    """

    rank = 3
