"""Regularizers beside those of real Keras."""

import numpy as np
import pytest
import torch

from torchkeras import regularizers

keras = pytest.importorskip("keras")

CASES = [
    ("L1", {}),
    ("L1", {"l1": 0.3}),
    ("L2", {}),
    ("L2", {"l2": 0.3}),
    ("L1L2", {}),
    ("L1L2", {"l1": 0.2, "l2": 0.3}),
    ("OrthogonalRegularizer", {}),
    ("OrthogonalRegularizer", {"factor": 0.3, "mode": "columns"}),
]


def rounded(config):
    """With factors in 32 bits: so Keras writes some of them, we none."""
    inner = config["config"].items()
    inner = {k: np.float32(v) if isinstance(v, float) else v for k, v in inner}
    return {**config, "config": inner}


def test_public_names():
    for name in dir(keras.regularizers):
        if not name.startswith("_"):
            theirs = getattr(keras.regularizers, name)
            assert getattr(regularizers, name).__name__ == theirs.__name__


@pytest.mark.parametrize("name, arguments", CASES)
def test_values_and_gradients(name, arguments):
    x = np.random.default_rng(1).normal(size=(4, 6)).astype("float32")
    results = []
    for module in (regularizers, keras.regularizers):
        tensor = torch.tensor(x, requires_grad=True)
        value = getattr(module, name)(**arguments)(tensor)
        gradient = torch.zeros_like(tensor)
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value, tensor)
        results.append((value.detach(), gradient))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("name, arguments", CASES)
def test_configs_are_exchangeable(name, arguments):
    theirs = keras.regularizers.serialize(getattr(keras.regularizers, name)(**arguments))
    ours = regularizers.serialize(getattr(regularizers, name)(**arguments))
    assert rounded(ours) == rounded(theirs)
    back = regularizers.deserialize(theirs), keras.regularizers.deserialize(ours)
    for regularizer in back:
        assert type(regularizer).__name__ == name
        assert rounded({"config": regularizer.get_config()})["config"] == rounded(ours)["config"]


def test_get_knows_the_same_names():
    from keras.src.regularizers import ALL_OBJECTS_DICT

    for name, cls in ALL_OBJECTS_DICT.items():
        assert type(regularizers.get(name)).__name__ == cls.__name__
