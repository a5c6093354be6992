"""max_pool: maxima of windows, whose gradient `torch.compile` gets as one node on a CPU.

Inductor would add each window's gradient to the place of its maximum one number at a time, which
takes two to five times as long as torch's own function.
"""

import torch

from torchkeras.kernels.eligibility import needs_plain_torch

_aten = torch.ops.aten


def max_pool(inputs, size, strides, padding, ceil_mode=False):
    """Maxima of windows over the last one or two axes, as by `torch.max_pool1d` and `max_pool2d`.

    Args:
        inputs: tensor `(batch, channels, width)` or `(batch, channels, height, width)`.
        size, strides, padding: sequences of one int for each of these axes; or 0 for no padding.
        ceil_mode: bool, whether a window may reach beyond the end.

    Example:

    >>> from torchkeras.kernels import max_pool
    >>> max_pool.max_pool(torch.tensor([[[1.0, 3.0, 2.0, 0.0]]]), [2], [2], [0])
    tensor([[[3., 2.]]])
    """
    if not _is_node(inputs):
        pool = torch.max_pool1d if len(size) == 1 else torch.max_pool2d
        return pool(inputs, size, strides, padding, 1, ceil_mode)
    padding = padding or [0] * len(size)
    if len(size) == 1:
        settings = [1, *size], [1, *strides], [0, *padding]
        return _MaxPool.apply(inputs.unsqueeze(2), *settings, ceil_mode).squeeze(2)
    outputs = _MaxPool.apply(inputs, list(size), list(strides), list(padding), ceil_mode)
    # Dynamo lets no attribute, such as a mask, be set on what a Function returns.
    return outputs.view_as(outputs)


def _is_node(inputs):
    return (
        torch.compiler.is_dynamo_compiling()
        and inputs.is_cpu
        and torch.is_grad_enabled()
        and inputs.requires_grad
        and not needs_plain_torch(kept=True)
    )


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs, size, strides, padding, ceil_mode):
        made = _aten.max_pool2d_with_indices(inputs, size, strides, padding, [1, 1], ceil_mode)
        outputs, indices = made
        ctx.save_for_backward(indices)
        ctx.shape = inputs.shape
        ctx.channels_last = inputs.is_contiguous(memory_format=torch.channels_last)
        ctx.settings = size, strides, padding, ceil_mode
        return outputs

    @staticmethod
    def backward(ctx, grad):
        (indices,) = ctx.saved_tensors
        # A gradient that is to be differentiated once more is torch's own.
        again = torch.is_grad_enabled()
        op = _backward if again else torch.ops.torchkeras.max_pool2d_backward
        found = op(grad, indices, ctx.shape, *ctx.settings, ctx.channels_last)
        return found, None, None, None, None


# The op

_LIBRARY = torch.library.Library("torchkeras", "FRAGMENT")
_LIBRARY.define(
    "max_pool2d_backward(Tensor grad, Tensor indices, SymInt[] shape, int[] size, int[] strides, "
    "int[] padding, bool ceil_mode, bool channels_last) -> Tensor"
)


def _backward(grad, indices, shape, size, strides, padding, ceil_mode, channels_last):
    # torch's function looks at the shape and the layout of the inputs alone.
    inputs = _empty(grad, shape, channels_last)
    arguments = size, strides, padding, [1, 1], ceil_mode, indices
    return _aten.max_pool2d_with_indices_backward(grad, inputs, *arguments)


def _fake(grad, indices, shape, size, strides, padding, ceil_mode, channels_last):
    return _empty(grad, shape, channels_last)


def _empty(model, shape, channels_last):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(shape, dtype=model.dtype, device=model.device, memory_format=layout)


_LIBRARY.impl("max_pool2d_backward", _backward, "CompositeExplicitAutograd")
torch.library.register_fake("torchkeras::max_pool2d_backward", _fake, lib=_LIBRARY)
