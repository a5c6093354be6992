"""Control flow, slices, scatters, conversions."""

import numpy as np
import pytest
import torch

from torchkeras import ops
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.variable import Variable

X = torch.arange(24.0).reshape(2, 3, 4)


def test_conversions():
    assert ops.convert_to_tensor([1, 2]).dtype is torch.int32
    assert ops.convert_to_tensor(np.ones(2)).dtype is torch.float64
    assert ops.convert_to_tensor(Variable(1.0)).dtype is torch.float32
    assert ops.convert_to_numpy(X.bfloat16()).dtype == np.float32
    assert ops.is_tensor(X) and not ops.is_tensor(X.numpy())
    assert ops.cast(True, "float16").dtype is torch.float16
    assert ops.dtype(Variable(1.0)) == ops.dtype(X) == "float32"
    assert ops.shape(np.ones((2, 3))) == ops.shape([[1, 2, 3], [4, 5, 6]]) == (2, 3)
    assert ops.convert_to_tensor(KerasTensor((None, 2))).shape == (None, 2)
    with pytest.raises(ValueError, match="sparse=True"):
        ops.convert_to_tensor(X, sparse=True)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "float16"])
def test_saturate_cast_reaches_the_limits(dtype):
    x = torch.tensor([-1e30, -3.0, 3.0, 1e30])
    y = ops.saturate_cast(x, dtype)
    limits = torch.finfo(y.dtype) if y.is_floating_point() else torch.iinfo(y.dtype)
    assert y[0] == limits.min and y[-1] == limits.max and y[2] == 3


def test_stop_gradient():
    x = torch.ones(2, requires_grad=True)
    (ops.stop_gradient(x) * x).sum().backward()
    assert x.grad.tolist() == [1, 1]
    assert not ops.stop_gradient(Variable([1.0])).requires_grad


def test_slice_and_slice_update():
    expected = X[:, 1:3, 2:3]
    assert torch.equal(ops.slice(X, (0, 1, 2), (2, 2, 1)), expected)
    assert torch.equal(ops.slice(X, torch.tensor([0, 1, 2]), (2, 2, 1)), expected)
    assert torch.equal(ops.slice(X, [torch.tensor(1)], (1,)), X[1:])
    for start in ((0, 1, 2), torch.tensor([0, 1, 2])):
        y = ops.slice_update(X, start, torch.full((2, 2, 1), -1.0))
        assert torch.equal(y == -1, torch.zeros(2, 3, 4).index_fill(2, torch.tensor(2), 1)
                           .index_fill(1, torch.tensor(0), 0).bool())  # fmt: skip
    assert (X >= 0).all()  # the input is left as it was
    with pytest.raises(ValueError, match=r"start_indices=\(0, 2, 0\)"):
        ops.slice(X, (0, 2, 0), (2, 2, 1))


def test_scatter_adds_up():
    indices = torch.tensor([[[0], [3]], [[3], [1]]])
    values = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    y = ops.scatter(indices, values, (4, 2))
    assert y.tolist() == [[1, 2], [7, 8], [0, 0], [8, 10]]


@pytest.mark.parametrize("reduction", [None, "add", "mul", "max", "min"])
def test_scatter_update(reduction):
    combine = {
        None: lambda old, new: new,
        "add": torch.add,
        "mul": torch.mul,
        "max": torch.maximum,
        "min": torch.minimum,
    }[reduction]
    indices = [[0, 1], [1, -1]] + ([[0, 1]] if reduction else [])
    updates = X.reshape(6, 4)[: len(indices)] - 3
    expected = X.clone()
    for (i, j), update in zip(indices, updates, strict=True):
        expected[i, j] = combine(expected[i, j], update)
    assert torch.equal(ops.scatter_update(X, indices, updates, reduction), expected)
    single = ops.scatter_update(torch.zeros(3), [[1]], [2.0], reduction)
    assert single.shape == (3,)


def test_scatter_update_has_a_gradient_and_refuses_unknown_reductions():
    x, updates = torch.ones(3, requires_grad=True), torch.ones(1, requires_grad=True)
    (ops.scatter_update(x, [[1]], updates) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [1, 0, 3] and updates.grad.tolist() == [2]
    with pytest.raises(ValueError, match="'mean'"):
        ops.scatter_update(x, [[1]], updates, "mean")


def test_cond_and_switch():
    assert ops.cond(True, lambda: 1, lambda: 2) == 1
    assert ops.cond(torch.tensor(False), lambda: 1, lambda: 2) == 2
    branches = [lambda v: v, lambda v: v * 2, lambda v: v * 3]
    assert [ops.switch(i, branches, 5) for i in (-1, 0, 1, 2, 9)] == [5, 5, 10, 15, 15]
    assert ops.switch(torch.tensor(1), branches, 5) == 10


def test_while_loop():
    i, total = ops.while_loop(lambda i, t: i < 5, lambda i, t: (i + 1, t + i), (0, 0))
    assert (int(i), int(total)) == (5, 10)
    assert int(ops.while_loop(lambda i: True, lambda i: i + 1, 0, maximum_iterations=3)) == 3
    result = ops.while_loop(lambda s: s["i"] < 2, lambda s: ({"i": s["i"] + 1},), [{"i": 0}])
    assert int(result[0]["i"]) == 2
    assert ops.fori_loop(0, torch.tensor(4), lambda i, v: v + i, 0) == 6


@pytest.mark.parametrize("reverse", [False, True])
def test_scan(reverse):
    xs = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor([10, 20, 30])}

    def step(carry, x):
        total, count = carry
        return (total + x["a"], count + 1), {"sum": total, "b": x["b"]}

    (total, count), ys = ops.scan(step, (0.0, 0), xs, reverse=reverse)
    assert total.item() == 6 and count.item() == 3
    assert ys["sum"].tolist() == ([5, 3, 0] if reverse else [0, 1, 3])
    assert ys["b"].tolist() == [10, 20, 30]


def test_scan_without_inputs_or_outputs():
    carry, ys = ops.scan(lambda c, _: (c + 1, None), torch.tensor(0), length=3)
    assert carry.item() == 3 and ys.tolist() == [0, 0, 0]
    with pytest.raises(TypeError, match="f=3"):
        ops.scan(3, 0, X)
    with pytest.raises(ValueError, match="`length`"):
        ops.scan(lambda c, x: (c, x), 0)
    with pytest.raises(ValueError, match="at least one step"):
        ops.scan(lambda c, x: (c, x), 0, X[:0])


def test_maps():
    double = torch.arange(3.0)
    assert torch.equal(ops.map(lambda x: 2 * x, double), 2 * double)
    assert torch.equal(ops.vectorized_map(lambda x: 2 * x, double), 2 * double)
    pairs = (double, double + 1)
    assert torch.equal(ops.vectorized_map(lambda p: p[0] * p[1], pairs), double * (double + 1))
    a, b = ops.map(lambda p: (p[0], p[1] * 2), pairs)
    assert torch.equal(a, double) and torch.equal(b, 2 * (double + 1))


def test_unstack():
    assert [part.shape for part in ops.unstack(X, axis=-1)] == [(2, 3)] * 4
    assert len(ops.unstack(X, num=2)) == 2
    with pytest.raises(ValueError, match="num=3"):
        ops.unstack(X, num=3)
