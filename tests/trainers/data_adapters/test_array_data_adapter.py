import collections

import numpy as np
import pytest
import torch

from torchkeras.core import config
from torchkeras.trainers.data_adapters import array_data_adapter
from torchkeras.trainers.data_adapters import data_adapter_utils as utils
from torchkeras.trainers.data_adapters.array_data_adapter import ArrayDataAdapter


def rows(adapter):
    """The rows of the first array over one pass, as a list."""
    return torch.cat([batch[0] for batch in adapter.batches()]).tolist()


def test_batches_are_views_in_order():
    x, y = np.arange(5, dtype="float32"), np.arange(5)
    adapter = ArrayDataAdapter(x, y, batch_size=2)
    batches = list(adapter.batches())
    assert [b[0].tolist() for b in batches] == [[0, 1], [2, 3], [4]]
    assert [b[1].tolist() for b in batches] == [[0, 1], [2, 3], [4]]
    assert batches[1][0].data_ptr() == x.ctypes.data + 8
    assert batches[0][1].dtype is torch.int64


@pytest.mark.parametrize("count, batch_size", [(5, 2), (4, 2), (1, 32), (7, 7), (700, 2)])
@pytest.mark.parametrize("shuffle", [False, True, "batch"])
def test_every_row_comes_once_and_parts_stay_together(monkeypatch, count, batch_size, shuffle):
    monkeypatch.setattr(array_data_adapter, "_BLOCK", 4)
    x = np.arange(count)
    adapter = ArrayDataAdapter(x, {"a": x * 2}, batch_size=batch_size, shuffle=shuffle)
    batches = list(adapter.batches())
    assert len(batches) == adapter.num_batches == -(-count // batch_size)
    assert {len(b[0]) for b in batches[:-1]} <= {batch_size}
    assert all((b[1]["a"] == b[0] * 2).all() for b in batches)
    assert sorted(torch.cat([b[0] for b in batches]).tolist()) == x.tolist()


def test_sizes():
    for samples, steps, sizes in (
        (70, None, [32, 32, 6]),
        (64, None, [32, 32]),
        (70, 7, [10] * 7),
    ):
        adapter = ArrayDataAdapter(np.zeros(samples), steps=steps)
        assert [len(x) for (x,) in adapter.batches()] == sizes
        assert adapter.num_batches == len(sizes)


def test_shuffle_is_fixed_by_the_seed_and_new_each_pass():
    adapter = ArrayDataAdapter(np.arange(100), batch_size=10, shuffle=True)
    torch.manual_seed(3)
    first, second = rows(adapter), rows(adapter)
    assert first != second and first != list(range(100))
    torch.manual_seed(3)
    assert [rows(adapter), rows(adapter)] == [first, second]
    torch.manual_seed(3)
    assert torch.randperm(100).tolist() == first


def test_shuffle_batch_keeps_the_batches_in_order():
    torch.manual_seed(0)
    adapter = ArrayDataAdapter(np.arange(50), batch_size=20, shuffle="batch")
    batches = [b[0].tolist() for b in adapter.batches()]
    assert [sorted(b) for b in batches] == [
        list(range(20)),
        list(range(20, 40)),
        list(range(40, 50)),
    ]
    assert batches[0] != sorted(batches[0])


def test_shuffled_batches_are_copies():
    x = torch.zeros(4)
    for (batch,) in ArrayDataAdapter(x, shuffle=True).batches():
        batch += 1
    assert x.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("dtype", ["float64", "float16", "float32"])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, list])
def test_floats_become_floatx(dtype, kind):
    data = kind(np.ones(3, dtype))
    ((batch,),) = ArrayDataAdapter(data).batches()
    assert batch.dtype is torch.float32


def test_floatx_is_the_configured_one():
    config.set_floatx("float64")
    try:
        ((batch,),) = ArrayDataAdapter(np.ones(3, "float32")).batches()
    finally:
        config.set_floatx("float32")
    assert batch.dtype is torch.float64


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "bool", "complex64"])
def test_other_dtypes_stay(dtype):
    ((batch,),) = ArrayDataAdapter(np.ones(3, dtype)).batches()
    assert batch.dtype is getattr(torch, dtype)


Pair = collections.namedtuple("Pair", "left right")


@pytest.mark.parametrize("shuffle", [False, True])
def test_structures_are_kept(shuffle):
    x = {"b": np.arange(3), "a": [np.arange(3), Pair(np.arange(3), None)]}
    adapter = ArrayDataAdapter(x, (np.arange(3), [0, 1, 2]), shuffle=shuffle)
    ((batch_x, batch_y),) = adapter.batches()
    assert list(batch_x) == ["b", "a"] and isinstance(batch_x["a"], list)
    assert isinstance(batch_x["a"][1], Pair) and batch_x["a"][1].right is None
    assert isinstance(batch_y, tuple) and len(batch_y) == 2
    leaves = [batch_x["a"][0], batch_x["a"][1].left, *batch_y]
    assert all(leaf.tolist() == batch_x["b"].tolist() for leaf in leaves)


def test_bare_batches_follows_keras():
    x = np.zeros(3)
    assert ArrayDataAdapter(x).bare_batches
    assert ArrayDataAdapter({"a": x}).bare_batches
    assert ArrayDataAdapter([1, 2, 3]).bare_batches
    assert not ArrayDataAdapter([x, x]).bare_batches
    assert not ArrayDataAdapter(x, x).bare_batches


def test_sample_weight_is_third():
    ((x, y, weight),) = ArrayDataAdapter([1, 2], [3, 4], [0.5, 1.5]).batches()
    assert (x.tolist(), y.tolist(), weight.tolist()) == ([1, 2], [3, 4], [0.5, 1.5])


def test_one_sample_weight_serves_every_output():
    y = {"a": np.zeros(2), "b": [np.zeros(2)]}
    ((_, _, weight),) = ArrayDataAdapter(np.zeros(2), y, np.array([1.0, 2.0])).batches()
    assert weight["a"].tolist() == weight["b"][0].tolist() == [1.0, 2.0]


def test_sample_weight_per_output():
    y, weights = [np.zeros(2), np.zeros(2)], [np.array([1.0, 2.0]), None]
    ((_, _, weight),) = ArrayDataAdapter(np.zeros(2), y, weights).batches()
    assert weight[0].tolist() == [1.0, 2.0] and weight[1] is None


def test_class_weight_becomes_sample_weight():
    adapter = ArrayDataAdapter(np.zeros(3), np.array([0, 1, 5]), class_weight={1: 4.0})
    ((_, _, weight),) = adapter.batches()
    assert weight.tolist() == [1.0, 4.0, 1.0]


@pytest.mark.parametrize("shuffle", [False, True])
def test_read_only_arrays_cannot_be_written_through_a_batch(shuffle):
    x = np.arange(4)
    x.flags.writeable = False
    adapter = ArrayDataAdapter(x, batch_size=2, shuffle=shuffle)
    for (batch,) in adapter.batches():
        batch += 10
    assert x.tolist() == [0, 1, 2, 3]
    assert sorted(rows(adapter)) == [0, 1, 2, 3]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_memory_mapped_files_are_not_loaded(tmp_path, dtype, shuffle):
    np.save(tmp_path / "x.npy", np.arange(6, dtype=dtype))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    adapter = ArrayDataAdapter(x, batch_size=4, shuffle=shuffle)
    assert adapter._rows[0].tensor.data_ptr() == x.ctypes.data
    batches = [batch for (batch,) in adapter.batches()]
    assert {b.dtype for b in batches} == {torch.float32}
    assert sorted(torch.cat(batches).tolist()) == [0, 1, 2, 3, 4, 5]


class Csr:
    """What is used of a SciPy sparse matrix."""

    def __init__(self, dense):
        self._dense = dense
        self.shape, self.dtype = dense.shape, dense.dtype

    def tocsr(self):
        return self

    def __getitem__(self, index):
        return Csr(self._dense[index])

    def toarray(self):
        return self._dense


@pytest.mark.parametrize("shuffle", [False, True])
def test_sparse_matrices_are_made_dense_batch_by_batch(shuffle):
    dense = np.eye(5)
    adapter = ArrayDataAdapter(Csr(dense), np.arange(5), batch_size=2, shuffle=shuffle)
    for x, y in adapter.batches():
        assert x.dtype is torch.float32
        assert x.tolist() == dense[y.numpy()].tolist()


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_go_to_the_device(shuffle):
    adapter = ArrayDataAdapter(
        {"a": np.zeros((3, 2))}, np.zeros(3), shuffle=shuffle, batch_size=2, device="meta"
    )
    batches = list(adapter.batches())
    assert all(x["a"].is_meta and y.is_meta for x, y in batches)
    assert [tuple(x["a"].shape) for x, _ in batches] == [(2, 2), (1, 2)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("source", ["cpu", "cuda"])
def test_order_is_the_same_on_cuda(shuffle, source):
    data = torch.arange(100, device=source)
    adapter = ArrayDataAdapter(data, np.arange(100), shuffle=shuffle, device="cuda")
    torch.manual_seed(1)
    batches = list(adapter.batches())
    assert all(x.is_cuda and y.is_cuda and (x == y).all() for x, y in batches)
    torch.manual_seed(1)
    order = torch.randperm(100).tolist() if shuffle else list(range(100))
    assert torch.cat([x for x, _ in batches]).tolist() == order


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"x": np.zeros(3), "y": np.zeros(2)}, "Received: x: 3, y: 2"),
        (
            {"x": {"a": np.zeros(3), "b": [np.zeros(2)]}, "y": np.zeros(3)},
            r"Received: x\['a'\]: 3, x\['b'\]\[0\]: 2, y: 3",
        ),
        (
            {"x": np.zeros(3), "y": np.zeros(3), "sample_weight": np.zeros(4)},
            "sample_weight: 4",
        ),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, r"x of shape \(0, 2\), y of shape \(0,\)"),
        ({"x": []}, r"at least one sample"),
        ({"x": {}}, r"at least one array"),
        ({"x": None}, "x=None"),
        ({"x": np.array([1, None])}, "`x` must hold numbers"),
        ({"x": np.zeros(1), "y": np.array([None])}, "`y` must hold numbers"),
        ({"x": np.zeros(1), "sample_weight": np.zeros(1)}, "without `y`"),
        (
            {"x": np.zeros(1), "y": np.zeros(1), "sample_weight": {"a": np.zeros(1)}},
            "must be one array",
        ),
        (
            {"x": np.zeros(1), "y": [np.zeros(1)] * 2, "sample_weight": [np.zeros(1)]},
            r"shapes \[\(1,\), \(1,\)\] and sample_weight with shapes \[\(1,\)\]",
        ),
        (
            {"x": np.zeros(1), "y": [np.zeros(1)] * 2, "sample_weight": np.zeros((1, 2))},
            r"sample_weight of shape \(1, 2\)",
        ),
        (
            {
                "x": np.zeros(1),
                "y": np.zeros(1),
                "sample_weight": np.zeros(1),
                "class_weight": {0: 1},
            },
            "Only one of `class_weight` and `sample_weight`",
        ),
        ({"x": np.zeros(1), "batch_size": 0}, "batch_size=0"),
        ({"x": np.zeros(1), "shuffle": "batches"}, "shuffle='batches'"),
    ],
)
def test_mistakes_are_reported_at_construction(arguments, match):
    with pytest.raises(ValueError, match=match):
        ArrayDataAdapter(**arguments)


def test_batch_size_must_be_an_integer():
    with pytest.raises(TypeError, match="batch_size=2.5 of type float"):
        ArrayDataAdapter(np.zeros(3), batch_size=2.5)
    assert ArrayDataAdapter(np.zeros(3), batch_size=np.int64(2)).num_batches == 2


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", ">f4", ">i2", "uint16", "uint32", "uint64", "bool"]
)
@pytest.mark.parametrize("form", ["map", "view", "reversed"])
def test_files_are_read_batch_by_batch(tmp_path, monkeypatch, dtype, form, shuffle):
    values = (np.arange(30).reshape(10, 3) % 7).astype(dtype)
    values.tofile(tmp_path / "x")
    array = np.memmap(tmp_path / "x", dtype=dtype, mode="r", shape=(10, 3))
    array = {"map": array, "view": np.asarray(array), "reversed": array[::-1]}[form]
    adapter, in_memory = (
        ArrayDataAdapter(x, batch_size=4, shuffle=shuffle) for x in (array, np.array(array))
    )
    rows, original = [], torch.from_numpy

    def from_numpy(array):
        if not utils.is_mapped(array):  # a copy
            rows.append(len(array))
        return original(array)

    torch.manual_seed(0)
    expected = list(in_memory.batches())
    monkeypatch.setattr(torch, "from_numpy", from_numpy)
    torch.manual_seed(0)
    for (found,), (batch,) in zip(adapter.batches(), expected, strict=True):
        assert found.dtype is batch.dtype
        assert torch.equal(found, batch)
    assert max(rows, default=0) <= 4


def test_the_order_of_samples_is_that_of_torch():
    torch.manual_seed(3)
    (found,) = next(iter(ArrayDataAdapter(np.arange(50), batch_size=50, shuffle=True).batches()))
    torch.manual_seed(3)
    assert torch.equal(found, torch.randperm(50))
