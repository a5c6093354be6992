"""Initializers beside those of real Keras: names, configs, distributions."""

import numpy as np
import pytest
import torch

from torchkeras import initializers, random

keras = pytest.importorskip("keras")

NAMES = [
    *["Constant", "Identity", "Ones", "Zeros", "Orthogonal", "VarianceScaling"],
    *["GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform"],
    *["RandomNormal", "RandomUniform", "TruncatedNormal"],
]
CASES = [
    *[(name, {}) for name in NAMES],
    *[(name, {"seed": 7}) for name in NAMES[4:]],
    ("Constant", {"value": 3}),
    ("Constant", {"value": 2.5}),
    ("Constant", {"value": np.array([1.0, 2.0])}),
    ("Orthogonal", {"gain": 2.0, "seed": 1}),
    ("GlorotUniform", {"seed": 1, "input_axes": [0], "output_axes": [1]}),
    ("RandomNormal", {"mean": 1, "stddev": 2, "seed": 1}),
    ("RandomUniform", {"minval": -3, "maxval": 0.5, "seed": 1}),
    ("TruncatedNormal", {"mean": 1.0, "stddev": 2.0, "seed": 1}),
    *[
        ("VarianceScaling", {"scale": 0.5, "mode": mode, "distribution": name, "seed": 1})
        for mode in ("fan_in", "fan_out", "fan_avg")
        for name in ("normal", "untruncated_normal", "uniform")
    ],
]


def test_public_names():
    theirs = {name for name in dir(keras.initializers) if not name.startswith("_")}
    theirs -= {"STFT", "STFTInitializer", "stft"}
    for name in theirs:
        ours = getattr(initializers, name)
        assert ours.__name__ == getattr(keras.initializers, name).__name__


@pytest.mark.parametrize("name, arguments", CASES)
def test_configs_are_equal_and_exchangeable(name, arguments):
    theirs = getattr(keras.initializers, name)(**arguments)
    ours = getattr(initializers, name)(**arguments)
    config = keras.initializers.serialize(theirs)
    assert initializers.serialize(ours) == config
    assert list(ours.get_config()) == list(theirs.get_config())
    assert initializers.deserialize(config).get_config() == theirs.get_config()
    back = keras.initializers.deserialize(initializers.serialize(ours))
    assert back.get_config() == theirs.get_config()


def test_seed_generator_configs_are_exchangeable():
    theirs = keras.initializers.HeNormal(seed=keras.random.SeedGenerator(5))
    ours = initializers.deserialize(keras.initializers.serialize(theirs))
    assert isinstance(ours.seed, random.SeedGenerator) and ours.seed.seed == 5
    back = keras.initializers.deserialize(initializers.serialize(ours))
    assert isinstance(back.seed, keras.random.SeedGenerator)


def test_get_knows_the_same_names():
    from keras.src.initializers import ALL_OBJECTS_DICT

    for name, cls in ALL_OBJECTS_DICT.items():
        if cls.__name__ != "STFT":
            assert type(initializers.get(name)).__name__ == cls.__name__


def same_distribution(x, y):
    """Two-sample Kolmogorov-Smirnov test at 1e-4, and means and variances within 5 errors."""
    x, y = np.sort(np.ravel(x).astype("float64")), np.sort(np.ravel(y).astype("float64"))
    points = np.concatenate([x, y])
    below_x = np.searchsorted(x, points, side="right") / len(x)
    below_y = np.searchsorted(y, points, side="right") / len(y)
    limit = np.sqrt(-np.log(1e-4 / 2) / 2 * (1 / len(x) + 1 / len(y)))
    assert np.abs(below_x - below_y).max() < limit
    error = np.sqrt(x.var() / len(x) + y.var() / len(y))
    assert abs(x.mean() - y.mean()) < 5 * error
    squares = (x - x.mean()) ** 2
    error = np.sqrt(squares.var() / len(x) * 2)
    assert abs(x.var() - y.var()) < 5 * error


@pytest.mark.parametrize("shape", [(150, 130), (3, 3, 40, 60)])
@pytest.mark.parametrize("name, arguments", [case for case in CASES if "seed" in case[1]])
def test_same_distribution(name, arguments, shape):
    arguments = {**arguments, "seed": 3}
    if "input_axes" in arguments:
        arguments |= {"input_axes": [0], "output_axes": list(range(1, len(shape)))}
    theirs = getattr(keras.initializers, name)(**arguments)(shape).cpu().numpy()
    ours = getattr(initializers, name)(**(arguments | {"seed": 4}))(shape).cpu().numpy()
    same_distribution(ours, theirs)


def test_the_test_tells_distributions_apart():
    x = np.random.default_rng(1).normal(size=20_000)
    same_distribution(x, np.random.default_rng(2).normal(size=20_000))
    for y in (1.05 * x[::-1], x + 0.06, np.sign(x) * np.sqrt(np.abs(x) * 0.8)):
        with pytest.raises(AssertionError):
            same_distribution(x, y)


@pytest.mark.parametrize("axes", [(None, None), ([0], [1, 2]), ([0, 1], [2]), ([0], None)])
@pytest.mark.parametrize("shape", [(4, 5, 6), (3, 3, 2, 7)])
def test_fans(shape, axes):
    from keras.src.initializers.random_initializers import compute_fans as theirs

    from torchkeras.initializers.random_initializers import compute_fans

    assert compute_fans(shape, *axes) == theirs(shape, *axes)


@pytest.mark.parametrize("name", ["Zeros", "Ones", "Identity", "Constant"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "bool"])
def test_constant_values(name, dtype):
    theirs = getattr(keras.initializers, name)()((3, 4), dtype=dtype)
    ours = getattr(initializers, name)()((3, 4), dtype=dtype)
    # Keras multiplies the identity by a float gain, and so leaves an integer dtype.
    torch.testing.assert_close(ours, theirs.cpu().to(ours.dtype), rtol=0, atol=0)
    assert ours.dtype is getattr(torch, dtype)
