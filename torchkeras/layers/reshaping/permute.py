"""Permute: the axes of each sample in another order."""

from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer


class Permute(Layer):
    """Reorders the axes of each sample.

    Args:
        dims: tuple of ints, a permutation of 1, 2, ..., where 1 is the first axis after the
            batch: axis `i` of the output is axis `dims[i - 1]` of the input.

    Input shape: `(batch, ...)` of rank `len(dims) + 1`.
    Output shape: the sizes of the input in the new order.

    Raises:
        ValueError: `dims` is no permutation of 1, 2, ....

    Example:

    >>> keras.layers.Permute((2, 1))(torch.ones(5, 10, 64)).shape
    torch.Size([5, 64, 10])
    """

    keeps_dtype = True

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                "`dims` must hold each of 1, 2, ... once; the batch, axis 0, is left out. "
                f"Received: dims={dims}."
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs):
        return inputs.permute(0, *self.dims)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *(input_shape[dim] for dim in self.dims))

    def get_config(self):
        return {**super().get_config(), "dims": self.dims}
