"""Linear algebra on matrices in the last two axes; leading axes are batches.

Integers are computed as `floatx()`.
"""

import torch

from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.derivatives import jvp as jvp
from torchkeras.ops.operands import beside, to_float


def _matrices(x, name="x"):
    x = to_float(x)
    if x.dim() < 2:
        raise ValueError(
            f"`{name}` must hold matrices, so have at least 2 axes. Received: {name} of shape "
            f"{tuple(x.shape)}."
        )
    return x


def _square_matrices(x, name="x"):
    x = _matrices(x, name)
    if x.shape[-1] != x.shape[-2]:
        raise ValueError(
            f"`{name}` must hold square matrices. Received: {name} of shape {tuple(x.shape)}."
        )
    return x


@op(shape=rules.square, dtype=rules.floating)
def cholesky(x, upper=False):
    """Triangular factor `L` of positive definite matrices, `L @ L.T == x`.

    Args:
        x: tensor of shape `(..., n, n)`, symmetric.
        upper: bool, whether to return the upper factor `U` with `U.T @ U == x`.

    Raises:
        ValueError: not square. torch.linalg.LinAlgError: not positive definite.

    Example:

    >>> keras.ops.cholesky(torch.tensor([[4.0]]))
    tensor([[2.]])
    """
    return torch.linalg.cholesky(_square_matrices(x), upper=upper)


@op(shape=rules.square, dtype=rules.floating)
def cholesky_inverse(x, upper=False):
    """Inverse of positive definite matrices, of which `x` is the triangular factor.

    Args:
        x: tensor of shape `(..., n, n)`, as `cholesky` returns it.
        upper: bool, whether it is the upper factor.

    Example:

    >>> keras.ops.cholesky_inverse(torch.tensor([[2.0]]))
    tensor([[0.2500]])
    """
    return torch.cholesky_inverse(_square_matrices(x), upper=upper)


@op(shape=rules.of_square, dtype=rules.floating)
def det(x):
    """Determinant of matrices of shape `(..., n, n)`.

    Example:

    >>> keras.ops.det(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(-2.)
    """
    return torch.linalg.det(_square_matrices(x))


@op(shape=rules.eigen)
def eig(x):
    """Eigenvalues and eigenvectors of square matrices, both complex.

    Args:
        x: tensor of shape `(..., n, n)`.

    Returns:
        Tuple of the values, shape `(..., n)`, and the vectors, columns of `(..., n, n)`.

    Example:

    >>> keras.ops.eig(torch.tensor([[2.0]]))[0]
    tensor([2.+0.j])
    """
    return tuple(torch.linalg.eig(_square_matrices(x)))


@op(shape=rules.eigen)
def eigh(x):
    """Eigenvalues and eigenvectors of symmetric matrices, the values in rising order.

    Args:
        x: tensor of shape `(..., n, n)`; only the lower triangle is read.

    Returns:
        Tuple of the values, shape `(..., n)`, and the vectors, columns of `(..., n, n)`.

    Example:

    >>> keras.ops.eigh(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))[0]
    tensor([1., 2.])
    """
    return tuple(torch.linalg.eigh(_square_matrices(x)))


@op(shape=rules.square, dtype=rules.floating)
def inv(x):
    """Inverse of matrices of shape `(..., n, n)`.

    Raises:
        ValueError: not square. torch.linalg.LinAlgError: singular.

    Example:

    >>> keras.ops.inv(torch.tensor([[4.0]]))
    tensor([[0.2500]])
    """
    return torch.linalg.inv(_square_matrices(x))


@op(shape=rules.matrix_power, dtype=rules.floating)
def matrix_power(x, n):
    """Square matrices multiplied with themselves, `n` factors; their inverses for `n < 0`.

    Args:
        x: tensor of shape `(..., n, n)`.
        n: int, whose size is below 2**31.

    Example:

    >>> keras.ops.matrix_power(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), 3)
    tensor([[1., 3.],
            [0., 1.]])
    """
    rules.matrix_power(x, n)
    return torch.linalg.matrix_power(_square_matrices(x), n)


@op(shape=rules.lu_factor, dtype=rules.floating_with_indices)
def lu_factor(x):
    """Triangular factors of matrices whose rows are exchanged, `P @ L @ U == x`.

    Args:
        x: tensor of shape `(..., m, n)`; `k = min(m, n)`.

    Returns:
        Tuple of `L` below the diagonal (its diagonal is 1) and `U` on and above it, in one
        tensor of the shape of `x`; and the `int32` pivots of shape `(..., k)`: row `i` was
        exchanged with row `pivots[i]`.

    Example:

    >>> keras.ops.lu_factor(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))[1]
    tensor([1, 1], dtype=torch.int32)
    """
    factors, pivots = torch.linalg.lu_factor(_matrices(x))
    return factors, pivots - 1


@op(shape=rules.of_matrices, dtype="int32")
def matrix_rank(x, tol=None):
    """Number of singular values of matrices that are larger than a tolerance, as `int32`.

    Args:
        x: tensor of shape `(..., m, n)`.
        tol: float; None for the largest singular value times `max(m, n)` times the precision
            of the dtype.

    Output shape: `(...)`.

    Example:

    >>> keras.ops.matrix_rank(torch.tensor([[1.0, 2.0], [2.0, 4.0]]))
    tensor(1, dtype=torch.int32)
    """
    return torch.linalg.matrix_rank(_matrices(x), atol=tol).to(torch.int32)


@op(shape=rules.pinv, dtype=rules.floating)
def pinv(x, rcond=None):
    """Pseudo-inverse of matrices: the one that solves least squares.

    Args:
        x: tensor of shape `(..., m, n)`.
        rcond: float; singular values below it, as fractions of the largest, count as 0. None
            for the precision of the dtype.

    Output shape: `(..., n, m)`.

    Example:

    >>> keras.ops.pinv(torch.tensor([[2.0], [0.0]]))
    tensor([[0.5000, 0.0000]])
    """
    return torch.linalg.pinv(_matrices(x), rtol=rcond)


@op(shape=rules.slogdet, dtype=rules.floating)
def slogdet(x):
    """Sign and logarithm of the absolute value of the determinant of matrices.

    Args:
        x: tensor of shape `(..., n, n)`.

    Returns:
        Tuple of two tensors of shape `(...)`; 0 and minus infinity of singular matrices.

    Example:

    >>> keras.ops.slogdet(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    (tensor(-1.), tensor(0.))
    """
    return tuple(torch.linalg.slogdet(_square_matrices(x)))


@op(shape=rules.norm)
def norm(x, ord=None, axis=None, keepdims=False):
    """Norm of vectors or matrices, as in NumPy.

    Args:
        x: tensor.
        ord: int, float, `inf` or `-inf`, the order; for matrices also `"fro"` or `"nuc"`. None
            for the root of the sum of squares.
        axis: int for vectors along it, pair of ints for matrices in them; None for all of `x`.
        keepdims: bool, whether reduced axes stay with size 1.

    Example:

    >>> keras.ops.norm(torch.tensor([3.0, 4.0]))
    tensor(5.)
    """
    axis = tuple(axis) if isinstance(axis, list) else axis
    return torch.linalg.norm(to_float(x), ord=ord, dim=axis, keepdim=keepdims)


@op(shape=rules.qr)
def qr(x, mode="reduced"):
    """Factors `q` with orthonormal columns and `r` upper triangular, `q @ r == x`.

    Args:
        x: tensor of shape `(..., m, n)`; `k = min(m, n)`.
        mode: `"reduced"` for shapes `(..., m, k)` and `(..., k, n)`, `"complete"` for
            `(..., m, m)` and `(..., m, n)`.

    Raises:
        ValueError: another `mode`.

    Example:

    >>> q, r = keras.ops.qr(torch.eye(3, 2))
    >>> q.shape, r.shape
    (torch.Size([3, 2]), torch.Size([2, 2]))
    """
    if mode not in ("reduced", "complete"):
        raise ValueError(f"`mode` must be 'reduced' or 'complete'. Received: mode={mode!r}.")
    return tuple(torch.linalg.qr(_matrices(x), mode=mode))


@op(shape=rules.solve, dtype=rules.floating)
def solve(a, b):
    """`x` with `a @ x == b`.

    Args:
        a: tensor of shape `(..., n, n)`.
        b: tensor of shape `(..., n)` or `(..., n, m)`.

    Output shape: that of `b`.

    Example:

    >>> keras.ops.solve(torch.tensor([[2.0]]), torch.tensor([6.0]))
    tensor([3.])
    """
    a = _square_matrices(a, "a")
    return torch.linalg.solve(a, to_float(beside(b, a)))


@op(shape=rules.solve, dtype=rules.floating)
def solve_triangular(a, b, lower=False):
    """`x` with `a @ x == b` for triangular `a`.

    Args:
        a: tensor of shape `(..., n, n)`; the other triangle is not read.
        b: tensor of shape `(..., n)` or `(..., n, m)`.
        lower: bool, whether `a` is the lower triangle.

    Output shape: that of `b`.

    Example:

    >>> keras.ops.solve_triangular(torch.tensor([[2.0]]), torch.tensor([6.0]))
    tensor([3.])
    """
    a = _square_matrices(a, "a")
    b = to_float(beside(b, a))
    if b.dim() == a.dim() - 1:
        return torch.linalg.solve_triangular(a, b.unsqueeze(-1), upper=not lower).squeeze(-1)
    return torch.linalg.solve_triangular(a, b, upper=not lower)


@op(shape=rules.lstsq, dtype=rules.floating)
def lstsq(a, b, rcond=None):
    """`x` that makes the norm of `a @ x - b` least.

    Args:
        a: tensor of shape `(..., m, n)`.
        b: tensor of shape `(..., m, k)`, or `(m,)` for a single matrix.
        rcond: float; singular values below it, as fractions of the largest, count as 0. None
            for the precision of the dtype.

    Output shape: `(..., n, k)`, or `(n,)`.

    Example:

    >>> keras.ops.lstsq(torch.tensor([[1.0], [1.0]]), torch.tensor([1.0, 3.0]))
    tensor([2.0000])
    """
    a = _matrices(a, "a")
    b = to_float(beside(b, a))
    # By the pseudo-inverse, since the driver that knows rcond exists on the CPU only.
    return torch.matmul(torch.linalg.pinv(a, rtol=rcond), b)


@op(shape=rules.svd)
def svd(x, full_matrices=True, compute_uv=True):
    """Singular value decomposition, `(u * s) @ vh == x`.

    Args:
        x: tensor of shape `(..., m, n)`; `k = min(m, n)`.
        full_matrices: bool, whether `u` and `vh` are square.
        compute_uv: bool, whether to return `u` and `vh`, too.

    Returns:
        Tuple of `u`, shape `(..., m, m)` or `(..., m, k)`, `s`, shape `(..., k)`, falling, and
        `vh`, shape `(..., n, n)` or `(..., k, n)`. Only `s` without `compute_uv`.

    Example:

    >>> keras.ops.svd(torch.tensor([[3.0]]), compute_uv=False)
    tensor([3.])
    """
    x = _matrices(x)
    if not compute_uv:
        return torch.linalg.svdvals(x)
    return tuple(torch.linalg.svd(x, full_matrices=full_matrices))


__all__ = op_names(__name__, "jvp")
