"""Dtype policies, maps of them and `keras.mixed_precision`, against real Keras."""

import numpy as np
import pytest
import torch

theirs = pytest.importorskip("keras")

import torchkeras as ours  # noqa: E402

LIBRARIES = pytest.mark.parametrize("keras", [theirs, ours], ids=["keras", "torchkeras"])
# Raised inside Keras, by NumPy 2, when it reads its own Variables.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(autouse=True)
def restore_policies():
    yield
    for keras in (theirs, ours):
        keras.config.set_dtype_policy("float32")


def both(make):
    return make(theirs), make(ours)


def make_map(keras, default="float32"):
    entries = {"m/.*": "mixed_bfloat16", "m/out": "float64", "x[12]": "float16"}
    chosen = keras.dtype_policies.DTypePolicyMap(default and keras.DTypePolicy(default))
    for key, policy in entries.items():
        chosen[key] = policy
    return chosen


def make_model(keras, dtype):
    keras.utils.clear_session(free_memory=False)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, dtype=dtype, name="a"),
            layers.Activation("tanh", dtype=dtype, name="b"),
            layers.Dense(2, dtype=dtype, name="out"),
            layers.Dense(2, name="plain"),
        ],
        name="m",
    )


NAMES = ["DTypePolicy", "Policy", "dtype_policy", "global_policy", "set_dtype_policy"]
NAMES += ["set_global_policy", "LossScaleOptimizer"]


def test_mixed_precision_has_the_names_of_keras():
    assert set(NAMES) == {n for n in dir(theirs.mixed_precision) if not n.startswith("_")}
    for name in NAMES:
        assert hasattr(ours.mixed_precision, name)
    assert ours.mixed_precision.Policy is ours.DTypePolicy
    assert ours.mixed_precision.LossScaleOptimizer is ours.optimizers.LossScaleOptimizer


@pytest.mark.parametrize("name", ["float16", "mixed_float16", "mixed_bfloat16", "float64"])
def test_global_policy_is_that_of_new_layers(name):
    seen = []
    for keras in (theirs, ours):
        policy = keras.mixed_precision.Policy(name)
        keras.mixed_precision.set_global_policy(policy)
        layer = keras.layers.Dense(2)
        layer.build((None, 3))
        now = keras.mixed_precision.global_policy()
        kernel = layer.kernel.dtype
        seen.append((now.name, layer.dtype_policy.name, layer.compute_dtype, layer.dtype, kernel))
        assert keras.mixed_precision.dtype_policy() == policy == keras.config.dtype_policy()
    assert seen[0] == seen[1]


@pytest.mark.parametrize("path", ["m/a", "m/out", "x1", "x12", "", "n/out", "m"])
def test_map_finds_policies_as_keras_does(path):
    a, b = both(lambda keras: make_map(keras)[path].name)
    assert a == b


@pytest.mark.parametrize("default", [None, "mixed_float16", "bfloat16"])
def test_map_is_its_default_policy(default):
    def seen(keras):
        chosen = make_map(keras, default)
        return (
            [chosen.name, chosen.compute_dtype, chosen.variable_dtype, chosen.quantization_mode],
            [
                chosen.default_policy.name,
                len(chosen),
                list(chosen),
                "x1" in chosen,
                "m/.*" in chosen,
            ],
            [policy.name for policy in chosen.values()],
        )

    a, b = both(seen)
    assert a == b


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda k: k.dtype_policies.DTypePolicyMap(make_map(k)), ValueError),
        (lambda k: k.dtype_policies.DTypePolicyMap(None, ["a"]), TypeError),
        (lambda k: make_map(k).__setitem__("x[12]", "float32"), ValueError),
        (lambda k: make_map(k).__setitem__("y", 123), ValueError),
        (lambda k: make_map(k).__delitem__("y"), KeyError),
        (lambda k: {**make_map(k)} and k.dtype_policies.DTypePolicyMap(1.5), ValueError),
        (lambda k: k.mixed_precision.Policy("nothing"), ValueError),
        (lambda k: k.mixed_precision.set_global_policy("nothing"), ValueError),
    ],
)  # fmt: skip
def test_errors_have_the_types_of_keras(make, error):
    for keras in (theirs, ours):
        with pytest.raises(error):
            make(keras)


def test_configs_are_exchangeable():
    config = [keras.dtype_policies.serialize(make_map(keras)) for keras in (theirs, ours)]
    assert config[0] == config[1]
    for keras in (theirs, ours):
        again = keras.dtype_policies.deserialize(config[0])
        assert isinstance(again, keras.dtype_policies.DTypePolicyMap)
        assert again["m/out"].name == "float64" and again["z"].name == "float32"
    layers = [keras.layers.Dense(2, dtype=make_map(keras), name="d") for keras in (theirs, ours)]
    assert layers[0].get_config() == layers[1].get_config()


def test_open_default_follows_the_global_policy_and_keeps_the_entries():
    """Keras forgets the entries of such a map, and changes it, when it makes the config."""
    config = make_map(ours, None).get_config()
    assert config["default_policy"] is None
    ours.config.set_dtype_policy("float16")
    again = ours.dtype_policies.DTypePolicyMap.from_config(config)
    assert (again["z"].name, again["m/out"].name) == ("float16", "float64")


def test_layers_compute_in_the_dtypes_of_their_paths():
    models = [make_model(keras, make_map(keras)) for keras in (theirs, ours)]
    for a, b in zip(*(model.layers for model in models), strict=True):
        assert (a.dtype, a.compute_dtype) == (b.dtype, b.compute_dtype)
        assert a.path == b.path or not a.weights
        assert [w.dtype for w in a.weights] == [w.dtype for w in b.weights]
    models[1].set_weights([w.numpy() for w in models[0].weights])
    x = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)
    np.testing.assert_allclose(
        models[1](x).detach().numpy(), models[0](x).detach().numpy(), rtol=1e-5, atol=1e-6
    )


def test_sublayers_take_the_policies_of_their_own_paths():
    shapes = [(None, 4, 8)] * 2
    seen = []
    for keras in (theirs, ours):
        chosen = keras.dtype_policies.DTypePolicyMap(
            None, {"mha/query": keras.DTypePolicy("bfloat16")}
        )
        layer = keras.layers.MultiHeadAttention(2, 4, dtype=chosen, name="mha")
        layer.build(*shapes)
        seen.append([(w.path, w.dtype) for w in layer.weights])
    assert seen[0] == seen[1]


def test_setting_a_policy_sets_the_entry_of_the_path():
    for keras in (theirs, ours):
        layer = keras.layers.Dense(2, dtype=make_map(keras), name="d")
        layer.build((None, 1))
        for policy in ("mixed_bfloat16", "mixed_float16"):
            layer.dtype_policy = policy
            assert layer.dtype_policy["d"].name == policy
        assert layer.compute_dtype == "float16" and layer.dtype == "float32"


def test_a_first_call_converts_to_the_dtype_of_the_path():
    """Keras converts the first inputs to the default dtype: the path is not known there yet."""
    chosen = ours.dtype_policies.DTypePolicyMap("float32", {"d": "bfloat16"})
    layer = ours.layers.Dense(2, dtype=chosen, name="d")
    for _ in range(2):
        assert layer(np.ones((2, 3), "float32")).dtype is torch.bfloat16


def test_model_files_keep_the_map(tmp_path):
    chosen = ours.dtype_policies.DTypePolicyMap("float32", {"(m/)?out": "float64"})
    model = make_model(ours, chosen)
    x = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)
    model.save(tmp_path / "m.keras")
    loaded = ours.saving.load_model(tmp_path / "m.keras")
    assert [layer.dtype for layer in loaded.layers] == ["float32", "float32", "float64", "float32"]
    torch.testing.assert_close(loaded(x), model(x))
    model.compile("sgd", "mse")
    assert not isinstance(model.optimizer, ours.optimizers.LossScaleOptimizer)
    half = ours.dtype_policies.DTypePolicyMap("float32", {"m/a": "mixed_float16"})
    model = make_model(ours, half)
    model.compile("sgd", "mse")
    assert isinstance(model.optimizer, ours.optimizers.LossScaleOptimizer)
