"""Files exchanged with real Keras 3: `.keras` archives and `.weights.h5`, both ways."""

import io
import os
import warnings
import zipfile

import numpy as np
import pytest

keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")
torch = pytest.importorskip("torch")

import torchkeras  # noqa: E402
from torchkeras.saving.keras_layout import parts_by_path  # noqa: E402

# NumPy 2 about Keras's own Variable.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BOTH_WAYS = [(torchkeras, keras), (keras, torchkeras)]
IDS = ["ours_to_keras", "keras_to_ours"]


def _sequential(lib):
    layers = lib.layers
    return lib.Sequential(
        [
            lib.Input((4,)),
            layers.Dense(3, activation="relu", name="given"),
            layers.Dropout(0.5, seed=1),
            layers.Dense(2),
        ]
    )


def _functional(lib):
    layers = lib.layers
    inputs = lib.Input((4,), name="x")
    left = layers.Dense(3, name="zz")(inputs)
    right = layers.Dense(3)(layers.Dense(3, activation="tanh")(inputs))
    both = layers.Add()([layers.Dense(3)(left), right])
    return lib.Model(inputs, layers.Dense(2)(layers.Concatenate()([both, left])))


def _nested(lib):
    layers = lib.layers
    inner = lib.Sequential([layers.Dense(3), layers.PReLU()], name="inner")
    inputs = lib.Input((4,))
    middle = lib.Model(inputs, inner(layers.Dense(4)(inputs)))
    outer = lib.Input((4,))
    return lib.Model(outer, layers.Dense(2)(middle(outer)))


def _shared(lib):
    layers = lib.layers
    shared = layers.Dense(4)
    inputs = lib.Input((4,))
    return lib.Model(inputs, layers.Dense(2)(shared(shared(inputs))))


def _two_inputs(lib):
    layers = lib.layers
    inputs = {"a": lib.Input((4,), name="a"), "b": lib.Input((3,), name="b")}
    return lib.Model(inputs, layers.Dense(2)(layers.Concatenate()([inputs["a"], inputs["b"]])))


MODELS = [_sequential, _functional, _nested, _shared, _two_inputs]


def _data(build):
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(16, size)).astype("float32") for size in (4, 3))
    return ({"a": a, "b": b} if build is _two_inputs else a), a[:, :2] - 1


def _options(lib):
    return {"weights_format": "h5"} if lib is torchkeras else {}


def _load(lib, path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return lib.saving.load_model(path, **options)


def _numpy(values):
    return [np.asarray(value.numpy()) for value in values]


def _trained(lib, build, optimizer):
    x, y = _data(build)
    model = build(lib)
    model.compile(optimizer(lib), "mse", metrics=["mae"])
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    return model


OPTIMIZERS = {
    "adam": lambda lib: lib.optimizers.Adam(0.01),
    "momentum": lambda lib: lib.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "schedule": lambda lib: lib.optimizers.RMSprop(
        lib.optimizers.schedules.ExponentialDecay(0.01, 5, 0.5)
    ),
}


@pytest.mark.parametrize("source, target", BOTH_WAYS, ids=IDS)
@pytest.mark.parametrize("build", MODELS)
def test_archive_gives_the_same_predictions(tmp_path, build, source, target):
    path = str(tmp_path / "m.keras")
    model = build(source)
    model.save(path, **_options(source))
    again = _load(target, path)
    x, _ = _data(build)
    # Float32 sums of at most 8 terms, in another order: 2 units in the last place of ~3.
    np.testing.assert_allclose(
        again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6, rtol=0
    )
    assert type(again).__name__ == type(model).__name__
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    for own, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("source, target", BOTH_WAYS, ids=IDS)
@pytest.mark.parametrize("build", [_nested, _two_inputs])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_in_the_other_library(tmp_path, build, optimizer, source, target):
    path = str(tmp_path / "m.keras")
    model = _trained(source, build, OPTIMIZERS[optimizer])
    model.save(path, **_options(source))
    again = _load(target, path)
    for own, other in zip(
        _numpy(model.optimizer.variables), _numpy(again.optimizer.variables), strict=True
    ):
        np.testing.assert_array_equal(own, other)
    assert int(again.optimizer.iterations.numpy()) == 8
    x, y = _data(build)
    histories = [
        m.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0).history
        for m in (model, again)
    ]
    assert list(histories[0]) == list(histories[1]) == ["loss", "mae"]
    # 12 steps of float32 arithmetic in another order.
    for key in histories[0]:
        np.testing.assert_allclose(histories[0][key], histories[1][key], rtol=2e-5)
    for own, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(own, other, atol=2e-5)


@pytest.mark.parametrize("source, target", BOTH_WAYS, ids=IDS)
@pytest.mark.parametrize("build", MODELS)
def test_weights_file_both_ways(tmp_path, build, source, target):
    path = str(tmp_path / "m.weights.h5")
    model, other = build(source), build(target)
    model.save_weights(path)
    other.load_weights(path)
    for own, loaded in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(own, loaded)


@pytest.mark.parametrize("source, target", BOTH_WAYS, ids=IDS)
def test_weights_file_with_a_built_optimizer(tmp_path, source, target):
    path = str(tmp_path / "m.weights.h5")
    model = _trained(source, _functional, OPTIMIZERS["adam"])
    model.save_weights(path)
    other = _trained(target, _functional, OPTIMIZERS["adam"])
    other.load_weights(path)
    for own, loaded in zip(
        _numpy(model.optimizer.variables), _numpy(other.optimizer.variables), strict=True
    ):
        np.testing.assert_array_equal(own, loaded)


@pytest.mark.parametrize("source, target", BOTH_WAYS, ids=IDS)
def test_bfloat16_weights(tmp_path, source, target):
    path = str(tmp_path / "m.weights.h5")
    model, other = (
        lib.Sequential([lib.Input((4,)), lib.layers.Dense(2, dtype="bfloat16")])
        for lib in (source, target)
    )
    model.save_weights(path)
    other.load_weights(path)
    assert str(other.layers[0].kernel.dtype) == "bfloat16"
    assert torch.equal(model.layers[0].kernel.value, other.layers[0].kernel.value)


def _custom(lib):
    """Classes of one definition for either library."""

    class Block(lib.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self._last = lib.layers.Dense(units)
            self.blocks = [lib.layers.Dense(units), [lib.layers.Dense(units)]]
            self.named = {"b": lib.layers.Dense(units), "a": lib.layers.Dense(units)}

        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=(self.units,))
            self.count = self.add_weight(name="count", shape=(), trainable=False)
            for layer in self._every():
                layer.build((None, self.units))
            self.built = True

        def _every(self):
            return [self._last, self.blocks[0], self.blocks[1][0], *self.named.values()]

        def call(self, x):
            for layer in self._every():
                x = layer(x)
            return x * self.scale.value + self.count.value

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    class Net(lib.Model):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.zz = lib.layers.Dense(units)
            self.tail = lib.Sequential([lib.layers.Dense(2)])
            self.block = Block(units)

        def call(self, x):
            return self.tail(self.block(self.zz(x)))

        def get_config(self):
            return {"units": self.units}

    return {"Block": Block, "Net": Net}


@pytest.mark.parametrize("source, target", BOTH_WAYS, ids=IDS)
def test_subclassed_model_and_layer(tmp_path, source, target):
    path = str(tmp_path / "m.keras")
    x, y = _data(_sequential)
    model = _custom(source)["Net"](3)
    model.compile(OPTIMIZERS["adam"](source), "mse")
    model.fit(x, y, verbose=0)
    model.save(path, **_options(source))
    again = _load(target, path, custom_objects=_custom(target))
    np.testing.assert_allclose(
        again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6, rtol=1e-5
    )
    for own, other in zip(
        _numpy(model.optimizer.variables), _numpy(again.optimizer.variables), strict=True
    ):
        np.testing.assert_array_equal(own, other)


def test_groups_have_the_same_names():
    names = []
    for lib in (torchkeras, keras):
        model = _custom(lib)["Net"](3)
        model(np.ones((2, 4), dtype="float32") if lib is keras else torch.ones(2, 4))
        if lib is torchkeras:
            names.append({f"{path}/vars" if path else "vars" for path in parts_by_path(model)})
            continue
        buffer = io.BytesIO()
        keras.src.saving.saving_lib._save_model_to_fileobj(model, buffer, "h5")
        with zipfile.ZipFile(buffer) as archive:
            with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
                found = []
                file.visit(found.append)
                names.append({name for name in found if name.split("/")[-1] == "vars"})
    assert names[0] == names[1]


def test_pickled_module_and_lambda_are_refused(tmp_path):
    path = str(tmp_path / "m.keras")
    wrapped = keras.layers.TorchModuleWrapper(torch.nn.Linear(4, 2))
    for layer, told in (
        (wrapped, "never runs code from a file"),
        (keras.layers.Lambda(lambda x: x + 1), "never runs code from a file"),
    ):
        model = keras.Sequential([keras.Input((4,)), layer])
        model(np.ones((1, 4), dtype="float32"))
        model.save(path)
        with pytest.raises(ValueError, match=told):
            torchkeras.saving.load_model(path, safe_mode=False)


def test_weights_of_a_wrapped_torch_module(tmp_path):
    path = str(tmp_path / "m.weights.h5")
    for source, target in BOTH_WAYS:
        model, other = (
            lib.Sequential(
                [lib.Input((4,)), lib.layers.TorchModuleWrapper(torch.nn.BatchNorm1d(4))]
            )
            for lib in (source, target)
        )
        module = model.layers[0].module
        module.train()(torch.randn(8, 4))
        model.save_weights(path)
        other.load_weights(path)
        for name, tensor in other.layers[0].module.state_dict().items():
            assert torch.equal(tensor, module.state_dict()[name])
        os.remove(path)


def test_dropout_of_a_keras_model_is_on_in_training(tmp_path):
    # Keras records its default, training=False, with each call of such a layer.
    inputs = keras.Input((100,))
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(inputs))
    model.save(tmp_path / "m.keras")
    again = _load(torchkeras, tmp_path / "m.keras")
    x = torch.ones(2, 100)
    assert 0 < int((again(x, training=True) == 0).sum()) < 200
    assert bool((again(x) == 1).all())
    assert again.get_config()["layers"][1]["inbound_nodes"][0]["kwargs"] == {"training": False}


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize("options", [{}, {"by_name": True}], ids=["in_order", "by_name"])
def test_weights_in_the_layout_of_keras_2(tmp_path, build, options):
    path = str(tmp_path / "m.h5")
    x, _ = _data(build)
    keras.utils.clear_session(free_memory=False)
    model = build(keras)
    model.save(path)
    ours = build(torchkeras)
    ours.load_weights(path, **options)
    np.testing.assert_allclose(
        ours.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6, rtol=0
    )
