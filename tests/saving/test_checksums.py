"""Damaged files are errors that name what is damaged, and change nothing."""

import io
import random
import zlib

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import torchkeras as keras
from tests.saved_files import without_checksums
from torchkeras.callbacks import training_state
from torchkeras.saving.checksums import checksum, checksum_of_file


def make(seed=1, compiled=True):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(40, name="a"), keras.layers.Dense(30, name="b")]
    )
    if compiled:
        model.compile("adam", "mse")
        model.train_on_batch(np.ones((4, 5), "float32"), np.ones((4, 30), "float32"))
    return model


def values(model):
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if model.optimizer is not None:
        state = enumerate(model.optimizer.variables)
        weights.update({f"optimizer/{i}": v.value.detach().clone() for i, v in state})
    return weights


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def formula(data):
    """The checksum of bytes, as the module's docstring has it."""
    whole = len(data) // 4096 * 4096
    sums = np.frombuffer(data[:whole], "<u8").reshape(-1, 512).sum(1, dtype=np.uint64)
    return f"{zlib.crc32(data[whole:], zlib.crc32(sums.astype('<u8').tobytes())):08x}"


@pytest.mark.parametrize("size", [0, 1, 7, 4095, 4096, 4097, 3 * 4096 + 5])
def test_checksum_is_that_of_the_formula(size):
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    assert checksum(torch.from_numpy(data)) == formula(data.tobytes())
    assert checksum(data) == formula(data.tobytes())
    # From an odd place in memory, backwards, and as elements of other types.
    assert checksum(torch.from_numpy(np.concatenate([[0], data]).astype(np.uint8))[1:]) == formula(
        data.tobytes()
    )
    assert checksum(data[::-1]) == formula(data[::-1].tobytes())
    if size % 8 == 0:
        assert checksum(torch.from_numpy(data.view(np.float64))) == formula(data.tobytes())


def test_checksum_of_a_file_is_that_of_its_bytes():
    data = np.random.default_rng(0).bytes(2**21 + 4096 + 77)
    for size in (0, 100, 4096, 2**20, 2**20 + 1, len(data)):
        assert checksum_of_file(io.BytesIO(data), size) == formula(data[:size])
    with pytest.raises(OSError, match="too early"):
        checksum_of_file(io.BytesIO(data), len(data) + 1)


def test_scalars_and_narrow_elements_have_checksums():
    assert checksum(torch.tensor(1.5)) == formula(np.float32(1.5).tobytes())
    assert checksum(torch.tensor([True, False])) == formula(b"\1\0")
    assert checksum(torch.ones(3, dtype=torch.bfloat16)) == formula(b"\x80\x3f" * 3)


@pytest.mark.parametrize(
    "change",
    [
        lambda pages: pages[[1, 0, 2]],  # pages that changed places
        lambda pages: pages * np.array([[1], [0], [1]], np.uint8),  # one that was not written
        lambda pages: np.roll(pages, 1),
    ],
)
def test_damage_of_whole_pages_changes_it(change):
    pages = np.random.default_rng(0).integers(0, 256, (3, 4096), dtype=np.uint8)
    assert checksum(change(pages)) != checksum(pages)


def write(model, path):
    if path.suffix == ".state":
        training_state.save_training_state(str(path), model, [], {"epoch": 1, "batch": None})
    elif path.name.endswith("whole.safetensors"):
        model.save(path)
    else:
        model.save_weights(path)


def read(model, path):
    if path.suffix == ".state":
        training_state.load_training_state(str(path), model)
    else:
        model.load_weights(path)
    if path.name.endswith("whole.safetensors"):
        keras.saving.load_optimizer_state(model, path)


@pytest.mark.parametrize("name", ["w.safetensors", "whole.safetensors", "w.weights.h5", "a.state"])
def test_no_changed_bit_becomes_another_weight(tmp_path, name):
    model, other = make(), make(2)
    path, rng = tmp_path / name, random.Random(1)
    write(model, path)
    data, before = path.read_bytes(), values(other)
    goal = values(model) if name != "w.safetensors" else {**before, **model.state_dict()}
    refused = 0
    for _ in range(150):
        bit = rng.randrange(8 * len(data))
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            read(other, path)
        except ValueError:
            refused += 1
            if name != "whole.safetensors":  # which are two calls
                assert_same(values(other), before)
        else:  # a bit that means nothing, as there are many in HDF5
            assert_same(values(other), goal)
            other = make(2)
    assert refused > (10 if name.endswith("h5") else 148)
    path.write_bytes(data)
    read(other, path)
    assert_same(values(other), goal)


@pytest.mark.parametrize("name", ["w.safetensors", "w.weights.h5", "a.state"])
def test_the_damaged_tensor_is_named(tmp_path, name):
    model, path = make(), tmp_path / name
    write(model, path)
    data, kernel = bytearray(path.read_bytes()), model.get_layer("b").kernel.numpy().tobytes()
    data[data.index(kernel) + 100] ^= 4
    path.write_bytes(data)
    told = {"w.weights.h5": "layers/dense_1/vars/0", "a.state": "weights/b.kernel"}
    with pytest.raises(ValueError, match=f"'{told.get(name, 'b.kernel')}'.*other bytes"):
        read(model, path)


def test_a_damaged_state_of_the_optimizer_is_an_error_and_no_warning(tmp_path):
    model = make()
    path = tmp_path / "whole.safetensors"
    model.save(path)
    data = bytearray(path.read_bytes())
    moment = model.optimizer.variables[2].numpy().tobytes()
    data[data.index(moment)] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="'optimizer/2' has other bytes.*damaged"):
        keras.saving.load_model(path)
    fresh = make(3, compiled=False)
    fresh.compile("adam", "mse")
    with pytest.raises(ValueError, match="'optimizer/2' has other bytes"):
        keras.saving.load_optimizer_state(fresh, path)
    assert not fresh.optimizer.built


def test_headers_are_compared_too(tmp_path):
    path, model = tmp_path / "w.safetensors", make()
    model.save_weights(path)
    data = path.read_bytes()
    for old, new in ((b'"a.bias"', b'"c.bias"'), (b"[40]", b"[ 40]"), (b"[5,40]", b"[40,5]")):
        path.write_bytes(data.replace(old, new, 1))
        with pytest.raises(ValueError):
            model.load_weights(path, skip_mismatch=True)


def test_files_stay_plain_ones_and_plain_ones_are_read(tmp_path):
    path, model, other = tmp_path / "w.safetensors", make(), make(2)
    model.save_weights(path)
    tensors = load_file(path)
    assert tensors.keys() == model.state_dict().keys()
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert {"torchkeras.checksum", "torchkeras.checksums", "format"} <= metadata.keys()
    save_file(tensors, path, metadata=metadata)  # the same file, by another writer
    other.load_weights(path)
    tensors["a.bias"] = tensors["a.bias"] + 1
    save_file(tensors, path, metadata=without_checksums(metadata))
    other.load_weights(path)
    assert torch.equal(other.get_layer("a").bias.value, tensors["a.bias"])
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(ValueError, match="'a.bias'.*on purpose"):
        other.load_weights(path)


def test_long_lists_of_checksums_in_hdf5(tmp_path):
    path = tmp_path / "w.weights.h5"
    stack = [keras.layers.Dense(1, name=f"{'long' * 20}_{i}") for i in range(400)]
    keras.Sequential([keras.Input((1,)), *stack]).save_weights(path)
    with h5py.File(path, "r") as file:
        assert "torchkeras.checksums0" in file.attrs
    with h5py.File(path, "a") as file:
        file["layers/dense_333/vars/0"][...] = 3
    model = keras.Sequential([keras.Input((1,)), *map(keras.layers.Dense, [1] * 400)])
    with pytest.raises(ValueError, match="'layers/dense_333/vars/0' has other bytes"):
        model.load_weights(path)
    with h5py.File(path, "a") as file:
        for name in list(file.attrs):
            del file.attrs[name]
    model.load_weights(path)
    assert model.layers[333].kernel.numpy() == 3


@pytest.mark.parametrize(
    "attribute", [np.zeros(2, np.int16), np.zeros(0, np.uint8), "text", [1.5], b"{}"]
)
def test_attributes_that_are_no_checksums(tmp_path, attribute):
    path, model = tmp_path / "w.weights.h5", make()
    model.save_weights(path)
    with h5py.File(path, "a") as file:
        file.attrs["torchkeras.checksums0"] = attribute
    with pytest.raises(ValueError):
        model.load_weights(path)
