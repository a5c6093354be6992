"""Dot: products of samples summed over an axis of each."""

import torch

from torchkeras.layers.merging.base_merge import Merge


class Dot(Merge):
    """Multiplies two tensors sample by sample and sums over one axis of each.

    Args:
        axes: int, or tuple of two ints: the axis of the first and of the second tensor to sum
            over. 0, the batch, is not possible.
        normalize: bool, whether to scale both to length 1 along the axis first; the result is
            then the cosine of the angle between them.

    Input shape: list of two shapes `(batch, ...)`, equal in size on the axes.
    Output shape: the first without its axis, then the second without its axis and batch;
        `(batch, 1)` for two matrices.

    Raises:
        TypeError: `axes` is neither an int nor a tuple.
        ValueError: `axes` is no pair of ints, names the batch, or the sizes differ.

    Example:

    >>> x, y = torch.ones(1, 5, 2), torch.ones(1, 2, 5)
    >>> keras.layers.Dot(axes=(1, 2))([x, y])
    tensor([[[5., 5.],
             [5., 5.]]])
    """

    _inputs_required = 2

    _makes_masks = False

    def __init__(self, axes, normalize=False, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(axes, (int, list, tuple)):
            raise TypeError(
                f"`axes` must be an int or a tuple of two. Received: axes={axes!r} of type "
                f"{type(axes).__name__}."
            )
        if not isinstance(axes, int) and (
            len(axes) != 2 or not all(isinstance(axis, int) for axis in axes)
        ):
            raise ValueError(
                f"`axes` must be an int or a tuple of two ints. Received: axes={axes}."
            )
        self.axes = axes
        self.normalize = normalize

    def _axes_for(self, shapes):
        """The two axes counted from the front, checked against the shapes."""
        given = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        ranks = [len(shape) for shape in shapes]
        if min(ranks) < 2 or any(not -n <= a < n for a, n in zip(given, ranks, strict=True)):
            raise ValueError(
                f"Layer '{self.name}' expects two inputs of rank 2 or more that have axes="
                f"{self.axes}. Received: inputs of shapes {shapes[0]} and {shapes[1]}."
            )
        axes = [axis % rank for axis, rank in zip(given, ranks, strict=True)]
        if 0 in axes:
            raise ValueError(
                f"Layer '{self.name}' cannot sum over axis 0, the batch. Received: axes="
                f"{self.axes}. If the inputs have no batch, add it with keras.ops.expand_dims."
            )
        sizes = [shape[axis] for shape, axis in zip(shapes, axes, strict=True)]
        batches = {shape[0] for shape in shapes} - {None}
        if (None not in sizes and sizes[0] != sizes[1]) or len(batches) > 1:
            raise ValueError(
                f"Layer '{self.name}' expects inputs of one batch size, and of one size on the "
                f"axes {axes}. Received: incompatible inputs of shapes {shapes[0]} and {shapes[1]}."
            )
        return axes

    def call(self, inputs):
        if not isinstance(inputs, (list, tuple)):
            return super().call(inputs)  # the error
        x, y = inputs
        x_axis, y_axis = self._axes_for([tuple(x.shape), tuple(y.shape)])
        if self.normalize:
            x = torch.nn.functional.normalize(x, dim=x_axis)
            y = torch.nn.functional.normalize(y, dim=y_axis)
        x, y = x.movedim(x_axis, -1), y.movedim(y_axis, 1)
        shape = x.shape[:-1] + y.shape[2:]
        product = torch.bmm(x.flatten(1, -2) if x.dim() > 2 else x.unsqueeze(1), _as_batch(y))
        return product.reshape(shape if len(shape) > 1 else (*shape, 1))

    def compute_output_shape(self, input_shape):
        self._check_list(input_shape)
        x_shape, y_shape = (tuple(shape) for shape in input_shape)
        x_axis, y_axis = self._axes_for([x_shape, y_shape])
        batch = x_shape[0] if x_shape[0] is not None else y_shape[0]
        x_rest = [size for axis, size in enumerate(x_shape) if axis not in (0, x_axis)]
        y_rest = [size for axis, size in enumerate(y_shape) if axis not in (0, y_axis)]
        return (batch, *(x_rest + y_rest or [1]))

    def compute_mask(self, inputs, mask=None):
        return None

    def get_config(self):
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def _as_batch(y):
    return y.flatten(2) if y.dim() > 2 else y.unsqueeze(2)


def dot(inputs, axes=-1, **kwargs):
    """Products of samples summed over an axis of each; see `keras.layers.Dot`.

    Args:
        inputs: list of two tensors.
        axes: int, or tuple of two ints, the axes to sum over.
        **kwargs: arguments of the layer, such as `normalize` and `name`.

    Example:

    >>> keras.layers.dot([torch.ones(1, 3), torch.ones(1, 3)])
    tensor([[3.]])
    """
    return Dot(axes=axes, **kwargs)(inputs)
