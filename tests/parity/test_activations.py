"""Activations against real Keras on torch: values, gradients, signatures, configs."""

import inspect

import numpy as np
import pytest
import torch

from torchkeras import activations

keras = pytest.importorskip("keras")

NAMES = sorted(set(activations.__all__) - {"get", "serialize", "deserialize"})
X = torch.tensor(np.random.default_rng(0).normal(scale=3, size=(4, 6)), dtype=torch.float32)


def extra(name):
    return (1.0, 0.5) if name == "threshold" else ()


def run(function, x, *args, **kwargs):
    """Value and gradient of a weighted sum."""
    x = x.clone().requires_grad_()
    y = function(x, *args, **kwargs)
    (y * torch.arange(y.numel()).reshape(y.shape)).sum().backward()
    return y.detach(), x.grad


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_no_name_of_keras_is_missing():
    assert set(NAMES) == {n for n in dir(keras.activations) if not n.startswith("_")} - {
        "get",
        "serialize",
        "deserialize",
    }


@pytest.mark.parametrize("name", [n for n in NAMES if n != "sparsemax"])
def test_values_and_gradients_agree(name):
    # Not sparsemax: that of Keras on torch does not sum to 1.
    args = extra(name)
    ours = run(getattr(activations, name), X, *args)
    assert_same(ours, run(getattr(keras.activations, name), X, *args))


CALLS = [
    ("exponential", {}),
    ("mish", {}),
    ("glu", {"axis": -1}),
    ("glu", {"axis": 0}),
    ("softmax", {"axis": 0}),
    ("log_softmax", {"axis": 0}),
    ("gelu", {"approximate": True}),
    ("elu", {"alpha": 0.3}),
    ("leaky_relu", {"negative_slope": 0.5}),
    ("celu", {"alpha": 0.5}),
    ("squareplus", {"b": 1.0}),
    ("soft_shrink", {"threshold": 0.2}),
    ("hard_shrink", {"threshold": 0.2}),
]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0])
@pytest.mark.parametrize(("name", "kwargs"), CALLS, ids=str)
def test_arguments_and_magnitudes_agree(name, kwargs, scale):
    x = X * scale if name != "exponential" else X * min(scale, 1.0)
    ours = run(getattr(activations, name), x, **kwargs)
    assert_same(ours, run(getattr(keras.activations, name), x, **kwargs))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"negative_slope": 0.3},
        {"max_value": 2.0},
        {"max_value": 6},
        {"threshold": 1.0},
        {"negative_slope": 0.3, "max_value": 2.0},
        {"negative_slope": 0.3, "threshold": 1.0},
        {"negative_slope": 0.3, "max_value": 2.5, "threshold": 0.7},
    ],
)
def test_relu_variants_agree(kwargs):
    ours = run(activations.relu, X, **kwargs)
    assert_same(ours, run(keras.activations.relu, X, **kwargs))


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_that_of_keras(name):
    ours = inspect.signature(getattr(activations, name)).parameters.values()
    theirs = inspect.signature(getattr(keras.activations, name)).parameters.values()
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("name", NAMES)
def test_serialized_form_is_that_of_keras(name):
    ours = activations.serialize(getattr(activations, name))
    assert ours == keras.activations.serialize(getattr(keras.activations, name))
    assert activations.deserialize(ours) is getattr(activations, name)


def test_get_refuses_what_keras_refuses():
    for identifier in ("nope", 3):
        for namespace in (activations, keras.activations):
            with pytest.raises(ValueError, match=f"{identifier}"):
                namespace.get(identifier)
    assert activations.get(None) is activations.linear
    assert keras.activations.get(None) is keras.activations.linear


FUNCTION = {
    "module": "builtins",
    "class_name": "function",
    "config": "relu",
    "registered_name": "function",
}


@pytest.mark.parametrize("config", [FUNCTION, "swish"])
def test_config_of_keras_is_read(config):
    ours, theirs = activations.get(config), keras.activations.get(config)
    assert ours.__name__ == theirs.__name__
