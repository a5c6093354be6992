"""Where values stand: among others, among edges, in an order, in a shape."""

import math

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import beside, same_dtype_pair


@op(shape=rules.same, dtype="int32")
def digitize(x, bins):
    """Index of the bin that each element falls in, as `int32`.

    Args:
        x: tensor.
        bins: tensor of shape `(n,)`, the rising edges. Index 0 is below the first edge, `i` in
            [`bins[i - 1]`, `bins[i]`), `n` at the last edge and above.

    Example:

    >>> keras.ops.digitize(torch.tensor([0.5, 1.0, 5.0]), torch.tensor([1.0, 2.0]))
    tensor([0, 1, 2], dtype=torch.int32)
    """
    x = convert_to_tensor(x)
    x = x.byte() if x.dtype is torch.bool else x
    return torch.bucketize(x, beside(bins, x), out_int32=True, right=True)


@op(shape=rules.searchsorted, dtype="int32")
def searchsorted(sorted_sequence, values, side="left"):
    """Indices at which values would be put into a sorted sequence, as `int32`.

    Args:
        sorted_sequence: tensor of shape `(n,)`, rising.
        values: tensor.
        side: `"left"` for the place before equal elements, `"right"` for the one after.

    Output shape: that of `values`.

    Raises:
        ValueError: the sequence has more axes than one, or another `side`.

    Example:

    >>> keras.ops.searchsorted(torch.tensor([1, 2, 2, 3]), torch.tensor([2]), side="right")
    tensor([3], dtype=torch.int32)
    """
    rules.searchsorted(sorted_sequence, values, side)
    sequence, values = same_dtype_pair(sorted_sequence, values)
    if sequence.dtype is torch.bool:
        sequence, values = sequence.byte(), values.byte()
    # torch asks for contiguous rows, and takes no sequence of one row beside a tensor of shape ().
    found = torch.searchsorted(
        sequence.contiguous(), values.contiguous().flatten(), side=side, out_int32=True
    )
    return found.reshape(values.shape)


@op(shape=rules.same, dtype="bool")
def isin(x1, x2, assume_unique=False, invert=False):
    """Whether each element of `x1` is among the elements of `x2`, as booleans.

    Args:
        x1, x2: tensors or numbers; `x2` may have any shape.
        assume_unique: bool, whether neither holds an element twice, which may save time.
        invert: bool, whether to tell the opposite.

    Output shape: that of `x1`.

    Example:

    >>> keras.ops.isin(torch.tensor([1, 2, 3]), torch.tensor([3, 1]))
    tensor([ True, False,  True])
    """
    x1, x2 = same_dtype_pair(x1, x2)
    if x1.dtype is torch.bool:
        x1, x2 = x1.int(), x2.int()
    return torch.isin(x1, x2, assume_unique=assume_unique, invert=invert)


@op(shape=rules.argpartition, dtype="int32")
def argpartition(x, kth, axis=-1):
    """Indices that put the element of rank `kth` at its place, smaller ones before it.

    Args:
        x: tensor.
        kth: int, a rank along the axis; a negative one counts from the largest.
        axis: int, or None for the flattened tensor.

    Output shape: that of `x`, `int32`. Here the elements come out sorted altogether, which is
    one of the orders that are right.

    Raises:
        ValueError: `kth` is out of range.

    Example:

    >>> keras.ops.argpartition(torch.tensor([3, 1, 2]), 1)
    tensor([1, 2, 0], dtype=torch.int32)
    """
    x = convert_to_tensor(x)
    rules.argpartition(x, kth, axis)
    if axis is None:
        x, axis = x.flatten(), 0
    return torch.argsort(x, dim=axis, stable=True).to(torch.int32)


@op(shape=rules.unravel_index, dtype=rules.unraveled)
def unravel_index(indices, shape):
    """Indices along each axis, for indices into the flattened tensor.

    Args:
        indices: tensor of ints; negative ones count from the end.
        shape: int or tuple of ints, the shape of the tensor.

    Returns:
        Tuple with a tensor for each axis, of the shape and dtype of `indices`.

    Raises:
        ValueError: on the CPU, an index out of range. On a GPU, where looking at the indices
            would stop the pipeline, they wrap around.

    Example:

    >>> keras.ops.unravel_index(torch.tensor([5, 0]), (2, 3))
    (tensor([1, 0]), tensor([2, 0]))
    """
    indices = convert_to_tensor(indices)
    if indices.is_floating_point() or indices.dtype is torch.bool:
        raise TypeError(f"`indices` must hold ints. Received: indices of dtype {indices.dtype}.")
    sizes = (shape,) if isinstance(shape, int) else tuple(int(size) for size in shape)
    rules.unravel_index(indices, sizes)
    count, rest = math.prod(sizes), indices.long()
    if rest.device.type == "cpu" and rest.numel() and not torch.compiler.is_compiling():
        low, high = int(rest.min()), int(rest.max())
        if low < -count or high >= count:
            raise ValueError(
                f"`indices` must lie in [{-count}, {count}) for shape {sizes}. Received: indices "
                f"from {low} to {high}."
            )
    found = []
    for size in reversed(sizes):
        found.append(torch.remainder(rest, max(size, 1)).to(indices.dtype))
        rest = torch.div(rest, max(size, 1), rounding_mode="floor")
    return tuple(reversed(found))


__all__ = op_names(__name__)
