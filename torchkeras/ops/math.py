"""Special functions, distances, and the largest k."""

# ruff: noqa: F403

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import segments, spectral
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import (
    at_least_float32,
    beside,
    canonical_axes,
    same_dtype_pair,
    to_float,
)
from torchkeras.ops.segments import *
from torchkeras.ops.spectral import *


@op(shape=rules.same)
def erf(x):
    """Error function of each element, in (-1, 1).

    Example:

    >>> keras.ops.erf(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.erf(convert_to_tensor(x))


@op(shape=rules.same)
def erfc(x):
    """`1 - erf(x)` of each element, exact for large `x`.

    Example:

    >>> keras.ops.erfc(torch.tensor([0.0]))
    tensor([1.])
    """
    return torch.erfc(convert_to_tensor(x))


@op(shape=rules.same)
def erfinv(x):
    """Inverse of `erf`, element by element; infinite at -1 and 1, NaN beyond.

    Example:

    >>> keras.ops.erfinv(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.erfinv(convert_to_tensor(x))


@op(shape=rules.same)
def rsqrt(x):
    """`1 / sqrt(x)` of each element.

    Example:

    >>> keras.ops.rsqrt(torch.tensor([4.0]))
    tensor([0.5000])
    """
    return torch.rsqrt(convert_to_tensor(x))


@op(shape=rules.reduced, dtype=rules.floating)
def logsumexp(x, axis=None, keepdims=False):
    """`log(sum(exp(x)))` over axes, without overflow.

    Args:
        x: tensor.
        axis: int, tuple of ints, or None for all axes.
        keepdims: bool, whether reduced axes stay with size 1.

    Example:

    >>> keras.ops.logsumexp(torch.tensor([1000.0, 1000.0]))
    tensor(1000.6932)
    """
    x = to_float(x)
    return torch.logsumexp(x, canonical_axes(axis, x.dim()), keepdim=keepdims)


@op(shape=rules.top_k, dtype=rules.with_indices)
def top_k(x, k, sorted=True):
    """The `k` largest elements along the last axis, and their indices.

    Args:
        x: tensor of shape `(..., n)`.
        k: int, at most `n`.
        sorted: bool, whether they come in falling order.

    Returns:
        Tuple of the values and the `int32` indices, both of shape `(..., k)`.

    Example:

    >>> keras.ops.top_k(torch.tensor([1.0, 3.0, 2.0]), 2)
    (tensor([3., 2.]), tensor([1, 2], dtype=torch.int32))
    """
    values, indices = torch.topk(convert_to_tensor(x), k, sorted=sorted)
    return values, indices.to(torch.int32)


@op(shape=rules.in_top_k, dtype="bool")
def in_top_k(targets, predictions, k):
    """Whether the prediction for the target class is among the `k` highest, as booleans.

    Classes that tie with the `k`-th highest all count as among them. A NaN prediction counts
    as higher than any other, and for the target class as a miss; so does a target that is no
    class.

    Args:
        targets: tensor of ints of shape `(batch,)`.
        predictions: tensor of shape `(batch, classes)`.
        k: int.

    Output shape: `(batch,)`.

    Example:

    >>> keras.ops.in_top_k(torch.tensor([2]), torch.tensor([[0.1, 0.5, 0.4]]), k=2)
    tensor([True])
    """
    predictions = convert_to_tensor(predictions)
    targets = beside(targets, predictions).long()
    rules.in_top_k(targets, predictions, k)
    classes = predictions.shape[-1]
    is_class = (targets >= 0) & (targets < classes)
    places = torch.where(is_class, targets, 0).unsqueeze(-1)
    chosen = torch.gather(predictions, -1, places)
    # Counting the higher ones takes one pass; finding the k highest would sort.
    higher = torch.sum(torch.logical_not(predictions <= chosen), -1)
    found = torch.logical_and(higher < k, torch.logical_not(torch.isnan(chosen)).squeeze(-1))
    return torch.logical_and(found, is_class)


@op(shape=rules.cdist, dtype=rules.floats_promoted)
def cdist(x, y):
    """Euclidean distance of each vector of `x` to each of `y`, as floats.

    Args:
        x: tensor of shape `(..., m, d)`.
        y: tensor of shape `(..., n, d)`; leading axes broadcast.

    Output shape: `(..., m, n)`. The gradient of a distance of 0 is 0.

    Example:

    >>> keras.ops.cdist(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    rules.cdist(x, y)
    x, y = same_dtype_pair(x, y)
    dtype = to_float(x).dtype
    # By differences, not by a matrix product: that loses the distances of near vectors.
    mode = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(at_least_float32(x), at_least_float32(y), compute_mode=mode)
    return distances.to(dtype)


@op(shape=rules.broadcast, dtype=rules.floats_promoted)
def gammainc(a, x):
    """Regularized lower incomplete gamma function, in [0, 1], as floats.

    Computes the integral of `t**(a - 1) * exp(-t)` from 0 to `x`, divided by that to infinity.

    Args:
        a: tensor, above 0. torch knows no gradient for it.
        x: tensor, at least 0, that broadcasts with `a`.

    Example:

    >>> keras.ops.gammainc(torch.tensor([1.0]), torch.tensor([0.0]))
    tensor([0.])
    """
    a, x = same_dtype_pair(a, x)
    a, x = to_float(a), to_float(x)
    return torch.special.gammainc(at_least_float32(a), at_least_float32(x)).to(a.dtype)


@op(shape=rules.of_square, dtype=rules.floating)
def logdet(x):
    """Logarithm of the determinant of matrices `(..., n, n)`; NaN if it is negative.

    Example:

    >>> keras.ops.logdet(torch.eye(2))
    tensor(0.)
    """
    return torch.logdet(to_float(x))


__all__ = [*op_names(__name__), *segments.__all__, *spectral.__all__]
