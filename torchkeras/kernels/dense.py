"""dense: matrix product with the last axis, bias, activation and dropout, in the fastest form.

One function decides between the compiled op and plain torch, by fixed rules from measurements
(`benchmarks/dense_kernel.py`), so that results do not change between runs.
"""

import torch

from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import compiled, loader
from torchkeras.kernels.dropout import draw_seed, dropout, drops_by_halves
from torchkeras.kernels.eligibility import (
    activation_pays,
    autocast_off,
    is_plain_tensor,
    needs_plain_torch,
)

# Below so many multiplications the calls around them are all that counts, and torch's own
# functions, with autograd in C++, are the fastest.
_LEAST_PRODUCTS = 2**20
_LEAST_NARROW_PRODUCTS = 2**16  # where MKL is slow
_NARROW = 16  # columns; kNarrow in csrc/cpu/kernels.h


def dense(x, kernel, bias=None, activation=codes.NONE, rate=0.0, seed_generator=None):
    """`dropout(activation(x @ kernel + bias))` over the last axis of `x`.

    Args:
        x: tensor `(..., in)`, of rank 1 or more. Another dtype than the kernel's is promoted
            with it, so integers are computed in the kernel's dtype.
        kernel: tensor `(in, out)`.
        bias: tensor `(out,)`, or None.
        activation: a code of `activation_codes`, or a function of a tensor. A function receives a
            fresh tensor that nothing else holds, so it may work in place.
        rate: float from 0 to 1, the fraction of the outputs to drop.
        seed_generator: SeedGenerator of the dropout, or None; see `dropout`.

    Returns:
        Tensor `(..., out)`.

    Example:

    >>> from torchkeras.kernels import dense
    >>> dense(torch.ones(1, 2), torch.ones(2, 3), torch.ones(3))
    tensor([[3., 3., 3.]])
    """
    if x.dtype is not kernel.dtype:
        x, kernel, bias = _promote(x, kernel, bias)
    # In a program for export a size may be unknown, and a decision by it would fix it.
    products = 0 if torch.compiler.is_exporting() else x.numel() * kernel.shape[-1]
    if (
        products >= _LEAST_NARROW_PRODUCTS
        and type(activation) is int
        and _fuses(products, x, kernel, bias, activation, rate)
    ):
        return _fused(x, kernel, bias, activation, rate, seed_generator)
    if bias is not None and x.dim() == 2:
        y = torch.addmm(bias, x, kernel)
    else:
        y = _plus(torch.matmul(x, kernel), bias)
    if activation:
        y = codes.PLAIN[activation](y) if type(activation) is int else activation(y)
    return dropout(y, rate, seed_generator) if rate else y


def _fuses(products, x, kernel, bias, activation, rate):
    """Whether the compiled op is the faster way, and can go it."""
    if not loader.load() or kernel.dim() != 2:
        return False
    dtype = x.dtype
    if x.is_cpu:
        if not _pays_on_cpu(products, kernel.shape, dtype, activation, rate):
            return False
    elif not (x.is_cuda and rate and loader.load_cuda()):  # else torch fuses in its own epilogues
        return False
    if rate and not drops_by_halves(rate):
        return False
    if not (is_plain_tensor(x) and is_plain_tensor(kernel)):
        return False
    if bias is not None and not (is_plain_tensor(bias) and bias.dtype is kernel.dtype):
        return False
    return not needs_plain_torch(kept=rate > 0 and x.is_cpu)


def _pays_on_cpu(products, kernel_shape, dtype, activation, rate):
    features, units = kernel_shape
    if compiled.mkl_is_slow and dtype is torch.float32 and 2 <= units <= _NARROW and features >= 64:
        return True
    if products < _LEAST_PRODUCTS or (dtype is torch.float64 and activation not in codes.CHEAP):
        return False
    onednn = dtype is torch.float32 and products >= compiled.least_onednn_products
    return rate > 0 or onednn or activation_pays(activation, products // features)


def _fused(x, kernel, bias, activation, rate, seed_generator):
    device_type = "cpu" if x.is_cpu else "cuda"
    seed = draw_seed(seed_generator, x.device) if rate else None
    # As torch does, autocast leaves double precision alone.
    if torch.is_autocast_enabled(device_type) and x.dtype is not torch.float64:
        dtype = torch.get_autocast_dtype(device_type)
        x, kernel = x.to(dtype), kernel.to(dtype)
        bias = None if bias is None else bias.to(dtype)
        with autocast_off(device_type):
            return _flattened(x, kernel, bias, activation, rate, seed)
    return _flattened(x, kernel, bias, activation, rate, seed)


def _flattened(x, kernel, bias, activation, rate, seed):
    rows = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
    if torch.is_grad_enabled() and (
        kernel.requires_grad or x.requires_grad or (bias is not None and bias.requires_grad)
    ):
        y = _Dense.apply(rows, kernel, bias, activation, rate, seed)
    else:
        y = compiled.dense_act_dropout(rows, kernel, bias, activation, rate, seed)[0]
    return y if rows is x else y.reshape(*x.shape[:-1], kernel.shape[1])


class _Dense(torch.autograd.Function):
    """The op with its gradient, in the older form of a Function, which costs 13 us less a call."""

    @staticmethod
    def forward(ctx, x, kernel, bias, activation, rate, seed):
        y, pre = compiled.dense_act_dropout(x, kernel, bias, activation, rate, seed)
        kept = y if codes.needs_value(activation) else pre
        ctx.save_for_backward(x, kernel, bias, kept, seed)
        ctx.activation, ctx.rate = activation, rate
        return y

    @staticmethod
    def backward(ctx, gy):
        x, kernel, bias, kept, seed = ctx.saved_tensors
        need_x, need_kernel, need_bias = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # the gradient is to be differentiated once more
            with autocast_off("cpu" if gy.is_cpu else "cuda"):
                found = _plain_gradients(ctx, (x, kernel, bias), seed, gy)
            return (*found, None, None, None)
        arguments = ctx.activation, ctx.rate, seed, need_x, need_kernel, need_bias
        with autocast_off("cpu" if gy.is_cpu else "cuda"):
            gx, gkernel, gbias = compiled.dense_act_dropout_backward(
                gy, x, kernel, kept, kept, *arguments
            )
        return (
            gx if need_x else None,
            gkernel if need_kernel else None,
            gbias if need_bias else None,
            None,
            None,
            None,
        )


def _plain_gradients(ctx, inputs, seed, gy):
    """Gradients of the same computation in plain torch, which torch can differentiate again."""
    # Views: one input may depend on another one (the kernel of a layer called twice), and a
    # gradient that followed x down to the kernel would be counted twice.
    x, kernel, bias = inputs = [None if t is None else t.view_as(t) for t in inputs]
    y = torch.mm(x, kernel)
    y = codes.plain(ctx.activation, y if bias is None else y + bias)
    if ctx.rate:
        y = y * compiled.dropout(torch.ones_like(y), ctx.rate, seed)
    wanted = [t for t, needed in zip(inputs, ctx.needs_input_grad, strict=False) if needed]
    found = iter(torch.autograd.grad(y, wanted, gy, create_graph=True))
    return [next(found) if needed else None for needed in ctx.needs_input_grad[:3]]


def _plus(y, bias):
    if bias is None:
        return y
    # Under autocast a product has the lower dtype, and the sum should keep it.
    return y + (bias if bias.dtype is y.dtype else bias.to(y.dtype))


def _promote(x, kernel, bias):
    dtype = torch.promote_types(x.dtype, kernel.dtype)
    return x.to(dtype), kernel.to(dtype), None if bias is None else bias.to(dtype)
