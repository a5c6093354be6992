"""Functions that pick, order and count elements: indexing, sorting, searching, histograms."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import all_tensors, beside, canonical_axes, pair, reject_symbolic


@op(shape=rules.get_item, dtype=rules.kept)
def get_item(x, key):
    """`x[key]`.

    Args:
        x: tensor.
        key: int, slice, Ellipsis, None, tensor of ints or booleans, or a tuple of these.

    Example:

    >>> keras.ops.get_item(torch.tensor([[1, 2], [3, 4]]), (slice(None), 1))
    tensor([2, 4])
    """
    return convert_to_tensor(x)[key]


@op(shape=rules.take, dtype=rules.kept)
def take(x, indices, axis=None):
    """Elements, or slices along an axis, by their indices.

    Args:
        x: tensor.
        indices: tensor of ints, any shape; negative ones count from the end.
        axis: int, or None to index the flattened tensor.

    Output shape: `x.shape[:axis] + indices.shape + x.shape[axis + 1:]`, in the dtype of `x`.

    Example:

    >>> keras.ops.take(torch.tensor([[1, 2], [3, 4]]), torch.tensor([1, 0]), axis=1)
    tensor([[2, 1],
            [4, 3]])
    """
    x = convert_to_tensor(x)
    indices = _indices(indices, x)
    if axis is None:
        x, axis = x.flatten(), 0
    axis = canonical_axes(axis, x.dim())[0]
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    if axis == 0 and x.dim() == 2:
        return torch.nn.functional.embedding(indices, x)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    return torch.index_select(x, axis, indices.flatten()).reshape(shape)


@op(shape=rules.take_along_axis, dtype=rules.kept)
def take_along_axis(x, indices, axis=None):
    """For each place of `indices`, the element of `x` that it names along an axis.

    Args:
        x: tensor.
        indices: tensor of ints with the axes of `x`; other axes broadcast. Negative ones count
            from the end.
        axis: int, or None for both flattened.

    Output shape: that of `indices`, after broadcasting.

    Example:

    >>> keras.ops.take_along_axis(torch.tensor([[1, 2], [3, 4]]), torch.tensor([[1], [0]]), 1)
    tensor([[2],
            [3]])
    """
    x = convert_to_tensor(x)
    indices = _indices(indices, x)
    if axis is None:
        x, indices, axis = x.flatten(), indices.flatten(), 0
    rules.take_along_axis(x, indices, axis)
    axis = canonical_axes(axis, x.dim())[0]
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    # Not torch.take_along_dim, which wraps around where an index is out of range.
    others = ((*t.shape[:axis], *t.shape[axis + 1 :]) for t in (x, indices))
    shape = torch.broadcast_shapes(*others)
    x = x.expand(*shape[:axis], x.shape[axis], *shape[axis:])
    indices = indices.expand(*shape[:axis], indices.shape[axis], *shape[axis:])
    return torch.gather(x, axis, indices)


def _indices(indices, x):
    if not isinstance(indices, torch.Tensor):
        indices = convert_to_tensor(indices).to(x.device)
    return indices.long()


@op(shape=rules.where)
def where(condition, x1=None, x2=None):
    """`x1` where `condition` holds and `x2` elsewhere; without them, where it holds.

    Args:
        condition: tensor of booleans (other dtypes: not 0).
        x1, x2: tensors or numbers that broadcast with it, both or neither.

    Returns:
        A tensor of the common dtype. Without `x1` and `x2`, the indices of the true elements,
        an `int32` tensor of shape `(condition.ndim, count)`.

    Raises:
        ValueError: only one of `x1` and `x2` is given.

    Example:

    >>> keras.ops.where(torch.tensor([True, False]), torch.tensor([1.0, 2.0]), 0)
    tensor([1., 0.])
    """
    condition = convert_to_tensor(condition)
    condition = condition if condition.dtype is torch.bool else condition != 0
    if x1 is None and x2 is None:
        reject_symbolic(condition, "where")
        return torch.nonzero(condition).T.to(torch.int32)
    if x1 is None or x2 is None:
        raise ValueError(
            "`where` takes both `x1` and `x2`, or neither. Received: only "
            f"{'x2' if x1 is None else 'x1'}."
        )
    x1, x2 = pair(x1, x2)
    return torch.where(condition, x1, x2)


@op(shape=rules.refuse("nonzero"))
def nonzero(x):
    """Indices of the elements that are not 0: an `int32` tensor for each axis.

    Returns:
        Tuple of `x.ndim` tensors of shape `(count,)`.

    Example:

    >>> keras.ops.nonzero(torch.tensor([0, 5, 7]))
    (tensor([1, 2], dtype=torch.int32),)
    """
    x = convert_to_tensor(x)
    reject_symbolic(x, "nonzero")
    return tuple(index.to(torch.int32) for index in torch.nonzero(x, as_tuple=True))


@op(shape=rules.along, dtype=rules.kept)
def sort(x, axis=-1):
    """Elements in rising order along an axis (None: flattened).

    Example:

    >>> keras.ops.sort(torch.tensor([3, 1, 2]))
    tensor([1, 2, 3])
    """
    x = convert_to_tensor(x)
    if axis is None:
        x, axis = x.flatten(), 0
    return torch.sort(x, axis).values


@op(shape=rules.along, dtype="int32")
def argsort(x, axis=-1):
    """Indices that would sort along an axis (None: flattened), as `int32`; the sort is stable.

    Example:

    >>> keras.ops.argsort(torch.tensor([3, 1, 2]))
    tensor([1, 2, 0], dtype=torch.int32)
    """
    x = convert_to_tensor(x)
    if axis is None:
        x, axis = x.flatten(), 0
    return torch.argsort(x, dim=axis, stable=True).to(torch.int32)


@op(shape=rules.refuse("unique"))
def unique(
    x,
    sorted=True,
    return_index=False,
    return_inverse=False,
    return_counts=False,
    axis=None,
    size=None,
    fill_value=None,
):
    """The different elements, or slices along an axis, of a tensor.

    Args:
        x: tensor.
        sorted: bool, whether they come in rising order (torch sorts in either case).
        return_index: bool, whether to return also where each occurs first.
        return_inverse: bool, whether to return also the indices that rebuild `x`.
        return_counts: bool, whether to return also how often each occurs.
        axis: int, or None for single elements of the flattened tensor.
        size: int, length of the result: a longer one is cut, a shorter one filled. None for
            as many as there are.
        fill_value: number that fills up to `size`; None for 0. Counts are filled with 0.

    Returns:
        The values, or a tuple of them with the `int32` indices, inverse and counts asked for.

    Raises:
        ValueError: the input is symbolic and the size of the result thus unknown.

    Example:

    >>> keras.ops.unique(torch.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2], dtype=torch.int32))
    """
    x = convert_to_tensor(x)
    reject_symbolic(x, "unique")
    values, inverse, counts = torch.unique(
        x, sorted=True, return_inverse=True, return_counts=True, dim=axis
    )
    dim = 0 if axis is None else axis % x.dim()
    results = [values]
    if return_index:
        flat = inverse.flatten()
        places = torch.arange(flat.shape[0], device=x.device)
        first = torch.full_like(counts, flat.shape[0])
        results.append(first.scatter_reduce(0, flat, places, "amin").to(torch.int32))
    if return_inverse:
        results.append(inverse.to(torch.int32))
    if return_counts:
        results.append(counts.to(torch.int32))
    if size is not None:
        results[0] = _fit(values, dim, size, fill_value or 0)
        for i in range(1, len(results)):
            if i != 1 + return_index or not return_inverse:
                results[i] = _fit(results[i], 0, size, 0)
    return tuple(results) if len(results) > 1 else results[0]


def _fit(x, dim, size, fill_value):
    """`x` cut or filled to `size` along `dim`."""
    missing = size - x.shape[dim]
    if missing <= 0:
        return x.narrow(dim, 0, size)
    widths = [0, 0] * (x.dim() - 1 - dim) + [0, missing]
    return torch.nn.functional.pad(x, widths, value=fill_value)


@op(shape=rules.refuse("bincount"))
def bincount(x, weights=None, minlength=0, sparse=False):
    """How often each of the ints 0, 1, 2, ... occurs.

    Args:
        x: tensor of ints, not negative, of shape `(n,)` or `(batch, n)`; each row of a batch is
            counted by itself.
        weights: tensor of the shape of `x`, what each occurrence counts; None for 1.
        minlength: int, least length of the result.
        sparse: must be False; torchkeras has no sparse symbols.

    Returns:
        Tensor of shape `(length,)` or `(batch, length)`, where `length` is the largest element
        plus one, or `minlength`. `int32`, or the dtype of `x` and `weights` together.

    Example:

    >>> keras.ops.bincount(torch.tensor([1, 1, 3]))
    tensor([0, 2, 0, 1], dtype=torch.int32)
    """
    if sparse:
        raise ValueError("`bincount` returns dense tensors only. Received: sparse=True.")
    if minlength < 0:
        raise ValueError(f"`minlength` must be at least 0. Received: minlength={minlength}.")
    x = convert_to_tensor(x)
    reject_symbolic(x, "bincount")
    dtype = torch.int32
    if weights is not None:
        weights = beside(weights, x)
        dtype = torch.promote_types(x.dtype, weights.dtype)
    rows = (x if x.dim() > 1 else x.unsqueeze(0)).long()
    length = max(minlength, int(rows.max()) + 1 if rows.numel() else 0)
    offsets = length * torch.arange(rows.shape[0], device=x.device)[:, None]
    counts = torch.bincount(
        (rows + offsets).flatten(),
        None if weights is None else weights.flatten(),
        minlength=length * rows.shape[0],
    )
    return counts.reshape(*x.shape[:-1], length).to(dtype)


@op(shape=rules.histogram)
def histogram(x, bins=10, range=None):
    """Counts of the elements in bins of equal width.

    Args:
        x: tensor with at most one axis.
        bins: int, at least 1.
        range: tuple `(lowest, highest)`; elements outside count nowhere. None for the extremes
            of `x`.

    Returns:
        Tuple of the counts, shape `(bins,)`, and the edges, shape `(bins + 1,)`, both in the
        dtype of `x` (floats for integers). A bin holds its left edge, the last one both.

    Raises:
        ValueError: `bins` below 1, a `range` that falls, or `x` with more axes.

    Example:

    >>> keras.ops.histogram(torch.tensor([0.0, 1.0, 4.0]), bins=2)
    (tensor([2., 1.]), tensor([0., 2., 4.]))
    """
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"`bins` must be an int of at least 1. Received: bins={bins}.")
    if range is not None and (len(range) != 2 or not range[0] <= range[1]):
        raise ValueError(f"`range` must be a pair (lowest, highest). Received: range={range}.")
    x = convert_to_tensor(x)
    if x.dim() > 1:
        raise ValueError(
            f"`x` must have at most one axis. Received: x of shape {tuple(x.shape)}. Flatten it "
            "with keras.ops.ravel(x)."
        )
    x = x.flatten() if x.is_floating_point() else x.flatten().float()
    if range is None:
        low, high = (x.amin(), x.amax()) if x.numel() else (x.new_zeros(()), x.new_ones(()))
    else:
        low, high = x.new_full((), range[0]), x.new_full((), range[1])
    flat = low == high
    low, high = torch.where(flat, low - 0.5, low), torch.where(flat, high + 0.5, high)
    steps = torch.arange(bins + 1, device=x.device, dtype=x.dtype) / bins
    edges = low * (1 - steps) + high * steps
    # Bin `bins` is where elements outside the range, and NaN, are put and then dropped.
    index = torch.bucketize(x, edges[1:-1], right=True)
    index = torch.where((x >= low) & (x <= high), index, bins)
    counts = x.new_zeros(bins + 1).index_add(0, index, torch.ones_like(x))
    return counts[:-1], edges


@op(shape=rules.select)
def select(condlist, choicelist, default=0):
    """For each element, the choice whose condition holds first.

    Args:
        condlist: sequence of boolean tensors.
        choicelist: sequence of as many tensors, which broadcast with them.
        default: number or tensor, where no condition holds.

    Example:

    >>> x = torch.tensor([-2.0, 0.5, 3.0])
    >>> keras.ops.select([x < 0, x > 1], [-x, x * 10], 0)
    tensor([ 2.,  0., 30.])
    """
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(
            "`condlist` and `choicelist` must be of one length, at least 1. Received: lengths "
            f"{len(condlist)} and {len(choicelist)}."
        )
    choices = all_tensors(choicelist)
    result = beside(default, choices[0])
    for condition, choice in zip(reversed(list(condlist)), reversed(choices), strict=True):
        result = torch.where(convert_to_tensor(condition).bool(), choice, result)
    return result


__all__ = op_names(__name__)
