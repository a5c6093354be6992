"""MNIST: 70,000 grayscale images of handwritten digits, 28 x 28 pixels."""

import importlib.resources

from torchkeras.datasets import _readers
from torchkeras.utils.file_utils import fetch

ORIGIN = _readers.STORAGE + "mnist.npz"
FILE_HASH = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
# Shape, dtype and sha256 of the bytes of each array: the same data in another zip is MNIST too.
ARRAY_DIGESTS = {
    "x_train": (
        (60000, 28, 28),
        "uint8",
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    ),
    "y_train": (
        (60000,),
        "uint8",
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    ),
    "x_test": (
        (10000, 28, 28),
        "uint8",
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    ),
    "y_test": (
        (10000,),
        "uint8",
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    ),
}

_NAMES = ("x_train", "y_train", "x_test", "y_test")


def load_data(path="mnist.npz"):
    """Load MNIST, downloading 11 MB on first use.

    A file in the cache is used when its sha256 is that of Keras's file, or when the four arrays
    in it are MNIST's, byte for byte; otherwise it is downloaded again.

    Args:
        path: str, file name in the cache folder, `~/.keras/datasets` or
            `$KERAS_HOME/datasets`.

    Returns:
        `((x_train, y_train), (x_test, y_test))`, uint8 arrays of shapes `(60000, 28, 28)`,
        `(60000,)`, `(10000, 28, 28)`, `(10000,)`. Pixels are 0 (background) to 255, labels the
        digits 0 to 9.

    Raises:
        OSError: the file is not in the cache and cannot be downloaded.
        ValueError: the downloaded file has another hash.

    Source: LeCun, Cortes and Burges, CC BY-SA 3.0; LeCun et al. 1998, "Gradient-based learning
        applied to document recognition".

    Example:

    >>> (x_train, y_train), _ = keras.datasets.mnist.load_data()  # doctest: +SKIP
    >>> x_train.shape, y_train.shape  # doctest: +SKIP
    ((60000, 28, 28), (60000,))
    """
    path = fetch(
        path,
        ORIGIN,
        FILE_HASH,
        accept=lambda cached: _readers.arrays_match(cached, ARRAY_DIGESTS),
    )
    x_train, y_train, x_test, y_test = _readers.read_npz(path, _NAMES)
    return (x_train, y_train), (x_test, y_test)


def load_sample():
    """Load the small part of MNIST that is shipped with the package; needs no network.

    For examples and tests; not in Keras. Of each digit, the first 150 training and the first 50
    test images of MNIST, in MNIST's order.

    Returns:
        `((x_train, y_train), (x_test, y_test))`, uint8 arrays of shapes `(1500, 28, 28)`,
        `(1500,)`, `(500, 28, 28)`, `(500,)`. Pixels are 0 (background) to 255, labels the
        digits 0 to 9.

    Source: LeCun, Cortes and Burges, CC BY-SA 3.0, as for `load_data`.

    Example:

    >>> (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_sample()
    >>> x_train.shape, x_test.shape
    ((1500, 28, 28), (500, 28, 28))
    >>> np.bincount(y_train).tolist()
    [150, 150, 150, 150, 150, 150, 150, 150, 150, 150]
    """
    sample = importlib.resources.files("torchkeras.datasets") / "samples" / "mnist_sample.npz"
    with sample.open("rb") as file:
        x_train, y_train, x_test, y_test = _readers.read_npz(file, _NAMES)
    return (x_train, y_train), (x_test, y_test)
