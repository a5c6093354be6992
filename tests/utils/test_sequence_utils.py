"""pad_sequences: sides, empty rows, and what is refused; see tests/parity for the rest."""

import numpy as np
import pytest

import torchkeras as keras
from torchkeras.utils import pad_sequences

ROWS = [[1], [2, 3], [4, 5, 6]]


def test_both_names_are_one_function():
    assert keras.preprocessing.sequence.pad_sequences is keras.utils.pad_sequences


def test_sides_of_padding_and_cutting():
    assert pad_sequences(ROWS).tolist() == [[0, 0, 1], [0, 2, 3], [4, 5, 6]]
    assert pad_sequences(ROWS, padding="post").tolist() == [[1, 0, 0], [2, 3, 0], [4, 5, 6]]
    assert pad_sequences(ROWS, maxlen=2).tolist() == [[0, 1], [2, 3], [5, 6]]
    found = pad_sequences(ROWS, maxlen=2, truncating="post", value=-1)
    assert found.tolist() == [[-1, 1], [2, 3], [4, 5]]
    assert found.dtype == np.int32


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
def test_what_is_refused(rows, arguments, error, message):
    with pytest.raises(error, match=message):
        pad_sequences(rows, **arguments)


def test_one_array_is_made_for_all_rows(monkeypatch):
    made = []
    asarray = np.asarray
    monkeypatch.setattr(np, "asarray", lambda *args, **kwargs: made.append(0) or asarray(*args))
    assert pad_sequences([[1, 2]] * 1000).shape == (1000, 2)
    assert len(made) < 10
