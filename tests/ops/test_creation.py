"""Functions that make tensors, against NumPy."""

import numpy as np
import pytest
import torch

from torchkeras import ops
from torchkeras.core import config


def test_default_dtype_is_floatx():
    made = [ops.zeros(2), ops.ones((2,)), ops.empty([2]), ops.full(2, 3), ops.eye(2), ops.tri(2)]
    assert all(x.dtype is torch.float32 for x in made)
    config.set_floatx("float16")
    try:
        assert ops.zeros(2).dtype is ops.arange(2.0).dtype is torch.float16
        assert ops.linspace(0, 1, 3).dtype is torch.float16
    finally:
        config.set_floatx("float32")


def test_device_scope():
    with config.device("meta"):
        made = [ops.zeros(2), ops.full(2, 3), ops.eye(2, k=1), ops.arange(3), ops.linspace(0, 1, 2)]
    assert all(x.is_meta for x in made)


@pytest.mark.parametrize("k", [-2, 0, 1, 7])
def test_eye_and_tri(k):
    np.testing.assert_array_equal(ops.eye(3, 5, k), np.eye(3, 5, k))
    np.testing.assert_array_equal(ops.tri(3, 5, k), np.tri(3, 5, k))


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("num", [0, 1, 2, 7])
def test_linspace(endpoint, num):
    kwargs = {"num": num, "endpoint": endpoint, "retstep": True}
    ours, step = ops.linspace(-1, 2, **kwargs)
    expected, expected_step = np.linspace(-1, 2, **kwargs)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    np.testing.assert_allclose(step, expected_step)
    start, stop = np.array([0.0, 1.0], "float32"), np.array([[5.0], [7.0]], "float32")
    kwargs["axis"] = -1
    ours, step = ops.linspace(torch.tensor(start), stop, **kwargs)
    expected, expected_step = np.linspace(start, stop, **kwargs)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    np.testing.assert_allclose(step, np.broadcast_to(expected_step, step.shape), rtol=1e-6)


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_meshgrid(indexing, count):
    xs = [np.arange(n + 2) for n in range(count)]
    ours = ops.meshgrid(*[torch.tensor(x) for x in xs], indexing=indexing)
    for a, b in zip(ours, np.meshgrid(*xs, indexing=indexing), strict=True):
        np.testing.assert_array_equal(a, b)


def test_errors():
    with pytest.raises(ValueError, match="known sizes.*None"):
        ops.zeros((None, 3))
    with pytest.raises(ValueError, match="'xy' or 'ij'"):
        ops.meshgrid(torch.ones(2), indexing="yx")


def test_full_with_a_tensor_has_memory_of_its_own():
    value = torch.tensor([1.0, 2.0])
    x = ops.full((3, 2), value)
    x.add_(1)
    assert value.tolist() == [1, 2] and x.tolist() == [[2, 3]] * 3
    assert ops.full_like(torch.ones(3, 2), value).tolist() == [[1, 2]] * 3
