"""Conversions, shapes, control flow, and writing into copies of tensors."""

# ruff: noqa: F403

import builtins

import torch

from torchkeras.core import convert
from torchkeras.core.convert import convert_to_numpy as convert_to_numpy
from torchkeras.core.convert import is_tensor
from torchkeras.core.dtypes import is_int_dtype, standardize_dtype, to_torch_dtype
from torchkeras.core.operation import op, op_names
from torchkeras.ops import loops
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.derivatives import custom_gradient as custom_gradient
from torchkeras.ops.einops import rearrange as rearrange
from torchkeras.ops.loops import *
from torchkeras.ops.operands import beside


@op(shape=rules.same)
def convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    """A torch tensor with the contents of `x`.

    Python floats become `floatx()` and Python ints `int32`; arrays and tensors keep their
    dtype unless `dtype` is given. A tensor stays on its device.

    Args:
        x: tensor, Variable, NumPy array, number, bool, or nested lists of these.
        dtype: name of a dtype, or None.
        sparse, ragged: must be None or False; torchkeras has dense tensors only.

    Example:

    >>> keras.ops.convert_to_tensor([1.0, 2.0])
    tensor([1., 2.])
    """
    if sparse or ragged:
        raise ValueError(
            "torchkeras converts to dense tensors only. Received: "
            f"sparse={sparse}, ragged={ragged}."
        )
    return convert.convert_to_tensor(x, dtype)


@op(shape=rules.same, dtype=rules.given(1))
def cast(x, dtype):
    """`x` with its values converted to another dtype.

    Args:
        x: tensor, or anything that can become one.
        dtype: name of a dtype.

    Example:

    >>> keras.ops.cast(torch.tensor([1.7]), "int32")
    tensor([1], dtype=torch.int32)
    """
    return convert.convert_to_tensor(x, dtype)


@op(shape=rules.same, dtype=rules.given(1))
def saturate_cast(x, dtype):
    """`x` converted to another dtype; values beyond its range become the nearest in it.

    Example:

    >>> keras.ops.saturate_cast(torch.tensor([300.0, -1.0]), "uint8")
    tensor([255,   0], dtype=torch.uint8)
    """
    x = convert.convert_to_tensor(x)
    to = to_torch_dtype(dtype)
    if x.dtype is to or to is torch.bool or x.dtype is torch.bool:
        return x.to(to)
    target = torch.iinfo(to) if is_int_dtype(to) else torch.finfo(to)
    source = torch.iinfo(x.dtype) if is_int_dtype(x.dtype) else torch.finfo(x.dtype)
    low = target.min if target.min > source.min else source.min
    high = target.max if target.max < source.max else source.max
    result = torch.clamp(x, low, high).to(to)
    if x.is_floating_point() and is_int_dtype(to):
        # The largest int may round up to a float beyond it, which no cast defines.
        result = torch.where(x >= high, torch.full_like(result, target.max), result)
    return result


def shape(x):
    """Shape as a tuple of ints; for a symbol, None where a size is not known.

    Example:

    >>> keras.ops.shape(torch.ones(2, 3))
    (2, 3)
    """
    return tuple(x.shape if hasattr(x, "shape") else convert.convert_to_tensor(x).shape)


def dtype(x):
    """Name of the dtype of a tensor, Variable or symbol.

    Example:

    >>> keras.ops.dtype(torch.ones(2))
    'float32'
    """
    return standardize_dtype(x.dtype)


@op(shape=rules.same)
def stop_gradient(variable):
    """The same values, of which no gradient is taken.

    Example:

    >>> x = torch.ones(2, requires_grad=True)
    >>> keras.ops.stop_gradient(x).requires_grad
    False
    """
    return convert.convert_to_tensor(variable).detach()


@op(shape=rules.unstack, dtype=rules.kept)
def unstack(x, num=None, axis=0):
    """The slices of `x` along an axis, without that axis.

    Args:
        x: tensor.
        num: int, the size of the axis, for symbols that do not know it; None otherwise.
        axis: int.

    Returns:
        List of tensors.

    Example:

    >>> keras.ops.unstack(torch.tensor([[1, 2], [3, 4]]))
    [tensor([1, 2]), tensor([3, 4])]
    """
    x = convert.convert_to_tensor(x)
    if num is not None and x.shape[axis] != num:
        if x.is_meta:  # the stand-in for an unknown size
            return [x.select(axis, 0) for _ in range(num)]
        raise ValueError(
            f"`num` must be the size of axis {axis}. Received: num={num} for x of shape "
            f"{tuple(x.shape)}. Leave it out."
        )
    return list(torch.unbind(x, axis))


def _ints(sizes):
    """`sizes` as a list of ints, or None if they are in tensors (which may be on a device)."""
    if isinstance(sizes, (list, tuple)) and not any(is_tensor(size) for size in sizes):
        return [int(size) for size in sizes]
    return None


@op(shape=rules.block, dtype=rules.kept)
def slice(inputs, start_indices, shape):
    """The block of `inputs` of a given shape that starts at given indices.

    Args:
        inputs: tensor.
        start_indices: ints, or a tensor of ints, one for each leading axis of `inputs`.
        shape: tuple of as many ints.

    Output shape: `shape`, and the other axes of `inputs`.

    Raises:
        ValueError: the block reaches beyond `inputs` (where the indices are Python ints).

    Example:

    >>> keras.ops.slice(torch.tensor([1, 2, 3, 4]), (1,), (2,))
    tensor([2, 3])
    """
    inputs = convert.convert_to_tensor(inputs)
    sizes = [int(size) for size in shape]
    if inputs.is_meta:  # an unknown size may stand here as a smaller one
        return inputs.new_empty((*sizes, *inputs.shape[len(sizes) :]))
    starts = _ints(start_indices)
    if starts is None:
        return inputs[_block(start_indices, sizes, inputs)]
    for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        if start < 0 or start + size > inputs.shape[axis]:
            raise ValueError(
                f"The slice must lie within `inputs` of shape {tuple(inputs.shape)}. Received: "
                f"start_indices={tuple(starts)}, shape={tuple(sizes)}."
            )
    places = zip(starts, sizes, strict=True)
    return inputs[tuple(builtins.slice(start, start + size) for start, size in places)]


def _block(start_indices, sizes, inputs):
    """Index tensors for a block whose start is in a tensor, without reading it back."""
    starts = beside(start_indices, inputs).long()
    index = []
    for i, size in enumerate(sizes):
        places = starts[i] + torch.arange(size, device=inputs.device)
        index.append(places.reshape([-1 if j == i else 1 for j in range(len(sizes))]))
    return tuple(index)


@op(shape=rules.same, dtype=rules.kept)
def slice_update(inputs, start_indices, updates):
    """A copy of `inputs` with a block replaced.

    Args:
        inputs: tensor.
        start_indices: ints, or a tensor of ints, one for each axis: where the block starts.
        updates: tensor with the axes of `inputs`, the block.

    Output shape: that of `inputs`, in its dtype.

    Example:

    >>> keras.ops.slice_update(torch.tensor([1, 2, 3]), (1,), torch.tensor([7]))
    tensor([1, 7, 3])
    """
    inputs = convert.convert_to_tensor(inputs)
    updates = beside(updates, inputs).to(inputs.dtype)
    starts = _ints(start_indices)
    if starts is None:
        index = _block(start_indices, updates.shape, inputs)
    else:
        ends = [start + size for start, size in zip(starts, updates.shape, strict=True)]
        index = tuple(builtins.slice(*ends_) for ends_ in zip(starts, ends, strict=True))
    result = inputs.clone()
    result[index] = updates
    return result


@op(shape=rules.scatter, dtype=rules.of_second)
def scatter(indices, values, shape):
    """Zeros with values added at indices; values at one index are summed.

    Args:
        indices: tensor of ints of shape `(..., k)`: each last axis is one index into the first
            `k` axes of the result.
        values: tensor of shape `(...) + shape[k:]`.
        shape: tuple of ints, shape of the result.

    Example:

    >>> keras.ops.scatter(torch.tensor([[0], [2]]), torch.tensor([5.0, 7.0]), (4,))
    tensor([5., 0., 7., 0.])
    """
    values = convert.convert_to_tensor(values)
    indices = beside(indices, values).long()
    zeros = values.new_zeros(tuple(int(size) for size in shape))
    return zeros.index_put(indices.unbind(-1), values, accumulate=True)


@op(shape=rules.same, dtype=rules.kept)
def scatter_update(inputs, indices, updates, reduction=None):
    """A copy of `inputs` with values put in, or combined, at indices.

    Args:
        inputs: tensor.
        indices: tensor of ints of shape `(n, k)`: each row is one index into the first `k`
            axes of `inputs`. Negative ones count from the end.
        updates: tensor of shape `(n,) + inputs.shape[k:]`.
        reduction: how an update meets the value that is there: None replaces it (with
            repeated indices, any of the updates), `"add"`, `"mul"`, `"max"` or `"min"` combine.

    Raises:
        ValueError: another `reduction`.

    Example:

    >>> keras.ops.scatter_update(torch.zeros(3), torch.tensor([[1], [1]]), [2.0, 3.0], "add")
    tensor([0., 5., 0.])
    """
    names = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
    if reduction is not None and reduction not in names:
        raise ValueError(
            f"`reduction` must be None, 'add', 'mul', 'max' or 'min'. Received: {reduction!r}."
        )
    inputs = convert.convert_to_tensor(inputs)
    indices = beside(indices, inputs).long()
    updates = beside(updates, inputs).to(inputs.dtype)
    if reduction in (None, "add"):
        return inputs.index_put(indices.unbind(-1), updates, accumulate=reduction == "add")
    depth = indices.shape[-1]
    place = torch.zeros_like(indices[..., 0])
    for axis in range(depth):
        size = inputs.shape[axis]
        index = indices[..., axis]
        place = place * size + torch.where(index < 0, index + size, index)
    rows = inputs.flatten(0, depth - 1)
    updates = updates.expand(*place.shape, *inputs.shape[depth:])
    place = place.reshape(*place.shape, *[1] * (updates.dim() - place.dim())).expand(updates.shape)
    return rows.scatter_reduce(0, place, updates, names[reduction]).reshape(inputs.shape)


__all__ = [
    *op_names(__name__, "convert_to_numpy", "dtype", "is_tensor", "shape"),
    "custom_gradient",
    "rearrange",
    *loops.__all__,
]
