"""GRU on a CPU, forward and backward, with as few calls of torch a step as there can be.

torch's own GRU takes 5 times as long as its LSTM there, most of it for autograd, step by step.
Here the gradient is written out: all that depends on a step alone is computed for all steps at
once, so that a step backward is two calls of torch. A training step of 120 steps of 32 units takes
0.6 times as long as with `torch.nn.GRU`.
"""

import torch

_of_sigmoid = torch.ops.aten.sigmoid_backward.grad_input
_of_tanh = torch.ops.aten.tanh_backward.grad_input
# Numbers in a tensor of the steps that are computed at once in the backward pass: what the cache
# of a core holds.
_AT_ONCE = 2**15


def gru_on_cpu(sequences, h, kernel, recurrent_kernel, bias):
    """Outputs of all steps and the last state; arguments as in `fused.gru`."""
    in_bias, bias = (None, None) if bias is None else bias.unbind(0)
    projected = torch.nn.functional.linear(sequences.transpose(0, 1), kernel.t(), in_bias)
    outputs = _GRU.apply(projected, h, recurrent_kernel, bias)
    return outputs.transpose(0, 1), outputs[-1]


def _plain(projected, h, kernel, bias):
    """The same by functions that autograd knows."""
    units = h.shape[1]
    bias = h.new_zeros(()) if bias is None else bias
    outputs = []
    for x in projected.unbind(0):
        x_zr, x_n = x.split((2 * units, units), dim=1)
        h_zr, h_n = torch.addmm(bias, h, kernel).split((2 * units, units), dim=1)
        z, r = torch.sigmoid(x_zr + h_zr).chunk(2, dim=1)
        h = torch.lerp(torch.tanh(torch.addcmul(x_n, r, h_n)), h, z)
        outputs.append(h)
    return torch.stack(outputs)


class _GRU(torch.autograd.Function):
    """From the projected inputs `(steps, batch, 3 * units)` to the outputs."""

    # The older form, which costs less a call; `fused.takes` keeps it away from torch.func.
    @staticmethod
    def forward(ctx, projected, h, kernel, bias):
        steps, batch, _ = projected.shape
        units = h.shape[1]
        sizes = (2 * units, units)
        new = projected.new_empty
        states, gates = new(steps + 1, batch, units), new(steps, batch, 2 * units)
        news, products = (new(steps, batch, units) for _ in range(2))  # n; h_n before the reset
        states[0] = h
        product = new(batch, 3 * units)
        h_zr, h_n = product.split(sizes, dim=1)
        x_zr, x_n = (part.unbind(0) for part in projected.split(sizes, dim=2))
        held = zip(
            x_zr,
            x_n,
            gates.unbind(0),
            gates[:, :, :units].unbind(0),
            gates[:, :, units:].unbind(0),
            products.unbind(0),
            news.unbind(0),
            states[:-1].unbind(0),
            states[1:].unbind(0),
            strict=True,
        )
        start = projected.new_zeros(()) if bias is None else bias
        for x_zr_t, x_n_t, zr, z, r, kept, n, before, after in held:
            torch.addmm(start, before, kernel, out=product)
            torch.add(x_zr_t, h_zr, out=zr).sigmoid_()
            kept.copy_(h_n)
            torch.addcmul(x_n_t, r, kept, out=n).tanh_()
            torch.lerp(n, before, z, out=after)
        ctx.save_for_backward(projected, h, kernel, bias, states, gates, products, news)
        return states[1:].clone()  # which may be written to

    @staticmethod
    def backward(ctx, grad):
        projected, h, kernel, bias, *held = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is asked for
            return _recorded_gradient(ctx, grad, projected, h, kernel, bias)
        steps, batch, units = held[-1].shape
        grad_projected = torch.empty_like(projected)
        grad_kernel, total, grad_h = torch.zeros_like(kernel), 0, None
        count = max(1, _AT_ONCE // max(1, batch * units))
        for stop in range(steps, 0, -count):
            start = max(0, stop - count)
            part = [tensor[start:stop] for tensor in held]  # of the states, those before each step
            made, grad_h = _gradient_of_steps(grad[start:stop], grad_h, kernel, *part)
            of_products = made[:, :, : 3 * units].flatten(0, 1)
            grad_kernel.addmm_(part[0].flatten(0, 1).t(), of_products)
            total = total + of_products.sum(0)
            grad_projected[start:stop, :, : 2 * units] = made[:, :, : 2 * units]
            grad_projected[start:stop, :, 2 * units :] = made[:, :, 3 * units :]
        return grad_projected, grad_h, grad_kernel, None if bias is None else total


def _gradient_of_steps(grad, grad_h, kernel, before, gates, products, news):
    """The gradients of what `z`, `r`, `h_n` and `x_n` are made of, side by side; and that of `h`.

    Args:
        grad: tensor `(steps, batch, units)`, the gradient of the outputs of some steps.
        grad_h: tensor `(batch, units)`, what the steps after them add to that of the last; None
            for nothing.
        kernel: tensor, the recurrent kernel.
        before, gates, products, news: tensors, what the steps had and computed.
    """
    z, r = gates.chunk(2, dim=2)
    # What the gradient of h is multiplied by at each step.
    factors = news.new_empty(*news.shape[:2], 4, news.shape[2])
    by_z, by_r, by_product, by_n = factors.unbind(2)
    _of_sigmoid(before - news, z, grad_input=by_z)
    _of_tanh(1 - z, news, grad_input=by_n)
    _of_sigmoid(by_n * products, r, grad_input=by_r)
    torch.mul(by_n, r, out=by_product)
    made = torch.empty_like(factors)
    flat, transposed = made.flatten(2), kernel.t()
    of_products = flat[:, :, : kernel.shape[1]]
    held = (part.unbind(0) for part in (grad, factors, made, of_products, z))
    for grad_y, factor, out, row, z_t in reversed(list(zip(*held, strict=True))):
        grad_h = grad_y if grad_h is None else grad_h.add_(grad_y)
        torch.mul(grad_h[:, None], factor, out=out)
        grad_h = torch.mul(grad_h, z_t).addmm_(row, transposed)
    return flat, grad_h


def _recorded_gradient(ctx, grad, *inputs):
    """The gradient as something that has one itself."""
    wanted = [x for x, needed in zip(inputs, ctx.needs_input_grad, strict=True) if needed]
    found = iter(torch.autograd.grad(_plain(*inputs), wanted, grad, create_graph=True))
    return tuple(next(found) if needed else None for needed in ctx.needs_input_grad)
