"""Reading HDF5 files that nobody vouches for: plain groups of plain arrays, or an error.

Links out of a group, arrays stored elsewhere, and arrays that declare more than is stored are
refused before anything is read, wherever they stand in the file.
"""

import contextlib
import functools
import io
import json
import math
import mmap

import numpy as np
import torch

from torchkeras.core.files import check_regular
from torchkeras.saving.checksums import (
    DamagedFileError,
    check_tensor,
    checksum_of_json,
    damaged,
)
from torchkeras.saving.messages import clipped, json_object, no_file, unreadable

_CHECKSUMS = "torchkeras.checksums"  # and a number: attributes of our own files; see `checksums`
_ATTRIBUTE_BYTES = 60_000  # HDF5 keeps less than 64 KiB in one

_MAX_OBJECTS = 200_000
_MAX_DEPTH = 64
_MAX_RATIO = 1000  # of filtered arrays; zeros deflate that well
_FILTERS = frozenset({1, 2, 3, 32000})  # deflate, shuffle, Fletcher checksum, LZF: no plugins
_MAX_NAMES_BYTES = 2**30  # names of layers and weights; those of Keras may take a tenth
_HEAP = b"GCOL\x01"  # a heap of strings, version 1: its size follows at byte 8
_HARD_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError)


def import_h5py():
    """h5py, or an error that says how to install it."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "Weights in Keras's HDF5 format need h5py, which is not installed. Run: "
            'pip install "torchkeras[keras]", or choose the ending .safetensors.'
        ) from error
    return h5py


@contextlib.contextmanager
def open_h5(path, data=None):
    """`{path of a group: {name: dataset}}` of a file, checked as a whole; open inside.

    The dict's `names(path, attribute)` gives a list of names that an attribute of a group holds,
    or None where the group has no such attribute. `checksums` are those of the arrays, for
    `read_tensor`; where the file has them, its groups and arrays are the ones that were written.

    Args:
        path: str, for messages, and the file where `data` is None.
        data: bytes of the file, or None.

    Raises:
        ValueError: not an HDF5 file of plain groups and arrays, or a damaged one.
        FileNotFoundError: there is no such file.
        ImportError: h5py is not installed.
    """
    h5py = import_h5py()
    try:
        if data is None:
            check_regular(path)
        file = h5py.File(path if data is None else io.BytesIO(data), "r")
    except FileNotFoundError:
        raise no_file(path) from None
    except _HARD_ERRORS as error:
        raise unreadable(path, error, "HDF5") from error
    with file:
        size = file.id.get_filesize()
        try:
            groups = Groups(_Inspection(h5py, size).groups(file))
            groups.checksums, groups.seal = _read_checksums(file, groups, path)
        except DamagedFileError:
            raise
        except _HARD_ERRORS as error:
            raise unreadable(path, error, "HDF5") from error
        groups.file, groups.path = file, path
        yield groups


class Groups(dict):
    """What `open_h5` gives."""

    checksums = {}
    seal = None  # the checksum of the checksums
    _names_bytes = 0  # what the names read so far may take, at most

    def names(self, path, attribute):
        try:
            attributes = self.file[path or "/"].attrs
            if attribute in attributes:
                return self._strings(attributes, attribute)
            # Keras divides what is too long for one attribute.
            found, number = None, 0
            while f"{attribute}{number}" in attributes:
                found = (found or []) + self._strings(attributes, f"{attribute}{number}")
                number += 1
            return found
        except _HARD_ERRORS as error:
            raise unreadable(self.path, error, "HDF5") from error

    def _strings(self, attributes, name):
        held = attributes.get_id(name)
        count = math.prod(held.shape or ())
        if count == 0:
            return []
        if held.dtype.kind == "S":
            longest = held.dtype.itemsize
        elif held.dtype.kind == "O" and held.get_type().get_class() == import_h5py().h5t.STRING:
            # Strings of any length lie elsewhere, and all of them may be one, and a long one.
            longest = self._longest_string
        else:
            raise ValueError(f"its attribute {name!r} is an array of {held.dtype}, not of names")
        self._names_bytes += count * longest
        stored = count * held.dtype.itemsize
        if stored > self.file.id.get_filesize() or self._names_bytes > _MAX_NAMES_BYTES:
            raise ValueError(f"its attribute {name!r} declares more names than a file of Keras has")
        values = np.asarray(attributes[name]).reshape(-1).tolist()
        return [value.decode() if isinstance(value, bytes) else value for value in values]

    @functools.cached_property
    def _longest_string(self):
        """Size of the largest of the file's heaps, where strings of any length lie."""
        largest = 0
        with open(self.path, "rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                place = data.find(_HEAP)
                while place >= 0:
                    largest = max(largest, int.from_bytes(data[place + 8 : place + 16], "little"))
                    place = data.find(_HEAP, place + 1)
        return largest


class _Inspection:
    """One walk over all objects of a file."""

    def __init__(self, h5py, size):
        self._h5py = h5py
        self._left_bytes = size
        self._seen = set()

    def groups(self, file):
        found = {}
        waiting = [("", file["/"], 0)]
        while waiting:
            path, group, depth = waiting.pop()
            self._check_new(group, path)
            if depth > _MAX_DEPTH:
                raise ValueError(f"its groups are nested deeper than {_MAX_DEPTH}")
            found[path] = {}
            for name in group:
                inner = f"{path}/{name}" if path else name
                # Asked of the link itself: following it could already open another file.
                link = group.get(name, getlink=True)
                if type(link) is not self._h5py.HardLink:
                    raise ValueError(f"'{clipped(inner)}' is a {type(link).__name__}")
                item = group[name]
                if type(item) is self._h5py.Group:
                    waiting.append((inner, item, depth + 1))
                elif type(item) is self._h5py.Dataset:
                    self._check_new(item, inner)
                    self._check_dataset(item, inner)
                    found[path][name] = item
                else:
                    raise ValueError(f"'{clipped(inner)}' is a {type(item).__name__}")
        return found

    def _check_new(self, item, path):
        address = self._h5py.h5o.get_info(item.id).addr
        if address in self._seen:
            raise ValueError(f"'{clipped(path)}' is a second link to an object")
        self._seen.add(address)
        if len(self._seen) > _MAX_OBJECTS:
            raise ValueError(f"it has more than {_MAX_OBJECTS} objects")

    def _check_dataset(self, dataset, path):
        path = clipped(path)
        if dataset.external:
            raise ValueError(f"'{path}' is stored in another file")
        if dataset.is_virtual:
            raise ValueError(f"'{path}' is virtual: made of other arrays")
        dtype = dataset.dtype
        if dtype.kind not in "biufc" and dtype != np.dtype("V2"):
            raise ValueError(f"'{path}' is an array of {dtype}, not of numbers")
        if dataset.shape is None:
            raise ValueError(f"'{path}' has no value")
        plist = dataset.id.get_create_plist()
        filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
        if filters - _FILTERS:
            raise ValueError(f"'{path}' needs the filters {sorted(filters - _FILTERS)}")
        declared = math.prod(dataset.shape) * dtype.itemsize
        if declared and dataset.chunks:  # HDF5 makes room for a whole chunk
            declared = max(declared, math.prod(dataset.chunks) * dtype.itemsize)
        stored = dataset.id.get_storage_size()
        if declared > stored * (_MAX_RATIO if filters else 1):
            raise ValueError(f"'{path}' declares {declared} bytes and stores {stored}")
        self._left_bytes -= stored
        if self._left_bytes < 0:
            raise ValueError(f"its arrays store more than the file holds, '{path}' for one")


def write_checksums(file, arrays):
    """Tell in attributes of a file which arrays it holds: names, dtypes, shapes and checksums.

    Args:
        file: h5py.File, open for writing.
        arrays: dict of paths to `(dtype, shape, checksum)`.

    Returns:
        str, the checksum of all this, which stands for the arrays too.
    """
    told = {name: [dtype.str, list(shape), sum_] for name, (dtype, shape, sum_) in arrays.items()}
    seal = checksum_of_json(told)
    text = json.dumps({"arrays": told, "checksum": seal}).encode()
    for number, start in enumerate(range(0, len(text), _ATTRIBUTE_BYTES)):
        part = np.frombuffer(text[start : start + _ATTRIBUTE_BYTES], np.uint8)
        file.attrs[f"{_CHECKSUMS}{number}"] = part
    return seal


def _read_checksums(file, groups, path):
    """`({name: checksum}, that of this)` of the arrays, which must be those that the file tells."""
    parts = []
    while (name := f"{_CHECKSUMS}{len(parts)}") in file.attrs:
        held = file.attrs.get_id(name)
        if held.dtype != np.uint8 or math.prod(held.shape or ()) > _ATTRIBUTE_BYTES:
            raise damaged(path, f"the attribute '{name}'", "another type or size")
        parts.append(np.asarray(file.attrs[name]).tobytes())
    if not parts:
        return {}, None
    told = json_object(b"".join(parts), path, "HDF5")
    arrays = told.get("arrays")
    if not isinstance(arrays, dict) or checksum_of_json(arrays) != told.get("checksum"):
        raise damaged(path, f"the attribute '{_CHECKSUMS}0'")
    found = {
        f"{group}/{name}" if group else name: [dataset.dtype.str, list(dataset.shape)]
        for group, datasets in groups.items()
        for name, dataset in datasets.items()
    }
    for name in {**arrays, **found}:
        if name not in arrays or arrays[name][:2] != found.get(name):
            raise damaged(path, f"'{name}'", "another name, shape or dtype than was written")
    return {name: checksum for name, (*_, checksum) in arrays.items()}, told["checksum"]


def read_tensor(dataset, name, path, checksums):
    """The tensor of a dataset that `open_h5` gave; Keras keeps bfloat16 as two opaque bytes.

    Args:
        dataset: h5py.Dataset.
        name: str, its path in the file.
        path: str, the file.
        checksums: dict that `open_h5` gave.
    """
    try:
        array = dataset[()]
        if dataset.dtype == np.dtype("V2"):
            tensor = torch.from_numpy(np.array(array).view(np.int16)).view(torch.bfloat16)
        else:
            # A copy only where it must be: numbers of other byte orders, and scalars.
            tensor = torch.from_numpy(np.asarray(array, dtype=dataset.dtype.newbyteorder("=")))
    except _HARD_ERRORS as error:
        raise unreadable(path, f"'{clipped(name)}': {error}", "HDF5") from error
    check_tensor(tensor, name, checksums, path)
    return tensor
