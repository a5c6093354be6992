"""Picking, sorting, counting, against NumPy."""

import numpy as np
import pytest
import torch

from torchkeras import ops

X = np.random.default_rng(0).integers(0, 5, (4, 3, 5))
T = torch.tensor(X)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("indices", [1, -1, [0, 2], [[0, -1], [-3, 2]]])
def test_take(axis, indices):
    expected = np.take(X, indices, axis)
    np.testing.assert_array_equal(ops.take(T, indices, axis), expected)
    np.testing.assert_array_equal(ops.take(T, torch.tensor(indices), axis), expected)


def test_take_keeps_an_axis_of_size_one():
    assert ops.take(torch.ones(1, 3), torch.zeros(1, 1, dtype=torch.int64), axis=0).shape == (
        1,
        1,
        3,
    )
    assert ops.take(torch.ones(2, 3, 4), torch.tensor([0]), axis=1).shape == (2, 1, 4)


def test_take_has_a_gradient():
    x = torch.ones(3, 2, requires_grad=True)
    ops.take(x, torch.tensor([0, 0, -1]), axis=0).sum().backward()
    assert x.grad.tolist() == [[2, 2], [0, 0], [1, 1]]


@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_take_along_axis(axis):
    order = np.argsort(X, axis=axis)
    order = order - (order > 0) * (X.size if axis is None else X.shape[axis])  # some negative
    expected = np.take_along_axis(X, order, axis)
    np.testing.assert_array_equal(ops.take_along_axis(T, order, axis), expected)


def test_where():
    assert torch.equal(ops.where(T > 2), torch.tensor(np.stack(np.nonzero(X > 2))).int())
    for ours, expected in zip(ops.nonzero(T), np.nonzero(X), strict=True):
        np.testing.assert_array_equal(ours, expected)
    with pytest.raises(ValueError, match="only x1"):
        ops.where(T > 2, T)


@pytest.mark.parametrize("axis", [None, 0, 2])
def test_unique(axis):
    x = X[:, :1] // 2 if axis is None else np.concatenate([X, X[::-1]])
    flags = {"return_index": True, "return_inverse": True, "return_counts": True}
    ours = ops.unique(torch.tensor(x), axis=axis, **flags)
    values, index, inverse, counts = np.unique(x, axis=axis, **flags)
    np.testing.assert_array_equal(ours[0], values)
    np.testing.assert_array_equal(ours[1], index)
    np.testing.assert_array_equal(ours[2].reshape(inverse.shape), inverse)
    np.testing.assert_array_equal(ours[3], counts)
    assert all(part.dtype is torch.int32 for part in ours[1:])


def test_unique_of_a_fixed_size():
    x = torch.tensor([4, 2, 4, 7])
    values, counts = ops.unique(x, return_counts=True, size=5, fill_value=-1)
    assert values.tolist() == [2, 4, 7, -1, -1] and counts.tolist() == [1, 2, 1, 0, 0]
    assert ops.unique(x, size=2).tolist() == [2, 4]
    rows = ops.unique(torch.tensor([[1, 2], [1, 2]]), axis=0, size=2, fill_value=9)
    assert rows.tolist() == [[1, 2], [9, 9]]


@pytest.mark.parametrize("span", [None, (0.2, 0.7), (0.5, 0.5)])
def test_histogram(span):
    x = np.random.default_rng(1).uniform(0, 1, 50).astype("float32")
    counts, edges = ops.histogram(torch.tensor(x), bins=7, range=span)
    expected_counts, expected_edges = np.histogram(x, bins=7, range=span)
    np.testing.assert_allclose(edges, expected_edges, rtol=1e-6)
    np.testing.assert_array_equal(counts, expected_counts)


@pytest.mark.parametrize(
    "kwargs, match", [({"bins": 0}, "bins=0"), ({"range": (2, 1)}, r"range=\(2, 1\)")]
)
def test_histogram_errors(kwargs, match):
    with pytest.raises(ValueError, match=match):
        ops.histogram(torch.ones(3), **kwargs)
    with pytest.raises(ValueError, match="one axis"):
        ops.histogram(torch.ones(3, 2))


def test_bincount_of_a_batch():
    x, weights = X[:, 0], np.random.default_rng(1).uniform(size=(4, 5)).astype("float32")
    ours = ops.bincount(torch.tensor(x), weights=torch.tensor(weights), minlength=6)
    expected = [np.bincount(a, b, minlength=6) for a, b in zip(x, weights, strict=True)]
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    assert ops.bincount(torch.tensor([], dtype=torch.int64)).shape == (0,)
    with pytest.raises(ValueError, match="sparse=True"):
        ops.bincount(T[0, 0], sparse=True)


def test_digitize_and_sorting():
    bins = np.array([1, 3])
    np.testing.assert_array_equal(ops.digitize(T, torch.tensor(bins)), np.digitize(X, bins))
    np.testing.assert_array_equal(ops.sort(T, axis=0), np.sort(X, axis=0))
    np.testing.assert_array_equal(ops.argsort(T), np.argsort(X, kind="stable"))


def test_select_takes_the_first_that_holds():
    ours = ops.select([T > 3, T > 1], [T * 0, T * 10], -1)
    np.testing.assert_array_equal(ours, np.select([X > 3, X > 1], [X * 0, X * 10], -1))
    with pytest.raises(ValueError, match="lengths 1 and 2"):
        ops.select([T > 3], [T, T])


def test_an_index_out_of_range_is_an_error_or_no_hit():
    x = torch.arange(6.0).reshape(2, 3)
    for index in (3, -4):
        for call in (
            lambda i: ops.take_along_axis(x, torch.full((2, 1), i), 1),
            lambda i: ops.take_along_axis(x, torch.tensor([7 * i])),
            lambda i: ops.take(x, torch.tensor([i]), axis=1),
        ):
            with pytest.raises(
                (IndexError, RuntimeError), match="out of (range|bounds|DATA bounds)"
            ):
                call(index)
    assert ops.in_top_k(torch.tensor([3, -1]), x, 3).tolist() == [False, False]
    with pytest.raises(ValueError, match="`minlength` must be at least 0"):
        ops.bincount(torch.tensor([1]), minlength=-1)
    with pytest.raises(ValueError, match="`range` must be a pair"):
        ops.histogram(torch.ones(2), range=(float("nan"), 1.0))


def test_take_along_axis_broadcasts_as_numpy():
    x, indices = np.arange(24).reshape(2, 3, 4), np.array([[[0], [-1]]])
    expected = np.take_along_axis(x, np.broadcast_to(indices, (2, 2, 4)), 1)
    np.testing.assert_array_equal(
        ops.take_along_axis(torch.tensor(x), torch.tensor(indices), 1), expected
    )
