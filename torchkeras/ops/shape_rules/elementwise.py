"""Shapes of elementwise functions, and of those that work along an axis and keep it."""

import itertools

from torchkeras.core.op_specs import Misfit
from torchkeras.ops.shape_rules.basics import axes_of, axis_of, listed, product, shape_of, with_size


def same(x, *args, **kwargs):
    """Of the shape of `x`."""
    return shape_of(x)


def broadcast_shapes(*shapes):
    """The shape that shapes broadcast to; an unknown size beside a known one, not 1, is that."""
    result = []
    for sizes in itertools.zip_longest(*[shape[::-1] for shape in shapes], fillvalue=1):
        known = {size for size in sizes if size not in (None, 1)}
        if len(known) > 1:
            raise Misfit(f"the shapes do not broadcast. Received: shapes {listed(shapes)}.")
        result.append(known.pop() if known else (None if None in sizes else 1))
    return tuple(result[::-1])


def broadcast(x1, x2, *args, **kwargs):
    """Of the shape that the first two arguments broadcast to."""
    return broadcast_shapes(shape_of(x1), shape_of(x2))


def broadcast_three(x1, x2=None, x3=None):
    """Of the shape that three arguments broadcast to."""
    return broadcast_shapes(shape_of(x1), shape_of(x2), shape_of(x3))


def broadcast_to_scalar(x1, x2, *args, **kwargs):
    """A tensor of shape () from arguments that broadcast."""
    broadcast(x1, x2)
    return ()


def scalar(*args, **kwargs):
    """Of shape ()."""
    return ()


def select(condlist, choicelist, default=0):
    return broadcast_shapes(*[shape_of(x) for x in (*condlist, *choicelist, default)])


# Along an axis


def along(x, axis=-1, *args, **kwargs):
    """Of the shape of `x`, which must have the axes; flattened for None."""
    shape = shape_of(x)
    if axis is None:
        return (product(shape),)
    axes_of(axis, shape)
    return shape


def running(x, axis=None, dtype=None):
    return along(x, axis)


def over_axes(x, axis=-1, *args, **kwargs):
    """Of the shape of `x`, which must have the axes (None for all)."""
    shape = shape_of(x)
    axes_of(axis, shape)
    return shape


def layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None):
    shape = shape_of(x)
    axes = sorted(axes_of(axis, shape))
    sizes = tuple(shape[a] for a in axes)
    for weight in (gamma, beta):
        if weight is None:
            continue
        count, wanted = product(shape_of(weight)), product(sizes)
        if None not in (count, wanted) and count != wanted:
            raise Misfit(
                f"scales and offsets must have the sizes of the normalized axes, {sizes}. "
                f"Received: a weight of shape {shape_of(weight)} for x of shape {shape}."
            )
    return shape


def rms_normalization(x, scale=None, axis=-1, epsilon=None):
    return layer_normalization(x, scale, None, axis)


def flip(x, axis=None):
    shape = shape_of(x)
    axes_of(axis, shape)
    return shape


def roll(x, shift, axis=None):
    return flip(x, axis)


def glu(x, axis=-1):
    shape = shape_of(x)
    axis = axis_of(axis, shape)
    if shape[axis] is not None and shape[axis] % 2:
        raise Misfit(
            f"the axis must be of even size. Received: axis={axis} for x of shape {shape}."
        )
    return with_size(shape, axis, None if shape[axis] is None else shape[axis] // 2)


def diff(a, n=1, axis=-1):
    shape = shape_of(a)
    axis = axis_of(axis, shape)
    if n < 0:
        raise Misfit(f"`n` must be at least 0. Received: n={n}.")
    size = shape[axis]
    return with_size(shape, axis, None if size is None else max(size - n, 0))
