"""Boston Housing: prices of homes in 506 districts around Boston, in the 1970s."""

from torchkeras.datasets import _prepare, _readers
from torchkeras.utils.file_utils import fetch

ORIGIN = _readers.STORAGE + "boston_housing.npz"
FILE_HASH = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"


def load_data(path="boston_housing.npz", test_split=0.2, seed=113):
    """Load the Boston Housing regression data, downloading 57 kB on first use.

    One of the 13 features, "B", encodes the share of Black residents in a form that presumes
    segregation to raise prices. Use the data only to study such problems; for a regression
    example take `california_housing`.

    Args:
        path: str, file name in the cache folder, `~/.keras/datasets` or
            `$KERAS_HOME/datasets`.
        test_split: float in [0, 1), fraction of the samples in the test part.
        seed: int, seed of the shuffle before the split.

    Returns:
        `((x_train, y_train), (x_test, y_test))`, float64 arrays of shapes `(n, 13)` and
        `(n,)`; of 506 samples, 404 are for training by default. Targets are median home values
        in 1,000 dollars, 5 to 50.

    Raises:
        OSError: the file is not in the cache and cannot be downloaded.
        ValueError: `test_split` is out of range, or the downloaded file has another hash.

    Source: Harrison and Rubinfeld 1978, "Hedonic prices and the demand for clean air"; StatLib.

    Example:

    >>> (x_train, y_train), _ = keras.datasets.boston_housing.load_data()  # doctest: +SKIP
    >>> x_train.shape, y_train.shape  # doctest: +SKIP
    ((404, 13), (404,))
    """
    _prepare.check_test_split(test_split)
    x, y = _readers.read_npz(fetch(path, ORIGIN, FILE_HASH), ("x", "y"))
    return _prepare.shuffle_and_split(x, y, test_split, seed)
