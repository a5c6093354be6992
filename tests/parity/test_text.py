"""pad_sequences and the arguments of TextVectorization against real Keras."""

import inspect
import itertools

import numpy as np
import pytest
import torch

import torchkeras
from torchkeras.utils import pad_sequences

keras = pytest.importorskip("keras")

ROWS = [[1], [2, 3], [4, 5, 6]]
SIDES = list(itertools.product(["pre", "post"], ["pre", "post"]))
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
    rows, arguments = INPUTS[name]
    arguments = {**arguments, "padding": padding, "truncating": truncating}
    expected, found = (
        function(rows, **arguments) for function in (keras.utils.pad_sequences, pad_sequences)
    )
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("rows", "arguments", "error"),
    [
        (iter(ROWS), {}, ValueError),
        ([[1], 2], {}, ValueError),
        (["ab", "c"], {"dtype": object}, TypeError),
        ([], {}, ValueError),
        (ROWS, {"maxlen": -1}, ValueError),
        (ROWS, {"maxlen": 1.5}, TypeError),
        (ROWS, {"padding": "left"}, ValueError),
        (ROWS, {"truncating": "left"}, ValueError),
        ([["a"]], {"value": "x"}, ValueError),
        ([[1, 2], [[1], [2]]], {}, ValueError),
        ([["x"], [1]], {}, ValueError),
        ([[300]], {"dtype": "int8"}, OverflowError),
    ],
)
def test_errors_are_of_the_types_of_keras(rows, arguments, error):
    for function in (keras.utils.pad_sequences, pad_sequences):
        with pytest.raises(error):
            function(rows, **arguments)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (keras.utils.pad_sequences, pad_sequences),
        # Keras makes none without TensorFlow: no more than this can be compared.
        (keras.layers.TextVectorization.__init__, torchkeras.layers.TextVectorization.__init__),
        (
            keras.layers.TextVectorization.set_vocabulary,
            torchkeras.layers.TextVectorization.set_vocabulary,
        ),
        (
            keras.layers.TextVectorization.get_vocabulary,
            torchkeras.layers.TextVectorization.get_vocabulary,
        ),
        (keras.layers.TextVectorization.adapt, torchkeras.layers.TextVectorization.adapt),
    ],
)
def test_arguments_have_the_names_order_and_defaults_of_keras(theirs, ours):
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
