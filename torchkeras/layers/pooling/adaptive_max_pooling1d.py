"""AdaptiveMaxPooling1D: the largest values of as many windows of sequences as asked for."""

import torch

from torchkeras.layers.pooling.base_adaptive_pooling import BaseAdaptivePooling


class AdaptiveMaxPooling1D(BaseAdaptivePooling):
    """The largest values of windows that divide sequences into `output_size` parts.

    Each channel is pooled by itself. Window `i` of `m` on an axis of size `n` holds the steps
    from `floor(i * n / m)` to `ceil((i + 1) * n / m)`, that one left out: neighbours may share
    steps.

    Args:
        output_size: int of at least 1, or a tuple of one.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Input shape:
        `(batch, steps, channels)`, or `(batch, channels, steps)` with
        `"channels_first"`. Integers are computed in the compute dtype.

    Output shape:
        `(batch, new_steps, channels)`, or
        `(batch, channels, new_steps)` with `"channels_first"`, of
        the sizes asked for.

    Raises:
        TypeError: `output_size` is no int, tuple or list.
        ValueError: a tuple holds more than one; a size is below 1; `data_format` is unknown.

    Source:
        He et al. 2014, arXiv:1406.4729, section 2.2, with the windows of torch.

    Example:

    >>> keras.layers.AdaptiveMaxPooling1D(3)(torch.ones(1, 7, 3)).shape
    torch.Size([1, 3, 3])
    """

    rank = 1

    def _pooled(self, inputs):
        return torch.nn.functional.adaptive_max_pool1d(inputs, self.output_size)
