"""California Housing: median house values of 20,640 block groups, from the 1990 census."""

from torchkeras.datasets import _prepare, _readers
from torchkeras.utils.file_utils import fetch

ORIGIN = _readers.STORAGE + "california_housing.npz"
FILE_HASH = "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"


def load_data(version="large", path="california_housing.npz", test_split=0.2, seed=113):
    """Load the California Housing regression data, downloading it on first use.

    A sample is a census block group of 600 to 3,000 people. Its 8 features are, in this
    order, MedInc, HouseAge, AveRooms, AveBedrms, Population, AveOccup, Latitude and
    Longitude. Averages are per household, so a group with many empty houses has large ones.

    Args:
        version: "large" for all 20,640 samples, "small" for the first 600 of the file.
        path: str, file name in the cache folder, `~/.keras/datasets` or
            `$KERAS_HOME/datasets`.
        test_split: float in [0, 1), fraction of the samples in the test part.
        seed: int, seed of the shuffle before the split.

    Returns:
        `((x_train, y_train), (x_test, y_test))`, floating point arrays of shapes `(n, 8)` and
        `(n,)`. Targets are median house values in dollars.

    Raises:
        OSError: the file is not in the cache and cannot be downloaded.
        ValueError: `version` is another word, `test_split` is out of range, or the downloaded
            file has another hash.

    Source: Pace and Barry 1997, "Sparse spatial autoregressions"; StatLib.

    Example:

    >>> (x_train, _), _ = keras.datasets.california_housing.load_data()  # doctest: +SKIP
    >>> x_train.shape  # doctest: +SKIP
    (16512, 8)
    """
    if version not in ("small", "large"):
        raise ValueError(
            f"`version` must be 'small' or 'large'. Received: version={version!r}. "
            "Use 'large' for all samples, 'small' for 600."
        )
    _prepare.check_test_split(test_split)
    x, y = _readers.read_npz(fetch(path, ORIGIN, FILE_HASH), ("x", "y"))
    if version == "small":
        x, y = x[:600], y[:600]
    return _prepare.shuffle_and_split(x, y, test_split, seed)
