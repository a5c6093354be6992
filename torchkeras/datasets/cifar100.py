"""CIFAR-100: 60,000 colour images of 100 kinds of things, 32 x 32 pixels."""

from torchkeras.datasets import _readers
from torchkeras.utils.file_utils import fetch

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
FILE_HASH = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
FNAME = "cifar-100-python-target"


def load_data(label_mode="fine"):
    """Load CIFAR-100, downloading 169 MB on first use.

    The archive is cached under Keras's name for it and read in memory; Keras also unpacks it
    beside.

    Args:
        label_mode: "fine" for the 100 classes, "coarse" for the 20 groups they form.

    Returns:
        `((x_train, y_train), (x_test, y_test))`: uint8 images of shapes `(50000, 32, 32, 3)`
        and `(10000, 32, 32, 3)`, or `(n, 3, 32, 32)` when the image data format is
        "channels_first", with channels red, green, blue from 0 to 255; and int64 labels (as
        in Keras, unlike CIFAR-10's) of shapes `(50000, 1)` and `(10000, 1)`.

    Raises:
        OSError: the file is not in the cache and cannot be downloaded.
        ValueError: `label_mode` is another word, or the downloaded file has another hash.

    Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images".

    Example:

    >>> (x_train, y_train), _ = keras.datasets.cifar100.load_data()  # doctest: +SKIP
    >>> x_train.shape, y_train.shape  # doctest: +SKIP
    ((50000, 32, 32, 3), (50000, 1))
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(
            f"`label_mode` must be 'fine' or 'coarse'. Received: label_mode={label_mode!r}. "
            "Use 'fine' for 100 classes, 'coarse' for 20."
        )
    path = fetch(f"{FNAME}_archive", ORIGIN, FILE_HASH)
    key = f"{label_mode}_labels".encode()
    x_train, y_train = _readers.read_cifar_batches(path, ["cifar-100-python/train"], key)
    x_test, y_test = _readers.read_cifar_batches(path, ["cifar-100-python/test"], key)
    x_train, x_test = map(_readers.to_image_data_format, (x_train, x_test))
    return (x_train, y_train), (x_test, y_test)
