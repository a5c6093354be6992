"""WeightCode: how a weight of floats is kept in integers of 8 or 4 bits, and comes back."""

import math
from typing import NamedTuple

from torchkeras.quantizers.abs_max import abs_max_quantize_grouped_with_zero_point
from torchkeras.quantizers.int4_packing import pack_int4, unpack_int4
from torchkeras.quantizers.quantizer import AbsMaxQuantizer


class WeightCode(NamedTuple):
    """What the integers of a weight mean.

    A weight of 4 bits is a matrix, whose values along `axis` share a scale, or do so by blocks.

    Attributes:
        shape: tuple, that of the weight.
        bits: int, 8 or 4.
        axis: int or tuple of ints, along which values share a scale.
        letters: pair of strings, names of the axes of the weight and of its scale, where the scale
            has those of a product's output; None where it has those of the weight but `axis`.
        matrix: pair of sizes of the matrix, for 4 bits.
        packed_axis: int, along which two integers of 4 bits are in one byte.
        block_size: int, or None for one scale along the whole of `axis`.
    """

    shape: tuple
    bits: int
    axis: int | tuple
    letters: tuple | None = None
    matrix: tuple | None = None
    packed_axis: int = -1
    block_size: int | None = None

    @property
    def stored_shape(self):
        """Shape of the integers."""
        if self.bits == 8:
            return self.shape
        shape = list(self.matrix)
        shape[self.packed_axis] = (shape[self.packed_axis] + 1) // 2
        return tuple(shape)

    @property
    def scale_shape(self):
        """Shape of the scale, and of the zero."""
        if self.letters is not None:
            sizes = dict(zip(self.letters[0], self.shape, strict=True))
            return tuple(sizes.get(letter, 1) for letter in self.letters[1])
        shape = list(self.matrix or self.shape)
        if self.block_size is None:
            del shape[self.axis]
        else:
            shape[self.axis] = math.ceil(shape[self.axis] / self.block_size)
        return tuple(shape)


def align(x, letters, wanted):
    """`x`, whose axes have these letters, with the axes that `wanted` names; of size 1 if missing.

    Args:
        x: tensor.
        letters: str, a letter for each axis; those that are not wanted have size 1.
        wanted: str, a letter for each axis of the result.

    Example:

    >>> align(torch.ones(2, 1, 3), "abc", "cda").shape
    torch.Size([3, 1, 2])
    """
    dropped = [i for i, letter in enumerate(letters) if letter not in wanted]
    kept = [letter for letter in letters if letter in wanted]
    x = x.squeeze(dropped) if dropped else x
    x = x.permute([kept.index(letter) for letter in wanted if letter in kept])
    for i, letter in enumerate(wanted):
        if letter not in kept:
            x = x.unsqueeze(i)
    return x


def encode(value, code, quantizer=None):
    """The integers, the scale and the zero of a weight of floats.

    Args:
        value: float tensor of shape `code.shape`.
        code: WeightCode.
        quantizer: Quantizer, or None for AbsMaxQuantizer.

    Returns:
        Three tensors; the zero is None where there are no blocks.

    Raises:
        ValueError: the scales of `quantizer` are not those of the code.
    """
    if code.bits == 4:
        value = value.reshape(code.matrix)
    if code.block_size is not None:
        turned = code.axis != 0
        value = value.T if turned else value
        parts = abs_max_quantize_grouped_with_zero_point(value, code.block_size)
        integers, scale, zero = [part.T if turned else part for part in parts]
        return pack_int4(integers, code.packed_axis)[0], scale, zero
    if quantizer is None:
        quantizer = AbsMaxQuantizer(value_range=(-8, 7) if code.bits == 4 else (-127, 127))
    own_axis = getattr(quantizer, "axis", code.axis) is not None
    axis = {} if own_axis and quantizer.axis is not None else {"axis": code.axis}
    integers, scale = quantizer(value, to_numpy=True, **axis)
    expected = math.prod(code.scale_shape)
    if scale.numel() != expected or integers.shape != value.shape:
        raise ValueError(
            f"The weight quantizer must give a scale for each output: {expected} for a weight of "
            f"shape {code.shape}. Received: a scale of shape {tuple(scale.shape)} from "
            f"{quantizer!r}. Leave its `axis` out, or set axis={code.axis}."
        )
    if code.letters is not None:
        scale = align(scale, *code.letters)
    scale = scale.reshape(code.scale_shape)
    return (pack_int4(integers, code.packed_axis)[0] if code.bits == 4 else integers), scale, None


def decode(stored, scale, zero, code, dtype):
    """The weight of floats that integers stand for.

    Args:
        stored, scale, zero: tensors, as `encode` gives them.
        code: WeightCode.
        dtype: torch dtype of the result.

    Returns:
        Tensor of shape `code.shape`.
    """
    if code.bits == 4:
        stored = unpack_int4(stored, code.matrix[code.packed_axis], code.packed_axis)
    if zero is not None:
        zero = spread(zero.to(scale.dtype), code)
        return ((stored - zero) * spread(scale, code)).to(dtype).reshape(code.shape)
    if code.letters is not None:
        scale = align(scale, code.letters[1], code.letters[0])
    else:
        scale = scale.unsqueeze(code.axis)
    return (stored.to(dtype) / scale).to(dtype).reshape(code.shape)


def spread(x, code, axis=None):
    """A scale or zero of blocks, for each of the places along the axis that is cut into blocks."""
    axis = code.axis if axis is None else axis
    return x.repeat_interleave(code.block_size, axis).narrow(axis, 0, code.matrix[code.axis])
