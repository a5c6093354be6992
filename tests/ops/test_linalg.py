"""Linear algebra: the factors multiply back, the solutions solve."""

import pytest
import torch

from torchkeras import ops

GENERATOR = torch.Generator().manual_seed(0)
A = torch.randn(2, 3, 3, generator=GENERATOR, dtype=torch.float64)
B = torch.randn(2, 3, 4, generator=GENERATOR, dtype=torch.float64)
SPD = A @ A.mT + torch.eye(3, dtype=torch.float64)


def test_factorizations():
    lower, upper = ops.cholesky(SPD), ops.cholesky(SPD, upper=True)
    torch.testing.assert_close(lower @ lower.mT, SPD)
    torch.testing.assert_close(upper.mT @ upper, SPD)
    for mode in ("reduced", "complete"):
        q, r = ops.qr(B, mode=mode)
        torch.testing.assert_close(q @ r, B)
    u, s, vh = ops.svd(B, full_matrices=False)
    torch.testing.assert_close((u * s.unsqueeze(-2)) @ vh, B)
    torch.testing.assert_close(ops.svd(B, compute_uv=False), s)
    values, vectors = ops.eigh(SPD)
    torch.testing.assert_close(SPD @ vectors, vectors * values.unsqueeze(-2))
    values, vectors = ops.eig(A)
    torch.testing.assert_close(A.to(vectors.dtype) @ vectors, vectors * values.unsqueeze(-2))


def test_solutions():
    torch.testing.assert_close(A @ ops.solve(A, B), B)
    torch.testing.assert_close((A @ ops.solve(A, B[..., 0]).unsqueeze(-1)).squeeze(-1), B[..., 0])
    torch.testing.assert_close(A @ ops.inv(A), torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    for lower in (True, False):
        triangle = A.tril() if lower else A.triu()
        for b in (B, B[..., 0]):
            x = ops.solve_triangular(A, b, lower=lower)
            product = triangle @ (x if x.dim() == 3 else x.unsqueeze(-1))
            torch.testing.assert_close(product.reshape(b.shape), b)


def test_least_squares():
    tall = B.mT[0]  # (4, 3)
    b = torch.arange(4.0, dtype=torch.float64)
    x = ops.lstsq(tall, b)
    torch.testing.assert_close(tall.T @ (tall @ x - b), torch.zeros(3, dtype=torch.float64))
    singular = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    torch.testing.assert_close(ops.lstsq(singular, torch.tensor([2.0, 2.0])), torch.ones(2))


def test_powers_and_determinants():
    torch.testing.assert_close(ops.matrix_power(A, 3), A @ A @ A)
    torch.testing.assert_close(ops.matrix_power(A, -1), ops.inv(A))
    torch.testing.assert_close(ops.det(SPD).log(), ops.logdet(SPD))


@pytest.mark.parametrize("kwargs", [{}, {"axis": 1}, {"axis": [1, 2], "ord": "fro"}, {"ord": None}])
def test_norm(kwargs):
    axes = kwargs.get("axis")
    expected = A.square().sum(axes).sqrt()
    torch.testing.assert_close(ops.norm(A, **kwargs), expected)
    assert ops.norm(torch.tensor([3, 4])).item() == 5


@pytest.mark.parametrize("name", ["cholesky", "det", "eig", "eigh", "inv"])
def test_matrices_must_be_square(name):
    with pytest.raises(ValueError, match=r"square.*\(2, 3, 4\)"):
        getattr(ops, name)(B)
    with pytest.raises(ValueError, match="at least 2 axes"):
        getattr(ops, name)(torch.ones(3))


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode='raw'"):
        ops.qr(A, mode="raw")
