import itertools
import math
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import torchkeras as keras
from tests.kernels.support import (
    ACTIVATIONS,
    every_activation,
    formula,
    kept,
    needs_ops,
    scales,
)
from tests.processes import run_python
from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import compiled, dense, fakes, loader
from torchkeras.kernels.dense import _Dense


@pytest.mark.parametrize("shape", [(4, 6), (0, 6), (2, 3, 6), (2, 2, 2, 6), (4, 300), (1, 1)])
@pytest.mark.parametrize("units", [1, 2, 5, 10, 11, 40])
@pytest.mark.parametrize("use_bias", [True, False])
def test_value_and_gradients_are_those_of_the_formula(shape, units, use_bias):
    def leaves():
        g = torch.Generator().manual_seed(0)
        shapes = [shape, (shape[-1], units), (units,)]
        values = [torch.randn(s, generator=g, dtype=torch.float64) for s in shapes]
        return [v.requires_grad_() for v in values[: 2 + use_bias]]

    x, kernel, *bias = leaves()
    y = dense(x, kernel, *bias)
    y.square().sum().backward()
    x2, kernel2, *bias2 = leaves()
    expected = torch.einsum("...i,io->...o", x2, kernel2) + (bias2[0] if bias2 else 0)
    expected.square().sum().backward()
    torch.testing.assert_close(y, expected)
    for a, b in zip([x, kernel, *bias], [x2, kernel2, *bias2], strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("shape", [(3, 130), (2, 3, 130)])
def test_gradcheck_first_and_second_order(shape):
    x = torch.randn(shape, dtype=torch.float64)[..., :130].requires_grad_()
    kernel = torch.randn(130, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(dense, (x, kernel, bias), fast_mode=True)
    assert torch.autograd.gradgradcheck(dense, (x, kernel, bias), fast_mode=True)


def test_activation_may_work_in_place_without_touching_inputs():
    x, kernel, bias = torch.randn(4, 3), torch.randn(3, 5), torch.randn(5)
    before = [t.clone() for t in (x, kernel, bias)]
    y = dense(x, kernel, bias, torch.relu_)
    torch.testing.assert_close(y, (x @ kernel + bias).clamp(min=0))
    for t, b in zip((x, kernel, bias), before, strict=True):
        assert torch.equal(t, b)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.int64, torch.float32),
        (torch.uint8, torch.float32),
        (torch.bool, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float64, torch.float64),
        (torch.complex64, torch.complex64),
    ],
)
def test_another_dtype_is_promoted(dtype, expected):
    x = torch.tensor([[1, 0], [1, 1]]).to(dtype)
    y = dense(x, torch.tensor([[2.0], [3.0]]), torch.tensor([1.0]))
    assert y.dtype is expected
    assert torch.equal(y, torch.tensor([[3.0], [6.0]]).to(expected))


@pytest.mark.parametrize("units", [4, 40])
def test_non_contiguous_input(units):
    x, kernel = torch.randn(300, 6).t(), torch.randn(units, 300).t()
    torch.testing.assert_close(dense(x, kernel), x.contiguous() @ kernel.contiguous())


@pytest.mark.parametrize("units", [4, 40])
def test_vmap_over_inputs_and_over_weights(units):
    x, kernels, bias = torch.randn(5, 3, 130), torch.randn(5, 130, units), torch.randn(units)
    torch.testing.assert_close(
        torch.func.vmap(dense, in_dims=(0, None, None))(x, kernels[0], bias),
        x @ kernels[0] + bias,
    )
    torch.testing.assert_close(
        torch.func.vmap(lambda k: dense(x[0], k, bias, torch.relu_))(kernels),
        (x[0] @ kernels + bias).relu(),
    )


# torch compiles its own decompositions with torch.jit at the first jvp; what it says of that is a
# DeprecationWarning in torch 2.13, a FutureWarning in 2.14.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_forward_mode():
    x, kernel, t = torch.randn(4, 3), torch.randn(3, 5), torch.randn(4, 3)
    _, tangent = torch.func.jvp(lambda x: dense(x, kernel), (x,), (t,))
    torch.testing.assert_close(tangent, t @ kernel)


def test_autocast_computes_in_the_lower_dtype():
    with torch.autocast("cpu", torch.bfloat16):
        for shape in ((4, 3), (2, 4, 3)):
            assert dense(torch.ones(shape), torch.ones(3, 5)).dtype is torch.bfloat16


# The public function where it takes the op (with the kernels off: the same in plain torch).


def _leaves(*shapes, dtype=torch.float32, scale=0.1):
    g = torch.Generator().manual_seed(5)
    values = [torch.randn(s, generator=g, dtype=torch.float64) * scale for s in shapes]
    return [v.to(dtype).requires_grad_() for v in values]


def _expected(name, inputs, rate, seed, gy):
    """Value and gradients by the formula in float64."""
    x, kernel, *bias = [t.detach().double().requires_grad_() for t in inputs]
    z = x @ kernel + (bias[0] if bias else 0)
    y = formula(name, z) * scales(z.shape, rate, seed)
    return y.detach(), torch.autograd.grad(y, [x, kernel, *bias], gy.double())


def _assert_all_close(actual, expected, tolerance):
    for a, e in zip(actual, expected, strict=True):
        a, e = a.detach().double(), e.detach()
        unit = max(1.0, float(e.abs().max())) if e.numel() else 1.0
        torch.testing.assert_close(a, e, rtol=tolerance, atol=tolerance * unit)


@every_activation
@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize(("shape", "units"), [((130, 96), 100), ((5, 26, 130), 7)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_activation_and_dropout_are_those_of_the_formula(name, rate, shape, units, use_bias):
    inputs = _leaves(shape, (shape[-1], units), (units,))[: 2 + use_bias]
    gy = torch.randn(*shape[:-1], units)
    bias = inputs[2] if use_bias else None
    generator = keras.random.SeedGenerator(11)
    y = dense(*inputs[:2], bias, ACTIVATIONS[name], rate, generator)
    expected, gradients = _expected(name, inputs, rate, 11, gy)
    _assert_all_close([y], [expected], 1e-5)
    _assert_all_close(torch.autograd.grad(y, inputs, gy), gradients, 1e-5)
    assert generator.state.value.tolist() == [11, 1 if rate else 0]


def test_four_axes():
    inputs = _leaves((3, 4, 5, 200), (200, 90), (90,))
    gy = torch.randn(3, 4, 5, 90)
    y = dense(*inputs, codes.RELU, 0.5, keras.random.SeedGenerator(2))
    expected, gradients = _expected("relu", inputs, 0.5, 2, gy)
    assert y.shape == (3, 4, 5, 90)
    _assert_all_close([y], [expected], 1e-5)
    _assert_all_close(torch.autograd.grad(y, inputs, gy), gradients, 1e-5)


def test_double_precision_and_an_extreme_rate_stay_right():
    inputs = _leaves((128, 128), (128, 128), (128,), dtype=torch.float64)
    y = dense(*inputs, codes.TANH, 0.5, keras.random.SeedGenerator(2))
    expected, _ = _expected("tanh", inputs, 0.5, 2, torch.ones(128, 128))
    torch.testing.assert_close(y, expected)
    x, kernel = torch.ones(200, 200), torch.ones(200, 200)
    y = dense(x, kernel, None, codes.NONE, 1e-3)
    assert 0 < int((y == 0).sum()) < 400
    assert torch.equal(dense(x, kernel, None, codes.NONE, 1), torch.zeros(200, 200))


@every_activation
def test_a_kernel_used_twice_is_differentiated_once_for_each_use(name):
    # With create_graph the gradient is computed from plain functions of the saved inputs, one of
    # which depends on the other one here.
    kernel = (torch.randn(200, 200, dtype=torch.float64) * 0.07).float().requires_grad_()
    x = torch.randn(64, 200)

    def gradient(run, kernel):
        loss = run(run(x.to(kernel.dtype), kernel), kernel).square().sum()
        return torch.autograd.grad(loss, kernel, create_graph=True)[0]

    def fused(x, kernel):
        generator = keras.random.SeedGenerator(3)
        return dense(x, kernel, None, ACTIVATIONS[name], 0.1, generator)

    def by_formula(x, kernel):
        z = x @ kernel
        return formula(name, z) * scales(z.shape, 0.1, 3)

    exact = kernel.detach().double().requires_grad_()
    g, e = gradient(fused, kernel), gradient(by_formula, exact)
    _assert_all_close([g], [e], 1e-4)
    if name not in ("none", "relu", "leaky_relu"):  # whose gradients hardly bend
        second = torch.autograd.grad(g.square().sum(), kernel)
        expected = torch.autograd.grad(e.square().sum(), exact)
        _assert_all_close(second, expected, 1e-3)


# The op itself


def _op(name, rate, seed=7):
    seed = torch.tensor([seed, 0])
    return lambda x, kernel, bias=None: _Dense.apply(x, kernel, bias, ACTIVATIONS[name], rate, seed)


@needs_ops
@every_activation
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_gradcheck_of_the_op(name, rate):
    leaves = _leaves((3, 4), (4, 5), (5,), dtype=torch.float64, scale=1.0)
    for inputs in (leaves, leaves[:2]):
        assert torch.autograd.gradcheck(_op(name, rate), inputs)
        assert torch.autograd.gradgradcheck(_op(name, rate), inputs)


# Half types round the product before the epilogue, and the value once more after it.
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
    leaves = _leaves((9, 40), (40, 130), (130,), dtype=dtype, scale=0.3)
    gy = torch.randn(9, 130).to(dtype)
    for rate, inputs in itertools.product((0.0, 0.5), (leaves, leaves[:2])):
        y = _op(name, rate)(*inputs)
        assert y.dtype is dtype
        expected, gradients = _expected(name, inputs, rate, 7, gy)
        _assert_all_close([y], [expected], TOLERANCES[dtype])
        _assert_all_close(torch.autograd.grad(y, inputs, gy), gradients, TOLERANCES[dtype])


SHAPES = [(0, 5, 7), (5, 0, 7), (5, 7, 0), (0, 0, 0), (1, 1, 1), (1, 3, 1), (7, 1, 2)]
SHAPES += [(3, 5, out) for out in range(1, 19)]
SHAPES += [(3, 2, out) for out in (31, 511, 512, 513, 1023, 1024, 1025, 2049)]
SHAPES += [(700, 3, 2), (700, 3, 33), (1030, 70, 10), (1, 600, 10), (17, 1025, 16)]


@needs_ops
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape):
    rows, inner, out = shape
    inputs = _leaves((rows, inner), (inner, out), (out,), scale=1.0)
    gy = torch.randn(rows, out)
    for name, rate in (("relu", 0.5), ("silu", 0.0), ("elu", 0.3)):
        y = _op(name, rate)(*inputs)
        expected, gradients = _expected(name, inputs, rate, 7, gy)
        _assert_all_close([y], [expected], 1e-5)
        _assert_all_close(torch.autograd.grad(y, inputs, gy), gradients, 1e-5)


VIEWS = {
    "contiguous": lambda t: t,
    "transposed": lambda t: t.t().contiguous().t(),
    "every second": lambda t: t.repeat_interleave(2, 0).repeat_interleave(2, 1)[::2, ::2],
    "with an offset": lambda t: torch.cat([t[:1], t])[1:],
}


@needs_ops
@pytest.mark.parametrize("out", [6, 40])
@pytest.mark.parametrize("x_view", VIEWS)
@pytest.mark.parametrize("kernel_view", VIEWS)
def test_strides(out, x_view, kernel_view):
    x, kernel, bias = _leaves((9, 30), (30, out), (out,), scale=1.0)
    inputs = (
        VIEWS[x_view](x),
        VIEWS[kernel_view](kernel),
        VIEWS["every second"](bias[:, None])[:, 0],
    )
    y = _op("relu", 0.5)(*inputs)
    for gy_view in VIEWS.values():
        gy = gy_view(torch.randn(9, out))
        expected, gradients = _expected("relu", [x, kernel, bias], 0.5, 7, gy)
        _assert_all_close([y], [expected], 1e-5)
        found = torch.autograd.grad(y, [x, kernel, bias], gy, retain_graph=True)
        _assert_all_close(found, gradients, 1e-5)


@needs_ops
@pytest.mark.parametrize("out", [6, 40])
@pytest.mark.parametrize("name", ["none", "relu", "gelu"])
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_expanded_gradient_and_inputs(out, name, rate):
    x, kernel, bias = _leaves((1, 30), (1, out), (1,), scale=1.0)
    inputs = x.expand(9, 30), kernel.expand(30, out), bias.expand(out)
    y = _op(name, rate)(*inputs)
    y.sum().backward()  # its gradient is one number with strides of 0
    gy = torch.ones(9, out)
    expected, gradients = _expected(name, inputs, rate, 7, gy)
    _assert_all_close([y], [expected], 1e-5)
    sums = gradients[0].sum(0, True), gradients[1].sum(0, True), gradients[2].sum(0, True)
    _assert_all_close([x.grad, kernel.grad, bias.grad], sums, 1e-5)


@needs_ops
@pytest.mark.parametrize(
    "needed", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)]
)
@pytest.mark.parametrize("out", [6, 40])
@pytest.mark.parametrize("create_graph", [False, True])
def test_only_the_gradients_asked_for(needed, out, create_graph):
    inputs = _leaves((9, 30), (30, out), (out,), scale=1.0)
    gy = torch.randn(9, out)
    _, gradients = _expected("tanh", inputs, 0.5, 7, gy)
    for t, need in zip(inputs, needed, strict=True):
        t.requires_grad_(bool(need))
    y = _op("tanh", 0.5)(*inputs)
    wanted = [t for t in inputs if t.requires_grad]
    found = torch.autograd.grad(y, wanted, gy, create_graph=create_graph)
    expected = [e for e, need in zip(gradients, needed, strict=True) if need]
    _assert_all_close(found, expected, 1e-5)


NEEDED = [n for n in itertools.product((False, True), repeat=3) if any(n)]


@needs_ops
@every_activation
@pytest.mark.parametrize("needed", NEEDED)
@pytest.mark.parametrize("use_bias", [True, False])
def test_gradcheck_for_every_choice_of_gradients(name, needed, use_bias):
    inputs = _leaves((3, 4), (4, 5), (5,), dtype=torch.float64, scale=1.0)[: 2 + use_bias]
    for t, need in zip(inputs, needed, strict=False):
        t.requires_grad_(need)
    if any(t.requires_grad for t in inputs):
        assert torch.autograd.gradcheck(_op(name, 0.3), inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(_op(name, 0.3), inputs, fast_mode=True)


@needs_ops
@pytest.mark.parametrize("name", ["none", "relu", "leaky_relu"])
@pytest.mark.parametrize("frozen", ["x", "kernel", "both"])
def test_only_what_backward_reads_is_kept_and_may_not_change(name, frozen):
    inputs = _leaves((9, 30), (30, 40), (40,), scale=1.0)
    gy = torch.randn(9, 40)
    _, gradients = _expected(name, inputs, 0.5, 7, gy)
    if frozen in ("x", "both"):
        inputs[0].requires_grad_(False)
    if frozen in ("kernel", "both"):
        inputs[1].requires_grad_(False)
    wanted = [(t, e) for t, e in zip(inputs, gradients, strict=True) if t.requires_grad]
    y = _op(name, 0.5)(*inputs)
    with torch.no_grad():  # a factor serves the gradient of the other one
        if frozen in ("kernel", "both"):
            inputs[0].mul_(2)
        if frozen in ("x", "both"):
            inputs[1].mul_(2)
        inputs[2].mul_(2)
    found = torch.autograd.grad(y, [t for t, _ in wanted], gy)
    _assert_all_close(found, [e for _, e in wanted], 1e-5)


@needs_ops
@pytest.mark.parametrize("name", ["none", "relu", "leaky_relu"])
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_the_activation_of_a_large_result_is_a_node_of_its_own(name, rate, monkeypatch):
    results = []
    for least in (2**20, 1):
        monkeypatch.setattr(sys.modules["torchkeras.kernels.dense"], "_LARGE_RESULT", least)
        x, kernel, bias = inputs = _leaves((2600, 96), (96, 100), (100,))
        seed = keras.random.SeedGenerator(1) if rate else None
        y = dense(x, kernel, bias, ACTIVATIONS[name], rate, seed)
        gy = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), requires_grad=True)
        first = torch.autograd.grad(y, inputs, gy, create_graph=True)
        again = torch.autograd.grad(y, inputs, gy.detach(), retain_graph=True)
        second = torch.autograd.grad(sum((g * g).sum() for g in first), [*inputs[:2], gy])
        results.append([y, *first, *again, *second])
        apart = least == 1 and (rate > 0 or name != "none")
        assert (type(y.grad_fn).__name__ == "_ActivatedBackward") == apart
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
    y.detach().mul_(2)
    if name != "none":
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


@needs_ops
@pytest.mark.parametrize("needed", [(True, False), (False, True)])
def test_the_op_computes_no_other_gradient(needed):
    x, kernel, gy = torch.randn(9, 30), torch.randn(30, 40), torch.randn(9, 40)
    gx, gkernel, gbias = compiled.dense_act_dropout_backward(
        gy, x, kernel, gy, gy, codes.RELU, 0.0, None, *needed, False
    )
    assert gx.shape == ((9, 30) if needed[0] else (0,))
    assert gkernel.shape == ((30, 40) if needed[1] else (0,))
    assert gbias.shape == (0,)


@needs_ops
@every_activation
def test_a_changed_result_is_noticed_where_backward_reads_it(name):
    x, kernel = _leaves((4, 30), (30, 40), scale=1.0)
    y = _op(name, 0.0)(x, kernel)
    _, gradients = _expected(name, [x, kernel], 0.0, 7, torch.full((4, 40), 2.0))
    y.mul_(2)
    if codes.needs_value(ACTIVATIONS[name]):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()
    else:
        _assert_all_close(torch.autograd.grad(y.sum(), [x, kernel]), gradients, 1e-5)


@needs_ops
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_changed_input_is_noticed(create_graph):
    x, kernel = _leaves((4, 30), (30, 40))
    y = _op("relu", 0.5)(x, kernel)
    with torch.no_grad():
        kernel.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward(create_graph=create_graph)


@needs_ops
def test_nan_passes_and_a_dropped_one_is_zero():
    x = torch.tensor([[math.nan], [math.inf], [-math.inf], [1.0]]).expand(4, 600).contiguous()
    y = compiled.bias_act_dropout(x, None, codes.RELU, 0.5, torch.tensor([7]))[0]
    keep = kept((4, 600), 0.5, 7)
    assert torch.equal(y.isnan(), keep & x.isnan())
    assert torch.equal(y == math.inf, keep & (x == math.inf))
    assert torch.equal(y[2], torch.zeros(600))
    assert torch.equal(y[3], keep[3] * 2.0)


@needs_ops
def test_an_infinite_gradient_of_a_dropped_or_inactive_element_is_zero():
    x, kernel = torch.tensor([[1.0], [-1.0]], requires_grad=True), torch.ones(1, 600)
    y = _op("relu", 0.5)(x, kernel.requires_grad_())
    (gkernel,) = torch.autograd.grad(y, kernel, torch.full((2, 600), math.inf))
    expected = torch.where(kept((2, 600), 0.5, 7)[0], math.inf, 0.0)
    assert torch.equal(gkernel[0].nan_to_num(0.0, math.inf), expected)


@needs_ops
@pytest.mark.parametrize("shape", [(3000, 40), (5000, 3), (64, 3000), (200, 600)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_bits_for_every_number_of_threads(shape, dtype):
    rows, out = shape
    x, kernel, bias = _leaves((rows, 20), (20, out), (out,), dtype=dtype)
    gy = torch.randn(rows, out).to(dtype)
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            y, _ = compiled.bias_act_dropout(gy, bias.detach(), codes.TANH, 0.3, torch.tensor([7]))
            gz, gbias = compiled.bias_act_dropout_backward(
                gy, y, y, codes.TANH, 0.3, torch.tensor([7]), True
            )
            z = _op("relu", 0.5)(x, kernel, bias)
            found.append([y, gz, gbias, z != 0])
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        for a, b in zip(found[0], others, strict=True):
            assert torch.equal(a, b)


@needs_ops
@pytest.mark.parametrize("inner", [30, 512, 513, 1025, 2000])
@pytest.mark.parametrize("cols", [2, 7, 10, 16])
def test_the_same_bits_for_both_layouts_of_the_other_factor(inner, cols):
    x, kernel = torch.randn(70, inner), torch.randn(inner, cols)
    if loader.status()["isa"] == "base":
        pytest.skip("torch multiplies here")
    by_rows, _ = compiled.dense_act_dropout(x, kernel, None, codes.NONE, 0.0, None)
    turned = x.t().contiguous().t()
    by_columns, _ = compiled.dense_act_dropout(turned, kernel, None, codes.NONE, 0.0, None)
    assert torch.equal(by_rows, by_columns)


# The second factor ends where the process may not read.
AT_THE_EDGE = """
import ctypes, mmap, sys
import torch
from torchkeras.kernels import compiled, loader
loader.load()
libc, page = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
memory = mmap.mmap(-1, 4 * page)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
assert libc.mprotect(address + 3 * page, page, 0) == 0

def at_the_edge(t):
    size = t.numel() * 4
    buffer = (ctypes.c_char * size).from_address(address + 3 * page - size)
    result = torch.frombuffer(buffer, dtype=torch.float32).view(t.shape)
    return result.copy_(t)

worst = 0.0
for cols in range(2, 17):
    for inner in (1, 2, 5, 100):
        a, b = torch.randn(9, inner), torch.randn(inner, cols)
        for x in (a, a.t().contiguous().t()):
            edge = at_the_edge(b)
            y, _ = compiled.dense_act_dropout(x, edge, None, 0, 0.0, None)
            worst = max(worst, float((y - a @ b).abs().max()))
            # The gradient of the kernel is a product with gy, which is b here.
            none, kernel = torch.empty(0), torch.randn(9, cols)
            _, g, _ = compiled.dense_act_dropout_backward(
                edge, x.t(), kernel, none, none, 0, 0.0, None, False, True, False)
            worst = max(worst, float((g - a @ b).abs().max()))
print(loader.status()["isa"], worst)
"""


@needs_ops
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mprotect")
@pytest.mark.parametrize("isa", ["avx2", "avx512"])
def test_nothing_is_read_behind_a_matrix_of_few_columns(isa):
    used, worst = run_python(AT_THE_EDGE, TORCHKERAS_ISA=isa).split()
    if used != isa:
        pytest.skip(f"this CPU has no {isa}")
    assert float(worst) < 1e-4  # sums of up to 100 products


@needs_ops
def test_empty_variables_count_as_unset():
    facts = [run_python(FACTS), run_python(FACTS, TORCHKERAS_ISA="", TORCHKERAS_GEMM="")]
    assert facts[0] == facts[1]


# Errors of torch inside an op


HUGE = torch.ones(1, 1).expand(2**24, 2)  # its product with the next: more than there are addresses
WIDE = torch.ones(1, 1).expand(2, 2**24)


@needs_ops
@pytest.mark.parametrize("trained", [False, True])
def test_a_lack_of_memory_is_torchs_own_error(trained):
    kernel = WIDE.clone().requires_grad_() if trained else WIDE
    with pytest.raises(RuntimeError, match="allocate memory: you tried to allocate 11258"):
        dense(HUGE, kernel, None, codes.RELU, 0.5)


@needs_ops
@pytest.mark.parametrize("op", ["dense_act_dropout", "dense_act_dropout_backward"])
def test_an_error_of_torch_keeps_its_type(op, monkeypatch):
    def fail(*args):
        raise RuntimeError("torch_call_dispatcher(...) API call failed at ops.cpp, line 1")

    def fail_in_torch(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    x, kernel = _leaves((130, 96), (96, 100))
    monkeypatch.setattr(compiled, op, fail)
    with pytest.raises(RuntimeError, match="API call failed"):  # torch finds nothing
        dense(x, kernel, None, codes.RELU, 0.5).sum().backward()
    monkeypatch.setitem(fakes.FUNCTIONS, op, fail_in_torch)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        dense(x, kernel, None, codes.RELU, 0.5).sum().backward()
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        dense(x, kernel, None, codes.GELU, 0.5).sum().backward()


@needs_ops
def test_another_error_of_an_op_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(fakes, "FUNCTIONS", {})  # would be a KeyError
    x, kernel = torch.ones(130, 96), torch.ones(96, 100)
    with pytest.raises(RuntimeError, match="`bias` must have the shape"):
        dense(x, kernel, torch.ones(99), codes.RELU, 0.5)


# Operations


@needs_ops
@pytest.mark.parametrize("frozen", [None, "x", "kernel"])
def test_operations_are_counted_as_those_of_plain_torch(frozen):
    def leaves():
        x, kernel, bias = _leaves((130, 160), (160, 150), (150,))
        return x.requires_grad_(frozen != "x"), kernel.requires_grad_(frozen != "kernel"), bias

    def by_torch(x, kernel, bias):
        return torch.dropout(torch.relu(torch.addmm(bias, x, kernel)), 0.5, True)

    counts = []
    for run in (lambda *inputs: dense(*inputs, codes.RELU, 0.5), by_torch):
        with FlopCounterMode(display=False) as forward:
            y = run(*leaves())
        with FlopCounterMode(display=False) as backward:
            y.sum().backward()
        counts.append((forward.get_total_flops(), backward.get_total_flops()))
    assert counts[0] == counts[1]
    assert counts[0][0] == 2 * 130 * 160 * 150


FACTS = """
from torchkeras.kernels import loader
loader.load()
print(loader.status())
"""

PRODUCTS = """
import torch
from torchkeras.kernels import compiled, loader
loader.load()
torch.manual_seed(0)
big = torch.randn(4096, 2, 40)
views = [big[:48, 0], big[:96:2, 1], torch.randn(40).expand(48, 40), torch.randn(40, 48).t(),
         torch.randn(5000).as_strided((48, 40), (3, 1)), torch.randn(48, 1).expand(48, 40)]
kernels = [torch.randn(40, 70), torch.randn(70, 40).t(), torch.randn(70).expand(40, 70),
           torch.randn(40, 1).expand(40, 70), torch.randn(40, 140)[:, ::2], torch.randn(40, 1)]
worst = 0.0
for x in views:
    for kernel in kernels if x is views[0] else kernels[:1]:
        y, _ = compiled.dense_act_dropout(x, kernel, None, 0, 0.0, None)
        gy = torch.randn_like(y)
        gx, gkernel, _ = compiled.dense_act_dropout_backward(
            gy, x, kernel, y, y, 0, 0.0, None, True, True, False)
        for a, e in ((y, x.double() @ kernel.double()), (gx, gy.double() @ kernel.double().t()),
                     (gkernel, x.double().t() @ gy.double())):
            worst = max(worst, float((a - e).abs().max() / e.abs().max()))
print(loader.status()["gemm"], worst)
"""


@needs_ops
def test_products_of_every_layout():
    here = {}
    exec(PRODUCTS.replace("print(", "found = ("), here)
    assert here["found"][1] < 2e-6


@needs_ops
def test_products_of_every_layout_by_onednn():
    used, worst = run_python(PRODUCTS, TORCHKERAS_GEMM="onednn").split()
    if used != "onednn":
        pytest.skip("torch has no oneDNN here")
    assert float(worst) < 2e-6


ERRORS = {
    "inner sizes": (dict(kernel=torch.ones(5, 4)), r"`kernel` must have the shape \(3, 4\)"),
    "bias size": (dict(bias=torch.ones(5)), r"`bias` must have the shape \(4\)"),
    "bias rank": (dict(bias=torch.ones(4, 1)), "`bias` must have the shape"),
    "kernel dtype": (dict(kernel=torch.ones(3, 4).double()), "`kernel` must have the dtype of `x`"),
    "bias dtype": (dict(bias=torch.ones(4).half()), "`bias` must have the dtype of `x`"),
    "dtype": (dict(x=torch.ones(2, 3, dtype=torch.int32)), "`x` must be float32, float64"),
    "complex": (dict(x=torch.ones(2, 3, dtype=torch.complex64)), "`x` must be float32, float64"),
    "x rank": (dict(x=torch.ones(2, 2, 3)), "`x` must have rank 2"),
    "kernel rank": (dict(kernel=torch.ones(3)), "`kernel` must have rank 2"),
    "code above": (dict(activation=10), "`activation` must be from 0 to 9. Received: 10"),
    "code below": (dict(activation=-1), "`activation` must be from 0 to 9. Received: -1"),
    "rate above": (dict(rate=1.5), "`rate` must be from 0 to 1"),
    "rate below": (dict(rate=-0.1), "`rate` must be from 0 to 1"),
    "rate nan": (dict(rate=math.nan), "`rate` must be from 0 to 1"),
    "seed dtype": (dict(seed=torch.ones(1)), "`seed` must be an int64 tensor of one or two"),
    "seed size": (dict(seed=torch.tensor([1, 2, 3])), "`seed` must be an int64 tensor of one or"),
    "kernel on meta": (dict(kernel=torch.ones(3, 4, device="meta")), "on the device of `x`, cpu"),
    "seed on meta": (dict(seed=torch.ones(1, device="meta")), "on the device of `x`, cpu"),
}


@needs_ops
@pytest.mark.parametrize("case", ERRORS)
def test_wrong_arguments_of_the_op_are_errors(case):
    changed, message = ERRORS[case]
    arguments = dict(
        x=torch.ones(2, 3),
        kernel=torch.ones(3, 4),
        bias=torch.ones(4),
        activation=codes.RELU,
        rate=0.5,
        seed=torch.tensor([1, 0]),
    )
    compiled.dense_act_dropout(*arguments.values())
    with pytest.raises(RuntimeError, match=message):
        compiled.dense_act_dropout(*(arguments | changed).values())


BACKWARD_ERRORS = {
    "gy shape": (0, torch.ones(2, 5), r"`gy` must have the shape \(2, 4\)"),
    "x shape": (1, torch.ones(2, 4), "`kernel` must have the shape"),
    "x dtype": (1, torch.ones(2, 3).double(), "`x` must have the dtype of `gy`"),
    "kernel dtype": (2, torch.ones(3, 4).half(), "`kernel` must have the dtype of `gy`"),
    "y shape": (3, torch.ones(2, 5), r"`y` must have the shape \(2, 4\)"),
    "y dtype": (3, torch.ones(2, 4).half(), "`y` must have the dtype of `gy`"),
}


@needs_ops
@pytest.mark.parametrize("case", BACKWARD_ERRORS)
def test_wrong_arguments_of_the_gradient_are_errors(case):
    place, wrong, message = BACKWARD_ERRORS[case]
    y = torch.ones(2, 4)
    arguments = [y, torch.ones(2, 3), torch.ones(3, 4), y, y]
    rest = codes.RELU, 0.5, torch.tensor([1, 0]), True, True, True
    compiled.dense_act_dropout_backward(*arguments, *rest)
    arguments[place] = wrong
    with pytest.raises(RuntimeError, match=message):
        compiled.dense_act_dropout_backward(*arguments, *rest)


def test_meta_tensors_and_shapes_that_do_not_fit():
    y = dense(torch.ones(256, 256, device="meta"), torch.ones(256, 256, device="meta"))
    assert y.shape == (256, 256) and y.is_meta
    with pytest.raises(RuntimeError):
        dense(torch.ones(256, 256), torch.ones(255, 256), None, codes.TANH)
    with pytest.raises(RuntimeError):
        dense(torch.ones(256, 256), torch.ones(256, 256), torch.ones(7), codes.TANH)


def test_a_subclass_sees_the_functions_of_torch():
    seen = []

    class Watched(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            seen.append(func)
            return super().__torch_function__(func, types, args, kwargs or {})

    x = torch.randn(256, 256).as_subclass(Watched)
    y = dense(x, torch.randn(256, 256), None, codes.TANH, 0.5)
    assert type(y) is Watched
    assert torch.matmul in seen and torch.tanh in seen


@needs_ops
@pytest.mark.parametrize(
    ("size", "activation", "rate", "slow_mkl", "taken"),
    [
        ((128, 128, 128), codes.RELU, 0.5, False, True),
        ((63, 128, 128), codes.RELU, 0.5, False, False),  # too few multiplications
        ((512, 512, 512), codes.RELU, 1e-4, False, False),  # a rate that needs more than 16 bits
        ((512, 128, 128), codes.ELU, 0.0, False, True),
        ((511, 128, 128), codes.ELU, 0.0, False, False),  # too few values
        ((512, 128, 128), codes.TANH, 0.0, True, True),
        ((512, 128, 128), codes.TANH, 0.0, False, False),
        ((64, 512, 10), codes.NONE, 0.0, True, True),
        ((64, 512, 10), codes.NONE, 0.0, False, False),
        ((64, 512, 17), codes.NONE, 0.0, True, False),
    ],
)
def test_the_rules_that_choose_the_op(monkeypatch, size, activation, rate, slow_mkl, taken):
    calls, op = [], compiled.dense_act_dropout
    monkeypatch.setattr(compiled, "dense_act_dropout", lambda *a: calls.append(a) or op(*a))
    monkeypatch.setattr(compiled, "mkl_is_slow", slow_mkl)
    monkeypatch.setattr(compiled, "least_onednn_products", float("inf"))
    rows, features, units = size
    dense(torch.ones(rows, features), torch.ones(features, units), None, activation, rate)
    assert bool(calls) is taken


@needs_ops
def test_narrow_gradients_do_not_depend_on_threads():
    x, kernel, gy = torch.randn(300, 1111), torch.randn(1111, 10), torch.randn(300, 10)
    nothing, before, found = torch.empty(0), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            y, _ = compiled.dense_act_dropout(x, kernel, None, codes.NONE, 0.0, None)
            _, gkernel, _ = compiled.dense_act_dropout_backward(
                gy, x, kernel, nothing, nothing, codes.NONE, 0.0, None, False, True, False
            )
            found.append((y, gkernel))
    finally:
        torch.set_num_threads(before)
    for y, gkernel in found[1:]:
        assert torch.equal(y, found[0][0])
        assert torch.equal(gkernel, found[0][1])


@pytest.mark.gpu
def test_cuda_equals_cpu():
    x, kernel, bias = torch.randn(4, 130), torch.randn(130, 10), torch.randn(10)
    y = dense(x.cuda(), kernel.cuda(), bias.cuda())
    # TF32 is off by default, so the sums differ by float32 rounding only.
    torch.testing.assert_close(y.cpu(), dense(x, kernel, bias), rtol=1e-5, atol=1e-4)
