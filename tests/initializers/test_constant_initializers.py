"""Zeros, Ones, Constant, Identity."""

import numpy as np
import pytest
import torch

from torchkeras import initializers
from torchkeras.core.variable import Variable


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_zeros_and_ones(dtype):
    torch_dtype = getattr(torch, dtype)
    zeros, ones = initializers.Zeros()((2, 3), dtype), initializers.Ones()((2, 3), dtype)
    assert torch.equal(zeros, torch.zeros(2, 3, dtype=torch_dtype))
    assert torch.equal(ones, torch.ones(2, 3, dtype=torch_dtype))


def test_constant_of_a_number():
    assert initializers.Constant(2.5)((2,)).tolist() == [2.5, 2.5]
    assert initializers.Constant(2.5)((2,), "int32").tolist() == [2, 2]
    assert initializers.Constant(True)((1,), "bool").tolist() == [True]
    assert initializers.Constant(3)(()).item() == 3


@pytest.mark.parametrize("wrap", [list, np.array, torch.tensor, Variable])
def test_constant_of_an_array_broadcasts_and_copies(wrap):
    value = wrap([1.0, 2.0])
    made = initializers.Constant(value)((3, 2))
    assert made.tolist() == [[1.0, 2.0]] * 3
    made.zero_()
    assert list(Variable(value).numpy()) == [1.0, 2.0]
    with pytest.raises(ValueError, match=r"broadcast .* \(3,\)\. Received: value of shape \(2,\)"):
        initializers.Constant(value)((3,))


@pytest.mark.parametrize("value", ["one", None, [[1.0], [1.0, 2.0]]])
def test_constant_needs_numbers(value):
    with pytest.raises(ValueError, match="Received"):
        initializers.Constant(value)


def test_identity():
    assert torch.equal(initializers.Identity()((2, 3)), torch.eye(2, 3))
    assert torch.equal(initializers.Identity(3.0)((2, 2)), 3 * torch.eye(2))
    assert initializers.Identity(2.0)((2, 2), "int32").dtype is torch.int32
    assert initializers.Identity().get_config() == {}
    assert torch.equal(initializers.Identity(3.0).clone()((2, 2)), 3 * torch.eye(2))
    with pytest.raises(ValueError, match=r"two sizes\. Received: shape=\(2, 2, 2\) of rank 3"):
        initializers.Identity()((2, 2, 2))


@pytest.mark.parametrize(
    "shape, error",
    [(3, TypeError), ((2, None), TypeError), ((2.0,), TypeError), ((-1,), ValueError)],
)
def test_bad_shapes(shape, error):
    for cls in (initializers.Zeros, initializers.Ones, initializers.Constant):
        with pytest.raises(error, match="Received: shape="):
            cls()(shape)
