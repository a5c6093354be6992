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


def test_a_regularizer_of_ones_own_acts_and_is_described_alike():
    def make(keras_like):
        class Cubic(keras_like.regularizers.Regularizer):
            def __init__(self, factor):
                self.factor = factor

            def __call__(self, x):
                return self.factor * keras_like.ops.sum(keras_like.ops.absolute(x) ** 3)

            def get_config(self):
                return {"factor": self.factor}

        return Cubic

    import torchkeras

    x, seen = np.linspace(-1, 1, 6, dtype="float32").reshape(2, 3), []
    for library in (torchkeras, keras):
        cubic = make(library)
        layer = library.layers.Dense(3, kernel_regularizer=cubic(0.5), use_bias=False)
        layer.build((None, 2))
        layer.set_weights([x])
        (loss,) = layer.losses
        again = library.regularizers.deserialize(
            library.regularizers.serialize(layer.kernel_regularizer), {"Cubic": cubic}
        )
        assert type(again) is cubic and again.factor == 0.5
        assert library.regularizers.get(again) is again
        with pytest.raises(NotImplementedError):
            library.regularizers.Regularizer().get_config()
        seen.append((float(loss.detach()), layer.get_config()["kernel_regularizer"]["config"]))
    assert seen[0] == (pytest.approx(seen[1][0]), seen[1][1])


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
