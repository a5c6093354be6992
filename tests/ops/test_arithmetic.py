"""Elementwise functions of two tensors, where the parity tests do not look."""

import pytest
import torch

from torchkeras import ops


def test_broadcasting():
    x, y = torch.ones(3, 1), torch.arange(4.0)
    assert ops.add(x, y).shape == (3, 4)
    assert ops.maximum(x, y).shape == ops.less(x, y).shape == (3, 4)


def test_integer_division_rounds_down_and_mod_takes_the_divisors_sign():
    a, b = torch.tensor([7, -7, 7, -7]), torch.tensor([2, 2, -2, -2])
    quotient, rest = ops.floor_divide(a, b), ops.mod(a, b)
    assert quotient.tolist() == [3, -4, -4, 3] and rest.tolist() == [1, 1, -1, -1]
    assert torch.equal(quotient * b + rest, a)


def test_booleans_subtract_from_numbers():
    x = torch.tensor([True, False])
    assert ops.subtract(torch.tensor([2, 2]), x).tolist() == [1, 2]
    assert ops.subtract(x, 1).tolist() == [0, -1]
    with pytest.raises(RuntimeError):
        ops.subtract(x, x)


def test_divide_no_nan_has_a_finite_gradient():
    x, y = (torch.tensor([1.0, 6.0], requires_grad=True), torch.tensor([0.0, 2.0]))
    y.requires_grad_()
    ops.divide_no_nan(x, y).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([0.0, 0.5]))
    torch.testing.assert_close(y.grad, torch.tensor([0.0, -1.5]))


def test_maximum_shares_the_gradient_at_a_tie():
    x = torch.zeros(1, requires_grad=True)
    ops.maximum(x, 0).backward()
    assert x.grad.item() == 0.5


def test_nan():
    nan = torch.tensor([float("nan")])
    assert ops.maximum(nan, 1).isnan() and ops.minimum(1, nan).isnan()
    assert not ops.equal(nan, nan) and ops.isclose(nan, nan, equal_nan=True)
