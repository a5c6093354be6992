"""Reductions that leave NaN out: sums, means, extremes, running totals.

`axis` is an int, a tuple of ints, or None for all axes; with an empty tuple nothing is reduced.
"""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import at_least_float32, canonical_axes, to_float
from torchkeras.ops.reductions import (
    argmax,
    argmin,
    cumprod,
    cumsum,
    max,
    min,
    prod,
    sum,
)


def _without_nan(x, value):
    """`x` as a tensor, with `value` in the place of NaN."""
    x = convert_to_tensor(x)
    if x.is_floating_point() or x.is_complex():
        return torch.where(torch.isnan(x), value, x)
    return x


def _no_axis(axis):
    return type(axis) in (tuple, list) and not axis


@op(shape=rules.reduced)
def nansum(x, axis=None, keepdims=False):
    """Sum over axes in which NaN counts as 0. Small integers give `int32`.

    Example:

    >>> keras.ops.nansum(torch.tensor([1.0, float("nan")]))
    tensor(1.)
    """
    return sum(_without_nan(x, 0), axis=axis, keepdims=keepdims)


@op(shape=rules.reduced)
def nanprod(x, axis=None, keepdims=False):
    """Product over axes in which NaN counts as 1. Small integers give `int32`.

    Example:

    >>> keras.ops.nanprod(torch.tensor([2.0, float("nan"), 3.0]))
    tensor(6.)
    """
    return prod(_without_nan(x, 1), axis=axis, keepdims=keepdims)


@op(shape=rules.reduced, dtype=rules.floating)
def nanmean(x, axis=None, keepdims=False):
    """Mean over axes of the elements that are not NaN; NaN where there is none.

    Example:

    >>> keras.ops.nanmean(torch.tensor([1.0, float("nan"), 3.0]))
    tensor(2.)
    """
    x = to_float(x)
    return x if _no_axis(axis) else torch.nanmean(x, axis, keepdims)


@op(shape=rules.reduced, dtype=rules.floating)
def nanvar(x, axis=None, keepdims=False):
    """Variance over axes of the elements that are not NaN, divided by their count, a float.

    Args:
        x: tensor; integers give `floatx()`, half precision is computed in `float32`.
        axis: int, tuple of ints, or None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.

    Example:

    >>> keras.ops.nanvar(torch.tensor([1.0, float("nan"), 3.0]))
    tensor(1.)
    """
    return _variance(x, axis, keepdims).to(to_float(x).dtype)


@op(shape=rules.reduced, dtype=rules.floating)
def nanstd(x, axis=None, keepdims=False):
    """Standard deviation over axes of the elements that are not NaN: the root of `nanvar`.

    Args:
        x, axis, keepdims: as for `nanvar`.

    Example:

    >>> keras.ops.nanstd(torch.tensor([1.0, float("nan"), 3.0]))
    tensor(1.)
    """
    return torch.sqrt(_variance(x, axis, keepdims)).to(to_float(x).dtype)


def _variance(x, axis, keepdims):
    x = at_least_float32(x)
    if _no_axis(axis):
        return torch.where(torch.isnan(x), x, torch.zeros_like(x))
    axes = canonical_axes(axis, x.dim())
    valid = torch.logical_not(torch.isnan(x))
    differences = torch.where(valid, x - torch.nanmean(x, axes, keepdim=True), 0)
    total = torch.sum(torch.square(differences), axes, keepdim=keepdims)
    return total / torch.sum(valid, axes, keepdim=keepdims)


@op(shape=rules.extreme, dtype=rules.kept)
def nanmax(x, axis=None, keepdims=False):
    """Largest value over axes of the elements that are not NaN; NaN where there is none.

    Example:

    >>> keras.ops.nanmax(torch.tensor([1.0, float("nan")]))
    tensor(1.)
    """
    return _nan_extreme(max, x, axis, keepdims, float("-inf"))


@op(shape=rules.extreme, dtype=rules.kept)
def nanmin(x, axis=None, keepdims=False):
    """Smallest value over axes of the elements that are not NaN; NaN where there is none.

    Example:

    >>> keras.ops.nanmin(torch.tensor([1.0, float("nan")]))
    tensor(1.)
    """
    return _nan_extreme(min, x, axis, keepdims, float("inf"))


def _nan_extreme(function, x, axis, keepdims, worst):
    x = convert_to_tensor(x)
    if _no_axis(axis) or not x.is_floating_point():
        return function(x, axis=axis, keepdims=keepdims)
    result = function(_without_nan(x, worst), axis=axis, keepdims=keepdims)
    return torch.where(_only_nan(x, axis, keepdims), float("nan"), result)


def _only_nan(x, axis, keepdims):
    return torch.all(torch.isnan(x), dim=canonical_axes(axis, x.dim()), keepdim=keepdims)


@op(shape=rules.arg_extreme, dtype="int32")
def nanargmax(x, axis=None, keepdims=False):
    """Index of the largest value along an axis that is not NaN, as `int32`; -1 if all are NaN.

    Args:
        x: tensor.
        axis: int, or None for the index into the flattened tensor.
        keepdims: bool, whether the reduced axis stays with size 1.

    Example:

    >>> keras.ops.nanargmax(torch.tensor([1.0, float("nan"), 3.0]))
    tensor(2, dtype=torch.int32)
    """
    return _nan_place(argmax, x, axis, keepdims, float("-inf"))


@op(shape=rules.arg_extreme, dtype="int32")
def nanargmin(x, axis=None, keepdims=False):
    """Index of the smallest value along an axis that is not NaN, as `int32`; -1 if all are NaN.

    Args:
        x: tensor.
        axis: int, or None for the index into the flattened tensor.
        keepdims: bool, whether the reduced axis stays with size 1.

    Example:

    >>> keras.ops.nanargmin(torch.tensor([float("nan"), 2.0, 1.0]))
    tensor(2, dtype=torch.int32)
    """
    return _nan_place(argmin, x, axis, keepdims, float("inf"))


def _nan_place(function, x, axis, keepdims, worst):
    x = convert_to_tensor(x)
    place = function(_without_nan(x, worst), axis=axis, keepdims=keepdims)
    if not x.is_floating_point():
        return place
    return torch.where(_only_nan(x, axis, keepdims), -1, place)


@op(shape=rules.running)
def nancumsum(x, axis=None, dtype=None):
    """Running sum along an axis in which NaN counts as 0.

    Args:
        x, axis, dtype: as for `cumsum`.

    Example:

    >>> keras.ops.nancumsum(torch.tensor([1.0, float("nan"), 3.0]))
    tensor([1., 1., 4.])
    """
    return cumsum(_without_nan(x, 0), axis=axis, dtype=dtype)


@op(shape=rules.running)
def nancumprod(x, axis=None, dtype=None):
    """Running product along an axis in which NaN counts as 1.

    Args:
        x, axis, dtype: as for `cumprod`.

    Example:

    >>> keras.ops.nancumprod(torch.tensor([2.0, float("nan"), 3.0]))
    tensor([2., 2., 6.])
    """
    return cumprod(_without_nan(x, 1), axis=axis, dtype=dtype)


__all__ = op_names(__name__)
