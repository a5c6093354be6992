"""Text tables in box characters, wrapped cell by cell; the layout of Keras's summaries."""

import math
import re
import unicodedata


def fit_widths(widths, space):
    """Widths that fill `space` exactly: all narrowed alike, or widened in proportion.

    Args:
        widths: list of ints, at least 1; the widths asked for.
        space: int, their sum in the result.

    Example:

    >>> from torchkeras.utils.text_table import fit_widths
    >>> fit_widths([10, 20, 30], 51), fit_widths([10, 20, 30], 66)
    ([7, 17, 27], [11, 22, 33])
    """
    widths = [min(width, space) for width in widths]
    excess, weight = sum(widths) - space, sum(widths)
    for i, width in enumerate(widths):
        if excess > 0:
            change = -min(width, round(excess / (len(widths) - i)))
        else:
            change = math.ceil(-excess * width / weight)
        widths[i] += change
        excess += change
        weight -= width
    return widths


def draw_table(header, rows, widths, alignments):
    """Lines of a table; a cell is wrapped between words, a word too long ends in an ellipsis.

    Args:
        header: list of str.
        rows: list of lists of str.
        widths: list of ints, the columns' widths with one space of padding on either side.
        alignments: list of `"left"`, `"center"` or `"right"`.

    Example:

    >>> from torchkeras.utils.text_table import draw_table
    >>> print(*draw_table(["a", "b"], [["one two", "3"]], [7, 5], ["left", "right"]), sep="\\n")
    ┏━━━━━━━┳━━━━━┓
    ┃ a     ┃   b ┃
    ┡━━━━━━━╇━━━━━┩
    │ one   │   3 │
    │ two   │     │
    └───────┴─────┘
    """

    def line(left, fill, middle, right):
        return left + middle.join(fill * width for width in widths) + right

    lines = [line("┏", "━", "┳", "┓")]
    lines += _draw_row(header, widths, alignments, "┃", from_below=True)
    lines.append(line("┡", "━", "╇", "┩"))
    for i, row in enumerate(rows):
        if i:
            lines.append(line("├", "─", "┼", "┤"))
        lines += _draw_row(row, widths, alignments, "│")
    lines.append(line("└", "─", "┴", "┘"))
    return lines


def _draw_row(cells, widths, alignments, border, from_below=False):
    blocks = []
    for cell, width, alignment in zip(cells, widths, alignments, strict=True):
        inner = width - 2
        block = [_align(text, inner, alignment) for text in wrap(cell, inner)]
        blocks.append([cut(f" {text} ", width) for text in block])
    height = max(len(block) for block in blocks)
    for block, width in zip(blocks, widths, strict=True):
        missing = [" " * width] * (height - len(block))
        block[:] = missing + block if from_below else block + missing
    return [border + border.join(texts) + border for texts in zip(*blocks, strict=True)]


def _align(text, width, alignment="left"):
    free = width - _width(text)
    left = {"left": 0, "center": free // 2, "right": free}[alignment]
    return " " * left + text + " " * (free - left)


def wrap(text, width, fold=False):
    """A text as lines of at most `width` columns, broken between words.

    Args:
        text: str.
        width: int.
        fold: bool; a word too long goes on in the next line (True) or ends in an ellipsis.

    Example:

    >>> from torchkeras.utils.text_table import wrap
    >>> wrap("one seventeen", 5), wrap("one seventeen", 5, fold=True)
    (['one', 'seve…'], ['one', 'seven', 'teen'])
    """
    if width < 1:
        return [""]
    lines, line = [], ""
    for word in re.findall(r"\s*\S+\s*", text):
        length = _width(word.rstrip())
        if _width(line) + length <= width:
            line += word
            continue
        lines += [line] if line else []
        while fold and _width(word.rstrip()) > width:
            start = cut(word, width) or word[0]
            lines.append(start)
            word = word[len(start) :]
        line = word
    lines = [text.rstrip() for text in (lines + [line] if line else lines or [""])]
    return [s if _width(s) <= width else _align(cut(s, width - 1), width - 1) + "…" for s in lines]


def _width(text):
    """Columns a text takes in a terminal: two for each wide character, as in Chinese."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def cut(text, width):
    """The start of a text that fits into `width` columns of a terminal.

    Example:

    >>> from torchkeras.utils.text_table import cut
    >>> cut("文字 text", 3)
    '文'
    """
    used = 0
    for i, character in enumerate(text):
        used += _width(character)
        if used > width:
            return text[:i]
    return text
