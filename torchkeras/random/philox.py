"""Philox4x32-10: random numbers as a pure function of a seed state, in plain torch operations.

A block of four 32-bit words is `philox(counter, key)`, so any element can be computed on its
own, on any device, with the same result. The state stays a tensor all along (nothing is read
on the host), which is what `torch.compile(fullgraph=True)`, `torch.func` and meta tensors need.

Words are int64 tensors with values in [0, 2**32): torch has few uint32 operations.

Source: Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

import math

import torch

_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_KEY_STEPS = 0x9E3779B9, 0xBB67AE85  # golden ratio and sqrt(3) - 1, as 32-bit fractions
_WORD = 0xFFFFFFFF
_ROUNDS = 10

# In eager mode on a CPU about a hundred operations pass over each block. Pieces of this many
# blocks stay in the cache: 11 instead of 24 ns an element from a million elements on.
_BLOCKS_A_PIECE = 32768

# Random bits of a uniform number: as many as the dtype's significand holds, so that rounding
# never gives 1.
_UNIFORM_BITS = {torch.float16: 11, torch.bfloat16: 8, torch.float32: 24}


def philox(counter, key):
    """Four random words for each counter.

    Args:
        counter: four int64 tensors of words; their shapes broadcast.
        key: two int64 tensors of words, broadcasting with the counter.

    Returns:
        Tuple of four int64 tensors of words.

    Example:

    >>> from torchkeras.random.philox import philox
    >>> zero = torch.zeros((), dtype=torch.int64)
    >>> [hex(int(word)) for word in philox([zero] * 4, [zero] * 2)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    steps = torch.arange(_ROUNDS, device=key[0].device)
    keys = [(k + steps * step) & _WORD for k, step in zip(key, _KEY_STEPS, strict=True)]
    for k0, k1 in zip(keys[0].unbind(), keys[1].unbind(), strict=True):
        # A product wraps modulo 2**64; after the arithmetic shift `& _WORD` is its high word.
        # c1 and c3 keep whole products: they only meet an xor, which is masked afterwards.
        p0, p2 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c2 = ((p2 >> 32) ^ c1 ^ k0) & _WORD, ((p0 >> 32) ^ c3 ^ k1) & _WORD
        c1, c3 = p2, p0
    return c0, c1 & _WORD, c2, c3 & _WORD


def random_bits(state, n, device=None, stream=0):
    """`n` random words, a function of the state alone.

    Element `i` is word `i % 4` of the block with counter `(i // 4 low, i // 4 high, draw
    counter, stream)` under the key `(seed low, seed high)`: it does not depend on `n`.

    Args:
        state: int64 tensor `[seed, draw counter]`.
        n: int, number of words.
        device: where to compute; None for the state's device.
        stream: int from 0 to 2**32 - 1; streams of one state are independent of each other.

    Returns:
        int64 tensor of shape `(n,)`, values in [0, 2**32).

    Example:

    >>> from torchkeras.random.philox import random_bits
    >>> random_bits(torch.tensor([0, 0]), 2)
    tensor([1713891541, 3781805453])
    """
    state = state.to(device or state.device)
    seed, draw = state.unbind()
    key = seed & _WORD, (seed >> 32) & _WORD
    draw, stream = draw & _WORD, torch.full_like(draw, stream)
    index = torch.arange((n + 3) // 4, device=state.device)
    pieces = [index]
    if state.device.type == "cpu" and not torch.compiler.is_compiling():
        pieces = index.split(_BLOCKS_A_PIECE)
    words = []
    for piece in pieces:
        block = philox((piece & _WORD, piece >> 32, draw, stream), key)
        words.append(torch.stack(block, -1).flatten())
    return (words[0] if len(words) == 1 else torch.cat(words))[:n]


def uniform(state, shape, dtype=torch.float32, device=None, stream=0):
    """Uniform numbers in [0, 1), evenly spaced: 24 bits for float32, 53 for float64.

    Args:
        state, device, stream: as in `random_bits`.
        shape: tuple of ints.
        dtype: float torch dtype.

    Example:

    >>> from torchkeras.random import philox
    >>> philox.uniform(torch.tensor([7, 0]), (2, 3)).shape
    torch.Size([2, 3])
    """
    n = math.prod(shape)
    if dtype is torch.float64:
        words = random_bits(state, 2 * n, device, stream).view(-1, 2)
        fraction = (words[:, 0] >> 5) * 2**26 + (words[:, 1] >> 6)
        return (fraction.to(dtype) * 2.0**-53).view(shape)
    bits = _UNIFORM_BITS[dtype]
    words = random_bits(state, n, device, stream)
    return ((words >> (32 - bits)).to(dtype) * 2.0**-bits).view(shape)


def normal(state, shape, dtype=torch.float32, device=None, stream=0):
    """Standard normal numbers; below float64 they are computed in float32.

    Numbers come in pairs, `r * cos(angle)` and `r * sin(angle)`. In float32 `|x|` reaches 6.6.

    Args:
        state, device, stream: as in `random_bits`.
        shape: tuple of ints.
        dtype: float torch dtype.

    Source: Box and Muller 1958.

    Example:

    >>> from torchkeras.random import philox
    >>> philox.normal(torch.tensor([7, 0]), (3,)).dtype
    torch.float32
    """
    n = math.prod(shape)
    pairs = (n + 1) // 2
    if dtype is torch.float64:
        u = uniform(state, (pairs, 2), dtype, device, stream)
        above_zero, turn = 1 - u[:, 0], u[:, 1]
    else:
        words = random_bits(state, 2 * pairs, device, stream).view(-1, 2)
        # All 32 bits go into the radius: with 24 the tails would end at 5.8.
        above_zero = (words[:, 0] + 1).to(torch.float32) * 2.0**-32
        turn = (words[:, 1] >> 8).to(torch.float32) * 2.0**-24
    radius = torch.sqrt(-2 * torch.log(above_zero))
    angle = 2 * math.pi * turn
    pair = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], -1)
    return pair.flatten()[:n].view(shape).to(dtype)


def integers(state, shape, low, high, device=None, stream=0):
    """Integers in `[low, high)`: int64, from 63 bits, so a bias is below 1e-9 for 32-bit ranges.

    Args:
        state, device, stream: as in `random_bits`.
        shape: tuple of ints.
        low, high: ints; `high - low` below 2**63.

    Example:

    >>> from torchkeras.random import philox
    >>> philox.integers(torch.tensor([7, 0]), (2,), 5, 6)
    tensor([5, 5])
    """
    words = random_bits(state, 2 * math.prod(shape), device, stream).view(-1, 2)
    return (((words[:, 0] >> 1 << 32) | words[:, 1]) % (high - low) + low).view(shape)


def log_gamma_sample(state, alpha, stream=0):
    """Logarithm of numbers of the Gamma distribution with shape parameter `alpha` and rate 1.

    A rejection loop of fixed length, so that it can be traced: each of 6 rounds accepts at least
    95 %, and what is left after all (1e-8 of the elements) takes the distribution's centre.

    Args:
        state: as in `random_bits`.
        alpha: float32 or float64 tensor, above 0, on the device of the result.
        stream: int; 13 streams are used from here on.

    Source: Marsaglia and Tsang 2000, "A simple method for generating gamma variables"; below
    alpha = 1 with their boost from alpha + 1.

    Example:

    >>> from torchkeras.random.philox import log_gamma_sample
    >>> log_gamma_sample(torch.tensor([7, 0]), torch.ones(2)).shape
    torch.Size([2])
    """
    dtype, device, shape = alpha.dtype, alpha.device, alpha.shape
    small = alpha < 1
    d = torch.where(small, alpha + 1, alpha) - 1 / 3
    scale = 1 / torch.sqrt(9 * d)
    log_v = torch.zeros_like(d)
    open_ = torch.ones_like(small)
    for i in range(6):
        x = normal(state, shape, dtype, device, stream + 2 * i)
        u = 1 - uniform(state, shape, dtype, device, stream + 2 * i + 1)
        v = (1 + scale * x) ** 3
        new_log_v = torch.log(torch.where(v > 0, v, 1.0))
        bound = 0.5 * x * x + d * (1 - v + new_log_v)
        accept = open_ & (v > 0) & (torch.log(u) < bound)
        log_v = torch.where(accept, new_log_v, log_v)
        open_ = open_ & ~accept
    u = 1 - uniform(state, shape, dtype, device, stream + 12)
    return torch.log(d) + log_v + torch.where(small, torch.log(u) / alpha, 0.0)


def binomial(state, counts, probabilities):
    """Numbers of successes in `counts` trials.

    Below a mean of 10 the distribution function is inverted term by term; from there on a
    transformed rejection of fixed length (16 rounds; 1e-8 of the elements or fewer are left
    and take the mode). Both are computed for each element, in float64.

    Args:
        state: as in `random_bits`.
        counts, probabilities: float tensors of one shape, on the device of the result.

    Returns:
        float64 tensor (float32 where the device has no float64).

    Source: Hörmann 1993, "The generation of binomial random variates", algorithm BTRS; the
    exact comparison by lgamma in place of his table of Stirling corrections.

    Example:

    >>> from torchkeras.random import philox
    >>> philox.binomial(torch.tensor([7, 0]), torch.tensor([3.0]), torch.tensor([1.0]))
    tensor([3.], dtype=torch.float64)
    """
    dtype = torch.float32 if counts.device.type == "mps" else torch.float64
    n, p = counts.to(dtype), probabilities.to(dtype)
    flipped = p > 0.5
    p = torch.where(flipped, 1 - p, p)
    few = n * p < 10
    # Each branch sees harmless numbers where the other one counts.
    low = _binomial_inversion(state, torch.where(few, n, 1.0), torch.where(few, p, 0.5))
    high = _binomial_rejection(state, torch.where(few, 40.0, n), torch.where(few, 0.5, p))
    successes = torch.where(few, low, high)
    return torch.where(flipped, n - successes, successes)


def _binomial_inversion(state, n, p):
    u = uniform(state, n.shape, n.dtype, n.device)
    odds = p / (1 - p)
    mass = torch.exp(n * torch.log1p(-p))
    total, successes = mass, torch.zeros_like(n)
    for k in range(64):  # at a mean of 10 the mass beyond is 1e-27
        successes = successes + (u >= total)
        mass = mass * odds * ((n - k) / (k + 1)).clamp(min=0)
        total = total + mass
    return torch.minimum(successes, n)


def _binomial_rejection(state, n, p):
    deviation = torch.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    quick = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * deviation
    log_odds = torch.log(p / (1 - p))
    mode = torch.floor((n + 1) * p)
    at_mode = torch.lgamma(mode + 1) + torch.lgamma(n - mode + 1)
    successes, open_ = mode, torch.ones_like(n, dtype=torch.bool)
    for i in range(16):
        u = uniform(state, n.shape, n.dtype, n.device, 2 * i + 1) - 0.5
        v = 1 - uniform(state, n.shape, n.dtype, n.device, 2 * i + 2)
        # u = -0.5 would divide by zero; it is rejected as any k outside of 0..n.
        us = (0.5 - torch.abs(u)).clamp(min=1e-12)
        k = torch.floor((2 * a / us + b) * u + n * p + 0.5)
        inside = (k >= 0) & (k <= n)
        k = torch.minimum(k.clamp(min=0), n)
        log_ratio = at_mode - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
        log_ratio = log_ratio + (k - mode) * log_odds
        exact = torch.log(v * alpha / (a / (us * us) + b)) <= log_ratio
        accept = open_ & inside & (((us >= 0.07) & (v <= quick)) | exact)
        successes = torch.where(accept, k, successes)
        open_ = open_ & ~accept
    return successes
