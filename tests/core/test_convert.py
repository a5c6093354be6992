"""Tensors from anything array-like, and back."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.core.convert import convert_to_numpy, convert_to_tensor, is_tensor


@pytest.mark.parametrize(
    "given, dtype",
    [
        (1, torch.int32),
        (1.5, torch.float32),
        (True, torch.bool),
        ([1, 2], torch.int32),
        ([1, 2.5], torch.float32),
        ([True, False], torch.bool),
        ([], torch.float32),
        ([[1], [2]], torch.int32),
        (np.ones(2), torch.float64),
        (np.float32(1), torch.float32),
        (np.ones(2, "uint16"), torch.uint16),
        ([np.ones(2, "float32")], torch.float32),
        ([torch.ones(2), [1, 2]], torch.float32),
    ],
    ids=str,
)
def test_values_and_dtypes(given, dtype):
    x = convert_to_tensor(given)
    assert x.dtype is dtype
    expected = [np.asarray(v).tolist() for v in given] if isinstance(given, list) else given
    np.testing.assert_array_equal(x.tolist(), expected)
    assert convert_to_tensor(given, "float16").dtype is torch.float16


def test_tensors_are_not_copied():
    x = torch.ones(2)
    assert convert_to_tensor(x) is x and convert_to_tensor(x, "float32") is x
    v = keras.Variable(x)
    assert convert_to_tensor(v) is v.value


def test_arrays_share_memory_where_torch_can():
    array = np.ones(2)
    convert_to_tensor(array)[0] = 5
    assert array[0] == 5


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3)[::-1],
        np.broadcast_to(np.float32(2), (3,)),
        np.arange(3, dtype=">i4"),
        np.array(3.0),
        np.zeros((0, 3)),
    ],
    ids=["negative_stride", "read_only", "big_endian", "scalar", "empty"],
)
def test_unusual_arrays(array):
    np.testing.assert_array_equal(convert_to_tensor(array).numpy(), array)


def test_bfloat16_goes_through_float32():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([1.5, 2.0], ml_dtypes.bfloat16)
    x = convert_to_tensor(array)
    assert x.dtype is torch.bfloat16 and x.tolist() == [1.5, 2.0]
    assert convert_to_numpy(x).dtype == np.float32


@pytest.mark.parametrize(
    "given",
    ["text", ["a"], [None], np.array([object()])],
    ids=["text", "list_of_text", "list_of_none", "objects"],
)
def test_what_has_no_numbers(given):
    with pytest.raises(ValueError, match="An array of numbers.*Received.*Convert it first"):
        convert_to_tensor(given)


def test_ragged_lists():
    with pytest.raises(ValueError, match="equal length.*Received: a ragged list.*pad_sequences"):
        convert_to_tensor([[1], [1, 2]])


def test_symbols_have_no_values():
    with pytest.raises(ValueError, match="A concrete array.*Received: the symbolic.*keras.ops"):
        convert_to_tensor(keras.Input((2,)))


def test_the_default_device_is_for_what_has_none():
    with keras.device("meta"):
        assert convert_to_tensor([1.0]).device.type == "meta"
        assert convert_to_tensor(torch.ones(2)).device.type == "cpu"


@pytest.mark.parametrize(
    "given",
    [
        torch.tensor([1.0, 2.0], requires_grad=True),
        torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
        torch.complex(torch.tensor([1.0, 2.0]), torch.zeros(2)).conj(),
        [torch.tensor(1.0), 2.0],
        (1.0, 2.0),
        keras.Variable([1.0, 2.0]),
    ],
    ids=["grad", "bfloat16", "conjugate", "list", "tuple", "variable"],
)
def test_to_numpy(given):
    array = convert_to_numpy(given)
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array, [1.0, 2.0])


def test_is_tensor():
    assert is_tensor(torch.ones(1)) and is_tensor(torch.nn.Parameter(torch.ones(1)))
    assert not is_tensor(np.ones(1)) and not is_tensor(keras.Variable(1.0))
