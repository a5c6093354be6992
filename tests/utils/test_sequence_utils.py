"""pad_sequences: every argument, against Keras row by row, and what is refused."""

import itertools

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.utils import pad_sequences

ROWS = [[1], [2, 3], [4, 5, 6]]
SIDES = list(itertools.product(["pre", "post"], ["pre", "post"]))


def test_both_names_are_one_function():
    assert keras.preprocessing.sequence.pad_sequences is keras.utils.pad_sequences


def test_sides_of_padding_and_cutting():
    assert pad_sequences(ROWS).tolist() == [[0, 0, 1], [0, 2, 3], [4, 5, 6]]
    assert pad_sequences(ROWS, padding="post").tolist() == [[1, 0, 0], [2, 3, 0], [4, 5, 6]]
    assert pad_sequences(ROWS, maxlen=2).tolist() == [[0, 1], [2, 3], [5, 6]]
    found = pad_sequences(ROWS, maxlen=2, truncating="post", value=-1)
    assert found.tolist() == [[-1, 1], [2, 3], [4, 5]]
    assert found.dtype == np.int32


INPUTS = {
    "lists": (ROWS, {}),
    "tuples": ([tuple(row) for row in ROWS], {}),
    "empty among them": ([[], [1, 2], [], [3]], {}),
    "nothing but empty": ([[], []], {"maxlen": 2}),
    "none is as long": (ROWS, {"maxlen": 5}),
    "floats cut to ints": ([[1.7], [2.2, -3.9]], {}),
    "floats": ([[1.7], [2.2, 3.9]], {"dtype": "float32", "value": -0.5}),
    "dtype class": ([[1], [2, 3]], {"dtype": np.int64}),
    "arrays": ([np.arange(3), np.arange(5.0)], {"maxlen": 4}),
    "one array": (np.arange(6).reshape(2, 3), {"maxlen": 2}),
    "arrays of objects": (np.array([[1], [2, 3]], dtype=object), {}),
    "tensors": ([torch.arange(3), torch.arange(2)], {}),
    "items of a shape": ([[[1, 2]], [[3, 4], [5, 6]], []], {"value": 9}),
    "features": ([np.ones((2, 3)), np.zeros((4, 3))], {"maxlen": 3, "dtype": "float32"}),
    "words": ([["a"], ["bc", "def"]], {"dtype": object, "value": "-"}),
    "words of a size": ([["a"], ["bc", "def"]], {"dtype": "U2", "value": "-"}),
    "bytes": ([[b"a"], [b"bc", b"d"]], {"dtype": "S2", "value": "x"}),
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize(("padding", "truncating"), SIDES)
def test_agrees_with_keras(name, padding, truncating):
    theirs = pytest.importorskip("keras").utils.pad_sequences
    rows, arguments = INPUTS[name]
    arguments = {**arguments, "padding": padding, "truncating": truncating}
    expected, found = theirs(rows, **arguments), pad_sequences(rows, **arguments)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_no_room_and_no_sequences():
    assert pad_sequences(ROWS, maxlen=0).shape == (3, 0)
    assert pad_sequences([], maxlen=4).shape == (0, 4)


@pytest.mark.parametrize(
    ("rows", "arguments", "error", "message"),
    [
        (iter(ROWS), {}, ValueError, "which has no length. Make a list"),
        (3, {}, ValueError, "type int"),
        ([[1], 2], {}, ValueError, "Received: 2 at position 1"),
        (["ab", "c"], {"dtype": object}, TypeError, "the string 'ab' at position 0"),
        ([], {}, ValueError, "no sequence at all"),
        (ROWS, {"maxlen": -1}, ValueError, "maxlen=-1"),
        (ROWS, {"maxlen": 1.5}, TypeError, "float"),
        (ROWS, {"padding": "left"}, ValueError, "`padding` must be 'pre' or 'post'"),
        (ROWS, {"truncating": "left"}, ValueError, "`truncating` must be 'pre' or 'post'"),
        ([["a"]], {"value": "x"}, ValueError, "dtype=object"),
        ([[1, 2], [[1], [2]]], {}, ValueError, r"\(1,\) in the sequence at position 1"),
        ([["x"], [1]], {}, ValueError, "'x'"),
        ([(1, 2), [[1], [2]]], {}, ValueError, r"\(1,\) in the sequence at position 1"),
        ([["a"], [["b"]]], {"dtype": object}, ValueError, "at position 1"),
    ],
)
def test_what_is_refused_is_an_error_as_in_keras(rows, arguments, error, message):
    with pytest.raises(error, match=message):
        pad_sequences(rows, **arguments)
    theirs = pytest.importorskip("keras").utils.pad_sequences
    with pytest.raises(error):
        theirs(rows, **arguments)


def test_one_array_is_made_for_all_rows(monkeypatch):
    made = []
    asarray = np.asarray
    monkeypatch.setattr(np, "asarray", lambda *args, **kwargs: made.append(0) or asarray(*args))
    assert pad_sequences([[1, 2]] * 1000).shape == (1000, 2)
    assert len(made) < 10
