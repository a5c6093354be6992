import itertools

import pytest
import torch

import torchkeras as keras
from tests.kernels.support import ACTIVATIONS, every_activation, formula, needs_ops, scales
from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import bias_act_dropout, compiled, fakes
from torchkeras.kernels.bias_act_dropout import _BiasActDropout


def _leaves(*shapes, dtype=torch.float32):
    g = torch.Generator().manual_seed(6)
    values = [torch.randn(s, generator=g, dtype=torch.float64) for s in shapes]
    return [v.to(dtype).requires_grad_() for v in values]


def _expected(name, inputs, rate, gy, seed=7):
    z, *bias = [t.detach().double().requires_grad_() for t in inputs]
    y = formula(name, z + bias[0] if bias else z) * scales(z.shape, rate, seed)
    return y.detach(), torch.autograd.grad(y, [z, *bias], gy.double())


def _assert_all_close(actual, expected, tolerance=1e-5):
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a.detach().double(), e, rtol=tolerance, atol=tolerance)


@every_activation
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(3, 5), (170, 130), (3, 40, 150), (2, 6, 5, 300)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_value_and_gradients_are_those_of_the_formula(name, rate, shape, use_bias):
    inputs = _leaves(shape, shape[-1:])[: 1 + use_bias]
    gy = torch.randn(shape)
    before = inputs[0].detach().clone()
    generator = keras.random.SeedGenerator(7)
    y = bias_act_dropout(*inputs, activation=ACTIVATIONS[name], rate=rate, seed_generator=generator)
    assert y.shape == shape
    assert torch.equal(inputs[0], before)
    if rate == 1:
        assert torch.equal(y, torch.zeros(shape))
        return
    expected, gradients = _expected(name, inputs, rate, gy)
    _assert_all_close([y], [expected])
    # The sums of the bias have up to 170 terms.
    _assert_all_close(torch.autograd.grad(y, inputs, gy), gradients, 2e-5)


@needs_ops
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


@needs_ops
@pytest.mark.parametrize("op", ["bias_act_dropout", "bias_act_dropout_backward"])
def test_an_error_of_torch_keeps_its_type(op, monkeypatch):
    def fail(*args):
        raise RuntimeError("aoti_torch_empty_strided(...) API call failed at ops.cpp, line 1")

    def fail_in_torch(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    (z,) = _leaves((170, 130))
    monkeypatch.setattr(compiled, op, fail)
    with pytest.raises(RuntimeError, match="API call failed"):  # torch finds nothing
        bias_act_dropout(z, None, codes.TANH, 0.5).sum().backward()
    monkeypatch.setitem(fakes.FUNCTIONS, op, fail_in_torch)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        bias_act_dropout(z, None, codes.TANH, 0.5).sum().backward()


@needs_ops
def test_small_large_and_gainless_cases_are_decided_as_the_rules_say(monkeypatch):
    calls = []
    op = compiled.bias_act_dropout
    monkeypatch.setattr(compiled, "bias_act_dropout", lambda *a: calls.append(a) or op(*a))
    large, small = torch.ones(300, 300), torch.ones(20, 20)
    bias_act_dropout(small, None, codes.TANH, 0.5)
    bias_act_dropout(large, None, codes.RELU)  # torch's own relu is as fast
    bias_act_dropout(large, None, codes.RELU, 1e-4)  # needs more than 16 bits
    bias_act_dropout(large.double(), None, codes.TANH, 0.5)
    bias_act_dropout(large.flatten(), None, codes.ELU)
    monkeypatch.setattr(compiled, "mkl_is_slow", False)
    bias_act_dropout(large, None, codes.TANH)
    assert not calls
    monkeypatch.setattr(compiled, "mkl_is_slow", True)
    bias_act_dropout(large, None, codes.TANH)
    bias_act_dropout(large, None, codes.ELU)
    bias_act_dropout(large, torch.ones(300), codes.RELU, 0.5)
    assert len(calls) == 3


def _op(name, rate):
    seed = torch.tensor([7, 0])
    return lambda z, bias=None: _BiasActDropout.apply(z, bias, ACTIVATIONS[name], rate, seed)


@needs_ops
@every_activation
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_gradcheck_of_the_op(name, rate):
    leaves = _leaves((4, 5), (5,), dtype=torch.float64)
    for inputs in (leaves, leaves[:1]):
        assert torch.autograd.gradcheck(_op(name, rate), inputs)
        assert torch.autograd.gradgradcheck(_op(name, rate), inputs)


# Half types round the value; its gradient may be computed from the rounded value.
TOLERANCES = {
    torch.float32: 1e-5,
    torch.float64: 1e-12,
    torch.bfloat16: 2e-2,
    torch.float16: 2.5e-3,
}


@needs_ops
@every_activation
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_the_op_in_every_dtype(name, dtype):
    for rate, shape in itertools.product((0.0, 0.5), ((5, 33), (3, 1030))):
        inputs = _leaves(shape, shape[-1:], dtype=dtype)
        gy = torch.randn(shape).to(dtype)
        y = _op(name, rate)(*inputs)
        expected, gradients = _expected(name, inputs, rate, gy)
        _assert_all_close([y], [expected], TOLERANCES[dtype])
        _assert_all_close(torch.autograd.grad(y, inputs, gy), gradients, 2 * TOLERANCES[dtype])


@needs_ops
@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (1, 1), (1, 1025), (1025, 1), (3000, 3)])
def test_shapes_of_the_op(shape):
    inputs = _leaves(shape, shape[-1:])
    gy = torch.randn(shape)
    y = _op("elu", 0.3)(*inputs)
    expected, gradients = _expected("elu", inputs, 0.3, gy)
    _assert_all_close([y], [expected])
    _assert_all_close(torch.autograd.grad(y, inputs, gy), gradients, 1e-4)


@needs_ops
def test_strides_and_expanded_gradients():
    z, bias = _leaves((40, 9), (1,))
    y = _op("gelu", 0.5)(z.t(), bias.expand(40))
    y.sum().backward()
    expected, (gz, gbias) = _expected("gelu", [z.t(), bias.expand(40)], 0.5, torch.ones(9, 40))
    _assert_all_close([y, z.grad.t(), bias.grad], [expected, gz, gbias.sum(0, True)], 2e-5)


@needs_ops
@pytest.mark.parametrize("name", ["tanh", "relu"])
@pytest.mark.parametrize("needed", [(True, False), (False, True)])
@pytest.mark.parametrize("create_graph", [False, True])
def test_only_the_gradients_asked_for(name, needed, create_graph):
    z, bias = _leaves((9, 30), (30,))
    gy = torch.randn(9, 30)
    _, gradients = _expected(name, [z, bias], 0.5, gy)
    z.requires_grad_(needed[0])
    bias.requires_grad_(needed[1])
    y = _op(name, 0.5)(z, bias)
    wanted, expected = ([z], gradients[:1]) if needed[0] else ([bias], gradients[1:])
    found = torch.autograd.grad(y, wanted, gy, create_graph=create_graph)
    _assert_all_close(found, expected, 1e-5)


@needs_ops
@every_activation
def test_a_sum_that_depends_on_the_bias_is_differentiated_once_for_each_use(name):
    def gradient(run, bias):
        loss = run(bias.sin() * torch.ones(3, 1, dtype=bias.dtype), bias).square().sum()
        return torch.autograd.grad(loss, bias, create_graph=True)[0]

    (bias,) = _leaves((600,))
    exact = bias.detach().double().requires_grad_()
    expected = gradient(lambda z, b: formula(name, z + b) * scales((3, 600), 0.1, 7), exact)
    found = gradient(_op(name, 0.1), bias)
    _assert_all_close([found], [expected.detach()], 1e-4)
    second = torch.autograd.grad(found.sum(), bias)
    _assert_all_close(second, torch.autograd.grad(expected.sum(), exact), 1e-3)


@needs_ops
def test_a_changed_result_is_noticed():
    (z,) = _leaves((9, 30))
    y = _op("tanh", 0.0)(z)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


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


@needs_ops
@pytest.mark.parametrize("case", ERRORS)
def test_wrong_arguments_of_the_op_are_errors(case):
    changed, message = ERRORS[case]
    arguments = dict(
        z=torch.ones(2, 4), bias=torch.ones(4), activation=1, rate=0.5, seed=torch.tensor([1])
    )
    compiled.bias_act_dropout(*arguments.values())
    with pytest.raises(RuntimeError, match=message):
        compiled.bias_act_dropout(*(arguments | changed).values())


@needs_ops
def test_wrong_arguments_of_the_gradient_are_errors():
    gy = torch.ones(2, 4)
    for wrong, message in ((torch.ones(4, 2), "`y` must have the shape"), (gy.half(), "dtype")):
        with pytest.raises(RuntimeError, match=message):
            compiled.bias_act_dropout_backward(gy, wrong, gy, codes.RELU, 0.0, None, True)
    with pytest.raises(RuntimeError, match="`pre` must have the shape"):
        compiled.bias_act_dropout_backward(gy, gy, gy[:1], codes.GELU, 0.0, None, True)
