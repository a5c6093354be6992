"""The activations that the compiled kernels know, by number, and their plain-torch forms.

A code says what to compute and can be compared, which a function cannot: the kernels fuse what
has a code. The numbers are those of `csrc/common/activation.h`; the constants Keras's defaults.
"""

import functools

import torch
from torch.nn import functional as F

NONE, RELU, SIGMOID, TANH, GELU, GELU_TANH, SILU, SOFTPLUS, ELU, LEAKY_RELU = range(10)

# By code. The argument may be a tensor that nobody else holds, so relu may write into it.
PLAIN = (
    lambda x: x,
    torch.relu_,
    torch.sigmoid,
    torch.tanh,
    F.gelu,
    functools.partial(F.gelu, approximate="tanh"),
    F.silu,
    F.softplus,
    F.elu,
    functools.partial(F.leaky_relu, negative_slope=0.2),
)

# Whether backward needs the sum before the activation; else the value after it, if any.
NEEDS_PREACTIVATION = frozenset((GELU, GELU_TANH, SILU))
# Those whose kernel beats torch's functions in double precision too, where it calls libm.
CHEAP = frozenset((NONE, RELU, LEAKY_RELU))
# Those whose kernel is about twice as fast as torch's function.
GAINS = frozenset((GELU_TANH, SOFTPLUS, ELU))


def needs_value(code):
    """Whether backward needs the value of the activation.

    Example:

    >>> from torchkeras.kernels import activation_codes as codes
    >>> codes.needs_value(codes.RELU), codes.needs_value(codes.NONE)
    (True, False)
    """
    return code != NONE and code not in NEEDS_PREACTIVATION


def plain(code, x):
    """The activation with this code, by torch's own function; it may write into `x`.

    Args:
        code: int, one of this module's codes.
        x: float tensor.

    Example:

    >>> from torchkeras.kernels import activation_codes as codes
    >>> codes.plain(codes.RELU, torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return PLAIN[code](x)
