"""Masking: mark the steps of a sequence that later layers skip."""

import torch

from torchkeras.core.serialization import deserialize_keras_object
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer


class Masking(Layer):
    """Masks the steps whose features all equal `mask_value`, and sets them to 0.

    The mask, False at such a step, rides on the output to the next layers.

    Args:
        mask_value: number, or a tensor that broadcasts to a step.

    Input shape: `(batch, steps, ..., features)`.
    Output shape: that of the input; the mask has it without the last axis.

    Example:

    >>> y = keras.layers.Masking()(torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]))
    >>> y._keras_mask
    tensor([[ True, False]])
    """

    keeps_shape = True
    keeps_dtype = True

    def __init__(self, mask_value=0.0, **kwargs):
        super().__init__(**kwargs)
        if isinstance(mask_value, dict):
            mask_value = deserialize_keras_object(mask_value)
        self.mask_value = mask_value
        self.supports_masking = True
        mark_built(self)

    def call(self, inputs):
        return torch.where(self.compute_mask(inputs).unsqueeze(-1), inputs, 0)

    def compute_mask(self, inputs, mask=None):
        value = self.mask_value
        if isinstance(value, torch.Tensor):
            value = value.to(inputs.device)
        return torch.ne(inputs, value).any(dim=-1)

    def get_config(self):
        return {**super().get_config(), "mask_value": self.mask_value}
