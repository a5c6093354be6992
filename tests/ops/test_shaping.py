"""Functions that rearrange, against NumPy."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import ops

X = np.arange(24.0, dtype="float32").reshape(2, 3, 4)
T = torch.tensor(X)


@pytest.mark.parametrize("mode", ["constant", "reflect", "symmetric"])
@pytest.mark.parametrize("width", [1, (1, 2), ((0, 1), (2, 2), (3, 0)), ((7, 9), (0, 0), (11, 5))])
def test_pad(mode, width):
    np.testing.assert_array_equal(ops.pad(T, width, mode), np.pad(X, width, mode))


def test_pad_value_and_gradient():
    expected = np.pad(X, 1, constant_values=5)
    np.testing.assert_array_equal(ops.pad(T, 1, constant_values=5), expected)
    x = torch.ones(3, requires_grad=True)
    ops.pad(x, (2, 0), "reflect").sum().backward()
    assert x.grad.tolist() == [1, 2, 2]


@pytest.mark.parametrize(
    "args, match",
    [
        ((((1, 1), (1, 1)),), "one .before, after. pair"),
        ((1, "wrap"), "mode='wrap'"),
        ((1, "reflect", 3), "constant_values=3"),
    ],
)
def test_pad_errors(args, match):
    with pytest.raises(ValueError, match=match):
        ops.pad(T, *args)


@pytest.mark.parametrize("axis", [None, 1, -1])
@pytest.mark.parametrize("repeats", [2, [2], "each"])
def test_repeat(axis, repeats):
    size = 24 if axis is None else X.shape[axis]
    repeats = list(range(size)) if repeats == "each" else repeats
    expected = np.repeat(X, repeats, axis)
    np.testing.assert_array_equal(ops.repeat(T, repeats, axis), expected)
    np.testing.assert_array_equal(ops.repeat(T, torch.tensor(repeats), axis), expected)


@pytest.mark.parametrize("cuts", [[1], [1, 3], [-1], [2, 2], 2])
def test_split(cuts):
    for a, b in zip(ops.split(T, cuts, axis=-1), np.split(X, cuts, axis=-1), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("parts", [2**63, -2, 0])
@pytest.mark.parametrize("size", [0, 4])
def test_split_into_no_number_of_parts(parts, size):
    # An empty axis divides into 2**63 parts, which would be made until the memory ends.
    with pytest.raises(ValueError, match="number of parts must be at least 1, and not beyond"):
        ops.split(torch.zeros(size), parts)


def test_split_errors_and_empty_axis():
    with pytest.raises(ValueError, match="axis 1 of x of shape"):
        ops.split(T, 2, axis=1)
    assert [part.shape for part in ops.split(T[:0], 2)] == [(0, 3, 4)] * 2


def test_squeeze_and_expand_dims():
    assert ops.squeeze(T[:1, :, :1]).shape == (3,)
    assert ops.squeeze(T[:1, :, :1], (0, -1)).shape == (3,)
    assert ops.expand_dims(T, (0, -1)).shape == (1, 2, 3, 4, 1)
    with pytest.raises(ValueError, match="axis=1 for x of shape"):
        ops.squeeze(T, 1)


@pytest.mark.parametrize("axes", [None, (1, 0, 2), (-1, 0, 1)])
def test_transpose(axes):
    np.testing.assert_array_equal(ops.transpose(T, axes), np.transpose(X, axes))


@pytest.mark.parametrize("repeats", [2, (2,), (1, 2), (2, 1, 1, 3)])
def test_tile(repeats):
    np.testing.assert_array_equal(ops.tile(T, repeats), np.tile(X, repeats))


def test_joining_promotes():
    mixed = [T.int(), T.half()]
    assert ops.concatenate(mixed).dtype is ops.stack(mixed).dtype is torch.float16
    assert ops.vstack(mixed).dtype is ops.hstack(mixed).dtype is torch.float16
    assert ops.append(T, 1).shape == (25,)


def test_reshape_views():
    assert ops.reshape(T, (6, 4)).data_ptr() == T.data_ptr()
    assert ops.size(T).item() == 24 and ops.size(T).dtype is torch.int32


@pytest.mark.parametrize(
    "shift, axis",
    [((1, 1), 0), ((1, 2), 0), ((1, 2), (0, 1)), (2, (0, 1)), ((1, 2), None), (1, None)],
)
def test_roll_of_several_shifts_is_numpys(shift, axis):
    x = np.arange(12).reshape(3, 4)
    y = keras.ops.roll(torch.from_numpy(x), shift, axis=axis)
    np.testing.assert_array_equal(y, np.roll(x, shift, axis))
    assert keras.ops.roll(keras.Input((4,)), shift, axis=axis).shape == (None, 4)


def test_roll_of_shifts_that_go_with_no_axes():
    with pytest.raises(ValueError, match=r"Received: shift=\(1, 2\), axis=\(0, 1, 1\)"):
        keras.ops.roll(torch.zeros(2, 2), (1, 2), axis=(0, 1, 1))
