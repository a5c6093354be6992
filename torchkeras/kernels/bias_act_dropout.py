"""bias_act_dropout: what follows a product or a convolution, in one pass over its result."""

import torch

from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import compiled, loader
from torchkeras.kernels.dropout import draw_seed, dropout, drops_by_halves
from torchkeras.kernels.eligibility import (
    activation_pays,
    is_plain_tensor,
    needs_plain_torch,
    reaches,
)
from torchkeras.kernels.failures import raise_torchs_own

# Below so many elements the calls around the op are all that counts.
_LEAST_ELEMENTS = 16384


def bias_act_dropout(z, bias=None, activation=codes.NONE, rate=0.0, seed_generator=None):
    """`dropout(activation(z + bias))`, with the bias along the last axis.

    Args:
        z: float tensor `(..., channels)`.
        bias: tensor `(channels,)` of the dtype of `z`, or None.
        activation: a code of `activation_codes`.
        rate: float from 0 to 1, the fraction to drop.
        seed_generator: SeedGenerator of the dropout, or None; see `dropout`.

    Returns:
        Tensor of the shape of `z`.

    Example:

    >>> from torchkeras.kernels import activation_codes, bias_act_dropout
    >>> bias_act_dropout(torch.tensor([[-2.0, 2.0]]), torch.ones(2), activation_codes.RELU)
    tensor([[0., 3.]])
    """
    if _fuses(z, bias, activation, rate):
        return _fused(z, bias, activation, rate, seed_generator)
    if bias is not None:
        y = codes.plain(activation, z + bias)
    else:
        # relu writes into its argument, which here is the caller's.
        y = torch.relu(z) if activation == codes.RELU else codes.plain(activation, z)
    return dropout(y, rate, seed_generator) if rate else y


def _fuses(z, bias, activation, rate):
    """Whether the compiled op is the faster way, and can go it."""
    if not reaches(z.numel(), _LEAST_ELEMENTS) or z.dim() < 2 or not z.is_floating_point():
        return False
    on_cuda = z.is_cuda
    if not (on_cuda or z.is_cpu) or not (loader.load_cuda() if on_cuda else loader.load()):
        return False
    if rate:
        if not drops_by_halves(rate):
            return False
        if z.dtype is torch.float64 and activation not in codes.CHEAP:
            return False
    elif z.dtype is torch.float64 or not activation_pays(activation, z.numel()):
        return False
    if bias is not None and not (is_plain_tensor(bias) and bias.dtype is z.dtype):
        return False
    return is_plain_tensor(z) and not needs_plain_torch(kept=rate > 0 and not on_cuda)


def _fused(z, bias, activation, rate, seed_generator):
    seed = draw_seed(seed_generator, z.device) if rate else None
    rows = z if z.dim() == 2 else z.reshape(-1, z.shape[-1])
    trained = z.requires_grad or (bias is not None and bias.requires_grad)
    try:
        if trained and torch.is_grad_enabled():
            y = _BiasActDropout.apply(rows, bias, activation, rate, seed)
        else:
            y = compiled.bias_act_dropout(rows, bias, activation, rate, seed)[0]
    except RuntimeError as error:
        raise_torchs_own(error, "bias_act_dropout", rows, bias, activation, rate, seed)
        raise
    return y if rows is z else y.reshape(z.shape)


class _BiasActDropout(torch.autograd.Function):
    """The op with its gradient."""

    @staticmethod
    def forward(ctx, z, bias, activation, rate, seed):
        y, pre = compiled.bias_act_dropout(z, bias, activation, rate, seed)
        kept = y if codes.needs_value(activation) else pre
        # z serves a second derivative alone, and that of a piecewise linear function is 0.
        ctx.save_for_backward(None if activation in codes.CHEAP else z, bias, kept, seed)
        ctx.activation, ctx.rate = activation, rate
        return y

    @staticmethod
    def backward(ctx, gy):
        z, bias, kept, seed = ctx.saved_tensors
        need_z, need_bias = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # the gradient is to be differentiated once more
            if ctx.activation in codes.CHEAP:
                with torch.no_grad():
                    slopes, _ = compiled.bias_act_dropout_backward(
                        torch.ones_like(gy), kept, kept, ctx.activation, ctx.rate, seed, False
                    )
                gz = gy * slopes
                return gz if need_z else None, gz.sum(0) if need_bias else None, None, None, None
            # Views: z may depend on the bias, whose gradient would then be counted twice.
            z, bias = z.view_as(z), None if bias is None else bias.view_as(bias)
            y = codes.plain(ctx.activation, z.clone() if bias is None else z + bias)
            if ctx.rate:
                y = y * compiled.dropout(torch.ones_like(y), ctx.rate, seed)
            wanted = [t for t, needed in ((z, need_z), (bias, need_bias)) if needed]
            found = iter(torch.autograd.grad(y, wanted, gy, create_graph=True))
            gz = next(found) if need_z else None
            return gz, next(found) if need_bias else None, None, None, None
        arguments = gy, kept, kept, ctx.activation, ctx.rate, seed, need_bias
        try:
            gz, gbias = compiled.bias_act_dropout_backward(*arguments)
        except RuntimeError as error:
            raise_torchs_own(error, "bias_act_dropout_backward", *arguments)
            raise
        return gz if need_z else None, gbias if need_bias else None, None, None, None
