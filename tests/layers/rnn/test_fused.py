"""LSTM and GRU by one call of torch: the same as step by step, and what compilers make of it."""

import itertools

import pytest
import torch

import torchkeras as keras
from tests.layers.rnn.sequences import data
from tests.testing import assert_close
from torchkeras.kernels import recurrent
from torchkeras.layers.rnn import one_node, steps

LAYERS = {"LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU}
MASKS = {
    "none": None,
    "any": torch.tensor([[False, True, False, True, True], [True, False, False, True, False]]),
    "right": torch.tensor([[True, True, False, False, False], [True] * 5]),
    "all": torch.tensor([[False] * 5, [True, True, True, True, False]]),
}


def pair(name, **arguments):
    """A layer that is computed at once, and one that is computed step by step, alike."""
    layers = [LAYERS[name](3, use_cudnn=fused, **arguments) for fused in ("auto", False)]
    for layer in layers:
        layer.build((2, 5, 4))
        layer.set_weights([data(*w.shape, seed=7) for w in layer.weights])
    return layers


@pytest.fixture
def loops(monkeypatch):
    """The number of loops that ran, as a list of ones."""
    ran, loop = [], steps._loop
    monkeypatch.setattr(steps, "_loop", lambda *args: ran.append(1) or loop(*args))
    return ran


def results(layer, x, **arguments):
    layer.zero_grad()
    leaf = x.clone().requires_grad_()
    outputs = keras.tree.flatten(layer(leaf, **arguments))
    sum((y * data(*y.shape, seed=4)).sum() for y in outputs).backward()
    return [*outputs, leaf.grad, *(w.value.grad for w in layer.weights)]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        {"return_sequences": True, "return_state": True},
        {"return_sequences": True, "zero_output_for_mask": True, "go_backwards": True},
        {"use_bias": False, "return_state": True, "dtype": "float64"},
    ],
)
def test_what_is_computed_at_once_is_what_the_loop_gives(name, mask, given, arguments, loops):
    layers = pair(name, **arguments)
    states = [data(2, 3, seed=seed) for seed in range(len(layers[0].state_size))] if given else None
    found = []
    for layer in layers:
        assert len(loops) == 0
        found.append(results(layer, data(2, 5, 4), mask=MASKS[mask], initial_state=states))
    assert len(loops) == 1
    assert_close(*found)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_steps_left_out_are_not_looked_at(name, value):
    layer, _ = pair(name, return_sequences=True, return_state=True)
    mask, x = MASKS["any"], data(2, 5, 4)
    spoilt = torch.where(mask[..., None], x, value)
    assert_close(results(layer, spoilt, mask=mask), results(layer, x, mask=mask))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gates_shut_in_half_precision(name, dtype):
    layer, _ = pair(name, return_state=True, dtype=dtype)
    x = data(2, 5, 4)
    states = [data(2, 3, seed=seed) for seed in range(len(layer.state_size))]
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    _, *kept = layer(x, mask=nothing, initial_state=states)
    assert_close(kept, [state.to(kept[0].dtype) for state in states])


@pytest.mark.parametrize(
    ("arguments", "training", "fused"),
    [
        ({}, True, True),
        ({"dropout": 0.5}, True, True),
        ({"recurrent_dropout": 0.5}, False, True),
        ({"recurrent_dropout": 0.5}, True, False),
        ({"recurrent_dropout": 1.0}, True, True),  # which drops nothing
        ({"dropout": 0.5, "implementation": 1}, False, True),
        ({"dropout": 0.5, "implementation": 1}, True, False),
        ({"activation": torch.tanh}, False, True),
        ({"activation": "relu"}, False, False),
        ({"recurrent_activation": "hard_sigmoid"}, False, False),
        ({"unroll": True}, False, False),
        ({"use_cudnn": False}, False, False),
        ({"use_cudnn": True}, False, True),
    ],
)
@pytest.mark.parametrize("name", LAYERS)
def test_when_all_steps_are_computed_at_once(name, arguments, training, fused, loops):
    LAYERS[name](3, **arguments)(data(2, 5, 4), mask=MASKS["any"], training=training)
    assert (len(loops) == 0) is fused


def test_gru_with_the_reset_gate_before_is_a_loop(loops):
    keras.layers.GRU(3, reset_after=False)(data(2, 5, 4))
    assert len(loops) == 1


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize("name", LAYERS)
def test_functions_of_torch_func_get_the_loop(name, loops):
    layer, other = pair(name)
    weights = {name: p.detach() for name, p in layer.named_parameters()}
    x = data(2, 5, 4)

    def loss(weights, x):
        return torch.func.functional_call(layer, weights, (x[None],)).square().sum()

    found = torch.vmap(torch.func.grad(loss), (None, 0))(weights, x)
    assert loops
    for place in range(2):
        other.zero_grad()
        other(x[place : place + 1]).square().sum().backward()
        assert_close(
            [found[name][place] for name in weights],
            [dict(other.named_parameters())[name].grad for name in weights],
        )
    _, slope = torch.func.jvp(layer, (x,), (torch.ones_like(x),))
    leaf = x.clone().requires_grad_()
    other(leaf).sum().backward()
    assert_close(slope.sum(), leaf.grad.sum())


@pytest.mark.parametrize("name", ["GRU", pytest.param("LSTM", marks=pytest.mark.slow)])
def test_transforms_inside_of_a_compiled_function_get_the_loop(name):
    # The op has no rule for them.
    layer, other = pair(name)
    x = data(2, 5, 4)
    slope = torch.func.grad(lambda x: layer(x).square().sum())
    found = torch.compile(slope, fullgraph=True, backend="aot_eager")(x)
    leaf = x.clone().requires_grad_()
    other(leaf).square().sum().backward()
    assert_close(found, leaf.grad)
    torch._dynamo.reset()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("mask", ["none", "any"])
def test_compiled_layer_has_one_node_for_all_steps(name, mask):
    layer, other = pair(name, return_sequences=True, return_state=True)
    x, graphs = data(2, 5, 4), []
    own = recurrent.takes(x, layer.weights[0].value)  # and loads it, which a trace does not

    def backend(graph, inputs):
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return graph.forward

    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    assert_close(
        results(_Like(layer, compiled), x, mask=MASKS[mask]),
        results(other, x, mask=MASKS[mask]),
    )
    (targets,) = graphs
    # The compiled op in its autograd.Function, or torch's functions as one op where it is not had.
    assert targets.count("autograd_function_apply" if own else f"torchkeras.{name.lower()}") == 1
    assert len(targets) < 60  # 5 steps in single calls are more
    torch._dynamo.reset()


class _Like:
    """A compiled layer with the weights of the layer itself."""

    def __init__(self, layer, compiled):
        self.layer, self.compiled = layer, compiled

    def __call__(self, *args, **kwargs):
        return self.compiled(*args, **kwargs)

    def __getattr__(self, name):
        return getattr(self.layer, name)


@pytest.mark.parametrize("name", LAYERS)
def test_gradient_of_the_node_is_found_without_recording(name):
    """As in a graph of forward and backward pass, where autograd is off."""
    layer, _ = pair(name)
    kernel, recurrent, bias = (w.value.detach() for w in layer.weights)
    states = [data(2, 3, seed=seed) for seed in range(len(layer.state_size))]
    for given in (bias, None):
        arguments = [data(2, 5, 4), *states, kernel, recurrent, given]
        leaves = [None if x is None else x.clone().requires_grad_() for x in arguments]
        outputs = getattr(one_node, name.lower())(*leaves)
        grads = [data(*y.shape, seed=4) for y in outputs]
        tensors = [x for x in leaves if x is not None]
        expected = torch.autograd.grad(outputs, tensors, grads)
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():
            op = getattr(torch.ops.torchkeras, f"{name.lower()}_backward")
            assert_close(op(*grads, *arguments), list(expected))
        made = getattr(torch.ops.torchkeras, name.lower())(*leaves)
        assert_close(list(torch.autograd.grad(made, tensors, grads)), list(expected))
        storages = {y.untyped_storage().data_ptr() for y in made}
        assert len(storages) == len(made)


@pytest.mark.parametrize("name", LAYERS)
def test_exported_program_runs_without_torchkeras(name):
    layer, _ = pair(name, return_sequences=True)
    x, axes = data(4, 5, 4), {"sequences": {0: torch.export.Dim.AUTO}}
    program = torch.export.export(layer, (x,), dynamic_shapes=axes, strict=False)
    targets = [str(node.target) for node in program.graph.nodes]
    assert not any("torchkeras" in target for target in targets)
    assert f"aten.{name.lower()}.input" in targets
    assert_close(program.module()(x[:3]), layer(x[:3]))


def test_weights_for_a_gpu_lie_one_behind_the_other():
    # As cuDNN wants them: both matrices, gates first, then both biases.
    shapes = (4, 12), (3, 12), (12,), (12,)
    tensors = [torch.empty(shape, device="meta") for shape in shapes]
    made = one_node._as_torchs(*tensors)
    assert [x.shape for x in made] == [(12, 4), (12, 3), (12,), (12,)]
    assert all(x.is_contiguous() for x in made)
    sizes = [x.numel() for x in made]
    assert [x.storage_offset() for x in made] == list(itertools.accumulate([0, *sizes[:-1]]))
    assert made[0].untyped_storage().nbytes() == 4 * sum(sizes)


@pytest.mark.parametrize("name", LAYERS)
def test_autocast_of_torch_is_followed(name):
    layer, _ = pair(name)
    x = data(2, 5, 4)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(x, mask=MASKS["any"])
    output.float().sum().backward()
    # bfloat16 keeps 8 bits.
    torch.testing.assert_close(output.float(), layer(x, mask=MASKS["any"]), rtol=0.1, atol=0.05)
    assert all(w.value.grad.dtype is torch.float32 for w in layer.weights)
