"""GlobalMaxPooling3D: the largest value of each channel of volumes."""

from torchkeras.layers.pooling.base_global_pooling import BaseGlobalMaxPooling


class GlobalMaxPooling3D(BaseGlobalMaxPooling):
    """The largest value over all voxels, for each channel of volumes.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        keepdims: bool, whether the pooled axes stay, with size 1.

    Input shape:
        `(batch, depth, height, width, channels)`, or `(batch, channels, depth, height, width)` with
        `"channels_first"`. Integers stay integers.

    Output shape:
        `(batch, channels)`; with `keepdims` `(batch, 1, 1, 1, channels)`, or
        `(batch, channels, 1, 1, 1)` with `"channels_first"`.

    Source:
        Lin et al. 2014, arXiv:1312.4400, section 3.2, with the mean.

    Example:

    >>> keras.layers.GlobalMaxPooling3D()(torch.ones(1, 7, 8, 9, 3)).shape
    torch.Size([1, 3])
    """

    rank = 3
