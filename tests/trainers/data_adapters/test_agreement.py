"""How arrays are compared with those of another process, here without one."""

import types

import numpy as np
import pytest
import torch

from torchkeras.trainers.data_adapters import agreement


def difference(ours, theirs):
    """What a process is told that has `ours`, where process 0 has `theirs`."""
    ours, theirs = ([("x", *agreement._outline(array))] for array in (ours, theirs))
    return agreement._difference(ours, theirs)


def csr(array):
    """What is looked at of a SciPy matrix."""
    rows, columns = np.nonzero(array)
    counts = np.bincount(rows, minlength=len(array))
    parts = {"indptr": np.cumsum([0, *counts]), "indices": columns, "data": array[rows, columns]}
    return types.SimpleNamespace(shape=array.shape, dtype=array.dtype, tocsr=None, **parts)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool", "complex64", "uint8"])
@pytest.mark.parametrize("shape", [(1,), (500,), (500, 3), (70, 5, 4, 3)])
def test_arrays_in_another_order_differ(shape, dtype):
    x = torch.rand(shape).mul(200).to(getattr(torch, dtype))
    if dtype == "bool":
        x = torch.rand(shape) > 0.5
    assert difference(x, x.clone()) is None
    if shape[0] > 1:
        assert difference(x.flip(0), x).startswith("x[")


def test_rows_of_all_of_an_array_are_looked_at():
    x = torch.zeros(10_000, 7)
    for part in (slice(0, 200), slice(5000, 5200), slice(-1, None)):
        other = x.clone()
        other[part] = 1
        assert difference(other, x)


def test_the_place_is_named():
    x = torch.zeros(3, 2)
    x[1] = 2.5
    assert difference(x, torch.zeros(3, 2)).removeprefix("x[1, ") in (
        "0] is 2.5 and not 0",
        "1] is 2.5 and not 0",
    )
    assert "shape (3, 2) and dtype float32, not (4, 2) and int64" in difference(
        x, torch.zeros(4, 2, dtype=torch.int64)
    )


def test_roundings_and_missing_values_are_no_difference():
    x = torch.randn(100, 4, dtype=torch.float64)
    x[3], x[5] = float("nan"), float("inf")
    assert difference(x * (1 + 1e-6), x) is None
    assert difference(x * 1.01, x)
    assert difference(torch.nan_to_num(x), x)


def test_sparse_and_empty_arrays():
    x = np.eye(40)[np.random.default_rng(0).permutation(40)]
    assert difference(csr(x), csr(x)) is None
    assert difference(csr(x[::-1]), csr(x)).startswith("x holds")
    assert difference(csr(x * (x.cumsum(0).cumsum(1) > 3)), csr(x)) == (
        "x has other nonzero elements"
    )
    assert difference(torch.zeros(4, 0), torch.zeros(4, 0)) is None


def test_few_processes_are_named():
    words = agreement.described({rank: "x differs" for rank in range(1, 9)})
    assert words.startswith("in process 1 x differs; in process 2") and "5 more" in words
