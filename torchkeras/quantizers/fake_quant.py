"""fake_quant_with_min_max_vars: floats as they would be after a trip through integers."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op


def _nudged(low, high, num_bits, narrow_range):
    """The range moved so that 0 is one of its steps, and the size of a step and its inverse."""
    last, first = (1 << num_bits) - 1, int(narrow_range)
    width = high - low
    step, inverse = width / (last - first), (last - first) / width
    zero = (first - low / step).clamp(first, last).round()
    return (first - zero) * step, (last - zero) * step, step, inverse


def _nudged_along(x, low, high, num_bits, narrow_range, axis):
    shape = [1] * x.dim()
    if axis is not None:
        shape[axis] = -1
    dtype = torch.promote_types(low.dtype, torch.float32)
    ends = [end.to(dtype).reshape(shape) for end in (low, high)]
    return _nudged(*ends, num_bits, narrow_range)


class _FakeQuant(torch.autograd.Function):
    @staticmethod
    def forward(x, low, high, num_bits, narrow_range, axis):
        first, last, step, inverse = _nudged_along(x, low, high, num_bits, narrow_range, axis)
        dtype = first.dtype
        zero = (-first * inverse + 0.5).floor()
        steps = (x.to(dtype).clamp(first, last) - first) * inverse - zero
        return ((steps + 0.5).floor() * step).to(x.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])
        ctx.arguments = inputs[3:]

    @staticmethod
    def backward(ctx, upstream):
        x, low, high = ctx.saved_tensors
        first, last, _, _ = _nudged_along(x, low, high, *ctx.arguments)
        axis = ctx.arguments[-1]
        inside = torch.where((x >= first) & (x <= last), upstream, 0)
        others = [i for i in range(x.dim()) if i != axis]
        ends = []
        for mask, end in ((x <= first, low), (x >= last, high)):
            part = torch.where(mask, upstream, 0)
            part = part.sum(others) if others else part
            ends.append(part.to(end.dtype).reshape(end.shape))
        return inside, *ends, None, None, None


@op(shape=lambda inputs, *args, **kwargs: inputs.shape)
def fake_quant_with_min_max_vars(
    inputs, min_vals, max_vals, num_bits=8, narrow_range=False, axis=None
):
    """Round values to the steps that integers of few bits have between two ends.

    The range is moved a little, so that 0 is a step. Gradients go straight through within it;
    those of values outside go to the end that they lie beyond, so that both ends can be learned.

    Args:
        inputs: float tensor.
        min_vals, max_vals: the ends: numbers, or with `axis` tensors `(inputs.shape[axis],)`.
        num_bits: int, bits of the integers.
        narrow_range: bool, whether the smallest integer is left out.
        axis: int, the axis whose places have ends of their own; None for one pair of ends.

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.

    Example:

    >>> x = torch.tensor([-1.0, 0.2, 9.0])
    >>> keras.quantizers.fake_quant_with_min_max_vars(x, 0.0, 3.0, num_bits=2)
    tensor([0., 0., 3.])
    """
    inputs, low, high = (convert_to_tensor(x) for x in (inputs, min_vals, max_vals))
    axis = axis if axis is None else range(inputs.dim())[axis]
    return _FakeQuant.apply(inputs, low, high, int(num_bits), narrow_range, axis)
