"""GlobalAveragePooling1D: the mean of each channel of sequences."""

import torch

from torchkeras.layers.pooling.base_global_pooling import BaseGlobalAveragePooling


class GlobalAveragePooling1D(BaseGlobalAveragePooling):
    """The mean over all steps, for each channel of sequences; steps left out do not count.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        keepdims: bool, whether the axis of steps stays, with size 1.

    Call arguments:
        inputs: tensor.
        mask: boolean tensor `(batch, steps)`, False for the steps to leave out; None for none. A
            sequence without a step that counts gives NaN, as in Keras.

    Input shape:
        `(batch, steps, channels)`, or `(batch, channels, steps)` with `"channels_first"`. Integers
        are computed in the compute dtype.

    Output shape:
        `(batch, channels)`; with `keepdims` `(batch, 1, channels)`, or `(batch, channels, 1)` with
        `"channels_first"`. It carries no mask.

    Source:
        Lin et al. 2014, arXiv:1312.4400, section 3.2.

    Example:

    >>> layer = keras.layers.GlobalAveragePooling1D()
    >>> layer(torch.tensor([[[1.0], [3.0], [9.0]]]), mask=torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """

    rank = 1
    _makes_masks = False

    def call(self, inputs, mask=None):
        if mask is None:
            return super().call(inputs)
        if not inputs.is_floating_point():  # integers, such as tokens, come as they are
            inputs = inputs.to(self._compute_dtype)
        axis = self._axes[0]
        mask = mask.to(torch.bool).unsqueeze(3 - axis)
        total = torch.where(mask, inputs, 0).sum(axis, self.keepdims)
        return total / mask.sum(axis, self.keepdims).to(total.dtype)

    def compute_mask(self, inputs, previous_mask=None):
        return None
