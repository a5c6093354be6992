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
    reaches,
)
from torchkeras.kernels.failures import raise_torchs_own

# Below so many multiplications the calls around them are all that counts, and torch's own
# functions, with autograd in C++, are the fastest.
_LEAST_PRODUCTS = 2**20
_LEAST_NARROW_PRODUCTS = 2**16  # where MKL is slow; also on a GPU
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
    products = x.numel() * kernel.shape[-1]
    least = _LEAST_PRODUCTS if x.is_cpu and not compiled.mkl_is_slow else _LEAST_NARROW_PRODUCTS
    has_code = type(activation) is int
    fused = (activation, rate) if has_code else (codes.NONE, 0.0)
    if reaches(products, least) and _fuses(products, x, kernel, bias, *fused):
        y = _fused(x, kernel, bias, *fused, seed_generator)
        if has_code:
            return y
        y = activation(y)
        return dropout(y, rate, seed_generator) if rate else y
    if bias is not None and x.dim() == 2:
        y = torch.addmm(bias, x, kernel)
    else:
        y = _plus(torch.matmul(x, kernel), bias)
    if activation:
        y = codes.PLAIN[activation](y) if has_code else activation(y)
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
    # Inductor draws and multiplies no faster than torch does by itself.
    kept = x.is_cpu and (rate > 0 or _multiplies_faster(products, kernel.shape, dtype))
    return not needs_plain_torch(kept=kept)


def _pays_on_cpu(products, kernel_shape, dtype, activation, rate):
    if _multiplies_faster(products, kernel_shape, dtype):
        return True
    if dtype is torch.float64 and activation not in codes.CHEAP:
        return False
    if not reaches(products, _LEAST_PRODUCTS):
        return False
    return rate > 0 or activation_pays(activation, products // kernel_shape[0])


def _multiplies_faster(products, kernel_shape, dtype):
    """Whether on this CPU the op's matrix product is faster than torch's own."""
    if dtype is not torch.float32:
        return False
    features, units = kernel_shape
    if compiled.mkl_is_slow and 2 <= units <= _NARROW and features >= 64:
        return True
    least = max(_LEAST_PRODUCTS, compiled.least_onednn_products)
    return reaches(products, least)


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
    arguments = rows, kernel, bias, activation, rate, seed
    try:
        if torch.is_grad_enabled() and (
            kernel.requires_grad or x.requires_grad or (bias is not None and bias.requires_grad)
        ):
            y = _Dense.apply(*arguments)
        else:
            y = compiled.dense_act_dropout(*arguments)[0]
    except RuntimeError as error:
        raise_torchs_own(error, "dense_act_dropout", *arguments)
        raise
    return y if rows is x else y.reshape(*x.shape[:-1], kernel.shape[1])


class _Dense(torch.autograd.Function):
    """The op with its gradient, in the older form of a Function, which costs 13 us less a call."""

    @staticmethod
    def forward(ctx, x, kernel, bias, activation, rate, seed):
        y, pre = compiled.dense_act_dropout(x, kernel, bias, activation, rate, seed)
        kept = y if codes.needs_value(activation) else pre
        if activation in codes.CHEAP:
            # Each factor is for the gradient of the other one. What is kept cannot be freed, nor
            # written to until backward.
            need_x, need_kernel = ctx.needs_input_grad[:2]
            ctx.features = kernel.shape[0]
            x, kernel, bias = x if need_kernel else None, kernel if need_x else None, None
        # The second derivative of the others bends with the sum, and so with all three.
        ctx.save_for_backward(x, kernel, bias, kept, seed)
        ctx.activation, ctx.rate = activation, rate
        return y

    @staticmethod
    def backward(ctx, gy):
        x, kernel, bias, kept, seed = ctx.saved_tensors
        need_x, need_kernel, need_bias = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # the gradient is to be differentiated once more
            with autocast_off("cpu" if gy.is_cpu else "cuda"):
                if ctx.activation in codes.CHEAP:
                    found = _linear_gradients(ctx, x, kernel, kept, seed, gy)
                else:
                    found = _plain_gradients(ctx, (x, kernel, bias), seed, gy)
            return (*found, None, None, None)
        if x is None:  # the op looks at its shape alone; this one has no memory
            x = gy.new_empty(1).expand(gy.shape[0], ctx.features)
        if kernel is None:
            kernel = gy.new_empty(1).expand(ctx.features, gy.shape[1])
        arguments = (
            gy,
            x,
            kernel,
            kept,
            kept,
            ctx.activation,
            ctx.rate,
            seed,
            *ctx.needs_input_grad[:3],
        )
        try:
            with autocast_off("cpu" if gy.is_cpu else "cuda"):
                gx, gkernel, gbias = compiled.dense_act_dropout_backward(*arguments)
        except RuntimeError as error:
            raise_torchs_own(error, "dense_act_dropout_backward", *arguments)
            raise
        return (
            gx if need_x else None,
            gkernel if need_kernel else None,
            gbias if need_bias else None,
            None,
            None,
            None,
        )


def _linear_gradients(ctx, x, kernel, kept, seed, gy):
    """Gradients where the activation is piecewise linear, by functions that torch differentiates.

    The slopes depend on no input but by jumps.
    """
    need_x, need_kernel, need_bias = ctx.needs_input_grad[:3]
    with torch.no_grad():
        slopes, _ = compiled.bias_act_dropout_backward(
            torch.ones_like(gy), kept, kept, ctx.activation, ctx.rate, seed, False
        )
    gz = gy * slopes
    return (
        torch.mm(gz, kernel.t()) if need_x else None,
        torch.mm(x.t(), gz) if need_kernel else None,
        gz.sum(0) if need_bias else None,
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
