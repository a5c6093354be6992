"""Shapes of what is picked out of a tensor, counted in it, or put into one."""

import numpy as np
import torch

from torchkeras.core.op_specs import Misfit, dtype_of
from torchkeras.ops.shape_rules.basics import (
    axis_of,
    listed,
    may_be_equal,
    product,
    shape_of,
    with_size,
    without_values,
)
from torchkeras.ops.shape_rules.elementwise import broadcast_shapes, broadcast_three


def sliced(size, part):
    """Size of an axis after `x[part]` with a slice; None where it cannot be known."""
    if (part.step or 1) < 1:
        raise Misfit(f"the step of a slice must be positive. Received: step={part.step}.")
    try:
        if size is not None:
            return len(range(*part.indices(size)))
    except TypeError:  # a bound that is a tensor, whose value is not known
        return None
    start, stop = part.start or 0, part.stop
    if type(start) is int and type(stop) is int and (start < 0) == (stop < 0) and stop <= start:
        return 0
    return None


def get_item(x, key):
    shape = shape_of(x)
    keys = list(key) if isinstance(key, tuple) else [key]
    taken = sum(_axes_taken(part) for part in keys)
    dots = [i for i, part in enumerate(keys) if part is Ellipsis]
    if taken > len(shape) or len(dots) > 1:
        raise Misfit(f"too many indices. Received: {key} for x of shape {shape}.")
    place = dots[0] if dots else len(keys)
    keys[place : place + 1] = [slice(None)] * (len(shape) - taken)
    sizes = iter(enumerate(shape))
    result, indices, places = [], [], []
    for part in keys:
        if part is None:
            result.append(1)
            continue
        if isinstance(part, (bool, np.bool_)):
            indices.append((int(part),))
            places.append(len(result))
            continue
        axis, size = next(sizes)
        if isinstance(part, slice):
            result.append(sliced(size, part))
        elif isinstance(part, (int, np.integer)):
            if size is not None and not -size <= part < size:
                raise Misfit(
                    f"the index must lie in [{-size}, {size}) on axis {axis}. Received: {part} "
                    f"for x of shape {shape}."
                )
        else:
            places.append(len(result))
            of_index = shape_of(part)
            if _is_boolean(part):
                mask = [size, *[next(sizes)[1] for _ in of_index[1:]]]
                if not may_be_equal(mask, of_index):
                    raise Misfit(
                        "a boolean index must have the sizes of the axes it stands for. "
                        f"Received: an index of shape {of_index} for x of shape {shape}."
                    )
                of_index = (_count(part),)
            indices.append(of_index)
    if not indices:
        return tuple(result)
    joined = broadcast_shapes(*indices)
    # torch leaves the axes of index tensors in place where they stand side by side.
    place = places[0] if len(set(places)) == 1 else 0
    return (*result[:place], *joined, *result[place:])


def _axes_taken(part):
    if part is None or part is Ellipsis or isinstance(part, (bool, np.bool_)):
        return 0
    if isinstance(part, (slice, int, np.integer)):
        return 1
    return len(shape_of(part)) if _is_boolean(part) else 1


def _is_boolean(index):
    return dtype_of(index) == "bool"


def _count(mask):
    """Number of true elements; None where there are no values."""
    return None if without_values(mask) else int(torch.as_tensor(mask).count_nonzero())


def take(x, indices, axis=None):
    shape, of_index = shape_of(x), shape_of(indices)
    if axis is None:
        return of_index
    axis = axis_of(axis, shape)
    return (*shape[:axis], *of_index, *shape[axis + 1 :])


def take_along_axis(x, indices, axis=None):
    shape, of_index = shape_of(x), shape_of(indices)
    if axis is None:
        return (product(of_index),)
    axis = axis_of(axis, shape)
    if len(shape) != len(of_index):
        raise Misfit(
            "`indices` must have as many axes as `x`. Received: shapes "
            f"{listed([shape, of_index])}."
        )
    return with_size(
        broadcast_shapes(with_size(shape, axis, 1), with_size(of_index, axis, 1)),
        axis,
        of_index[axis],
    )


def where(condition, x1=None, x2=None):
    if x1 is None and x2 is None:
        return refuse("where")(condition)
    if x1 is None or x2 is None:
        raise Misfit(
            "both `x1` and `x2` are taken, or neither. Received: only "
            f"{'x2' if x1 is None else 'x1'}."
        )
    return broadcast_three(condition, x1, x2)


def refuse(name):
    """A rule that refuses symbols, where the size of the result depends on values."""

    def rule(x, *args, **kwargs):
        if not without_values(x):
            return ()
        raise Misfit(
            f"the size of what `{name}` returns depends on the values of its input, so it cannot "
            f"be a step of a symbolic model. Received: an input of shape {shape_of(x)} without "
            f"values. Use keras.ops.where(condition, x1, x2), or call `{name}` on data."
        )

    return rule


def histogram(x, bins=10, range=None):
    if not isinstance(bins, int) or bins < 1:
        raise Misfit(f"`bins` must be an int of at least 1. Received: bins={bins}.")
    if range is not None and (len(range) != 2 or not range[0] <= range[1]):
        raise Misfit(f"`range` must be a pair (lowest, highest). Received: range={range}.")
    if len(shape_of(x)) > 1:
        raise Misfit(
            f"`x` must have at most one axis. Received: x of shape {shape_of(x)}. Flatten it with "
            "keras.ops.ravel(x)."
        )
    return (bins,), (bins + 1,)


def top_k(x, k, sorted=True):
    shape = shape_of(x)
    if k < 0 or shape and shape[-1] is not None and k > shape[-1]:
        raise Misfit(
            "`k` must be at least 0, and at most the size of the last axis. Received: "
            f"k={k} for x of shape {shape}."
        )
    shape = (*shape[:-1], k) if shape else ()
    return shape, shape


def in_top_k(targets, predictions, k):
    labels, shape = shape_of(targets), shape_of(predictions)
    if len(shape) < 1 or not may_be_equal(labels, shape[:-1]) or shape[-1] == 0:
        raise Misfit(
            "`targets` must have the shape of `predictions` without its classes, at least one. "
            f"Received: targets of shape {labels}, predictions of shape {shape}."
        )
    return labels


def segments(data, segment_ids, num_segments=None, sorted=False):
    shape, ids = shape_of(data), shape_of(segment_ids)
    if len(ids) != 1 or not shape or not may_be_equal(ids, shape[:1]):
        raise Misfit(
            "`segment_ids` must hold one id for each row of `data`. Received: segment_ids of "
            f"shape {ids}, data of shape {shape}."
        )
    if num_segments is None:
        refuse("a segment function without num_segments")(data)
    elif num_segments < 0:
        raise Misfit(f"`num_segments` must be at least 0. Received: num_segments={num_segments}.")
    return (num_segments, *shape[1:])


def block(inputs, start_indices, shape):
    given = shape_of(inputs)
    sizes = tuple(int(size) for size in shape)
    starts = start_indices if isinstance(start_indices, (list, tuple)) else [None] * len(sizes)
    for start, size, there in zip(starts, sizes, given, strict=False):
        start = start if isinstance(start, int) else 0
        if start < 0 or (there is not None and start + size > there):
            raise Misfit(
                f"the slice must lie within `inputs` of shape {given}. Received: "
                f"start_indices={start_indices}, shape={sizes}."
            )
    return (*sizes, *given[len(sizes) :])


def scatter(indices, values, shape):
    return tuple(int(size) for size in shape)


def searchsorted(sorted_sequence, values, side="left"):
    shape = shape_of(sorted_sequence)
    if len(shape) != 1:
        raise Misfit(
            "`sorted_sequence` must have one axis. Received: sorted_sequence of shape "
            f"{shape}. Use keras.ops.vectorized_map for several sequences."
        )
    if side not in ("left", "right"):
        raise Misfit(f"`side` must be 'left' or 'right'. Received: side={side!r}.")
    return shape_of(values)


def argpartition(x, kth, axis=-1):
    shape = shape_of(x)
    if axis is None:
        shape, axis = (product(shape),), 0
    size = shape[axis_of(axis, shape)]
    if size is not None and not -size <= kth < size:
        raise Misfit(
            f"`kth` must lie in [{-size}, {size}) for an axis of size {size}. Received: kth={kth} "
            f"for x of shape {shape}."
        )
    return shape


def unravel_index(indices, shape):
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if len(sizes) > 64 or any(size < 0 for size in sizes):  # as many axes as in NumPy
        raise Misfit(f"`shape` must hold sizes, at most 64. Received: shape={shape}.")
    return tuple(shape_of(indices) for _ in sizes)
