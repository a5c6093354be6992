"""Softmax: probabilities along one or more axes, as a layer."""

import torch

from torchkeras import activations
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer


class Softmax(Layer):
    """`exp(x) / sum(exp(x))` along an axis, over the positions that the mask keeps.

    Args:
        axis: int, or list of ints to normalize over several axes together.

    Call arguments:
        inputs: tensor of logits.
        mask: tensor that broadcasts to `inputs`: True, or above 0.5, where a position counts.
            The others get probability 0, also where a whole axis is masked. A mask that rides on
            the inputs, as Masking makes it, is one of steps: it has the leading axes.

    Input shape: any, floating point.
    Output shape: that of the input.

    Raises:
        ValueError: `mask` does not broadcast to the shape of `inputs`.

    Example:

    >>> layer = keras.layers.Softmax()
    >>> layer(torch.tensor([1.0, 1.0, 5.0]), mask=torch.tensor([True, True, False]))
    tensor([0.5000, 0.5000, 0.0000])
    """

    keeps_shape = True

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis
        self.supports_masking = True
        mark_built(self)

    def call(self, inputs, mask=None):
        if mask is not None:
            if mask is getattr(inputs, "_keras_mask", None) and mask.dim() < inputs.dim():
                # It rides on the inputs, as that of the steps: it has their leading axes.
                mask = mask.reshape(*mask.shape, *[1] * (inputs.dim() - mask.dim()))
            mask = self._check_mask(mask, inputs)
            # Finite, so that a row without any position gives no NaN, here or in its gradient.
            low = -3e4 if inputs.dtype is torch.float16 else -1e9
            inputs = torch.where(mask, inputs, low)
        axis = self.axis
        if isinstance(axis, (list, tuple)):
            axis = axis[0] if len(axis) == 1 else tuple(axis)
        if isinstance(axis, tuple):
            outputs = torch.exp(inputs - torch.logsumexp(inputs, dim=axis, keepdim=True))
        else:
            outputs = activations.softmax(inputs, axis=axis)
        return outputs if mask is None else torch.where(mask, outputs, 0.0)

    def _check_mask(self, mask, inputs):
        sizes = zip(mask.shape[::-1], inputs.shape[::-1], strict=False)
        if mask.dim() > inputs.dim() or any(m not in (1, n) for m, n in sizes):
            raise ValueError(
                f"The mask of layer '{self.name}' must broadcast to the inputs, and not have more "
                f"axes. Received: inputs of shape {tuple(inputs.shape)}, mask of shape "
                f"{tuple(mask.shape)}."
            )
        return mask if mask.dtype is torch.bool else mask > 0.5

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}
