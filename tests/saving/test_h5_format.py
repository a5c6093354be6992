"""`.weights.h5` files: Keras's layout, all or nothing, and hostile files."""

import os
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.saving import h5_format, h5_reader
from torchkeras.saving.keras_layout import parts_by_path

h5py = pytest.importorskip("h5py")


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "m.weights.h5")


def _model(units=5):
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(units), layers.Dropout(0.5, seed=1), layers.Dense(2)]
    )


def _arrays(path):
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def _values(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _same(model, values):
    return all(torch.equal(tensor, values[name]) for name, tensor in model.state_dict().items())


# Layout


def test_layout_of_a_stack(path):
    model = _model()
    model.save_weights(path)
    arrays = _arrays(path)
    assert sorted(arrays) == [f"layers/dense{n}/vars/{i}" for n in ("", "_1") for i in (0, 1)]
    assert np.array_equal(arrays["layers/dense/vars/0"], model.layers[0].kernel.numpy())
    with h5py.File(path, "r") as file:
        assert file["vars"].attrs["name"] == model.name
        assert file["layers/dense_1/vars"].attrs["name"] == model.layers[2].name


class Block(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._last = layers.Dense(3)
        self.blocks = [layers.Dense(3), [layers.Dense(3), layers.Dense(3)], layers.Dense(3)]
        self.named = {"b": layers.Dense(3), "a": layers.Dense(3)}
        self.torch_part = torch.nn.BatchNorm1d(3)

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(3,))
        self.count = self.add_weight(name="count", shape=(), trainable=False)
        for layer in self._every():
            layer.build((None, 3))

    def _every(self):
        first, (second, third), fourth = self.blocks
        return [self._last, first, second, third, fourth, *self.named.values()]

    def call(self, x):
        for layer in self._every():
            x = layer(x)
        return self.torch_part(x) * self.scale.value


class Net(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.zz = layers.Dense(3)
        self.block = Block()

    @property
    def alias(self):
        return self.block

    @property
    def unready(self):
        raise RuntimeError("not yet")

    def call(self, x):
        return self.block(self.zz(x))


def test_paths_of_a_subclassed_model():
    model = Net()
    model(torch.ones(2, 3))
    assert {path: type(part).__name__ for path, part in parts_by_path(model).items()} == {
        "": "Net",
        "alias": "Block",  # the first of the ways to it, by the alphabet
        "alias/blocks/dense": "Dense",
        "alias/blocks/container/dense": "Dense",
        "alias/blocks/container/dense_1": "Dense",
        "alias/blocks/dense_1": "Dense",
        "alias/named/dense": "Dense",
        "alias/named/dense_1": "Dense",
        "alias/torch_part": "BatchNorm1d",
        "alias/_last": "Dense",
        "layers/dense": "Dense",
    }


def test_round_trip_of_a_subclassed_model(path):
    model, other = Net(), Net()
    for m in (model, other):
        m(torch.ones(2, 3))
    model.train()
    model(torch.randn(8, 3))  # moves the statistics of the torch module
    model.save_weights(path)
    other.load_weights(path)
    assert _same(other, _values(model))
    stored = _arrays(path)
    assert np.array_equal(stored["alias/vars/0"], model.block.scale.numpy())
    assert np.array_equal(
        stored["alias/torch_part/vars/running_mean"], model.block.torch_part.running_mean.numpy()
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "float32"])
def test_dtypes(path, dtype):
    model, other = (
        keras.Sequential([keras.Input((4,)), layers.Dense(2, dtype=dtype)]) for _ in range(2)
    )
    model.save_weights(path)
    other.load_weights(path)
    assert _same(other, _values(model))
    assert other.layers[0].kernel.dtype == dtype


def test_converts_to_the_dtype_of_the_model(path):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, dtype="float64")])
    model.save_weights(path)
    other = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    other.load_weights(path)
    kernel = model.layers[0].kernel.value.float()
    assert torch.equal(other.layers[0].kernel.value, kernel)
    assert other.layers[0].kernel.value.requires_grad


def test_big_endian_numbers(path):
    model = _model()
    model.save_weights(path)
    with h5py.File(path, "a") as file:
        del file.attrs["torchkeras.checksums0"]
        group = file["layers/dense/vars"]
        del group["1"]
        group["1"] = np.arange(5, dtype=">f4")
    model.load_weights(path)
    assert model.layers[0].bias.numpy().tolist() == [0, 1, 2, 3, 4]


def test_dtype_that_numpy_lacks_comes_back(path):
    model, other = (keras.Sequential([keras.Input((4,)), torch.nn.Linear(4, 2)]) for _ in range(2))
    weight = torch.randn(2, 4).to(torch.float8_e4m3fn)
    model.layers[0].module.weight.data = weight
    other.layers[0].module.weight.data = torch.zeros_like(weight)
    model.save_weights(path)
    other.load_weights(path)
    assert torch.equal(other.layers[0].module.weight.float(), weight.float())


class Worded(layers.Layer):
    def build(self, input_shape):
        self.w = self.add_weight(name="w", shape=(3,))

    def call(self, x):
        return x * self.w.value

    def save_own_variables(self, store):
        store["word"] = np.array(["a"])


def test_words_are_no_weights(path):
    model = keras.Sequential([keras.Input((3,)), Worded()])
    with pytest.raises(ValueError, match="holds arrays of numbers.*'word'"):
        model.save_weights(path)
    assert os.listdir(os.path.dirname(path)) == []


# Optimizers


def _trained(optimizer=None):
    model = _model()
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse")
    x = np.linspace(-1, 1, 32, dtype="float32").reshape(8, 4)
    model.fit(x, x[:, :2], epochs=2, verbose=0)
    return model


def test_optimizer_state_goes_with_the_weights(path):
    model = _trained()
    model.save_weights(path)
    fresh, built = _model(), _model()
    for other in (fresh, built):
        other.compile(keras.optimizers.Adam(0.5), "mse")
    built.optimizer.build(built.trainable_variables)
    for other in (fresh, built):
        other.load_weights(path)
    assert not fresh.optimizer.built and int(fresh.optimizer.iterations) == 0
    pairs = zip(model.optimizer.variables, built.optimizer.variables, strict=True)
    assert all(torch.equal(a.value, b.value) for a, b in pairs)
    keras.saving.load_optimizer_state(fresh, path)
    assert int(fresh.optimizer.iterations) == int(model.optimizer.iterations) == 2


def test_state_of_another_optimizer_gives_a_warning(path):
    _trained().save_weights(path)
    other = _trained(keras.optimizers.SGD(momentum=0.9))
    before = [v.numpy().copy() for v in other.optimizer.variables]
    with pytest.warns(UserWarning, match="does not fit the optimizer") as caught:
        other.load_weights(path)
    assert [record.filename for record in caught] == [__file__]
    for value, variable in zip(before, other.optimizer.variables, strict=True):
        assert np.array_equal(value, variable.numpy())


def test_optimizer_that_had_not_run_is_passed_over(path):
    model = _trained()
    model.save_weights(path)
    with h5py.File(path, "a") as file:  # what Keras writes after `compile` alone
        del file.attrs["torchkeras.checksums0"]
        for name in set(file["optimizer/vars"]) - {"0", "1"}:
            del file["optimizer/vars"][name]
    model.load_weights(path)
    assert int(model.optimizer.iterations) == 2
    with pytest.raises(ValueError, match="which has none"):
        keras.saving.load_optimizer_state(model, path)


def test_a_number_missing_from_the_optimizer_state(path):
    model = _trained()
    model.save_weights(path)
    with h5py.File(path, "a") as file:
        del file.attrs["torchkeras.checksums0"]
        file["optimizer/vars"].move("3", "77")
    with pytest.raises(ValueError, match="without number 3"):
        keras.saving.load_optimizer_state(model, path)


# All or nothing


def test_other_shapes_change_nothing(path):
    _model(units=6).save_weights(path)
    model = _model()
    before = _values(model)
    with pytest.raises(ValueError, match=r"layers/dense/vars/0 \(4, 6\) for \(4, 5\)"):
        model.load_weights(path)
    assert _same(model, before)


def test_missing_and_unknown_weights(path):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Dense(4)])
    smaller = keras.Sequential([keras.Input((4,)), layers.Dense(4, use_bias=False)])
    model.save_weights(path)
    unknown = "unknown: layers/dense/vars/1, layers/dense_1/vars/0, layers/dense_1/vars/1"
    with pytest.raises(ValueError, match=unknown):
        smaller.load_weights(path)
    smaller.save_weights(path)
    with pytest.raises(ValueError, match="missing: layers/dense/vars/1, layers/dense_1/vars/0"):
        model.load_weights(path)


def test_skip_mismatch_loads_the_rest(path):
    saved = _model(units=6)
    saved.save_weights(path)
    model = _model()
    before = _values(model)
    with pytest.warns(UserWarning, match="of another shape.*were skipped") as caught:
        model.load_weights(path, skip_mismatch=True)
    assert [record.filename for record in caught] == [__file__]
    assert torch.equal(model.layers[0].kernel.value, before["dense.kernel"])
    assert torch.equal(model.layers[2].bias.value, saved.layers[2].bias.value)


class Custom(layers.Layer):
    def build(self, input_shape):
        self.w = self.add_weight(name="w", shape=(3,), initializer="ones")

    def call(self, x):
        return x * self.w.value

    def save_own_variables(self, store):
        store["twice"] = self.w.numpy() * 2

    def load_own_variables(self, store):
        self.w.assign(store["twice"] / 2)
        if np.isnan(store["twice"]).any():
            raise RuntimeError("not numbers")


def test_layer_with_its_own_way_to_save(path):
    model, other = (keras.Sequential([keras.Input((3,)), Custom()]) for _ in range(2))
    model.layers[0].w.assign([1.0, 2.0, 3.0])
    model.save_weights(path)
    assert _arrays(path)["layers/custom/vars/twice"].tolist() == [2, 4, 6]
    other.load_weights(path)
    assert other.layers[0].w.numpy().tolist() == [1, 2, 3]


def test_layer_that_refuses_is_as_it_was(path):
    model = keras.Sequential([keras.Input((3,)), Custom(), layers.Dense(2)])
    model.layers[0].w.assign([1.0, float("nan"), 3.0])
    model.save_weights(path)
    model.layers[0].w.assign([5.0, 5.0, 5.0])
    model.layers[1].bias.assign([7.0, 7.0])
    before = _values(model)
    with pytest.raises(ValueError, match=r"refuses \(RuntimeError: not numbers\)"):
        model.load_weights(path)
    assert _same(model, before)


def test_unbuilt_model(path):
    _model().save_weights(path)
    for call in (
        keras.Sequential([layers.Dense(1)]).save_weights,
        keras.Sequential([layers.Dense(1)]).load_weights,
    ):
        with pytest.raises(ValueError, match="has no weights"):
            call(path)


def test_full_disk_leaves_the_old_file(path):
    model = _model()
    model.save_weights(path)
    before = Path(path).read_bytes()
    larger = _model(units=100_000)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        with pytest.raises(OSError, match="(?s)could not be written.*is unchanged") as caught:
            larger.save_weights(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert caught.value.errno == 27  # EFBIG
    assert Path(path).read_bytes() == before
    assert os.listdir(os.path.dirname(path)) == ["m.weights.h5"]


# Hostile files


def _refused(path, told, model=None):
    model = model or _model()
    before = _values(model)
    with pytest.raises(ValueError, match=f"A HDF5 file was expected|(?s:{told})") as caught:
        model.load_weights(path)
    assert told in str(caught.value)
    assert _same(model, before)


def _saved(path):
    model = _model()
    model.save_weights(path)
    return model


@pytest.mark.parametrize("place", ["layers/dense/vars/0", "layers/dense/vars", "layers", "extra"])
@pytest.mark.parametrize("kind", ["ExternalLink", "SoftLink"])
def test_links(path, place, kind):
    _saved(path)
    other = path.replace("m.", "other.")
    _saved(other)
    link = h5py.ExternalLink(other, place) if kind == "ExternalLink" else h5py.SoftLink("/vars")
    with h5py.File(path, "a") as file:
        if place in file:
            del file[place]
        file[place] = link
    _refused(path, f"'{place}' is a {kind}")


def test_second_hard_link(path):
    _saved(path)
    with h5py.File(path, "a") as file:
        file["layers/again"] = file["layers/dense"]
    _refused(path, "is a second link to an object")


def test_cycle_of_groups(path):
    _saved(path)
    with h5py.File(path, "a") as file:
        file["layers/up"] = file["/"]
    _refused(path, "is a second link to an object")


def test_data_in_another_file(path, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(20))
    _saved(path)
    with h5py.File(path, "a") as file:
        group = file["layers/dense/vars"]
        del group["1"]
        group.create_dataset("1", (5,), "f4", external=[(str(secret), 0, 20)])
    _refused(path, "is stored in another file")


def test_virtual_dataset(path):
    _saved(path)
    other = path.replace("m.", "other.")
    _saved(other)
    layout = h5py.VirtualLayout((5,), "f4")
    layout[:] = h5py.VirtualSource(other, "layers/dense/vars/1", (5,))
    with h5py.File(path, "a") as file:
        group = file["layers/dense/vars"]
        del group["1"]
        group.create_virtual_dataset("1", layout)
    _refused(path, "is virtual")


@pytest.mark.parametrize("options", [{}, {"chunks": (2**20,), "compression": "gzip"}])
@pytest.mark.parametrize("place", ["layers/dense/vars/1", "elsewhere"])
def test_array_that_declares_more_than_is_stored(path, options, place):
    _saved(path)
    with h5py.File(path, "a") as file:
        if place in file:
            del file[place]
        file.create_dataset(place, (2**50,), "f4", **options)
    assert os.path.getsize(path) < 50_000
    _refused(path, "declares 4503599627370496 bytes and stores 0")


def test_chunk_that_is_larger_than_what_is_stored(path):
    _saved(path)
    with h5py.File(path, "a") as file:
        options = {"chunks": (2**28,), "maxshape": (None,), "compression": "gzip"}
        file.create_dataset("wide", (5,), "f4", **options)
    _refused(path, "declares 1073741824 bytes and stores 0")


@pytest.mark.parametrize(
    "value",
    [np.array([b"text"], dtype="S4"), "text", np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])],
    ids=["bytes", "string", "record"],
)
def test_arrays_of_something_else(path, value):
    _saved(path)
    with h5py.File(path, "a") as file:
        file["layers/dense/vars/2"] = value
    _refused(path, "not of numbers")


def test_object_references(path):
    _saved(path)
    with h5py.File(path, "a") as file:
        file.create_dataset("ref", data=file["layers"].ref, dtype=h5py.ref_dtype)
    _refused(path, "not of numbers")


def test_named_type_and_empty_array(path):
    _saved(path)
    with h5py.File(path, "a") as file:
        file["kind"] = np.dtype("f4")
    _refused(path, "'kind' is a Datatype")
    _saved(path)
    with h5py.File(path, "a") as file:
        file["nothing"] = h5py.Empty("f4")
    _refused(path, "'nothing' has no value")


def test_filter_of_a_plugin(path):
    _saved(path)
    with h5py.File(path, "a") as file:
        file.create_dataset("x", (4,), "f4", chunks=(4,), scaleoffset=2)
    _refused(path, "needs the filters [6]")


def test_usual_compression_is_read(path):
    model = _saved(path)
    values = _arrays(path)
    with h5py.File(path, "w") as file:
        for name, value in values.items():
            file.create_dataset(name, data=value, compression="gzip", shuffle=True, chunks=True)
    other = _model()
    other.load_weights(path)
    assert _same(other, _values(model))


def test_arrays_that_share_their_bytes(path):
    _saved(path)
    with h5py.File(path, "r") as file:
        total = 4 * (4 * 5 + 5 + 5 * 2 + 2)
        h5_reader._Inspection(h5py, total).groups(file)
        with pytest.raises(ValueError, match="store more than the file holds"):
            h5_reader._Inspection(h5py, total - 1).groups(file)


def test_deep_and_many(path, monkeypatch):
    _saved(path)
    with h5py.File(path, "a") as file:
        file.create_group("/".join("a" * 80))
    _refused(path, "nested deeper than 64")
    _saved(path)
    monkeypatch.setattr(h5_reader, "_MAX_OBJECTS", 5)
    _refused(path, "more than 5 objects")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_no_hdf5(path, content):
    Path(path).write_bytes(content)
    _refused(path, "A HDF5 file was expected. Received:")


def test_missing_file_and_folder(path):
    with pytest.raises(FileNotFoundError, match="no file to load"):
        _model().load_weights(path)
    os.mkdir(path)
    _refused(path, "A HDF5 file was expected")


@pytest.mark.parametrize("part", [0.05, 0.3, 0.7, 0.99])
def test_truncated(path, part):
    _saved(path)
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: int(len(data) * part)])
    _refused(path, "A HDF5 file was expected")


def test_seed_of_another_kind(path, tmp_path):
    archive = h5_format.to_bytes(_model(), path)
    with h5py.File(path, "w") as file:
        group = file.create_group("torchkeras/seeds/vars")
        group["dropout.seed_generator_state"] = np.zeros(3)
    with h5_format.open_weights(path) as weights, pytest.raises(ValueError, match="The seed"):
        weights.assign_state(_model())
    model = _model()
    with h5_format.open_weights(path, archive) as weights:
        weights.assign_state(model)
