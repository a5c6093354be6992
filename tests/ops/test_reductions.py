"""Reductions against NumPy, where Keras on torch differs from it."""

import numpy as np
import pytest
import torch

from torchkeras import ops

X = np.random.default_rng(0).uniform(-1, 2, (2, 3, 4)).astype("float32")
WITH_KEEPDIMS = "sum mean var std prod max min amax amin all any median nansum nanmean".split()


@pytest.mark.parametrize("name", WITH_KEEPDIMS)
def test_keepdims_holds_for_all_axes(name):
    ours = getattr(ops, name)(torch.tensor(X), keepdims=True)
    np.testing.assert_allclose(ours, getattr(np, name)(X, keepdims=True), rtol=2e-6)


@pytest.mark.parametrize("name", "sum mean var std prod max min all any nansum nanmean".split())
def test_no_axis_reduces_nothing(name):
    for axis in ((), []):
        ours = getattr(ops, name)(torch.tensor(X), axis=axis)
        np.testing.assert_allclose(ours, getattr(np, name)(X, axis=()), rtol=1e-6)


@pytest.mark.parametrize("axis", [None, 0, (0, 2)])
def test_count_nonzero(axis):
    ours = ops.count_nonzero(torch.tensor(X > 0), axis=axis)
    np.testing.assert_array_equal(ours, np.count_nonzero(X > 0, axis=axis))
    assert ours.dtype is torch.int32


@pytest.mark.parametrize("name", ["max", "min"])
def test_extremes_of_nothing(name):
    x = torch.empty(0, 3)
    with pytest.raises(ValueError, match="Pass `initial`"):
        getattr(ops, name)(x)
    assert getattr(ops, name)(x, axis=1, initial=None).shape == (0,)
    ours = getattr(ops, name)(x, axis=0, initial=5.0, keepdims=True)
    assert torch.equal(ours, torch.full((1, 3), 5.0))


def test_weighted_average_along_one_axis():
    weights = np.array([1.0, 2.0, 5.0], "float32")
    ours = ops.average(torch.tensor(X), axis=1, weights=weights)
    np.testing.assert_allclose(ours, np.average(X, axis=1, weights=weights), rtol=1e-5, atol=1e-6)
    full = np.abs(X)
    ours = ops.average(torch.tensor(X), axis=1, weights=full)
    np.testing.assert_allclose(ours, np.average(X, axis=1, weights=full), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="weights of shape"):
        ops.average(torch.tensor(X), axis=0, weights=weights)


@pytest.mark.parametrize("axis", [None, 0, (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_quantile(axis, keepdims):
    q = np.array([[0.1, 0.5], [0.75, 1.0]], "float32")[0 if axis == 0 else slice(None)].ravel()
    ours = ops.quantile(torch.tensor(X), q, axis=axis, keepdims=keepdims)
    np.testing.assert_allclose(ours, np.quantile(X, q, axis=axis, keepdims=keepdims), rtol=1e-5)
    ours = ops.quantile(torch.tensor(X), 0.3, axis=axis, keepdims=keepdims)
    np.testing.assert_allclose(ours, np.quantile(X, 0.3, axis=axis, keepdims=keepdims), rtol=1e-5)


def test_functions_that_skip_nan():
    x = X.copy()
    x[0, 1, 2] = x[1, 2, 3] = np.nan
    x[:, 0, 0] = np.nan
    t = torch.tensor(x)
    np.testing.assert_allclose(ops.nansum(t, axis=0), np.nansum(x, axis=0), rtol=1e-6)
    for name in ("nanmax", "nanmin", "nanmean"):
        ours = getattr(ops, name)(t, axis=0)
        assert torch.isnan(ours[0, 0])  # nothing but NaN there
        expected = getattr(np, name)(x[:, 1:], axis=0)
        np.testing.assert_allclose(ours[1:], expected, rtol=1e-6)
        np.testing.assert_allclose(getattr(ops, name)(t), getattr(np, name)(x), rtol=1e-6)


def test_half_precision_variance_does_not_overflow():
    x = torch.full((4000,), 300.0, dtype=torch.float16)  # the sum of squares is 3.6e8
    assert ops.var(x).item() == 0 and ops.mean(x).item() == 300
