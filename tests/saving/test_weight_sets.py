"""Weights in several files with an index, as of Keras and Hugging Face: whole or not at all."""

import json
import os
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import torchkeras as keras
from torchkeras.saving import atomic, weight_sets

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
ENDINGS = [".safetensors.index.json", ".weights.json"]
SIZE = 3000 / 2**30  # GB


def build(library=keras, seed=0, units=200):
    library.utils.set_random_seed(seed)
    layers = library.layers
    return library.Sequential(
        [
            library.Input((3,)),
            layers.Dense(units, name="a"),
            layers.BatchNormalization(name="n"),
            layers.Dense(2, name="b"),
        ]
    )


def weights(model):
    return [np.asarray(w) for w in model.get_weights()]


def assert_same(a, b):
    for one, two in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(one, two)


def files_beside(path):
    return sorted(f for f in os.listdir(path.parent) if f != path.name)


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_hold_at_most_what_was_asked_for(tmp_path, ending):
    model, path = build(), tmp_path / f"m{ending}"
    model.save_weights(path, max_shard_size=SIZE)
    index = json.loads(path.read_text())
    total = sum(w.nbytes for w in weights(model))
    assert index["metadata"]["total_size"] == total == 8008
    names = files_beside(path)
    if ending == ENDINGS[0]:
        assert names == [f"m-{i:05}-of-00004.safetensors" for i in (1, 2, 3, 4)]
        parts = [load_file(tmp_path / name) for name in names]
        assert all(sum(t.nbytes for t in part.values()) <= 3000 for part in parts)
        found = {k: v for part in parts for k, v in part.items()}
        assert found.keys() == model.state_dict().keys() == index["weight_map"].keys()
        assert sum(map(len, parts)) == len(found)
        for name, tensor in found.items():
            assert torch.equal(tensor, model.state_dict()[name])
    else:
        assert names == [f"m_{i:05}.weights.h5" for i in range(4)]
    other = build(seed=1)
    other.load_weights(path)
    assert_same(other, model)


@pytest.mark.parametrize("given", ["m.weights.h5", "m.safetensors"])
def test_the_index_is_named_after_one_file(tmp_path, given):
    model, ending = build(), ENDINGS[given.endswith(".h5")]
    with pytest.warns(UserWarning, match="found by an index"):
        model.save_weights(tmp_path / given, max_shard_size=1)
    other = build(seed=1)
    other.load_weights(tmp_path / f"m{ending}")
    assert_same(other, model)


class Tied(keras.Model):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
        self.b.weight = self.a.weight

    def call(self, x):
        return self.b(self.a(x))


def test_tied_weights_are_stored_once(tmp_path):
    path, x = tmp_path / "m.safetensors.index.json", torch.randn(4, 3)
    model, other = Tied(), Tied()
    expected = model(x), other(x)
    model.save_weights(path, max_shard_size=1)
    index = json.loads(path.read_text())
    assert sorted(index["weight_map"]) == ["a.bias", "a.weight", "b.bias"]
    assert index["metadata"]["total_size"] == (9 + 3 + 3) * 4
    other.load_weights(path)
    assert torch.equal(other(x), expected[0]) and not torch.equal(*expected)
    assert other.b.weight is other.a.weight


def test_optimizers_go_with_files_of_keras(tmp_path):
    model, other = build(), build(seed=1)
    for one in (model, other):
        one.compile("adam", "mse")
        one.train_on_batch(np.ones((4, 3), "float32"), np.ones((4, 2), "float32"))
    path = tmp_path / "m.weights.json"
    model.save_weights(path, max_shard_size=SIZE)
    other.load_weights(path)
    for a, b in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        assert torch.equal(a.value, b.value)
    keras.saving.load_optimizer_state(other, path)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_keras_reads_ours(tmp_path, times):
    real = pytest.importorskip("keras")
    path = tmp_path / "m.weights.json"
    for seed in range(times):  # the files have other names each time
        model = build(seed=seed)
        model.save_weights(path, max_shard_size=SIZE)
    theirs = build(real)
    theirs.load_weights(path)
    assert_same(theirs, model)
    names = set(json.loads(path.read_text())["metadata"]["torchkeras.files"])
    assert set(files_beside(path)) == names | {"m_00000.weights.h5"}


def test_ours_reads_those_of_keras(tmp_path):
    real = pytest.importorskip("keras")
    path, theirs, model = tmp_path / "m.weights.json", build(real, seed=5), build()
    theirs.save_weights(path, max_shard_size=SIZE)
    names = files_beside(path)
    model.load_weights(path)
    assert_same(theirs, model)
    build(seed=7).save_weights(path, max_shard_size=SIZE)  # in its place
    assert set(files_beside(path)) & set(names) == {"m_00000.weights.h5"}
    model.save_weights(path, max_shard_size=SIZE)
    assert files_beside(path) == names
    index, ours = tmp_path / "k" / "m.weights.json", json.loads(path.read_text())
    index.parent.mkdir()
    theirs.save_weights(index, max_shard_size=SIZE)
    places = json.loads(index.read_text())["weight_map"]
    alone = {k: v[0] if len(v) == 1 else v for k, v in places.items()}  # in a list or not
    assert alone == ours["weight_map"]


def test_a_weight_larger_than_a_file(tmp_path):
    real = pytest.importorskip("keras")
    for model in (build(), build(real)):
        with pytest.raises(ValueError, match="max_shard_size"):
            model.save_weights(tmp_path / "m.weights.json", max_shard_size=100 / 2**30)
    build().save_weights(tmp_path / "m.safetensors.index.json", max_shard_size=100 / 2**30)
    assert len(files_beside(tmp_path / "m.safetensors.index.json")) >= 8


def _fail_at(monkeypatch, name, number):
    real, calls = getattr(os, name), []

    def fail(*arguments, **options):
        calls.append(arguments)
        if len(calls) == number:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("number", [1, 3, 5])
@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_set(tmp_path, monkeypatch, ending, number, function):
    model, path = build(), tmp_path / f"m{ending}"
    model.save_weights(path, max_shard_size=SIZE)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        _fail_at(patch, function, number if function == "replace" else 2 * number - 1)
        build(seed=1).save_weights(path, max_shard_size=SIZE)
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


@pytest.mark.parametrize("ending", ENDINGS)
def test_whoever_is_killed_leaves_a_whole_set(tmp_path, monkeypatch, ending):
    """Whatever stands on the disk after any change of a name is the old set or the new one."""
    old, new, path = build(seed=1), build(seed=2), tmp_path / f"m{ending}"
    old.save_weights(path, max_shard_size=SIZE)
    found = []

    def look(function):
        def run(*arguments, **options):
            result = function(*arguments, **options)
            model = build(seed=3)
            model.load_weights(path)
            found.append(np.array_equal(weights(model)[0], weights(new)[0]))
            assert_same(model, new if found[-1] else old)
            return result

        return run

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "replace", look(os.replace))
        patch.setattr(atomic.os, "remove", lambda *a, real=os.remove: look(real)(*a))
        new.save_weights(path, max_shard_size=SIZE)
    assert found == sorted(found) and {False, True} == set(found)
    left = tmp_path / f"m-00001-of-00004-0123abcd{weight_sets.HUGGING_FACE.file_ending}"
    if ending == ENDINGS[0]:  # of one who was killed
        left.touch()
        old.save_weights(path, max_shard_size=SIZE)
        assert not left.exists()


def test_an_older_set_with_more_files_is_removed_and_nothing_else(tmp_path):
    path = tmp_path / "m.safetensors.index.json"
    others = ["m.safetensors", "m2-00001-of-00002.safetensors", "m-notes.safetensors"]
    for name in others:
        (tmp_path / name).touch()
    build().save_weights(path, max_shard_size=300 / 2**30)
    build().save_weights(path, max_shard_size=1)
    assert files_beside(path) == sorted([*others, "m-00001-of-00001.safetensors"])
    index = json.loads(path.read_text())
    index["weight_map"] = {"x": "m-notes.safetensors", "y": "../x.safetensors"}
    path.write_text(json.dumps(index))  # names what no set has
    build().save_weights(path, max_shard_size=1)
    assert set(others) <= set(files_beside(path))


def test_links_are_not_written_through(tmp_path):
    blob = tmp_path / "blobs" / "0123"
    blob.parent.mkdir()
    path = tmp_path / "m.safetensors.index.json"
    blob.write_bytes(b"somebody's")
    os.symlink(blob, tmp_path / "m-00001-of-00001.safetensors")
    build().save_weights(path, max_shard_size=1)
    assert blob.read_bytes() == b"somebody's"
    model = build(seed=1)
    model.load_weights(path)
    assert_same(model, build())


def test_overwrite(tmp_path):
    path = tmp_path / "m.weights.json"
    build().save_weights(path, max_shard_size=1, overwrite=False)
    with pytest.raises(FileExistsError):
        build().save_weights(path, max_shard_size=1, overwrite=False)


@pytest.mark.parametrize(
    ("filepath", "size", "error", "match"),
    [
        ("m.weights.json", None, ValueError, "without `max_shard_size`"),
        ("m.keras", 1, ValueError, "works with files that end in"),
        ("m.weights.json", -1, ValueError, "`max_shard_size` must be"),
        ("m.weights.json", "1GB", TypeError, "`max_shard_size` must be"),
    ],
)
def test_wrong_arguments(tmp_path, filepath, size, error, match):
    with pytest.raises(error, match=match):
        build().save_weights(tmp_path / filepath, max_shard_size=size)
    assert os.listdir(tmp_path) == []


# What an index says


def plain_set(tmp_path, changes=None, text=None):
    """A set as Hugging Face's programs write it, with a changed index."""
    tensors = build().state_dict()
    save_file({k: v for k, v in tensors.items() if k[0] == "a"}, tmp_path / "one.safetensors")
    save_file({k: v for k, v in tensors.items() if k[0] != "a"}, tmp_path / "two.safetensors")
    places = {k: f"{'one' if k[0] == 'a' else 'two'}.safetensors" for k in tensors}
    index = {"metadata": {"total_size": 8008}, "weight_map": {**places, **(changes or {})}}
    path = tmp_path / "m.safetensors.index.json"
    path.write_text(json.dumps(index) if text is None else text)
    return path


def test_a_plain_set_is_read(tmp_path):
    model = build(seed=1)
    model.load_weights(plain_set(tmp_path))
    assert_same(model, build())


@pytest.mark.parametrize(
    "place",
    [
        "../one.safetensors",
        "/etc/passwd",
        "sub/one.safetensors",
        "..",
        "",
        "one.bin",
        "C:one.safetensors",
        "..\\one.safetensors",
        "one.safetensors\0",
        7,
        None,
        ["one.safetensors", "two.safetensors"],
        {},
        "two.safetensors",
        "folder.safetensors",
        "pipe.safetensors",
    ],
)
def test_an_index_names_files_beside_it_only(tmp_path, place):
    (tmp_path / "sub").mkdir()
    save_file(build().state_dict(), tmp_path / "sub" / "one.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    os.mkfifo(tmp_path / "pipe.safetensors")
    path, model = plain_set(tmp_path, {"a.bias": place}), build(seed=1)
    with pytest.raises(ValueError, match="Received"):
        model.load_weights(path)
    assert_same(model, build(seed=1))


@pytest.mark.parametrize(
    "text",
    ["[]", "{", "{}", '{"weight_map": []}', '{"weight_map": {}, "metadata": 1}', "[" * 10**5],
)
def test_text_that_is_no_index(tmp_path, text):
    for ending in ENDINGS:
        path = tmp_path / f"m{ending}"
        path.write_text(text)
        with pytest.raises(ValueError):
            build().load_weights(path)


def test_a_missing_file_is_named(tmp_path):
    path = plain_set(tmp_path)
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"m.safetensors.index.json.*no 'two.safetensors'"):
        build().load_weights(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_damage_and_files_of_another_set_are_noticed(tmp_path, ending):
    model, path = build(seed=1), tmp_path / f"m{ending}"
    model.save_weights(path, max_shard_size=SIZE)
    other = tmp_path / "other" / path.name
    other.parent.mkdir()
    build(seed=2).save_weights(other, max_shard_size=SIZE)
    name = files_beside(path)[0]
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes((other.parent / name).read_bytes())
    with pytest.raises(ValueError, match="another checksum than its index tells"):
        model.load_weights(path)
    (tmp_path / name).write_bytes(whole)
    text, rng = path.read_bytes(), random.Random(0)
    expected = build(seed=1)
    for _ in range(60):
        bit = rng.randrange(8 * len(text))
        changed = bytearray(text)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            model.load_weights(path)
        except (ValueError, FileNotFoundError):
            pass
        assert_same(model, expected)
