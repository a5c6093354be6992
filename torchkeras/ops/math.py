"""Special functions, segment sums, and the largest k."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import beside, canonical_axes, reject_symbolic, to_float


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


@op(shape=rules.same, dtype="bool")
def in_top_k(targets, predictions, k):
    """Whether the prediction for the target class is among the `k` highest, as booleans.

    Classes that tie with the `k`-th highest all count as among them. A NaN prediction counts
    as higher than any other, and for the target class as a miss.

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
    chosen = torch.take_along_dim(predictions, targets.unsqueeze(-1), -1)
    # Counting the higher ones takes one pass; finding the k highest would sort.
    higher = torch.sum(torch.logical_not(predictions <= chosen), -1)
    return torch.logical_and(higher < k, torch.logical_not(torch.isnan(chosen)).squeeze(-1))


@op(shape=rules.segments, dtype=rules.kept)
def segment_sum(data, segment_ids, num_segments=None, sorted=False):
    """Sum of the rows that share a segment.

    Args:
        data: tensor of shape `(n, ...)`.
        segment_ids: tensor of ints of shape `(n,)`: the segment of each row. Rows with an id
            outside [0, num_segments) are left out.
        num_segments: int; None for the largest id plus one, which must be read back from the
            device.
        sorted: bool, whether the ids rise; makes no difference here.

    Output shape: `(num_segments, ...)`, in the dtype of `data`; 0 for empty segments.

    Example:

    >>> keras.ops.segment_sum(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]))
    tensor([3., 4.])
    """
    data, ids, count = _segments(data, segment_ids, num_segments)
    totals = data.new_zeros((count + 1, *data.shape[1:])).index_add(0, ids, data)
    return totals[:-1]


@op(shape=rules.segments, dtype=rules.kept)
def segment_max(data, segment_ids, num_segments=None, sorted=False):
    """Largest of the rows that share a segment, element by element.

    Args:
        data: tensor of shape `(n, ...)`.
        segment_ids: tensor of ints of shape `(n,)`: the segment of each row. Rows with an id
            outside [0, num_segments) are left out.
        num_segments: int; None for the largest id plus one, which must be read back from the
            device.
        sorted: bool, whether the ids rise; makes no difference here.

    Output shape: `(num_segments, ...)`, in the dtype of `data`; empty segments hold minus
    infinity, or the least integer.

    Example:

    >>> keras.ops.segment_max(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]))
    tensor([2., 4.])
    """
    data, ids, count = _segments(data, segment_ids, num_segments)
    least = float("-inf") if data.is_floating_point() else torch.iinfo(data.dtype).min
    largest = data.new_full((count + 1, *data.shape[1:]), least)
    ids = ids.reshape(-1, *[1] * (data.dim() - 1)).expand(data.shape)
    return largest.scatter_reduce(0, ids, data, "amax")[:-1]


def _segments(data, segment_ids, num_segments):
    """Data, ids and count, with ids out of range moved to one segment more, to be dropped."""
    data = convert_to_tensor(data)
    ids = beside(segment_ids, data).long()
    if ids.dim() != 1 or not data.dim() or ids.shape[0] != data.shape[0]:
        raise ValueError(
            "`segment_ids` must hold one id for each row of `data`. Received: segment_ids of "
            f"shape {tuple(ids.shape)}, data of shape {tuple(data.shape)}."
        )
    if num_segments is None:
        reject_symbolic(data, "segment_sum or segment_max without num_segments")
        num_segments = int(ids.max()) + 1 if ids.numel() else 0
    ids = torch.where((ids >= 0) & (ids < num_segments), ids, num_segments)
    return data, ids, num_segments


@op(shape=rules.of_square, dtype=rules.floating)
def logdet(x):
    """Logarithm of the determinant of matrices `(..., n, n)`; NaN if it is negative.

    Example:

    >>> keras.ops.logdet(torch.eye(2))
    tensor(0.)
    """
    return torch.logdet(to_float(x))


__all__ = op_names(__name__)
