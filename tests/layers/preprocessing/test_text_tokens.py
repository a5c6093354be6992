"""Text to tokens as TensorFlow does it: by ASCII's letters, punctuation and white space."""

import re
import string

import numpy as np
import pytest

from torchkeras.layers.preprocessing.text_tokens import ngrams_of, split_text, standardize_text

# The pattern that Keras's layer gives to TensorFlow; RE2 and Python read it alike.
PUNCTUATION = re.compile(r'[!"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']')
EVERY_CHARACTER = "".join(map(chr, range(0x3100)))


def texts(*items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def lower(text):
    return "".join(c.lower() if c in string.ascii_uppercase else c for c in text)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (None, EVERY_CHARACTER),
        ("lower", lower(EVERY_CHARACTER)),
        ("strip_punctuation", PUNCTUATION.sub("", EVERY_CHARACTER)),
        ("lower_and_strip_punctuation", PUNCTUATION.sub("", lower(EVERY_CHARACTER))),
    ],
)
def test_standardizing_changes_the_letters_and_punctuation_of_ascii(how, expected):
    assert standardize_text(texts("", EVERY_CHARACTER), how).tolist() == ["", expected]


def test_standardizing_keeps_the_shape_and_the_input():
    given = texts("A.", "B", "C", "Ü!").reshape(2, 2)
    assert standardize_text(given, "lower_and_strip_punctuation").tolist() == [
        ["a", "b"],
        ["c", "Ü"],
    ]
    assert given[0, 0] == "A."


def test_half_a_surrogate_pair_passes():
    assert standardize_text(texts("A\ud800."), "lower_and_strip_punctuation")[0] == "a\ud800"


@pytest.mark.parametrize(
    "function",
    [
        np.char.lower,
        lambda x: x.astype(object) if x.dtype.kind != "U" else np.char.lower(x).astype(object),
        lambda x: np.char.encode(np.char.lower(x), "utf-8"),
        lambda x: np.char.lower(x).tolist(),
    ],
    ids=["array", "objects", "bytes", "lists"],
)
def test_standardizing_by_a_function_of_numpy_strings(function):
    assert standardize_text(texts("ÉTÉ", "B"), function).tolist() == ["été", "b"]
    assert standardize_text(texts("A", "B")[:, None], function).tolist() == [["a"], ["b"]]


def test_white_space_is_that_of_ascii():
    for character in EVERY_CHARACTER:
        (found,) = split_text(texts(f" a{character}b "), "whitespace")
        expected = ["a", "b"] if character in " \t\n\v\f\r" else [f"a{character}b"]
        assert found == expected, hex(ord(character))


def test_runs_of_white_space_count_once_and_ends_do_not():
    found = split_text(texts("  to \t\r\n be\xa0or ", "", " \n"), "whitespace")
    assert found == [["to", "be\xa0or"], [], []]


def test_characters_are_code_points():
    assert split_text(texts("aé\U0001f600", ""), "character") == [["a", "é", "\U0001f600"], []]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.char.split(x, "|"),
        lambda x: [text.split("|") for text in x],
        lambda x: tuple(tuple(text.split("|")) for text in x),
        lambda x: [np.array(text.split("|")) for text in x],
        lambda x: [[part.encode() for part in text.split("|")] for text in x],
    ],
    ids=["numpy", "lists", "tuples", "arrays", "bytes"],
)
def test_splitting_by_a_function(function):
    assert split_text(texts("a|b", "", "ü|d e"), function) == [["a", "b"], [""], ["ü", "d e"]]


def test_splitting_by_a_function_that_gives_a_table():
    found = split_text(texts("ab", "cd"), lambda x: x.view("U1").reshape(len(x), 2))
    assert found == [["a", "b"], ["c", "d"]]


def test_functions_that_give_something_else_are_errors():
    with pytest.raises(ValueError, match=r"Received: shape \(1,\) for an input of shape \(2,\)"):
        standardize_text(texts("a", "b"), lambda x: x[:1])
    with pytest.raises(ValueError, match="Text was expected"):
        standardize_text(texts("a"), lambda x: np.ones(1))
    with pytest.raises(ValueError, match="list of strings for each text.*for 2 texts"):
        split_text(texts("a", "b"), lambda x: [["a"]])
    with pytest.raises(ValueError, match="list of strings for each text"):
        split_text(texts("a"), lambda x: x)
    with pytest.raises(ValueError, match="Text was expected"):
        split_text(texts("a"), lambda x: [[1]])


def test_ngrams_of_each_width_follow_each_other():
    rows = [["a", "b", "c"], ["d"], []]
    assert ngrams_of(rows, (1,)) == rows
    assert ngrams_of(rows, (1, 2)) == [["a", "b", "c", "a b", "b c"], ["d"], []]
    assert ngrams_of(rows, (3, 1)) == [["a b c", "a", "b", "c"], ["d"], []]
