"""Readers of data set files that never run code from a file.

Numeric arrays are read with pickling off. IMDB, Reuters and CIFAR are stored as pickles; these
are read by an unpickler that knows three names of numpy and maps them to recorders of plain
facts. Numpy's own classes are not called: even they can be led, by a made-up dtype, to treat
bytes of the file as object pointers.
"""

import contextlib
import errno
import hashlib
import math
import pickle
import re
import sys
import tarfile
import zipfile
import zlib

import numpy as np

STORAGE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"

_CHUNK_BYTES = 1 << 20
_BATCH_LIMIT_BYTES = 1 << 28
_NUMERIC_CODE = re.compile(r"[biuf][1248]")


def read_npz(path, names):
    """Return the named numeric arrays of an `.npz` file, with pickling off.

    Args:
        path: str, path of the file.
        names: sequence of str, keys in the file.

    Returns:
        list of arrays, in the order of `names`.

    Raises:
        ValueError: the file lacks a name, or an array holds objects.

    Example:

    >>> import io
    >>> from torchkeras.datasets._readers import read_npz
    >>> file = io.BytesIO()
    >>> np.savez(file, x=np.arange(3))
    >>> _ = file.seek(0)
    >>> read_npz(file, ["x"])
    [array([0, 1, 2])]
    """
    with _whole(path), np.load(path, allow_pickle=False) as arrays:
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise _bad_file(path, "a single array")
        _check_names(path, arrays.files, names)
        return [arrays[name] for name in names]


def read_object_npz(path, names):
    """Return arrays of an `.npz` file that may hold lists of integers.

    Numeric arrays are read as by `read_npz`, arrays of objects by the restricted unpickler.

    Args:
        path: str, path of the file.
        names: sequence of str, keys in the file.

    Returns:
        list of arrays, in the order of `names`; an array of objects is 1-D and holds lists of
        int.

    Raises:
        ValueError: the file lacks a name, or holds anything but numbers and lists of integers.

    Example:

    >>> import io
    >>> from torchkeras.datasets._readers import read_object_npz
    >>> file = io.BytesIO()
    >>> np.savez(file, x=np.array([[1, 2], [3]], dtype=object))
    >>> read_object_npz(file, ["x"])[0].tolist()
    [[1, 2], [3]]
    """
    arrays = []
    with _whole(path), zipfile.ZipFile(path) as archive:
        _check_names(path, [name.removesuffix(".npy") for name in archive.namelist()], names)
        for name in names:
            with archive.open(f"{name}.npy") as file:
                _, _, dtype = _read_header(file)
                if dtype.hasobject:
                    arrays.append(_to_array(_unpickle(file, path, "ASCII"), path))
                    continue
            with archive.open(f"{name}.npy") as file:
                arrays.append(np.lib.format.read_array(file, allow_pickle=False))
    return arrays


@contextlib.contextmanager
def _whole(path):
    """Inside, an archive is read: damage is a ValueError."""
    try:
        yield
    except ValueError as error:  # of NumPy, where it is not ours
        if "Received: " in str(error):
            raise
        raise _bad_file(path, str(error)) from error
    # RuntimeError: an encrypted member, or a compression that is not known.
    except (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # of a place before all
            raise
        raise _bad_file(path, f"{error} ({type(error).__name__})") from error


def arrays_match(path, digests):
    """Return whether an `.npz` file holds exactly the known arrays, whatever its own hash.

    The header of each array is compared before its bytes are read, so a file that declares
    huge arrays costs nothing.

    Args:
        path: str, path of the file.
        digests: dict from key to `(shape, dtype name, sha256 of the array's bytes)`.

    Returns:
        bool. False also for a file that is no `.npz`.

    Example:

    >>> import hashlib, io
    >>> from torchkeras.datasets._readers import arrays_match
    >>> file = io.BytesIO()
    >>> np.savez(file, x=np.zeros(2, "uint8"))
    >>> sha256 = hashlib.sha256(bytes(2)).hexdigest()
    >>> arrays_match(file, {"x": ((2,), "uint8", sha256)})
    True
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # No others: np.load would prefer a member "x" to the checked member "x.npy".
            if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in digests):
                return False
            return all(
                _member_matches(archive, f"{name}.npy", *known) for name, known in digests.items()
            )
    # KeyError: a missing name; RuntimeError: an encrypted member; the rest: a damaged file.
    except (OSError, EOFError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error):
        return False


def read_cifar_batches(path, names, label_key):
    """Return images and labels of batches inside a CIFAR archive, read in memory.

    Args:
        path: str, path of the `.tar.gz` file.
        names: sequence of str, full names of the batches in the archive.
        label_key: bytes, key of the labels in a batch.

    Returns:
        tuple `(images, labels)`: uint8 array `(n, 3, 32, 32)`, the batches one after the other,
        and int64 array `(n, 1)`.

    Raises:
        ValueError: a batch is missing, or is not what a CIFAR batch is.

    Example:

    >>> from torchkeras.datasets._readers import read_cifar_batches
    >>> read_cifar_batches(path, ["cifar-100-python/test"], b"fine_labels")  # doctest: +SKIP
    """
    images, labels = [], []
    with tarfile.open(path) as archive:
        members = {info.name: info for info in archive if info.isreg()}
        _check_names(path, members, names)
        for name in names:
            if members[name].size > _BATCH_LIMIT_BYTES:
                raise _bad_file(path, f"a batch {name!r} of {members[name].size} bytes")
            batch = _unpickle(archive.extractfile(members[name]), path, "bytes")
            if not isinstance(batch, dict):
                raise _bad_file(path, f"a batch {name!r} that is no dict")
            data = _to_array(batch.get(b"data"), path)
            batch_labels = batch.get(label_key)
            if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * 32 * 32:
                raise _bad_file(path, f"images of shape {data.shape} and dtype {data.dtype}")
            if not _is_list_of_int(batch_labels) or len(batch_labels) != len(data):
                raise _bad_file(path, f"no list of {len(data)} integers as {label_key.decode()!r}")
            images.append(data.reshape(-1, 3, 32, 32))
            labels.append(np.array(batch_labels, dtype="int64").reshape(-1, 1))
    return np.concatenate(images), np.concatenate(labels)


def to_image_data_format(images):
    """Return channels-first images in the data format that the package is set to.

    Args:
        images: array of shape `(n, 3, height, width)`.

    Returns:
        array, contiguous: `(n, height, width, 3)` unless the format is "channels_first".

    Example:

    >>> from torchkeras.datasets._readers import to_image_data_format
    >>> to_image_data_format(np.zeros((2, 3, 32, 32))).shape
    (2, 32, 32, 3)
    """
    # Looked up, not imported: the setting can differ from its default only once it is loaded.
    config = sys.modules.get("torchkeras.core.config")
    if config is not None and config.image_data_format() == "channels_first":
        return images
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


class _Dtype:
    """What a pickled numpy dtype says: its code, such as "u1" or "O8", and its byte order."""

    def __init__(self, code, *flags):
        self.code = _text(code)
        self.byte_order = "|"

    def __setstate__(self, state):
        # (version, byte order, ...): the rest describes structured types, which no file has.
        if not isinstance(state, tuple) or len(state) < 2:
            raise pickle.UnpicklingError("a dtype of an unknown format")
        self.byte_order = _text(state[1])


class _Array:
    """What a pickled numpy array says: shape, dtype, order and contents, not yet interpreted."""

    def __init__(self, *arguments):
        self.state = None

    def __setstate__(self, state):
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("an array of an unknown format")
        self.state = state[1:]


class _Unpickler(pickle.Unpickler):
    _KNOWN = {
        ("numpy", "ndarray"): "ndarray",
        ("numpy", "dtype"): _Dtype,
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
    }

    def find_class(self, module, name):
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"a use of {module}.{name}")
        return self._KNOWN[module, name]


def _unpickle(file, path, encoding):
    try:
        return _Unpickler(file, encoding=encoding).load()
    # A damaged pickle can raise nearly anything: the pickle module promises no list.
    except Exception as error:
        raise _bad_file(path, f"{error} ({type(error).__name__})") from error


def _to_array(recorded, path):
    """Build the numpy array that an `_Array` describes, checking each of its facts."""
    if not isinstance(recorded, _Array) or recorded.state is None:
        raise _bad_file(path, f"a {type(recorded).__name__} in place of an array")
    shape, dtype, is_fortran, content = recorded.state
    if not isinstance(dtype, _Dtype) or not (
        isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    ):
        raise _bad_file(path, "an array without a shape or dtype")
    size = math.prod(shape)
    if dtype.code in ("O", "O4", "O8"):
        if len(shape) != 1 or type(content) is not list or len(content) != size:
            raise _bad_file(path, f"an array of objects of shape {shape}")
        if not all(_is_list_of_int(item) for item in content):
            raise _bad_file(path, "an array of objects that are not all lists of integers")
        return object_array(content)
    if not _NUMERIC_CODE.fullmatch(dtype.code) or dtype.byte_order not in ("|", "<", ">", "="):
        raise _bad_file(path, f"an array of dtype {dtype.byte_order}{dtype.code}")
    numeric = np.dtype(dtype.byte_order + dtype.code)
    if type(content) is not bytes or len(content) != size * numeric.itemsize:
        raise _bad_file(path, f"an array of shape {shape} with contents of another size")
    flat = np.frombuffer(content, numeric)
    return flat.reshape(shape, order="F" if is_fortran else "C")


def object_array(items):
    """Return a 1-D array that holds the given objects, also where all have the same length.

    Args:
        items: sequence of n objects, for instance lists.

    Returns:
        array of dtype object and shape `(n,)`.

    Example:

    >>> from torchkeras.datasets._readers import object_array
    >>> object_array([[1, 2], [3, 4]]).shape
    (2,)
    """
    result = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        result[i] = item
    return result


def _is_list_of_int(item):
    return type(item) is list and all(type(value) is int for value in item)


def _text(value):
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _read_header(file):
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    # Format 3.0 is 2.0 with UTF-8 field names, which plain arrays have not.
    return np.lib.format.read_array_header_2_0(file)


def _member_matches(archive, name, shape, dtype, digest):
    with archive.open(name) as file:
        if _read_header(file) != (shape, False, np.dtype(dtype)):
            return False
        hasher = hashlib.sha256()
        # zipfile hands out no more than the declared size.
        if archive.getinfo(name).file_size > math.prod(shape) * np.dtype(dtype).itemsize + 4096:
            return False
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
        return hasher.hexdigest() == digest


def _check_names(path, found, names):
    missing = [name for name in names if name not in found]
    if missing:
        raise _bad_file(path, f"no {', '.join(missing)}, only {', '.join(sorted(found)[:20])}")


def _bad_file(path, received):
    return ValueError(
        f"A data set file may hold only arrays of numbers and lists of integers, under known "
        f"names. Received: {received}, in {path}. Delete the file and load the data set again."
    )
