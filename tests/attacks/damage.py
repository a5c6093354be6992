"""Files of each format with a bit flipped, or cut off: refused in words, or read as they were.

`FORMATS` has for each format a function that makes good files in a folder, and one that returns the
call that reads them; the call returns what it read, as a string, which must not be another one.
`python -m tests.attacks.damage FOLDER FLIPS CUTS FORMAT ...` tells of each as the referee does.
"""

import hashlib
import io
import json
import os
import pathlib
import random
import sys
import tarfile
import warnings
import wave
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

import torchkeras as keras
from tests.attacks import arsenal, referee
from tests.attacks.arsenal import fingerprint, small
from torchkeras.datasets import _readers

layers = keras.layers


@dataclass
class Format:
    """A kind of file.

    Attributes:
        write: function of a folder; returns the paths of the files to be damaged.
        read: function of the folder that returns the call that reads, made before the damage
            counts.
        is_checked: whether a flipped bit must be found, or change nothing. Files of others, and
            texts, hold no checksums.
        is_ours: whether a refusal is told in this package's words, not in those of a decoder.
    """

    write: Any
    read: Any
    is_checked: bool = True
    is_ours: bool = True


def _digest(*values):
    return hashlib.sha256(repr(values).encode()).hexdigest()


def _of_model(model):
    """All that a model file tells, in short."""
    optimizer = model.optimizer
    state = [] if optimizer is None else [v.value.tolist() for v in optimizer.variables]
    variables = [v.value.tolist() for v in model.variables]
    words = [part.get_vocabulary() for part in model.layers if hasattr(part, "get_vocabulary")]
    return _digest(variables, state, words, model.get_config(), model.get_compile_config())


def with_text():
    """A model with words in its file."""
    text = layers.TextVectorization(vocabulary=["a", "b", "c"], output_sequence_length=2)
    model = keras.Sequential([keras.Input((), dtype="string"), text, layers.Embedding(8, 2)])
    model.name = "text"
    return model


def _model_file(name, make=small, **settings):
    def write(folder):
        keras.utils.set_random_seed(0)
        make().save(folder / name, **settings)
        return [folder / name]

    return Format(write, lambda folder: lambda: _of_model(keras.saving.load_model(folder / name)))


def _unchanged_if_refused(model, read):
    """The call of a reader that changes a model, which must be as it was where it refuses."""

    def run():
        before = fingerprint(model)
        try:
            read()
        except Exception:
            if fingerprint(model) != before:
                raise AssertionError("a refused file has changed something") from None
            raise
        return _digest(fingerprint(model).partition("(3, (")[0])

    return run


def _weights_file(name, save, is_checked=True, load=None):
    def write(folder):
        keras.utils.set_random_seed(0)
        save(small(), folder / name)
        return sorted(path for path in folder.rglob("*") if path.is_file())

    def read(folder):
        keras.utils.set_random_seed(1)
        model = small()
        reader = load or (lambda model, path: model.load_weights(path))
        return _unchanged_if_refused(model, lambda: reader(model, folder / name))

    return Format(write, read, is_checked)


def _legacy(model, path):
    """In the layout of Keras 2."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{v.name}:0".encode() for v in layer.weights]
            group.attrs["weight_names"] = names
            for name, variable in zip(names, layer.weights, strict=True):
                group[name.decode()] = variable.numpy()


def _write_backup(folder):
    keras.utils.set_random_seed(0)
    backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=3)
    small().fit(np.ones((2, 3)), np.ones((2, 4)), verbose=0, callbacks=[backup, stop])
    return [path for path in folder.rglob("*") if path.is_file()]


def _read_backup(folder):
    keras.utils.set_random_seed(1)
    model = small()
    backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=3)
    fit = {"epochs": 1, "verbose": 0, "callbacks": [backup, stop]}
    return _unchanged_if_refused(model, lambda: model.fit(np.ones((2, 3)), np.ones((2, 4)), **fit))


def _write_json(folder):
    (folder / "model.json").write_text(small().to_json())
    return [folder / "model.json"]


def _read_json(folder):
    text = (folder / "model.json").read_bytes()
    return lambda: _digest(keras.models.model_from_json(text).get_config())


def _write_npz(folder):
    np.savez(folder / "a.npz", x=np.arange(40.0), y=np.arange(3))
    return [folder / "a.npz"]


def _write_ragged(folder):
    lists = np.empty(2, object)
    lists[:] = [[1, 2], [3]]
    np.savez(folder / "a.npz", x=lists, y=np.arange(3))
    return [folder / "a.npz"]


def _arrays(reader):
    return lambda folder: lambda: _digest(*map(np.ndarray.tolist, reader(folder / "a.npz", "xy")))


def _archive(name, make):
    def write(folder):
        make(folder / name)
        return [folder / name]

    def read(folder):
        def run():
            origin = (folder / name).as_uri()
            cache = folder / f"written {os.getpid()}"  # there are no older ones
            got = keras.utils.get_file("d", origin=origin, extract=True, cache_dir=cache)
            files = sorted(path for path in pathlib.Path(got).rglob("*") if path.is_file())
            return _digest([(path.name, path.read_bytes()) for path in files])

        return run

    return write, read


def _tar(mode):
    def make(path):
        with tarfile.open(path, f"w:{mode}") as archive:
            for name in ("d/a.txt", "d/b.txt"):
                info = tarfile.TarInfo(name)
                info.size = 300
                archive.addfile(info, io.BytesIO(bytes(range(100)) * 3))

    return make


def _zip(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("d/a.txt", "d/b.txt"):
            archive.writestr(name, bytes(range(100)) * 3)


def _lookup(folder):
    return lambda: _digest(layers.StringLookup(vocabulary=folder / "words.txt").get_vocabulary())


def _write_words(folder):
    (folder / "words.txt").write_text("\n".join(f"word{i}" for i in range(20)))
    return [folder / "words.txt"]


def _write_image(kind):
    def write(folder):
        image = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(image).save(folder / f"image.{kind}")
        return [folder / f"image.{kind}"]

    return write


def _read_image(kind):
    path = f"image.{kind}"
    return lambda folder: lambda: _digest(np.asarray(keras.utils.load_img(folder / path)).tolist())


def _write_wave(folder):
    (folder / "sounds").mkdir()
    with wave.open(str(folder / "sounds" / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(200))
    return [folder / "sounds" / "a.wav"]


def _read_wave(folder):
    def run():
        data = keras.utils.audio_dataset_from_directory(
            folder / "sounds", labels=None, batch_size=1, shuffle=False
        )
        return _digest([batch.tolist() for batch in data])

    return run


def _write_texts(folder):
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("some words in a file " * 10)
    return [folder / "texts" / "a.txt"]


def _read_texts(folder):
    def run():
        data = keras.utils.text_dataset_from_directory(
            folder / "texts", labels=None, batch_size=1, shuffle=False
        )
        return _digest([list(batch) for batch in data])

    return run


def _parts(ending):
    def save(model, path):
        model.save_weights(path, max_shard_size=60 / 2**30)

    return _weights_file(f"m{ending}", save)


def _save_weights(model, path):
    model.save_weights(path)


FORMATS = {
    "safetensors model": _model_file("m.safetensors"),
    "keras archive": _model_file("m.keras"),
    "keras archive of text": _model_file("m.keras", with_text),
    "safetensors of text": _model_file("m.safetensors", with_text),
    "keras archive with hdf5": _model_file("m.keras", weights_format="h5"),
    "safetensors weights": _weights_file("m.safetensors", _save_weights),
    "hdf5 weights": _weights_file("m.weights.h5", _save_weights),
    "hdf5 of keras 2": _weights_file("m.h5", _legacy, is_checked=False),
    "hdf5 in parts": _parts(".weights.json"),
    "safetensors in parts": _parts(".safetensors.index.json"),
    "sharded checkpoint": _weights_file(
        "sharded", keras.distribution.save_sharded, load=keras.distribution.load_sharded
    ),
    "optimizer state": _weights_file(
        "m.safetensors",
        lambda model, path: model.save(path),
        load=keras.saving.load_optimizer_state,
    ),
    "backup": Format(_write_backup, _read_backup),
    "json config": Format(_write_json, _read_json, is_checked=False),
    "npz": Format(_write_npz, _arrays(_readers.read_npz)),
    "npz of lists": Format(_write_ragged, _arrays(_readers.read_object_npz)),
    "tar": Format(*_archive("a.tar", _tar("")), is_checked=False),
    "tar.gz": Format(*_archive("a.tar.gz", _tar("gz"))),
    "tar.bz2": Format(*_archive("a.tar.bz2", _tar("bz2"))),
    "tar.xz": Format(*_archive("a.tar.xz", _tar("xz"))),
    "zip": Format(*_archive("a.zip", _zip), is_checked=False),  # kinds of files are not
    "vocabulary": Format(_write_words, _lookup, is_checked=False),
    "png": Format(_write_image("png"), _read_image("png"), False, False),
    "jpeg": Format(_write_image("jpeg"), _read_image("jpeg"), False, False),
    "bmp": Format(_write_image("bmp"), _read_image("bmp"), False, False),
    "gif": Format(_write_image("gif"), _read_image("gif"), False, False),
    "wav": Format(_write_wave, _read_wave, is_checked=False),
    "text": Format(_write_texts, _read_texts, is_checked=False),
}


def damages(paths, flips, cuts, rng):
    """`(words, path, bytes)` of damaged files; flips and cuts are spread over the files."""
    for number in range(flips):
        path = paths[number % len(paths)]
        data = bytearray(path.read_bytes())
        # Headers are a small part, and the part that leads to other code.
        limit = len(data) if number % 4 else min(len(data), 512)
        place, bit = rng.randrange(limit), rng.randrange(8)
        data[place] ^= 1 << bit
        yield f"{path.name}: bit {bit} of byte {place}", path, bytes(data)
    for number in range(cuts):
        path = paths[number % len(paths)]
        data = path.read_bytes()
        length = rng.randrange(len(data)) if number >= len(paths) else 0
        yield f"{path.name}: {length} of {len(data)} bytes", path, data[:length]


def main(folder, flips, cuts, *names):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    folder = pathlib.Path(folder)
    arsenal.warm_up(folder / "warm")
    for name in names:
        good, kind = folder / name, FORMATS[name]
        good.mkdir()
        paths = kind.write(good)
        expected = kind.read(good)()
        made = damages(paths, int(flips), int(cuts), random.Random(name))
        for number, (words, path, data) in enumerate(made):
            whole = path.read_bytes()
            path.write_bytes(data)
            told = judge(words, kind, good, folder / f"{name} {number}")
            path.write_bytes(whole)
            told |= {"format": name, "is_other": told.get("result") != expected}
            print(json.dumps(told), flush=True)


def judge(words, kind, good, folder):
    """What the referee tells of the files in `good`, one of which is damaged."""
    return referee.judge(words, lambda _: kind.read(good), folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
