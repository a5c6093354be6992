"""Shapes of reductions, and of losses, which reduce over the classes."""

from torchkeras.core.op_specs import Misfit
from torchkeras.ops.shape_rules.basics import (
    axes_of,
    axis_of,
    may_be_equal,
    product,
    shape_of,
    without_axis,
)
from torchkeras.ops.shape_rules.elementwise import broadcast_shapes


def reduced(x, axis=None, keepdims=False, *args, **kwargs):
    """Without the axes, or with size 1 in their place."""
    shape = shape_of(x)
    axes = set(axes_of(axis, shape))
    if keepdims:
        return tuple(1 if i in axes else size for i, size in enumerate(shape))
    return tuple(size for i, size in enumerate(shape) if i not in axes)


def extreme(x, axis=None, keepdims=False, initial=None):
    shape = shape_of(x)
    if initial is None and any(shape[a] == 0 for a in axes_of(axis, shape)):
        raise Misfit(
            "an axis of size 0 needs a value to return. Received: x of shape "
            f"{shape}, axis={axis}, initial=None. Pass `initial`."
        )
    return reduced(x, axis, keepdims)


def average(x, axis=None, weights=None):
    shape = shape_of(x)
    if weights is not None:
        given = shape_of(weights)
        along_axis = isinstance(axis, int) and len(given) == 1
        wanted = (shape[axis_of(axis, shape)],) if along_axis and len(shape) != 1 else shape
        if not may_be_equal(given, wanted):
            raise Misfit(
                "`weights` must have the shape of `x`, or one axis of the size of `x` along an "
                f"int `axis`. Received: weights of shape {given}, x of shape {shape}, axis={axis}."
            )
    return reduced(x, axis)


def moments(x, axes, keepdims=False, synchronized=False):
    shape = reduced(x, axes, keepdims)
    return shape, shape


def quantile(x, q, axis=None, method="linear", keepdims=False):
    if method not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise Misfit(
            "`method` must be 'linear', 'lower', 'higher', 'midpoint' or 'nearest'. Received: "
            f"method={method!r}."
        )
    shape = shape_of(x)
    if any(shape[a] == 0 for a in axes_of(axis, shape)):
        raise Misfit(f"an axis of size 0 has no quantile. Received: x of shape {shape}, {axis=}.")
    return (*shape_of(q), *reduced(x, axis, keepdims))


def psnr(x1, x2, max_val):
    a, b = shape_of(x1), shape_of(x2)
    if not may_be_equal(a, b):
        raise Misfit(f"`x1` and `x2` must have one shape. Received: shapes {a} and {b}.")
    return ()


# Crossentropies


def elementwise_loss(target, output, *args, **kwargs):
    a, b = shape_of(target), shape_of(output)
    if not may_be_equal(a, b):
        raise Misfit(
            f"`target` and `output` must have one shape. Received: target of shape {a}, output "
            f"of shape {b}. Reshape one of them, or one-hot encode class labels."
        )
    return tuple(q if p is None else p for p, q in zip(a, b, strict=True))


def class_loss(target, output, from_logits=False, axis=-1):
    shape = elementwise_loss(target, output)
    if not shape:
        raise Misfit(
            "`target` and `output` must have at least one axis. Received: output of shape ()."
        )
    return without_axis(shape, axis_of(axis, shape))


def label_loss(target, output, from_logits=False, axis=-1):
    labels, shape = shape_of(target), shape_of(output)
    if not shape:
        raise Misfit("`output` must have at least one axis. Received: output of shape ().")
    axis = axis_of(axis, shape)
    expected = without_axis(shape, axis)
    has_axis = len(labels) == len(shape) and labels[axis] == 1
    given = without_axis(labels, axis) if has_axis else labels
    if not may_be_equal(given, expected):
        raise Misfit(
            f"`target` must have the shape of `output` without its class axis: {expected}. "
            f"Received: target of shape {labels}, output of shape {shape}, axis={axis}. For "
            "one-hot targets use categorical_crossentropy."
        )
    return tuple(q if p is None else p for p, q in zip(given, expected, strict=True))


def arg_extreme(x, axis=None, keepdims=False):
    shape = shape_of(x)
    if axis is not None:
        axis = axis_of(axis, shape) if shape else 0
    if product(shape) == 0 and (axis is None or shape[axis] == 0):
        raise Misfit(
            f"an axis of size 0 has no largest element. Received: x of shape {shape}, axis={axis}."
        )
    return reduced(x, axis, keepdims)


def trapezoid(y, x=None, dx=1.0, axis=-1):
    shape = shape_of(y)
    axis = axis_of(axis, shape)
    if x is not None:
        points = shape_of(x)
        along = len(points) == 1 and may_be_equal(points, (shape[axis],))
        if not along and not may_be_equal(broadcast_shapes(points, shape), shape):
            raise Misfit(
                "`x` must broadcast to `y`, or have one axis of the size of `axis`. Received: x "
                f"of shape {points}, y of shape {shape}, axis={axis}."
            )
    return without_axis(shape, axis)
