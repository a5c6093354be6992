"""How near the kernels' own exp, tanh and the like come to the truth, seen through the ops."""

import pytest
import torch

from tests.kernels.support import ACTIVATIONS, every_activation, formula, needs_ops, plain
from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import compiled

pytestmark = needs_ops

# The largest |x|; the errors of one interval are compared with each other.
LIMITS = [1e-3, 1.0, 10.0, 100.0, 1e4]


def _points(limit, dtype):
    g = torch.Generator().manual_seed(8)
    x = torch.rand(100_000, generator=g, dtype=torch.float64) * 2 - 1
    x = torch.cat([x, torch.tensor([0.0, -0.0, 1.0, -1.0])]) * limit
    return x.to(dtype).view(1, -1)


def _value_and_slope(run, x):
    x = x.clone().requires_grad_()
    y = run(x)
    return y.detach(), torch.autograd.grad(y, x, torch.ones_like(y))[0]


def _ours(name, x):
    code = ACTIVATIONS[name]
    y, pre = compiled.bias_act_dropout(x, None, code, 0.0, None)
    kept = y if codes.needs_value(code) else pre
    return y, compiled.bias_act_dropout_backward(
        torch.ones_like(x), kept, kept, code, 0.0, None, False
    )[0]


def _ulp(x, dtype):
    """Distance of the numbers of `dtype` around those of `x`."""
    info = torch.finfo(dtype)
    return x.abs().clamp(min=info.tiny).log2().floor().exp2() * info.eps


@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_error_is_at_most_twice_that_of_torch(name, dtype):
    for limit in LIMITS:
        x = _points(limit, dtype)
        exact = _value_and_slope(lambda x: formula(name, x), x.double())
        theirs = _value_and_slope(lambda x: plain(name, x), x)
        # A slope may come from the rounded value, as elu's does, which is 1 + y below 0.
        allowed = 0.0, torch.finfo(dtype).eps / 2
        for ours, torchs, true, least in zip(_ours(name, x), theirs, exact, allowed, strict=True):
            error = (ours.double() - true).abs()
            # Where torch is right to half a unit in the last place, two are what we promise.
            if not (error <= 2 * _ulp(true, dtype)).all():
                assert error.max() <= max(2 * (torchs.double() - true).abs().max(), least), limit


@every_activation
def test_double_precision(name):
    # Here torch's functions have the precision of the formula, but softplus, which gives up at 20.
    for limit in LIMITS[:-1]:
        x = _points(limit, torch.float64)
        exact = _value_and_slope(lambda x: formula(name, x), x)
        for ours, true in zip(_ours(name, x), exact, strict=True):
            torch.testing.assert_close(ours, true, rtol=1e-14, atol=1e-14)


RELATIVE = {  # from which x on the value is right to so many units in the last place
    "sigmoid": -87.0,
    "tanh": -100.0,
    "softplus": -87.0,
    "elu": -100.0,
    "silu": -80.0,
}


@pytest.mark.parametrize("name", RELATIVE)
def test_small_results_are_as_precise_as_large_ones(name):
    size = torch.logspace(-30, 2, 100_000, dtype=torch.float64)
    x = torch.cat([-size, size])
    x = x[x >= RELATIVE[name]].float().view(1, -1)
    true = formula(name, x.double())
    y, _ = _ours(name, x)
    normal = true.abs() > torch.finfo(torch.float32).tiny
    units = ((y.double() - true).abs() / _ulp(true, torch.float32))[normal]
    assert units.max() <= 3


@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_limits_and_nan(name, dtype):
    far = 6e4 if dtype is torch.float16 else 1e30
    x = torch.tensor([[far, -far, torch.inf, torch.nan, 0.0]], dtype=dtype)
    (y,), (slope,) = _ours(name, x)
    below = {"none": -far, "leaky_relu": -0.2 * far, "elu": -1.0, "tanh": -1.0}.get(name, 0.0)
    above = 1.0 if name in ("tanh", "sigmoid") else far
    torch.testing.assert_close(y[:2], torch.tensor([above, below], dtype=dtype))
    assert y[2] == (1.0 if name in ("tanh", "sigmoid") else torch.inf)
    assert y[3].isnan()
    assert y[4] == formula(name, torch.zeros((), dtype=torch.float64)).to(dtype)
    if far < 1e10:  # beyond, gelu's slope is 0 times infinity in torch as well
        flat_above = name in ("tanh", "sigmoid")
        flat_below = {"none": 1.0, "leaky_relu": 0.2}.get(name, 0.0)
        expected = torch.tensor([0.0 if flat_above else 1.0, flat_below], dtype=dtype)
        torch.testing.assert_close(slope[:2], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_elu_at_zeros_the_smallest_numbers_infinity_and_nan(dtype):
    tiny = torch.nextafter(torch.zeros((), dtype=dtype), torch.ones((), dtype=dtype)).item()
    x = [0.0, -0.0, tiny, -tiny, torch.inf, -torch.inf, torch.nan]
    x = torch.tensor([x], dtype=dtype)
    y, slope = _ours("elu", x)
    # By the definition: x above 0, else exp(x) - 1, of which near 0 nothing is left but x.
    expected = torch.tensor([[0.0, -0.0, tiny, -tiny, torch.inf, -1.0, torch.nan]], dtype=dtype)
    for found in (y, plain("elu", x)):
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(found[:, :6].signbit(), expected[:, :6].signbit())
    assert slope[0, :6].tolist() == [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_half_number_is_read_and_rounded_as_torch_does(dtype):
    # All 65536 patterns, through an addition of 0 in float32.
    x = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype).view(64, 1024)
    y, _ = compiled.bias_act_dropout(x, torch.zeros(1024, dtype=dtype), codes.NONE, 0.0, None)
    torch.testing.assert_close(y, x, rtol=0, atol=0, equal_nan=True)
    # Sums of two halves are exact in float32 and need rounding, to ties, zero and infinity too.
    bias = torch.randn(1024).to(dtype) * x[0].nan_to_num(1.0).abs().clamp(max=1e4)
    y, _ = compiled.bias_act_dropout(x, bias, codes.NONE, 0.0, None)
    expected = (x.float() + bias.float()).to(dtype)
    torch.testing.assert_close(y, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu"])
def test_far_below_zero_nothing_is_left_however_large_the_factor(name):
    x = torch.tensor([[-100.0, -1e4, -1e9, -1e18, -3e38]])
    y, slope = _ours(name, x)
    assert (y.abs() < 1e-30).all()
    assert (slope[:, :4].abs() < 1e-30).all()
    if name == "gelu":  # the other slopes have infinity times 0 at the last, as in torch
        assert slope[0, 4] == 0
