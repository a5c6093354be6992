"""AdaptiveAveragePooling3D: the means of as many windows of volumes as asked for."""

import torch

from torchkeras.layers.pooling.base_adaptive_pooling import BaseAdaptivePooling


class AdaptiveAveragePooling3D(BaseAdaptivePooling):
    """The means of windows that divide volumes into `output_size` parts.

    Each channel is pooled by itself. Window `i` of `m` on an axis of size `n` holds the voxels
    from `floor(i * n / m)` to `ceil((i + 1) * n / m)`, that one left out: neighbours may share
    voxels.

    Args:
        output_size: int of at least 1, or three for depth, height and width.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Input shape:
        `(batch, depth, height, width, channels)`, or `(batch, channels, depth, height, width)` with
        `"channels_first"`. Integers are computed in the compute dtype.

    Output shape:
        `(batch, new_depth, new_height, new_width, channels)`, or
        `(batch, channels, new_depth, new_height, new_width)` with `"channels_first"`, of
        the sizes asked for.

    Raises:
        TypeError: `output_size` is no int, nor 3 of them.
        ValueError: a size is below 1; `data_format` is unknown.

    Source:
        He et al. 2014, arXiv:1406.4729, section 2.2, with the windows of torch.

    Example:

    >>> keras.layers.AdaptiveAveragePooling3D(3)(torch.ones(1, 7, 8, 9, 3)).shape
    torch.Size([1, 3, 3, 3, 3])
    """

    rank = 3

    def _pooled(self, inputs):
        return torch.nn.functional.adaptive_avg_pool3d(inputs, self.output_size)
