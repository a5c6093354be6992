"""Reuters: 11,228 newswires as lists of word indices, labelled with one of 46 topics."""

import json

import numpy as np

from torchkeras.datasets import _prepare, _readers
from torchkeras.utils.file_utils import fetch

ORIGIN = _readers.STORAGE + "reuters.npz"
FILE_HASH = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
WORD_INDEX_ORIGIN = _readers.STORAGE + "reuters_word_index.json"
WORD_INDEX_FILE_HASH = "4d44cc38712099c9e383dc6e5f11a921"

_LABEL_NAMES = (
    "cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves "
    "ship cotton carcass crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin "
    "strategic-metal livestock retail ipi iron-steel rubber heat jobs lei bop zinc orange pet-chem "
    "dlr gas silver wpi hog lead"
)


def load_data(
    path="reuters.npz",
    num_words=None,
    skip_top=0,
    maxlen=None,
    test_split=0.2,
    seed=113,
    start_char=1,
    oov_char=2,
    index_from=3,
):
    """Load the Reuters newswires, downloading 2 MB on first use.

    A newswire is a list of word indices; word `i` of `get_word_index()`, the i-th most
    frequent one, is `i + index_from` here. By default 0 is left for padding, 1 marks the start
    and 2 stands for words that were cut.

    Args:
        path: str, file name in the cache folder, `~/.keras/datasets` or
            `$KERAS_HOME/datasets`.
        num_words: int, or None. Indices from `num_words` on are cut; None cuts only the
            largest index in the data, as in Keras.
        skip_top: int, indices below it are cut, the start mark included.
        maxlen: int, or None. Newswires of `maxlen` indices or more are dropped, as in Keras.
        test_split: float in [0, 1), fraction of the newswires in the test part.
        seed: int, seed of the shuffle before the split.
        start_char: int put in front of each newswire, or None for none.
        oov_char: int that takes the place of cut words, or None to leave them out.
        index_from: int, added to each index of the file.

    Returns:
        `((x_train, y_train), (x_test, y_test))`; x are object arrays of shape `(n,)` of lists
        of int, y are int64 arrays of shape `(n,)`, positions in `get_label_names()`. Of 11,228
        newswires, 8,982 are for training by default. Lists of equal length stay a 1-D array
        too, where Keras makes a 2-D one.

    Raises:
        OSError: the file is not in the cache and cannot be downloaded.
        ValueError: `test_split` is out of range (unchecked in Keras), `maxlen` leaves no
            newswire, or the downloaded file has another hash.

    Source: Reuters-21578, D. Lewis 1997.

    Example:

    >>> (x_train, y_train), _ = keras.datasets.reuters.load_data()  # doctest: +SKIP
    >>> x_train.shape  # doctest: +SKIP
    (8982,)
    """
    _prepare.check_test_split(test_split)
    x, y = _readers.read_object_npz(fetch(path, ORIGIN, FILE_HASH), ("x", "y"))
    indices = _prepare.shuffled_indices(np.random.RandomState(seed), len(x))
    x = _prepare.mark_start(x[indices], start_char, index_from)
    x, y = _prepare.drop_long(x, y[indices], maxlen)
    x = _prepare.limit_vocabulary(x, num_words, skip_top, oov_char)
    count = int(len(x) * (1 - test_split))
    return (x[:count], y[:count]), (x[count:], y[count:])


def get_word_index(path="reuters_word_index.json"):
    """Return the index of each word of the newswires, downloading 0.5 MB on first use.

    Add `index_from` of `load_data` (3 by default) to get the numbers in its lists.

    Args:
        path: str, file name in the cache folder, `~/.keras/datasets` or
            `$KERAS_HOME/datasets`.

    Returns:
        dict from str to int; 1 is the most frequent word.

    Raises:
        OSError: the file is not in the cache and cannot be downloaded.
        ValueError: the downloaded file has another hash.

    Example:

    >>> keras.datasets.reuters.get_word_index()["the"]  # doctest: +SKIP
    1
    """
    path = fetch(path, WORD_INDEX_ORIGIN, WORD_INDEX_FILE_HASH)
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def get_label_names():
    """Return the names of the 46 topics, in the order of the labels.

    Returns:
        tuple of str.

    Example:

    >>> keras.datasets.reuters.get_label_names()[3]
    'earn'
    """
    return tuple(_LABEL_NAMES.split())
