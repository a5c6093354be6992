"""GlobalMaxPooling1D: the largest value of each channel of sequences."""

from torchkeras.layers.pooling.base_global_pooling import BaseGlobalMaxPooling


class GlobalMaxPooling1D(BaseGlobalMaxPooling):
    """The largest value over all steps, for each channel of sequences.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        keepdims: bool, whether the pooled axes stay, with size 1.

    Input shape:
        `(batch, steps, channels)`, or `(batch, channels, steps)` with
        `"channels_first"`. Integers stay integers.

    Output shape:
        `(batch, channels)`; with `keepdims` `(batch, 1, channels)`, or
        `(batch, channels, 1)` with `"channels_first"`.

    Source:
        Lin et al. 2014, arXiv:1312.4400, section 3.2, with the mean.

    Example:

    >>> keras.layers.GlobalMaxPooling1D()(torch.ones(1, 7, 3)).shape
    torch.Size([1, 3])
    """

    rank = 1
