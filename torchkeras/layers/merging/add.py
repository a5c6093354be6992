"""Add: the sum of tensors."""

from torchkeras.layers.merging.base_merge import Merge


class Add(Merge):
    """Adds tensors element by element.

    Input shape: list of shapes `(batch, ...)` that broadcast after the batch; tensors
        of lower rank gain axes of size 1 after the batch.
    Output shape: `(batch, ...)`, broadcast.

    Raises:
        ValueError: the input is no list, or the shapes do not broadcast.

    Example:

    >>> keras.layers.Add()([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])])
    tensor([4., 2.])
    """

    def _merge_function(self, inputs):
        total = inputs[0]
        for x in inputs[1:]:
            total = total + x
        return total


def add(inputs, **kwargs):
    """Sum of tensors; see `keras.layers.Add`.

    Args:
        inputs: list of tensors.
        **kwargs: arguments of the layer, such as `name`.

    Example:

    >>> keras.layers.add([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])])
    tensor([4., 2.])
    """
    return Add(**kwargs)(inputs)
