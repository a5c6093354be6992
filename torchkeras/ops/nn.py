"""Functions of neural networks: activations, normalization, one-hot codes, crossentropies."""

import warnings

import torch
import torch.nn.functional as F

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.operation import op
from torchkeras.ops.crossentropy import (
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from torchkeras.ops.operands import at_least_float32, beside, canonical_axes, to_float


@op("relu")
def relu(x):
    """`max(x, 0)`, element by element, in the dtype of `x`.

    Example:

    >>> keras.ops.relu(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return torch.relu(convert_to_tensor(x))


@op("relu6")
def relu6(x):
    """`min(max(x, 0), 6)`, element by element.

    Example:

    >>> keras.ops.relu6(torch.tensor([-1.0, 9.0]))
    tensor([0., 6.])
    """
    return F.relu6(convert_to_tensor(x))


@op("sigmoid")
def sigmoid(x):
    """`1 / (1 + exp(-x))`, element by element, in (0, 1).

    Example:

    >>> keras.ops.sigmoid(torch.tensor([0.0]))
    tensor([0.5000])
    """
    return torch.sigmoid(convert_to_tensor(x))


@op("log_sigmoid")
def log_sigmoid(x):
    """`log(sigmoid(x))`, without overflow.

    Example:

    >>> keras.ops.log_sigmoid(torch.tensor([0.0]))
    tensor([-0.6931])
    """
    return F.logsigmoid(to_float(x))


@op("softplus")
def softplus(x):
    """`log(1 + exp(x))`, a smooth `relu`.

    Example:

    >>> keras.ops.softplus(torch.tensor([0.0]))
    tensor([0.6931])
    """
    return F.softplus(to_float(x))


@op("softsign")
def softsign(x):
    """`x / (1 + |x|)`, in (-1, 1).

    Example:

    >>> keras.ops.softsign(torch.tensor([1.0]))
    tensor([0.5000])
    """
    return F.softsign(to_float(x))


@op("silu")
def silu(x):
    """`x * sigmoid(x)`, also called swish.

    Source: Ramachandran et al. 2017, arXiv:1710.05941.

    Example:

    >>> keras.ops.silu(torch.tensor([0.0]))
    tensor([0.])
    """
    return F.silu(to_float(x))


swish = silu


@op("hard_sigmoid")
def hard_sigmoid(x):
    """`clip(x / 6 + 1 / 2, 0, 1)`, a sigmoid of straight lines.

    Example:

    >>> keras.ops.hard_sigmoid(torch.tensor([-3.0, 0.0, 3.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return F.hardsigmoid(to_float(x))


@op("hard_silu")
def hard_silu(x):
    """`x * hard_sigmoid(x)`, also called hard swish.

    Source: Howard et al. 2019, arXiv:1905.02244.

    Example:

    >>> keras.ops.hard_silu(torch.tensor([-3.0, 3.0]))
    tensor([-0., 3.])
    """
    return F.hardswish(to_float(x))


hard_swish = hard_silu


@op("hard_tanh")
def hard_tanh(x):
    """`clip(x, -1, 1)`, element by element.

    Example:

    >>> keras.ops.hard_tanh(torch.tensor([-2.0, 0.5]))
    tensor([-1.0000,  0.5000])
    """
    return F.hardtanh(convert_to_tensor(x))


@op("tanh_shrink")
def tanh_shrink(x):
    """`x - tanh(x)`, element by element.

    Example:

    >>> keras.ops.tanh_shrink(torch.tensor([0.0]))
    tensor([0.])
    """
    return F.tanhshrink(to_float(x))


@op("selu")
def selu(x):
    """`1.0507 * x` where `x > 0`, else `1.7581 * (exp(x) - 1)`.

    The constants keep activations near mean 0 and variance 1.

    Source: Klambauer et al. 2017, arXiv:1706.02515, with the constants in full.

    Example:

    >>> keras.ops.selu(torch.tensor([1.0]))
    tensor([1.0507])
    """
    return F.selu(to_float(x))


@op("elu")
def elu(x, alpha=1.0):
    """`x` where `x > 0`, else `alpha * (exp(x) - 1)`.

    Source: Clevert et al. 2016, arXiv:1511.07289.

    Example:

    >>> keras.ops.elu(torch.tensor([2.0]))
    tensor([2.])
    """
    return F.elu(to_float(x), alpha)


@op("celu")
def celu(x, alpha=1.0):
    """`x` where `x > 0`, else `alpha * (exp(x / alpha) - 1)`.

    Source: Barron 2017, arXiv:1704.07483.

    Example:

    >>> keras.ops.celu(torch.tensor([2.0]))
    tensor([2.])
    """
    return F.celu(to_float(x), alpha)


@op("leaky_relu")
def leaky_relu(x, negative_slope=0.2):
    """`x` where `x > 0`, else `negative_slope * x`.

    Example:

    >>> keras.ops.leaky_relu(torch.tensor([-10.0, 1.0]))
    tensor([-2.,  1.])
    """
    return F.leaky_relu(to_float(x), negative_slope)


@op("soft_shrink")
def soft_shrink(x, threshold=0.5):
    """`x` moved towards 0 by `threshold`, and 0 within it.

    Example:

    >>> keras.ops.soft_shrink(torch.tensor([-1.0, 0.2]))
    tensor([-0.5000,  0.0000])
    """
    return F.softshrink(to_float(x), threshold)


@op("hard_shrink")
def hard_shrink(x, threshold=0.5):
    """`x` where `|x| > threshold`, else 0.

    Example:

    >>> keras.ops.hard_shrink(torch.tensor([-1.0, 0.2]))
    tensor([-1.,  0.])
    """
    return F.hardshrink(to_float(x), threshold)


@op("threshold")
def threshold(x, threshold, default_value):
    """`x` where `x > threshold`, else `default_value`.

    Example:

    >>> keras.ops.threshold(torch.tensor([0.5, 2.0]), 1, 0)
    tensor([0., 2.])
    """
    return F.threshold(convert_to_tensor(x), threshold, default_value)


@op("sparse_plus")
def sparse_plus(x):
    """0 for `x <= -1`, `(x + 1)^2 / 4` up to 1, and `x` beyond.

    Example:

    >>> keras.ops.sparse_plus(torch.tensor([-2.0, 0.0, 3.0]))
    tensor([0.0000, 0.2500, 3.0000])
    """
    x = to_float(x)
    return torch.where(x < 1, torch.relu(x + 1).square() / 4, x)


@op("sparse_sigmoid")
def sparse_sigmoid(x):
    """`clip((x + 1) / 2, 0, 1)`, element by element.

    Source: Blondel et al. 2019, arXiv:1901.02324.

    Example:

    >>> keras.ops.sparse_sigmoid(torch.tensor([-2.0, 0.0, 3.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return torch.clamp(0.5 * (to_float(x) + 1), 0, 1)


@op("squareplus")
def squareplus(x, b=4):
    """`(x + sqrt(x^2 + b)) / 2`, a smooth `relu`; `b` is the squared width of the bend.

    Source: Barron 2021, arXiv:2112.11687.

    Example:

    >>> keras.ops.squareplus(torch.tensor([0.0]))
    tensor([1.])
    """
    x = to_float(x)
    return (x + torch.sqrt(x.square() + b)) / 2


@op("gelu")
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


@op("glu")
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


@op("softmax")
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
            warnings.warn(
                f"softmax over axis {axis} of a tensor of shape {tuple(x.shape)}: over an axis "
                "of size 1 every result is 1. Was sigmoid meant?",
                stacklevel=2,
            )
        return torch.softmax(x, axis)
    return _over_axes(torch.softmax, x, axis)


@op("log_softmax")
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


@op("sparsemax")
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


@op("one_hot")
def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    """Ones at the class of each element, zeros elsewhere.

    Args:
        x: tensor of ints. An element outside [0, num_classes) gives zeros only.
        num_classes: int, size of the new axis.
        axis: int, where the new axis stands in the result.
        dtype: dtype of the result; None for `floatx()`.
        sparse: must be False; torchkeras has no sparse symbols.

    Example:

    >>> keras.ops.one_hot(torch.tensor([1, 0]), 3)
    tensor([[0., 1., 0.],
            [1., 0., 0.]])
    """
    if sparse:
        raise ValueError("`one_hot` returns dense tensors only. Received: sparse=True.")
    x = convert_to_tensor(x)
    x = x if x.dtype in (torch.int32, torch.int64) else x.long()
    x = x.unsqueeze(axis)
    axis = axis % x.dim()
    classes = torch.arange(num_classes, device=x.device, dtype=x.dtype)
    classes = classes.reshape([-1 if i == axis else 1 for i in range(x.dim())])
    return (x == classes).to(to_torch_dtype(dtype))


@op("multi_hot")
def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False):
    """Ones at every class that occurs in a row, zeros elsewhere.

    Args:
        inputs: tensor of ints of shape `(n,)`, or `(batch, n, ...)`: the second axis is
            gathered. An element outside [0, num_classes) counts nowhere, so -1 can pad.
        num_classes: int, size of the new axis.
        axis: int, where `one_hot` puts the new axis before the gathering.
        dtype: dtype of the result; None for `floatx()`.
        sparse: must be False; torchkeras has no sparse symbols.

    Raises:
        ValueError: `num_classes` is missing.

    Example:

    >>> keras.ops.multi_hot(torch.tensor([[0, 2], [1, -1]]), 3)
    tensor([[1., 0., 1.],
            [0., 1., 0.]])
    """
    if num_classes is None:
        raise ValueError("`num_classes` must be an int. Received: num_classes=None.")
    inputs = convert_to_tensor(inputs)
    codes = one_hot(inputs, num_classes, axis=axis, dtype=dtype, sparse=sparse)
    return torch.amax(codes, 1 if inputs.dim() > 1 else 0)


@op("moments")
def moments(x, axes, keepdims=False, synchronized=False):
    """Mean and variance over axes.

    The variance is divided by the count. It is computed from the differences to the mean,
    which is more exact than the mean square less the squared mean; half precision is summed in
    `float32`.

    Args:
        x: tensor; integers give `floatx()`.
        axes: int or tuple of ints; None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.
        synchronized: must be False: replicas keep their own statistics.

    Returns:
        Tuple `(mean, variance)` in the dtype of `x`.

    Example:

    >>> keras.ops.moments(torch.tensor([1.0, 3.0]), axes=0)
    (tensor(2.), tensor(1.))
    """
    if synchronized:
        raise NotImplementedError(
            "`moments` knows this process only. Received: synchronized=True. Average the "
            "results over the processes with torch.distributed.all_reduce."
        )
    x = to_float(x)
    dtype = x.dtype
    axes = canonical_axes(axes, x.dim(), "axes")
    if not axes:
        return x, torch.zeros_like(x)
    variance, mean = torch.var_mean(at_least_float32(x), axes, correction=0, keepdim=keepdims)
    if dtype is torch.float16:
        limit = torch.finfo(dtype).max  # beyond it a cast would give infinity
        mean, variance = mean.clamp(-limit, limit), variance.clamp(-limit, limit)
    return mean.to(dtype), variance.to(dtype)


@op("normalize")
def normalize(x, axis=-1, order=2, epsilon=None):
    """`x` divided by its norm along an axis: `x / max(norm(x), epsilon)`.

    Args:
        x: tensor; integers give `floatx()`.
        axis: int or tuple of ints the norm is taken over.
        order: int, at least 1: the `p` of the norm `sum(|x|^p)^(1/p)`.
        epsilon: float, least divisor; None for `keras.config.epsilon()`.

    Raises:
        ValueError: `order` is no int of at least 1.

    Example:

    >>> keras.ops.normalize(torch.tensor([3.0, 4.0]))
    tensor([0.6000, 0.8000])
    """
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"`order` must be an int of at least 1. Received: order={order}.")
    x = to_float(x)
    norm = torch.linalg.vector_norm(x, order, axis, keepdim=True)
    return x / norm.clamp_min(config.epsilon() if epsilon is None else epsilon)


@op("layer_normalization")
def layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None):
    """`(x - mean) / sqrt(variance + epsilon) * gamma + beta` over axes.

    Args:
        x: tensor; half precision is computed in `float32`.
        gamma, beta: tensors of the sizes of the normalized axes, or None.
        axis: int or tuple of ints, the axes normalized together.
        epsilon: float; None for `keras.config.epsilon()`.

    Output shape: that of `x`, in its dtype.

    Source: Ba et al. 2016, arXiv:1607.06450, eq. 3.

    Example:

    >>> keras.ops.layer_normalization(torch.tensor([[1.0, 3.0]]))
    tensor([[-1.,  1.]])
    """
    x = to_float(x)
    dtype, x = x.dtype, at_least_float32(x)
    epsilon = config.epsilon() if epsilon is None else epsilon
    axes = sorted(canonical_axes(axis, x.dim()))
    sizes = [x.shape[a] for a in axes]
    gamma, beta = (_scale(w, x, sizes) for w in (gamma, beta))
    if axes == list(range(x.dim() - len(axes), x.dim())):
        return F.layer_norm(x, sizes, gamma, beta, epsilon).to(dtype)
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    x = (x - mean) * torch.rsqrt(variance + epsilon)
    broadcast = [x.shape[i] if i in axes else 1 for i in range(x.dim())]
    x = x if gamma is None else x * gamma.reshape(broadcast)
    return (x if beta is None else x + beta.reshape(broadcast)).to(dtype)


@op("rms_normalization")
def rms_normalization(x, scale=None, axis=-1, epsilon=None):
    """`x / sqrt(mean(x^2) + epsilon) * scale` over axes.

    Args:
        x: tensor; half precision is computed in `float32`.
        scale: tensor of the sizes of the normalized axes, or None.
        axis: int or tuple of ints, the axes normalized together.
        epsilon: float; None for `keras.config.epsilon()`.

    Output shape: that of `x`, in its dtype.

    Source: Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4; there without epsilon.

    Example:

    >>> keras.ops.rms_normalization(torch.tensor([3.0, 3.0]))
    tensor([1., 1.])
    """
    x = to_float(x)
    dtype, x = x.dtype, at_least_float32(x)
    epsilon = config.epsilon() if epsilon is None else epsilon
    axes = sorted(canonical_axes(axis, x.dim()))
    sizes = [x.shape[a] for a in axes]
    scale = _scale(scale, x, sizes)
    if axes == list(range(x.dim() - len(axes), x.dim())):
        return F.rms_norm(x, sizes, scale, epsilon).to(dtype)
    x = x * torch.rsqrt(x.square().mean(axes, keepdim=True) + epsilon)
    if scale is not None:
        x = x * scale.reshape([x.shape[i] if i in axes else 1 for i in range(x.dim())])
    return x.to(dtype)


def _scale(weight, x, sizes):
    """A scale or offset in the dtype of `x` and the shape of the normalized axes."""
    return None if weight is None else beside(weight, x).to(x.dtype).reshape(sizes)


@op("psnr")
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


__all__ = [
    "binary_crossentropy",
    "categorical_crossentropy",
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "layer_normalization",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "moments",
    "multi_hot",
    "normalize",
    "one_hot",
    "psnr",
    "relu",
    "relu6",
    "rms_normalization",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_categorical_crossentropy",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh_shrink",
    "threshold",
]
