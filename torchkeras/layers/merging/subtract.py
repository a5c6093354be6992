"""Subtract: the difference of two tensors."""

from torchkeras.layers.merging.base_merge import Merge


class Subtract(Merge):
    """Subtracts the second of two tensors from the first, element by element.

    Input shape: list of two shapes `(batch, ...)` that broadcast after the batch; tensors
        of lower rank gain axes of size 1 after the batch.
    Output shape: `(batch, ...)`, broadcast.

    Raises:
        ValueError: the input is no list of two tensors, or the shapes do not broadcast.

    Example:

    >>> keras.layers.Subtract()([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])])
    tensor([-2.,  2.])
    """

    _inputs_required = 2

    def _merge_function(self, inputs):
        return inputs[0] - inputs[1]


def subtract(inputs, **kwargs):
    """First tensor less the second; see `keras.layers.Subtract`.

    Args:
        inputs: list of two tensors.
        **kwargs: arguments of the layer, such as `name`.

    Example:

    >>> keras.layers.subtract([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])])
    tensor([-2.,  2.])
    """
    return Subtract(**kwargs)(inputs)
