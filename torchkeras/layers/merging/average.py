"""Average: the mean of tensors."""

from torchkeras.layers.merging.base_merge import Merge


class Average(Merge):
    """Averages tensors element by element.

    Input shape: list of shapes `(batch, ...)` that broadcast after the batch; tensors
        of lower rank gain axes of size 1 after the batch.
    Output shape: `(batch, ...)`, broadcast.

    Raises:
        ValueError: the input is no list, or the shapes do not broadcast.

    Example:

    >>> keras.layers.Average()([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])])
    tensor([2., 1.])
    """

    keeps_dtype = False  # a division makes floats of integers

    def _merge_function(self, inputs):
        total = inputs[0]
        for x in inputs[1:]:
            total = total + x
        return total / len(inputs)


def average(inputs, **kwargs):
    """Mean of tensors; see `keras.layers.Average`.

    Args:
        inputs: list of tensors.
        **kwargs: arguments of the layer, such as `name`.

    Example:

    >>> keras.layers.average([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])])
    tensor([2., 1.])
    """
    return Average(**kwargs)(inputs)
