"""Functions that make tensors: filled ones, ranges, grids, triangles.

They are made on the device of `keras.device(...)`, else on the machine's accelerator; those
named `*_like` on the device of their argument. The default dtype is `floatx()`.
"""

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import result_type, standardize_dtype, to_torch_dtype
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import all_tensors


def _facts(dtype):
    return {"dtype": to_torch_dtype(dtype), "device": config.default_device()}


def _shape(shape):
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if None in shape:
        raise ValueError(
            "A tensor is made from known sizes. Received: shape="
            f"{shape}. Take the sizes of a symbolic tensor inside a layer's `call`, or use a "
            "function such as keras.ops.zeros_like(x)."
        )
    return shape


def _common_dtype(*xs):
    """Name of the dtype of several arguments together, Python numbers being weak."""
    if all(isinstance(x, (int, float)) for x in xs):  # Dynamo warns of result_type's cache
        return config.floatx() if any(isinstance(x, float) for x in xs) else "int32"
    return result_type(*[getattr(x, "dtype", type(x)) for x in xs])


@op(shape=rules.same, dtype=rules.given(1))
def array(x, dtype=None):
    """A tensor with the contents of `x`: NumPy's name of `convert_to_tensor`.

    Example:

    >>> keras.ops.array([1.0, 2.0])
    tensor([1., 2.])
    """
    return convert_to_tensor(x, dtype)


@op(shape=rules.view, dtype=rules.given(1))
def view(x, dtype=None):
    """The bits of `x` read as another dtype.

    Args:
        x: tensor.
        dtype: name of a dtype; None for that of `x`. Of another width it changes the size of the
            last axis.

    Raises:
        ValueError: the last axis does not divide into elements of that width.

    Example:

    >>> keras.ops.view(torch.tensor([1.0]), "int32")
    tensor([1065353216], dtype=torch.int32)
    """
    x = convert_to_tensor(x)
    rules.view(x, dtype)
    return x if dtype is None else x.contiguous().view(to_torch_dtype(dtype))


@op
def zeros(shape, dtype=None):
    """A tensor of zeros.

    Args:
        shape: int or tuple of ints.
        dtype: name of a dtype; None for `floatx()`.

    Example:

    >>> keras.ops.zeros((2,))
    tensor([0., 0.])
    """
    return torch.zeros(_shape(shape), **_facts(dtype))


@op
def ones(shape, dtype=None):
    """A tensor of ones.

    Args:
        shape: int or tuple of ints.
        dtype: name of a dtype; None for `floatx()`.

    Example:

    >>> keras.ops.ones((2,))
    tensor([1., 1.])
    """
    return torch.ones(_shape(shape), **_facts(dtype))


@op
def empty(shape, dtype=None):
    """A tensor whose values are whatever its memory holds.

    Args:
        shape: int or tuple of ints.
        dtype: name of a dtype; None for `floatx()`.

    Example:

    >>> keras.ops.empty((2, 3)).shape
    torch.Size([2, 3])
    """
    return torch.empty(_shape(shape), **_facts(dtype))


@op(shape=rules.full, dtype=rules.given_or_floatx(2))
def full(shape, fill_value, dtype=None):
    """A tensor of one value.

    Args:
        shape: int or tuple of ints.
        fill_value: number, or a tensor that broadcasts to `shape`.
        dtype: name of a dtype; None for `floatx()`, as in Keras (in NumPy that of the value).

    Example:

    >>> keras.ops.full((2,), 7)
    tensor([7., 7.])
    """
    if isinstance(fill_value, (bool, int, float)):
        return torch.full(_shape(shape), fill_value, **_facts(dtype))
    return convert_to_tensor(fill_value, to_torch_dtype(dtype)).expand(_shape(shape)).clone()


@op(shape=rules.same, dtype=rules.given(1))
def empty_like(x, dtype=None):
    """A tensor of the shape and dtype of `x`, or of another dtype, with any values.

    Example:

    >>> keras.ops.empty_like(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """
    return torch.empty_like(convert_to_tensor(x), dtype=_or_same(dtype))


@op(shape=rules.same, dtype=rules.given(1))
def zeros_like(x, dtype=None):
    """Zeros of the shape and dtype of `x`, or of another dtype.

    Example:

    >>> keras.ops.zeros_like(torch.ones(2))
    tensor([0., 0.])
    """
    return torch.zeros_like(convert_to_tensor(x), dtype=_or_same(dtype))


@op(shape=rules.same, dtype=rules.given(1))
def ones_like(x, dtype=None):
    """Ones of the shape and dtype of `x`, or of another dtype.

    Example:

    >>> keras.ops.ones_like(torch.zeros(2))
    tensor([1., 1.])
    """
    return torch.ones_like(convert_to_tensor(x), dtype=_or_same(dtype))


@op(shape=rules.same, dtype=rules.given(2))
def full_like(x, fill_value, dtype=None):
    """A tensor of the shape of `x` filled with one value.

    Args:
        x: tensor.
        fill_value: number, or a tensor that broadcasts to the shape of `x`.
        dtype: name of a dtype; None for that of `x`.

    Example:

    >>> keras.ops.full_like(torch.zeros(2), 7)
    tensor([7., 7.])
    """
    x = convert_to_tensor(x)
    dtype = _or_same(dtype) or x.dtype
    if isinstance(fill_value, (bool, int, float)):
        return torch.full_like(x, fill_value, dtype=dtype)
    return convert_to_tensor(fill_value, dtype).to(x.device).expand(x.shape).clone()


def _or_same(dtype):
    return None if dtype is None else to_torch_dtype(dtype)


@op
def arange(start, stop=None, step=None, dtype=None):
    """Numbers from `start` up to, and without, `stop`.

    Args:
        start, stop: numbers; with `stop=None` the range is from 0 to `start`.
        step: number, None for 1.
        dtype: name of a dtype; None for `int32` from ints, `floatx()` from floats.

    Output shape: `(ceil((stop - start) / step),)`.

    Example:

    >>> keras.ops.arange(3)
    tensor([0, 1, 2], dtype=torch.int32)
    """
    if dtype is None:
        dtype = _common_dtype(*[x for x in (start, stop, step) if x is not None])
    if stop is None:
        start, stop = 0, start
    return torch.arange(start, stop, 1 if step is None else step, **_facts(dtype))


def _linspace_dtype(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    # Without a run, which makes all the values.
    values = standardize_dtype(dtype or _common_dtype(start, stop, 0.0))
    step = values if to_torch_dtype(values).is_floating_point else "float32"
    return [values, step] if retstep else values


@op(shape=rules.linspace, dtype=_linspace_dtype)
def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """`num` evenly spaced values from `start` to `stop`.

    Args:
        start, stop: numbers, or tensors that broadcast.
        num: int, at least 0.
        endpoint: bool, whether `stop` is the last value.
        retstep: bool, whether to return `(values, step)`; the step of two numbers is a float.
        dtype: name of a dtype; None for a float.
        axis: int, which axis of the result counts the values.

    Example:

    >>> keras.ops.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    dtype = to_torch_dtype(dtype or _common_dtype(start, stop, 0.0))
    parts = num - 1 if endpoint else num
    numbers = isinstance(start, (int, float)) and isinstance(stop, (int, float))
    if numbers:
        step = (stop - start) / parts if parts > 0 else float("nan")
        last = stop if endpoint or num == 0 else stop - step
        values = torch.linspace(start, last, num, dtype=dtype, device=config.default_device())
    else:
        compute = dtype if dtype.is_floating_point else torch.float32
        start, stop = all_tensors((start, stop))
        start, stop = torch.broadcast_tensors(start.to(compute), stop.to(compute))
        steps = torch.arange(num, dtype=compute, device=start.device)
        steps = (steps / parts if parts > 0 else steps).reshape(-1, *[1] * start.dim())
        # A weighted mean, so that both ends come out exactly.
        values = (start * (1 - steps) + stop * steps).to(dtype).movedim(0, axis)
        step = (stop - start) / parts if parts > 0 else torch.full_like(start, float("nan"))
    return (values, step) if retstep else values


@op
def eye(N, M=None, k=0, dtype=None):
    """A matrix with ones on one diagonal and zeros elsewhere.

    Args:
        N, M: ints, rows and columns; `M=None` means `N`.
        k: int, which diagonal; 0 is the main one, 1 the next above.
        dtype: name of a dtype; None for `floatx()`.

    Example:

    >>> keras.ops.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    M = N if M is None else M
    if not k:
        return torch.eye(N, M, **_facts(dtype))
    rows = torch.arange(N, device=config.default_device())[:, None]
    columns = torch.arange(M, device=config.default_device())
    return (columns - rows == k).to(to_torch_dtype(dtype))


@op
def identity(n, dtype=None):
    """The square identity matrix of `n` rows.

    Example:

    >>> keras.ops.identity(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    return eye(n, dtype=dtype)


@op
def tri(N, M=None, k=0, dtype=None):
    """A matrix with ones on and below one diagonal and zeros above.

    Args:
        N, M: ints, rows and columns; `M=None` means `N`.
        k: int, which diagonal; 0 is the main one, 1 the next above.
        dtype: name of a dtype; None for `floatx()`.

    Example:

    >>> keras.ops.tri(2)
    tensor([[1., 0.],
            [1., 1.]])
    """
    return torch.tril(torch.ones((N, N if M is None else M), **_facts(dtype)), k)


@op(shape=rules.triangle, dtype=rules.kept)
def tril(x, k=0):
    """`x` with zeros above the diagonal `k` of its last two axes.

    Example:

    >>> keras.ops.tril(torch.ones(2, 2))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return torch.tril(convert_to_tensor(x), k)


@op(shape=rules.triangle, dtype=rules.kept)
def triu(x, k=0):
    """`x` with zeros below the diagonal `k` of its last two axes.

    Example:

    >>> keras.ops.triu(torch.ones(2, 2))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return torch.triu(convert_to_tensor(x), k)


@op(shape=rules.diag, dtype=rules.kept)
def diag(x, k=0):
    """A matrix with `x` on its diagonal `k`; of a matrix, that diagonal.

    Args:
        x: tensor with one or two axes.
        k: int, which diagonal; 0 is the main one, 1 the next above.

    Example:

    >>> keras.ops.diag(torch.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    return torch.diag(convert_to_tensor(x), k)


@op(shape=rules.diagflat, dtype=rules.kept)
def diagflat(x, k=0):
    """A matrix with the elements of `x`, flattened, on its diagonal `k`.

    Args:
        x: tensor.
        k: int, which diagonal; 0 is the main one, 1 the next above.

    Example:

    >>> keras.ops.diagflat(torch.tensor([[1], [2]]))
    tensor([[1, 0],
            [0, 2]])
    """
    return torch.diagflat(convert_to_tensor(x), k)


@op(shape=rules.diagonal, dtype=rules.kept)
def diagonal(x, offset=0, axis1=0, axis2=1):
    """Diagonals of the matrices in `axis1` and `axis2`, which become the last axis.

    Args:
        x: tensor with at least two axes.
        offset: int, which diagonal; 0 is the main one, 1 the next above.
        axis1, axis2: ints, the two axes.

    Example:

    >>> keras.ops.diagonal(torch.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    return torch.diagonal(convert_to_tensor(x), offset, axis1, axis2)


@op(shape=rules.meshgrid)
def meshgrid(*x, indexing="xy"):
    """Coordinates of a grid, one tensor for each argument.

    Args:
        *x: tensors with at most one axis.
        indexing: `"xy"`, where the first argument runs along the second axis, or `"ij"`, where
            the arguments run along the axes in order.

    Returns:
        List of tensors of one shape, with as many axes as there are arguments.

    Example:

    >>> keras.ops.meshgrid(torch.tensor([1, 2]), torch.tensor([5]))
    [tensor([[1, 2]]), tensor([[5, 5]])]
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"`indexing` must be 'xy' or 'ij'. Received: indexing={indexing!r}.")
    xs = [item.flatten() for item in all_tensors(x)]
    n = len(xs)
    places = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else range(n)
    sizes = [0] * n
    for item, place in zip(xs, places, strict=True):
        sizes[place] = item.shape[0]
    return [
        item.reshape([-1 if i == place else 1 for i in range(n)]).expand(sizes)
        for item, place in zip(xs, places, strict=True)
    ]


__all__ = op_names(__name__)
