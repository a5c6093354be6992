"""Text as data: NumPy arrays of strings stand where tensors stand elsewhere."""

import numpy as np


def is_text(x):
    """Whether `x` is text: a string, an array of strings, or lists of strings at any depth.

    Bytes count as strings. An empty list does not: it may be anything.

    Example:

    >>> from torchkeras.core.strings import is_text
    >>> is_text([["a"], ["b"]]), is_text(np.array(["a"])), is_text([1])
    (True, True, False)
    """
    if isinstance(x, (str, bytes)):
        return True
    if isinstance(x, (list, tuple)):
        # Of arrays it is a structure of several texts.
        return bool(x) and not isinstance(x[0], np.ndarray) and is_text(x[0])
    if isinstance(x, np.ndarray):
        if x.dtype.kind == "O":
            return x.size > 0 and isinstance(x.flat[0], (str, bytes))
        return x.dtype.kind in "US" or type(x.dtype).__name__ == "StringDType"
    return False


def as_text(x, encoding="utf-8"):
    """Text as a NumPy array of `str` objects.

    Args:
        x: str, bytes, array of strings, or nested lists of strings.
        encoding: str, by which bytes are read.

    Raises:
        ValueError: the lists are ragged, or hold something else than strings.

    Example:

    >>> from torchkeras.core.strings import as_text
    >>> as_text([b"a", "b"])
    array(['a', 'b'], dtype=object)
    """
    if not isinstance(x, (str, bytes, list, tuple, np.ndarray)):
        _as_str(x, encoding)  # an error
    try:
        array = np.asarray(x) if isinstance(x, np.ndarray) else np.array(x, dtype=object)
    except ValueError as error:
        raise ValueError(
            "Rows of equal length were expected in text. Received: ragged lists of strings."
        ) from error
    flat = [_as_str(item, encoding) for item in array.reshape(-1).tolist()]
    result = np.empty(len(flat), dtype=object)
    result[:] = flat
    return result.reshape(array.shape)


def _as_str(item, encoding):
    if isinstance(item, bytes):
        return item.decode(encoding)
    if isinstance(item, str):
        return item
    raise ValueError(
        f"Text was expected: strings, in arrays or in lists of equal length. Received: {item!r} of "
        f"type {type(item).__name__} among them."
    )
