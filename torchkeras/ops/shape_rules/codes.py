"""Shapes of what is made with a new axis: codes of classes, ranges, grids."""

from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.op_specs import Misfit, dtype_of
from torchkeras.ops.shape_rules.basics import axis_of, product, shape_of, without_axis
from torchkeras.ops.shape_rules.elementwise import broadcast


def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    if sparse:
        raise Misfit("dense tensors only are returned. Received: sparse=True.")
    if num_classes < 0:
        raise Misfit(f"`num_classes` must be at least 0. Received: num_classes={num_classes}.")
    shape = shape_of(x)
    axis = axis_of(axis, (*shape, num_classes))
    return (*shape[:axis], num_classes, *shape[axis:])


def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False):
    if num_classes is None:
        raise Misfit("`num_classes` must be an int. Received: num_classes=None.")
    codes = one_hot(inputs, num_classes, axis, dtype, sparse)
    return without_axis(codes, 1 if len(codes) > 2 else 0)


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    if num < 0:
        raise Misfit(f"`num` must be at least 0. Received: num={num}.")
    step = broadcast(start, stop)
    place = axis_of(axis, (*step, num))
    values = (*step[:place], num, *step[place:])
    return (values, step) if retstep else values


def view(x, dtype=None):
    shape = shape_of(x)
    if dtype is None:
        return shape
    old, new = (to_torch_dtype(d).itemsize for d in (dtype_of(x), dtype))
    if old == new:
        return shape
    if not shape or (shape[-1] is not None and shape[-1] * old % new):
        raise Misfit(
            "the last axis must divide into elements of the new width. Received: x of shape "
            f"{shape} and {old} bytes an element, dtype={dtype!r} of {new} bytes."
        )
    return (*shape[:-1], None if shape[-1] is None else shape[-1] * old // new)


def full(shape, fill_value, dtype=None):
    return (shape,) if isinstance(shape, int) else tuple(shape)


def meshgrid(*x, indexing="xy"):
    if indexing not in ("xy", "ij"):
        raise Misfit(f"`indexing` must be 'xy' or 'ij'. Received: indexing={indexing!r}.")
    sizes = [product(shape_of(item)) for item in x]
    if indexing == "xy" and len(sizes) > 1:
        sizes[0], sizes[1] = sizes[1], sizes[0]
    return [tuple(sizes)] * len(x)


def logspace(start, stop, num=50, endpoint=True, base=10, dtype=None, axis=0):
    return linspace(start, stop, num, axis=axis)


def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    return linspace(start, stop, num, axis=axis)
