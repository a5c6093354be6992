"""What rules share: shapes and dtypes of arguments, axes, sizes; and rules for dtypes."""

import math
import operator

from torchkeras.core import config
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
    return floating_name(dtype_of(x))


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


def floats_promoted(x1, x2, *args, **kwargs):
    """Common dtype of two arguments, or `floatx()` for integers and booleans."""
    return floating_name(result_type(dtype_of(x1), dtype_of(x2)))


def promoted_three(x1, x2, x3, *args, **kwargs):
    """Common dtype of three arguments, or `floatx()` for integers and booleans."""
    return floating_name(result_type(dtype_of(x1), dtype_of(x2), dtype_of(x3)))


def floating_name(dtype):
    """`dtype`, or `floatx()` for integers and booleans."""
    return dtype if is_float_dtype(dtype) or dtype.startswith("complex") else config.floatx()


def always_floatx(*args, **kwargs):
    """`floatx()`."""
    return config.floatx()


def complex_of(x, *args, **kwargs):
    """Dtype of complex numbers whose parts are those of `x`."""
    return "complex128" if floating(x) == "float64" else "complex64"


def floating_pair(x, *args, **kwargs):
    """Dtype of a real and of an imaginary part, given as a pair."""
    return [floats_promoted(*x)] * 2


def floating_of_pair(x, *args, **kwargs):
    """Common float dtype of a real and an imaginary part."""
    return floats_promoted(*x)


def kept_of_pair(x, *args, **kwargs):
    """Dtype of the real part of a pair."""
    return dtype_of(x[0])


def floating_with_indices(x, *args, **kwargs):
    """Dtypes of floats and of where they stand."""
    return [floating(x), "int32"]


def spaced_dtype(position):
    """A rule: the dtype given in `dtype`, there or at a position, else the common float dtype."""

    def rule(start, stop, *args, **kwargs):
        dtype = kwargs.get("dtype", args[position - 2] if len(args) > position - 2 else None)
        if dtype is not None:
            return standardize_dtype(dtype)
        numbers = (bool, int, float, complex)
        given = [type(x) if isinstance(x, numbers) else dtype_of(x) for x in (start, stop)]
        return result_type(*given, float)

    return rule


def unraveled(indices, shape):
    """Dtypes of indices along each axis."""
    return [dtype_of(indices)] * (1 if isinstance(shape, int) else len(shape))


def at_least_float32_of_second(x, y, *args, **kwargs):
    """Dtype of the second argument, at least `float32`."""
    return result_type(floating(y), "float32")


def decoded(inputs, *args, **kwargs):
    """Dtypes of labels and of scores."""
    return ["int32", result_type(floating(inputs), "float32")]


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
        raise Misfit(f"{what} must be of one size. Received: shapes {listed(shapes)}.")
    return known.pop() if known else None


def total(sizes):
    """Sum of sizes; None if one is unknown."""
    return None if None in sizes else sum(sizes)


def listed(shapes):
    """Shapes in words, for errors."""
    return ", ".join(str(tuple(shape)) for shape in shapes)


def without_axis(shape, axis):
    """`shape` without one of its axes."""
    return (*shape[:axis], *shape[axis + 1 :])


def with_size(shape, axis, size):
    """`shape` with another size on an axis."""
    return (*shape[:axis], size, *shape[axis + 1 :])


def may_be_equal(a, b):
    """Whether two shapes may be equal, for all that is known of them."""
    return len(a) == len(b) and all(
        p is None or q is None or p == q for p, q in zip(a, b, strict=False)
    )


def without_values(x):
    """Whether `x` is a symbol or a tensor without data."""
    return getattr(type(x), "_is_symbolic", False) or getattr(x, "is_meta", False) is True
