"""Sequences of evenly, geometrically and logarithmically spaced values, and of powers."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.creation import linspace
from torchkeras.ops.operands import all_tensors


@op(shape=rules.logspace, dtype=rules.spaced_dtype(5))
def logspace(start, stop, num=50, endpoint=True, base=10, dtype=None, axis=0):
    """`num` powers of `base`, whose exponents are evenly spaced from `start` to `stop`.

    Args:
        start, stop: numbers, or tensors that broadcast: the exponents at both ends.
        num: int, at least 0.
        endpoint: bool, whether `base**stop` is the last value.
        base: number, or tensor that broadcasts with the result.
        dtype: name of a dtype; None for a float.
        axis: int, which axis of the result counts the values.

    Example:

    >>> keras.ops.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    rules.linspace(start, stop, num, axis=axis)
    result, compute = _dtypes(start, stop, dtype)
    exponents = linspace(start, stop, num, endpoint=endpoint, dtype=compute, axis=axis)
    return torch.pow(convert_to_tensor(base).to(exponents), exponents).to(result)


@op(shape=rules.geomspace, dtype=rules.spaced_dtype(4))
def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """`num` values from `start` to `stop`, each a multiple of the one before by one factor.

    Args:
        start, stop: numbers, or tensors that broadcast, not 0 and of one sign.
        num: int, at least 0.
        endpoint: bool, whether `stop` is the last value.
        dtype: name of a dtype; None for a float.
        axis: int, which axis of the result counts the values.

    Example:

    >>> keras.ops.geomspace(1, 1000, 4)
    tensor([   1.,   10.,  100., 1000.])
    """
    rules.linspace(start, stop, num, axis=axis)
    result, compute = _dtypes(start, stop, dtype)
    start, stop = (x.to(compute) for x in all_tensors((start, stop)))
    # In the logarithm to base 10, so that powers of 10 come out exactly.
    logarithms = (torch.log10(torch.abs(start)), torch.log10(torch.abs(stop)))
    values = torch.pow(10.0, linspace(*logarithms, num, endpoint=endpoint, dtype=compute))
    values = values * torch.sign(start)
    first = torch.arange(num, device=values.device).reshape(-1, *[1] * (values.dim() - 1))
    values = torch.where(first == 0, start, values)
    if endpoint and num > 1:
        values = torch.where(first == num - 1, stop, values)
    return values.movedim(0, axis).to(result)


def _dtypes(start, stop, dtype):
    """Dtypes to return and to compute in."""
    result = to_torch_dtype(rules.spaced_dtype(2)(start, stop, dtype))
    wide = result.is_floating_point and result.itemsize > 2
    return result, result if wide else torch.float32


@op(shape=rules.vander, dtype=rules.kept)
def vander(x, N=None, increasing=False):
    """A matrix whose columns are the powers of a vector, the highest first.

    Args:
        x: tensor of shape `(n,)`.
        N: int, the number of columns; None for `n`.
        increasing: bool, whether the powers rise from left to right.

    Output shape: `(n, N)`, in the dtype of `x`.

    Example:

    >>> keras.ops.vander(torch.tensor([1, 2, 3]))
    tensor([[1, 1, 1],
            [4, 2, 1],
            [9, 3, 1]])
    """
    x = convert_to_tensor(x)
    rules.vander(x, N, increasing)
    return torch.vander(x, N, increasing).to(x.dtype)


__all__ = op_names(__name__)
