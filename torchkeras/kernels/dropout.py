"""dropout: zero a random fraction of a tensor and scale up the rest.

An element is kept if 16 random bits, as a number, reach `rate * 65536`. Where the draw is a
function of a seed, the compiled op and plain torch take the same bits of the same Philox
sequence (`csrc/common/philox.h`), so a mask depends on neither.
"""

import math

import torch

from torchkeras.core.scopes import SCOPE
from torchkeras.kernels import compiled, loader
from torchkeras.kernels.eligibility import is_plain_tensor, needs_plain_torch, reaches
from torchkeras.kernels.failures import raise_torchs_own
from torchkeras.random import philox

# Below so many elements torch's own dropout is faster: without a gradient, and with one, whose
# part torch does in C++.
_LEAST_ELEMENTS = 512
_LEAST_TRAINED = 4096
# Below so many, backward from a stored mask, which torch does in C++, is faster than drawing again.
_LEAST_RECOMPUTED = 16384


def dropout(x, rate, seed_generator=None, noise_shape=None):
    """Zero each element with probability `rate`; multiply the others by `1 / (1 - rate)`.

    The probability is met to within 2^-17. A dropped infinity or NaN is 0 where the compiled op
    drops it, and NaN where a mask is multiplied: by plain torch, and in training for fewer than
    16384 elements. The gradient is that of the mask drawn; none is stored for larger tensors.

    Args:
        x: float tensor of any shape.
        rate: float from 0 to 1.
        seed_generator: SeedGenerator, or None. Where it says `draws_from_state` the mask is a
            function of its state; else torch's default generator of the device draws it.
        noise_shape: tuple that broadcasts to the shape of `x`, None for a size of `x`; elements
            along a size of 1 share their fate. None: each element for itself.

    Returns:
        Tensor of the shape and dtype of `x`; `x` itself at rate 0.

    Source: Srivastava et al. 2014, JMLR 15, in the inverted form, scaled during training.

    Example:

    >>> from torchkeras.kernels import dropout
    >>> y = dropout(torch.ones(1000), 0.5)
    >>> y.unique()
    tensor([0., 2.])
    """
    if rate == 0:
        return x
    if rate == 1:
        return torch.zeros_like(x)
    from_state = seed_generator is not None and seed_generator.draws_from_state
    simple = noise_shape is None and not from_state and not SCOPE.meta
    if simple:
        trained = x.requires_grad and torch.is_grad_enabled()
        if not reaches(x.numel(), _LEAST_TRAINED if trained else _LEAST_ELEMENTS):
            return torch.dropout(x, rate, True)
    if noise_shape is None and _fuses(x, rate):
        return _fused(x, rate, draw_seed(seed_generator, x.device), from_state)
    shape = x.shape if noise_shape is None else concrete_noise_shape(x, noise_shape)
    if from_state:
        keep = _keep_from_state(seed_generator, rate, shape, x.device)
    elif simple and (x.is_cuda or not reaches(x.numel(), _LEAST_TRAINED)):
        return torch.dropout(x, rate, True)
    else:
        # On a CPU this is twice as fast as F.dropout, whose bernoulli_ draws from a slower source.
        noise = torch.rand(shape, dtype=torch.float32, device=x.device)
        if torch._C._are_functorch_transforms_active():  # ge_ has no batching rule for vmap
            keep = (noise >= rate).to(torch.float32)
        else:
            keep = noise.ge_(rate)
    if x.dtype is torch.float32:
        return x * keep.mul_(1 / (1 - rate))
    # The scale would be rounded to the few bits of a half type, and bias the mean.
    return x * keep.to(x.dtype) * (1 / (1 - rate))


def drops_by_halves(rate):
    """Whether 16 bits are enough for a rate: whether it is from 1/128 to 127/128.

    Closer to 0 or 1 the rounding of the rate would be more than a thousandth of it; there plain
    torch draws 24 bits.

    Example:

    >>> from torchkeras.kernels.dropout import drops_by_halves
    >>> drops_by_halves(0.1), drops_by_halves(1e-5)
    (True, False)
    """
    return 0.0078125 <= rate <= 0.9921875


def draw_seed(seed_generator, device):
    """An int64 tensor `[seed]` or `[seed, draw]` for a compiled op.

    From torch's default generator it is drawn on the device of the op: it is never read on the
    host, so CUDA graphs, `torch.compile` and activation checkpointing repeat or renew it rightly.

    Args:
        seed_generator: SeedGenerator, or None.
        device: torch.device of the op.

    Example:

    >>> from torchkeras.kernels.dropout import draw_seed
    >>> draw_seed(keras.random.SeedGenerator(3), torch.device("cpu"))
    tensor([3, 0])
    """
    if seed_generator is not None and seed_generator.draws_from_state:
        return seed_generator.next().to(device)
    return torch.randint(2**62, (1,), dtype=torch.int64, device=device)


def _fuses(x, rate):
    """Whether the compiled op can go the way, for a tensor of any size."""
    if torch.compiler.is_exporting():  # where a decision by the size would fix it
        return False
    return (
        (x.is_cpu or x.is_cuda)
        and x.is_floating_point()
        and drops_by_halves(rate)
        and not SCOPE.meta
        and (loader.load_cuda() if x.is_cuda else loader.load())
        and is_plain_tensor(x)
        and not needs_plain_torch(kept=x.is_cpu)
    )


def _fused(x, rate, seed, from_state):
    if x.is_contiguous():
        return _apply(x, rate, seed)
    order = sorted(range(x.dim()), key=x.stride, reverse=True)
    turned = x.permute(order)
    if not turned.is_contiguous():
        return _apply(x, rate, seed)
    # The result keeps the order in memory (channels last). A mask that is a function of a seed
    # follows the indices; any other may follow the memory, which saves two copies.
    if from_state:
        y = _apply(x, rate, seed).permute(order).contiguous()
    else:
        y = _apply(turned, rate, seed)
    return y.permute([order.index(axis) for axis in range(x.dim())])


def _apply(x, rate, seed):
    try:
        if not (torch.is_grad_enabled() and x.requires_grad):
            return compiled.dropout(x, rate, seed)
        if x.dtype is torch.float32 and not reaches(x.numel(), _LEAST_RECOMPUTED):
            return x * compiled.dropout(torch.ones_like(x), rate, seed)
        return _Dropout.apply(x, rate, seed)
    except RuntimeError as error:
        raise_torchs_own(error, "dropout", x, rate, seed)
        raise


class _Dropout(torch.autograd.Function):
    """The op with its gradient, which is the same op on the gradient: linear in its input."""

    @staticmethod
    def forward(ctx, x, rate, seed):
        ctx.rate = rate
        ctx.save_for_backward(seed)
        return compiled.dropout(x, rate, seed)

    @staticmethod
    def backward(ctx, gy):
        (seed,) = ctx.saved_tensors
        return _apply(gy, ctx.rate, seed), None, None


def concrete_noise_shape(x, noise_shape):
    """`noise_shape` with the sizes of `x` in place of None.

    Raises:
        ValueError: it does not broadcast to the shape of `x`.

    Example:

    >>> from torchkeras.kernels.dropout import concrete_noise_shape
    >>> concrete_noise_shape(torch.ones(2, 3, 4), (None, 1, None))
    (2, 1, 4)
    """
    shape = tuple(x.shape)
    offset = len(shape) - len(noise_shape)
    if offset >= 0:
        result = tuple(
            shape[offset + i] if size is None else size for i, size in enumerate(noise_shape)
        )
        if all(n == 1 or n == s for n, s in zip(result, shape[offset:], strict=True)):
            return result
    raise ValueError(
        f"`noise_shape` must broadcast to the shape of the input, {shape}. Received: "
        f"noise_shape={tuple(noise_shape)}. Use 1 or None, or the input's size, on each axis."
    )


def _keep_from_state(seed_generator, rate, shape, device):
    """float32 tensor of ones and zeros, a function of the generator's state."""
    if SCOPE.meta:  # a shape is wanted; the counter must not move
        return torch.empty(shape, dtype=torch.float32, device=device)
    state = seed_generator.next()
    if not drops_by_halves(rate):
        keep = philox.uniform(state, shape, torch.float32, device) >= rate
    else:
        n = math.prod(shape)
        words = philox.random_bits(state, (n + 1) // 2, device)
        halves = torch.stack([words & 0xFFFF, words >> 16], -1).flatten()[:n].view(shape)
        keep = halves >= int(rate * 65536 + 0.5)
    return keep.to(torch.float32)
