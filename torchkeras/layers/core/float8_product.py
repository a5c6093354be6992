"""Products of 8-bit floats for training: what is rounded, and how the scales follow.

The scales and the largest values of the last steps are weights whose "gradient" is their new
value, which optimizers write in place of a step.

Source: Micikevicius et al. 2022, arXiv:2209.05433; the delayed scaling of NVIDIA's Transformer
Engine.
"""

import torch

from torchkeras.core.dtypes import standardize_dtype
from torchkeras.quantizers.float8 import (
    compute_float8_amax_history,
    compute_float8_scale,
    quantize_and_dequantize,
)


def round_inputs(x, scale, history, training):
    """`x` as 8-bit floats hold it, 3 bits of them for the fraction; gradients go straight through.

    Args:
        x: tensor.
        scale: tensor, by which values are divided.
        history: tensor, the largest values of the last steps.
        training: bool, whether a backward pass gives new values of both as their gradients.
    """
    new = (None, None)
    if training:
        with torch.no_grad():
            new = _followed(x, scale, history, torch.float8_e4m3fn)
    return _RoundInputs.apply(x, scale, history, *new)


def round_output_gradient(x, scale, history):
    """`x` itself, whose gradient is rounded to 8-bit floats with 2 bits for the fraction."""
    return _RoundGradient.apply(x, scale, history)


class _RoundInputs(torch.autograd.Function):
    @staticmethod
    def forward(x, scale, history, new_scale, new_history):
        return quantize_and_dequantize(x, scale, "float8_e4m3fn", standardize_dtype(x.dtype))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[3:])

    @staticmethod
    def backward(ctx, upstream):
        return upstream, *ctx.saved_tensors, None, None


class _RoundGradient(torch.autograd.Function):
    @staticmethod
    def forward(x, scale, history):
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx, upstream):
        scale, history = ctx.saved_tensors
        dtype = standardize_dtype(upstream.dtype)
        rounded = quantize_and_dequantize(upstream, scale, "float8_e5m2", dtype)
        return rounded, *_followed(upstream, scale, history, torch.float8_e5m2)


def _followed(x, scale, history, dtype):
    """The scale for the largest value of the last steps, and these steps with this one."""
    new_scale = compute_float8_scale(history.amax(), scale, torch.finfo(dtype).max)
    return new_scale, compute_float8_amax_history(x, history)
