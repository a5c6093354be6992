"""A weight that changes its shape under a built optimizer: an error, and no read past an end."""

import ast

import pytest

from tests.processes import run_python

CASES = [
    ("SGD", {"momentum": 0.9}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("Lion", {}),
    ("SGD", {"use_ema": True}),
    ("SGD", {"gradient_accumulation_steps": 2}),
]
# Longer by so much that a kernel that goes past the end of the state meets a page that is not
# there.
STEPS = """
import sys
import torch
import torchkeras as keras

place, cases = sys.argv[1], eval(sys.argv[2])
told = []
for name, settings in cases:
    memory = torch.zeros(40_000_000)
    variable = keras.Variable(memory[:10].clone(), name="w")
    parameter = variable.value
    if place == "same":
        parameter.data = memory[:10]
    optimizer = getattr(keras.optimizers, name)(**settings)
    optimizer.apply([torch.ones(10)], [variable])
    parameter.data = memory if place == "same" else torch.zeros(40_000_000)
    for length in (40_000_000, 10):
        print(name, settings, length, file=sys.stderr, flush=True)
        try:
            optimizer.apply([torch.ones(length)], [variable])
        except ValueError as error:
            told.append(str(error))
print(told)
"""


@pytest.mark.parametrize("place", ["same", "other"])
def test_a_weight_made_longer_is_an_error(place):
    told = ast.literal_eval(run_python(STEPS, place, CASES))
    assert len(told) == 2 * len(CASES)
    for text in told:
        assert "shape that variable 'w' had when the optimizer was built, (10,)" in text
        assert "in the shape (40000000,). Compile the model with a new optimizer" in text
