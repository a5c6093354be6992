"""Moments over axes, and tensors scaled by them."""

import torch
import torch.nn.functional as F

from torchkeras.core import config
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import at_least_float32, beside, canonical_axes, to_float


@op(shape=rules.moments)
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


@op(shape=rules.over_axes)
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


@op(shape=rules.batch_normalization, dtype=rules.floating)
def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
    """`(x - mean) / sqrt(variance + epsilon) * scale + offset`, channel by channel.

    Args:
        x: tensor; half precision is computed in `float32`.
        mean, variance: tensors of the size of `axis`.
        axis: int, the axis of the channels.
        offset, scale: tensors of the size of `axis`, or None.
        epsilon: float, added to the variance.

    Output shape: that of `x`, in its dtype.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 2.

    Example:

    >>> x = torch.tensor([[1.0], [3.0]])
    >>> keras.ops.batch_normalization(x, torch.tensor([2.0]), torch.tensor([1.0]), 1, epsilon=0.0)
    tensor([[-1.],
            [ 1.]])
    """
    rules.batch_normalization(x, mean, variance, axis, offset, scale)
    x = to_float(x)
    dtype, x = x.dtype, at_least_float32(x)
    shape = [1] * x.dim()
    shape[axis] = x.shape[axis]
    mean, variance, offset, scale = (
        None if weight is None else beside(weight, x).to(x.dtype).reshape(shape)
        for weight in (mean, variance, offset, scale)
    )
    factor = torch.rsqrt(variance + epsilon)
    x = (x - mean) * (factor if scale is None else factor * scale)
    return (x if offset is None else x + offset).to(dtype)


@op(shape=rules.layer_normalization, dtype=rules.floating)
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


@op(shape=rules.rms_normalization, dtype=rules.floating)
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


__all__ = op_names(__name__)
