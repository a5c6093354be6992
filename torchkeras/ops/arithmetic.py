"""Elementwise functions of two tensors, which broadcast: arithmetic, comparison, logic.

A Python number beside a tensor is weak: it takes the dtype of the tensor, except that a float
beside integers gives floats.
"""

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import NAME_TO_TORCH
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import pair, same_dtype_pair, weak_pair


@op(shape=rules.broadcast)
def add(x1, x2):
    """`x1 + x2`; for booleans, logical or.

    Example:

    >>> keras.ops.add(torch.tensor([1.0, 2.0]), 1)
    tensor([2., 3.])
    """
    if not (isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor)):
        x1, x2 = weak_pair(x1, x2)
    return torch.add(x1, x2)


@op(shape=rules.broadcast)
def multiply(x1, x2):
    """`x1 * x2`; for booleans, logical and.

    Example:

    >>> keras.ops.multiply(torch.tensor([1.0, 2.0]), 3)
    tensor([3., 6.])
    """
    if not (isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor)):
        x1, x2 = weak_pair(x1, x2)
    return torch.mul(x1, x2)


@op(shape=rules.broadcast)
def divide(x1, x2):
    """`x1 / x2` as floats, of integers too; infinite or NaN where `x2` is 0.

    Example:

    >>> keras.ops.divide(torch.tensor([1, 2]), 4)
    tensor([0.2500, 0.5000])
    """
    if not (isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor)):
        x1, x2 = weak_pair(x1, x2)
    return torch.div(x1, x2)


@op(shape=rules.broadcast)
def true_divide(x1, x2):
    """`x1 / x2` as floats: NumPy's other name of `divide`.

    Example:

    >>> keras.ops.true_divide(torch.tensor([1.0]), 2)
    tensor([0.5000])
    """
    return divide(x1, x2)


@op(shape=rules.broadcast)
def subtract(x1, x2):
    """`x1 - x2`; a boolean beside a number counts as 0 or 1.

    Raises:
        RuntimeError: both are booleans. Use `logical_xor`.

    Example:

    >>> keras.ops.subtract(torch.tensor([1.0, 2.0]), 1)
    tensor([0., 1.])
    """
    if not (isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor)):
        x1, x2 = pair(x1, x2) if isinstance(x1, bool) or isinstance(x2, bool) else weak_pair(x1, x2)
    if isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor):
        # torch subtracts no booleans at all.
        if x1.dtype is torch.bool:
            x1 = x1.to(x2.dtype)
        elif x2.dtype is torch.bool:
            x2 = x2.to(x1.dtype)
    return torch.sub(x1, x2)


@op(shape=rules.broadcast)
def divide_no_nan(x1, x2):
    """`x1 / x2` as floats, and 0 where `x2` is 0; the gradient there is 0 as well.

    Example:

    >>> keras.ops.divide_no_nan(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0]))
    tensor([0.0000, 1.5000])
    """
    x1, x2 = pair(x1, x2)
    zero = x2 == 0
    return torch.where(zero, 0.0, torch.div(x1, torch.where(zero, torch.ones_like(x2), x2)))


@op(shape=rules.broadcast)
def floor_divide(x1, x2):
    """`x1 / x2` rounded down to a whole number, in the common dtype of both.

    Example:

    >>> keras.ops.floor_divide(torch.tensor([7, -7]), 2)
    tensor([ 3, -4])
    """
    x1, x2 = _without_booleans(*weak_pair(x1, x2))
    return torch.floor_divide(x1, x2)


@op(shape=rules.broadcast)
def mod(x1, x2):
    """Remainder of `x1 / x2`, with the sign of `x2`; booleans count as `int32`.

    Example:

    >>> keras.ops.mod(torch.tensor([7, -7]), 4)
    tensor([3, 1])
    """
    x1, x2 = _without_booleans(*weak_pair(x1, x2))
    return torch.remainder(x1, x2)


def _without_booleans(x1, x2):
    """Two booleans as `int32`, for functions that torch defines on numbers only."""
    if (
        isinstance(x1, torch.Tensor)
        and isinstance(x2, torch.Tensor)
        and x1.dtype is x2.dtype is torch.bool
    ):
        return x1.int(), x2.int()
    return x1, x2


@op(shape=rules.broadcast)
def power(x1, x2):
    """`x1` to the power `x2`.

    Raises:
        RuntimeError: integers to a negative integer power.

    Example:

    >>> keras.ops.power(torch.tensor([2.0, 3.0]), 2)
    tensor([4., 9.])
    """
    return torch.pow(*_without_booleans(*weak_pair(x1, x2)))


@op(shape=rules.broadcast)
def arctan2(x1, x2):
    """Angle of the point (`x2`, `x1`) in radians, in [-pi, pi], as a float.

    Example:

    >>> keras.ops.arctan2(torch.tensor([0.0]), torch.tensor([1.0]))
    tensor([0.])
    """
    x1, x2 = pair(x1, x2)
    return torch.arctan2(*[x.int() if x.dtype is torch.bool else x for x in (x1, x2)])


@op(shape=rules.broadcast)
def logaddexp(x1, x2):
    """`log(exp(x1) + exp(x2))` as floats, without overflow.

    Example:

    >>> keras.ops.logaddexp(torch.tensor([1000.0]), -1000.0)
    tensor([1000.])
    """
    x1, x2 = same_dtype_pair(x1, x2)
    if not x1.is_floating_point():
        dtype = NAME_TO_TORCH[config.floatx()]
        x1, x2 = x1.to(dtype), x2.to(dtype)
    return torch.logaddexp(x1, x2)


@op(shape=rules.broadcast)
def maximum(x1, x2):
    """The larger of `x1` and `x2`, element by element; NaN if either is.

    Example:

    >>> keras.ops.maximum(torch.tensor([-1.0, 2.0]), 0)
    tensor([0., 2.])
    """
    return torch.maximum(*pair(x1, x2))


@op(shape=rules.broadcast)
def minimum(x1, x2):
    """The smaller of `x1` and `x2`, element by element; NaN if either is.

    Example:

    >>> keras.ops.minimum(torch.tensor([-1.0, 2.0]), 0)
    tensor([-1.,  0.])
    """
    return torch.minimum(*pair(x1, x2))


@op(shape=rules.broadcast, dtype="bool")
def equal(x1, x2):
    """Whether `x1 == x2`, element by element, as booleans.

    Example:

    >>> keras.ops.equal(torch.tensor([1.0, 2.0]), 2)
    tensor([False,  True])
    """
    if not (isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor)):
        x1, x2 = pair(x1, x2)
    return torch.eq(x1, x2)


@op(shape=rules.broadcast, dtype="bool")
def not_equal(x1, x2):
    """Whether `x1 != x2`, element by element, as booleans.

    Example:

    >>> keras.ops.not_equal(torch.tensor([1.0, 2.0]), 2)
    tensor([ True, False])
    """
    if not (isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor)):
        x1, x2 = pair(x1, x2)
    return torch.ne(x1, x2)


@op(shape=rules.broadcast, dtype="bool")
def greater(x1, x2):
    """Whether `x1 > x2`, element by element, as booleans.

    Example:

    >>> keras.ops.greater(torch.tensor([1.0, 2.0]), 2)
    tensor([False, False])
    """
    if not (isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor)):
        x1, x2 = pair(x1, x2)
    return torch.gt(x1, x2)


@op(shape=rules.broadcast, dtype="bool")
def greater_equal(x1, x2):
    """Whether `x1 >= x2`, element by element, as booleans.

    Example:

    >>> keras.ops.greater_equal(torch.tensor([1.0, 2.0]), 2)
    tensor([False,  True])
    """
    if not (isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor)):
        x1, x2 = pair(x1, x2)
    return torch.ge(x1, x2)


@op(shape=rules.broadcast, dtype="bool")
def less(x1, x2):
    """Whether `x1 < x2`, element by element, as booleans.

    Example:

    >>> keras.ops.less(torch.tensor([1.0, 2.0]), 2)
    tensor([ True, False])
    """
    if not (isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor)):
        x1, x2 = pair(x1, x2)
    return torch.lt(x1, x2)


@op(shape=rules.broadcast, dtype="bool")
def less_equal(x1, x2):
    """Whether `x1 <= x2`, element by element, as booleans.

    Example:

    >>> keras.ops.less_equal(torch.tensor([1.0, 2.0]), 2)
    tensor([True, True])
    """
    if not (isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor)):
        x1, x2 = pair(x1, x2)
    return torch.le(x1, x2)


@op(shape=rules.broadcast, dtype="bool")
def logical_and(x1, x2):
    """Whether both `x1` and `x2` are true (not 0), element by element, as booleans.

    Example:

    >>> keras.ops.logical_and(torch.tensor([True, False]), True)
    tensor([ True, False])
    """
    return torch.logical_and(*pair(x1, x2))


@op(shape=rules.broadcast, dtype="bool")
def logical_or(x1, x2):
    """Whether `x1` or `x2` is true (not 0), element by element, as booleans.

    Example:

    >>> keras.ops.logical_or(torch.tensor([True, False]), True)
    tensor([True, True])
    """
    return torch.logical_or(*pair(x1, x2))


@op(shape=rules.broadcast, dtype="bool")
def logical_xor(x1, x2):
    """Whether exactly one of `x1` and `x2` is true (not 0), element by element, as booleans.

    Example:

    >>> keras.ops.logical_xor(torch.tensor([True, False]), True)
    tensor([False,  True])
    """
    return torch.logical_xor(*pair(x1, x2))


@op(shape=rules.same, dtype="bool")
def logical_not(x):
    """Whether each element of `x` is false (0), as booleans.

    Example:

    >>> keras.ops.logical_not(torch.tensor([True, False]))
    tensor([False,  True])
    """
    return torch.logical_not(convert_to_tensor(x))


@op(shape=rules.broadcast, dtype="bool")
def isclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether `|x1 - x2| <= atol + rtol * |x2|`, element by element, as booleans.

    Args:
        x1, x2: tensors; integers are compared exactly.
        rtol, atol: floats, relative and absolute tolerance.
        equal_nan: bool, whether two NaN are close.

    Example:

    >>> keras.ops.isclose(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 1.1]))
    tensor([ True, False])
    """
    x1, x2 = same_dtype_pair(x1, x2)
    if not x1.is_floating_point() and not x1.is_complex():
        return torch.eq(x1, x2)
    return torch.isclose(x1, x2, rtol=rtol, atol=atol, equal_nan=equal_nan)


@op(shape=rules.broadcast_to_scalar, dtype="bool")
def allclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether `isclose` holds everywhere, as a boolean tensor of shape ().

    Example:

    >>> keras.ops.allclose(torch.ones(2), torch.ones(2))
    tensor(True)
    """
    return torch.all(isclose(x1, x2, rtol=rtol, atol=atol, equal_nan=equal_nan))


__all__ = op_names(__name__)
