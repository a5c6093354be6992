"""Maximum: the largest of several tensors, element by element."""

import torch

from torchkeras.layers.merging.base_merge import Merge, reduce_unmasked


class Maximum(Merge):
    """Takes the largest of the tensors, element by element.

    Where some of them are masked, the others decide.

    Input shape: list of shapes `(batch, ...)` that broadcast after the batch; tensors
        of lower rank gain axes of size 1 after the batch.
    Output shape: `(batch, ...)`, broadcast.

    Raises:
        ValueError: the input is no list, or the shapes do not broadcast.

    Example:

    >>> keras.layers.Maximum()([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])])
    tensor([3., 2.])
    """

    def _merge_function(self, inputs):
        return reduce_unmasked(torch.maximum, inputs)


def maximum(inputs, **kwargs):
    """Largest of tensors, element by element; see `keras.layers.Maximum`.

    Args:
        inputs: list of tensors.
        **kwargs: arguments of the layer, such as `name`.

    Example:

    >>> keras.layers.maximum([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])])
    tensor([3., 2.])
    """
    return Maximum(**kwargs)(inputs)
