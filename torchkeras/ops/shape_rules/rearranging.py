"""Shapes of tensors that are reshaped, moved, joined, split, repeated or padded."""

import math

import numpy as np

from torchkeras.core.convert import convert_to_numpy
from torchkeras.core.op_specs import Misfit
from torchkeras.ops.shape_rules.basics import (
    _LARGEST,
    axes_of,
    axis_of,
    common,
    listed,
    product,
    shape_of,
    total,
    with_size,
    without_axis,
    without_values,
)
from torchkeras.ops.shape_rules.patterns import plan
from torchkeras.ops.shape_rules.picking import sliced

_MOST_AXES = 64  # as in NumPy
_MOST_PARTS = 2**20  # a list of more takes a second by itself


def reshape(x, newshape):
    shape = shape_of(x)
    target = tuple(newshape) if isinstance(newshape, (tuple, list)) else (newshape,)
    target = [d if d is None or isinstance(d, int) else _int(d) for d in target]
    open_axes = [i for i, d in enumerate(target) if d is None or d == -1]
    known_out = math.prod(d for d in target if d not in (None, -1))
    known_in, unknown = math.prod(d for d in shape if d is not None), None in shape
    text = f"Received: newshape={newshape} for x of shape {shape}."
    if len(open_axes) > 1 or any(d is not None and d < -1 for d in target):
        raise Misfit(f"`newshape` must hold sizes, one of which may be -1. {text}")
    fits = known_out == known_in
    if unknown:
        fits = bool(open_axes) or (not known_out % known_in if known_in else not known_out)
    elif open_axes:
        fits = known_out > 0 and not known_in % known_out
    if not fits:
        raise Misfit(f"`newshape` must hold as many elements as `x`. {text}")
    left = None if unknown else known_in // max(known_out, 1)
    return tuple(left if i in open_axes else d for i, d in enumerate(target))


def _int(size):
    """A size as an int; None for one that a tensor without values holds."""
    return None if without_values(size) else int(size)


def ravel(x):
    return (product(shape_of(x)),)


def expand_dims(x, axis):
    shape = shape_of(x)
    new = (axis,) if isinstance(axis, int) else tuple(axis)
    if len(new) > _MOST_AXES:
        raise Misfit(f"at most {_MOST_AXES} axes are made. Received: {len(new)} axes.")
    axes = axes_of(new, (1,) * (len(shape) + len(new)))
    old = iter(shape)
    return tuple(1 if i in axes else next(old) for i in range(len(shape) + len(new)))


def squeeze(x, axis=None):
    shape = shape_of(x)
    if axis is None:
        return tuple(d for d in shape if d != 1)
    axes = axes_of(axis, shape)
    if any(shape[a] not in (1, None) for a in axes):
        raise Misfit(
            f"only an axis of size 1 can be squeezed. Received: axis={axis} for x of shape {shape}."
        )
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def transpose(x, axes=None):
    shape = shape_of(x)
    if axes is None:
        return shape[::-1]
    order = axes_of(tuple(axes), shape, "axes")
    if sorted(order) != list(range(len(shape))):
        raise Misfit(
            f"`axes` must name each axis once. Received: axes={axes} for x of shape {shape}."
        )
    return tuple(shape[a] for a in order)


def moveaxis(x, source, destination):
    shape = shape_of(x)
    sources = axes_of(source, shape, "source")
    places = axes_of(destination, shape, "destination")
    if len(sources) != len(places) or len(set(sources)) < len(sources):
        raise Misfit(
            "`source` and `destination` must name as many axes, each once. Received: "
            f"source={source}, destination={destination}."
        )
    order = [i for i in range(len(shape)) if i not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return tuple(shape[a] for a in order)


def swapaxes(x, axis1, axis2):
    shape = list(shape_of(x))
    a, b = axis_of(axis1, shape, "axis1"), axis_of(axis2, shape, "axis2")
    shape[a], shape[b] = shape[b], shape[a]
    return tuple(shape)


def broadcast_to(x, shape):
    given, shape = shape_of(x), tuple(shape)
    if len(shape) < len(given) or any(
        a not in (None, 1, b) for a, b in zip(given[::-1], shape[::-1], strict=False)
    ):
        raise Misfit(f"`x` cannot be broadcast. Received: shape={shape} for x of shape {given}.")
    return shape


def concatenate_shapes(shapes, axis):
    """Shape of tensors joined along an axis."""
    if not shapes:
        raise Misfit("at least one tensor is needed. Received: none.")
    axis = axis_of(axis, shapes[0])
    if not shapes[0] or any(len(shape) != len(shapes[0]) for shape in shapes):
        raise Misfit(f"tensors must have as many axes. Received: shapes {listed(shapes)}.")
    what = f"all axes but axis {axis}"
    return tuple(
        total([s[i] for s in shapes]) if i == axis else common([s[i] for s in shapes], what, shapes)
        for i in range(len(shapes[0]))
    )


def concatenate(xs, axis=0):
    return concatenate_shapes([shape_of(x) for x in xs], axis)


def stack(x, axis=0):
    shapes = [shape_of(item) for item in x]
    if not shapes or any(len(shape) != len(shapes[0]) for shape in shapes):
        raise Misfit(f"tensors of one shape are needed. Received: shapes {listed(shapes)}.")
    one = tuple(common(sizes, "the tensors", shapes) for sizes in zip(*shapes, strict=True))
    place = axis_of(axis, (*one, len(shapes)))
    return (*one[:place], len(shapes), *one[place:])


def hstack(xs):
    shapes = [shape_of(x) or (1,) for x in xs]
    return concatenate_shapes(shapes, 0 if shapes and len(shapes[0]) == 1 else 1)


def vstack(xs):
    shapes = [shape_of(x) for x in xs]
    return concatenate_shapes([(1,) * (2 - len(s)) + s for s in shapes], 0)


def append(x1, x2, axis=None):
    if axis is None:
        return (total([product(shape_of(x1)), product(shape_of(x2))]),)
    return concatenate([x1, x2], axis)


def split(x, indices_or_sections, axis=0):
    shape = shape_of(x)
    axis = axis_of(axis, shape)
    size = shape[axis]
    if isinstance(indices_or_sections, int):
        parts = indices_or_sections
        _check_parts(parts)
        if parts < 1 or (size is not None and size % parts):
            raise Misfit(
                f"`x` must divide into equal parts. Received: indices_or_sections={parts} for "
                f"axis {axis} of x of shape {shape}. Pass the indices to cut at."
            )
        return [with_size(shape, axis, None if size is None else size // parts)] * parts
    cuts = [int(cut) for cut in indices_or_sections]
    parts = [slice(a, b) for a, b in zip([None, *cuts], [*cuts, None], strict=True)]
    sizes = [sliced(size, part) for part in parts]
    if size is None and cuts == sorted(cuts) and (not cuts or cuts[0] >= 0):
        # As in Keras, an unknown axis reaches to the last cut.
        sizes = [b - a for a, b in zip([0, *cuts[:-1]], cuts, strict=True)] + [None]
    return [with_size(shape, axis, size) for size in sizes]


def unstack(x, num=None, axis=0):
    shape = shape_of(x)
    axis = axis_of(axis, shape)
    size = shape[axis]
    if None not in (num, size) and num != size:
        raise Misfit(
            f"`num` must be the size of axis {axis}. Received: num={num} for x of shape {shape}. "
            "Leave it out."
        )
    if num is None and size is None:
        raise Misfit(
            f"the size of axis {axis} must be known. Received: x of shape {shape}, num=None. Pass "
            "`num`."
        )
    parts = size if num is None else num
    if not 0 <= parts <= _MOST_PARTS:
        raise Misfit(f"the number of parts must not be beyond all sense. Received: {parts}.")
    return [without_axis(shape, axis)] * parts


def tile(x, repeats):
    shape = shape_of(x)
    repeats = (repeats,) if isinstance(repeats, int) else tuple(int(r) for r in repeats)
    n = max(len(shape), len(repeats))
    shape, repeats = (1,) * (n - len(shape)) + shape, (1,) * (n - len(repeats)) + repeats
    if any(r < 0 for r in repeats):
        raise Misfit(f"`repeats` must not be negative. Received: repeats={repeats}.")
    result = tuple(product(pair) for pair in zip(shape, repeats, strict=True))
    if math.prod(d for d in result if d is not None) > _LARGEST:
        raise Misfit(f"`repeats` must give a result that fits in memory. Received: {repeats}.")
    return result


def repeat(x, repeats, axis=None):
    shape = shape_of(x)
    if axis is None:
        shape, axis = (product(shape),), 0
    axis = axis_of(axis, shape)
    size, given = shape[axis], shape_of(repeats)
    counts = None if without_values(repeats) else np.ravel(convert_to_numpy(repeats)).tolist()
    length = None if None in given else math.prod(given)
    if length not in (None, 1) and size not in (None, length):
        raise Misfit(
            f"`repeats` must hold one count, or one for each of the {size} elements along the "
            f"axis. Received: {length} counts for x of shape {shape}, axis={axis}."
        )
    if counts is None:
        return with_size(shape, axis, None)
    if any(count < 0 for count in counts):
        raise Misfit(f"`repeats` must not be negative. Received: repeats={repeats}.")
    result = with_size(shape, axis, product([size, counts[0]]) if length == 1 else sum(counts))
    if math.prod(d for d in result if d is not None) > _LARGEST:
        raise Misfit(f"`repeats` must give a result that fits in memory. Received: {repeats}.")
    return result


def pad(x, pad_width, mode="constant", constant_values=None):
    shape = shape_of(x)
    if mode not in ("constant", "reflect", "symmetric"):
        raise Misfit(
            f"`mode` must be 'constant', 'reflect' or 'symmetric'. Received: mode={mode!r}."
        )
    if mode != "constant" and constant_values is not None:
        raise Misfit(
            "`constant_values` belongs to mode='constant'. Received: constant_values="
            f"{constant_values} with mode={mode!r}."
        )
    widths = pad_widths(pad_width, shape)
    result = tuple(
        None if d is None else d + sum(pair) for d, pair in zip(shape, widths, strict=True)
    )
    if mode != "constant" and any(d == 0 and any(w) for d, w in zip(shape, widths, strict=True)):
        raise Misfit(f"an empty axis mirrors nothing. Received: x of shape {shape}, mode={mode!r}.")
    if any(d is not None and d < 0 for d in result):
        raise Misfit(
            "more is cut off than there is. Received: "
            f"pad_width={pad_width} for x of shape {shape}."
        )
    return result


def pad_widths(pad_width, shape):
    """A `(before, after)` pair for each axis of `shape`."""
    if isinstance(pad_width, int):
        return [(pad_width, pad_width)] * len(shape)
    pad_width = list(pad_width)
    if all(isinstance(width, int) for width in pad_width):
        pad_width = [pad_width]
    widths = [tuple(width) * 2 if len(width) == 1 else tuple(width) for width in pad_width]
    if len(widths) == 1:
        widths = widths * len(shape)
    if len(widths) != len(shape) or any(len(width) != 2 for width in widths):
        raise Misfit(
            "`pad_width` must hold one (before, after) pair for each axis, or one for all. "
            f"Received: pad_width={pad_width} for x of shape {shape}."
        )
    return widths


def column_stack(xs):
    shapes = [shape_of(x) for x in xs]
    return concatenate_shapes([s + (1,) * (2 - len(s)) for s in shapes], 1)


def dstack(xs):
    shapes = [shape_of(x) for x in xs]
    shapes = [(1, *s, 1) if len(s) == 1 else s + (1,) * (3 - len(s)) for s in shapes]
    return concatenate_shapes(shapes, 2)


def _with_axes(x, axes, name="x"):
    shape = shape_of(x)
    if len(shape) < axes:
        raise Misfit(f"`{name}` must have at least {axes} axes. Received: {name} of shape {shape}.")
    return shape


def vsplit(x, indices_or_sections):
    _with_axes(x, 2)
    return split(x, indices_or_sections, 0)


def hsplit(x, indices_or_sections):
    return split(x, indices_or_sections, min(len(_with_axes(x, 1)) - 1, 1))


def dsplit(x, indices_or_sections):
    _with_axes(x, 3)
    return split(x, indices_or_sections, 2)


def array_split(x, indices_or_sections, axis=0):
    parts = indices_or_sections
    for value, name in ((parts, "indices_or_sections"), (axis, "axis")):
        if not isinstance(value, int):
            raise TypeError(f"`{name}` must be an int. Received: {name}={value!r}.")
    shape = shape_of(x)
    axis = axis_of(axis, shape)
    _check_parts(parts)
    size = shape[axis]
    if size is None:
        return [shape] * parts
    return [with_size(shape, axis, size // parts + (i < size % parts)) for i in range(parts)]


def _check_parts(parts):
    if not 1 <= parts <= _MOST_PARTS:
        raise Misfit(
            f"the number of parts must be at least 1, and not beyond all sense. Received: {parts}."
        )


def fliplr(x):
    return _with_axes(x, 2)


def flipud(x):
    return _with_axes(x, 1)


def rot90(array, k=1, axes=(0, 1)):
    shape = list(_with_axes(array, 2, "array"))
    if len(axes) != 2:
        raise Misfit(f"`axes` must name two axes. Received: axes={axes}.")
    a, b = axis_of(axes[0], shape, "axes"), axis_of(axes[1], shape, "axes")
    if a == b:
        raise Misfit(f"`axes` must name two different axes. Received: axes={axes}.")
    if k % 2:
        shape[a], shape[b] = shape[b], shape[a]
    return tuple(shape)


def rearranged(tensor, pattern, **axes_lengths):
    return tuple(plan(pattern, shape_of(tensor), axes_lengths)[-1])
