"""Discretization: the examples of Keras's tests, quantiles, and rules."""

import json

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import case, layer_cases
from torchkeras.layers import Discretization

EDGES = [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("mode", "data", "expected"),
    [
        ("int", [[-1.0, 0.0, 0.1, 0.8, 1.2]], [[0, 1, 1, 2, 3]]),
        ("int", [[-1, 0, 1]], [[0, 1, 3]]),
        ("one_hot", [0.1, 0.8], [[0, 1, 0, 0], [0, 0, 1, 0]]),
        ("multi_hot", [[0.1, 0.8]], [[0, 1, 1, 0]]),
        (
            "one_hot",
            [[[0.15, 0.75], [0.85, 0.45]]],
            [[[[0, 1, 0, 0], [0, 0, 1, 0]], [[0, 0, 1, 0], [0, 1, 0, 0]]]],
        ),
        ("multi_hot", [[[0.15, 0.75], [0.85, 0.45]]], [[[0, 1, 1, 0], [0, 1, 1, 0]]]),
        ("count", [[0.1, 0.8, 0.9]], [[0, 1, 2, 0]]),
        ("count", [[[0.1, 0.8], [0.9, 0.7]]], [[[0, 1, 1, 0], [0, 0, 2, 0]]]),
    ],
)
def test_values(mode, data, expected):
    layer = Discretization(EDGES, output_mode=mode)
    made = layer(np.array(data))
    assert made.tolist() == expected
    assert made.dtype is (torch.int32 if mode == "int" else torch.float32)
    assert layer.compute_output_shape(np.shape(data)) == tuple(made.shape)


@pytest.mark.parametrize("parts", [1, 10])
def test_adapted_bins_hold_as_many_numbers(parts):
    data = np.random.default_rng(0).normal(size=5000) ** 3
    layer = Discretization(num_bins=5)
    layer.adapt(np.array_split(data, parts))
    assert len(layer.bin_boundaries) == 4
    counts = np.bincount(layer(data).numpy(), minlength=5)
    assert np.abs(counts / 5000 - 0.2).max() < 0.02  # epsilon, on each side
    assert layer.summary.shape[1] <= 101  # however many numbers it has seen


def test_smaller_epsilons_are_more_exact():
    data = np.random.default_rng(0).exponential(size=(4000, 1))
    errors = []
    for epsilon in (0.1, 0.001):
        layer = Discretization(num_bins=4, epsilon=epsilon)
        layer.adapt(data)
        exact = np.quantile(data, [0.25, 0.5, 0.75])
        errors.append(np.abs(np.array(layer.bin_boundaries) - exact).max())
    assert errors[1] < 0.01 < errors[0]


def test_adapt_takes_streams():
    def endless():
        while True:
            yield torch.arange(10.0)

    layer = Discretization(num_bins=5)
    layer.adapt(endless(), steps=3)
    assert len(layer.bin_boundaries) == 4
    layer.adapt([np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])])
    assert layer.bin_boundaries == pytest.approx([1.2, 2.4, 3.6, 4.8])
    layer.adapt(np.array([0.0, 1.0, 5.0]))  # fewer numbers than bins
    assert layer.bin_boundaries == [0.0, 1.0]


def test_what_was_learned_is_in_the_config(tmp_path):
    layer = Discretization(num_bins=4, output_mode="one_hot")
    assert Discretization.from_config(layer.get_config()).get_config() == layer.get_config()
    assert layer(keras.Input((1,))).shape == (None, 4)
    layer.adapt(np.arange(10.0)[:, None])
    config = json.loads(json.dumps(layer.get_config()))
    assert config["num_bins"] == 4 and len(config["bin_boundaries"]) == 3
    again = Discretization.from_config(config)
    assert again.get_config() == config
    model = keras.Sequential([keras.Input((1,)), layer])
    x = np.arange(10.0)[:, None]
    for name in ("model.keras", "model.safetensors"):
        model.save(tmp_path / name)
        loaded = keras.models.load_model(tmp_path / name)
        assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_numbers_are_compared_in_floatx_whatever_the_dtype():
    x = torch.tensor([[0.1 + 1e-3]])
    edges = [0.1 + 0.9e-3]
    for dtype in ("float16", "mixed_bfloat16", "float64"):
        layer = Discretization(edges, dtype=dtype)
        assert layer(x).item() == 1
        assert layer.half()(x).item() == 1
    view = torch.rand(4, 4).t()
    assert Discretization(edges)(view).shape == (4, 4)  # without a warning of torch


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "One of `bin_boundaries` and `num_bins`"),
        ({"bin_boundaries": EDGES, "num_bins": 3}, "One of `bin_boundaries` and `num_bins`"),
        ({"num_bins": -2}, "`num_bins` must be an int of at least 1"),
        ({"bin_boundaries": [1.0, 0.0]}, "in ascending order"),
        ({"num_bins": 2, "epsilon": 0}, "`epsilon` must be above 0"),
        ({"num_bins": 2, "output_mode": "other"}, "`output_mode` must be one of"),
        ({"num_bins": 2, "output_mode": "count", "sparse": True}, "Outputs are dense"),
    ],
)
def test_arguments_out_of_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        Discretization(**arguments)


def test_calls_that_cannot_be_answered_are_errors():
    with pytest.raises(ValueError, match="has no boundaries yet"):
        Discretization(num_bins=3)(torch.ones(2))
    with pytest.raises(ValueError, match="was given its boundaries"):
        Discretization(EDGES).adapt(np.ones(3))


@layer_cases(
    {
        "int": case(
            Discretization,
            {"bin_boundaries": EDGES},
            (2, 3),
            expected_output_shape=(2, 3),
            expected_output_dtype="int32",
            expected_num_weights=0,
            supports_masking=False,
        ),
        "count": case(
            Discretization,
            {"bin_boundaries": EDGES, "output_mode": "count"},
            (2, 3),
            expected_output_shape=(2, 4),
        ),
        "adapted": case(
            Discretization,
            {"num_bins": 3, "output_mode": "one_hot"},
            (2, 1),
            prepare=lambda layer: layer.adapt(np.arange(9.0)),
            expected_output_shape=(2, 3),
        ),
    }
)
def test_holds_the_contract_of_layers(check):
    check()
