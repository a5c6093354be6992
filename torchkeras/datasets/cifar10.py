"""CIFAR-10: 60,000 colour images of 10 kinds of things, 32 x 32 pixels."""

from torchkeras.datasets import _readers
from torchkeras.utils.file_utils import fetch

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
FILE_HASH = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
FNAME = "cifar-10-batches-py-target"


def load_data():
    """Load CIFAR-10, downloading 170 MB on first use.

    The classes are 0 airplane, 1 automobile, 2 bird, 3 cat, 4 deer, 5 dog, 6 frog, 7 horse,
    8 ship, 9 truck. The archive is cached under Keras's name for it and read in memory; Keras
    also unpacks it beside.

    Returns:
        `((x_train, y_train), (x_test, y_test))`, uint8 arrays of shapes `(50000, 32, 32, 3)`,
        `(50000, 1)`, `(10000, 32, 32, 3)`, `(10000, 1)`; images are `(n, 3, 32, 32)` when the
        image data format is "channels_first". Channels are red, green, blue, from 0 to 255.

    Raises:
        OSError: the file is not in the cache and cannot be downloaded.
        ValueError: the downloaded file has another hash.

    Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images".

    Example:

    >>> (x_train, y_train), _ = keras.datasets.cifar10.load_data()  # doctest: +SKIP
    >>> x_train.shape, y_train.shape  # doctest: +SKIP
    ((50000, 32, 32, 3), (50000, 1))
    """
    path = fetch(f"{FNAME}_archive", ORIGIN, FILE_HASH)
    train = [f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)]
    x_train, y_train = _readers.read_cifar_batches(path, train, b"labels")
    x_test, y_test = _readers.read_cifar_batches(
        path, ["cifar-10-batches-py/test_batch"], b"labels"
    )
    x_train, x_test = map(_readers.to_image_data_format, (x_train, x_test))
    return (x_train, y_train.astype("uint8")), (x_test, y_test.astype("uint8"))
