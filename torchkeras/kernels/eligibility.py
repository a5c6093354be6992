"""When a compiled op may stand in for torch's own functions."""

import contextlib

import torch
from torch.autograd import forward_ad

from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import compiled

_PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter)
_NOTHING = contextlib.nullcontext()
_is_traced = torch.compiler.is_dynamo_compiling
_functorch_is_active = torch._C._are_functorch_transforms_active


def is_plain_tensor(x):
    """Whether `x` is a dense tensor of torch's own class, on a device with memory.

    A subclass (a DTensor, a quantized weight) redefines what torch's functions do; it would see
    ours as one opaque call.

    Example:

    >>> from torchkeras.kernels.eligibility import is_plain_tensor
    >>> is_plain_tensor(torch.ones(1)), is_plain_tensor(torch.ones(1).to_sparse())
    (True, False)
    """
    return type(x) in _PLAIN_TYPES and x.layout is torch.strided and not x.is_meta


def needs_plain_torch(kept=False):
    """Whether something follows the single functions of torch, and so must be given them.

    Those are `torch.func` transforms, forward-mode derivatives, tracing by `torch.jit` and
    `torch.export`, whose program is to run without torchkeras; and Inductor, which fuses plain
    functions itself.

    Args:
        kept: bool, whether Inductor gets the op all the same: its own random numbers on a CPU are
            slower than eager torch's.

    Example:

    >>> from torchkeras.kernels.eligibility import needs_plain_torch
    >>> needs_plain_torch()
    False
    """
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting() or not kept or _functorch_is_active()
    return (
        _functorch_is_active()
        or forward_ad._current_level >= 0
        or torch._C._get_tracing_state() is not None
    )


def reaches(size, least):
    """Whether `size >= least`, where a decision by the size may be made.

    A program for export would be fixed to it, and `torch.compile` cannot know a size that depends
    on data: there the answer is no.

    Args:
        size: int, or what stands for one while torch traces.
        least: number.

    Example:

    >>> from torchkeras.kernels.eligibility import reaches
    >>> reaches(3, 2), reaches(1, 2)
    (True, False)
    """
    if _is_traced():
        from torch.fx.experimental.symbolic_shapes import guard_or_false

        return not torch.compiler.is_exporting() and guard_or_false(size >= least)
    return type(size) is int and size >= least


def activation_pays(code, elements):
    """Whether on a CPU an activation alone is a reason for the compiled op.

    From so many elements on it saves more than an autograd Function in Python costs, 20 us.

    Args:
        code: int, one of `activation_codes`.
        elements: int, how many numbers the function is applied to.

    Example:

    >>> from torchkeras.kernels import activation_codes as codes
    >>> from torchkeras.kernels.eligibility import activation_pays
    >>> activation_pays(codes.ELU, 10**6), activation_pays(codes.ELU, 10**3)
    (True, False)
    """
    if not reaches(elements, 65536):
        return False
    return code in codes.GAINS or (code == codes.TANH and compiled.mkl_is_slow)


def autocast_off(device_type):
    """A context without autocast: torch's product inside an op would else change its dtype.

    Args:
        device_type: "cpu" or "cuda".

    Example:

    >>> from torchkeras.kernels.eligibility import autocast_off
    >>> with torch.autocast("cpu"), autocast_off("cpu"):
    ...     torch.is_autocast_enabled("cpu")
    False
    """
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return _NOTHING
