"""Hostile files, made by a script: what each holds, who reads it, and whether it may pass.

An `Attack` has a function that makes its files in a folder and returns the call that reads them.
All are to be refused in words, except those of `may_pass`, which are only to be cheap.
"""

import copy
import gzip
import io
import json
import os
import random
import socket
import tarfile
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import torchkeras as keras
from tests.saved_files import without_checksums, write_index
from torchkeras import layers

ATTACKS = {}
_GOOD = {}  # name: bytes of a file that is as it should be


@dataclass
class Attack:
    make: Any
    quick: bool = False
    may_pass: bool = False
    seconds: float = 2.0  # of processor time
    megabytes: float = 300.0


def attack(name, **settings):
    """Decorator: puts a function into `ATTACKS`."""

    def register(make):
        ATTACKS[name] = Attack(make, **settings)
        return make

    return register


def small():
    """The model that good files hold."""
    model = keras.Sequential(
        [
            keras.Input((3,), name="x"),
            layers.Dense(4, name="d"),
            layers.Dropout(0.1, seed=1, name="o"),
        ],
        name="small",
    )
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 4)))
    return model


def warm_up(folder):
    """Load one good file of each kind: imports and first calls are no attack's cost."""
    folder.mkdir(parents=True, exist_ok=True)
    model = small()
    for name in ("good.safetensors", "good.keras", "good.weights.h5"):
        path = folder / name
        (model.save_weights if name.endswith("h5") else model.save)(path)
        (model.load_weights if name.endswith("h5") else keras.saving.load_model)(path)
        _GOOD[name] = path.read_bytes()
    model.save(folder / "other.keras", weights_format="h5")
    _GOOD["other.keras"] = (folder / "other.keras").read_bytes()
    keras.saving.load_model(folder / "other.keras")
    keras.models.model_from_json(model.to_json())
    keras.metrics.AUC()
    backup = keras.callbacks.BackupAndRestore(folder / "backup", delete_checkpoint=False)
    model.fit(np.ones((2, 3)), np.ones((2, 4)), verbose=0, callbacks=[backup])
    _GOOD["backup"] = (folder / "backup" / "latest.safetensors").read_bytes()
    resume(folder / "backup")()
    keras.distribution.save_sharded(model, folder / "sharded")
    keras.distribution.load_sharded(model, folder / "sharded")


# Files of models


def good(folder, name):
    """A good file in the folder."""
    path = folder / name
    path.write_bytes(_GOOD[name])
    return path


def config():
    """The config of the small model, to be changed."""
    archive = zipfile.ZipFile(io.BytesIO(_GOOD["good.keras"]))
    return json.loads(archive.read("config.json"))


def rezipped(path, changes, compression=zipfile.ZIP_DEFLATED):
    """The archive at `path` with other members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members.update(changes)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def load(path):
    """The call that makes a model of a file."""
    return lambda: keras.saving.load_model(path)


def with_config(folder, changed, name="good.keras"):
    """A model file with another config, and the call that loads it."""
    path = good(folder, name)
    text = changed if isinstance(changed, str) else json.dumps(changed)
    if name.endswith(".keras"):
        rezipped(path, {"config.json": text})
    else:
        with safe_open(path, "pt") as file:
            metadata = without_checksums(file.metadata())
        save_file(load_file(path), path, {**metadata, "config": text})
    return load(path)


def layer(class_name, **settings):
    """Config of a layer of torchkeras."""
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": {"name": class_name.lower(), **settings},
        "registered_name": None,
    }


def stack(folder, *more, name="good.safetensors"):
    """A file whose Sequential has other layers."""
    changed = config()
    changed["config"]["layers"] = [changed["config"]["layers"][0], *more]
    changed["config"].pop("build_input_shape", None)
    return with_config(folder, changed, name)


def functional(*steps):
    """Config of a functional model of an Input(3) and steps, each on what the one before made."""
    x = keras.Input((3,), name="x")
    changed = json.loads(keras.Model(x, torch.relu(x)).to_json())
    start, example = changed["config"]["layers"]
    changed["config"]["layers"] = [start]
    before = "x"
    for i, step in enumerate(steps):
        text = json.dumps(example["inbound_nodes"]).replace('["x", 0, 0]', f'["{before}", 0, 0]')
        node = json.loads(text)
        node[0]["args"] += step.pop("more_args", [])
        node[0]["kwargs"].update(step.pop("more_kwargs", {}))
        before = f"step{i}"
        made = {"registered_name": None, **step}
        made["config"] = {**made["config"], "name": before}
        changed["config"]["layers"].append({**made, "name": before, "inbound_nodes": node})
    changed["config"]["output_layers"] = [[before, 0, 0]]
    return changed


def of_torch(function, *args, **kwargs):
    """A step that is a torch function."""
    return {
        "module": "torch",
        "class_name": "function",
        "config": {"function": function},
        "more_args": list(args),
        "more_kwargs": kwargs,
    }


def of_ops(class_name, *args, **settings):
    """A step that is a function of keras.ops."""
    return {
        "module": "keras.src.ops.numpy",
        "class_name": class_name,
        "config": settings,
        "registered_name": class_name,
        "more_args": list(args),
    }


def constant(value, dtype="int64"):
    return {"class_name": "__tensor__", "config": {"value": value, "dtype": dtype}}


_FAR = constant([[10**9] * 3] * 48)
_STEPS = {
    "ctc_loss": of_torch("torch.ctc_loss", _FAR, constant([3] * 48), constant([3] * 48)),
    "embedding_bag": of_torch("torch.embedding_bag", constant([10**9]), constant([0])),
    "reshape to minus one": of_torch("torch.reshape", [-5, 3]),
    "narrow far": of_torch("torch.Tensor.narrow", 0, 0, 10**9),
    "torch.load": of_torch("torch.load"),
    "torch.hub.load": of_torch("torch.hub.load"),
    "repeat": of_ops("Repeat", repeats=[1, 10**6, -(10**6)], axis=0),
    "huge reshape": of_ops("Reshape", newshape=[2**40, 3]),
    "code of a lambda": {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {
            "function": {
                "class_name": "__lambda__",
                "config": {"code": "4wAAAA==", "defaults": None},
            }
        },
    },
    "os.system": {
        "module": "os",
        "class_name": "system",
        "config": {"command": "touch /tmp/canary"},
    },
    "our own loader": {
        "module": "keras.saving",
        "class_name": "load_model",
        "config": {"filepath": "x"},
    },
    "our own download": {
        "module": "keras.utils",
        "class_name": "get_file",
        "config": {"origin": "http://127.0.0.1"},
    },
    "a subprocess": {"module": "subprocess", "class_name": "Popen", "config": {"args": ["true"]}},
}
for _name, _step in _STEPS.items():
    ATTACKS[f"step: {_name}"] = Attack(
        lambda folder, step=_step: with_config(folder, functional(json.loads(json.dumps(step)))),
        quick=_name in ("ctc_loss", "repeat", "os.system"),
        may_pass=False,
    )

_LAYERS = {
    "vocabulary of the machine": layer("StringLookup", vocabulary="/etc/passwd"),
    "orthogonal": layer(
        "Dense",
        units=15_000,
        kernel_initializer={
            "module": "keras.initializers",
            "class_name": "Orthogonal",
            "config": {},
        },
    ),
    "dense of terabytes": layer("Dense", units=2**40),
    "dense of 200 MB": layer("Dense", units=2**24),
    "embedding": layer("Embedding", input_dim=2**31, output_dim=2**10),
    "lstm": layer("LSTM", units=2**17),
    "huge repeat": layer("RepeatVector", n=2**50),
    "huge input": layer("Reshape", target_shape=[2**31, 2**31, 2**31]),
    "discretization": layer("Discretization", num_bins=2**31),
    "mel": layer("MelSpectrogram", num_mel_bins=2**20, fft_length=2**20),
    "stft": layer("STFTSpectrogram", fft_length=2**30, frame_length=2**30),
    "category encoding": layer("CategoryEncoding", num_tokens=2**60),
    "hashing": layer("Hashing", num_bins=2**60, output_mode="one_hot"),
    "negative units": layer("Dense", units=-1),
    "groups": layer("GroupNormalization", groups=2**40),
}
for _name, _layer in _LAYERS.items():
    ATTACKS[f"layer: {_name}"] = Attack(
        lambda folder, made=_layer: stack(folder, made),
        quick=_name in ("orthogonal", "vocabulary of the machine"),
        may_pass=_name in ("discretization",),
    )


def compiled_with(folder, metric):
    changed = config()
    changed["compile_config"]["metrics"] = [metric]
    return with_config(folder, changed, "good.safetensors")


def metric(class_name, **settings):
    return {
        "module": "keras.metrics",
        "class_name": class_name,
        "config": settings,
        "registered_name": None,
    }


_METRICS = {
    "auc": metric("AUC", num_thresholds=2 * 10**8),
    "auc of 16 million": metric("AUC", num_thresholds=2**24),
    "sensitivity": metric("SensitivityAtSpecificity", specificity=0.5, num_thresholds=2 * 10**8),
    "recall": metric("RecallAtPrecision", precision=0.5, num_thresholds=10**8),
    "iou": metric("MeanIoU", num_classes=50_000),
    "one hot iou": metric("OneHotIoU", num_classes=100, target_class_ids=[0] * 10 + [2**40]),
    "auc labels": metric("AUC", num_labels=2**30, multi_label=True),
}
for _name, _metric in _METRICS.items():
    ATTACKS[f"metric: {_name}"] = Attack(
        lambda folder, made=_metric: compiled_with(folder, made),
        quick=_name == "auc",
        may_pass=_name in ("one hot iou", "auc labels"),
    )


@attack("many thresholds in a row", quick=True)
def _(folder):
    changed = config()
    changed["compile_config"]["metrics"] = [metric("AUC", num_thresholds=2**20 - 1)] * 200
    return with_config(folder, changed)


@attack("metrics: 20000", may_pass=True)
def _(folder):
    changed = config()
    changed["compile_config"]["metrics"] = ["mae"] * 20_000
    return with_config(folder, changed)


@attack("layers: 20000 in a Sequential", may_pass=True, seconds=12)  # 0.2 ms a layer
def _(folder):
    made = [layer("Activation", activation="relu") for _ in range(20_000)]
    for i, one in enumerate(made):
        one["config"]["name"] = f"a{i}"
    return stack(folder, *made, name="good.keras")


@attack("layers: 5000 in a Sequential, never built", may_pass=True)
def _(folder):
    made = [layer("Dense", units=1) for _ in range(5_000)]
    for i, one in enumerate(made):
        one["config"]["name"] = f"a{i}"
    changed = config()
    changed["config"]["layers"] = made
    changed["config"].pop("build_input_shape", None)
    return with_config(folder, changed)


@attack("layers: 4000 steps backwards", may_pass=True)
def _(folder):
    changed = functional(*[of_torch("torch.relu") for _ in range(4000)])
    changed["config"]["layers"].reverse()
    return with_config(folder, changed)


@attack("layers: one of many unlike names", may_pass=True)
def _(folder):
    made = [layer("Activation", activation="relu") for _ in range(5000)]
    for i, one in enumerate(made):
        one["config"]["name"] = f"activation_{i}" if i % 2 else f"a.{i}"
    return stack(folder, *made, name="good.keras")


@attack("nested models: 300 deep", quick=True)
def _(folder):
    changed = config()
    inner = changed["config"]["layers"][1]
    for i in range(300):
        inner = {**layer("Sequential", layers=[inner]), "module": "keras"}
        inner["config"]["name"] = f"s{i}"
    changed["config"]["layers"][1] = inner
    return with_config(folder, changed)


@attack("json: nested lists")
def _(folder):
    return with_config(
        folder, '{"class_name": "Sequential", "config": ' + "[" * 10**6 + "]" * 10**6 + "}"
    )


@attack("json: 32 MB of empty lists in 300 KB", quick=True)
def _(folder):
    return with_config(folder, '{"a": [' + "[]," * 10**7 + "[]]}")


@attack("json: 10 MB of empty lists, not compressed")
def _(folder):
    return with_config(folder, '{"a": [' + "[]," * 10**7 + "[]]}", "good.safetensors")


@attack("json: model_from_json of nested lists")
def _(folder):
    text = '{"class_name": "Sequential", "config": ' + "[" * 10**5 + "]" * 10**5 + "}"
    return lambda: keras.models.model_from_json(text)


@attack("json: a number of a million digits")
def _(folder):
    return with_config(
        folder, '{"class_name": "Sequential", "config": {"units": ' + "9" * 10**6 + "}}"
    )


@attack("json: numbers of 4000 digits")
def _(folder):
    return stack(folder, layer("Dense", units=int("9" * 4000)))


@attack("zip: deflated zeros as weights", quick=True)
def _(folder):
    values = {"d.kernel": torch.zeros(2**29)}
    save_file(values, folder / "zeros")
    path = good(folder, "good.keras")
    return load(rezipped(path, {"model.weights.safetensors": (folder / "zeros").read_bytes()}))


@attack("zip: 19 MB that grow a hundredfold")
def _(folder):
    noise = np.random.default_rng(0).bytes(19 * 2**20)
    data = noise + bytes(2**30 + 2**29)
    return load(rezipped(good(folder, "good.keras"), {"model.weights.safetensors": data}))


@attack("zip: a name that leaves")
def _(folder):
    return load(rezipped(good(folder, "good.keras"), {"assets/../../x": b"x"}))


@attack("zip: 100000 members")
def _(folder):
    return load(rezipped(good(folder, "good.keras"), {f"assets/a{i}": b"" for i in range(10**5)}))


@attack("zip: half of it")
def _(folder):
    path = good(folder, "good.keras")
    path.write_bytes(path.read_bytes()[:-200])
    return load(path)


# HDF5


def h5(folder, write, name="other.keras"):
    """A file with HDF5 weights that `write` has changed, and the call that loads it."""
    import h5py

    if name.endswith(".h5"):
        path = good(folder, "good.weights.h5")
        with h5py.File(path, "r+") as file:
            del file.attrs["torchkeras.checksums0"]
            write(file)
        model = small()
        return lambda: model.load_weights(path)
    path = good(folder, name)
    inner = folder / "inner.h5"
    with zipfile.ZipFile(path) as archive:
        inner.write_bytes(archive.read("model.weights.h5"))
    with h5py.File(inner, "r+") as file:
        write(file)
    return load(rezipped(path, {"model.weights.h5": inner.read_bytes()}, zipfile.ZIP_STORED))


def _bomb(where, shape=(2**29,), dtype="float32"):
    def write(file):
        if where in file:
            del file[where]
        file.create_dataset(
            where,
            shape,
            dtype,
            data=np.zeros(1, dtype)[0] + np.zeros(shape, dtype),
            compression="gzip",
            compression_opts=9,
            chunks=(2**20,),
        )

    return write


for _kind in ("other.keras", "good.weights.h5"):
    for _place in (
        "layers/dense/vars/0",
        "optimizer/vars/3",
        "torchkeras/optimizer/vars/frame",
        "torchkeras/seeds/vars/o.seed_generator_state",
        "optimizer/vars/9",
    ):
        ATTACKS[f"h5: zeros in {_place} of {_kind}"] = Attack(
            lambda folder, kind=_kind, place=_place: h5(folder, _bomb(place, (2**27,)), kind),
            quick=_place == "layers/dense/vars/0",
            may_pass="vars/0" not in _place,  # the state of an optimizer is left out with a warning
        )


@attack("h5: a link to another file", quick=True)
def _(folder):
    import h5py

    def write(file):
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/passwd", "/")

    return h5(folder, write, "good.weights.h5")


@attack("h5: an array stored elsewhere")
def _(folder):
    def write(file):
        del file["layers/dense/vars/0"]
        file.create_dataset("layers/dense/vars/0", (3, 4), "float32", external="/etc/passwd")

    return h5(folder, write, "good.weights.h5")


@attack("h5: 100000 groups", may_pass=True)
def _(folder):
    def write(file):
        for i in range(30_000):
            file.create_group(f"layers/g{i}")

    return h5(folder, write, "good.weights.h5")


@attack("h5: half of it")
def _(folder):
    path = good(folder, "good.weights.h5")
    path.write_bytes(path.read_bytes()[: len(_GOOD["good.weights.h5"]) // 2])
    model = small()
    return lambda: model.load_weights(path)


# safetensors


@attack("safetensors: half of it", quick=True)
def _(folder):
    path = good(folder, "good.safetensors")
    path.write_bytes(path.read_bytes()[:-7])
    return load(path)


@attack("safetensors: a header of 400000 names", seconds=9, megabytes=500)  # in 28 MB
def _(folder):
    header = {
        f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(400_000)
    }
    text = json.dumps(header).encode()
    path = folder / "x.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    return load(path)


@attack("safetensors: a state of another optimizer that is large", may_pass=True)
def _(folder):
    path = good(folder, "good.safetensors")
    with safe_open(path, "pt") as file:
        metadata = without_checksums(file.metadata())
    values = load_file(path)
    values["optimizer/2"] = torch.zeros(2**27)
    save_file(values, path, metadata)
    return load(path)


# Kinds of files


def _special(folder, kind, name):
    path = folder / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        where = os.getcwd()
        os.chdir(folder)  # the paths of sockets are short
        socket.socket(socket.AF_UNIX).bind(name)
        os.chdir(where)
    elif kind == "link to itself":
        path.symlink_to(path)
    return path


def _weights_into(path):
    model = small()
    return lambda: model.load_weights(path)


def _optimizer_into(path):
    model = small()
    return lambda: keras.saving.load_optimizer_state(model, path)


_READERS = {
    "load_model .keras": ("m.keras", load),
    "load_model .safetensors": ("m.safetensors", load),
    "load_weights .safetensors": ("m.safetensors", _weights_into),
    "load_weights .weights.h5": ("m.weights.h5", _weights_into),
    "an index of weights": ("m.safetensors.index.json", _weights_into),
    "Keras's index of weights": ("m.weights.json", _weights_into),
    "load_optimizer_state": ("m.safetensors", _optimizer_into),
    "a backup": ("latest.safetensors", lambda path: resume(path.parent)),
    "an index": ("checkpoint.json", lambda path: sharded_into(path.parent)),
    "an archive": ("a.tar", lambda path: unpacked(path)),
    "an array": ("a.npz", lambda path: lambda: keras.datasets.mnist.load_data(path)),
    "an image": ("a.png", lambda path: lambda: keras.utils.load_img(path)),
    "a feature space": ("f.keras", lambda path: lambda: keras.saving.load_model(path)),
}
for _reader, (_file, _call) in _READERS.items():
    for _kind in ("pipe", "folder", "device", "socket", "link to itself"):
        ATTACKS[f"{_kind} for {_reader}"] = Attack(
            lambda folder, kind=_kind, file=_file, call=_call: call(_special(folder, kind, file)),
            quick=_kind == "pipe",
            may_pass=False,
        )


# Weights in several files


def _place_in_index(place, ending=".safetensors"):
    """An index that names something else than a file beside it, if that is there."""

    def make(folder):
        inner = folder / "inner"
        inner.mkdir()
        small().save_weights(inner / f"m{ending}")
        small().save_weights(folder / f"real{ending}")
        os.mkfifo(folder / f"pipe{ending}")
        (folder / f"folder{ending}").mkdir()
        name = "d.kernel" if ending == ".safetensors" else "/layers/dense/vars"
        index = {"metadata": {}, "weight_map": {name: f"{place}{ending}"}}
        form = ".safetensors.index.json" if ending == ".safetensors" else ".weights.json"
        (inner / f"x{form}").write_text(json.dumps(index))
        return _weights_into(inner / f"x{form}")

    return make


for _place in ("../real", "/proc/self/root/etc", "../pipe", "../folder", "..", "", "m\0", "absent"):
    for _ending in (".safetensors", ".weights.h5"):
        ATTACKS[f"set of weights{_ending}: {_place!r}"] = Attack(
            _place_in_index(_place, _ending), quick=_place == "../real", may_pass=False
        )


@attack("set of weights: a hundred thousand files")
def _(folder):
    places = {f"w{i}": f"m-{i}.safetensors" for i in range(10**5)}
    (folder / "x.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return _weights_into(folder / "x.safetensors.index.json")


# Backups


def resume(folder, watch=None):
    """The call of a `fit` that goes on from a backup; afterwards the model must be as it was."""
    model = small()

    def run():
        before = fingerprint(model)
        backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
        stop = keras.callbacks.EarlyStopping(monitor="loss", patience=3)
        try:
            model.fit(
                np.ones((2, 3)), np.ones((2, 4)), epochs=2, verbose=0, callbacks=[backup, stop]
            )
            torch.rand(3), np.random.random(), random.random()
        except Exception:
            if fingerprint(model) != before:
                raise AssertionError("a refused backup has changed something") from None
            raise

    return run


def fingerprint(model):
    """All that a load could change, as a string."""
    values = [v.value.tolist() for v in (*model.variables, *model.optimizer.variables)]
    states = random.getstate(), np.random.get_state(), torch.get_rng_state().tolist()
    return repr((values, states, model.optimizer.built))


def backup(folder, change):
    """A backup whose description or tensors are changed, and the call that goes on from it."""
    path = folder / "latest.safetensors"
    path.write_bytes(_GOOD["backup"])
    with safe_open(path, "pt") as file:
        metadata = without_checksums(file.metadata())
    description, values = json.loads(metadata["training"]), load_file(path)
    made = change(description, values)
    text = made if isinstance(made, str) else json.dumps(description)
    save_file(values, path, {**metadata, "training": text})
    return resume(folder)


def _set(*keys, value):
    def change(description, values):
        place = description
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def _tensor(name, value):
    def change(description, values):
        if value is None:
            values.pop(name)
        else:
            values[name] = value

    return change


def _random(generator, change_state):
    """Changes the frame of a random state."""

    def change(description, values):
        (state,) = description["random"]["list"]
        frames = dict((key, frame) for key, frame in state["dict"])
        change_state(frames[generator], values)

    return change


def _pos(frame, values):
    inner = dict((k, v) for k, v in frame["dict"])["state"]
    for item in inner["dict"]:
        if item[0] == "pos":
            item[1] = 2**30


def _states(*items):
    return _set("callbacks", value={"list": [{"list": list(item)} for item in items]})


_BACKUPS = {
    "epoch -5": _set("progress", "epoch", value=-5),
    "epoch of a float": _set("progress", "epoch", value=1.5),
    "epoch of a string": _set("progress", "epoch", value="1"),
    "epoch true": _set("progress", "epoch", value=True),
    "no epoch": _set("progress", value={}),
    "progress of a list": _set("progress", value=[1]),
    "description of a list": lambda description, values: "[]",
    "description that is deep": lambda d, v: "[" * 10**5 + "]" * 10**5,
    "callbacks deep": lambda d, v: json.dumps({**d, "callbacks": "C"}).replace(
        '"C"', '{"list": [' * 900 + "]}" * 900
    ),
    "callbacks of another form": _set("callbacks", value={"list": [1, 2]}),
    "callbacks null": _set("callbacks", value=None),
    "callback state of a list": _states(["EarlyStopping", {"list": []}]),
    "callback state of a string": _states(["EarlyStopping", "x"]),
    "callback of three": _states(["EarlyStopping", {"dict": []}, 3]),
    "callback that waits for words": _states(["EarlyStopping", {"dict": [["wait", "x"]]}]),
    "callback with a best of None": _states(["EarlyStopping", {"dict": [["best", {"list": []}]]}]),
    "history of numbers": _states(["History", {"dict": [["epoch", 3], ["history", 4]]}]),
    "array of nowhere": _states(["EarlyStopping", {"dict": [["best", {"array": 10**6}]]}]),
    "array before all": _states(["EarlyStopping", {"dict": [["best", {"array": -1}]]}]),
    "array of a string": _states(["EarlyStopping", {"dict": [["best", {"array": "x"}]]}]),
    "key that is a list": _states(["EarlyStopping", {"dict": [[{"list": []}, 1]]}]),
    "frame of another kind": _states(["EarlyStopping", {"set": [1]}]),
    "random of a number": _set("random", value=3),
    "random of nothing": _set("random", value={"list": []}),
    "numpy at 2**30": _random("numpy", _pos),
    "seed of another shape": _tensor("seeds/0", torch.zeros(7, dtype=torch.int64)),
    "seed of floats": _tensor("seeds/0", torch.zeros(2)),
    "seed of bools": _tensor("seeds/0", torch.zeros(2, dtype=torch.bool)),
    "no seed": _tensor("seeds/0", None),
    "weight of another shape": _tensor("weights/d.kernel", torch.zeros(2, 2)),
    "weight of complex numbers": _tensor(
        "weights/d.kernel", torch.zeros(3, 4, dtype=torch.complex64)
    ),
    "weight of bytes": _tensor("weights/d.kernel", torch.zeros(3, 4, dtype=torch.uint8)),
    "weight too many": _tensor("weights/e.kernel", torch.zeros(3)),
    "no weight": _tensor("weights/d.kernel", None),
    "optimizer of another shape": _tensor("optimizer/2", torch.zeros(5)),
    "optimizer with less": _tensor("optimizer/5", None),
    "optimizer of complex numbers": _tensor(
        "optimizer/2", torch.zeros(3, 4, dtype=torch.complex64)
    ),
    "optimizer with a gap": _tensor("optimizer/3", None),
    "optimizer too many": _tensor("optimizer/6", torch.zeros(5)),
    "optimizer frame of a list": _set("optimizer", value=[]),
    "optimizer frame of a string": _set("optimizer", value="x"),
    "optimizer frame of torch": _set("optimizer", value={"class_name": "Adam"}),
    "optimizer frame of others": _set("optimizer", value={"variables": ["d.kernel"]}),
    "optimizer frame of numbers": _set("optimizer", value={"variables": [[1]]}),
    "optimizer frame of a weight twice": _set("optimizer", value={"variables": ["d.kernel"] * 2}),
}
for _name, _change in _BACKUPS.items():
    ATTACKS[f"backup: {_name}"] = Attack(
        lambda folder, change=_change: backup(folder, change),
        quick=_name in ("epoch -5", "numpy at 2**30", "seed of another shape"),
        may_pass=_name in ("epoch true", "weight of bytes", "history of numbers"),
    )


# Sharded checkpoints


def sharded_into(folder):
    model = small()

    def run():
        before = fingerprint(model)
        try:
            keras.distribution.load_sharded(model, folder)
        except Exception:
            if fingerprint(model) != before:
                raise AssertionError("a refused checkpoint has changed something") from None
            raise

    return run


def _sharded(change, read=sharded_into):
    """Makes a sharded checkpoint that `change(folder, data, index)` changes."""

    def make(folder):
        keras.distribution.save_sharded(small(), folder)
        index = json.loads((folder / "checkpoint.json").read_text())
        data = folder / index["data"]
        made = change(data, index)
        if made is None:
            write_index(folder / "checkpoint.json", index)
        else:
            (folder / "checkpoint.json").write_text(made)
        return read(folder)

    return make


def _whole(folder):
    return lambda: keras.distribution.consolidate(folder, folder / "whole.safetensors")


def _rewrite(change):
    """Changes the header and tensors of the only file of a checkpoint."""

    def rewrite(data, index):
        (path,) = data.glob("*.safetensors")
        with safe_open(path, "pt") as file:
            metadata = without_checksums(file.metadata() or {})
        values = load_file(path)
        change(values, metadata)
        path.unlink()
        save_file(values, path, metadata)
        index["files"][path.name] = path.stat().st_size

    return rewrite


def _offset(values, metadata):
    info = json.loads(metadata["DCP_SHARDING_INFO"])
    info["d.kernel"]["saved_offsets"] = [1, 0]
    metadata["DCP_SHARDING_INFO"] = json.dumps(info)


def _foreign(data, index):
    save_file({"d.kernel": torch.full((3, 4), 7.0)}, data / "foreign.safetensors")


def _in_index(*keys, value):
    def change(data, index):
        place = index
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def _pipe_as_data(data, index):
    (path,) = data.glob("*.safetensors")
    path.unlink()
    os.mkfifo(path)
    index["files"][path.name] = 0


_SHARDED = {
    "an offset": _rewrite(_offset),
    "no sharding info": _rewrite(lambda values, metadata: metadata.clear()),
    "a weight of another dtype": _rewrite(
        lambda values, metadata: values.update(
            {"d.kernel": torch.zeros(3, 4, dtype=torch.complex64)}
        )
    ),
    "a seed of another shape": _rewrite(
        lambda values, metadata: values.update({"seeds/o.seed_generator_state": torch.zeros(9)})
    ),
    "an optimizer of another shape": _rewrite(
        lambda values, metadata: values.update({"optimizer/2": torch.zeros(9)})
    ),
    "an optimizer of a word": _rewrite(
        lambda values, metadata: values.update({"optimizer/x": torch.zeros(9)})
    ),
    "a foreign file": _foreign,
    "a pipe as data": _pipe_as_data,
    "a folder that leaves": _in_index("data", value="../save-x"),
    "files of another form": _in_index("files", value=["x"]),
    "a file that leaves": lambda data, index: index["files"].update({"../../x": 3}),
    "metadata null": _in_index("metadata", value=None),
    "aliases of a list": _in_index("metadata", "aliases", value="[1]"),
    "aliases that are deep": _in_index("metadata", "aliases", value="[" * 10**5 + "]" * 10**5),
    "an optimizer frame of a list": _in_index("metadata", "optimizer", value="[]"),
    "an optimizer frame of nothing": _in_index("metadata", "optimizer", value="{}"),
    "an index of a list": lambda data, index: "[]",
    "an index that is deep": lambda data, index: "[" * 10**5 + "]" * 10**5,
    "an index of 60 MB": lambda data, index: (
        json.dumps({**index, "a": []})[:-3] + "[]," * 2 * 10**7 + "[]]}"
    ),
}
for _name, _change in _SHARDED.items():
    for _read in (sharded_into, _whole):
        ATTACKS[f"sharded, {'load' if _read is sharded_into else 'consolidate'}: {_name}"] = Attack(
            _sharded(_change, _read),
            quick=_name in ("an offset", "a foreign file"),
            may_pass=_name in ("a foreign file", "an optimizer frame of nothing")
            or (
                _read is _whole
                and _name
                not in (
                    "an offset",
                    "a pipe as data",
                    "an index of a list",
                    "an index that is deep",
                    "an index of 60 MB",
                    "files of another form",
                    "a file that leaves",
                    "a folder that leaves",
                    "metadata null",
                )
            )
            or _name == "no sharding info",
        )


# Archives of data sets


def unpacked(path):
    folder = path.parent / "written"
    return lambda: keras.utils.get_file("x", origin=path.as_uri(), extract=True, cache_dir=folder)


def _tar(folder, *members):
    path = folder / "a.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, data, kind in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), kind
            archive.addfile(info, io.BytesIO(data))
    return unpacked(path)


def _raw_header(name, size, kind, extra=b""):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def _gzipped(folder, *chunks):
    path = folder / "a.tar.gz"
    with gzip.open(path, "wb", 6) as file:
        for chunk in chunks:
            file.write(chunk)
    return unpacked(path)


@attack("tar: a PAX header of a gigabyte", quick=True)
def _(folder):
    size = 2**30
    return _gzipped(
        folder, _raw_header("p", size, tarfile.XHDTYPE), *[b"1" * 2**20] * 1024, bytes(1024)
    )


@attack("tar: a PAX header of 30 MB of records")
def _(folder):
    record = b"12 aa=bbbbb\n"
    data = record * (2**25 // 12)
    return _gzipped(
        folder,
        _raw_header("p", len(data), tarfile.XHDTYPE),
        data + bytes(-len(data) % 512),
        _raw_header("f", 0, tarfile.REGTYPE),
        bytes(1024),
    )


@attack("tar: a name of a gigabyte")
def _(folder):
    size = 2**30
    return _gzipped(
        folder,
        _raw_header("n", size, tarfile.GNUTYPE_LONGNAME),
        *[b"a" * 2**20] * 1024,
        _raw_header("f", 0, tarfile.REGTYPE),
        bytes(1024),
    )


@attack("tar: 2 GB of holes", quick=True)
def _(folder):
    info = tarfile.TarInfo("s")
    info.size, info.type = 512, tarfile.REGTYPE
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "s",
        "GNU.sparse.realsize": str(2**31),
    }
    return _gzipped(
        folder, info.tobuf(tarfile.PAX_FORMAT), b"1\n0\n0\n".ljust(512, b"\0"), bytes(1024)
    )


@attack("tar: zeros that deflate a thousandfold")
def _(folder):
    return _gzipped(
        folder, _raw_header("f", 2**31, tarfile.REGTYPE), *[bytes(2**20)] * 2048, bytes(1024)
    )


@attack("tar: a million files")
def _(folder):
    header = _raw_header("f", 0, tarfile.REGTYPE)
    return _gzipped(folder, *[header * 1000] * 1000, bytes(1024))


@attack("tar: a name that leaves", quick=True)
def _(folder):
    return _tar(folder, ("../x", b"x", tarfile.REGTYPE))


@attack("tar: a device")
def _(folder):
    return _tar(folder, ("x", b"", tarfile.CHRTYPE))


@attack("zip of data: zeros")
def _(folder):
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x", "w", force_zip64=True) as file:
            for _ in range(2048):
                file.write(bytes(2**20))
    return unpacked(path)


@attack("zip of data: shared bytes")
def _(folder):
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", bytes(2**24))
        first = archive.infolist()[0]
        for i in range(200):
            twin = copy.copy(first)
            twin.filename = twin.orig_filename = f"x{i}"
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
    return unpacked(path)
