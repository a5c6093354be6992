"""einsum_shapes: what the equation of an EinsumDense says of its weights and its output."""

import re
import string
from typing import NamedTuple

_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


class EinsumShapes(NamedTuple):
    """What follows from an equation and the shape of an input.

    Attributes:
        kernel: shape of the kernel, None where a size is unknown.
        bias: shape of the bias, or None.
        output: shape of the output.
        input_axes: axes of the kernel that are summed over.
        output_axes: axes of the kernel that are in the output.
        contracted: int, where the product is that of two matrices: so many last axes of the input
            are the first of the kernel, whose others are the last of the output; else None.
    """

    kernel: tuple
    bias: tuple | None
    output: tuple
    input_axes: list
    output_axes: list
    contracted: int | None


def einsum_shapes(equation, bias_axes, input_shape, output_shape):
    """The EinsumShapes of an equation.

    Args:
        equation: str, as `"abc,cd->abd"`, `"...x,xy->...y"` or `"ab...,bc->ac..."`.
        bias_axes: str of letters of the output, or None.
        input_shape: tuple, None where a size is unknown.
        output_shape: tuple, sizes of the output's axes after the first that the equation names;
            None where it is that of the input.

    Raises:
        ValueError: the equation has none of these forms, does not fit the input, contradicts
            `output_shape`, or has a letter that nothing gives a size.

    Example:

    >>> einsum_shapes("abc,cd->abd", "d", (None, 5, 3), (None, 4))[:3]
    ((3, 4), (4,), (None, 5, 4))
    """
    left, inputs, kernel, outputs = _parsed(equation)
    elided = len(input_shape) - len(inputs)
    if elided < 0 or (elided and left is None):
        at_least = "" if left is None else "at least "
        raise ValueError(
            f"The equation '{equation}' takes inputs of {at_least}{len(inputs)} axes. Received: "
            f"input_shape={tuple(input_shape)}."
        )
    before = tuple(input_shape[:elided]) if left else ()
    after = () if left else tuple(input_shape[len(inputs) :])
    named = input_shape[len(before) :][: len(inputs)]
    # The first axis stays what it is, whether the equation names it or not.
    full = (*(before or input_shape[:1]), *output_shape, *after)
    if len(full) != len(before) + len(outputs) + len(after):
        raise ValueError(
            f"`output_shape` must have a size for each axis of '{outputs}' in the equation "
            f"'{equation}', but the first axis of the output. Received: output_shape="
            f"{tuple(output_shape)} for inputs of shape {tuple(input_shape)}."
        )
    sizes_in = dict(zip(inputs, named, strict=True))
    sizes_out = dict(zip(outputs, full[len(before) :], strict=False))  # `after` has no letters
    for letter in inputs:
        size, made = sizes_in[letter], sizes_out.get(letter)
        if made is not None and made != size:
            raise ValueError(
                f"Axis '{letter}' of the equation '{equation}' has one size in input and output. "
                f"Received: {size} in the input, {made} in `output_shape`."
            )
    for letter in outputs:
        if letter not in inputs and letter not in kernel:
            raise ValueError(
                f"Each letter of the output must stand in the input or the kernel. Received: "
                f"equation='{equation}', with '{letter}' in the output alone."
            )
    for letter in kernel:
        if letter not in sizes_in and letter not in sizes_out:
            raise ValueError(
                f"Each letter of the kernel must stand in the input or the output. Received: "
                f"equation='{equation}', with '{letter}' in the kernel alone."
            )
    for letter in bias_axes or ():
        if letter not in outputs:
            raise ValueError(
                f"`bias_axes` must be letters of the output '{outputs}'. Received: bias_axes="
                f"'{bias_axes}' for the equation '{equation}'."
            )
    # An output's size that was left open is that of the input, if the input has it.
    sizes = {**sizes_in, **{k: n for k, n in sizes_out.items() if n is not None}}
    made = [sizes.get(letter) for letter in outputs]
    return EinsumShapes(
        kernel=tuple(sizes.get(letter) for letter in kernel),
        bias=_bias_shape(bias_axes, outputs, made, len(after)),
        output=(*before, *made, *after),
        input_axes=[i for i, letter in enumerate(kernel) if letter not in sizes_out],
        output_axes=[i for i, letter in enumerate(kernel) if letter in sizes_out],
        contracted=None if after else _contracted(inputs, kernel, outputs),
    )


def einsum_letters(equation, ndim):
    """Letters for the axes of input, kernel and output, those of `...` too.

    Args:
        equation: str.
        ndim: int, number of axes of the input.

    Example:

    >>> einsum_letters("...bc,cd->...bd", 4)
    ('YZbc', 'cd', 'YZbd')
    """
    left, inputs, kernel, outputs = _parsed(equation)
    free = [
        letter for letter in string.ascii_letters[::-1] if letter not in inputs + kernel + outputs
    ]
    rest = "".join(sorted(free[: ndim - len(inputs)]))
    before, after = (rest, "") if left else ("", rest)
    return before + inputs + after, kernel, before + outputs + after


def _parsed(equation):
    """`(left, inputs, kernel, outputs)`; `left` tells where axes are elided, None for nowhere."""
    match = _EQUATION.fullmatch(equation.replace(" ", ""))
    if match:
        left, inputs, right, kernel, left_out, outputs, right_out = match.groups()
        if left == left_out and right == right_out and not (left and right):
            return bool(left) if left or right else None, inputs, kernel, outputs
    raise ValueError(
        "`equation` must have the form [X],[Y]->[Z], ...[X],[Y]->...[Z] or [X]...,[Y]->[Z]... . "
        f"Received: equation='{equation}'."
    )


def _bias_shape(bias_axes, outputs, sizes, elided):
    if bias_axes is None:
        return None
    first = min(outputs.index(letter) for letter in bias_axes)
    shape = [
        size if letter in bias_axes else 1
        for letter, size in zip(outputs[first:], sizes[first:], strict=True)
    ]
    return (*shape, *[1] * elided)


def _contracted(inputs, kernel, outputs):
    """How many axes a product of two matrices sums over; None where it is another product."""
    for count in range(1, min(len(inputs), len(kernel)) + 1):
        free, summed = inputs[:-count], inputs[-count:]
        made = kernel[count:]
        letters = free + summed + made
        if kernel == summed + made and outputs == free + made and len({*letters}) == len(letters):
            return count
    return None
