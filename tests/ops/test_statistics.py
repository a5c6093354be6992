"""Series, sequences, orders and NaN, against NumPy."""

import warnings

import numpy as np
import pytest
import torch

from torchkeras import ops

X = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
HOLES = np.where(np.random.default_rng(1).uniform(size=X.shape) < 0.3, np.nan, X)


@pytest.mark.parametrize("mode", ["valid", "same", "full"])
@pytest.mark.parametrize("m", [1, 4, 5])
@pytest.mark.parametrize("n", [1, 4, 5])
def test_correlate(m, n, mode):
    a, b = X[0, 0, :m], X[1, 0, :n]
    ours = ops.correlate(torch.tensor(a), torch.tensor(b), mode=mode)
    np.testing.assert_allclose(ours, np.correlate(a, b, mode), rtol=1e-5, atol=1e-6)


def test_correlate_conjugates_the_second_series():
    a, b = X[0, 0] + 1j * X[0, 1], X[1, 0, :3] + 1j * X[1, 1, :3]
    ours = ops.correlate(torch.tensor(a), torch.tensor(b), mode="full")
    np.testing.assert_allclose(ours, np.correlate(a, b, "full"), rtol=1e-5, atol=1e-6)


def test_corrcoef_and_trapezoid():
    np.testing.assert_allclose(ops.corrcoef(torch.tensor(X[0])), np.corrcoef(X[0]), atol=1e-6)
    assert ops.corrcoef(torch.tensor(X[0, :1])).shape == np.corrcoef(X[0, :1]).shape == ()
    points = np.sort(X[0, 0])
    for kwargs in ({}, {"dx": 0.5}, {"x": points}, {"x": X}):
        ours = {k: torch.tensor(v) if k == "x" else v for k, v in kwargs.items()}
        expected = np.trapezoid(X, **kwargs)
        np.testing.assert_allclose(ops.trapezoid(torch.tensor(X), **ours), expected, atol=1e-5)


def test_infinities_are_kept_in_running_sums_without_nan():
    x = np.array([1.0, np.inf, np.nan, -2.0], "float32")
    np.testing.assert_array_equal(ops.nancumsum(torch.tensor(x)), np.nancumsum(x))
    np.testing.assert_array_equal(ops.nancumprod(torch.tensor(x)), np.nancumprod(x))


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
@pytest.mark.parametrize(
    "name", ["nansum", "nanmean", "nanvar", "nanstd", "nanprod", "nanmedian", "nanmax", "nanmin"]
)
def test_nan_reductions(name, axis):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = getattr(np, name)(HOLES, axis=axis)
    ours = getattr(ops, name)(torch.tensor(HOLES), axis=axis)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)
    ours = getattr(ops, name)(torch.full((2, 3), torch.nan), axis=0)
    assert ours.tolist() == [{"nansum": 0.0, "nanprod": 1.0}.get(name, ours[0].item())] * 3 or (
        torch.isnan(ours).all()
    )


def test_places_without_nan():
    x = torch.tensor([[1.0, torch.nan, 3.0], [torch.nan] * 3])
    assert ops.nanargmax(x, axis=1).tolist() == [2, -1]
    assert ops.nanargmin(x, axis=1, keepdims=True).tolist() == [[0], [-1]]
    assert ops.nanargmax(torch.tensor([2, 5])).item() == 1


@pytest.mark.parametrize("q", [0.3, [0.1, 0.9], [[0.5], [0.2]]])
@pytest.mark.parametrize("keepdims", [False, True])
def test_quantiles_of_every_shape(q, keepdims):
    ours = ops.percentile(torch.tensor(X), torch.tensor(q) * 100, axis=(0, 2), keepdims=keepdims)
    expected = np.percentile(X, np.array(q) * 100, axis=(0, 2), keepdims=keepdims)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    ours = ops.nanquantile(torch.tensor(HOLES), torch.tensor(q), axis=1, keepdims=keepdims)
    expected = np.nanquantile(HOLES, q, axis=1, keepdims=keepdims)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("kth", [0, 2, -1])
def test_argpartition_puts_the_element_of_a_rank_at_its_place(axis, kth):
    order = ops.argpartition(torch.tensor(X), kth, axis=axis)
    x = X.reshape(-1) if axis is None else X
    picked = np.take_along_axis(x, order.numpy(), axis or 0)
    expected = np.take(np.sort(x, axis or 0), kth, axis or 0)
    np.testing.assert_array_equal(np.take(picked, kth, axis or 0), expected)
    with pytest.raises(ValueError, match="^keras.ops.argpartition: `kth` must lie in"):
        ops.argpartition(torch.ones(2), 2)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("endpoint", [True, False])
def test_sequences_along_an_axis(axis, endpoint):
    start, stop = np.abs(X[0, :2, :3]) + 0.5, np.abs(X[1, :2, :3]) + 2
    for name in ("geomspace", "logspace"):
        expected = getattr(np, name)(start, stop, 4, endpoint=endpoint, axis=axis)
        tensors = torch.tensor(start), torch.tensor(stop)
        ours = getattr(ops, name)(*tensors, 4, endpoint=endpoint, axis=axis)
        np.testing.assert_allclose(ours, expected, rtol=1e-4)
    assert ops.geomspace(-1, -100, 3).tolist() == [-1, -10, -100]
    assert ops.geomspace(1, 100, 1).tolist() == [1] and ops.geomspace(1, 100, 0).shape == (0,)
    assert ops.logspace(0, 3, 4, base=2, dtype="int32").tolist() == [1, 2, 4, 8]


@pytest.mark.parametrize("shape", [(2, 3), (6,), 6, (1, 2, 3, 1)])
def test_unravel_index(shape):
    flat = np.array([[0, 5], [3, 1]])
    ours, expected = ops.unravel_index(torch.tensor(flat), shape), np.unravel_index(flat, shape)
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [int(i) for i in ops.unravel_index(torch.tensor(-1), (2, 3))] == [1, 2]
    with pytest.raises(ValueError, match=r"\[-6, 6\).*from 6 to 6"):
        ops.unravel_index(torch.tensor(6), shape)


def test_searchsorted_isin_and_powers():
    edges, x = np.array([1.0, 2.0, 2.0, 3.0]), np.array([[2.0, 0.0], [5.0, 3.0]])
    for side in ("left", "right"):
        ours = ops.searchsorted(torch.tensor(edges), torch.tensor(x), side=side)
        np.testing.assert_array_equal(ours, np.searchsorted(edges, x, side))
    assert ops.searchsorted(torch.tensor(edges), 2.0).item() == 1
    assert ops.isin(torch.tensor([1, 2]), 2, invert=True).tolist() == [True, False]
    assert ops.isin(3, torch.tensor([[1, 3]])).item() is True
    np.testing.assert_array_equal(ops.vander(torch.tensor([1, 2]), 3), np.vander([1, 2], 3))
    with pytest.raises(
        ValueError, match="^keras.ops.searchsorted: `sorted_sequence` must have one"
    ):
        ops.searchsorted(torch.ones(2, 2), 1.0)


def test_rows_and_columns():
    a, b = np.arange(6).reshape(2, 3), np.arange(2)
    ours = ops.column_stack([torch.tensor(a), torch.tensor(b)])
    np.testing.assert_array_equal(ours, np.column_stack([a, b]))
    np.testing.assert_array_equal(ops.dstack([torch.tensor(b)] * 2), np.dstack([b, b]))
    for k in range(-3, 5):
        np.testing.assert_array_equal(ops.rot90(torch.tensor(X), k, (0, 2)), np.rot90(X, k, (0, 2)))
    with pytest.raises(ValueError, match="^keras.ops.rot90: `axes` must name two different axes"):
        ops.rot90(torch.ones(2, 2), axes=(0, -2))
    with pytest.raises(TypeError, match="`indices_or_sections` must be an int"):
        ops.array_split(torch.ones(3), [1])


def test_products_of_all_elements():
    a, b = X[0] + 1j * X[1], X[1] - 2j * X[2]
    np.testing.assert_allclose(ops.vdot(torch.tensor(a), torch.tensor(b)), np.vdot(a, b), rtol=1e-5)
    np.testing.assert_allclose(ops.kron(torch.tensor(X), torch.tensor(X[0])), np.kron(X, X[0]))
    with pytest.raises(ValueError, match=r"^keras.ops.vdot: .*\(2,\), \(3,\)"):
        ops.vdot(torch.ones(2), torch.ones(3))


def test_view_reads_bits():
    x = np.array([[1.0, -2.0]], "float32")
    for dtype in ("int32", "int16", "uint8", "float64"):
        np.testing.assert_array_equal(ops.view(torch.tensor(x), dtype), x.view(dtype))
    assert ops.view(torch.tensor([1])).dtype is torch.int64
    with pytest.raises(ValueError, match="^keras.ops.view: the last axis must divide"):
        ops.view(torch.ones(3), "float64")
