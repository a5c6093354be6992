"""Products of vectors, matrices and tensors.

Integers are multiplied exactly: on the CPU as such, elsewhere in `float64`, since torch has no
integer matrix product there.
"""

import torch

from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import all_tensors, pair


def _common(x1, x2):
    """Both in the dtype to multiply them in, and the dtype of the result."""
    result = torch.promote_types(x1.dtype, x2.dtype)
    if result.is_floating_point or result.is_complex:
        compute = result
    elif result is torch.bool:
        compute = torch.float32
    else:
        compute = result if x1.device.type in ("cpu", "meta") else torch.float64
    return x1.to(compute), x2.to(compute), result


@op(shape=rules.matmul)
def matmul(x1, x2):
    """Matrix product over the last axis of `x1` and the last but one of `x2`.

    Args:
        x1: tensor of shape `(..., n, k)` or `(k,)`.
        x2: tensor of shape `(..., k, m)` or `(k,)`; leading axes broadcast. Two `int8` tensors
            give `int32`.

    Output shape: `(..., n, m)`, without the axis that a vector lacks.

    Example:

    >>> keras.ops.matmul(torch.ones(2, 3), torch.ones(3, 4)).shape
    torch.Size([2, 4])
    """
    if not (isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor)):
        x1, x2 = pair(x1, x2)
    if x1.dtype is x2.dtype and x1.is_floating_point():
        return torch.matmul(x1, x2)
    if x1.dtype is x2.dtype is torch.int8:
        x1, x2 = x1.int(), x2.int()
    x1, x2, result = _common(x1, x2)
    return torch.matmul(x1, x2).to(result)


@op(shape=rules.dot)
def dot(x1, x2):
    """Sum of products over the last axis of `x1` and the last but one of `x2`.

    As `numpy.dot`: a number multiplies, and leading axes do not broadcast but all combine.

    Output shape: `x1.shape[:-1] + x2.shape[:-2] + x2.shape[-1:]`.

    Example:

    >>> keras.ops.dot(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    tensor(11.)
    """
    x1, x2 = pair(x1, x2)
    if not x1.dim() or not x2.dim():
        return torch.mul(x1, x2)
    if x2.dim() <= 2:
        return matmul(x1, x2) if x1.dtype is not torch.int8 else _exact(torch.matmul, x1, x2)
    return _exact(torch.tensordot, x1, x2, dims=([-1], [-2]))


def _exact(function, x1, x2, **kwargs):
    x1, x2, result = _common(x1, x2)
    return function(x1, x2, **kwargs).to(result)


@op(shape=rules.tensordot)
def tensordot(x1, x2, axes=2):
    """Sum of products over several axes.

    Args:
        x1, x2: tensors.
        axes: int `n`, for the last `n` axes of `x1` and the first `n` of `x2`; or a pair of
            ints, or of tuples of ints, naming the axes of each.

    Output shape: the other axes of `x1`, then those of `x2`.

    Example:

    >>> keras.ops.tensordot(torch.ones(2, 3, 4), torch.ones(4, 3), axes=((1, 2), (1, 0)))
    tensor([12., 12.])
    """
    if not isinstance(axes, int):
        axes = [(axis,) if isinstance(axis, int) else tuple(axis) for axis in axes]
    return _exact(torch.tensordot, *pair(x1, x2), dims=axes)


@op(shape=rules.inner)
def inner(x1, x2):
    """Sum of products over the last axis of both.

    Output shape: `x1.shape[:-1] + x2.shape[:-1]`.

    Example:

    >>> keras.ops.inner(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    tensor(11.)
    """
    return _exact(torch.inner, *pair(x1, x2))


@op(shape=rules.outer)
def outer(x1, x2):
    """Product of each element of `x1` with each of `x2`, both flattened.

    Output shape: `(x1.size, x2.size)`.

    Example:

    >>> keras.ops.outer(torch.tensor([1, 2]), torch.tensor([3, 4]))
    tensor([[3, 4],
            [6, 8]])
    """
    x1, x2 = pair(x1, x2)
    return torch.outer(x1.flatten(), x2.flatten())


@op(shape=rules.kron)
def kron(x1, x2):
    """Each element of `x1` replaced by its product with all of `x2`.

    Args:
        x1, x2: tensors; the one with fewer axes gets leading ones of size 1.

    Output shape: for each axis, the product of both sizes.

    Example:

    >>> keras.ops.kron(torch.tensor([1, 10]), torch.tensor([1, 2]))
    tensor([ 1,  2, 10, 20])
    """
    return torch.kron(*pair(x1, x2))


@op(shape=rules.vdot)
def vdot(x1, x2):
    """Sum of the products of all elements, of `x1` conjugated.

    Args:
        x1, x2: tensors of as many elements, which are flattened.

    Output shape: ().

    Raises:
        ValueError: the numbers of elements differ.

    Example:

    >>> keras.ops.vdot(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    tensor(11.)
    """
    x1, x2 = pair(x1, x2)
    return _exact(torch.dot, torch.conj(x1).resolve_conj().flatten(), x2.flatten())


@op(shape=rules.cross, dtype=rules.promoted)
def cross(x1, x2, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """Vector product of vectors of three components.

    Args:
        x1, x2: tensors that broadcast once the vectors are their last axis.
        axisa, axisb, axisc: ints, the axis of the vectors in `x1`, in `x2` and in the result.
        axis: int for all three, or None.

    Raises:
        ValueError: the axis of a vector is not of size 3.

    Example:

    >>> keras.ops.cross(torch.tensor([1, 0, 0]), torch.tensor([0, 1, 0]))
    tensor([0, 0, 1])
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x1, x2 = pair(x1, x2)
    x1, x2 = x1.movedim(axisa, -1), x2.movedim(axisb, -1)
    if x1.shape[-1] != 3 or x2.shape[-1] != 3:
        raise ValueError(
            "`cross` multiplies vectors of 3 components. Received: axes of sizes "
            f"{x1.shape[-1]} and {x2.shape[-1]}. Append a zero to vectors of 2."
        )
    common = torch.promote_types(x1.dtype, x2.dtype)
    return torch.linalg.cross(x1.to(common), x2.to(common)).movedim(-1, axisc)


@op(shape=rules.einsum)
def einsum(subscripts, *operands, **kwargs):
    """Sum of products written as in Einstein's notation.

    Args:
        subscripts: str such as `"bij,bjk->bik"`: a letter for each axis of each operand; those
            missing in the result are summed over.
        *operands: tensors; their dtypes are promoted, `int8` alone gives `int32`.
        **kwargs: `optimize`, for NumPy's signature; torch chooses the order itself.

    Example:

    >>> keras.ops.einsum("ij,j->i", torch.ones(2, 3), torch.ones(3))
    tensor([3., 3.])
    """
    unknown = set(kwargs) - {"optimize"}
    if unknown:
        raise TypeError(f"`einsum` takes no such argument. Received: {sorted(unknown)}.")
    operands = all_tensors(operands)
    common = operands[0].dtype
    for operand in operands[1:]:
        if operand.dtype is not common:
            common = torch.promote_types(common, operand.dtype)
    if common is torch.int8:
        common = torch.int32
    compute = common
    if not (common.is_floating_point or common.is_complex):
        compute = common if operands[0].device.type in ("cpu", "meta") else torch.float64
        compute = torch.float32 if common is torch.bool else compute
    return torch.einsum(subscripts, *[x.to(compute) for x in operands]).to(common)


__all__ = op_names(__name__)
