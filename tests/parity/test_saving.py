"""Saving and loading against real Keras 3: what the files describe, and what comes back."""

import json
import warnings
import zipfile

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from safetensors import safe_open  # noqa: E402

import torchkeras  # noqa: E402

if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

# Keras converts tensors in a way that NumPy warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

X = np.linspace(-1, 1, 72, dtype="float32").reshape(24, 3)
Y = np.stack([X.sum(1), X.prod(1)], 1)


def sequential(k):
    return k.Sequential(
        [
            k.Input((3,), name="x"),
            k.layers.Dense(8, activation="relu", name="hidden"),
            k.layers.Dense(2, name="head"),
        ],
        name="model",
    )


def functional(k):
    a, b = k.Input((3,), name="a"), k.Input((3,), name="b")
    shared = k.layers.Dense(4, name="shared", trainable=False)
    h = k.layers.Concatenate(name="both")([shared(a), shared(b)])
    ends = {
        "p": k.layers.Dense(1, name="p")(h),
        "q": k.layers.Dense(2, name="q", kernel_regularizer=k.regularizers.L2(0.1))(h),
    }
    return k.Model([a, b], ends, name="model")


def compiled_names(k):
    model = sequential(k)
    model.compile("adam", "mse", metrics=["mae"])
    return model


def compiled_objects(k):
    model = sequential(k)
    model.compile(
        k.optimizers.AdamW(k.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), clipnorm=1.0),
        k.losses.MeanAbsoluteError(name="error"),
        metrics=[k.metrics.MeanSquaredError(name="mse"), "mae"],
        weighted_metrics=["mse"],
        steps_per_execution=2,
        jit_compile=False,
    )
    return model


def compiled_dicts(k):
    model = functional(k)
    model.compile(
        k.optimizers.SGD(0.1, momentum=0.5, use_ema=True),
        loss={"p": "mse", "q": k.losses.MeanSquaredError()},
        loss_weights={"p": 1.0, "q": 2.0},
        metrics={"p": ["mae"], "q": [k.metrics.MeanSquaredError()]},
        run_eagerly=True,
    )
    return model


def without_internals(config):
    """A config without what Keras writes about its own objects in memory and its own folders."""
    if isinstance(config, list):
        return [without_internals(item) for item in config]
    if not isinstance(config, dict):
        return config
    config = {k: without_internals(v) for k, v in config.items() if k != "shared_object_id"}
    if "class_name" in config and "registered_name" in config:
        config.pop("module")
        if config.pop("registered_name") not in (None, config["class_name"]):
            raise AssertionError(config)
        if "layers" in config["config"]:
            config.pop("build_config", None)  # of a model: its layers and ends say the same
            config["compile_config"] = config.get("compile_config") or {}
    if "args" in config and "kwargs" in config:
        config["kwargs"] = {k: v for k, v in config["kwargs"].items() if k != "training"}
    return config


def described_by_keras(model, path):
    model.save(path)
    with zipfile.ZipFile(path) as file:
        return json.loads(file.read("config.json"))


def described_by_us(model, path):
    model.save(path)
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["config"])


MODELS = [sequential, functional, compiled_names, compiled_objects, compiled_dicts]


@pytest.mark.parametrize("make", MODELS)
def test_files_describe_the_same(make, tmp_path):
    keras.utils.clear_session(free_memory=False)
    expected = described_by_keras(make(keras), tmp_path / "m.keras")
    own = described_by_us(make(torchkeras), tmp_path / "m.safetensors")
    assert without_internals(own) == without_internals(expected)


@pytest.mark.parametrize("make", MODELS)
def test_a_description_by_keras_makes_the_same_model(make, tmp_path):
    keras.utils.clear_session(free_memory=False)
    config = described_by_keras(make(keras), tmp_path / "m.keras")
    model = torchkeras.saving.deserialize_keras_object(config)
    expected = make(torchkeras)
    assert model.get_config() == expected.get_config()
    own, theirs = model.get_compile_config(), expected.get_compile_config()
    assert without_internals(own) == without_internals(theirs)


OPTIMIZERS = {
    "adam": lambda k: k.optimizers.Adam(0.01),
    "sgd": lambda k: k.optimizers.SGD(0.05, momentum=0.9),
    "rmsprop": lambda k: k.optimizers.RMSprop(0.01),
    "schedule": lambda k: k.optimizers.SGD(k.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "ema": lambda k: k.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3),
    "accumulation": lambda k: k.optimizers.Adam(0.01, gradient_accumulation_steps=2),
}


def train(model, first, last):
    for step in range(first, last):
        rows = slice(4 * (step % 6), 4 * (step % 6) + 4)
        model.train_on_batch(X[rows], Y[rows])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_after_loading(name, tmp_path):
    results = []
    weights = [w.copy() for w in sequential(torchkeras).get_weights()]
    for k, ending in ((keras, "keras"), (torchkeras, "safetensors")):
        model = sequential(k)
        model.set_weights(weights)
        model.compile(OPTIMIZERS[name](k), "mse")
        train(model, 0, 5)
        path = str(tmp_path / f"m.{ending}")
        model.save(path)
        load = k.saving.load_model
        loaded = load(path)
        train(loaded, 5, 9)
        results.append((loaded.get_weights(), int(loaded.optimizer.iterations)))
    (expected, expected_steps), (own, own_steps) = results
    assert own_steps == expected_steps
    for a, b in zip(own, expected, strict=True):
        # Nine steps in float32; the order of sums inside the kernels differs.
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("make", [compiled_names, compiled_objects, compiled_dicts])
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_compile_false(make, tmp_path):
    for k, ending in ((keras, "keras"), (torchkeras, "safetensors")):
        path = str(tmp_path / f"m.{ending}")
        make(k).save(path)
        assert k.saving.load_model(path, compile=False).compiled is False
        assert k.saving.load_model(path).compiled is True


def outcome(function):
    """What a call does: "returned", or the kind of its error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            function()
        except (ValueError, TypeError) as error:
            return "ValueError or TypeError", str(error)
        except OSError as error:
            return type(error).__name__, str(error)
    return "returned", ""


def in_the_wrong_model(k, ending, folder):
    path = str(folder / ending)
    sequential(k).save_weights(path)
    other = k.Sequential([k.Input((3,)), k.layers.Dense(5, name="hidden")])
    other.load_weights(path)


def in_the_wrong_model_skipping(k, ending, folder):
    path = str(folder / ending)
    source = sequential(k)
    source.save_weights(path)
    other = k.Sequential(
        [
            k.Input((3,)),
            k.layers.Dense(8, name="hidden"),
            k.layers.Dense(7, name="head"),
        ]
    )
    before = other.get_weights()
    other.load_weights(path, skip_mismatch=True)
    np.testing.assert_array_equal(other.get_weights()[0], source.get_weights()[0])
    np.testing.assert_array_equal(other.get_weights()[2], before[2])


def unknown_class(k, ending, folder):
    class Mine(k.layers.Layer):
        def call(self, x):
            return x

    path = str(folder / ending.replace(".weights.h5", ".keras"))
    k.Sequential([k.Input((3,)), Mine()]).save(path)
    k.saving.load_model(path)


def given_class(k, ending, folder):
    class Mine(k.layers.Layer):
        def call(self, x):
            return x

    path = str(folder / ending.replace(".weights.h5", ".keras"))
    k.Sequential([k.Input((3,)), Mine()]).save(path)
    k.saving.load_model(path, custom_objects={"Mine": Mine})


def missing_file(k, ending, folder):
    sequential(k).load_weights(str(folder / ending))


def model_file_as_weights(k, ending, folder):
    path = str(folder / ending.replace(".weights.h5", ".keras"))
    model = compiled_names(k)
    model.save(path)
    other = sequential(k)
    other.load_weights(path)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize(
    "case, expected",
    [
        (in_the_wrong_model, "ValueError or TypeError"),
        (in_the_wrong_model_skipping, "returned"),
        (unknown_class, "ValueError or TypeError"),
        (given_class, "returned"),
        (missing_file, "FileNotFoundError"),
        (model_file_as_weights, "returned"),
    ],
)
def test_outcomes(case, expected, tmp_path):
    theirs = outcome(lambda: case(keras, "m.weights.h5", tmp_path))
    own = outcome(lambda: case(torchkeras, "m.safetensors", tmp_path))
    assert theirs[0] == expected, theirs
    assert own[0] == expected, own
