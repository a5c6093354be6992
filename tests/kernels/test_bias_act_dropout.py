"""bias_act_dropout, what follows a product in one pass over its result, and its gradient."""

import itertools

import pytest
import torch

from tests.kernels.support import ACTIVATIONS, every_activation, formula, needs_ops, scales
from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import compiled

pytestmark = needs_ops


def _inputs(*shapes, dtype=torch.float32):
    g = torch.Generator().manual_seed(6)
    return [torch.randn(s, generator=g, dtype=torch.float64).to(dtype) for s in shapes]


def _run(name, inputs, rate, gy, seed=7):
    """The value of the op, and the gradients that its counterpart computes from it."""
    z, bias = inputs if len(inputs) == 2 else (*inputs, None)
    arguments = ACTIVATIONS[name], rate, torch.tensor([seed, 0])
    y, pre = compiled.bias_act_dropout(z, bias, *arguments)
    use_bias = bias is not None
    gz, gbias = compiled.bias_act_dropout_backward(gy, y, pre, *arguments, use_bias)
    return y, [gz, gbias][: 1 + use_bias]


def _expected(name, inputs, rate, gy, seed=7):
    z, *bias = [t.detach().double().requires_grad_() for t in inputs]
    y = formula(name, z + bias[0] if bias else z) * scales(z.shape, rate, seed)
    return y.detach(), torch.autograd.grad(y, [z, *bias], gy.double())


def _assert_all_close(actual, expected, tolerance=1e-5):
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a.detach().double(), e, rtol=tolerance, atol=tolerance)


@every_activation
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(3, 5), (170, 130), (120, 150), (60, 300)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_value_and_gradients_are_those_of_the_formula(name, rate, shape, use_bias):
    inputs = _inputs(shape, shape[-1:])[: 1 + use_bias]
    gy = torch.randn(shape)
    before = inputs[0].clone()
    y, found = _run(name, inputs, rate, gy)
    assert y.shape == shape
    assert torch.equal(inputs[0], before)
    if rate == 1:
        assert torch.equal(y, torch.zeros(shape))
        return
    expected, gradients = _expected(name, inputs, rate, gy)
    _assert_all_close([y], [expected])
    # The sums of the bias have up to 170 terms.
    _assert_all_close(found, gradients, 2e-5)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "elu"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_slope_of_a_saturated_unit_is_not_below_zero(name, dtype):
    # The value is stored times 1 / (1 - rate), rounded; divided back it may lie beyond the limit.
    z = torch.full((4, 1024), -40.0 if name == "elu" else 40.0, dtype=dtype)
    for rate in (0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9):
        arguments = ACTIVATIONS[name], rate, torch.tensor([7])
        y, pre = compiled.bias_act_dropout(z, None, *arguments)
        slopes, _ = compiled.bias_act_dropout_backward(
            torch.ones_like(y), y, pre, *arguments, False
        )
        assert slopes.min() >= 0
        y[0] = torch.nan
        slopes, _ = compiled.bias_act_dropout_backward(
            torch.ones_like(y), y, pre, *arguments, False
        )
        assert slopes[0].isnan().any() and not slopes[1:].isnan().any()


# Half types round the value; its gradient may be computed from the rounded value.
TOLERANCES = {
    torch.float32: 1e-5,
    torch.float64: 1e-12,
    torch.bfloat16: 2e-2,
    torch.float16: 2.5e-3,
}


@every_activation
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_the_op_in_every_dtype(name, dtype):
    for rate, shape in itertools.product((0.0, 0.5), ((5, 33), (3, 1030))):
        inputs = _inputs(shape, shape[-1:], dtype=dtype)
        gy = torch.randn(shape).to(dtype)
        y, found = _run(name, inputs, rate, gy)
        expected, gradients = _expected(name, inputs, rate, gy)
        _assert_all_close([y], [expected], TOLERANCES[dtype])
        _assert_all_close(found, gradients, 2 * TOLERANCES[dtype])


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (1, 1), (1, 1025), (1025, 1), (3000, 3)])
def test_shapes_of_the_op(shape):
    inputs = _inputs(shape, shape[-1:])
    gy = torch.randn(shape)
    y, found = _run("elu", inputs, 0.3, gy)
    expected, gradients = _expected("elu", inputs, 0.3, gy)
    _assert_all_close([y], [expected])
    _assert_all_close(found, gradients, 1e-4)


def test_strides_and_expanded_gradients():
    z, bias = _inputs((40, 9), (1,))
    inputs, gy = [z.t(), bias.expand(40)], torch.ones(1).expand(9, 40)
    y, found = _run("gelu", inputs, 0.5, gy)
    expected, gradients = _expected("gelu", inputs, 0.5, gy)
    _assert_all_close([y, *found], [expected, *gradients], 2e-5)


ERRORS = {
    "rank": (dict(z=torch.ones(4)), "`z` must have rank 2"),
    "dtype": (dict(z=torch.ones(2, 4).long()), "`z` must be float32, float64"),
    "bias dtype": (dict(bias=torch.ones(4).double()), "`bias` must have the dtype of `z`"),
    "bias size": (dict(bias=torch.ones(2)), r"`bias` must have the shape \(4\)"),
    "code": (dict(activation=99), "`activation` must be from 0 to 9"),
    "rate": (dict(rate=2.0), "`rate` must be from 0 to 1"),
    "seed": (dict(seed=torch.ones(0, dtype=torch.int64)), "`seed` must be an int64 tensor of one"),
    "device": (dict(bias=torch.ones(4, device="meta")), "on the device of `z`, cpu"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_wrong_arguments_of_the_op_are_errors(case):
    changed, message = ERRORS[case]
    arguments = dict(
        z=torch.ones(2, 4), bias=torch.ones(4), activation=1, rate=0.5, seed=torch.tensor([1])
    )
    compiled.bias_act_dropout(*arguments.values())
    with pytest.raises(RuntimeError, match=message):
        compiled.bias_act_dropout(*(arguments | changed).values())


def test_wrong_arguments_of_the_gradient_are_errors():
    gy = torch.ones(2, 4)
    for wrong, message in ((torch.ones(4, 2), "`y` must have the shape"), (gy.half(), "dtype")):
        with pytest.raises(RuntimeError, match=message):
            compiled.bias_act_dropout_backward(gy, wrong, gy, codes.RELU, 0.0, None, True)
    with pytest.raises(RuntimeError, match="`pre` must have the shape"):
        compiled.bias_act_dropout_backward(gy, gy, gy[:1], codes.GELU, 0.0, None, True)
