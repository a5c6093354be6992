"""Minimum: the smallest of several tensors, element by element."""

import torch

from torchkeras.layers.merging.base_merge import Merge, reduce_unmasked


class Minimum(Merge):
    """Takes the smallest of the tensors, element by element.

    Where some of them are masked, the others decide.

    Input shape: list of shapes `(batch, ...)` that broadcast after the batch; tensors
        of lower rank gain axes of size 1 after the batch.
    Output shape: `(batch, ...)`, broadcast.

    Raises:
        ValueError: the input is no list, or the shapes do not broadcast.

    Example:

    >>> keras.layers.Minimum()([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])])
    tensor([1., 0.])
    """

    def _merge_function(self, inputs):
        return reduce_unmasked(torch.minimum, inputs)


def minimum(inputs, **kwargs):
    """Smallest of tensors, element by element; see `keras.layers.Minimum`.

    Args:
        inputs: list of tensors.
        **kwargs: arguments of the layer, such as `name`.

    Example:

    >>> keras.layers.minimum([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])])
    tensor([1., 0.])
    """
    return Minimum(**kwargs)(inputs)
