"""Rules for the shapes of what ops give on symbols, where None is an unknown size.

A rule takes the arguments of the op and gives the shape of the result, or a list or tuple of
shapes. A size is None only where it depends on an unknown one. What cannot fit is a `Misfit`;
what may fit, since a size is unknown, passes, and tensors decide when they come.
"""

import itertools
import math
import operator

import numpy as np
import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_numpy
from torchkeras.core.dtypes import is_float_dtype, result_type, standardize_dtype
from torchkeras.core.op_specs import Misfit, dtype_of

_LARGEST = 2**46  # elements; more than any machine can address


def shape_of(x):
    """Shape of a symbol, tensor, Variable, array, number, or nested lists of these."""
    shape = getattr(x, "shape", None)
    if shape is not None:
        return tuple(shape)
    if isinstance(x, (list, tuple)):
        return (len(x), *shape_of(x[0])) if len(x) else (0,)
    return ()


def floating(x, *args, **kwargs):
    """Dtype of `x`, or `floatx()` for integers and booleans."""
    dtype = dtype_of(x)
    return dtype if is_float_dtype(dtype) or dtype.startswith("complex") else config.floatx()


def kept(x, *args, **kwargs):
    """Dtype of `x`."""
    return dtype_of(x)


def given(position):
    """A rule: the dtype given in the argument `dtype`, there or at a position, else that of `x`."""

    def rule(x, *args, **kwargs):
        dtype = kwargs.get("dtype", args[position - 1] if len(args) >= position else None)
        return dtype_of(x) if dtype is None else standardize_dtype(dtype)

    return rule


def given_or_floatx(position):
    """A rule: the dtype given in the argument `dtype`, there or at a position, else `floatx()`."""

    def rule(*args, **kwargs):
        return standardize_dtype(
            kwargs.get("dtype", args[position] if len(args) > position else None)
        )

    return rule


def of_second(x, y=None, *args, **kwargs):
    """Dtype of the second argument."""
    return dtype_of(kwargs["values"] if y is None else y)


def floating_of_second(x, y, *args, **kwargs):
    """Dtype of the second argument, or `floatx()` for integers and booleans."""
    return floating(y)


def promoted(x1, x2, *args, **kwargs):
    """Common dtype of two arguments."""
    return result_type(dtype_of(x1), dtype_of(x2))


def averaged(x, axis=None, weights=None):
    """Dtype of a weighted mean."""
    return floating(x) if weights is None else result_type(floating(x), dtype_of(weights))


def with_indices(x, *args, **kwargs):
    """Dtypes of values and of where they stand."""
    return [dtype_of(x), "int32"]


# Axes and sizes


def axis_of(axis, shape, name="axis"):
    """`axis` counted from the front."""
    n = len(shape)
    if not -n <= axis < n:
        raise Misfit(
            f"`{name}` must lie in [{-n}, {n}) for a tensor with {len(shape)} axes. Received: "
            f"{name}={axis} for shape {shape}."
        )
    return axis % n


def axes_of(axis, shape, name="axis"):
    """`axis` (int, sequence of ints, or None for all) as a list, counted from the front."""
    if axis is None:
        return list(range(len(shape)))
    axes = axis if isinstance(axis, (tuple, list)) else (operator.index(axis),)
    return [axis_of(a, shape, name) for a in axes if shape or a not in (0, -1)]


def product(sizes):
    """Product of sizes; None if one is unknown (and none is 0)."""
    sizes = list(sizes)
    if 0 in sizes:
        return 0
    return None if None in sizes else math.prod(sizes)


def common(sizes, what, shapes):
    """The one size that several equal sizes have."""
    known = {size for size in sizes if size is not None}
    if len(known) > 1:
        raise Misfit(f"{what} must be of one size. Received: shapes {_listed(shapes)}.")
    return known.pop() if known else None


def total(sizes):
    """Sum of sizes; None if one is unknown."""
    return None if None in sizes else sum(sizes)


def _listed(shapes):
    return ", ".join(str(tuple(shape)) for shape in shapes)


def _without(shape, axis):
    return (*shape[:axis], *shape[axis + 1 :])


def _with(shape, axis, size):
    return (*shape[:axis], size, *shape[axis + 1 :])


# Elementwise functions


def same(x, *args, **kwargs):
    """Of the shape of `x`."""
    return shape_of(x)


def broadcast_shapes(*shapes):
    """The shape that shapes broadcast to; an unknown size beside a known one, not 1, is that."""
    result = []
    for sizes in itertools.zip_longest(*[shape[::-1] for shape in shapes], fillvalue=1):
        known = {size for size in sizes if size not in (None, 1)}
        if len(known) > 1:
            raise Misfit(f"the shapes do not broadcast. Received: shapes {_listed(shapes)}.")
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
    return _with(shape, axis, None if shape[axis] is None else shape[axis] // 2)


def diff(a, n=1, axis=-1):
    shape = shape_of(a)
    axis = axis_of(axis, shape)
    size = shape[axis]
    return _with(shape, axis, None if size is None else max(size - n, 0))


# Reductions


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
        if not _may_be_equal(given, wanted):
            raise Misfit(
                "`weights` must have the shape of `x`, or one axis of the size of `x` along an "
                f"int `axis`. Received: weights of shape {given}, x of shape {shape}, axis={axis}."
            )
    return reduced(x, axis)


def moments(x, axes, keepdims=False, synchronized=False):
    shape = reduced(x, axes, keepdims)
    return shape, shape


def norm(x, ord=None, axis=None, keepdims=False):
    return reduced(x, axis, keepdims)


def quantile(x, q, axis=None, method="linear", keepdims=False):
    return (*shape_of(q), *reduced(x, axis, keepdims))


def trace(x, offset=0, axis1=0, axis2=1):
    return diagonal(x, offset, axis1, axis2)[:-1]


def _may_be_equal(a, b):
    return len(a) == len(b) and all(
        p is None or q is None or p == q for p, q in zip(a, b, strict=False)
    )


def psnr(x1, x2, max_val):
    a, b = shape_of(x1), shape_of(x2)
    if not _may_be_equal(a, b):
        raise Misfit(f"`x1` and `x2` must have one shape. Received: shapes {a} and {b}.")
    return ()


# Crossentropies


def elementwise_loss(target, output, *args, **kwargs):
    a, b = shape_of(target), shape_of(output)
    if not _may_be_equal(a, b):
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
    return _without(shape, axis_of(axis, shape))


def label_loss(target, output, from_logits=False, axis=-1):
    labels, shape = shape_of(target), shape_of(output)
    if not shape:
        raise Misfit("`output` must have at least one axis. Received: output of shape ().")
    axis = axis_of(axis, shape)
    expected = _without(shape, axis)
    given = _without(labels, axis) if len(labels) == len(shape) and labels[axis] == 1 else labels
    if not _may_be_equal(given, expected):
        raise Misfit(
            f"`target` must have the shape of `output` without its class axis: {expected}. "
            f"Received: target of shape {labels}, output of shape {shape}, axis={axis}. For "
            "one-hot targets use categorical_crossentropy."
        )
    return tuple(q if p is None else p for p, q in zip(given, expected, strict=True))


# New axes and codes


def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    if sparse:
        raise Misfit("dense tensors only are returned. Received: sparse=True.")
    shape = shape_of(x)
    axis = axis_of(axis, (*shape, num_classes))
    return (*shape[:axis], num_classes, *shape[axis:])


def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False):
    if num_classes is None:
        raise Misfit("`num_classes` must be an int. Received: num_classes=None.")
    codes = one_hot(inputs, num_classes, axis, dtype, sparse)
    return _without(codes, 1 if len(codes) > 2 else 0)


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    step = broadcast(start, stop)
    place = axis_of(axis, (*step, num))
    values = (*step[:place], num, *step[place:])
    return (values, step) if retstep else values


def full(shape, fill_value, dtype=None):
    return (shape,) if isinstance(shape, int) else tuple(shape)


def meshgrid(*x, indexing="xy"):
    if indexing not in ("xy", "ij"):
        raise Misfit(f"`indexing` must be 'xy' or 'ij'. Received: indexing={indexing!r}.")
    sizes = [product(shape_of(item)) for item in x]
    if indexing == "xy" and len(sizes) > 1:
        sizes[0], sizes[1] = sizes[1], sizes[0]
    return [tuple(sizes)] * len(x)


# Matrices


def _matrices(shape, name="x"):
    if len(shape) < 2:
        raise Misfit(
            f"`{name}` must hold matrices, so have at least 2 axes. Received: {name} of shape "
            f"{shape}."
        )
    return shape


def square(x, *args, **kwargs):
    shape = _matrices(shape_of(x))
    if not _may_be_equal(shape[-2:-1], shape[-1:]):
        raise Misfit(f"`x` must hold square matrices. Received: x of shape {shape}.")
    size = shape[-1] if shape[-2] is None else shape[-2]
    return (*shape[:-2], size, size)


def of_square(x):
    """One value for each square matrix."""
    return square(x)[:-2]


def eigen(x):
    shape = square(x)
    return shape[:-1], shape


def triangle(x, k=0):
    return _matrices(shape_of(x))


def _smaller(m, n):
    if m is None or n is None:
        return None
    return min(m, n)


def qr(x, mode="reduced"):
    if mode not in ("reduced", "complete"):
        raise Misfit(f"`mode` must be 'reduced' or 'complete'. Received: mode={mode!r}.")
    *batch, m, n = _matrices(shape_of(x))
    k = _smaller(m, n) if mode == "reduced" else m
    return (*batch, m, k), (*batch, k, n)


def svd(x, full_matrices=True, compute_uv=True):
    *batch, m, n = _matrices(shape_of(x))
    k = _smaller(m, n)
    if not compute_uv:
        return (*batch, k)
    u, vh = (m, m if full_matrices else k), (n if full_matrices else k, n)
    return (*batch, *u), (*batch, k), (*batch, *vh)


def solve(a, b, *args, **kwargs):
    matrices, right = square(a), shape_of(b)
    vector = len(right) == len(matrices) - 1
    if len(right) < len(matrices) - 1 or not right:
        raise Misfit(
            "`b` must have the axes of `a`, or one less. Received: a of shape "
            f"{matrices}, b of shape {right}."
        )
    rows = -1 if vector else -2
    size = common([matrices[-1], right[rows]], "the rows of `a` and `b`", [matrices, right])
    batch = broadcast_shapes(matrices[:-2], right[:rows])
    return (*batch, size) if vector else (*batch, size, right[-1])


def lstsq(a, b, rcond=None):
    left, right = _matrices(shape_of(a), "a"), shape_of(b)
    return matmul_shapes((*left[:-2], left[-1], left[-2]), right)


def diag(x, k=0):
    shape = shape_of(x)
    if len(shape) == 1:
        size = None if shape[0] is None else shape[0] + abs(k)
        return size, size
    if len(shape) != 2:
        raise Misfit(f"`x` must have one or two axes. Received: x of shape {shape}.")
    return diagonal(x, k)


def diagonal(x, offset=0, axis1=0, axis2=1):
    shape = _matrices(shape_of(x))
    axis1, axis2 = axis_of(axis1, shape, "axis1"), axis_of(axis2, shape, "axis2")
    rows, columns = shape[axis1], shape[axis2]
    rows = rows if rows is None or offset >= 0 else max(rows + offset, 0)
    columns = columns if columns is None or offset < 0 else max(columns - offset, 0)
    rest = [size for i, size in enumerate(shape) if i not in (axis1, axis2)]
    return (*rest, _smaller(rows, columns))


# Products


def matmul_shapes(a, b):
    """Shape of a matrix product."""
    if not a or not b:
        raise Misfit(f"both tensors must have axes. Received: shapes {_listed([a, b])}.")
    left = a if len(a) > 1 else (1, *a)
    right = b if len(b) > 1 else (*b, 1)
    if not _may_be_equal(left[-1:], right[-2:-1]):
        raise Misfit(
            "the last axis of the first tensor must have the size of the last but one of the "
            f"second. Received: shapes {_listed([a, b])}."
        )
    rows, columns = left[-2:-1] * (len(a) > 1), right[-1:] * (len(b) > 1)
    return (*broadcast_shapes(left[:-2], right[:-2]), *rows, *columns)


def matmul(x1, x2):
    return matmul_shapes(shape_of(x1), shape_of(x2))


def dot(x1, x2):
    a, b = shape_of(x1), shape_of(x2)
    if not a or not b:
        return a or b
    if len(b) <= 2:
        return matmul_shapes(a, b)
    return tensordot(x1, x2, ([-1], [-2]))


def tensordot(x1, x2, axes=2):
    a, b = shape_of(x1), shape_of(x2)
    if isinstance(axes, int):
        if axes > min(len(a), len(b)):
            raise Misfit(
                f"`axes` must be at most the number of axes. Received: axes={axes} for shapes "
                f"{_listed([a, b])}."
            )
        left, right = range(len(a) - axes, len(a)), range(axes)
    else:
        left, right = axes_of(axes[0], a, "axes"), axes_of(axes[1], b, "axes")
    if len(left) != len(right) or not _may_be_equal([a[i] for i in left], [b[i] for i in right]):
        raise Misfit(
            f"the axes that are summed over must agree in size. Received: axes={axes} for shapes "
            f"{_listed([a, b])}."
        )
    left, right = set(left), set(right)
    rest = [d for i, d in enumerate(a) if i not in left]
    return (*rest, *[d for i, d in enumerate(b) if i not in right])


def inner(x1, x2):
    a, b = shape_of(x1), shape_of(x2)
    return tensordot(x1, x2, ([-1], [-1])) if a and b else a or b


def outer(x1, x2):
    return product(shape_of(x1)), product(shape_of(x2))


def cross(x1, x2, axisa=-1, axisb=-1, axisc=-1, axis=None):
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = shape_of(x1), shape_of(x2)
    i, j = axis_of(axisa, a, "axisa"), axis_of(axisb, b, "axisb")
    if {a[i], b[j]} - {3, None}:
        raise Misfit(
            "vectors of 3 components are multiplied. Received: shapes "
            f"{_listed([a, b])}, axisa={axisa}, axisb={axisb}. Append a zero to vectors of 2."
        )
    rest = broadcast_shapes(_without(a, i), _without(b, j))
    place = axis_of(axisc, (*rest, 3), "axisc")
    return (*rest[:place], 3, *rest[place:])


def einsum(subscripts, *operands, **kwargs):
    shapes = [shape_of(x) for x in operands]
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(shapes):
        raise Misfit(
            f"`subscripts` must name the axes of each operand. Received: {subscripts!r} for "
            f"{len(shapes)} operands."
        )
    sizes, batches = {}, []
    for term, shape in zip(terms, shapes, strict=True):
        before, dots, after = term.partition("...")
        if len(before) + len(after) > len(shape) or (not dots and len(term) != len(shape)):
            raise Misfit(
                f"`subscripts` must name each axis. Received: {subscripts!r} for shapes "
                f"{_listed(shapes)}."
            )
        end = len(shape) - len(after)
        batches.append(shape[len(before) : end])
        for letter, size in zip(before + after, shape[: len(before)] + shape[end:], strict=True):
            (sizes[letter],) = broadcast_shapes((sizes.get(letter, 1),), (size,))
    if not arrow:
        letters = "".join(terms).replace(".", "")
        output = "..." * any("..." in t for t in terms)
        output += "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    before, dots, after = output.partition("...")
    unknown = [c for c in before + after if c not in sizes]
    if unknown:
        raise Misfit(f"`subscripts` gives axes that no operand has. Received: {subscripts!r}.")
    batch = broadcast_shapes(*batches) if dots else ()
    return (*[sizes[c] for c in before], *batch, *[sizes[c] for c in after])


# Rearranging


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
    return None if _without_values(size) else int(size)


def _without_values(x):
    """Whether `x` is a symbol or a tensor without data."""
    return getattr(type(x), "_is_symbolic", False) or getattr(x, "is_meta", False) is True


def ravel(x):
    return (product(shape_of(x)),)


def expand_dims(x, axis):
    shape = shape_of(x)
    new = (axis,) if isinstance(axis, int) else tuple(axis)
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
        raise Misfit(f"tensors must have as many axes. Received: shapes {_listed(shapes)}.")
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
        raise Misfit(f"tensors of one shape are needed. Received: shapes {_listed(shapes)}.")
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
        if parts < 1 or (size is not None and size % parts):
            raise Misfit(
                f"`x` must divide into equal parts. Received: indices_or_sections={parts} for "
                f"axis {axis} of x of shape {shape}. Pass the indices to cut at."
            )
        return [_with(shape, axis, None if size is None else size // parts)] * parts
    cuts = [int(cut) for cut in indices_or_sections]
    parts = [slice(a, b) for a, b in zip([None, *cuts], [*cuts, None], strict=True)]
    sizes = [sliced(size, part) for part in parts]
    if size is None and cuts == sorted(cuts) and (not cuts or cuts[0] >= 0):
        # As in Keras, an unknown axis reaches to the last cut.
        sizes = [b - a for a, b in zip([0, *cuts[:-1]], cuts, strict=True)] + [None]
    return [_with(shape, axis, size) for size in sizes]


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
    return [_without(shape, axis)] * (size if num is None else num)


def tile(x, repeats):
    shape = shape_of(x)
    repeats = (repeats,) if isinstance(repeats, int) else tuple(int(r) for r in repeats)
    n = max(len(shape), len(repeats))
    shape, repeats = (1,) * (n - len(shape)) + shape, (1,) * (n - len(repeats)) + repeats
    if any(r < 0 for r in repeats):
        raise Misfit(f"`repeats` must not be negative. Received: repeats={repeats}.")
    return tuple(product(pair) for pair in zip(shape, repeats, strict=True))


def repeat(x, repeats, axis=None):
    shape = shape_of(x)
    if axis is None:
        shape, axis = (product(shape),), 0
    axis = axis_of(axis, shape)
    size, given = shape[axis], shape_of(repeats)
    counts = None if _without_values(repeats) else np.ravel(convert_to_numpy(repeats)).tolist()
    length = None if None in given else math.prod(given)
    if length not in (None, 1) and size not in (None, length):
        raise Misfit(
            f"`repeats` must hold one count, or one for each of the {size} elements along the "
            f"axis. Received: {length} counts for x of shape {shape}, axis={axis}."
        )
    if counts is None:
        return _with(shape, axis, None)
    if any(count < 0 for count in counts):
        raise Misfit(f"`repeats` must not be negative. Received: repeats={repeats}.")
    result = _with(shape, axis, product([size, counts[0]]) if length == 1 else sum(counts))
    if math.prod(d for d in result if d is not None) > _LARGEST:
        raise Misfit(f"`repeats` must give a result that fits in memory. Received: {repeats}.")
    return result


def pad(x, pad_width, mode="constant", constant_values=None):
    shape = shape_of(x)
    if mode not in ("constant", "reflect", "symmetric"):
        raise Misfit(f"`mode` must be 'constant', 'reflect' or 'symmetric'. Received: {mode!r}.")
    if mode != "constant" and constant_values is not None:
        raise Misfit(
            "`constant_values` belongs to mode='constant'. Received: constant_values="
            f"{constant_values} with mode={mode!r}."
        )
    widths = pad_widths(pad_width, shape)
    result = tuple(
        None if d is None else d + sum(pair) for d, pair in zip(shape, widths, strict=True)
    )
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


# Picking


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
                if not _may_be_equal(mask, of_index):
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
    return None if _without_values(mask) else int(torch.as_tensor(mask).count_nonzero())


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
            f"{_listed([shape, of_index])}."
        )
    return _with(
        broadcast_shapes(_with(shape, axis, 1), _with(of_index, axis, 1)), axis, of_index[axis]
    )


def where(condition, x1=None, x2=None):
    if x1 is None and x2 is None:
        refuse("where")(condition)
    if x1 is None or x2 is None:
        raise Misfit(
            "both `x1` and `x2` are taken, or neither. Received: only "
            f"{'x2' if x1 is None else 'x1'}."
        )
    return broadcast_three(condition, x1, x2)


def refuse(name):
    """A rule that refuses symbols, where the size of the result depends on values."""

    def rule(x, *args, **kwargs):
        raise Misfit(
            f"the size of what `{name}` returns depends on the values of its input, so it cannot "
            f"be a step of a symbolic model. Received: an input of shape {shape_of(x)} without "
            f"values. Use keras.ops.where(condition, x1, x2), or call `{name}` on data."
        )

    return rule


def histogram(x, bins=10, range=None):
    if not isinstance(bins, int) or bins < 1:
        raise Misfit(f"`bins` must be an int of at least 1. Received: bins={bins}.")
    if range is not None and (len(range) != 2 or range[1] < range[0]):
        raise Misfit(f"`range` must be a pair (lowest, highest). Received: range={range}.")
    if len(shape_of(x)) > 1:
        raise Misfit(
            f"`x` must have at most one axis. Received: x of shape {shape_of(x)}. Flatten it with "
            "keras.ops.ravel(x)."
        )
    return (bins,), (bins + 1,)


def top_k(x, k, sorted=True):
    shape = shape_of(x)
    if shape and shape[-1] is not None and k > shape[-1]:
        raise Misfit(
            "`k` must be at most the size of the last axis. Received: "
            f"k={k} for x of shape {shape}."
        )
    shape = (*shape[:-1], k) if shape else ()
    return shape, shape


def segments(data, segment_ids, num_segments=None, sorted=False):
    shape, ids = shape_of(data), shape_of(segment_ids)
    if len(ids) != 1 or not shape or not _may_be_equal(ids, shape[:1]):
        raise Misfit(
            "`segment_ids` must hold one id for each row of `data`. Received: segment_ids of "
            f"shape {ids}, data of shape {shape}."
        )
    if num_segments is None:
        refuse("segment_sum or segment_max without num_segments")(data)
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
