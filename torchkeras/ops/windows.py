"""Windows that taper a signal: symmetric ones, of a given number of points, in `floatx()`."""

import operator

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import NAME_TO_TORCH
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import reject_symbolic

_DTYPE = rules.always_floatx


def _facts(x, name):
    """Number of points, and what torch makes the window with."""
    device = config.default_device()
    if not isinstance(x, int):
        x = convert_to_tensor(x)
        rules.window(x)
        reject_symbolic(x, name)
        device = x.device
    points = operator.index(x)
    if points < 0:
        raise ValueError(f"`x`, the number of points, must be at least 0. Received: x={points}.")
    return points, {"dtype": NAME_TO_TORCH[config.floatx()], "device": device}


@op(shape=rules.window, dtype=_DTYPE)
def bartlett(x):
    """Bartlett window: a triangle from 0 up to 1 and back.

    Args:
        x: int, or tensor of shape (), the number of points.

    Output shape: `(x,)`.

    Example:

    >>> keras.ops.bartlett(5)
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    points, facts = _facts(x, "bartlett")
    return torch.signal.windows.bartlett(points, **facts)


@op(shape=rules.window, dtype=_DTYPE)
def blackman(x):
    """Blackman window: `0.42 - 0.5 cos + 0.08 cos` of the angle and its double.

    Args:
        x: int, or tensor of shape (), the number of points.

    Output shape: `(x,)`.

    Example:

    >>> keras.ops.blackman(5)[1]
    tensor(0.3400)
    """
    points, facts = _facts(x, "blackman")
    return torch.signal.windows.blackman(points, **facts)


@op(shape=rules.window, dtype=_DTYPE)
def hamming(x):
    """Hamming window: `0.54 - 0.46 cos` of the angle.

    Args:
        x: int, or tensor of shape (), the number of points.

    Output shape: `(x,)`.

    Example:

    >>> keras.ops.hamming(3)
    tensor([0.0800, 1.0000, 0.0800])
    """
    points, facts = _facts(x, "hamming")
    return torch.signal.windows.hamming(points, **facts)


@op(shape=rules.window, dtype=_DTYPE)
def hanning(x):
    """Hann window: `0.5 - 0.5 cos` of the angle.

    Args:
        x: int, or tensor of shape (), the number of points.

    Output shape: `(x,)`.

    Example:

    >>> keras.ops.hanning(3)
    tensor([0., 1., 0.])
    """
    points, facts = _facts(x, "hanning")
    return torch.signal.windows.hann(points, **facts)


@op(shape=rules.window, dtype=_DTYPE)
def kaiser(x, beta):
    """Kaiser window, made of Bessel functions.

    Args:
        x: int, or tensor of shape (), the number of points.
        beta: float, at least 0: how quickly it falls off; 0 is a rectangle.

    Output shape: `(x,)`.

    Source: Kaiser 1974, "Nonrecursive digital filter design using the I0-sinh window function".

    Example:

    >>> keras.ops.kaiser(3, 0.0)
    tensor([1., 1., 1.])
    """
    points, facts = _facts(x, "kaiser")
    return torch.signal.windows.kaiser(points, beta=float(beta), **facts)


__all__ = op_names(__name__)
