"""Shapes of decompositions of matrices, and of products."""

from torchkeras.core.op_specs import Misfit
from torchkeras.ops.shape_rules.basics import (
    axes_of,
    axis_of,
    common,
    listed,
    may_be_equal,
    product,
    shape_of,
    without_axis,
)
from torchkeras.ops.shape_rules.elementwise import broadcast_shapes


def _matrices(shape, name="x"):
    if len(shape) < 2:
        raise Misfit(
            f"`{name}` must hold matrices, so have at least 2 axes. Received: {name} of shape "
            f"{shape}."
        )
    return shape


def square(x, *args, **kwargs):
    shape = _matrices(shape_of(x))
    if not may_be_equal(shape[-2:-1], shape[-1:]):
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
        raise Misfit(f"both tensors must have axes. Received: shapes {listed([a, b])}.")
    left = a if len(a) > 1 else (1, *a)
    right = b if len(b) > 1 else (*b, 1)
    if not may_be_equal(left[-1:], right[-2:-1]):
        raise Misfit(
            "the last axis of the first tensor must have the size of the last but one of the "
            f"second. Received: shapes {listed([a, b])}."
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
                f"{listed([a, b])}."
            )
        left, right = range(len(a) - axes, len(a)), range(axes)
    else:
        left, right = axes_of(axes[0], a, "axes"), axes_of(axes[1], b, "axes")
    if len(left) != len(right) or not may_be_equal([a[i] for i in left], [b[i] for i in right]):
        raise Misfit(
            f"the axes that are summed over must agree in size. Received: axes={axes} for shapes "
            f"{listed([a, b])}."
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
            f"{listed([a, b])}, axisa={axisa}, axisb={axisb}. Append a zero to vectors of 2."
        )
    rest = broadcast_shapes(without_axis(a, i), without_axis(b, j))
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
                f"{listed(shapes)}."
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


def trace(x, offset=0, axis1=0, axis2=1):
    return diagonal(x, offset, axis1, axis2)[:-1]


def diagflat(x, k=0):
    size = product(shape_of(x))
    size = None if size is None else size + abs(k)
    return size, size


def matrix_power(x, n):
    if not isinstance(n, int) or abs(n) >= 2**31:
        raise Misfit(f"`n` must be an int whose size is below 2**31. Received: n={n!r}.")
    return square(x)


def of_matrices(x, *args, **kwargs):
    """One value for each matrix."""
    return _matrices(shape_of(x))[:-2]


def lu_factor(x):
    shape = _matrices(shape_of(x))
    return shape, (*shape[:-2], _smaller(*shape[-2:]))


def pinv(x, rcond=None):
    *batch, m, n = _matrices(shape_of(x))
    return (*batch, n, m)


def slogdet(x):
    shape = square(x)[:-2]
    return shape, shape


def kron(x1, x2):
    a, b = shape_of(x1), shape_of(x2)
    n = max(len(a), len(b))
    a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    return tuple(product(pair) for pair in zip(a, b, strict=True))


def vdot(x1, x2):
    a, b = shape_of(x1), shape_of(x2)
    if not may_be_equal((product(a),), (product(b),)):
        raise Misfit(f"both tensors must have as many elements. Received: shapes {listed([a, b])}.")
    return ()


def cdist(x, y):
    a, b = _matrices(shape_of(x)), _matrices(shape_of(y), "y")
    if not may_be_equal(a[-1:], b[-1:]):
        raise Misfit(
            f"vectors of `x` and `y` must be of one size. Received: shapes {listed([a, b])}."
        )
    return (*broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-2])


def corrcoef(x):
    shape = shape_of(x)
    if len(shape) not in (1, 2):
        raise Misfit(
            f"`x` must be of shape (variables, observations). Received: x of shape {shape}."
        )
    return () if shape[:-1] == (1,) else shape[:-1] * 2  # as in NumPy


def correlate(x1, x2, mode="valid"):
    a, b = shape_of(x1), shape_of(x2)
    if mode not in ("valid", "same", "full"):
        raise Misfit(f"`mode` must be 'valid', 'same' or 'full'. Received: mode={mode!r}.")
    if len(a) != 1 or len(b) != 1 or 0 in (*a, *b):
        raise Misfit(
            "`x1` and `x2` must be series of at least one element. Received: shapes "
            f"{listed([a, b])}."
        )
    if None in (*a, *b):
        return (None,)
    short, long = sorted((*a, *b))
    return ({"valid": long - short + 1, "same": long, "full": long + short - 1}[mode],)


def vander(x, N=None, increasing=False):
    shape = shape_of(x)
    if len(shape) != 1:
        raise Misfit(f"`x` must have one axis. Received: x of shape {shape}.")
    if N is not None and N < 0:
        raise Misfit(f"`N` must be at least 0. Received: N={N}.")
    return (*shape, shape[0] if N is None else N)


def norm(x, ord=None, axis=None, keepdims=False):
    shape = shape_of(x)
    axes = axes_of(axis, shape)
    if axis is not None and (len(axes) not in (1, 2) or len(set(axes)) < len(axes)):
        raise Misfit(
            "`axis` must be an int, or a pair of different ints. Received: "
            f"axis={axis} for x of shape {shape}."
        )
    if axis is None and ord is not None and len(shape) > 2:
        raise Misfit(
            f"`axis` is needed for norms of more than two axes. Received: ord={ord}, axis=None "
            f"for x of shape {shape}."
        )
    if keepdims:
        return tuple(1 if i in axes else size for i, size in enumerate(shape))
    return tuple(size for i, size in enumerate(shape) if i not in axes)
