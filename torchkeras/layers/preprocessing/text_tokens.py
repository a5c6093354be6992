"""From text to tokens: standardizing, splitting and n-grams, as TensorFlow's string ops do it.

These look at UTF-8 bytes, so that case, punctuation and white space are those of ASCII alone.
Each text costs a few calls into C, whatever its length.
"""

import re
import string

import numpy as np

from torchkeras.core.strings import as_text

_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_PUNCTUATION = string.punctuation.encode()
_BYTES = {  # of a standardization: (table of new bytes, bytes that are left out)
    "lower": (_LOWER, b""),
    "strip_punctuation": (None, _PUNCTUATION),
    "lower_and_strip_punctuation": (_LOWER, _PUNCTUATION),
}
STANDARDIZATIONS = tuple(_BYTES)
SPLITS = ("whitespace", "character")

# What `str.split` takes for white space and ASCII does not.
_OTHER_SPACE = re.compile("[\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_WORD = re.compile("[^ \t\n\v\f\r]+")


def standardize_text(texts, how):
    """Texts in lower case, without punctuation, or as a function makes them.

    Args:
        texts: array of `str` objects.
        how: `"lower"`, A to Z alone; `"strip_punctuation"`, the 32 characters of
            `string.punctuation`; `"lower_and_strip_punctuation"`; None for no change; or a function
            from an array of strings, of NumPy's dtype `str`, to one of the same shape.

    Raises:
        ValueError: the function returns something else than strings, or another shape.

    Example:

    >>> standardize_text(np.array(["It's ÉTÉ!"], dtype=object), "lower_and_strip_punctuation")
    array(['its ÉtÉ'], dtype=object)
    """
    if how is None:
        return texts
    if callable(how):
        made = as_text(how(texts.astype(str)))
        if made.shape != texts.shape:
            raise ValueError(
                "`standardize` must return as many strings as it gets, in the same shape. "
                f"Received: shape {made.shape} for an input of shape {texts.shape}."
            )
        return made
    table, left_out = _BYTES[how]
    made = np.empty(texts.size, dtype=object)
    made[:] = [
        # Half of a pair of surrogates, which a Python string may have, passes unchanged.
        text.encode("utf-8", "surrogatepass")
        .translate(table, left_out)
        .decode("utf-8", "surrogatepass")
        for text in texts.ravel().tolist()
    ]
    return made.reshape(texts.shape)


def split_text(texts, how):
    """The tokens of each text.

    Args:
        texts: array `(n,)` of `str` objects.
        how: `"whitespace"`, between runs of ASCII's white space; `"character"`, each code point;
            or a function from an array `(n,)` of strings, of NumPy's dtype `str`, to n lists of
            strings, in a list or as `np.char.split` gives them, or to an array of strings
            `(n, tokens)`.

    Returns:
        n lists of strings.

    Raises:
        ValueError: the function returns something else.

    Example:

    >>> split_text(np.array([" to  be\\n", ""], dtype=object), "whitespace")
    [['to', 'be'], []]
    """
    if how == "whitespace":
        return [
            _WORD.findall(text) if _OTHER_SPACE.search(text) else text.split()
            for text in texts.tolist()
        ]
    if how == "character":
        return [list(text) for text in texts.tolist()]
    rows = how(texts.astype(str))
    rows = [row.tolist() if isinstance(row, np.ndarray) else row for row in rows]
    if len(rows) != len(texts) or not all(isinstance(row, (list, tuple)) for row in rows):
        raise ValueError(
            "`split` must return a list of strings for each text. Received: "
            f"{rows!r} for {len(texts)} texts."
        )
    return [as_text(row).tolist() for row in rows]


def ngrams_of(rows, widths):
    """Runs of neighbouring tokens, joined by spaces: those of each width after the other.

    Args:
        rows: lists of strings.
        widths: tuple of ints, numbers of tokens in a run. A row that is shorter has none of it.

    Example:

    >>> ngrams_of([["to", "be", "or"], ["not"]], (1, 2))
    [['to', 'be', 'or', 'to be', 'be or'], ['not']]
    """
    made = []
    for row in rows:
        runs = []
        for width in widths:
            shifted = [row[start:] for start in range(width)]
            runs += row if width == 1 else map(" ".join, zip(*shifted, strict=False))
        made.append(runs)
    return made
