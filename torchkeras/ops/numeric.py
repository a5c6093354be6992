"""Elementwise functions of numerical work, which networks seldom need.

Where a function has no meaning for integers they are computed as `floatx()`.
"""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import at_least_float32, pair, same_dtype_pair, to_float


def _float_pair(x1, x2):
    """Both as tensors of their common float dtype."""
    x1, x2 = same_dtype_pair(x1, x2)
    return to_float(x1), to_float(x2)


@op(shape=rules.same)
def cbrt(x):
    """Cube root of each element, negative for negative ones, as a float.

    Example:

    >>> keras.ops.cbrt(torch.tensor([8.0, -27.0]))
    tensor([ 2., -3.])
    """
    x = to_float(x)
    return torch.sign(x) * torch.pow(torch.abs(x), 1 / 3)


@op(shape=rules.same)
def deg2rad(x):
    """Radians of an angle in degrees, as a float.

    Example:

    >>> keras.ops.deg2rad(torch.tensor([180.0]))
    tensor([3.1416])
    """
    return torch.deg2rad(to_float(x))


@op(shape=rules.same)
def rad2deg(x):
    """Degrees of an angle in radians, as a float.

    Example:

    >>> keras.ops.rad2deg(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.rad2deg(to_float(x))


@op(shape=rules.same)
def exp2(x):
    """2 to the power of each element, as a float.

    Example:

    >>> keras.ops.exp2(torch.tensor([3.0]))
    tensor([8.])
    """
    return torch.exp2(to_float(x))


@op(shape=rules.same)
def fabs(x):
    """Absolute value of each element, as a float.

    Raises:
        TypeError: complex numbers. Use `abs`.

    Example:

    >>> keras.ops.fabs(torch.tensor([-2, 3]))
    tensor([2., 3.])
    """
    x = to_float(x)
    if x.is_complex():
        raise TypeError(
            f"`fabs` takes real numbers. Received: x of dtype {x.dtype}. Use keras.ops.abs(x)."
        )
    return torch.abs(x)


@op(shape=rules.same, dtype=rules.floating)
def i0(x):
    """Modified Bessel function of the first kind, of order 0, of each element.

    Example:

    >>> keras.ops.i0(torch.tensor([1.0]))
    tensor([1.2661])
    """
    x = to_float(x)
    return torch.i0(at_least_float32(x)).to(x.dtype)


@op(shape=rules.same, dtype="bool")
def isneginf(x):
    """Whether each element is minus infinity, as booleans.

    Example:

    >>> keras.ops.isneginf(torch.tensor([1.0, float("-inf")]))
    tensor([False,  True])
    """
    return torch.isneginf(convert_to_tensor(x))


@op(shape=rules.same, dtype="bool")
def isposinf(x):
    """Whether each element is plus infinity, as booleans.

    Example:

    >>> keras.ops.isposinf(torch.tensor([1.0, float("inf")]))
    tensor([False,  True])
    """
    return torch.isposinf(convert_to_tensor(x))


@op(shape=rules.same, dtype="bool")
def signbit(x):
    """Whether the sign bit of each element is set: below 0, or the negative 0 of floats.

    Example:

    >>> keras.ops.signbit(torch.tensor([-0.0, 0.0]))
    tensor([ True, False])
    """
    return torch.signbit(convert_to_tensor(x))


@op(shape=rules.same)
def sinc(x):
    """`sin(pi * x) / (pi * x)` of each element, 1 at 0, as a float.

    Example:

    >>> keras.ops.sinc(torch.tensor([0.0, 0.5]))
    tensor([1.0000, 0.6366])
    """
    return torch.sinc(to_float(x))


@op(shape=rules.same)
def trunc(x):
    """Each element without its fraction, in the dtype of `x`.

    Example:

    >>> keras.ops.trunc(torch.tensor([1.7, -1.7]))
    tensor([ 1., -1.])
    """
    x = convert_to_tensor(x)
    return torch.trunc(x) if x.is_floating_point() else x


@op(shape=rules.broadcast)
def heaviside(x1, x2):
    """0 where `x1 < 0`, 1 where `x1 > 0`, `x2` where `x1` is 0, as floats; booleans of two such.

    Example:

    >>> keras.ops.heaviside(torch.tensor([-2.0, 0.0, 3.0]), 0.5)
    tensor([0.0000, 0.5000, 1.0000])
    """
    x1, x2 = same_dtype_pair(x1, x2)
    if x1.dtype is torch.bool:
        return torch.logical_or(x1, x2)
    return torch.heaviside(to_float(x1), to_float(x2))


@op(shape=rules.broadcast)
def hypot(x1, x2):
    """`sqrt(x1**2 + x2**2)` as floats, without overflow.

    Example:

    >>> keras.ops.hypot(torch.tensor([3.0]), 4.0)
    tensor([5.])
    """
    return torch.hypot(*_float_pair(x1, x2))


@op(shape=rules.broadcast)
def fmax(x1, x2):
    """The larger of `x1` and `x2`; the other one where one of them is NaN.

    Example:

    >>> keras.ops.fmax(torch.tensor([float("nan"), 2.0]), 1.0)
    tensor([1., 2.])
    """
    return torch.fmax(*same_dtype_pair(x1, x2))


@op(shape=rules.broadcast)
def fmin(x1, x2):
    """The smaller of `x1` and `x2`; the other one where one of them is NaN.

    Example:

    >>> keras.ops.fmin(torch.tensor([float("nan"), 2.0]), 1.0)
    tensor([1., 1.])
    """
    return torch.fmin(*same_dtype_pair(x1, x2))


@op(shape=rules.broadcast)
def fmod(x1, x2):
    """Remainder of `x1 / x2`, with the sign of `x1`; booleans count as `int32`.

    Example:

    >>> keras.ops.fmod(torch.tensor([7, -7]), 4)
    tensor([ 3, -3])
    """
    x1, x2 = pair(x1, x2)
    if x1.dtype is x2.dtype is torch.bool:
        x1, x2 = x1.int(), x2.int()
    return torch.fmod(x1, x2)


@op(shape=rules.broadcast)
def ldexp(x1, x2):
    """`x1 * 2**x2` as floats, also where `2**x2` itself would overflow.

    Args:
        x1: tensor.
        x2: tensor of ints.

    Raises:
        TypeError: `x2` does not hold ints.

    Example:

    >>> keras.ops.ldexp(torch.tensor([0.5, 3.0]), torch.tensor([3, -1]))
    tensor([4.0000, 1.5000])
    """
    x1, x2 = pair(x1, torch.tensor(x2) if isinstance(x2, int) else x2)
    if x2.is_floating_point() or x2.is_complex() or x2.dtype is torch.bool:
        raise TypeError(f"`x2` must hold ints. Received: x2 of dtype {x2.dtype}.")
    x1 = to_float(x1)
    x = at_least_float32(x1)
    # In three steps, none of which leaves the range of the powers of 2 that the dtype has.
    step = 1022 if x.dtype is torch.float64 else 126
    exponent = x2.long().clamp(-3 * step, 3 * step)
    third = torch.div(exponent, 3, rounding_mode="trunc")
    half = torch.div(exponent - third, 2, rounding_mode="trunc")
    for part in (third, half, exponent - third - half):
        x = x * torch.exp2(part.to(x.dtype))
    return x.to(x1.dtype)


@op(shape=rules.broadcast)
def logaddexp2(x1, x2):
    """`log2(2**x1 + 2**x2)` as floats, without overflow.

    Example:

    >>> keras.ops.logaddexp2(torch.tensor([1000.0]), 1000.0)
    tensor([1001.])
    """
    return torch.logaddexp2(*_float_pair(x1, x2))


@op(shape=rules.broadcast)
def nextafter(x1, x2):
    """The next number of the dtype after `x1` towards `x2`, as floats.

    Example:

    >>> keras.ops.nextafter(torch.tensor([1.0]), 2.0) > 1
    tensor([True])
    """
    x1, x2 = _float_pair(x1, x2)
    if x1.dtype is not torch.float16:
        return torch.nextafter(x1, x2)
    # torch has no such step for float16. Its bits count up with its magnitude.
    x1, x2 = torch.broadcast_tensors(x1, x2)
    bits = x1.contiguous().view(torch.int16)
    away = (x2 > x1) == (x1 > 0)
    smallest = torch.where(x2 > 0, 1, -32767).to(torch.int16)
    moved = torch.where(x1 == 0, smallest, bits + torch.where(away, 1, -1).to(torch.int16))
    result = torch.where(x1 == x2, x2, moved.view(torch.float16))
    return torch.where(torch.isnan(x1) | torch.isnan(x2), torch.nan, result)


__all__ = op_names(__name__)
