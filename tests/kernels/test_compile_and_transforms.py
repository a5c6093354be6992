"""The ops under torch.compile; export, torch.func and tracing get plain functions instead."""

import math

import pytest
import torch
import torch._functorch.config
from torch._dynamo.testing import CompileCounter
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

import torchkeras as keras
from tests.kernels.support import ACTIVATIONS, every_activation, formula, needs_ops, scales
from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import compiled, dense, dropout, loader

SEED = torch.tensor([7, 3])


@pytest.fixture(autouse=True)
def fresh_dynamo():
    torch._dynamo.reset()


@pytest.fixture
def calls(monkeypatch):
    """Names of the ops as they are called."""
    names = []

    def watch(name, op):
        return lambda *args: names.append(name) or op(*args)

    if loader.load():
        for name in ("dense_act_dropout", "dropout"):
            monkeypatch.setattr(compiled, name, watch(name, getattr(compiled, name)))
    return names


# opcheck


def _samples():
    x, kernel, bias, y = (torch.randn(s) for s in ((5, 6), (6, 20), (20,), (5, 20)))
    for dtype in (torch.float32, torch.bfloat16):
        d = [t.to(dtype) for t in (x, kernel, bias, y)]
        for code in (codes.NONE, codes.RELU, codes.GELU):
            for b in (None, d[2]):
                yield "dense_act_dropout", (d[0], d[1], b, code, 0.5, SEED)
                yield "bias_act_dropout", (d[3], b, code, 0.5, SEED)
            for needs in ((True, True, True), (False, True, False), (False, False, True)):
                rest = (code, 0.5, SEED)
                yield "dense_act_dropout_backward", (d[3], *d[:2], d[3], d[3], *rest, *needs)
            yield "bias_act_dropout_backward", (d[3], d[3], d[3], code, 0.5, SEED, True)
    yield "dense_act_dropout", (x, kernel[:, :3], None, codes.TANH, 0.0, None)
    yield "dense_act_dropout", (x[:0], kernel, bias, codes.SILU, 0.0, None)
    yield "bias_act_dropout", (y.t(), None, codes.SILU, 0.0, None)
    yield "bias_act_dropout_backward", (y.t(), y.t(), y.t(), codes.SILU, 0.5, SEED, False)
    yield "dropout", (x, 0.5, SEED)
    yield "dropout", (x.t(), 0.5, SEED)
    yield "dropout", (torch.ones(()), 0.5, SEED[:1])


# No autograd kernel is registered: the gradient is in the autograd.Function around the op.
@needs_ops
@pytest.mark.parametrize("name", ["schema", "autograd_registration", "faketensor"])
def test_opcheck(name):
    for op, args in _samples():
        torch.library.opcheck(getattr(compiled, op), args, test_utils=f"test_{name}")


@needs_ops
def test_opcheck_of_aot_dispatch_with_dynamic_shapes():
    seen = set()
    for op, args in _samples():
        if op not in seen:  # it takes some tenths of a second
            seen.add(op)
            torch.library.opcheck(
                getattr(compiled, op), args, test_utils="test_aot_dispatch_dynamic"
            )
    assert len(seen) == 5


# torch.compile


def _leaves(*shapes):
    g = torch.Generator().manual_seed(3)
    return [(torch.randn(s, generator=g) * 0.1).requires_grad_() for s in shapes]


FUNCTIONS = {
    "dense": lambda x, kernel, bias: dense(
        x, kernel, bias, codes.GELU, 0.5, keras.random.SeedGenerator(3)
    ),
    "dense of a narrow kernel": lambda x, kernel, bias: dense(
        x, kernel[:, :8], bias[:8], codes.RELU, 0.5, keras.random.SeedGenerator(3)
    ),
    "dense without dropout": lambda x, kernel, bias: dense(x, kernel, bias, codes.TANH),
    "dropout": lambda x, kernel, bias: dropout(x @ kernel, 0.5, keras.random.SeedGenerator(3)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("backend", ["aot_eager"])
def test_compiled_functions_equal_eager_ones(name, backend):
    function = FUNCTIONS[name]
    run = torch.compile(function, fullgraph=True, backend=backend)
    inputs = _leaves((130, 160), (160, 150), (150,))
    found, expected = run(*inputs), function(*inputs)
    torch.testing.assert_close(found, expected)
    gy = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad(found, inputs[:2], gy),
        torch.autograd.grad(expected, inputs[:2], gy),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


DYNAMIC = {
    "dense": lambda x, kernel, g: dense(x, kernel, None, codes.GELU, 0.5, g),
    "dense of a narrow kernel": lambda x, kernel, g: dense(x, kernel[:, :8], None, codes.RELU),
    "dropout": lambda x, kernel, g: dropout(x, 0.5, g),
}


@pytest.mark.parametrize("name", DYNAMIC)
def test_a_dynamic_batch_compiles_once(name):
    counter = CompileCounter()
    function, kernel = DYNAMIC[name], torch.randn(160, 150)
    run = torch.compile(function, fullgraph=True, dynamic=True, backend=counter)
    generator, other = keras.random.SeedGenerator(3), keras.random.SeedGenerator(3)
    for batch in (130, 200, 131):
        x = torch.randn(batch, 160)
        torch.testing.assert_close(run(x, kernel, generator), function(x, kernel, other))
    assert counter.frame_count == 1


def test_compiled_draws_from_the_default_generator_are_new_at_each_call():
    run = torch.compile(lambda x: dropout(x, 0.5), fullgraph=True, backend="aot_eager")
    x = torch.ones(5000)
    torch.manual_seed(1)
    first, second = run(x), run(x)
    torch.manual_seed(1)
    assert torch.equal(run(x), first)
    assert not torch.equal(first, second)


def _ops_in(function, *inputs):
    """Names of torchkeras's ops in the graph that a compilation makes of a function."""
    found = []

    def backend(module, _):
        found.extend(str(node.target) for node in module.graph.nodes)
        return module

    torch.compile(function, fullgraph=True, backend=backend)(*inputs)
    return [name for name in found if "torchkeras" in name]


@needs_ops
@pytest.mark.parametrize("multiplies_faster", [False, True])
def test_inductor_gets_plain_functions_where_they_are_as_fast(multiplies_faster, monkeypatch):
    # Of this CPU or another: only where our product is no faster is torch's taken.
    least = 2**20 if multiplies_faster else math.inf
    monkeypatch.setattr(compiled, "least_onednn_products", least)
    monkeypatch.setattr(compiled, "mkl_is_slow", False)
    inputs = [t.detach() for t in _leaves((130, 160), (160, 150), (150,))]
    assert "torchkeras.dense_act_dropout.default" in _ops_in(FUNCTIONS["dense"], *inputs)
    assert "torchkeras.dropout.default" in _ops_in(FUNCTIONS["dropout"], *inputs)
    without = _ops_in(FUNCTIONS["dense without dropout"], *inputs)
    assert without == (["torchkeras.dense_act_dropout.default"] if multiplies_faster else [])


@pytest.mark.slow
def test_inductor():
    function = FUNCTIONS["dense"]
    run = torch.compile(function, fullgraph=True, dynamic=True)
    for batch in (130, 200):
        inputs = _leaves((batch, 160), (160, 150), (150,))
        found, expected = run(*inputs), function(*inputs)
        torch.testing.assert_close(found, expected)
        gy = torch.randn_like(expected)
        for a, b in zip(
            torch.autograd.grad(found, inputs, gy),
            torch.autograd.grad(expected, inputs, gy),
            strict=True,
        ):
            torch.testing.assert_close(a, b)


SEEDED = {
    "Dropout": ((130, 160), ["dropout"]),
    "Dropout of three axes": ((10, 20, 160), ["dropout"]),
    "Dense(tanh) and Dropout": ((130, 160), ["tanh", "dropout"]),
    "Dense(relu) and Dropout": ((130, 160), ["relu", "dropout"]),
    "GaussianDropout": ((130, 160), ["gaussian"]),
}
# Inductor takes some seconds each time; these two go wrong in two ways.
QUICK = [("Dropout", True), ("Dense(tanh) and Dropout", True)]


def _seeded(name):
    """A model with one seed, a function that sets it back, and an input."""
    shape, kinds = SEEDED[name]
    if kinds[-1] == "gaussian":
        random = keras.layers.GaussianDropout(0.5, seed=3)
    else:
        random = keras.layers.Dropout(0.5, seed=3)
    dense = [keras.layers.Dense(150, kind) for kind in kinds[:-1]]
    model = keras.Sequential([keras.layers.Input(shape[1:]), *dense, random])
    model.train()
    state = random.seed_generator.state
    return model, lambda: state.assign(torch.tensor([3, 0])), torch.randn(shape).requires_grad_()


def _values_and_gradients(run, x, weights, calls=2):
    found = []
    for _ in range(calls):
        y = run(x)
        gy = torch.linspace(-1, 1, y.numel()).view(y.shape)
        found += [y.detach(), *torch.autograd.grad(y, [x, *weights], gy)]
    return found


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        pytest.param(name, kernels, marks=[] if (name, kernels) in QUICK else pytest.mark.slow)
        for name in SEEDED
        for kernels in (True, False)
    ],
)
def test_under_inductor_a_seed_has_the_gradient_of_its_own_draw(name, kernels, monkeypatch):
    if not kernels:
        monkeypatch.setattr(loader, "load", lambda: False)
    model, rewind, x = _seeded(name)
    expected = _values_and_gradients(model, x, model.parameters())
    rewind()
    run = torch.compile(model, fullgraph=True)
    found = _values_and_gradients(run, x, model.parameters())
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)  # sums of 130 products


REPEATING = {
    "checkpoint": {},
    "memory budget": {"activation_memory_budget": 0.5},
    "aggressive": {"aggressive_recomputation": True},
}


# torch's own code, where it goes on after a break.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("how", REPEATING)
@pytest.mark.parametrize("name", ["Dropout", "Dense(relu) and Dropout"])
def test_a_compiler_that_recomputes_does_not_get_a_seed(how, name):
    model, rewind, x = _seeded(name)

    def run(x):
        return checkpoint(model, x, use_reentrant=False) if how == "checkpoint" else model(x)

    expected = _values_and_gradients(run, x, model.parameters())
    rewind()
    backend = "aot_eager_decomp_partition"
    with torch._functorch.config.patch(**REPEATING[how]):
        found = _values_and_gradients(torch.compile(run, backend=backend), x, model.parameters())
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        torch._dynamo.reset()
        with pytest.raises(torch._dynamo.exc.Unsupported, match="A draw from a seed must not"):
            torch.compile(run, backend=backend, fullgraph=True)(x)


def test_a_checkpoint_with_draws_from_the_default_generator_is_one_graph():
    layer, x = keras.layers.Dropout(0.5), torch.ones(130, 160, requires_grad=True)
    layer(x)
    layer.train()
    run = torch.compile(
        lambda x: checkpoint(layer, x, use_reentrant=False), fullgraph=True, backend="aot_eager"
    )
    y = run(x)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], y.detach())


@pytest.mark.parametrize("name", FUNCTIONS)
@torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True)
def test_a_size_that_depends_on_data_compiles(name):
    function, (x, kernel, bias) = FUNCTIONS[name], _leaves((300, 160), (160, 150), (150,))
    chosen = torch.arange(300) % 2 == 0

    def some(x, chosen, kernel, bias):
        return function(x[chosen], kernel, bias)

    found = torch.compile(some, fullgraph=True, backend="aot_eager")(x, chosen, kernel, bias)
    torch.testing.assert_close(found, some(x, chosen, kernel, bias))


@torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True)
def test_an_unseeded_dropout_of_a_size_that_depends_on_data_compiles():
    run = torch.compile(lambda x: dropout(x[x > 0], 0.5), fullgraph=True, backend="aot_eager")
    assert run(torch.ones(5000)).unique().tolist() == [0.0, 2.0]


def _model():
    return keras.Sequential(
        [
            keras.layers.Input((160,)),
            keras.layers.Dense(150, "tanh"),
            keras.layers.Dropout(0.5, seed=3),
            keras.layers.Dense(10, "softmax"),
        ]
    )


def test_a_compiled_model_draws_as_the_eager_one():
    x = torch.randn(130, 160)
    model = _model()
    expected = [model(x, training=True) for _ in range(2)]
    model.layers[1].seed_generator.state.assign(torch.tensor([3, 0]))
    model.train()
    run = torch.compile(model, fullgraph=True, backend="aot_eager")
    for y in expected:
        torch.testing.assert_close(run(x), y)


# torch.export


def _check_has_no_ops(program):
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert targets
    assert not [name for name in targets if "torchkeras" in name]


@pytest.mark.parametrize("strict", [True, False])
def test_an_exported_program_runs_without_torchkeras(strict):
    model, x = _model().eval(), torch.randn(130, 160)
    model(x)  # the kernels have been used
    shapes = ({0: torch.export.Dim("batch", min=2)},)
    program = torch.export.export(model, (x,), dynamic_shapes=shapes, strict=strict)
    _check_has_no_ops(program)
    for batch in (7, 2000):  # on both sides of the sizes by which eager calls decide
        x = torch.randn(batch, 160)
        torch.testing.assert_close(program.module()(x), model(x))


class _Training(torch.nn.Module):
    def forward(self, x, kernel):
        y = dense(x, kernel, None, codes.TANH, 0.5)
        return dropout(dropout(y.sin(), 0.5), 0.5)


@pytest.mark.parametrize("strict", [True, False])
def test_an_exported_program_may_drop(strict):
    batch = torch.export.Dim("batch", min=2)
    inputs = torch.randn(130, 160), torch.randn(160, 100)
    program = torch.export.export(
        _Training(), inputs, dynamic_shapes=({0: batch}, None), strict=strict
    )
    _check_has_no_ops(program)
    for size in (3, 3000):
        y = program.module()(torch.randn(size, 160), inputs[1])
        assert y.shape == (size, 100)
        assert 0.8 < (y == 0).float().mean() < 0.95  # 7 of 8


# torch.func


@every_activation
def test_transforms_go_the_plain_way(name, calls):
    code = ACTIVATIONS[name]
    x, kernel, bias = (t.detach() for t in _leaves((130, 160), (160, 100), (100,)))

    def run(x, kernel, bias):
        return dense(x, kernel, bias, code, 0.5, keras.random.SeedGenerator(9))

    def by_formula(x, kernel, bias):
        z = x @ kernel + bias
        return formula(name, z) * scales(z.shape, 0.5, 9)

    exact = [t.double() for t in (x, kernel, bias)]
    found = torch.func.grad(lambda *a: run(*a).square().sum(), argnums=(0, 1, 2))(x, kernel, bias)
    expected = torch.func.grad(lambda *a: by_formula(*a).square().sum(), argnums=(0, 1, 2))(*exact)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4)
    y, pull = torch.func.vjp(run, x, kernel, bias)
    torch.testing.assert_close(y.double(), by_formula(*exact), rtol=1e-5, atol=1e-5)
    assert pull(y)[2].shape == (100,)
    assert not calls


def test_vmap(calls):
    xs, kernel = torch.randn(3, 130, 160), torch.randn(160, 100)
    y = torch.func.vmap(lambda x: dense(x, kernel, None, codes.TANH))(xs)
    torch.testing.assert_close(y, (xs @ kernel).tanh())
    y = torch.func.vmap(lambda x: dropout(x, 0.5), randomness="different")(xs)
    assert not torch.equal(y[0] == 0, y[1] == 0)
    assert not calls


# torch compiles its own decompositions with torch.jit at the first jvp; what it says of that is a
# DeprecationWarning in torch 2.13, a FutureWarning in 2.14.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_forward_mode(calls):
    x, t, kernel = torch.randn(130, 160), torch.randn(130, 160), torch.randn(160, 100) * 0.1

    def run(x):
        return dense(x, kernel, None, codes.TANH, 0.5, keras.random.SeedGenerator(9))

    def by_formula(x):
        return (x @ kernel).tanh() * scales((130, 100), 0.5, 9).float()

    expected = torch.func.jvp(by_formula, (x,), (t,))
    for a, b in zip(torch.func.jvp(run, (x,), (t,)), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(run(forward_ad.make_dual(x, t))).tangent
    torch.testing.assert_close(tangent, expected[1], rtol=1e-4, atol=1e-5)
    assert not calls


def test_jacobians(calls):
    x, kernel = torch.randn(3, 500), torch.randn(500, 900) * 0.05

    def run(x):
        return dense(x, kernel, None, codes.TANH, 0.5, keras.random.SeedGenerator(9)).sum(-1)

    def by_formula(x):
        return ((x @ kernel).tanh() * scales((3, 900), 0.5, 9).float()).sum(-1)

    expected = torch.func.jacrev(by_formula)(x)
    torch.testing.assert_close(torch.func.jacrev(run)(x), expected, rtol=1e-3, atol=1e-4)
    assert not calls
    # Here only the backward pass runs under vmap, with the op's gradient in it.
    found = torch.autograd.functional.jacobian(run, x, vectorize=True)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.torch.jit.trace. is deprecated")
@pytest.mark.filterwarnings("ignore:.torch.jit.trace_method. is deprecated")
# Sizes are tensors to the tracer; it warns of the decision that is made by them.
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_tracing_by_torch_jit(calls):
    kernel = torch.randn(160, 100)

    def run(x):
        return dropout(dense(x, kernel, None, codes.TANH), 0.5).abs().ceil()

    x = torch.randn(130, 160)
    traced = torch.jit.trace(run, (x,), check_trace=False)
    assert "torchkeras::" not in str(traced.graph)
    assert not calls
    assert set(traced(x).unique().tolist()) == {0.0, 1.0, 2.0}


@needs_ops
def test_the_functions_call_the_ops_elsewhere(calls):
    x = torch.randn(130, 160)
    dense(x, torch.randn(160, 100), None, codes.TANH, 0.5)
    dropout(x, 0.5)
    assert calls == ["dense_act_dropout", "dropout"]


def test_meta_and_fake_tensors(calls):
    with torch.device("meta"):
        x, kernel = torch.empty(130, 160), torch.empty(160, 100)
    assert dense(x, kernel, None, codes.TANH, 0.5).shape == (130, 100)
    assert dropout(x, 0.5).is_meta
    assert not calls
    with torch._subclasses.FakeTensorMode() as mode:
        fake = mode.from_tensor(torch.randn(130, 160))
        y = dense(fake, torch.randn(160, 100), None, codes.TANH, 0.5)
        assert y.shape == (130, 100) and y.device.type == "cpu"
        assert dropout(fake, 0.5).shape == (130, 160)


@pytest.mark.parametrize("transform", ["grad", "vjp"])
def test_transforms_inside_of_a_compiled_function(transform):
    # Our op has no rule for them: the gradient would be zero, without a word.
    model = keras.Sequential(
        [keras.Input((256,)), keras.layers.Dense(256), keras.layers.Dropout(0.5)]
    )
    model.train()
    x = torch.randn(32, 256)

    def loss(parameters):
        return torch.func.functional_call(model, parameters, (x,)).sum()

    def gradients(parameters):
        if transform == "grad":
            return torch.func.grad(loss)(parameters)
        value, pull = torch.func.vjp(loss, parameters)
        return pull(torch.ones_like(value))[0]

    parameters = {name: p.detach() for name, p in model.named_parameters()}
    compiled = torch.compile(gradients, backend="aot_eager", fullgraph=True)
    bias = compiled(parameters)["dense.bias"]
    # Each of 32 samples counts 2 or nothing: 32 on average, with a deviation of 5.7 an entry.
    assert (bias % 2 == 0).all() and 30 < float(bias.mean()) < 34
