"""Functions that reduce axes: sums, means, extremes, running totals.

`axis` is an int, a tuple of ints, or None for all axes; with an empty tuple nothing is reduced.
`keepdims=True` keeps each reduced axis with size 1.
"""

import builtins

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import canonical_axes, pair, to_float

# Sums and products of small integers are int32, as in JAX; torch would make them int64.
_TOTAL_DTYPE = {
    dtype: torch.int32 for dtype in (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32)
}


def _no_axis(axis):
    return type(axis) in (tuple, list) and not axis


@op(shape=rules.reduced)
def sum(x, axis=None, keepdims=False):
    """Sum over axes. Booleans and integers below 64 bits give `int32`.

    Args:
        x: tensor.
        axis: int, tuple of ints, or None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.

    Example:

    >>> keras.ops.sum(torch.ones(2, 3), axis=1)
    tensor([3., 3.])
    """
    x = convert_to_tensor(x)
    dtype = _TOTAL_DTYPE.get(x.dtype)
    if _no_axis(axis):
        return x if dtype is None else x.to(dtype)
    if dtype is None:
        return torch.sum(x, axis, keepdims)
    return torch.sum(x, axis, keepdims, dtype=dtype)


@op(shape=rules.reduced, dtype=rules.floating)
def mean(x, axis=None, keepdims=False):
    """Mean over axes, a float; integers give `floatx()`.

    Args:
        x: tensor.
        axis: int, tuple of ints, or None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.

    Example:

    >>> keras.ops.mean(torch.tensor([1, 2]))
    tensor(1.5000)
    """
    x = to_float(x)
    return x if _no_axis(axis) else torch.mean(x, axis, keepdims)


@op(shape=rules.average, dtype=rules.averaged)
def average(x, axis=None, weights=None):
    """Weighted mean over axes, a float.

    Args:
        x: tensor.
        axis: int, tuple of ints, or None for all axes.
        weights: tensor of the shape of `x`, or of shape `(x.shape[axis],)` for an int `axis`;
            None for equal weights.

    Raises:
        ValueError: `weights` has neither shape.

    Example:

    >>> keras.ops.average(torch.tensor([1.0, 3.0]), weights=torch.tensor([3.0, 1.0]))
    tensor(1.5000)
    """
    if weights is None:
        return mean(x, axis=axis)
    x, weights = pair(x, weights)
    x = to_float(x)
    if x.shape != weights.shape:
        if not isinstance(axis, int) or tuple(weights.shape) != (x.shape[axis],):
            raise ValueError(
                "`weights` must have the shape of `x`, or one axis of the size of `x` along an "
                f"int `axis`. Received: weights of shape {tuple(weights.shape)}, x of shape "
                f"{tuple(x.shape)}, axis={axis}. Reshape the weights to broadcast, then use "
                "keras.ops.broadcast_to."
            )
        weights = weights.reshape([-1 if i == axis % x.dim() else 1 for i in range(x.dim())])
        weights = weights.expand(x.shape)
    if _no_axis(axis):
        return x
    return torch.sum(x * weights, axis) / torch.sum(to_float(weights), axis)


@op(shape=rules.reduced, dtype=rules.floating)
def var(x, axis=None, keepdims=False):
    """Variance over axes, divided by the count (not by the count less one), a float.

    Args:
        x: tensor; integers give `floatx()`.
        axis: int, tuple of ints, or None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.

    Example:

    >>> keras.ops.var(torch.tensor([1.0, 3.0]))
    tensor(1.)
    """
    x = to_float(x)
    if _no_axis(axis):
        return torch.zeros_like(x)
    return torch.var(x, axis, correction=0, keepdim=keepdims)


@op(shape=rules.reduced, dtype=rules.floating)
def std(x, axis=None, keepdims=False):
    """Standard deviation over axes: the square root of `var`.

    Args:
        x: tensor; integers give `floatx()`.
        axis: int, tuple of ints, or None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.

    Example:

    >>> keras.ops.std(torch.tensor([1.0, 3.0]))
    tensor(1.)
    """
    x = to_float(x)
    if _no_axis(axis):
        return torch.zeros_like(x)
    return torch.std(x, axis, correction=0, keepdim=keepdims)


@op(shape=rules.reduced)
def prod(x, axis=None, keepdims=False, dtype=None):
    """Product over axes. Booleans and integers below 64 bits give `int32`.

    Args:
        x: tensor.
        axis: int, tuple of ints, or None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.
        dtype: dtype to compute and return, or None.

    Example:

    >>> keras.ops.prod(torch.tensor([2.0, 3.0]))
    tensor(6.)
    """
    x = convert_to_tensor(x)
    x = x.to(_TOTAL_DTYPE.get(x.dtype, x.dtype) if dtype is None else to_torch_dtype(dtype))
    if axis is None and not keepdims:
        return torch.prod(x, dtype=x.dtype)
    for a in sorted(canonical_axes(axis, x.dim()), reverse=True):  # torch takes one at a time
        x = torch.prod(x, a, keepdims, dtype=x.dtype)
    return x


def _extreme(x, axis, keepdims, initial, reduce, combine, name):
    x = convert_to_tensor(x)
    if _no_axis(axis):
        return x
    axes = canonical_axes(axis, x.dim())
    if initial is None:
        if builtins.any(x.shape[a] == 0 for a in axes):
            raise ValueError(
                f"`{name}` over an axis of size 0 needs a value to return. Received: x of shape "
                f"{tuple(x.shape)}, axis={axis}, initial=None. Pass `initial`."
            )
        return reduce(x, axes, keepdims)
    initial = convert_to_tensor(initial, x.dtype).to(x.device)
    if builtins.any(x.shape[a] == 0 for a in axes):
        kept = [1 if i in axes else d for i, d in enumerate(x.shape) if keepdims or i not in axes]
        return initial.expand(kept).clone()
    return combine(reduce(x, axes, keepdims), initial)


@op(shape=rules.extreme, dtype=rules.kept)
def max(x, axis=None, keepdims=False, initial=None):
    """Largest value over axes, in the dtype of `x`; NaN if there is one.

    Args:
        x: tensor.
        axis: int, tuple of ints, or None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.
        initial: number that the result is at least; needed where an axis has size 0.

    Raises:
        ValueError: a reduced axis has size 0 and there is no `initial`.

    Example:

    >>> keras.ops.max(torch.tensor([[1.0, 5.0], [7.0, 2.0]]), axis=1)
    tensor([5., 7.])
    """
    return _extreme(x, axis, keepdims, initial, torch.amax, torch.maximum, "max")


@op(shape=rules.extreme, dtype=rules.kept)
def min(x, axis=None, keepdims=False, initial=None):
    """Smallest value over axes, in the dtype of `x`; NaN if there is one.

    Args:
        x: tensor.
        axis: int, tuple of ints, or None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.
        initial: number that the result is at most; needed where an axis has size 0.

    Raises:
        ValueError: a reduced axis has size 0 and there is no `initial`.

    Example:

    >>> keras.ops.min(torch.tensor([[1.0, 5.0], [7.0, 2.0]]), axis=1)
    tensor([1., 2.])
    """
    return _extreme(x, axis, keepdims, initial, torch.amin, torch.minimum, "min")


@op(shape=rules.extreme, dtype=rules.kept)
def amax(x, axis=None, keepdims=False):
    """Largest value over axes: NumPy's other name of `max`.

    Example:

    >>> keras.ops.amax(torch.tensor([1.0, 5.0]))
    tensor(5.)
    """
    return max(x, axis=axis, keepdims=keepdims)


@op(shape=rules.extreme, dtype=rules.kept)
def amin(x, axis=None, keepdims=False):
    """Smallest value over axes: NumPy's other name of `min`.

    Example:

    >>> keras.ops.amin(torch.tensor([1.0, 5.0]))
    tensor(1.)
    """
    return min(x, axis=axis, keepdims=keepdims)


@op(shape=rules.reduced, dtype="bool")
def all(x, axis=None, keepdims=False):
    """Whether every element over axes is true (not 0), as booleans.

    Args:
        x: tensor.
        axis: int, tuple of ints, or None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.

    Example:

    >>> keras.ops.all(torch.tensor([True, False]))
    tensor(False)
    """
    x = convert_to_tensor(x)
    if _no_axis(axis):
        return x.bool()
    return torch.all(x, dim=canonical_axes(axis, x.dim()), keepdim=keepdims).bool()


@op(shape=rules.reduced, dtype="bool")
def any(x, axis=None, keepdims=False):
    """Whether some element over axes is true (not 0), as booleans.

    Args:
        x: tensor.
        axis: int, tuple of ints, or None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.

    Example:

    >>> keras.ops.any(torch.tensor([True, False]))
    tensor(True)
    """
    x = convert_to_tensor(x)
    if _no_axis(axis):
        return x.bool()
    return torch.any(x, dim=canonical_axes(axis, x.dim()), keepdim=keepdims).bool()


@op(shape=rules.reduced, dtype="int32")
def count_nonzero(x, axis=None):
    """Number of elements that are not 0 over axes, as `int32`.

    Example:

    >>> keras.ops.count_nonzero(torch.tensor([[0, 1], [2, 3]]), axis=0)
    tensor([1, 2], dtype=torch.int32)
    """
    x = convert_to_tensor(x) != 0
    return x.int() if _no_axis(axis) else torch.sum(x, axis, dtype=torch.int32)


@op(shape=rules.arg_extreme, dtype="int32")
def argmax(x, axis=None, keepdims=False):
    """Index of the largest value along an axis, as `int32`; the first of equal ones on a CPU.

    Args:
        x: tensor.
        axis: int, or None for the index into the flattened tensor.
        keepdims: bool, whether the reduced axis stays with size 1.

    Example:

    >>> keras.ops.argmax(torch.tensor([[1.0, 5.0], [7.0, 2.0]]), axis=1)
    tensor([1, 0], dtype=torch.int32)
    """
    x = convert_to_tensor(x)
    x = x.byte() if x.dtype is torch.bool else x
    return torch.argmax(x, axis, keepdims).to(torch.int32)


@op(shape=rules.arg_extreme, dtype="int32")
def argmin(x, axis=None, keepdims=False):
    """Index of the smallest value along an axis, as `int32`; the first of equal ones on a CPU.

    Args:
        x: tensor.
        axis: int, or None for the index into the flattened tensor.
        keepdims: bool, whether the reduced axis stays with size 1.

    Example:

    >>> keras.ops.argmin(torch.tensor([[1.0, 5.0], [7.0, 2.0]]), axis=1)
    tensor([0, 1], dtype=torch.int32)
    """
    x = convert_to_tensor(x)
    x = x.byte() if x.dtype is torch.bool else x
    return torch.argmin(x, axis, keepdims).to(torch.int32)


@op(shape=rules.extreme, dtype=rules.kept)
def ptp(x, axis=None, keepdims=False):
    """Largest less smallest value over axes, in the dtype of `x`.

    Args:
        x: tensor of numbers.
        axis: int, tuple of ints, or None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.

    Example:

    >>> keras.ops.ptp(torch.tensor([[1.0, 5.0], [7.0, 2.0]]), axis=1)
    tensor([4., 5.])
    """
    x = convert_to_tensor(x)
    return torch.sub(max(x, axis=axis, keepdims=keepdims), min(x, axis=axis, keepdims=keepdims))


@op(shape=rules.running)
def cumsum(x, axis=None, dtype=None):
    """Running sum along an axis.

    Args:
        x: tensor; booleans give `int32`, other dtypes are kept.
        axis: int, or None for the flattened tensor.
        dtype: dtype to compute and return, or None.

    Example:

    >>> keras.ops.cumsum(torch.tensor([1, 2, 3]))
    tensor([1, 3, 6])
    """
    return _running(torch.cumsum, x, axis, dtype)


@op(shape=rules.running)
def cumprod(x, axis=None, dtype=None):
    """Running product along an axis.

    Args:
        x: tensor; booleans give `int32`, other dtypes are kept.
        axis: int, or None for the flattened tensor.
        dtype: dtype to compute and return, or None.

    Example:

    >>> keras.ops.cumprod(torch.tensor([1, 2, 3]))
    tensor([1, 2, 6])
    """
    return _running(torch.cumprod, x, axis, dtype)


def _running(function, x, axis, dtype):
    x = convert_to_tensor(x)
    if axis is None:
        x, axis = x.flatten(), 0
    dtype = x.dtype if dtype is None else to_torch_dtype(dtype)
    return function(x, dim=axis, dtype=torch.int32 if dtype is torch.bool else dtype)


@op(shape=rules.diff, dtype=rules.kept)
def diff(a, n=1, axis=-1):
    """Difference of neighbours along an axis, `n` times over; the axis gets `n` shorter.

    Example:

    >>> keras.ops.diff(torch.tensor([1, 4, 9]))
    tensor([3, 5])
    """
    return torch.diff(convert_to_tensor(a), n=n, dim=axis)


@op(shape=rules.trace)
def trace(x, offset=0, axis1=0, axis2=1):
    """Sum of the diagonal of the matrices in `axis1` and `axis2`.

    Args:
        x: tensor with at least two axes. Small integers give `int32`.
        offset: int, which diagonal; 0 is the main one, 1 the next above.
        axis1, axis2: ints, the two axes.

    Example:

    >>> keras.ops.trace(torch.eye(3))
    tensor(3.)
    """
    return sum(torch.diagonal(convert_to_tensor(x), offset, axis1, axis2), axis=-1)


__all__ = op_names(__name__)
