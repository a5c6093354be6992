"""What the tests of the kernels share: a mark, the activations by formula, and masks by Philox."""

import pytest
import torch
import torch.nn.functional as F

from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import loader
from torchkeras.random.philox import random_bits

needs_ops = pytest.mark.skipif(
    not loader.load(), reason="the compiled kernels are off, or cannot be had here"
)

ACTIVATIONS = {
    "none": codes.NONE,
    "relu": codes.RELU,
    "sigmoid": codes.SIGMOID,
    "tanh": codes.TANH,
    "gelu": codes.GELU,
    "gelu_tanh": codes.GELU_TANH,
    "silu": codes.SILU,
    "softplus": codes.SOFTPLUS,
    "elu": codes.ELU,
    "leaky_relu": codes.LEAKY_RELU,
}
every_activation = pytest.mark.parametrize("name", ACTIVATIONS)

_FORMULAS = {
    "none": lambda x: x,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
    "gelu_tanh": lambda x: (
        0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))
    ),
    "silu": lambda x: x * torch.sigmoid(x),
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    # Not by clamp, whose gradient at its limit is 1 in torch 2.13 and 0 in 2.14; that of elu is 1.
    "elu": lambda x: torch.where(x > 0, x, torch.expm1(torch.where(x > 0, 0.0, x))),
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.2 * x),
}
_PLAIN = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "softplus": F.softplus,
    "elu": F.elu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
}


def formula(name, x):
    """An activation by its formula; exact in float64 up to rounding."""
    return _FORMULAS[name](x)


def plain(name, x):
    """An activation by torch's own function for it."""
    return _PLAIN.get(name, _FORMULAS[name])(x)


def kept(shape, rate, seed, draw=0):
    """Which elements a dropout keeps, by torchkeras.random.philox: bool tensor."""
    n = torch.Size(shape).numel()
    words = random_bits(torch.tensor([seed, draw]), (n + 1) // 2)
    halves = torch.stack([words & 0xFFFF, words >> 16], -1).flatten()[:n]
    return (halves >= int(rate * 65536 + 0.5)).view(shape)


def scales(shape, rate, seed, draw=0):
    """What a dropout multiplies by: float64 tensor of 0 and `1 / (1 - rate)`."""
    if not rate:
        return torch.ones(shape, dtype=torch.float64)
    return kept(shape, rate, seed, draw).double() / (1 - rate)
