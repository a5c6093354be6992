"""Fashion-MNIST: 70,000 grayscale images of clothing, 28 x 28 pixels."""

import gzip
import os
import zlib

import numpy as np

from torchkeras.datasets import _readers
from torchkeras.utils.file_utils import fetch

ORIGIN_FOLDER = _readers.STORAGE
FILES = (
    "train-labels-idx1-ubyte.gz",
    "train-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
)

# The training images have 47 MB; a gzip file of 1 MB could unfold to 1 GB.
_LIMIT_BYTES = 1 << 26


def load_data():
    """Load Fashion-MNIST, downloading four files of 31 MB in total on first use.

    The classes are 0 T-shirt/top, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt,
    7 sneaker, 8 bag, 9 ankle boot. Keras knows no hashes for these files, so a file in the
    cache is used when it is a complete file of the right format.

    Returns:
        `((x_train, y_train), (x_test, y_test))`, uint8 arrays of shapes `(60000, 28, 28)`,
        `(60000,)`, `(10000, 28, 28)`, `(10000,)`. Pixels are 0 (background) to 255.

    Raises:
        OSError: a file is not in the cache and cannot be downloaded.
        ValueError: a downloaded file is not what was expected.

    Source: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747; Zalando SE, MIT license.

    Example:

    >>> (x_train, y_train), _ = keras.datasets.fashion_mnist.load_data()  # doctest: +SKIP
    >>> x_train.shape, y_train.shape  # doctest: +SKIP
    ((60000, 28, 28), (60000,))
    """
    folder = os.path.join("datasets", "fashion-mnist")
    paths = [
        fetch(name, ORIGIN_FOLDER + name, cache_subdir=folder, accept=_is_complete)
        for name in FILES
    ]
    y_train, x_train, y_test, x_test = [_read_idx(path) for path in paths]
    for x, y in ((x_train, y_train), (x_test, y_test)):
        if x.shape != (len(y), 28, 28) or y.ndim != 1:
            raise ValueError(
                "Fashion-MNIST must have one 28 x 28 image a label. Received: images of shape "
                f"{x.shape} and labels of shape {y.shape}, in {os.path.dirname(paths[0])}. "
                "Delete the files there and call again."
            )
    return (x_train, y_train), (x_test, y_test)


def _read_idx(path):
    """Read a gzipped IDX file of unsigned bytes: 0, 0, 8, ndim, sizes as big-endian uint32."""
    try:
        with gzip.open(path, "rb") as file:
            content = bytearray(file.read(_LIMIT_BYTES + 1))
    except (OSError, EOFError, zlib.error) as error:
        raise _bad_file(path, error) from error
    ndim = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    start = 4 + 4 * ndim
    if not 1 <= ndim <= 3 or len(content) < start or len(content) > _LIMIT_BYTES:
        raise _bad_file(path, f"{len(content)} bytes that start with {bytes(content[:4])}")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", ndim, offset=4))
    if len(content) - start != np.prod(shape, dtype=object):
        raise _bad_file(path, f"{len(content) - start} bytes for shape {shape}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _is_complete(path):
    try:
        _read_idx(path)
    except ValueError:
        return False
    return True


def _bad_file(path, received):
    return ValueError(
        "Fashion-MNIST files must be gzipped IDX files of unsigned bytes. "
        f"Received: {received}, in {path}. Delete the file and call again."
    )
