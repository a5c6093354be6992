"""Scales of 8-bit floats that follow the largest values of the last steps."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.operation import op


@op
def compute_float8_scale(amax, scale, dtype_max, margin=0):
    """The scale at which values up to `amax` fill the range of an 8-bit float.

    Args:
        amax: tensor, the largest absolute value of the last steps.
        scale: tensor, the scale until now, which stays where `amax` is 0 or not finite.
        dtype_max: float, the largest value of the 8-bit float.
        margin: int, how many powers of two are left free above.

    Returns:
        The scale that values are divided by: `amax / dtype_max * 2**margin`.

    Example:

    >>> keras.quantizers.compute_float8_scale(torch.tensor(224.0), torch.tensor(1.0), 448.0)
    tensor(0.5000)
    """
    amax = convert_to_tensor(amax)
    kept = 1 / convert_to_tensor(scale)
    factor = dtype_max / amax / 2**margin
    factor = torch.where((amax > 0) & amax.isfinite(), factor, kept)
    return 1 / factor


@op
def compute_float8_amax_history(x, amax_history):
    """The largest absolute values of the last steps, with that of `x` in the first place.

    Args:
        x: tensor.
        amax_history: tensor `(length,)`.

    Example:

    >>> history = torch.tensor([3.0, 1.0, 2.0])
    >>> keras.quantizers.compute_float8_amax_history(torch.tensor([-5.0, 4.0]), history)
    tensor([5., 2., 3.])
    """
    x, amax_history = convert_to_tensor(x), convert_to_tensor(amax_history)
    largest = x.abs().amax().to(amax_history.dtype).reshape(1)
    return torch.cat([largest, amax_history[2:], amax_history[:1]])[: amax_history.shape[0]]


@op
def quantize_and_dequantize(inputs, scale, quantized_dtype, compute_dtype):
    """The values that are left after `inputs / scale` went through an 8-bit float.

    Args:
        inputs: float tensor.
        scale: tensor that the values are divided by, and multiplied by afterwards.
        quantized_dtype: `"float8_e4m3fn"` or `"float8_e5m2"`; larger values become its largest.
        compute_dtype: name of the dtype of the computation and the result.

    Example:

    >>> x = torch.tensor([0.3, 1000.0])
    >>> keras.quantizers.quantize_and_dequantize(x, 1.0, "float8_e4m3fn", "float32")
    tensor([3.1250e-01, 4.4800e+02])
    """
    inputs = convert_to_tensor(inputs)
    small, dtype = to_torch_dtype(quantized_dtype), to_torch_dtype(compute_dtype)
    scale = convert_to_tensor(scale).to(dtype)
    largest = torch.finfo(small).max
    return (inputs / scale).clamp(-largest, largest).to(small).to(dtype) * scale
