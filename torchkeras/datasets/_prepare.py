"""What the loaders do to arrays after reading: shuffle, split, limit the vocabulary."""

import numpy as np

from torchkeras.datasets._readers import object_array


def shuffle_and_split(x, y, test_split, seed):
    """Shuffle rows and cut them into a training and a test part.

    The order is that of `np.random.RandomState(seed).shuffle`, as in Keras, so the same seed
    gives the same split.

    Args:
        x: array of shape `(n, ...)`.
        y: array of shape `(n,)`.
        test_split: float in [0, 1), fraction of rows in the test part.
        seed: int.

    Returns:
        `((x_train, y_train), (x_test, y_test))`; the first `int(n * (1 - test_split))` rows
        of the new order are the training part.

    Raises:
        ValueError: `test_split` is outside [0, 1).

    Example:

    >>> from torchkeras.datasets._prepare import shuffle_and_split
    >>> (x_train, _), (x_test, _) = shuffle_and_split(np.eye(5), np.arange(5), 0.2, seed=113)
    >>> x_train.shape, x_test.shape
    ((4, 5), (1, 5))
    """
    check_test_split(test_split)
    indices = shuffled_indices(np.random.RandomState(seed), len(x))
    count = int(len(x) * (1 - test_split))
    train, test = indices[:count], indices[count:]
    return (x[train], y[train]), (x[test], y[test])


def check_test_split(test_split):
    """Raise ValueError unless `test_split`, a fraction, is at least 0 and below 1.

    Example:

    >>> from torchkeras.datasets._prepare import check_test_split
    >>> check_test_split(0.2)
    """
    if not 0 <= test_split < 1:
        raise ValueError(
            "`test_split` must be at least 0 and below 1. "
            f"Received: test_split={test_split}. Pass a fraction, such as 0.2."
        )


def shuffled_indices(generator, count):
    """Return the numbers 0 to `count - 1` in an order drawn from a generator.

    Args:
        generator: `np.random.RandomState`; it moves on, so a second call draws another order.
        count: int, at least 0.

    Returns:
        int64 array of shape `(count,)`.

    Example:

    >>> from torchkeras.datasets._prepare import shuffled_indices
    >>> sorted(shuffled_indices(np.random.RandomState(113), 3).tolist())
    [0, 1, 2]
    """
    indices = np.arange(count)
    generator.shuffle(indices)
    return indices


def mark_start(sequences, start_char, index_from):
    """Shift word indices by `index_from` and put `start_char` in front of each sequence.

    Args:
        sequences: sequence of lists of int.
        start_char: int, or None for no mark.
        index_from: int, added to each index.

    Returns:
        list of new lists of int.

    Example:

    >>> from torchkeras.datasets._prepare import mark_start
    >>> mark_start([[1, 2]], start_char=1, index_from=3)
    [[1, 4, 5]]
    """
    start = [] if start_char is None else [start_char]
    shift = index_from or 0
    return [start + [word + shift for word in sequence] for sequence in sequences]


def drop_long(sequences, labels, maxlen):
    """Keep the sequences shorter than `maxlen`, with their labels.

    Args:
        sequences: list of lists.
        labels: array of shape `(len(sequences),)`.
        maxlen: int, or None (or 0) to keep all. A sequence of exactly `maxlen` goes too, as
            in Keras.

    Returns:
        tuple `(sequences, labels)`.

    Raises:
        ValueError: no sequence is left.

    Example:

    >>> from torchkeras.datasets._prepare import drop_long
    >>> drop_long([[1], [1, 2]], np.array([0, 1]), maxlen=2)
    ([[1]], array([0]))
    """
    if not maxlen:
        return sequences, labels
    kept = [i for i, sequence in enumerate(sequences) if len(sequence) < maxlen]
    if not kept:
        shortest = min((len(sequence) for sequence in sequences), default=0)
        raise ValueError(
            "`maxlen` must be above the length of the shortest sequence. Received: "
            f"maxlen={maxlen}, shortest sequence: {shortest}. Raise maxlen."
        )
    return [sequences[i] for i in kept], labels[kept]


def limit_vocabulary(sequences, num_words, skip_top, oov_char):
    """Replace the words outside `[skip_top, num_words)` by `oov_char`, or leave them out.

    Args:
        sequences: list of lists of int.
        num_words: int. None (or 0) takes the largest index there is, which itself is then out
            of the vocabulary, as in Keras.
        skip_top: int, at least 0.
        oov_char: int, or None to leave such words out.

    Returns:
        array of shape `(len(sequences),)` of lists of int.

    Example:

    >>> from torchkeras.datasets._prepare import limit_vocabulary
    >>> limit_vocabulary([[1, 4, 9]], num_words=5, skip_top=2, oov_char=2).tolist()
    [[2, 4, 2]]
    """
    limit = num_words or max((max(sequence) for sequence in sequences if sequence), default=0)
    if oov_char is None:
        return object_array([[w for w in x if skip_top <= w < limit] for x in sequences])
    return object_array([[w if skip_top <= w < limit else oov_char for w in x] for x in sequences])
