"""LSTM and GRU by the compiled op: values and gradients of torch's own functions, step by step."""

import json
import os
import subprocess
import sys

import pytest
import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd
from torch.utils.flop_counter import FlopCounterMode

from tests.kernels.support import needs_ops
from torchkeras.kernels import compiled, recurrent

pytestmark = needs_ops
SIZES = [(1, 1, 1, 1), (2, 5, 3, 4), (13, 3, 7, 17), (30, 4, 1, 40), (5, 2, 33, 65)]


def _tensors(blocks, batch, steps, features, units, dtype=torch.float64, with_bias=True):
    """`x, h, c, kernel, recurrent_kernel, bias`, with None for what there is not."""
    random = torch.Generator().manual_seed(5)

    def draw(*shape):
        return torch.randn(shape, generator=random, dtype=torch.float64).to(dtype)

    columns = blocks * units
    bias = draw(columns) if blocks == 4 else draw(2, columns)
    return (
        draw(batch, steps, features),
        draw(batch, units),
        draw(batch, units) if blocks == 4 else None,
        draw(features, columns) / features**0.5,
        draw(units, columns) / units**0.5,
        bias if with_bias else None,
    )


def _torchs(x, h, c, kernel, recurrent_kernel, bias):
    """The same by torch's functions; its GRU has the reset gate first."""
    weights = [kernel, recurrent_kernel]
    if bias is not None:
        weights += [bias, torch.zeros_like(bias)] if c is not None else list(bias)
    if c is None:
        z, r, n = zip(*(w.chunk(3, -1) for w in weights), strict=True)
        weights = [torch.cat(blocks, -1) for blocks in zip(r, z, n, strict=True)]
    weights = [w.t() if w.dim() == 2 else w for w in weights]
    settings = weights, bias is not None, 1, 0.0, False, False, True
    if c is None:
        outputs, h = torch.gru(x, h[None], *settings)
        return outputs, h[0]
    outputs, h, c = torch.lstm(x, (h[None], c[None]), *settings)
    return outputs, h[0], c[0]


def _ours(x, h, c, kernel, recurrent_kernel, bias, mask=None, zero_output=False):
    weights = kernel, recurrent_kernel, bias
    if c is None:
        return recurrent.gru(x, h, mask, *weights, zero_output)
    return recurrent.lstm(x, h, c, mask, *weights, zero_output)


def _with_gradients(function, tensors, used=None):
    leaves = [None if t is None else t.clone().requires_grad_() for t in tensors]
    results = function(*leaves)
    chosen = results if used is None else [results[place] for place in used]
    random = torch.Generator().manual_seed(7)
    grads = [torch.randn(y.shape, generator=random).to(y.dtype) for y in chosen]
    wanted = [leaf for leaf in leaves if leaf is not None]
    found = torch.autograd.grad(chosen, wanted, grads, allow_unused=True, materialize_grads=True)
    return [y.detach() for y in results], list(found)


@pytest.mark.parametrize("blocks", [4, 3])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_torchs(blocks, sizes, with_bias, dtype):
    tensors = _tensors(blocks, *sizes, dtype, with_bias)
    exact = [None if t is None else t.double() for t in tensors]
    found = _with_gradients(_ours, tensors)
    expected = _with_gradients(_torchs, exact)
    # Rounding of up to 400 products, and of sums over steps; float64 has 29 bits more.
    tolerance = {torch.float32: 2e-5, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(
        found, expected, rtol=tolerance, atol=tolerance * sizes[0] * sizes[1], check_dtype=False
    )


@pytest.mark.parametrize("blocks", [4, 3])
@pytest.mark.parametrize("used", [[0], [1], [-1]])
def test_results_may_be_left_unused(blocks, used):
    tensors = _tensors(blocks, 3, 4, 2, 5)
    torch.testing.assert_close(
        _with_gradients(_ours, tensors, used), _with_gradients(_torchs, tensors, used)
    )


@pytest.mark.parametrize("blocks", [4, 3])
@pytest.mark.parametrize("zero_output", [False, True])
def test_gradients_and_their_gradients_are_slopes(blocks, zero_output):
    tensors = _tensors(blocks, 2, 3, 2, 3)
    mask = torch.tensor([[False, True, False], [True, True, True]])
    given = [t.requires_grad_() for t in tensors if t is not None]

    def function(*given):
        rest = iter(given)
        return _ours(*(None if t is None else next(rest) for t in tensors), mask, zero_output)

    assert torch.autograd.gradcheck(function, given)
    assert torch.autograd.gradgradcheck(function, given)


@pytest.mark.parametrize("blocks", [4, 3])
@pytest.mark.parametrize("zero_output", [False, True])
def test_steps_left_out_leave_the_states(blocks, zero_output):
    x, *rest = _tensors(blocks, 4, 6, 3, 5)
    mask = torch.tensor([[1, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 0], [0] * 6, [1] * 6]).bool()
    outputs, *last = _ours(torch.where(mask[..., None], x, float("nan")), *rest, mask, zero_output)
    for row, here in enumerate(mask):
        one = [t if t is None or place > 1 else t[row : row + 1] for place, t in enumerate(rest)]
        if not here.any():
            torch.testing.assert_close([y[row] for y in last], [t[0] for t in one[: len(last)]])
            assert not outputs[row].any()
            continue
        expected, *states = _torchs(x[row : row + 1, here], *one)
        torch.testing.assert_close(outputs[row, here], expected[0])
        torch.testing.assert_close([y[row] for y in last], [state[0] for state in states])
        for step in range(6):
            if not here[step]:
                before = here[:step].sum()
                zero = zero_output or before == 0
                shown = torch.zeros(5).double() if zero else expected[0, before - 1]
                torch.testing.assert_close(outputs[row, step], shown)


@pytest.mark.parametrize("blocks", [4, 3])
def test_any_layout_is_read(blocks):
    x, *rest = _tensors(blocks, 3, 4, 2, 5)
    expected = _with_gradients(_ours, (x, *rest))
    spread = torch.empty(4, 2, 3, dtype=x.dtype).permute(2, 0, 1).copy_(x)
    others = [None if t is None else t.t().contiguous().t() for t in rest]
    torch.testing.assert_close(_with_gradients(_ours, (spread, *others)), expected)
    backwards = _ours(x.flip(1).flip(1), *rest)
    torch.testing.assert_close(list(backwards), expected[0])


def test_not_a_bit_depends_on_the_number_of_threads():
    tensors = _tensors(4, 200, 20, 16, 33, torch.float32)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(_ours(*tensors)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_outputs_may_be_written_to():
    tensors = [t.requires_grad_() for t in _tensors(4, 2, 3, 2, 4)]
    outputs, h, c = _ours(*tensors)
    expected = torch.autograd.grad(outputs.sum(), tensors[0], retain_graph=True)
    (outputs * 2).sum().backward(retain_graph=True)
    with torch.no_grad():
        outputs.zero_(), h.zero_(), c.zero_()
    torch.testing.assert_close(torch.autograd.grad(outputs.sum(), tensors[0]), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"h": torch.zeros(2, 5)}, "`h` must have the shape"),
        ({"kernel": torch.zeros(3, 8)}, "`kernel` must have the shape"),
        ({"recurrent": torch.zeros(4, 8)}, "`recurrent_kernel` must have the shape"),
        ({"bias": torch.zeros(8)}, "`bias` must have the shape"),
        ({"mask": torch.ones(2, 4).bool()}, "`mask` must have the shape"),
        ({"mask": torch.ones(2, 5)}, "`mask` must be bool"),
        ({"c": None}, "`c` must be given for four gates"),
        ({"x": torch.zeros(2, 0, 3)}, "There must be a step"),
        ({"x": torch.zeros(2, 5, 3, dtype=torch.float64)}, "`x` must have the dtype"),
    ],
)
def test_what_does_not_fit_is_told(change, message):
    names = "x", "h", "c", "kernel", "recurrent", "bias"
    given = dict(zip(names, _tensors(4, 2, 5, 3, 4, torch.float32), strict=True), mask=None)
    given |= change
    with pytest.raises(RuntimeError, match=message):
        compiled.recurrent_steps(*given.values(), False, True)


@pytest.mark.parametrize("blocks", [4, 3])
def test_opcheck(blocks):
    for mask in (None, torch.tensor([[True, False, True], [False, True, True]])):
        tensors = _tensors(blocks, 2, 3, 5, 4, torch.float32)
        for keeps in (True, False):
            torch.library.opcheck(compiled.recurrent_steps, (*tensors, mask, False, keeps))
        made = compiled.recurrent_steps(*tensors, mask, False, True)
        grads = made[0], made[1], made[2] if blocks == 4 else None
        given = *grads, *tensors[3:5], mask, *made[3:], 3, False
        for need_x in (True, False):
            torch.library.opcheck(compiled.recurrent_steps_backward, (*given, need_x))


@pytest.mark.parametrize("blocks", [4, 3])
def test_a_graph_has_one_node_for_each_pass(blocks):
    tensors = _tensors(blocks, 2, 6, 3, 4)
    names = []

    def backend(graph, inputs):
        def keep(module, inputs):
            names.extend(str(node.target) for node in module.graph.nodes)
            return make_boxed_func(module.forward)

        return aot_autograd(fw_compiler=keep, bw_compiler=keep)(graph, inputs)

    torch._dynamo.reset()
    run = torch.compile(lambda *given: _ours(*given), fullgraph=True, backend=backend)
    torch.testing.assert_close(_with_gradients(run, tensors), _with_gradients(_ours, tensors))
    assert names.count("torchkeras.recurrent_steps.default") == 1
    assert names.count("torchkeras.recurrent_steps_backward.default") == 1
    assert len(names) < 60


def test_operations_are_counted():
    tensors = [t.requires_grad_() for t in _tensors(4, 2, 6, 3, 4)]
    with FlopCounterMode(display=False) as counter:
        outputs = _ours(*tensors)[0]
        forward = counter.get_total_flops()
        outputs.sum().backward()
    assert forward == 2 * 2 * 6 * (3 + 4) * 16
    assert counter.get_total_flops() == 3 * forward


def test_when_the_op_is_taken():
    x, *rest = _tensors(4, 2, 5, 3, 4, torch.float32)
    assert recurrent.takes(x, *rest)
    assert not recurrent.takes(x.bfloat16(), *rest)
    assert not recurrent.takes(x, *(t.double() for t in rest))
    assert not recurrent.takes(x[:, :0], *rest)
    assert not recurrent.takes(x.to("meta"), *rest)
    for context in (torch.autocast("cpu", torch.bfloat16), torch.autograd.forward_ad.dual_level()):
        with context:
            assert not recurrent.takes(x, *rest)
    answers = []
    torch.vmap(lambda x: answers.append(recurrent.takes(x[None], *rest)) or x)(x)
    assert answers == [False]


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["base", "avx2"])
def test_other_instruction_sets_give_the_same(isa):
    program = """
import torch, torchkeras as keras
torch.manual_seed(0)
x, layer = torch.linspace(-1, 1, 120).view(2, 12, 5), keras.layers.LSTM(19, seed=1)
layer.build(x.shape)
layer.set_weights([torch.linspace(-1, 1, w.value.numel()).view(w.shape) for w in layer.weights])
print(layer(x).tolist())
"""
    found = []
    for value in (isa, ""):
        environment = os.environ | {"TORCHKERAS_ISA": value}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.append(torch.tensor(json.loads(done.stdout)))
    torch.testing.assert_close(*found)
