"""`.keras` archives: round trips, exact continuation of training, and hostile archives."""

import io
import json
import os
import stat
import struct
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_safetensors

import torchkeras as keras
from torchkeras import layers
from torchkeras.saving import archive as archives

FORMATS = ["safetensors", "h5"]


@pytest.fixture(params=FORMATS)
def weights_format(request):
    if request.param == "h5":
        pytest.importorskip("h5py")
    return request.param


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "model.keras")


def _data(rows=16):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4)).astype("float32")
    return x, x[:, :2] * 2 + 1


def _model():
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, activation="relu", name="first"),
            layers.Dropout(0.5, seed=3),
            layers.Dense(2),
        ]
    )


def _members(path):
    with zipfile.ZipFile(path) as file:
        return {info.filename: file.read(info) for info in file.infolist()}


# What is in it


def test_members_and_metadata(path):
    model = _model()
    model.save(path)
    members = _members(path)
    assert list(members) == ["metadata.json", "config.json", "model.weights.safetensors"]
    metadata = json.loads(members["metadata.json"])
    assert metadata["torchkeras_version"] == keras.__version__
    assert metadata["keras_version"].startswith("3.")
    date, time = metadata["date_saved"].split("@")
    assert [len(part) for part in date.split("-")] == [4, 2, 2]
    assert [len(part) for part in time.split(":")] == [2, 2, 2]
    config = json.loads(members["config.json"])
    assert config == json.loads(json.dumps(keras.saving.serialize_keras_object(model)))


def test_weights_are_those_of_a_safetensors_file(path, tmp_path):
    model = _model()
    model.compile("adam", "mse")
    model.fit(*_data(), epochs=1, verbose=0)
    model.save(path)
    model.save(str(tmp_path / "model.safetensors"))
    inside = load_safetensors(_members(path)["model.weights.safetensors"])
    beside = load_safetensors((tmp_path / "model.safetensors").read_bytes())
    assert sorted(inside) == sorted(beside)
    assert all(torch.equal(inside[name], beside[name]) for name in inside)
    assert {"first.kernel", "optimizer/0", "seeds/dropout.seed_generator_state"} <= set(inside)


def test_h5_weights_take_the_place_of_safetensors(path):
    pytest.importorskip("h5py")
    _model().save(path, weights_format="h5")
    assert list(_members(path)) == ["metadata.json", "config.json", "model.weights.h5"]


def test_optimizer_can_stay_out(path, weights_format):
    model = _model()
    model.compile("adam", "mse")
    model.fit(*_data(), verbose=0)
    model.save(path, include_optimizer=False, weights_format=weights_format)
    assert int(keras.saving.load_model(path).optimizer.iterations) == 0
    with pytest.raises(ValueError, match="state of an optimizer was expected"):
        keras.saving.load_optimizer_state(model, path)


# Round trips


def test_same_predictions_and_names(path, weights_format):
    model = _model()
    model.save(path, weights_format=weights_format)
    again = keras.models.load_model(path)
    x, _ = _data()
    assert type(again) is keras.Sequential
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert torch.equal(again(torch.tensor(x)), model(torch.tensor(x)))
    assert not again.compiled


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(0.01),
        lambda: keras.optimizers.SGD(0.05, momentum=0.9),
        lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)),
    ],
    ids=["adam", "momentum", "schedule"],
)
def test_training_goes_on_exactly(path, weights_format, optimizer):
    x, y = _data()
    model = _model()
    model.compile(optimizer(), "mse", metrics=["mae"])
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    model.save(path, weights_format=weights_format)
    again = keras.saving.load_model(path)
    logs = [
        m.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0).history
        for m in (model, again)
    ]
    assert logs[0] == logs[1]
    pairs = zip(model.variables, again.variables, strict=True)  # seeds too
    assert all(torch.equal(a.value, b.value) for a, b in pairs)
    pairs = zip(model.optimizer.variables, again.optimizer.variables, strict=True)
    assert all(torch.equal(a.value, b.value) for a, b in pairs)
    assert int(again.optimizer.iterations) == 20


@keras.saving.register_keras_serializable("keras_format_test")
class Scaled(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = layers.Dense(units)
        self.more = [layers.Dense(units), {"inner": layers.Dense(units)}]

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(self.units,), initializer="ones")
        self.count = self.add_weight(name="count", shape=(), trainable=False)
        self.dense.build(input_shape)
        for layer in (self.more[0], self.more[1]["inner"]):
            layer.build((None, self.units))

    def call(self, x):
        x = self.more[1]["inner"](self.more[0](self.dense(x)))
        return x * self.scale.value + self.count.value

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Net(keras.Model):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.body = Scaled(units)
        self.head = layers.Dense(2)
        self.drop = layers.Dropout(0.3, seed=9)

    def call(self, x, training=None):
        return self.head(self.drop(self.body(x), training=training))

    def get_config(self):
        return {"units": self.units}


def test_subclassed_model_and_layer(path, weights_format):
    x, y = _data()
    model = Net(3)
    model.compile("adam", "mse")
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    model.save(path, weights_format=weights_format)
    with pytest.raises(ValueError, match="class 'Net'.*custom_objects"):
        keras.saving.load_model(path)
    again = keras.saving.load_model(path, custom_objects={"Net": Net})
    assert type(again) is Net and type(again.body) is Scaled
    for m in (model, again):
        m.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    pairs = zip(model.variables, again.variables, strict=True)
    assert all(torch.equal(a.value, b.value) for a, b in pairs)


class Doubled(layers.Layer):
    """Builds what is in it when `call` meets it, and says the shape of its output itself."""

    keeps_shape = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = layers.LayerNormalization()

    def call(self, inputs):
        return 2 * self.norm(inputs)


def test_layer_that_says_its_shape_and_has_no_build(path, weights_format):
    model = keras.Sequential([keras.Input((4,)), Doubled()])
    model.layers[0].norm.gamma.assign([1.0, 2.0, 3.0, 4.0])
    model.save(path, weights_format=weights_format)
    again = keras.models.load_model(path, custom_objects={"Doubled": Doubled})
    x, _ = _data()
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_custom_function(path, weights_format):
    def double(x):
        return x * 2

    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, activation=double)])
    model.save(path, weights_format=weights_format)
    with pytest.raises(ValueError, match="double"):
        keras.saving.load_model(path)
    again = keras.saving.load_model(path, custom_objects={"double": double})
    x = torch.ones(1, 2)
    assert torch.equal(again(x), model(x))


def test_shared_and_nested_layers(path, weights_format):
    shared = layers.Dense(3)
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3), layers.Dense(3)])
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(1)(shared(inner(shared(inputs)))))
    model.save(path, weights_format=weights_format)
    again = keras.saving.load_model(path)
    x = torch.randn(4, 3)
    assert torch.equal(again(x), model(x))
    assert len(again.weights) == len(model.weights) == 8


def test_load_without_compile(path, weights_format):
    model = _model()
    model.compile("adam", "mse")
    model.fit(*_data(), verbose=0)
    model.save(path, weights_format=weights_format)
    assert not keras.saving.load_model(path, compile=False).compiled


def test_weights_of_an_archive_into_a_model(path, weights_format):
    model, other = _model(), _model()
    model.save(path, weights_format=weights_format)
    other.load_weights(path)
    pairs = zip(model.weights, other.weights, strict=True)
    assert all(torch.equal(a.value, b.value) for a, b in pairs)


def test_torch_optimizer_state(path, weights_format):
    def compiled(model):
        model.compile(torch.optim.AdamW(model.parameters(), lr=0.01), "mse")
        return model

    x, y = _data()
    model = compiled(_model())
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a torch optimizer is not described
        model.save(path, weights_format=weights_format)
        again = compiled(keras.saving.load_model(path, compile=False))
    keras.saving.load_optimizer_state(again, path)
    for m in (model, again):
        m.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    pairs = zip(model.weights, again.weights, strict=True)
    assert all(torch.equal(a.value, b.value) for a, b in pairs)


def test_bfloat16(path, weights_format):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, dtype="bfloat16")])
    model.save(path, weights_format=weights_format)
    kernel = keras.saving.load_model(path).layers[0].kernel
    assert kernel.dtype == "bfloat16"
    assert torch.equal(kernel.value, model.layers[0].kernel.value)


def test_a_rezipped_archive_is_read(path, tmp_path):
    model = _model()
    model.save(path)
    other = tmp_path / "deflated.keras"
    with zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in _members(path).items():
            file.writestr(name, data)
    x = torch.ones(1, 4)
    assert torch.equal(keras.saving.load_model(other)(x), model(x))


# Arguments and failures


@pytest.mark.parametrize(
    "name, options",
    [
        ("m.keras", {"weights_format": "npz"}),
        ("m.safetensors", {"weights_format": "h5"}),
    ],
)
def test_unknown_weights_format(tmp_path, name, options):
    with pytest.raises(ValueError, match="`weights_format` is 'safetensors' or.*Received"):
        _model().save(str(tmp_path / name), **options)
    assert os.listdir(tmp_path) == []


def test_no_folder_instead_of_a_file(path):
    with pytest.raises(ValueError, match="Received: zipped=False"):
        keras.saving.save_model(_model(), path, zipped=False)


def test_without_h5py(path, monkeypatch):
    model = _model()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'pip install "torchkeras\[keras\]"'):
        model.save(path, weights_format="h5")
    with pytest.raises(ImportError, match=r'pip install "torchkeras\[keras\]"'):
        model.save_weights(path.replace(".keras", ".weights.h5"))
    model.save(path)
    keras.saving.load_model(path)
    assert os.listdir(os.path.dirname(path)) == ["model.keras"]


def test_failed_save_leaves_the_old_file(path, monkeypatch):
    model = _model()
    model.save(path)
    before = Path(path).read_bytes()

    def writestr(self, name, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", writestr)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert Path(path).read_bytes() == before
    assert os.listdir(os.path.dirname(path)) == ["model.keras"]


def test_existing_file_and_overwrite(path):
    model = _model()
    model.save(path)
    with pytest.raises(FileExistsError, match="exists already"):
        model.save(path, overwrite=False)


def test_missing_file(path):
    with pytest.raises(FileNotFoundError, match="no file to load"):
        keras.saving.load_model(path)


# Hostile archives


def _write(path, members, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile tells of duplicate names
        with zipfile.ZipFile(path, "w", **options) as file:
            for name, data in members:
                file.writestr(name, data)


def _good(path):
    _model().save(path)
    return list(_members(path).items())


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "/etc/evil",
        "C:\\evil",
        "..\\evil",
        "asset/vocabulary.txt",
        "config.json/",
        "./config.json",
        "CONFIG.JSON",
        "model.weights.npz",
    ],
)
def test_foreign_member(path, name):
    _write(path, [*_good(path), (name, b"x")])
    folder = os.path.dirname(path)
    with pytest.raises(ValueError, match="is not one that a model's archive has"):
        keras.saving.load_model(path)
    assert os.listdir(folder) == ["model.keras"]


def test_name_with_a_zero_byte(path):
    good = dict(_good(path))
    good["config.jsonX.txt"] = good.pop("config.json")
    _write(path, list(good.items()))
    data = Path(path).read_bytes().replace(b"config.jsonX", b"config.json\0")
    Path(path).write_bytes(data)
    with pytest.raises(ValueError, match="not one that a model's archive has"):
        keras.saving.load_model(path)


def test_member_twice(path):
    good = _good(path)
    _write(path, [*good, good[1]])
    with pytest.raises(ValueError, match="'config.json' occurs twice"):
        keras.saving.load_model(path)


def test_symbolic_link(path):
    good = dict(_good(path))
    link = zipfile.ZipInfo("config.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    weights = "model.weights.safetensors"
    _write(path, [(link, b"/etc/passwd"), (weights, good[weights])])
    with pytest.raises(ValueError, match="'config.json' is not a plain file"):
        keras.saving.load_model(path)


def test_encrypted_member(path):
    _good(path)
    data = bytearray(Path(path).read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 8] |= 1
    Path(path).write_bytes(data)
    with pytest.raises(ValueError, match="is encrypted"):
        keras.saving.load_model(path)


def test_many_members(path):
    _write(path, [*_good(path), *[(f"{i}.txt", b"") for i in range(10_010)]])
    with pytest.raises(ValueError, match="it has 10013 members"):
        keras.saving.load_model(path)


@pytest.mark.parametrize("missing, told", [(1, "no 'config.json'"), (2, "must have one of")])
def test_missing_member(path, missing, told):
    good = _good(path)
    del good[missing]
    _write(path, good)
    with pytest.raises(ValueError, match=told):
        keras.saving.load_model(path)


def test_two_kinds_of_weights(path):
    _write(path, [*_good(path), ("model.weights.h5", b"x")])
    with pytest.raises(ValueError, match="must have one of"):
        keras.saving.load_model(path)


def test_zip_bomb_is_refused_before_it_is_read(path, monkeypatch):
    good = dict(_good(path))
    bomb = b"[" + b" " * (20 * 2**20) + b"]"
    members = [("config.json", bomb), *[m for m in good.items() if m[0] != "config.json"]]
    _write(path, members, compression=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    with pytest.raises(ValueError, match="'config.json' grows from"):
        keras.saving.load_model(path)


def test_large_config_is_refused(path, monkeypatch):
    _good(path)
    monkeypatch.setitem(archives._LIMITS_BYTES, "config.json", 100)
    with pytest.raises(ValueError, match="'config.json' has .* bytes, above 100"):
        keras.saving.load_model(path)


def test_members_that_overlap(path):
    _good(path)
    data = bytearray(Path(path).read_bytes())
    for field in (20, 24):  # sizes in the directory
        at = data.rindex(b"PK\1\2")
        data[at + field : at + field + 4] = struct.pack("<I", len(data) + 1)
    Path(path).write_bytes(data)
    with pytest.raises(ValueError, match="its members overlap"):
        keras.saving.load_model(path)


def test_stored_member_that_declares_another_size(path):
    _good(path)
    data = bytearray(Path(path).read_bytes())
    at = data.rindex(b"PK\1\2") + 24
    size = struct.unpack("<I", data[at : at + 4])[0]
    data[at : at + 4] = struct.pack("<I", size + 1)
    Path(path).write_bytes(data)
    with pytest.raises(ValueError, match="declares another size than it has"):
        keras.saving.load_model(path)


def test_other_compression(path):
    _write(path, _good(path), compression=zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match="is compressed by method 12"):
        keras.saving.load_model(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\3\4" + b"x" * 100])
def test_not_a_zip(path, content):
    Path(path).write_bytes(content)
    with pytest.raises(ValueError, match="A .keras file was expected. Received: .*damaged"):
        keras.saving.load_model(path)


def test_something_before_the_zip(path):
    _good(path)
    data = Path(path).read_bytes()
    Path(path).write_bytes(b"#!/bin/sh\n" + data)
    with pytest.raises(ValueError, match="does not begin as a zip"):
        keras.saving.load_model(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_truncated(path, part):
    _good(path)
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ValueError, match="A .keras file was expected"):
        keras.saving.load_model(path)


def test_flipped_bits_give_a_value_error_or_a_model(path):
    _good(path)
    data = Path(path).read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(150):
        changed = bytearray(data)
        changed[rng.integers(len(data))] ^= 1 << rng.integers(8)
        Path(path).write_bytes(changed)
        try:
            keras.saving.load_model(path)
        except ValueError:
            refused += 1
    assert refused > 100


def _with_config(path, config):
    good = dict(_good(path))
    good["config.json"] = config if isinstance(config, bytes) else json.dumps(config).encode()
    _write(path, list(good.items()))


@pytest.mark.parametrize(
    "config",
    [
        b"[]",
        b"{",
        b"\xff",
        b'{"class_name": "Sequential", "class_name": "Functional", "config": {}}',
        {"class_name": "function", "module": "os", "config": "system"},
        {"class_name": "system", "module": "os", "config": {"command": "touch canary"}},
        {"class_name": "load_model", "module": "keras.saving", "config": {"filepath": "x"}},
        {"class_name": "Dense", "module": "keras.layers", "config": {"units": 1}},
        {
            "class_name": "Sequential",
            "module": "keras",
            "config": {
                "name": "sequential",
                "layers": [
                    {
                        "class_name": "Lambda",
                        "module": "keras.layers",
                        "config": {"function": {"class_name": "__lambda__", "config": {}}},
                    }
                ],
            },
        },
    ],
)
def test_config_that_is_no_model(path, config, monkeypatch):
    monkeypatch.chdir(os.path.dirname(path))
    _with_config(path, config)
    with pytest.raises(ValueError):
        keras.saving.load_model(path)
    assert os.listdir(".") == ["model.keras"]


def test_config_that_asks_for_terabytes(path):
    huge = {"units": 2**40, "name": "huge"}
    _with_config(
        path,
        {
            "class_name": "Sequential",
            "module": "keras",
            "config": {
                "name": "sequential",
                "layers": [
                    {
                        "class_name": "InputLayer",
                        "module": "keras.layers",
                        "config": {"batch_shape": [None, 4]},
                    },
                    {"class_name": "Dense", "module": "keras.layers", "config": huge},
                ],
            },
        },
    )
    with pytest.raises(ValueError, match="must be in its file"):
        keras.saving.load_model(path)


def test_weights_of_another_model(path):
    good = dict(_good(path))
    buffer = io.BytesIO()
    keras.Sequential([keras.Input((4,)), layers.Dense(1)]).save(path)
    buffer.write(_members(path)["model.weights.safetensors"])
    good["model.weights.safetensors"] = buffer.getvalue()
    _write(path, list(good.items()))
    with pytest.raises(ValueError, match="must be those of.*missing.*of another shape"):
        keras.saving.load_model(path)


def test_warning_points_at_the_caller(path, weights_format):
    other = keras.Sequential([keras.Input((4,)), layers.Dense(5, name="first")])
    _model().save(path, weights_format=weights_format)
    for load in (other.load_weights, lambda *a, **k: keras.saving.load_weights(other, *a, **k)):
        with pytest.warns(UserWarning, match="were skipped") as caught:
            load(path, skip_mismatch=True)
        assert [record.filename for record in caught] == [__file__]
