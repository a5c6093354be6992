"""Products, against NumPy."""

import numpy as np
import pytest
import torch

from torchkeras import ops

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    "a, b",
    [((), (2, 3)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4))]
    + [((2, 4, 3), (5, 3, 2)), ((3,), (5, 3, 2)), ((2, 4, 3), (3,))],
)
def test_dot_combines_all_leading_axes(a, b):
    a, b = array(*a), array(*b)
    ours = ops.dot(torch.tensor(a), torch.tensor(b))
    np.testing.assert_allclose(ours, np.dot(a, b), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axes", [0, 1, 2, (1, 1), ((0, 1), (0, 1)), ([2], [2])])
def test_tensordot(axes):
    a = array(3, 3, 3)
    ours = ops.tensordot(torch.tensor(a), torch.tensor(a), axes)
    np.testing.assert_allclose(ours, np.tensordot(a, a, axes), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["matmul", "dot", "tensordot", "inner"])
def test_integers_are_multiplied_exactly(name):
    a = torch.tensor([[16_777_217, 1], [0, 1]], dtype=torch.int32)  # 2^24 + 1 is no float32
    b = torch.eye(2, dtype=torch.int32)
    kwargs = {"axes": 1} if name == "tensordot" else {}
    assert torch.equal(getattr(ops, name)(a, b, **kwargs), a)


def test_int8_products_do_not_overflow():
    a = torch.full((2, 2), 100, dtype=torch.int8)
    assert ops.matmul(a, a).tolist() == ops.einsum("ij,jk", a, a).tolist() == [[20000] * 2] * 2


def test_booleans():
    a = torch.tensor([[True, False], [True, True]])
    assert ops.matmul(a, a).dtype is torch.bool
    assert ops.matmul(a, a).tolist() == (a.numpy() @ a.numpy()).tolist()


@pytest.mark.parametrize(
    "kwargs", [{}, {"axis": 0}, {"axisa": 0, "axisb": 1, "axisc": 0}, {"axisc": 0}]
)
def test_cross(kwargs):
    a, b = array(3, 3), array(3, 3)
    ours = ops.cross(torch.tensor(a), torch.tensor(b), **kwargs)
    np.testing.assert_allclose(ours, np.cross(a, b, **kwargs), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"shapes \(2,\), \(2,\)"):
        ops.cross(torch.ones(2), torch.ones(2))


def test_einsum_promotes_and_refuses_unknown_arguments():
    a = torch.ones(2, 3)
    assert ops.einsum("ij,ij->i", a, a.half(), optimize="greedy").dtype is torch.float32
    with pytest.raises(TypeError, match="optimise"):
        ops.einsum("ij->i", a, optimise=True)
