"""Quantization of floats to few integers, by the largest or by the smallest and largest value."""

import torch
from torch.nn import functional as F

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.operation import op


@op
def abs_max_quantize(
    inputs, axis, value_range=(-127, 127), dtype="int8", epsilon=1e-7, to_numpy=False
):
    """Integers `round(x * scale)`, with the scale at which the largest `|x|` fills the range.

    Args:
        inputs: float tensor.
        axis: int or tuple of ints, along which values share a scale.
        value_range: pair of the smallest and largest integer; the latter sets the scale.
        dtype: name of an integer dtype, of the result.
        epsilon: float, added to the largest value so that zeros have a scale, too.
        to_numpy: kept for Keras's signature; the numbers are the same.

    Returns:
        The integers, and the scale with axes of size 1: `integers / scale` is near `inputs`.

    Example:

    >>> x, scale = keras.quantizers.abs_max_quantize(torch.tensor([1.0, -2.0, 0.0]), axis=-1)
    >>> x, scale
    (tensor([  64, -127,    0], dtype=torch.int8), tensor([63.5000]))
    """
    inputs = convert_to_tensor(inputs)
    axis = axis if isinstance(axis, int) else tuple(axis)
    scale = value_range[1] / (inputs.abs().amax(axis, keepdim=True) + epsilon)
    outputs = (inputs * scale).round().clamp(*value_range)
    return outputs.to(to_torch_dtype(dtype)), scale


@op
def abs_max_quantize_grouped_with_zero_point(
    inputs, block_size, value_range=(-8, 7), dtype="int8", epsilon=1e-7, to_numpy=False
):
    """Integers `round(x / scale) + zero`, with a scale and a zero for each block of a column.

    The range of a block reaches from its smallest to its largest value, and holds 0.

    Args:
        inputs: float tensor `(rows, columns)`.
        block_size: int, how many values below each other are a block.
        value_range: pair of the smallest and largest integer.
        dtype: name of an integer dtype, of the result.
        epsilon: float, added to the range so that zeros have a scale, too.
        to_numpy: kept for Keras's signature; the numbers are the same.

    Returns:
        The integers, the scales and the int8 zeros, `(ceil(rows / block_size), columns)` each:
        `(integers - zero) * scale` is near `inputs`.

    Example:

    >>> quantize = keras.quantizers.abs_max_quantize_grouped_with_zero_point
    >>> x, scale, zero = quantize(torch.tensor([[0.0], [1.5], [0.5]]), block_size=2)
    >>> x.ravel(), zero.ravel()
    (tensor([-8,  7,  7], dtype=torch.int8), tensor([-8, -8], dtype=torch.int8))
    """
    inputs = convert_to_tensor(inputs)
    rows, columns = inputs.shape
    low, high = value_range
    padded = F.pad(inputs, (0, 0, 0, -rows % block_size)).reshape(-1, block_size, columns)
    # A range without 0 has its zero outside of the integers, and nothing in it could be told.
    least = padded.amin(1, keepdim=True).clamp(max=0)
    most = padded.amax(1, keepdim=True).clamp(min=0)
    scale = (most - least + epsilon) / (high - low)
    zero = ((-least / scale).round() + low).clamp(low, high)
    outputs = ((padded / scale).round() + zero).clamp(low, high).to(to_torch_dtype(dtype))
    outputs = outputs.reshape(-1, columns)[:rows]
    return outputs, scale.squeeze(1), zero.squeeze(1).to(torch.int8)
