"""Elementwise functions of one tensor: the result has the shape of the input.

Integers and booleans give `float32` from the functions whose values are real numbers.
"""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import beside, to_float


@op(shape=rules.same)
def arccos(x):
    """Arc cosine of each element, in radians, in [0, pi]; NaN outside [-1, 1].

    Example:

    >>> keras.ops.arccos(torch.tensor([1.0]))
    tensor([0.])
    """
    return torch.acos(convert_to_tensor(x))


@op(shape=rules.same)
def arccosh(x):
    """Inverse hyperbolic cosine of each element; NaN below 1.

    Example:

    >>> keras.ops.arccosh(torch.tensor([1.0]))
    tensor([0.])
    """
    return torch.acosh(convert_to_tensor(x))


@op(shape=rules.same)
def arcsin(x):
    """Arc sine of each element, in radians, in [-pi/2, pi/2]; NaN outside [-1, 1].

    Example:

    >>> keras.ops.arcsin(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.asin(convert_to_tensor(x))


@op(shape=rules.same)
def arcsinh(x):
    """Inverse hyperbolic sine of each element.

    Example:

    >>> keras.ops.arcsinh(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.asinh(convert_to_tensor(x))


@op(shape=rules.same)
def arctan(x):
    """Arc tangent of each element, in radians, in [-pi/2, pi/2].

    Example:

    >>> keras.ops.arctan(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.atan(convert_to_tensor(x))


@op(shape=rules.same)
def arctanh(x):
    """Inverse hyperbolic tangent of each element; NaN outside [-1, 1].

    Example:

    >>> keras.ops.arctanh(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.atanh(convert_to_tensor(x))


@op(shape=rules.same)
def cos(x):
    """Cosine of each element, in radians.

    Example:

    >>> keras.ops.cos(torch.tensor([0.0]))
    tensor([1.])
    """
    return torch.cos(convert_to_tensor(x))


@op(shape=rules.same)
def cosh(x):
    """Hyperbolic cosine of each element.

    Example:

    >>> keras.ops.cosh(torch.tensor([0.0]))
    tensor([1.])
    """
    return torch.cosh(convert_to_tensor(x))


@op(shape=rules.same)
def exp(x):
    """e to the power of each element.

    Example:

    >>> keras.ops.exp(torch.tensor([0.0]))
    tensor([1.])
    """
    return torch.exp(convert_to_tensor(x))


@op(shape=rules.same)
def expm1(x):
    """`exp(x) - 1` of each element, exact for small `x`.

    Example:

    >>> keras.ops.expm1(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.expm1(convert_to_tensor(x))


@op(shape=rules.same)
def log(x):
    """Natural logarithm of each element; -inf at 0, NaN below.

    Example:

    >>> keras.ops.log(torch.tensor([1.0]))
    tensor([0.])
    """
    return torch.log(convert_to_tensor(x))


@op(shape=rules.same)
def log10(x):
    """Logarithm to base 10 of each element.

    Example:

    >>> keras.ops.log10(torch.tensor([100.0]))
    tensor([2.])
    """
    return torch.log10(convert_to_tensor(x))


@op(shape=rules.same)
def log1p(x):
    """`log(1 + x)` of each element, exact for small `x`.

    Example:

    >>> keras.ops.log1p(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.log1p(convert_to_tensor(x))


@op(shape=rules.same)
def log2(x):
    """Logarithm to base 2 of each element.

    Example:

    >>> keras.ops.log2(torch.tensor([8.0]))
    tensor([3.])
    """
    return torch.log2(convert_to_tensor(x))


@op(shape=rules.same)
def reciprocal(x):
    """`1 / x` of each element.

    Example:

    >>> keras.ops.reciprocal(torch.tensor([4.0]))
    tensor([0.2500])
    """
    return torch.reciprocal(convert_to_tensor(x))


@op(shape=rules.same)
def sin(x):
    """Sine of each element, in radians.

    Example:

    >>> keras.ops.sin(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.sin(convert_to_tensor(x))


@op(shape=rules.same)
def sinh(x):
    """Hyperbolic sine of each element.

    Example:

    >>> keras.ops.sinh(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.sinh(convert_to_tensor(x))


@op(shape=rules.same)
def sqrt(x):
    """Square root of each element; NaN below 0.

    Example:

    >>> keras.ops.sqrt(torch.tensor([9.0]))
    tensor([3.])
    """
    return torch.sqrt(convert_to_tensor(x))


@op(shape=rules.same)
def tan(x):
    """Tangent of each element, in radians.

    Example:

    >>> keras.ops.tan(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.tan(convert_to_tensor(x))


@op(shape=rules.same)
def tanh(x):
    """Hyperbolic tangent of each element, in (-1, 1).

    Example:

    >>> keras.ops.tanh(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.tanh(convert_to_tensor(x))


@op(shape=rules.same)
def absolute(x):
    """Absolute value of each element, in the dtype of `x`.

    Example:

    >>> keras.ops.absolute(torch.tensor([-2, 3]))
    tensor([2, 3])
    """
    x = convert_to_tensor(x)
    return x if x.dtype is torch.bool else torch.abs(x)


@op(shape=rules.same)
def abs(x):
    """Absolute value of each element: the short name of `absolute`.

    Example:

    >>> keras.ops.abs(torch.tensor([-2.5]))
    tensor([2.5000])
    """
    return absolute(x)


@op(shape=rules.same)
def ceil(x):
    """Smallest whole number not below each element, as a float.

    Example:

    >>> keras.ops.ceil(torch.tensor([1.2, -1.2]))
    tensor([ 2., -1.])
    """
    return torch.ceil(to_float(x))


@op(shape=rules.broadcast_three)
def clip(x, x_min, x_max):
    """`x` with each element limited to [`x_min`, `x_max`].

    Args:
        x: tensor; booleans count as `int32`.
        x_min, x_max: numbers, or tensors that broadcast with `x`.

    Example:

    >>> keras.ops.clip(torch.tensor([-1.0, 0.5, 2.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    x = convert_to_tensor(x)
    if x.dtype is torch.bool:
        x = x.int()
    if isinstance(x_min, (int, float)) and isinstance(x_max, (int, float)):
        return torch.clamp(x, x_min, x_max)
    return torch.clamp(x, beside(x_min, x), beside(x_max, x))


@op(shape=rules.same)
def copy(x):
    """A tensor of its own memory with the values of `x`.

    Example:

    >>> keras.ops.copy(torch.ones(2))
    tensor([1., 1.])
    """
    return torch.clone(convert_to_tensor(x))


@op(shape=rules.same)
def floor(x):
    """Largest whole number not above each element, as a float.

    Example:

    >>> keras.ops.floor(torch.tensor([1.7, -1.2]))
    tensor([ 1., -2.])
    """
    return torch.floor(to_float(x))


@op(shape=rules.same, dtype="bool")
def isfinite(x):
    """Whether each element is neither infinite nor NaN, as booleans.

    Example:

    >>> keras.ops.isfinite(torch.tensor([1.0, float("inf")]))
    tensor([ True, False])
    """
    return torch.isfinite(convert_to_tensor(x))


@op(shape=rules.same, dtype="bool")
def isinf(x):
    """Whether each element is plus or minus infinity, as booleans.

    Example:

    >>> keras.ops.isinf(torch.tensor([1.0, float("-inf")]))
    tensor([False,  True])
    """
    return torch.isinf(convert_to_tensor(x))


@op(shape=rules.same, dtype="bool")
def isnan(x):
    """Whether each element is NaN, as booleans.

    Example:

    >>> keras.ops.isnan(torch.tensor([1.0, float("nan")]))
    tensor([False,  True])
    """
    return torch.isnan(convert_to_tensor(x))


@op(shape=rules.same)
def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    """`x` with NaN and infinities replaced by numbers.

    Args:
        x: tensor.
        nan: float that replaces NaN.
        posinf, neginf: floats that replace the infinities; None for the largest and the
            smallest number of the dtype.

    Example:

    >>> keras.ops.nan_to_num(torch.tensor([float("nan"), 1.0]))
    tensor([0., 1.])
    """
    return torch.nan_to_num(convert_to_tensor(x), nan=nan, posinf=posinf, neginf=neginf)


@op(shape=rules.same)
def negative(x):
    """`-x`, element by element, in the dtype of `x`.

    Example:

    >>> keras.ops.negative(torch.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """
    return torch.negative(convert_to_tensor(x))


@op(shape=rules.same)
def round(x, decimals=0):
    """Each element rounded to `decimals` places, halves to the even neighbour.

    Args:
        x: tensor. Integers are rounded in floating point and keep their dtype.
        decimals: int; negative ones round to tens, hundreds, ...

    Example:

    >>> keras.ops.round(torch.tensor([0.5, 1.5, 2.6]))
    tensor([0., 2., 3.])
    """
    x = convert_to_tensor(x)
    if x.is_floating_point():
        return torch.round(x, decimals=decimals)
    if x.dtype is torch.bool:
        return x
    # float64 holds every int32 exactly, float32 does not.
    return x if decimals >= 0 else torch.round(x.double(), decimals=decimals).to(x.dtype)


@op(shape=rules.same)
def sign(x):
    """-1, 0 or 1 by the sign of each element, in the dtype of `x`.

    Example:

    >>> keras.ops.sign(torch.tensor([-3.0, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """
    return torch.sign(convert_to_tensor(x))


@op(shape=rules.same)
def square(x):
    """`x * x`, element by element; booleans count as `int32`.

    Example:

    >>> keras.ops.square(torch.tensor([3.0]))
    tensor([9.])
    """
    x = convert_to_tensor(x)
    return torch.square(x.int() if x.dtype is torch.bool else x)


__all__ = op_names(__name__)
