"""GlobalAveragePooling2D: the mean of each channel of images."""

from torchkeras.layers.pooling.base_global_pooling import BaseGlobalAveragePooling


class GlobalAveragePooling2D(BaseGlobalAveragePooling):
    """The mean over all pixels, for each channel of images.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        keepdims: bool, whether the pooled axes stay, with size 1.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `"channels_first"`. Integers are computed in the compute dtype.

    Output shape:
        `(batch, channels)`; with `keepdims` `(batch, 1, 1, channels)`, or
        `(batch, channels, 1, 1)` with `"channels_first"`.

    Source:
        Lin et al. 2014, arXiv:1312.4400, section 3.2.

    Example:

    >>> keras.layers.GlobalAveragePooling2D()(torch.ones(1, 7, 8, 3)).shape
    torch.Size([1, 3])
    """

    rank = 2
