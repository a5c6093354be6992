"""Preprocessing layers against real Keras on torch, where Keras needs no TensorFlow for them."""

import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(2, 3, (40, 5, 3)).astype("float32")
PLACES = RNG.integers(0, 6, (4, 3))


def both(name, **arguments):
    return [getattr(module.layers, name)(name="x", **arguments) for module in (keras, torchkeras)]


def check(theirs, ours, x):
    made = ours(x)
    expected = theirs(x)
    assert made.dtype == expected.dtype
    torch.testing.assert_close(made, expected.detach(), rtol=1e-6, atol=1e-6)
    assert tuple(made.shape) == tuple(ours.compute_output_shape(x.shape))
    configs = [json.loads(json.dumps(layer.get_config())) for layer in (theirs, ours)]
    dtypes = [config.pop("dtype") for config in configs]
    assert configs[0] == configs[1]
    assert dtypes[0] == dtypes[1] or dtypes[0]["config"] == dtypes[1]["config"]


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("axis", [-1, 1, (1, 2), None])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "float64"])
def test_adapted_normalization(axis, invert, dtype):
    theirs, ours = both("Normalization", axis=axis, invert=invert, dtype=dtype)
    theirs.adapt(X)
    ours.adapt(X)
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        assert (a.path, a.shape, a.dtype) == (b.path, tuple(b.shape), b.dtype)
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-6, atol=2e-6)
        a.assign(b.numpy())  # whose sums are in float32
    check(theirs, ours, X)


@pytest.mark.parametrize(
    ("axis", "shape"), [(-1, ()), (-1, (3,)), (1, (5,)), ((1, 2), (3,)), ((1, 2), (5, 3))]
)
def test_normalization_of_given_statistics(axis, shape):
    mean, variance = RNG.normal(size=shape).tolist(), RNG.random(shape).tolist()
    theirs, ours = both("Normalization", axis=axis, mean=mean, variance=variance)
    check(theirs, ours, X)
    assert ours.mean.shape == theirs.mean.shape


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("shape", [(7,), (7, 1), (7, 3)])
def test_discretization_by_given_boundaries(mode, shape):
    theirs, ours = both("Discretization", bin_boundaries=[-1.0, 0.0, 0.0, 2.5], output_mode=mode)
    x = RNG.normal(size=shape).astype("float32")
    x.flat[0] = 0
    made, expected = ours(x), theirs(x)
    assert made.dtype == expected.dtype
    assert torch.equal(made, expected)
    assert json.dumps(ours.get_config()) == json.dumps(theirs.get_config())


@pytest.mark.parametrize("num_bins", [1, 3, 32])
@pytest.mark.parametrize("epsilon", [0.01, 0.3])
@pytest.mark.parametrize("sizes", [[5], [150], [1000], [250, 250, 250], [90, 3, 1, 700]])
def test_adapted_discretization(num_bins, epsilon, sizes):
    theirs, ours = both("Discretization", num_bins=num_bins, epsilon=epsilon)
    batches = [RNG.normal(size=(size, 1)).astype("float32") for size in sizes]
    theirs.reset_state()  # its `adapt` asks for TensorFlow; this is what it does
    for batch in batches:
        theirs.update_state(batch)
    theirs.finalize_state()
    ours.adapt(batches)
    np.testing.assert_array_equal(ours.summary, theirs.summary)
    assert ours.bin_boundaries == theirs.bin_boundaries
    assert json.dumps(ours.get_config()) == json.dumps(theirs.get_config())


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("x", [PLACES, PLACES[:, :1], PLACES[0]], ids=["rows", "column", "row"])
def test_category_encoding(mode, x):
    theirs, ours = both("CategoryEncoding", num_tokens=6, output_mode=mode)
    check(theirs, ours, x)
    if mode == "count":
        weights = RNG.random(x.shape).astype("float32")
        made = ours(x, count_weights=weights)
        torch.testing.assert_close(made, theirs(x, count_weights=weights))


def test_files_of_normalization_are_exchanged(tmp_path):
    pytest.importorskip("h5py")
    models = []
    for module in (keras, torchkeras):
        layer = module.layers.Normalization(name="scale")
        model = module.Sequential([module.Input((3,)), layer, module.layers.Discretization([0.0])])
        layer.adapt(X[:, 0])
        models.append(model)
    theirs, ours = models
    theirs.save(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.keras", weights_format="h5")
    expected = ours.predict(X[:, 0], verbose=0)
    again = torchkeras.models.load_model(tmp_path / "theirs.keras")
    np.testing.assert_array_equal(again.predict(X[:, 0], verbose=0), expected)
    again = keras.models.load_model(tmp_path / "ours.keras")
    np.testing.assert_array_equal(again.predict(X[:, 0], verbose=0), expected)


def test_config_and_inputs_of_a_feature_space():
    """Those features that Keras makes without TensorFlow."""
    spaces = []
    for module in (keras, torchkeras):
        cls = module.utils.FeatureSpace
        features = {
            "a": "float",
            "b": "float_normalized",
            "c": "float_rescaled",
            "d": "float_discretized",
            "e": cls.float_discretized(None, bin_boundaries=[0.0, 1.0], name="given"),
        }
        spaces.append(cls(features, output_mode="dict", num_discretization_bins=5))
    theirs, ours = spaces
    configs = [
        json.loads(json.dumps(module.saving.serialize_keras_object(fs)))
        for module, fs in ((keras, theirs), (torchkeras, ours))
    ]
    for config in configs:
        drop_registered_names(config)
    assert configs[0]["config"] == configs[1]["config"]
    again = torchkeras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(theirs))
    assert again.get_config() == ours.get_config()
    for name, symbol in theirs.inputs.items():
        mine = ours.inputs[name]
        assert (mine.shape, mine.dtype, mine.name) == (symbol.shape, symbol.dtype, symbol.name)


def drop_registered_names(config):
    """Keras registers some of its private classes, by their bare name."""
    for value in config.values() if isinstance(config, dict) else config:
        if isinstance(value, (dict, list)):
            drop_registered_names(value)
    if isinstance(config, dict):
        config.pop("registered_name", None)
