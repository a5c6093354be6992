"""Constraints beside those of real Keras."""

import numpy as np
import pytest
import torch

from torchkeras import constraints

keras = pytest.importorskip("keras")

CASES = [
    ("Constraint", {}),
    ("NonNeg", {}),
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.7, "axis": [0, 1]}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": -1}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 1.5, "max_value": 2.0, "rate": 0.3, "axis": [0, 2]}),
]


def test_public_names():
    for name in dir(keras.constraints):
        if not name.startswith("_"):
            theirs = getattr(keras.constraints, name)
            assert getattr(constraints, name).__name__ == theirs.__name__


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name, arguments", CASES)
def test_values(name, arguments, dtype):
    w = torch.tensor(np.random.default_rng(1).normal(size=(3, 4, 5)).astype(dtype))
    if dtype != "float16":  # there Keras gives NaN
        w[:, 0] = 0
    theirs = getattr(keras.constraints, name)(**arguments)(w)
    ours = getattr(constraints, name)(**arguments)(w)
    # Keras's NonNeg turns float64 into float32.
    # float16: a product and a quotient in another order, two roundings of 2 ** -11 on each side.
    tolerance = {"rtol": 2e-3, "atol": 0} if dtype == "float16" else {}
    torch.testing.assert_close(ours.to(theirs.dtype), theirs, **tolerance)
    assert ours.dtype is w.dtype


@pytest.mark.parametrize("name, arguments", CASES)
def test_configs_are_equal_and_exchangeable(name, arguments):
    theirs = getattr(keras.constraints, name)(**arguments)
    ours = getattr(constraints, name)(**arguments)
    config = keras.constraints.serialize(theirs)
    assert constraints.serialize(ours) == config
    assert constraints.deserialize(config).get_config() == theirs.get_config()
    back = keras.constraints.deserialize(constraints.serialize(ours))
    assert back.get_config() == theirs.get_config()


def test_get_knows_the_same_names():
    from keras.src.constraints import ALL_OBJECTS_DICT

    for name, cls in ALL_OBJECTS_DICT.items():
        assert type(constraints.get(name)).__name__ == cls.__name__
