"""How near one image is to another."""

import torch

from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import beside, to_float


@op(shape=rules.psnr)
def psnr(x1, x2, max_val):
    """Peak signal-to-noise ratio of two tensors, in decibels, a tensor of shape ().

    Computes `10 * log10(max_val^2 / mean((x1 - x2)^2))`.

    Args:
        x1, x2: tensors of one shape, such as images.
        max_val: number, the largest value a signal can have.

    Raises:
        ValueError: the shapes differ.

    Example:

    >>> keras.ops.psnr(torch.zeros(2), torch.ones(2), max_val=10)
    tensor(20.)
    """
    x1, x2 = to_float(x1), to_float(x2)
    if x1.shape != x2.shape:
        raise ValueError(
            f"`x1` and `x2` must have one shape. Received: shapes {tuple(x1.shape)} and "
            f"{tuple(x2.shape)}."
        )
    peak = beside(float(max_val), x1)
    return 20 * torch.log10(peak) - 10 * torch.log10(torch.mean((x1 - x2).square()))


__all__ = op_names(__name__)
