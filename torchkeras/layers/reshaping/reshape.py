"""Reshape: the same elements in another shape."""

import math

from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer


class Reshape(Layer):
    """Gives each sample another shape.

    Args:
        target_shape: tuple of ints, the shape without the batch. One of them may be -1: it is
            found from the number of elements.

    Input shape: `(batch, ...)`, as many elements a sample as the target shape.
    Output shape: `(batch, *target_shape)`.

    Raises:
        ValueError: `target_shape` holds a size below -1 or two of -1, or does not have the
            number of elements of the input.

    Example:

    >>> keras.layers.Reshape((2, -1))(torch.ones(5, 6)).shape
    torch.Size([5, 2, 3])
    """

    keeps_dtype = True

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        target_shape = tuple(target_shape)
        if any(size < -1 for size in target_shape) or target_shape.count(-1) > 1:
            raise ValueError(
                "`target_shape` must hold sizes of 0 or more, and -1 at most once. Received: "
                f"target_shape={target_shape}."
            )
        self.target_shape = target_shape
        self._known_size = math.prod([size for size in target_shape if size != -1])
        mark_built(self)

    def call(self, inputs):
        shape = inputs.shape
        return inputs.reshape(shape[0], *self._resolve(shape[1:]))

    def _resolve(self, sizes):
        """The target shape with a number for -1, given the sizes of a sample."""
        known, given = self._known_size, 1
        for size in sizes:
            given = given * size
        if -1 not in self.target_shape:
            if given == known:
                return self.target_shape
        elif known and given % known == 0:
            return tuple([given // known if size == -1 else size for size in self.target_shape])
        raise ValueError(
            f"Layer '{self.name}' expects samples whose number of elements fits target_shape="
            f"{self.target_shape}. Received: an input of shape (batch, "
            f"{', '.join(str(size) for size in sizes)}), {given} elements a sample."
        )

    def compute_output_shape(self, input_shape):
        sizes = input_shape[1:]
        if None in sizes:
            sizes = (None if size == -1 else size for size in self.target_shape)
            return (input_shape[0], *sizes)
        return (input_shape[0], *self._resolve(sizes))

    def get_config(self):
        return {**super().get_config(), "target_shape": self.target_shape}
