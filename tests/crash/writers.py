"""The ways in which the library writes files, each with a way to see which save a file is of.

A writer writes a number in so many places that a file of two saves shows.
"""

import csv
import os
import pathlib
import zipfile

import numpy as np
import torch

import torchkeras as keras
from torchkeras.callbacks.training_state import load_training_state
from torchkeras.utils.file_utils import extract_archive, fetch
from torchkeras.utils.graphviz import Dot

_UNITS = 128  # 3 * 128 * 128 floats: 200 kB


def make(number=0):
    """A model whose weights, and what Adam keeps, are all one number."""
    keras.utils.clear_session(free_memory=False)
    model = keras.Sequential([keras.Input((_UNITS,)), keras.layers.Dense(_UNITS)])
    model.compile(keras.optimizers.Adam(), "mse")
    model.optimizer.build(model.trainable_variables)
    for variable in [*model.weights, *model.optimizer.variables]:
        variable.assign(torch.full(variable.shape, number, dtype=variable.value.dtype))
    return model


def numbers_in(*arrays):
    found = set()
    for array in arrays:
        found.update(np.unique(np.asarray(array)).tolist())
    return found


def numbers_of(model, optimizer=True):
    own = model.optimizer.variables if optimizer else []
    return numbers_in(*(v.numpy() for v in [*model.weights, *own]))


class Writer:
    """One way to write.

    Attributes:
        files: list of str, what is in the folder afterwards.
    """

    files = ()

    def prepare(self, folder, number):
        """Make what `write` reads, beside the folder."""

    def write(self, folder, number):
        raise NotImplementedError

    def read(self, folder):
        """Set of the numbers that are there; None where there is nothing."""
        raise NotImplementedError


class Model(Writer):
    def __init__(self, name, **options):
        self.files, self._options = [name], options

    def write(self, folder, number):
        make(number).save(folder / self.files[0], **self._options)

    def read(self, folder):
        return numbers_of(keras.saving.load_model(folder / self.files[0]))


class Weights(Writer):
    def __init__(self, name):
        self.files = [name]

    def write(self, folder, number):
        make(number).save_weights(folder / self.files[0])

    def read(self, folder):
        model = make(-1)
        model.load_weights(folder / self.files[0])
        return numbers_of(model, optimizer=self.files[0].endswith("h5"))


class Checkpoint(Writer):
    def __init__(self, **options):
        self._options = options
        ending = ".weights.h5" if options.get("save_weights_only") else ".keras"
        self.files = ["folder", f"folder/model{ending}"]

    def write(self, folder, number):
        save = keras.callbacks.ModelCheckpoint(folder / self.files[1], **self._options)
        save.set_model(make(number))
        save.on_epoch_begin(0)
        save.on_train_batch_end(0, {})
        save.on_epoch_end(0, {})

    def read(self, folder):
        if self._options.get("save_weights_only"):
            return Weights(self.files[1]).read(folder)
        return Model(self.files[1]).read(folder)


class Backup(Writer):
    def __init__(self, **options):
        self._options = options
        self.files = ["backup", "backup/latest.safetensors"]
        if options.get("double_checkpoint"):
            self.files.append("backup/latest.safetensors.bkp")

    def write(self, folder, number):
        backup = keras.callbacks.BackupAndRestore(folder / "backup", **self._options)
        backup.set_model(make(number))
        if backup.save_freq == "epoch":
            backup.on_epoch_end(number)
        else:
            backup._current_epoch = number + 1
            backup.on_train_batch_end(number)

    def read(self, folder):
        found = set()
        for name in self.files[1:]:
            if name.endswith("bkp") and not (folder / name).exists():
                continue
            model = make(-1)
            progress, _, _ = load_training_state(str(folder / name), model)
            numbers = numbers_of(model) | {progress["epoch"] - 1.0}
            if name.endswith("bkp"):  # an earlier one, whole
                assert len(numbers) == 1, numbers
            else:
                found = numbers
        return found


class Sharded(Writer):
    def __init__(self, **options):
        self._options = options

    @property
    def files(self):
        return ["parts", "parts/checkpoint.json", "parts/save-*", "parts/save-*/*.safetensors"]

    def write(self, folder, number):
        save = keras.distribution.save_sharded(
            make(number), folder / "parts", step=number, **self._options
        )
        if save is not None:
            save.wait()

    def read(self, folder):
        model = make(-1)
        step = keras.distribution.load_sharded(model, folder / "parts")["step"]
        return numbers_of(model) | {float(step)}


class Consolidated(Model):
    def __init__(self):
        super().__init__("whole.safetensors")

    def prepare(self, folder, number):
        keras.distribution.save_sharded(make(number), folder.with_name("parts"))

    def write(self, folder, number):
        keras.distribution.consolidate(folder.with_name("parts"), folder / self.files[0])


class Editor(Writer):
    def __init__(self, name):
        self.files = [name]

    def prepare(self, folder, number):
        make(number).save_weights(folder.with_name(self.files[0]))

    def write(self, folder, number):
        editor = keras.saving.KerasFileEditor(folder.with_name(self.files[0]))
        editor.save(folder / self.files[0])

    def read(self, folder):
        model = make(-1)
        model.load_weights(folder / self.files[0])
        return numbers_of(model, optimizer=False)


class Log(Writer):
    """Each write is a line, whose cells are its number.

    Of a line of several pages a killed process leaves some. It has no end then, which tells a
    reader, and the next CSVLogger, that it is none.
    """

    files = ["log.csv"]

    def write(self, folder, number):
        log = keras.callbacks.CSVLogger(folder / "log.csv", append=True)
        log.on_train_begin()
        log.on_epoch_end(number, {f"value_{i}": f"{number:0200}" for i in range(100)})
        log.on_train_end()

    def read(self, folder):
        with open(folder / "log.csv", newline="") as file:
            lines = list(csv.DictReader(line for line in file if line.endswith("\n")))
        for line in lines:
            cells = {int(v) for k, v in line.items() if not k.startswith("val_")}
            assert len(cells) == 1 and len(line) == 201, line
        return {float(lines[-1]["epoch"])} if lines else None


class Columns(Writer):
    """Each write adds a column, for which the file is written anew."""

    files = ["log.csv"]

    def write(self, folder, number):
        log = keras.callbacks.CSVLogger(folder / "log.csv", append=True)
        log.on_train_begin()
        if log.keys is None:
            log.keys = []
            log.on_epoch_end(0, {})
            for epoch in range(1, 4000):
                log.on_epoch_end(epoch, {})
            log._close()
            log._open("a")
        log._add_columns([f"column_{number:03}"])
        log.on_train_end()

    def read(self, folder):
        with open(folder / "log.csv", newline="") as file:
            lines = list(csv.reader(file))
        assert len({len(line) for line in lines}) == 1
        if len(lines) < 4001:
            assert len(lines[0]) == 1
            return None
        return {float(lines[0][-1].removeprefix("column_"))}


class Download(Writer):
    files = ["datasets", "datasets/data.bin"]

    def prepare(self, folder, number):
        folder.with_name("source").write_bytes(np.full(2**20, number, "int32").tobytes())

    def write(self, folder, number):
        origin = folder.with_name("source").as_uri()
        fetch("data.bin", origin, cache_dir=folder, force_download=True)

    def read(self, folder):
        content = (folder / "datasets" / "data.bin").read_bytes()
        assert len(content) == 4 * 2**20
        return numbers_in(np.frombuffer(content, "int32"))


class Archive(Writer):
    """Of an archive each file is whole: it is unpacked at each `get_file`."""

    files = ["out", "out/a.bin", "out/b.bin"]

    def prepare(self, folder, number):
        with zipfile.ZipFile(folder.with_name("source.zip"), "w") as archive:
            for name in ("a.bin", "b.bin"):
                archive.writestr(name, np.full(2**18, number, "int32").tobytes())

    def write(self, folder, number):
        extract_archive(folder.with_name("source.zip"), folder / "out")

    def read(self, folder):
        found = []
        for name in ("a.bin", "b.bin"):
            content = (folder / "out" / name).read_bytes()
            assert len(content) == 2**20
            found.append(numbers_in(np.frombuffer(content, "int32")))
            assert len(found[-1]) == 1
        return found[1]  # the one that is written last


class Picture(Writer):
    files = ["image.bmp"]

    def write(self, folder, number):
        keras.utils.save_img(folder / "image.bmp", np.full((256, 256, 3), number), scale=False)

    def read(self, folder):
        return numbers_in(np.array(keras.utils.load_img(folder / "image.bmp")))


class Graph(Writer):
    files = ["graph.dot"]

    def write(self, folder, number):
        Dot(attributes={f"a{i}": number for i in range(20_000)}).write(folder / "graph.dot")

    def read(self, folder):
        lines = (folder / "graph.dot").read_text().splitlines()
        assert lines[-1] == "}" and len(lines) == 20_004
        return {float(line.split('"')[1]) for line in lines if line.startswith("a")}


WRITERS = {
    "keras": Model("model.keras"),
    "keras, h5": Model("model.keras", weights_format="h5"),
    "safetensors": Model("model.safetensors"),
    "weights.h5": Weights("model.weights.h5"),
    "weights.safetensors": Weights("model.safetensors"),
    "ModelCheckpoint": Checkpoint(),
    "ModelCheckpoint, batches": Checkpoint(save_freq=1, save_weights_only=True),
    "BackupAndRestore": Backup(),
    "BackupAndRestore, batches": Backup(save_freq=1),
    "BackupAndRestore, two": Backup(double_checkpoint=True),
    "save_sharded": Sharded(),
    "save_sharded, in a thread": Sharded(asynchronous=True),
    "consolidate": Consolidated(),
    "KerasFileEditor, h5": Editor("edited.weights.h5"),
    "KerasFileEditor, safetensors": Editor("edited.safetensors"),
    "CSVLogger": Log(),
    "CSVLogger, columns": Columns(),
    "get_file": Download(),
    "extract_archive": Archive(),
    "save_img": Picture(),
    "plot_model": Graph(),
}


def found_in(name, folder):
    """The number of the save that is there, or None; an error where it is not of one."""
    try:
        found = WRITERS[name].read(pathlib.Path(folder))
    except FileNotFoundError:
        return None
    if found is None:
        return None
    assert len(found) == 1, f"parts of several saves: {sorted(found)}"
    return int(found.pop())


def strays(name, folder):
    """What is in the folder besides the writer's own files."""
    folder = pathlib.Path(folder)
    own = {path for pattern in WRITERS[name].files for path in folder.glob(pattern)}
    there = {pathlib.Path(root) / n for root, d, f in os.walk(folder) for n in (*d, *f)}
    lacking = [pattern for pattern in WRITERS[name].files if not any(folder.glob(pattern))]
    several = [p for p in WRITERS[name].files if len(list(folder.glob(p))) > 1]
    return sorted(str(p.relative_to(folder)) for p in there - own) + lacking + several
