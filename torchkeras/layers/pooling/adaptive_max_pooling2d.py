"""AdaptiveMaxPooling2D: the largest values of as many windows of images as asked for."""

import torch

from torchkeras.layers.pooling.base_adaptive_pooling import BaseAdaptivePooling


class AdaptiveMaxPooling2D(BaseAdaptivePooling):
    """The largest values of windows that divide images into `output_size` parts.

    Each channel is pooled by itself. Window `i` of `m` on an axis of size `n` holds the pixels
    from `floor(i * n / m)` to `ceil((i + 1) * n / m)`, that one left out: neighbours may share
    pixels.

    Args:
        output_size: int of at least 1, or two for height and width.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `"channels_first"`. Integers are computed in the compute dtype.

    Output shape:
        `(batch, new_height, new_width, channels)`, or
        `(batch, channels, new_height, new_width)` with `"channels_first"`, of
        the sizes asked for.

    Raises:
        TypeError: `output_size` is no int, nor 2 of them.
        ValueError: a size is below 1; `data_format` is unknown.

    Source:
        He et al. 2014, arXiv:1406.4729, section 2.2, with the windows of torch.

    Example:

    >>> keras.layers.AdaptiveMaxPooling2D(3)(torch.ones(1, 7, 8, 3)).shape
    torch.Size([1, 3, 3, 3])
    """

    rank = 2

    def _pooled(self, inputs):
        return torch.nn.functional.adaptive_max_pool2d(inputs, self.output_size)
