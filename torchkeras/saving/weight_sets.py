"""Weights in several files of limited size, and the index that makes a set of them.

| index | files | form |
| --- | --- | --- |
| `model.weights.json` | `model_00000.weights.h5`, ... | of Keras 3, which reads ours |
| `model.safetensors.index.json` | `model-00001-of-00003.safetensors`, ... | of Hugging Face |

An index is JSON: `weight_map` tells the file of each tensor (Keras: the file or files of each
group), `metadata` the size of all. Ours has more in `metadata`: `torchkeras.files`, the checksums
that the files hold of themselves, and `torchkeras.checksum`, that of the index.

The new index takes the place of the old one when its files are on the disk, and these have other
names than those that the old one names: so whatever is killed at whatever time leaves the old set
or the new one. The files of the old one are removed after that.
"""

import contextlib
import json
import os
import re
import secrets
import stat

from torchkeras.core.files import check_regular, open_regular
from torchkeras.saving import atomic
from torchkeras.saving.checksums import checksum_of_json, damaged
from torchkeras.saving.messages import clipped, json_object, no_file, unreadable

_MAX_INDEX_BYTES = 32 * 2**20
_MAX_FILES = 10_000
_SEAL, _FILES = "torchkeras.checksum", "torchkeras.files"


class WeightSet:
    """How the files of an index are called.

    Args:
        ending: str, that of the index.
        file_ending: str, that of the files.
        name: function `(base, number from 0, count, mark) -> str`; the mark is empty, or begins
            with a hyphen where the plain names are taken.
    """

    def __init__(self, ending, file_ending, name):
        self.ending, self.file_ending, self.name = ending, file_ending, name


KERAS = WeightSet(
    ".weights.json", ".weights.h5", lambda base, i, n, mark: f"{base}_{i:05}{mark}.weights.h5"
)
HUGGING_FACE = WeightSet(
    ".safetensors.index.json",
    ".safetensors",
    lambda base, i, n, mark: f"{base}-{i + 1:05}-of-{n:05}{mark}.safetensors",
)


def divide(sizes, most_bytes):
    """Names in their order, in as few lists of limited size as that order allows.

    What is larger than the limit is alone.

    Args:
        sizes: dict of names to bytes.
        most_bytes: number.

    Example:

    >>> from torchkeras.saving.weight_sets import divide
    >>> divide({"a": 3, "b": 2, "c": 9, "d": 1, "e": 1}, 5)
    [['a', 'b'], ['c'], ['d', 'e']]
    """
    parts, left = [], 0
    for name, size in sizes.items():
        if not parts or size > left:
            parts.append([])
            left = most_bytes
        parts[-1].append(name)
        left -= size
    return parts or [[]]


def write_set(form, path, parts, write, weight_map, metadata):
    """Write files and their index; all of them, or the set that was there stays.

    Args:
        form: `KERAS` or `HUGGING_FACE`.
        path: str, of the index.
        parts: list, one item a file.
        write: function `(path, part) -> str`, which writes a file and returns its checksum.
        weight_map: function `{name of the file: part} -> dict`, that of the index.
        metadata: dict, for that of the index.

    Returns:
        list of the names of the files.
    """
    folder = os.path.dirname(os.path.abspath(path))
    base = os.path.basename(path).removesuffix(form.ending)
    old = _named_by(path)
    names = _free_names(form, folder, base, len(parts), old)
    try:
        seals = {}
        for name, part in zip(names, parts, strict=True):
            with atomic.atomic_write(os.path.join(folder, name)) as temporary:
                seals[name] = write(temporary, part)
        index = {
            "metadata": {**metadata, _FILES: seals},
            "weight_map": weight_map(dict(zip(names, parts, strict=True))),
        }
        index["metadata"][_SEAL] = checksum_of_json(index)
        with atomic.atomic_write(path) as temporary:
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(index, file, indent=2)
    except BaseException:
        if not set(names) & _named_by(path):  # the last flush may fail with the index in its place
            _remove(folder, names)
        raise
    is_ours = re.compile(re.escape(base) + r"[-_]\d{5}[\w-]*" + re.escape(form.file_ending))
    marked = re.compile(re.escape(base) + r"[-_]\d{5}.*-[0-9a-f]{8}" + re.escape(form.file_ending))
    left = {name for name in old if is_ours.fullmatch(name)}
    left.update(name for name in os.listdir(folder) if marked.fullmatch(name))
    _remove(folder, left - set(names))
    return names


def _free_names(form, folder, base, count, old):
    """Names for files that no index names, nor somebody else's link or folder has."""
    for mark in ("", f"-{secrets.token_hex(4)}"):
        names = [form.name(base, number, count, mark) for number in range(count)]
        if not old & set(names) and not any(_is_strange(os.path.join(folder, n)) for n in names):
            break
    return names


def _is_strange(path):
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _named_by(path):
    """The names of the files of the index that is there; of one that cannot be read, none."""
    try:
        with open_regular(path, _MAX_INDEX_BYTES) as file:
            values = json.load(file)["weight_map"].values()
        return {name for value in values for name in ([value] if type(value) is str else value)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return set()


def _remove(folder, names):
    for name in names:
        with contextlib.suppress(OSError):
            os.remove(os.path.join(folder, name))


def read_index(form, path):
    """`(weight_map, metadata, files)` of an index.

    Args:
        form: `KERAS` or `HUGGING_FACE`.
        path: str.

    Returns:
        dict of names to lists of names of files, dict, and dict of the names of files to
        `(path, checksum or None)`.

    Raises:
        ValueError: it is no such index, is damaged, or names something else than regular files
            beside it.
        FileNotFoundError: it is not there, or a file that it names.
    """
    try:
        with open_regular(path, _MAX_INDEX_BYTES) as file:
            index = json_object(file.read(), path, form.ending)
    except FileNotFoundError:
        raise no_file(path) from None
    except OSError as error:
        raise unreadable(path, error, form.ending) from error
    weight_map, metadata = index.get("weight_map"), index.get("metadata", {})
    if not isinstance(weight_map, dict) or not isinstance(metadata, dict):
        raise unreadable(path, "it has no 'weight_map'", form.ending)
    seals = metadata.get(_FILES, {})
    if _SEAL in metadata or _FILES in metadata:
        if metadata.pop(_SEAL, None) != checksum_of_json(index) or not isinstance(seals, dict):
            raise damaged(path, "the index")
    weight_map = {k: v if isinstance(v, list) else [v] for k, v in weight_map.items()}
    names = {}  # in the order of the map
    for found in weight_map.values():
        for name in found:
            if not (isinstance(name, str) and _is_name(name) and name.endswith(form.file_ending)):
                raise unreadable(path, f"it names the file {clipped(repr(name))}", form.ending)
            names[name] = seals.get(name)
    if len(names) > _MAX_FILES:
        raise unreadable(path, f"it names {len(names)} files", form.ending)
    folder = os.path.dirname(os.path.abspath(path))
    files = {name: (os.path.join(folder, name), seal) for name, seal in names.items()}
    for file, _ in files.values():
        _check_there(file, path)
    return weight_map, metadata, files


def _is_name(name):
    return name not in ("", ".", "..") and not any(c in name for c in "/\\:\0")


def _check_there(file, path):
    try:
        check_regular(file)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"All files that an index names must be there. Received: '{path}', beside which there "
            f"is no '{os.path.basename(file)}'. Copy the folder as a whole."
        ) from error
    except OSError as error:
        raise unreadable(path, error, "weights") from error


def check_same_set(found, seal, file):
    """Raise where the checksum that a file has of itself is not the one that its index tells.

    Raises:
        DamagedFileError: it is a file of another set.
    """
    if seal is not None and found != seal:
        raise damaged(file, "the file", "another checksum than its index tells")
