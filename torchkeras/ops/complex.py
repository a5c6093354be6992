"""Parts of complex numbers, and numbers from parts. Real numbers count as complex ones."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import at_least_float32, same_dtype_pair, to_float


@op(shape=rules.same)
def angle(x):
    """Angle of each number to the positive axis, in radians: 0 or pi of a real one.

    Example:

    >>> keras.ops.angle(torch.tensor([1 + 1j]))
    tensor([0.7854])
    """
    x = to_float(x)
    if x.is_complex():
        return torch.angle(x)
    return torch.angle(at_least_float32(x)).to(x.dtype)


@op(shape=rules.same, dtype=rules.kept)
def conjugate(x):
    """Complex conjugate of each number: the imaginary part negated.

    Example:

    >>> keras.ops.conjugate(torch.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    return torch.conj(convert_to_tensor(x)).resolve_conj()


@op(shape=rules.same, dtype=rules.kept)
def conj(x):
    """Complex conjugate of each number: the short name of `conjugate`.

    Example:

    >>> keras.ops.conj(torch.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    return conjugate(x)


@op(shape=rules.same)
def real(x):
    """Real part of each number; a real tensor itself.

    Example:

    >>> keras.ops.real(torch.tensor([1 + 2j]))
    tensor([1.])
    """
    return torch.real(convert_to_tensor(x))


@op(shape=rules.same)
def imag(x):
    """Imaginary part of each number; 0 for real ones.

    Example:

    >>> keras.ops.imag(torch.tensor([1 + 2j]))
    tensor([2.])
    """
    x = convert_to_tensor(x)
    return torch.imag(x) if x.is_complex() else torch.zeros_like(x)


@op(shape=rules.same, dtype="bool")
def isreal(x):
    """Whether the imaginary part of each number is 0, as booleans.

    Example:

    >>> keras.ops.isreal(torch.tensor([1 + 0j, 1 + 2j]))
    tensor([ True, False])
    """
    return torch.isreal(convert_to_tensor(x))


@op(shape=rules.broadcast)
def polar(abs_, angle):
    """Complex numbers of given magnitudes and angles: `abs_ * exp(1j * angle)`.

    Args:
        abs_: tensor of magnitudes; a negative one turns the number by half a circle.
        angle: tensor of angles in radians that broadcasts with it.

    Example:

    >>> keras.ops.polar(torch.tensor([2.0]), torch.tensor([0.0]))
    tensor([2.+0.j])
    """
    size, angle = same_dtype_pair(abs_, angle)
    size, angle = at_least_float32(size), at_least_float32(angle)
    return torch.complex(size * torch.cos(angle), size * torch.sin(angle))


@op(shape=rules.view_as_complex, dtype=rules.complex_of)
def view_as_complex(x):
    """Complex numbers from a last axis of real and imaginary parts.

    Args:
        x: real tensor of shape `(..., 2)`.

    Output shape: `x.shape[:-1]`, `complex64` (`complex128` of `float64`).

    Raises:
        ValueError: the last axis is not of size 2.

    Example:

    >>> keras.ops.view_as_complex(torch.tensor([[1.0, 2.0]]))
    tensor([1.+2.j])
    """
    x = at_least_float32(x)
    rules.view_as_complex(x)
    return torch.complex(x[..., 0], x[..., 1])


@op(shape=rules.view_as_real)
def view_as_real(x):
    """Real and imaginary parts of complex numbers on a new last axis.

    Output shape: `(*x.shape, 2)`.

    Example:

    >>> keras.ops.view_as_real(torch.tensor([1 + 2j]))
    tensor([[1., 2.]])
    """
    x = convert_to_tensor(x)
    return torch.stack((real(x), imag(x)), -1)


__all__ = op_names(__name__)
