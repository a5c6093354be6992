"""Shape inference by running a function without data."""

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras.core import shapes


def infer(function, *symbols, modules=()):
    return shapes.infer(function, symbols, {}, modules)


def test_unknown_sizes_stay_unknown_and_known_ones_known():
    x = keras.KerasTensor((None, 6, None))
    for function, expected in [
        (lambda x: x, (None, 6, None)),
        (lambda x: x.transpose(0, 1), (6, None, None)),
        (lambda x: x.sum(-1), (None, 6)),
        (lambda x: x.reshape(-1, 3), (None, 3)),
        (lambda x: torch.zeros(2, 5), (2, 5)),
        (lambda x: x[:4], (4, 6, None)),
    ]:
        assert infer(function, x).shape == expected


def test_dtypes_and_structures():
    x = keras.KerasTensor((2, 3), "float16")
    y = infer(lambda x: {"a": [x, x > 0], "b": (x.argmax(-1), "text", None, 3)}, x)
    assert (y["a"][0].dtype, y["a"][1].dtype, y["b"][0].dtype) == ("float16", "bool", "int64")
    assert y["b"][1:] == ("text", None, 3)


def test_named_tuples_keep_their_type():
    x = keras.KerasTensor((None, 3))
    y = infer(lambda x: x.max(dim=1), x)
    assert y.values.shape == (None,) and y.indices.dtype == "int64"


def test_a_size_in_the_result_is_none_where_it_is_unknown():
    x = keras.KerasTensor((None, 3))
    assert infer(lambda x: (x.shape[0], x.shape[1]), x) == (None, 3)


def test_a_function_that_needs_data_runs_on_zeros():
    x = keras.KerasTensor((None, 3))
    calls = []

    def needs_data(x):
        calls.append(x.device.type)
        return x * 2 if float(x.sum()) == 0 else x.sum()

    assert infer(needs_data, x).shape == (None, 3)
    assert calls[-2:] == ["cpu", "cpu"]


def test_numpy_inside_a_function():
    x = keras.KerasTensor((2, 3))
    assert infer(lambda x: torch.from_numpy(np.sort(x.numpy())), x).shape == (2, 3)


def test_the_error_of_the_function_is_the_one_that_shows():
    x = keras.KerasTensor((None, 3))
    with pytest.raises(RuntimeError, match=r"\[48, 3\] X \[4, 2\]"):
        infer(lambda x: x @ torch.ones(4, 2, device=x.device), x)


@pytest.mark.parametrize("needs_data", [False, True])
def test_modules_change_no_state(needs_data):
    norm = nn.BatchNorm1d(3).train()
    before = {name: value.clone() for name, value in norm.state_dict().items()}

    def call(x):
        y = norm(x)
        if needs_data:
            float(y.sum())
        return y

    assert infer(call, keras.KerasTensor((None, 3)), modules=(norm,)).shape == (None, 3)
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name]) and value.device.type == "cpu"
    assert isinstance(norm.weight, nn.Parameter)


@pytest.mark.parametrize("needs_data", [False, True])
def test_random_state_does_not_move(needs_data):
    def call(x):
        if needs_data:
            float(x.sum())
        return x + torch.rand(x.shape, device=x.device)

    state = torch.get_rng_state()
    infer(call, keras.KerasTensor((None, 3)))
    assert torch.equal(torch.get_rng_state(), state)


def test_slots_come_back_after_an_error():
    linear = nn.Linear(3, 2)
    weight = linear.weight

    def fails(x):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        infer(fails, keras.KerasTensor((2, 3)), modules=(linear,))
    assert linear.weight is weight
