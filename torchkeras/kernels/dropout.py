"""dropout: zero a random fraction of a tensor and scale up the rest."""

import torch

from torchkeras.core.scopes import SCOPE


def dropout(x, rate, seed_generator=None, noise_shape=None):
    """Zero each element with probability `rate`; multiply the others by `1 / (1 - rate)`.

    The random numbers have 24 bits, so `rate` is met to within 6e-8 in every dtype. A dropped
    infinity or NaN gives NaN, as in torch. The gradient is that of the mask drawn.

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
    if x.is_cuda and noise_shape is None and not from_state and not SCOPE.meta:
        return torch.nn.functional.dropout(x, rate, True)  # one kernel
    shape = x.shape if noise_shape is None else concrete_noise_shape(x, noise_shape)
    if from_state:
        noise = _uniform_from_state(seed_generator, shape, x.device)
    else:
        noise = torch.rand(shape, dtype=torch.float32, device=x.device)
    # On a CPU this is twice as fast as F.dropout, whose bernoulli_ draws from a slower source.
    if torch._C._are_functorch_transforms_active():  # ge_ has no batching rule for vmap
        keep = (noise >= rate).to(torch.float32)
    else:
        keep = noise.ge_(rate)
    if x.dtype is torch.float32:
        return x * keep.mul_(1 / (1 - rate))
    # The scale would be rounded to the few bits of a half type, and bias the mean.
    return x * keep.to(x.dtype) * (1 / (1 - rate))


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


def _uniform_from_state(seed_generator, shape, device):
    from torchkeras.random import philox

    if SCOPE.meta:  # a shape is wanted; the counter must not move
        return torch.empty(shape, dtype=torch.float32, device=device)
    return philox.uniform(seed_generator.next(), shape, torch.float32, device)
