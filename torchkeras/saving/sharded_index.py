"""The folder of a sharded checkpoint, and its index, which makes what lies there a checkpoint:

| in the folder | what |
| --- | --- |
| `checkpoint.json` | where the data is, its files, sizes and checksums, the model's config |
| `save-.../*.safetensors` | tensors and parts of tensors, under the names of a model file |

The data of a save lies in a folder of its own, and `checkpoint.json` is replaced when all of it is
there, as process 0 has seen. So whatever is killed at whatever time leaves the checkpoint before,
or the new one. The parts are written and read by `torch.distributed.checkpoint`, on any number of
processes, and reading them runs no code.
"""

import contextlib
import json
import math
import os
import shutil
import warnings

from safetensors import SafetensorError

from torchkeras.core.files import open_regular
from torchkeras.distribution import process_group
from torchkeras.saving import atomic
from torchkeras.saving.checksums import checksum_of_file, checksum_of_json, damaged
from torchkeras.saving.messages import clipped, json_object, unreadable
from torchkeras.saving.safetensors_format import check_header

FORMAT = 1
_INDEX = "checkpoint.json"
_MAX_INDEX_BYTES = 32 * 2**20


def commit(folder, description, files):
    """Make what was written the checkpoint of the folder, and remove the one before."""
    # torch has flushed the files; their names must be on the disk before the index tells of them.
    atomic.flush_folder(os.path.join(folder, description["data"]))
    atomic.flush_folder(folder)
    index = {**description, "processes": process_group.world_size(), "files": files}
    index["checksum"] = checksum_of_json(index)
    with atomic.atomic_write(os.path.join(folder, _INDEX)) as temporary:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(index, file)
    for name in os.listdir(folder):
        if name.startswith("save-") and name != description["data"]:
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def part_checksums(path):
    """`[that of the header, {name: that of the tensor}]` of a file of a checkpoint."""
    with open_regular(path, most_bytes=None) as file:
        header = check_header(file, path)
        start, found = file.tell(), {}
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                file.seek(start + begin)
                found[name] = checksum_of_file(file, end - begin)
        return [checksum_of_json(header), found]


def check_parts(folder, index, files):
    """Raise where the tensors in some files of a checkpoint are not as they were written.

    The index of an earlier version has no checksums: nothing is compared.

    Raises:
        DamagedFileError: a tensor is another one.
        OSError: a file cannot be read.
        ValueError: it is no file of a checkpoint.
    """
    for file in files if "checksums" in index else ():
        path = os.path.join(folder, index["data"], file)
        try:
            _, found = part_checksums(path)
        except (LookupError, TypeError) as error:
            raise unreadable(path, error) from error
        _, expected = index["checksums"][file]
        for name in {**expected, **found}:
            if found.get(name) != expected.get(name):
                raise damaged(path, f"'{clipped(name)}'")


def remove_unfinished(folder, data):
    """Remove what a failed save has written, unless it failed after it was the checkpoint."""
    try:
        with open(os.path.join(folder, _INDEX), encoding="utf-8") as file:
            is_checkpoint = json.load(file)["data"] == data
    except (FileNotFoundError, NotADirectoryError):
        is_checkpoint = False
    except (ValueError, KeyError, TypeError, OSError):
        return  # a damaged index: what it stands for is not known
    if not is_checkpoint:
        shutil.rmtree(os.path.join(folder, data), ignore_errors=True)


def read_index(folder):
    """The index of a whole checkpoint, and `{name: (shape, dtype)}` of its tensors."""
    path = os.path.join(folder, _INDEX)
    try:
        with open_regular(path, _MAX_INDEX_BYTES) as file:
            index = json_object(file.read(), path, "checkpoint.json")
        if "checksum" in index or "checksums" in index:
            if index.pop("checksum", None) != checksum_of_json(index):
                raise damaged(path, "its text")
        _check_index(index, path)
        data = os.path.join(folder, index["data"])
        sizes, checksums = {}, index.get("checksums", {})
        for name in index["files"]:
            with open_regular(os.path.join(data, name), most_bytes=None) as file:
                header = check_header(file, os.path.join(data, name))
                if name in checksums and checksums[name][0] != checksum_of_json(header):
                    raise damaged(os.path.join(data, name), "the header")
                sizes[name] = os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        if os.path.exists(path):
            raise ValueError(
                f"All files of a checkpoint must be there. Received: '{folder}', which lacks "
                f"'{error.filename}'. Copy the folder as a whole."
            ) from error
        raise FileNotFoundError(_absent(folder)) from None
    except OSError as error:
        raise unreadable(path, error, "checkpoint.json") from error
    wrong = [name for name, size in sizes.items() if index["files"][name] != size]
    if wrong:
        raise ValueError(
            f"The files of a checkpoint must be as they were written. Received: {wrong[:3]} in "
            f"'{folder}' of another size. Copy the folder anew, or go back to an earlier one."
        )
    return index, _read_shapes(data, index["files"], path)


def _check_index(index, path):
    """Raise unless an index has the parts that `commit` gives it, and names no file elsewhere."""
    data, files, metadata = (index.get(key) for key in ("data", "files", "metadata"))
    step = index.get("step", "")
    known = index.get("format") == FORMAT and isinstance(data, str) and data.startswith("save-")
    known = known and (step is None or type(step) is int) and isinstance(files, dict)
    if not known or not isinstance(metadata, dict) or not _is_name(data):
        problem = "it is not the index of a checkpoint that this version knows"
        raise unreadable(path, problem, "checkpoint.json")
    for name, size in files.items():
        if not (_is_name(name) and name.endswith(".safetensors") and type(size) is int):
            raise unreadable(path, f"it names the file {clipped(repr(name))}", "checkpoint.json")
    checksums = index.get("checksums", dict.fromkeys(files, ["", {}]))
    fitting = isinstance(checksums, dict) and set(checksums) == set(files)
    if not fitting or not all(map(_is_pair, checksums.values())):
        raise unreadable(path, "its checksums are not those of its files", "checkpoint.json")
    for name, text in metadata.items():
        if not isinstance(text, str):
            raise unreadable(path, f"'{clipped(name)}' in it is no text", "checkpoint.json")


def _is_pair(value):
    return isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict)


def _is_name(name):
    return os.path.basename(name) == name and not any(c in name for c in "/\\\0")


def _absent(folder):
    unfinished = []
    if os.path.isdir(folder):
        unfinished = [name for name in os.listdir(folder) if name.startswith("save-")]
    reason = (
        f"which holds a save that did not come to its end ('{unfinished[0]}') and none before it"
        if unfinished
        else "which is no folder, or has no 'checkpoint.json'"
    )
    return (
        f"A folder with a whole checkpoint was expected. Received: '{folder}', {reason}. Give a "
        "folder that `save_sharded` has written to its end."
    )


def storage_reader(data, files):
    """torch's reader of a folder, which sees those files alone that the index lists."""
    import torch.distributed.checkpoint as dcp

    reader = dcp.HuggingFaceStorageReader(data)
    reader.fs = _Listed(reader.fs, [os.path.join(data, name) for name in files])
    return reader


class _Listed:
    """A file system whose folders hold only some files."""

    def __init__(self, file_system, paths):
        self._file_system = file_system
        self._paths = paths

    def __getattr__(self, name):
        return getattr(self._file_system, name)

    def ls(self, path):
        return list(self._paths)


def _read_shapes(data, files, path):
    try:
        metadata = storage_reader(data, files).read_metadata()
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        raise unreadable(path, error, "checkpoint.json") from error
    except (RuntimeError, RecursionError, OverflowError) as error:
        raise unreadable(path, error, "checkpoint.json") from error
    for place, stored in metadata.storage_data.items():
        expected = metadata.state_dict_metadata[place.fqn].properties.dtype
        if stored.dtype != expected:
            raise ValueError(
                "The parts of a tensor in a checkpoint must be of one dtype. Received: "
                f"{expected} and {stored.dtype} for '{clipped(place.fqn)}' in '{data}'. Go back "
                "to an earlier checkpoint."
            )
    for name, found in metadata.state_dict_metadata.items():
        parts = [(tuple(chunk.offsets), tuple(chunk.sizes)) for chunk in found.chunks]
        if not covers_once(tuple(found.size), parts):
            raise ValueError(
                "The parts of a tensor in a checkpoint must hold each of its elements once. "
                f"Received: {clipped(parts)} as (offsets, sizes) for '{clipped(name)}' of shape "
                f"{tuple(found.size)} in '{data}'. Go back to an earlier checkpoint."
            )
    return {
        name: (tuple(found.size), found.properties.dtype)
        for name, found in metadata.state_dict_metadata.items()
    }


def covers_once(shape, parts):
    """Whether boxes hold each element of a tensor of this shape exactly once.

    Where they do not, a reader would leave memory as it was, and a file tell what had been in it.

    Args:
        shape: tuple of ints.
        parts: list of `(offsets, sizes)`, tuples of ints.

    Example:

    >>> from torchkeras.saving.sharded_index import covers_once
    >>> covers_once((4, 2), [((0, 0), (3, 2)), ((3, 0), (1, 2))])
    True
    >>> covers_once((4, 2), [((0, 0), (3, 2)), ((2, 0), (1, 2))])
    False
    """
    boxes = []
    for offsets, sizes in parts:
        if not len(offsets) == len(sizes) == len(shape):
            return False
        box = [(start, start + size) for start, size in zip(offsets, sizes, strict=True)]
        inside = (
            0 <= start <= stop <= size for (start, stop), size in zip(box, shape, strict=True)
        )
        if not all(inside):
            return False
        if math.prod(sizes):
            boxes.append(box)
    # Inside, of the right volume together, and no two in one place: nothing is left over. Along
    # the axis with the most cuts few boxes are side by side.
    if sum(math.prod(stop - start for start, stop in box) for box in boxes) != math.prod(shape):
        return False
    axis = max(range(len(shape)), key=lambda i: len({box[i] for box in boxes}), default=None)
    if axis is None:
        return len(boxes) == 1
    boxes.sort(key=lambda box: box[axis])
    beside = []
    for box in boxes:
        beside = [other for other in beside if other[axis][1] > box[axis][0]]
        for other in beside:
            if all(a < d and c < b for (a, b), (c, d) in zip(box, other, strict=True)):
                return False
        beside.append(box)
    return True


@contextlib.contextmanager
def no_warning_of_one_process():
    """torch warns of a save or load in one process even where `no_dist` asks for it."""
    if process_group.is_active():
        yield  # other threads go on meanwhile, and warnings are theirs too
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
