"""Activations: functions of one tensor that layers apply to what they computed."""

import warnings

import torch
import torch.nn.functional as F

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import canonical_axes, to_float


@op(shape=rules.same)
def relu(x):
    """`max(x, 0)`, element by element, in the dtype of `x`.

    Example:

    >>> keras.ops.relu(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return torch.relu(convert_to_tensor(x))


@op(shape=rules.same)
def relu6(x):
    """`min(max(x, 0), 6)`, element by element.

    Example:

    >>> keras.ops.relu6(torch.tensor([-1.0, 9.0]))
    tensor([0., 6.])
    """
    return F.relu6(convert_to_tensor(x))


@op(shape=rules.same)
def sigmoid(x):
    """`1 / (1 + exp(-x))`, element by element, in (0, 1).

    Example:

    >>> keras.ops.sigmoid(torch.tensor([0.0]))
    tensor([0.5000])
    """
    return torch.sigmoid(convert_to_tensor(x))


@op(shape=rules.same)
def log_sigmoid(x):
    """`log(sigmoid(x))`, without overflow.

    Example:

    >>> keras.ops.log_sigmoid(torch.tensor([0.0]))
    tensor([-0.6931])
    """
    return F.logsigmoid(to_float(x))


@op(shape=rules.same)
def softplus(x):
    """`log(1 + exp(x))`, a smooth `relu`.

    Example:

    >>> keras.ops.softplus(torch.tensor([0.0]))
    tensor([0.6931])
    """
    return F.softplus(to_float(x))


@op(shape=rules.same)
def softsign(x):
    """`x / (1 + |x|)`, in (-1, 1).

    Example:

    >>> keras.ops.softsign(torch.tensor([1.0]))
    tensor([0.5000])
    """
    return F.softsign(to_float(x))


@op(shape=rules.same)
def silu(x):
    """`x * sigmoid(x)`, also called swish.

    Source: Ramachandran et al. 2017, arXiv:1710.05941.

    Example:

    >>> keras.ops.silu(torch.tensor([0.0]))
    tensor([0.])
    """
    return F.silu(to_float(x))


swish = silu


@op(shape=rules.same)
def hard_sigmoid(x):
    """`clip(x / 6 + 1 / 2, 0, 1)`, a sigmoid of straight lines.

    Example:

    >>> keras.ops.hard_sigmoid(torch.tensor([-3.0, 0.0, 3.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return F.hardsigmoid(to_float(x))


@op(shape=rules.same)
def hard_silu(x):
    """`x * hard_sigmoid(x)`, also called hard swish.

    Source: Howard et al. 2019, arXiv:1905.02244.

    Example:

    >>> keras.ops.hard_silu(torch.tensor([-3.0, 3.0]))
    tensor([-0., 3.])
    """
    return F.hardswish(to_float(x))


hard_swish = hard_silu


@op(shape=rules.same)
def hard_tanh(x):
    """`clip(x, -1, 1)`, element by element.

    Example:

    >>> keras.ops.hard_tanh(torch.tensor([-2.0, 0.5]))
    tensor([-1.0000,  0.5000])
    """
    return F.hardtanh(convert_to_tensor(x))


@op(shape=rules.same)
def tanh_shrink(x):
    """`x - tanh(x)`, element by element.

    Example:

    >>> keras.ops.tanh_shrink(torch.tensor([0.0]))
    tensor([0.])
    """
    return F.tanhshrink(to_float(x))


@op(shape=rules.same)
def selu(x):
    """`1.0507 * x` where `x > 0`, else `1.7581 * (exp(x) - 1)`.

    The constants keep activations near mean 0 and variance 1.

    Source: Klambauer et al. 2017, arXiv:1706.02515, with the constants in full.

    Example:

    >>> keras.ops.selu(torch.tensor([1.0]))
    tensor([1.0507])
    """
    return F.selu(to_float(x))


@op(shape=rules.same)
def elu(x, alpha=1.0):
    """`x` where `x > 0`, else `alpha * (exp(x) - 1)`.

    Source: Clevert et al. 2016, arXiv:1511.07289.

    Example:

    >>> keras.ops.elu(torch.tensor([2.0]))
    tensor([2.])
    """
    return F.elu(to_float(x), alpha)


@op(shape=rules.same)
def celu(x, alpha=1.0):
    """`x` where `x > 0`, else `alpha * (exp(x / alpha) - 1)`.

    Source: Barron 2017, arXiv:1704.07483.

    Example:

    >>> keras.ops.celu(torch.tensor([2.0]))
    tensor([2.])
    """
    return F.celu(to_float(x), alpha)


@op(shape=rules.same)
def leaky_relu(x, negative_slope=0.2):
    """`x` where `x > 0`, else `negative_slope * x`.

    Example:

    >>> keras.ops.leaky_relu(torch.tensor([-10.0, 1.0]))
    tensor([-2.,  1.])
    """
    return F.leaky_relu(to_float(x), negative_slope)


@op(shape=rules.same)
def soft_shrink(x, threshold=0.5):
    """`x` moved towards 0 by `threshold`, and 0 within it.

    Example:

    >>> keras.ops.soft_shrink(torch.tensor([-1.0, 0.2]))
    tensor([-0.5000,  0.0000])
    """
    return F.softshrink(to_float(x), threshold)


@op(shape=rules.same)
def hard_shrink(x, threshold=0.5):
    """`x` where `|x| > threshold`, else 0.

    Example:

    >>> keras.ops.hard_shrink(torch.tensor([-1.0, 0.2]))
    tensor([-1.,  0.])
    """
    return F.hardshrink(to_float(x), threshold)


@op(shape=rules.same)
def threshold(x, threshold, default_value):
    """`x` where `x > threshold`, else `default_value`.

    Example:

    >>> keras.ops.threshold(torch.tensor([0.5, 2.0]), 1, 0)
    tensor([0., 2.])
    """
    return F.threshold(convert_to_tensor(x), threshold, default_value)


@op(shape=rules.same)
def sparse_plus(x):
    """0 for `x <= -1`, `(x + 1)^2 / 4` up to 1, and `x` beyond.

    Example:

    >>> keras.ops.sparse_plus(torch.tensor([-2.0, 0.0, 3.0]))
    tensor([0.0000, 0.2500, 3.0000])
    """
    x = to_float(x)
    return torch.where(x < 1, torch.relu(x + 1).square() / 4, x)


@op(shape=rules.same)
def sparse_sigmoid(x):
    """`clip((x + 1) / 2, 0, 1)`, element by element.

    Source: Blondel et al. 2019, arXiv:1901.02324.

    Example:

    >>> keras.ops.sparse_sigmoid(torch.tensor([-2.0, 0.0, 3.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return torch.clamp(0.5 * (to_float(x) + 1), 0, 1)


@op(shape=rules.same)
def squareplus(x, b=4):
    """`(x + sqrt(x^2 + b)) / 2`, a smooth `relu`; `b` is the squared width of the bend.

    Source: Barron 2021, arXiv:2112.11687.

    Example:

    >>> keras.ops.squareplus(torch.tensor([0.0]))
    tensor([1.])
    """
    x = to_float(x)
    return (x + torch.sqrt(x.square() + b)) / 2


@op(shape=rules.same)
def gelu(x, approximate=True):
    """`x * P(X <= x)` for a normal `X`.

    Args:
        x: tensor.
        approximate: bool, whether to compute the usual approximation by tanh. Note that
            `keras.activations.gelu` computes the exact value by default.

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415.

    Example:

    >>> keras.ops.gelu(torch.tensor([0.0]))
    tensor([0.])
    """
    return F.gelu(to_float(x), approximate="tanh" if approximate else "none")


@op(shape=rules.glu, dtype=rules.floating)
def glu(x, axis=-1):
    """`a * sigmoid(b)`, where `a` and `b` are the halves of `x` along an axis.

    Args:
        x: tensor, of even size along `axis`.
        axis: int.

    Output shape: that of `x`, with half the size along `axis`.

    Source: Dauphin et al. 2017, arXiv:1612.08083.

    Example:

    >>> keras.ops.glu(torch.tensor([2.0, 0.0]))
    tensor([1.])
    """
    return F.glu(to_float(x), axis)


def _softmax_shape(x, axis=-1):
    shape = rules.over_axes(x, axis)
    if isinstance(axis, int) and shape and shape[axis] == 1:
        _warn_of_one(shape, axis)
    return shape


def _warn_of_one(shape, axis):
    warnings.warn(
        f"softmax over axis {axis} of a tensor of shape {tuple(shape)}: over an axis of size 1 "
        "every result is 1. Was sigmoid meant?",
        stacklevel=3,
    )


@op(shape=_softmax_shape, dtype=rules.floating)
def softmax(x, axis=-1):
    """`exp(x) / sum(exp(x))`: values in (0, 1) that sum to 1 over an axis.

    Args:
        x: tensor.
        axis: int, tuple of ints, or None for all axes: what the values sum to 1 over. An axis
            of size 1 gives ones, and a warning.

    Raises:
        IndexError: `x` has no such axis.

    Example:

    >>> keras.ops.softmax(torch.tensor([1.0, 1.0]))
    tensor([0.5000, 0.5000])
    """
    x = to_float(x)
    if isinstance(axis, int):
        if x.dim() and x.size(axis) == 1:
            _warn_of_one(x.shape, axis)
        return torch.softmax(x, axis)
    return _over_axes(torch.softmax, x, axis)


@op(shape=rules.over_axes, dtype=rules.floating)
def log_softmax(x, axis=-1):
    """`x - log(sum(exp(x)))` over an axis: the logarithm of `softmax`, without overflow.

    Args:
        x: tensor.
        axis: int, tuple of ints, or None for all axes.

    Example:

    >>> keras.ops.log_softmax(torch.tensor([1.0, 1.0]))
    tensor([-0.6931, -0.6931])
    """
    x = to_float(x)
    if isinstance(axis, int):
        return torch.log_softmax(x, axis)
    return _over_axes(torch.log_softmax, x, axis)


def _over_axes(function, x, axis):
    """`function`, which takes one axis, over several at once."""
    axes = canonical_axes(axis, x.dim())
    order = [i for i in range(x.dim()) if i not in axes] + list(axes)
    moved = x.permute(order)
    result = function(moved.flatten(x.dim() - len(axes)), -1).reshape(moved.shape)
    return result.permute(sorted(range(x.dim()), key=order.__getitem__))


@op(shape=rules.over_axes, dtype=rules.floating)
def sparsemax(x, axis=-1):
    """The point of the probability simplex nearest to `x`: a softmax with exact zeros.

    Args:
        x: tensor.
        axis: int, the axis over which the values sum to 1.

    Source: Martins and Astudillo 2016, arXiv:1602.02068, algorithm 1.

    Example:

    >>> keras.ops.sparsemax(torch.tensor([1.0, 0.5, -1.0]))
    tensor([0.7500, 0.2500, 0.0000])
    """
    x = to_float(x).movedim(axis, -1)
    ordered = torch.sort(x, dim=-1, descending=True).values
    excess = torch.cumsum(ordered, -1) - 1
    count = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype)
    support = torch.sum(count * ordered > excess, -1, keepdim=True)
    threshold = torch.gather(excess, -1, support - 1) / support
    return torch.relu(x - threshold).movedim(-1, axis)


__all__ = op_names(__name__, "hard_swish", "swish")
