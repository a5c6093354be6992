"""Integers as bits, and their divisors."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import pair, same_dtype_pair


@op(shape=rules.broadcast)
def bitwise_and(x, y):
    """Bitwise and of two integers or booleans, element by element.

    Example:

    >>> keras.ops.bitwise_and(torch.tensor([6]), 3)
    tensor([2])
    """
    return torch.bitwise_and(*pair(x, y))


@op(shape=rules.broadcast)
def bitwise_or(x, y):
    """Bitwise or of two integers or booleans, element by element.

    Example:

    >>> keras.ops.bitwise_or(torch.tensor([6]), 3)
    tensor([7])
    """
    return torch.bitwise_or(*pair(x, y))


@op(shape=rules.broadcast)
def bitwise_xor(x, y):
    """Bitwise exclusive or of two integers or booleans, element by element.

    Example:

    >>> keras.ops.bitwise_xor(torch.tensor([6]), 3)
    tensor([5])
    """
    return torch.bitwise_xor(*pair(x, y))


@op(shape=rules.same)
def bitwise_not(x):
    """Integers with every bit inverted, booleans negated.

    Example:

    >>> keras.ops.bitwise_not(torch.tensor([0, 5]))
    tensor([-1, -6])
    """
    return torch.bitwise_not(convert_to_tensor(x))


@op(shape=rules.same)
def bitwise_invert(x):
    """Integers with every bit inverted: the other name of `bitwise_not`.

    Example:

    >>> keras.ops.bitwise_invert(torch.tensor([0, 5]))
    tensor([-1, -6])
    """
    return bitwise_not(x)


@op(shape=rules.broadcast)
def bitwise_left_shift(x, y):
    """Integers with their bits moved `y` places up: `x * 2**y`, cut to the dtype.

    Args:
        x, y: tensors of ints that broadcast; shifts are in [0, bits of the dtype).

    Example:

    >>> keras.ops.bitwise_left_shift(torch.tensor([1, 5]), 2)
    tensor([ 4, 20])
    """
    return torch.bitwise_left_shift(*pair(x, y))


@op(shape=rules.broadcast)
def left_shift(x, y):
    """Integers with their bits moved `y` places up: the short name of `bitwise_left_shift`.

    Example:

    >>> keras.ops.left_shift(torch.tensor([1, 5]), 2)
    tensor([ 4, 20])
    """
    return bitwise_left_shift(x, y)


@op(shape=rules.broadcast)
def bitwise_right_shift(x, y):
    """Integers with their bits moved `y` places down: `x // 2**y`.

    Args:
        x, y: tensors of ints that broadcast; shifts are in [0, bits of the dtype).

    Example:

    >>> keras.ops.bitwise_right_shift(torch.tensor([4, -5]), 1)
    tensor([ 2, -3])
    """
    return torch.bitwise_right_shift(*pair(x, y))


@op(shape=rules.broadcast)
def right_shift(x, y):
    """Integers with their bits moved `y` places down: the short name of `bitwise_right_shift`.

    Example:

    >>> keras.ops.right_shift(torch.tensor([4, -5]), 1)
    tensor([ 2, -3])
    """
    return bitwise_right_shift(x, y)


@op(shape=rules.broadcast)
def gcd(x1, x2):
    """Greatest common divisor of two integers, not negative; 0 of two zeros.

    Example:

    >>> keras.ops.gcd(torch.tensor([12, 0]), 18)
    tensor([ 6, 18])
    """
    # torch gives a negative one beside the least integer, whose absolute value there is none.
    return torch.abs(torch.gcd(*pair(x1, x2)))


@op(shape=rules.broadcast)
def lcm(x1, x2):
    """Least common multiple of two integers, not negative; 0 where one is 0.

    Example:

    >>> keras.ops.lcm(torch.tensor([4, 0]), 6)
    tensor([12,  0])
    """
    x1, x2 = same_dtype_pair(x1, x2)
    # Beside the least integer torch divides by -1, which ends the process. Its multiple is beyond
    # the dtype in any case, so it wraps around whatever stands there.
    dtype = x1.dtype
    if dtype in (torch.int32, torch.int64):
        least = torch.iinfo(torch.int64).min
        x1, x2 = (torch.where(x == least, least // 2, x.long()) for x in (x1, x2))
    return torch.lcm(x1, x2).to(dtype)


__all__ = op_names(__name__)
