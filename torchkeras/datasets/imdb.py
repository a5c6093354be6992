"""IMDB: 50,000 movie reviews as lists of word indices, labelled positive or negative."""

import json

import numpy as np

from torchkeras.datasets import _prepare, _readers
from torchkeras.utils.file_utils import fetch

ORIGIN = _readers.STORAGE + "imdb.npz"
FILE_HASH = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
WORD_INDEX_ORIGIN = _readers.STORAGE + "imdb_word_index.json"
WORD_INDEX_FILE_HASH = "bfafd718b763782e994055a2d397834f"


def load_data(
    path="imdb.npz",
    num_words=None,
    skip_top=0,
    maxlen=None,
    seed=113,
    start_char=1,
    oov_char=2,
    index_from=3,
    **kwargs,
):
    """Load the IMDB reviews, downloading 17 MB on first use.

    A review is a list of word indices; word `i` of `get_word_index()`, the i-th most frequent
    one, is `i + index_from` here. By default 0 is left for padding, 1 marks the start and 2
    stands for words that were cut.

    Args:
        path: str, file name in the cache folder, `~/.keras/datasets` or
            `$KERAS_HOME/datasets`.
        num_words: int, or None. Indices from `num_words` on are cut; None cuts only the
            largest index in the data, as in Keras.
        skip_top: int, indices below it are cut, the start mark included.
        maxlen: int, or None. Reviews of `maxlen` indices or more are dropped, as in Keras.
        seed: int, seed of the shuffle of each part.
        start_char: int put in front of each review, or None for none.
        oov_char: int that takes the place of cut words, or None to leave them out.
        index_from: int, added to each index of the file.

    Returns:
        `((x_train, y_train), (x_test, y_test))`; x are object arrays of shape `(25000,)` of
        lists of int, y are int64 arrays of shape `(25000,)`, 1 for positive. Lists of equal
        length stay a 1-D array too, where Keras makes a 2-D one.

    Raises:
        OSError: the file is not in the cache and cannot be downloaded.
        ValueError: `maxlen` leaves no review of a part, or the downloaded file has another
            hash.
        TypeError: an argument is unknown (Keras ignores it).

    Source: Maas et al. 2011, "Learning word vectors for sentiment analysis".

    Example:

    >>> (x_train, y_train), _ = keras.datasets.imdb.load_data(num_words=10000)  # doctest: +SKIP
    >>> x_train[0][:5], y_train[0]  # doctest: +SKIP
    """
    if kwargs:
        raise TypeError(
            "imdb.load_data takes the arguments path, num_words, skip_top, maxlen, seed, "
            f"start_char, oov_char and index_from. Received also: {', '.join(kwargs)}. "
            "Remove or rename it."
        )
    path = fetch(path, ORIGIN, FILE_HASH)
    names = ("x_train", "y_train", "x_test", "y_test")
    x_train, y_train, x_test, y_test = _readers.read_object_npz(path, names)
    generator = np.random.RandomState(seed)
    sequences, labels = [], []
    for x, y in ((x_train, y_train), (x_test, y_test)):
        indices = _prepare.shuffled_indices(generator, len(x))
        x = _prepare.mark_start(x[indices], start_char, index_from)
        x, y = _prepare.drop_long(x, y[indices], maxlen)
        sequences.append(x)
        labels.append(y)
    # Both parts together: without num_words, the limit is the largest index of either.
    together = _prepare.limit_vocabulary(sequences[0] + sequences[1], num_words, skip_top, oov_char)
    count = len(sequences[0])
    return (together[:count], labels[0]), (together[count:], labels[1])


def get_word_index(path="imdb_word_index.json"):
    """Return the index of each word of the IMDB reviews, downloading 1.6 MB on first use.

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

    >>> keras.datasets.imdb.get_word_index()["the"]  # doctest: +SKIP
    1
    """
    path = fetch(path, WORD_INDEX_ORIGIN, WORD_INDEX_FILE_HASH)
    with open(path, encoding="utf-8") as file:
        return json.load(file)
