"""Activation functions, each by the name that a layer's `activation=` understands.

Almost all are functions of `keras.ops` under Keras's name and defaults; see there for formulas
and sources. They take tensors, symbols, arrays and numbers, and keep shape and dtype.
"""

import torch

from torchkeras import ops
from torchkeras.core.operation import op
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.crossentropy import remember_logits


def linear(x):
    """`x` itself.

    Example:

    >>> keras.activations.linear(torch.tensor([1.5]))
    tensor([1.5000])
    """
    return x


def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """`max(x, 0)`, with an optional leak, ceiling and threshold.

    Computes `x` where `x >= threshold`, at most `max_value`, and
    `negative_slope * (x - threshold)` below.

    Args:
        x: tensor.
        negative_slope: float, slope below the threshold.
        max_value: float, largest value returned; None for no ceiling.
        threshold: float below which values are damped.

    Example:

    >>> keras.activations.relu(torch.tensor([-2.0, 3.0]), negative_slope=0.5)
    tensor([-1.,  3.])
    """
    if negative_slope == 0.0 and max_value is None and threshold == 0.0:
        return ops.relu(x)
    return _general_relu(x, negative_slope, max_value, threshold)


@op(name="general_relu", shape=rules.same)
def _general_relu(x, negative_slope, max_value, threshold):
    x = ops.convert_to_tensor(x)
    if max_value is None and threshold == 0.0:
        return ops.leaky_relu(x, negative_slope)
    # At a threshold other than 0 itself the function jumps, and Keras takes the lower value.
    above = torch.where(x > threshold, x, 0) if threshold != 0.0 else torch.relu(x)
    if max_value is not None:
        above = torch.clamp(above, 0, max_value)
    if negative_slope == 0.0:
        return above
    return above - negative_slope * torch.relu(threshold - x)


def softmax(x, axis=-1):
    """`exp(x) / sum(exp(x))`: values in (0, 1) that sum to 1 over an axis.

    The result remembers `x` in its attribute `_keras_logits`, so that
    `categorical_crossentropy` and `sparse_categorical_crossentropy` can be computed from it
    without rounding. The memory of `x` is thus held for as long as the result.

    Args:
        x: tensor of logits.
        axis: int, tuple of ints, or None for all axes.

    Raises:
        IndexError: `x` has no such axis.

    Example:

    >>> keras.activations.softmax(torch.tensor([1.0, 1.0]))
    tensor([0.5000, 0.5000])
    """
    output = ops.softmax(x, axis=axis)
    if type(output) is torch.Tensor and isinstance(axis, int):
        remember_logits(output, x, axis % output.dim())
    return output


def sigmoid(x):
    """`1 / (1 + exp(-x))`, element by element, in (0, 1).

    The result remembers `x` in its attribute `_keras_logits`, so that `binary_crossentropy`
    can be computed from it without rounding. The memory of `x` is thus held for as long as the
    result.

    Example:

    >>> keras.activations.sigmoid(torch.tensor([0.0]))
    tensor([0.5000])
    """
    output = ops.sigmoid(x)
    if type(output) is torch.Tensor:
        remember_logits(output, x, "sigmoid")
    return output


def log_softmax(x, axis=-1):
    """`x - log(sum(exp(x)))` over an axis (int, tuple of ints, or None for all).

    Example:

    >>> keras.activations.log_softmax(torch.tensor([1.0, 1.0]))
    tensor([-0.6931, -0.6931])
    """
    return ops.log_softmax(x, axis=axis)


def gelu(x, approximate=False):
    """`x * P(X <= x)` for a normal `X`, exact unless `approximate=True`.

    Example:

    >>> keras.activations.gelu(torch.tensor([1.0]))
    tensor([0.8413])
    """
    return ops.gelu(x, approximate=approximate)


@op(shape=rules.same)
def mish(x):
    """`x * tanh(softplus(x))`, element by element.

    Source: Misra 2019, arXiv:1908.08681.

    Example:

    >>> keras.activations.mish(torch.tensor([1.0]))
    tensor([0.8651])
    """
    return torch.nn.functional.mish(ops.convert_to_tensor(x))


def exponential(x):
    """e to the power of each element.

    Example:

    >>> keras.activations.exponential(torch.tensor([0.0]))
    tensor([1.])
    """
    return ops.exp(x)


def celu(x, alpha=1.0):
    """`x` where `x > 0`, else `alpha * (exp(x / alpha) - 1)`.

    Example:

    >>> keras.activations.celu(torch.tensor([2.0]))
    tensor([2.])
    """
    return ops.celu(x, alpha=alpha)


def elu(x, alpha=1.0):
    """`x` where `x > 0`, else `alpha * (exp(x) - 1)`.

    Example:

    >>> keras.activations.elu(torch.tensor([2.0]))
    tensor([2.])
    """
    return ops.elu(x, alpha=alpha)


def glu(x, axis=-1):
    """`a * sigmoid(b)`, where `a` and `b` are the halves of `x` along `axis`.

    Example:

    >>> keras.activations.glu(torch.tensor([2.0, 0.0]))
    tensor([1.])
    """
    return ops.glu(x, axis=axis)


def hard_shrink(x, threshold=0.5):
    """`x` where `|x| > threshold`, else 0.

    Example:

    >>> keras.activations.hard_shrink(torch.tensor([-1.0, 0.2]))
    tensor([-1.,  0.])
    """
    return ops.hard_shrink(x, threshold=threshold)


def hard_sigmoid(x):
    """`clip(x / 6 + 1 / 2, 0, 1)`, a sigmoid of straight lines.

    Example:

    >>> keras.activations.hard_sigmoid(torch.tensor([-3.0, 0.0]))
    tensor([0.0000, 0.5000])
    """
    return ops.hard_sigmoid(x)


def hard_silu(x):
    """`x * hard_sigmoid(x)`, also called hard swish.

    Example:

    >>> keras.activations.hard_silu(torch.tensor([3.0]))
    tensor([3.])
    """
    return ops.hard_silu(x)


hard_swish = hard_silu


def hard_tanh(x):
    """`clip(x, -1, 1)`, element by element.

    Example:

    >>> keras.activations.hard_tanh(torch.tensor([-2.0]))
    tensor([-1.])
    """
    return ops.hard_tanh(x)


def leaky_relu(x, negative_slope=0.2):
    """`x` where `x > 0`, else `negative_slope * x`.

    Example:

    >>> keras.activations.leaky_relu(torch.tensor([-10.0]))
    tensor([-2.])
    """
    return ops.leaky_relu(x, negative_slope=negative_slope)


def log_sigmoid(x):
    """`log(sigmoid(x))`, without overflow.

    Example:

    >>> keras.activations.log_sigmoid(torch.tensor([0.0]))
    tensor([-0.6931])
    """
    return ops.log_sigmoid(x)


def relu6(x):
    """`min(max(x, 0), 6)`, element by element.

    Example:

    >>> keras.activations.relu6(torch.tensor([9.0]))
    tensor([6.])
    """
    return ops.relu6(x)


def selu(x):
    """`1.0507 * x` where `x > 0`, else `1.7581 * (exp(x) - 1)`.

    Example:

    >>> keras.activations.selu(torch.tensor([1.0]))
    tensor([1.0507])
    """
    return ops.selu(x)


def silu(x):
    """`x * sigmoid(x)`, also called swish.

    Example:

    >>> keras.activations.silu(torch.tensor([0.0]))
    tensor([0.])
    """
    return ops.silu(x)


swish = silu


def soft_shrink(x, threshold=0.5):
    """`x` moved towards 0 by `threshold`, and 0 within it.

    Example:

    >>> keras.activations.soft_shrink(torch.tensor([-1.0]))
    tensor([-0.5000])
    """
    return ops.soft_shrink(x, threshold=threshold)


def softplus(x):
    """`log(1 + exp(x))`, a smooth `relu`.

    Example:

    >>> keras.activations.softplus(torch.tensor([0.0]))
    tensor([0.6931])
    """
    return ops.softplus(x)


def softsign(x):
    """`x / (1 + |x|)`, in (-1, 1).

    Example:

    >>> keras.activations.softsign(torch.tensor([1.0]))
    tensor([0.5000])
    """
    return ops.softsign(x)


def sparse_plus(x):
    """`(x + 1)^2 / 4` in [-1, 1], 0 below and `x` above.

    Example:

    >>> keras.activations.sparse_plus(torch.tensor([0.0]))
    tensor([0.2500])
    """
    return ops.sparse_plus(x)


def sparse_sigmoid(x):
    """`clip((x + 1) / 2, 0, 1)`, element by element.

    Example:

    >>> keras.activations.sparse_sigmoid(torch.tensor([0.0]))
    tensor([0.5000])
    """
    return ops.sparse_sigmoid(x)


def sparsemax(x, axis=-1):
    """`x` projected on the probability simplex: a softmax with exact zeros.

    Example:

    >>> keras.activations.sparsemax(torch.tensor([1.0, 0.5]))
    tensor([0.7500, 0.2500])
    """
    return ops.sparsemax(x, axis=axis)


def squareplus(x, b=4):
    """`(x + sqrt(x^2 + b)) / 2`, a smooth `relu`.

    Example:

    >>> keras.activations.squareplus(torch.tensor([0.0]))
    tensor([1.])
    """
    return ops.squareplus(x, b=b)


def tanh(x):
    """`tanh(x)`, element by element, in (-1, 1).

    Example:

    >>> keras.activations.tanh(torch.tensor([0.0]))
    tensor([0.])
    """
    return ops.tanh(x)


def tanh_shrink(x):
    """`x - tanh(x)`, element by element.

    Example:

    >>> keras.activations.tanh_shrink(torch.tensor([0.0]))
    tensor([0.])
    """
    return ops.tanh_shrink(x)


def threshold(x, threshold, default_value):
    """`x` where `x > threshold`, else `default_value`.

    Example:

    >>> keras.activations.threshold(torch.tensor([0.5, 2.0]), 1, 0)
    tensor([0., 2.])
    """
    return ops.threshold(x, threshold, default_value)
