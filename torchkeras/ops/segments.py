"""Reductions of the rows of a tensor that share a segment.

`segment_ids` may come in any order. Rows with an id outside [0, num_segments) are left out. Without
`num_segments` the largest id must be read back from the device.
"""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import beside, reject_symbolic


@op(shape=rules.segments, dtype=rules.kept)
def segment_sum(data, segment_ids, num_segments=None, sorted=False):
    """Sum of the rows that share a segment.

    Args:
        data: tensor of shape `(n, ...)`.
        segment_ids: tensor of ints of shape `(n,)`: the segment of each row.
        num_segments: int; None for the largest id plus one.
        sorted: bool, whether the ids rise; makes no difference here.

    Output shape: `(num_segments, ...)`, in the dtype of `data`; 0 for empty segments.

    Example:

    >>> keras.ops.segment_sum(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]))
    tensor([3., 4.])
    """
    data, ids, count = _segments(data, segment_ids, num_segments, "segment_sum")
    totals = data.new_zeros((count + 1, *data.shape[1:])).index_add(0, ids, data)
    return totals[:-1]


@op(shape=rules.segments, dtype=rules.kept)
def segment_max(data, segment_ids, num_segments=None, sorted=False):
    """Largest of the rows that share a segment, element by element.

    Args:
        data, segment_ids, num_segments, sorted: as for `segment_sum`.

    Output shape: `(num_segments, ...)`, in the dtype of `data`; empty segments hold minus
    infinity, or the least integer.

    Example:

    >>> keras.ops.segment_max(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]))
    tensor([2., 4.])
    """
    data, ids, count = _segments(data, segment_ids, num_segments, "segment_max")
    return _combined(data, ids, count, _bounds(data.dtype)[0], "amax")


@op(shape=rules.segments, dtype=rules.kept)
def segment_min(data, segment_ids, num_segments=None, sorted=False):
    """Smallest of the rows that share a segment, element by element.

    Args:
        data, segment_ids, num_segments, sorted: as for `segment_sum`.

    Output shape: `(num_segments, ...)`, in the dtype of `data`; empty segments hold infinity,
    or the largest integer.

    Example:

    >>> keras.ops.segment_min(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]))
    tensor([1., 4.])
    """
    data, ids, count = _segments(data, segment_ids, num_segments, "segment_min")
    return _combined(data, ids, count, _bounds(data.dtype)[1], "amin")


@op(shape=rules.segments, dtype=rules.kept)
def segment_prod(data, segment_ids, num_segments=None, sorted=False):
    """Product of the rows that share a segment, element by element.

    Args:
        data, segment_ids, num_segments, sorted: as for `segment_sum`.

    Output shape: `(num_segments, ...)`, in the dtype of `data`; 1 for empty segments.

    Example:

    >>> keras.ops.segment_prod(torch.tensor([3.0, 2.0, 4.0]), torch.tensor([0, 0, 1]))
    tensor([6., 4.])
    """
    data, ids, count = _segments(data, segment_ids, num_segments, "segment_prod")
    return _combined(data, ids, count, 1, "prod")


def _bounds(dtype):
    """Least and largest value of a dtype."""
    if dtype.is_floating_point:
        return float("-inf"), float("inf")
    if dtype is torch.bool:
        return False, True
    limits = torch.iinfo(dtype)
    return limits.min, limits.max


def _combined(data, ids, count, start, how):
    results = data.new_full((count + 1, *data.shape[1:]), start)
    ids = ids.reshape(-1, *[1] * (data.dim() - 1)).expand(data.shape)
    return results.scatter_reduce(0, ids, data, how)[:-1]


def _segments(data, segment_ids, num_segments, name):
    """Data, ids and count, with ids out of range moved to one segment more, to be dropped."""
    data = convert_to_tensor(data)
    ids = beside(segment_ids, data).long()
    if num_segments is None:
        reject_symbolic(data, f"{name} without num_segments")
    rules.segments(data, ids, num_segments)
    if num_segments is None:
        num_segments = int(ids.max()) + 1 if ids.numel() else 0
        num_segments = max(num_segments, 0)
    ids = torch.where((ids >= 0) & (ids < num_segments), ids, num_segments)
    return data, ids, num_segments


__all__ = op_names(__name__)
