"""Text as data."""

import numpy as np
import pytest
import torch

from torchkeras.core.dtypes import standardize_dtype
from torchkeras.core.strings import as_text, is_text


@pytest.mark.parametrize(
    "x, expected",
    [
        ("a", True),
        (b"a", True),
        (["a", "b"], True),
        ([["a"], ["b"]], True),
        (("a",), True),
        (np.array(["a"]), True),
        (np.array([b"a"]), True),
        (np.array(["a"], dtype=object), True),
        ([], False),
        ([1], False),
        (np.array([1.0]), False),
        (np.array([None], dtype=object), False),
        (np.array([], dtype=object), False),
        (torch.ones(1), False),
        (None, False),
        ([torch.ones(1)], False),
    ],
)
def test_is_text(x, expected):
    assert is_text(x) is expected


@pytest.mark.parametrize(
    "x", [["é", "b"], [b"\xc3\xa9", "b"], np.array(["é", "b"]), np.array(["é", "b"], dtype=object)]
)
def test_as_text(x):
    array = as_text(x)
    assert array.dtype == object and array.tolist() == ["é", "b"]
    assert as_text(np.reshape(np.asarray(x, dtype=object), (2, 1))).shape == (2, 1)
    assert as_text("word").shape == ()


@pytest.mark.parametrize(
    "x",
    [[["a"], ["b", "c"]], ["a", 1], np.array(["a", None], dtype=object), torch.ones(2), 1, None],
)
def test_what_is_no_text_is_refused(x):
    with pytest.raises(ValueError, match="expected.*Received"):
        as_text(x)


@pytest.mark.parametrize("values", [["a"], [b"a"], np.array(["a"], dtype=object)])
def test_the_dtype_of_text_is_string(values):
    assert standardize_dtype(np.asarray(values).dtype) == "string"
