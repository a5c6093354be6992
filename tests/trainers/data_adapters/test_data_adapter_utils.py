import collections

import numpy as np
import pytest
import torch

from torchkeras.core.variable import Variable
from torchkeras.trainers.data_adapters import data_adapter_utils as utils


def test_unpack():
    assert utils.unpack_x_y_sample_weight("x") == ("x", None, None)
    assert utils.unpack_x_y_sample_weight(("x",)) == ("x", None, None)
    assert utils.unpack_x_y_sample_weight(["x", "y"]) == ("x", "y", None)
    assert utils.unpack_x_y_sample_weight(("x", "y", "w")) == ("x", "y", "w")


@pytest.mark.parametrize("data", [(), (1, 2, 3, 4)])
def test_unpack_of_another_length_is_an_error(data):
    with pytest.raises(ValueError, match=f"Received: a tuple of {len(data)} items"):
        utils.unpack_x_y_sample_weight(data)


def test_pack():
    assert utils.pack_x_y_sample_weight("x") == "x"
    assert utils.pack_x_y_sample_weight(["a", "b"]) == (["a", "b"],)
    assert utils.pack_x_y_sample_weight("x", "y") == ("x", "y")
    assert utils.pack_x_y_sample_weight("x", "y", "w") == ("x", "y", "w")


WEIGHTS = {0: 0.5, 2: 3.0}


@pytest.mark.parametrize(
    "y",
    [
        np.array([2, 0, 1, 7]),
        np.array([[2], [0], [1], [7]]),
        np.array([2.0, 0.0, 0.9, 7.0]),
        np.eye(8)[[2, 0, 1, 7]],
        torch.tensor([2, 0, 1, 7]),
        torch.tensor([2, 0, 1, 7], dtype=torch.uint8),
    ],
    ids=["integer", "column", "float", "one_hot", "tensor", "uint8"],
)
def test_class_weights_of_samples(y):
    weights = utils.class_weight_to_sample_weights(y, WEIGHTS)
    assert weights.dtype is torch.float32
    assert weights.tolist() == [3.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    "y",
    [
        np.array([2, 0, 1, 7, 2]),
        np.eye(8, dtype="uint16")[[2, 0, 1, 7, 2]],
        np.eye(8)[[2, 0, 1, 7, 2]][::-1],
        np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0], [1, 1, 1]], dtype=bool),
        np.array([[0, 1], [1, 0], [0, 0], [1, 1], [0, 2]]),
        torch.tensor([[0.2, 0.8], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.9, 0.1]]),
    ],
    ids=["labels", "one_hot", "reversed", "multi_hot", "steps", "probabilities"],
)
def test_class_weights_of_many_samples_block_by_block(y, monkeypatch):
    whole = utils.class_weight_to_sample_weights(y, WEIGHTS)
    monkeypatch.setattr(utils, "_BLOCK_VALUES", 2)
    assert len(list(utils.blocks(y))) > 1
    assert torch.equal(utils.class_weight_to_sample_weights(y, WEIGHTS), whole)


def test_class_weights_of_booleans_and_none_at_all():
    y = np.array([True, False])
    assert utils.class_weight_to_sample_weights(y, {1: 2.0}).tolist() == [2.0, 1.0]
    assert utils.class_weight_to_sample_weights(y, {}).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("class_weight", [[1.0, 2.0], {"cat": 1.0}, {0: "heavy"}, 2.0])
def test_class_weight_of_another_kind_is_an_error(class_weight):
    with pytest.raises(TypeError, match="dict of class index to weight"):
        utils.class_weight_to_sample_weights(np.array([0]), class_weight)


def test_class_weight_needs_one_y():
    with pytest.raises(ValueError, match="without `y`"):
        utils.class_weight_to_sample_weights(None, {0: 1.0})
    with pytest.raises(ValueError, match="single output"):
        utils.class_weight_to_sample_weights({"a": np.zeros(1)}, {0: 1.0})


def test_class_weight_is_added_to_a_batch():
    x, y = torch.zeros(2, 1), torch.tensor([0, 2])
    assert utils.add_class_weight((x,), WEIGHTS) == (x,)
    assert utils.add_class_weight((x, y), WEIGHTS)[2].tolist() == [0.5, 3.0]
    with pytest.raises(ValueError, match="Only one of `class_weight` and `sample_weight`"):
        utils.add_class_weight((x, y, torch.ones(2)), WEIGHTS)


Point = collections.namedtuple("Point", "a b")


def test_structures_are_rebuilt_and_leaves_named():
    array = np.zeros(1)
    structure = collections.OrderedDict(
        z=[array, (1, 2)], a=Point(array, None), m=collections.UserDict(k=array)
    )
    names = utils.map_arrays(lambda leaf, name: name, structure, "x")
    assert type(names) is collections.OrderedDict and list(names) == ["z", "a", "m"]
    assert names["z"] == ["x['z'][0]", "x['z'][1]"]
    assert names["a"] == Point("x['a'][0]", None)
    assert names["m"] == {"k": "x['m']['k']"}


def test_lists_of_numbers_are_arrays_and_lists_of_arrays_are_not():
    assert utils.is_array_like([1, 2.0, True])
    assert utils.is_array_like([[1, 2], (3, 4)])
    assert utils.is_array_like([np.float32(1)])
    assert not utils.is_array_like([np.ones(1)])
    assert not utils.is_array_like([[1], np.ones(1)])
    assert not utils.is_array_like(3)


def test_rows_of_a_list():
    rows = utils.as_rows([[1, 2], [3, 4]], "x")
    assert rows.dtype is torch.int32 and rows.tolist() == [[1, 2], [3, 4]]
    assert utils.as_rows([0.5], "x").dtype is torch.float32


def test_rows_of_a_variable():
    assert utils.as_rows(Variable(np.arange(3.0)), "x").tolist() == [0, 1, 2]


class Table:
    """What is used of a pandas object."""

    def __init__(self, array):
        self._array = np.asarray(array)
        self.iloc = None

    def to_numpy(self):
        return self._array

    def __array__(self, dtype=None, copy=None):
        return self._array


def test_rows_of_pandas_objects():
    assert utils.as_rows(Table([1.0, 2.0]), "x").shape == (2, 1)
    assert utils.as_rows(Table([[1.0, 2.0]]), "x").shape == (1, 2)


def test_rows_of_other_arrays():
    class Other:
        def __array__(self, dtype=None, copy=None):
            return np.arange(3)

    assert utils.as_rows(Other(), "x").tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "array, match",
    [
        (np.array(["a", "b"]), "`y` must hold numbers or booleans. Received: dtype <U1"),
        (np.array([1, None]), "dtype object"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "datetime64"),
        (np.array(1.0), "`y` needs a first axis"),
        (torch.tensor(1.0), "`y` needs a first axis"),
        (["a", "b"], "`y` must be an array, or rows of numbers"),
        ([[1], [2, 3]], "pad_sequences"),
        (torch.eye(2).to_sparse(), "dense tensor"),
    ],
    ids=["str", "object", "datetime", "numpy_scalar", "scalar", "str_list", "ragged", "sparse"],
)
def test_unusable_arrays_are_errors(array, match):
    with pytest.raises(ValueError, match=match):
        utils.as_rows(array, "y")
    if match.startswith("dtype object"):
        with pytest.raises(ValueError, match=match):
            utils.as_rows(array, "x")


def test_validation_split_takes_the_last_part():
    x, y = np.arange(10), torch.arange(10) * 2
    train, validation = utils.train_validation_split((x, {"a": y}, None), 0.25)
    # floor(10 * 0.75) = 7 samples for training.
    assert train[0].tolist() == list(range(7)) and validation[0].tolist() == [7, 8, 9]
    assert train[1]["a"].tolist() == list(range(0, 14, 2))
    assert train[2] is None and validation[2] is None
    assert np.shares_memory(train[0], x)


def test_validation_split_of_lists_and_single_arrays():
    (x, y), (x_val, y_val) = utils.train_validation_split(([1, 2, 3, 4], [0, 1, 0, 1]), 0.5)
    assert x.tolist() == [1, 2] and y_val.tolist() == [0, 1]
    first, last = utils.train_validation_split(np.arange(4), 0.5)
    assert first.tolist() == [0, 1] and last.tolist() == [2, 3]


@pytest.mark.parametrize("count, split", [(1, 0.5), (10, 0.0), (10, 1.0), (10, 0.99), (5, 1.5)])
def test_validation_split_that_leaves_no_sample_is_an_error(count, split):
    with pytest.raises(ValueError, match=f"validation_split={split} with {count} samples"):
        utils.train_validation_split((np.zeros(count),), split)


def test_validation_split_checks_lengths():
    with pytest.raises(ValueError, match=r"x: 4, y\['a'\]: 3"):
        utils.train_validation_split((np.zeros(4), {"a": np.zeros(3)}), 0.5)


def test_validation_split_of_other_data_is_an_error():
    with pytest.raises(ValueError, match="data of type NoneType, generator"):
        utils.train_validation_split(((i for i in range(3)), None), 0.5)


def test_memory_is_shared_also_with_read_only_arrays():
    array = np.arange(4.0)
    array.flags.writeable = False
    assert utils.share_memory(array).data_ptr() == array.ctypes.data


def test_memory_of_a_read_only_array_outlives_it():
    def make():
        array = np.arange(1000)
        array.flags.writeable = False
        return utils.share_memory(array)

    assert make().tolist() == list(range(1000))


@pytest.mark.parametrize(
    "array, dtype",
    [
        (np.arange(3, dtype=">i4"), torch.int32),
        (np.arange(3, dtype="uint16"), torch.int32),
        (np.arange(3, dtype="uint32"), torch.int64),
        (np.arange(3, dtype="uint64"), torch.int64),
        (np.arange(3, dtype="uint8"), torch.uint8),
        (np.arange(2, -1, -1)[::-1], torch.int64),
    ],
    ids=["big_endian", "uint16", "uint32", "uint64", "uint8", "reversed"],
)
def test_dtypes_torch_cannot_view(array, dtype):
    tensor = utils.share_memory(array)
    assert tensor.dtype is dtype and tensor.tolist() == [0, 1, 2]


def test_batch_to_tensors_copies_read_only_arrays():
    array = np.arange(3)
    array.flags.writeable = False
    (tensor,) = utils.batch_to_tensors((array,))
    tensor += 1
    assert array.tolist() == [0, 1, 2]


def test_batch_to_tensors_keeps_none_and_structures():
    x, y, weight = utils.batch_to_tensors(({"a": np.ones(1)}, [[1, 2], np.zeros(2)], None))
    assert x["a"].dtype is torch.float64 and weight is None
    assert y[0].tolist() == [1, 2] and isinstance(y, list)


def test_batch_to_tensors_names_what_it_cannot_read():
    with pytest.raises(ValueError, match="`y` with items of type set"):
        utils.batch_to_tensors((np.ones(1), {1, 2}))


def test_to_device_moves_structures_and_objects():
    class Movable:
        def to(self, device):
            return f"on {device}"

    batch = (torch.ones(1), [torch.ones(1)], {"a": Point(torch.ones(1), "id")}, Movable(), None, 3)
    moved = utils.to_device(batch, torch.device("meta"))
    assert moved[0].is_meta and moved[1][0].is_meta and moved[2]["a"].a.is_meta
    assert utils.to_device(collections.UserDict(k=torch.ones(1)), torch.device("meta"))["k"].is_meta
    assert moved[2]["a"].b == "id" and moved[3] == "on meta" and moved[4:] == (None, 3)
