"""pad_sequences: sequences of different lengths as one array."""

import contextlib
import itertools
import operator

import numpy as np


def pad_sequences(
    sequences, maxlen=None, dtype="int32", padding="pre", truncating="pre", value=0.0
):
    """Sequences of different lengths as one array: short ones are padded, long ones are cut.

    Args:
        sequences: list of lists, tuples or arrays, which may be empty: numbers, strings, or
            items of one shape `(...)`, such as frames of features.
        maxlen: int of at least 0, length of all rows of the result; None for that of the longest
            sequence.
        dtype: dtype of the result; `object` for strings of any length.
        padding: `"pre"` or `"post"`, the side on which short sequences are padded.
        truncating: `"pre"` or `"post"`, the side on which long sequences are cut.
        value: float or str, what is put where a sequence has nothing.

    Returns:
        NumPy array `(len(sequences), maxlen, ...)`.

    Raises:
        ValueError: `sequences` or one of its items has no length; their items differ in shape;
            there is no sequence, and no `maxlen` either; `padding` or `truncating` is unknown;
            `value` is a string and `dtype` is not of strings or objects.
        TypeError: a sequence is a string.

    Example:

    >>> keras.utils.pad_sequences([[1], [2, 3], [4, 5, 6, 7]], maxlen=3)
    array([[0, 0, 1],
           [0, 2, 3],
           [5, 6, 7]], dtype=int32)
    >>> keras.utils.pad_sequences([[1], [2, 3]], padding="post", value=-1)
    array([[ 1, -1],
           [ 2,  3]], dtype=int32)
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ValueError(f"`{name}` must be 'pre' or 'post'. Received: {name}={side!r}.")
    lengths = _lengths(sequences)
    if maxlen is None:
        if not lengths:
            raise ValueError(
                "`maxlen` is that of the longest sequence, unless given. Received: no sequence "
                "at all. Give `maxlen`."
            )
        maxlen = max(lengths)
    maxlen = operator.index(maxlen)
    if maxlen < 0:
        raise ValueError(f"`maxlen` must be at least 0. Received: maxlen={maxlen}.")
    dtype = np.dtype(dtype)
    if isinstance(value, str) and dtype.kind not in "OUS":
        raise ValueError(
            f"A string as `value` needs a dtype of strings. Received: value={value!r}, "
            f"dtype={dtype}. Use dtype=object for strings of any length."
        )

    first = next((row for row, length in zip(sequences, lengths, strict=True) if length), ())
    item_shape = np.asarray(first).shape[1:]
    padded = np.full((len(lengths), maxlen, *item_shape), value, dtype=dtype)
    kept = np.minimum(np.array(lengths, dtype="int64"), maxlen)[:, None]
    if kept.any():
        places = np.arange(maxlen)
        filled = places >= maxlen - kept if padding == "pre" else places < kept
        rows = _cut(sequences, lengths, maxlen, truncating)
        padded[filled] = _joined(rows, dtype, item_shape)
    return padded


def _lengths(sequences):
    if not hasattr(sequences, "__len__"):
        raise ValueError(
            "`sequences` must be a list of sequences. Received: an object of type "
            f"{type(sequences).__name__}, which has no length. Make a list of it."
        )
    lengths = []
    for index, row in enumerate(sequences):
        if isinstance(row, (str, bytes)):
            raise TypeError(
                "`sequences` must be a list of lists or arrays. Received: the string "
                f"{row!r} at position {index}. Split it first."
            )
        try:
            lengths.append(len(row))
        except TypeError as error:
            raise ValueError(
                f"`sequences` must be a list of lists or arrays. Received: {row!r} at position "
                f"{index}, which has no length."
            ) from error
    return lengths


def _cut(sequences, lengths, maxlen, truncating):
    for row, length in zip(sequences, lengths, strict=True):
        if length <= maxlen:
            yield row
        else:
            yield row[length - maxlen :] if truncating == "pre" else row[:maxlen]


def _joined(rows, dtype, item_shape):
    """The items of all rows, one after the other, as an array `(items, ...)`."""
    rows = list(rows)
    if not item_shape and dtype.kind != "O" and all(isinstance(row, list) for row in rows):
        # An array for each row would cost ten times as much as one for all.
        with contextlib.suppress(ValueError):  # the loop below knows which row is at fault
            return np.array(list(itertools.chain.from_iterable(rows)), dtype=dtype)
    arrays = [np.asarray(row, dtype=dtype) for row in rows]
    for index, array in enumerate(arrays):
        if array.shape[0] and array.shape[1:] != item_shape:
            raise ValueError(
                f"The items of all sequences must have one shape, {item_shape} as in the first. "
                f"Received: {array.shape[1:]} in the sequence at position {index}."
            )
    return np.concatenate([array for array in arrays if array.shape[0]])
