"""Multiply: the product of tensors."""

import functools

import torch

from torchkeras.layers.merging.base_merge import Merge, step_mask


class Multiply(Merge):
    """Multiplies tensors element by element.

    A masked element counts as 1, and the product is 0 where all are masked.

    Input shape: list of shapes `(batch, ...)` that broadcast after the batch; tensors
        of lower rank gain axes of size 1 after the batch.
    Output shape: `(batch, ...)`, broadcast.

    Raises:
        ValueError: the input is no list, or the shapes do not broadcast.

    Example:

    >>> keras.layers.Multiply()([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])])
    tensor([3., 0.])
    """

    def _merge_function(self, inputs):
        masks = [step_mask(x) for x in inputs]
        product = None
        for x, mask in zip(inputs, masks, strict=True):
            if mask is not None:
                x = torch.where(mask, x, 1)  # a masked element leaves the others' product alone
            product = x if product is None else product * x
        if all(mask is not None for mask in masks):
            product = torch.where(functools.reduce(torch.logical_or, masks), product, 0)
        return product


def multiply(inputs, **kwargs):
    """Product of tensors; see `keras.layers.Multiply`.

    Args:
        inputs: list of tensors.
        **kwargs: arguments of the layer, such as `name`.

    Example:

    >>> keras.layers.multiply([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])])
    tensor([3., 0.])
    """
    return Multiply(**kwargs)(inputs)
