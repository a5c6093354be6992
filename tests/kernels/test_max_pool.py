"""Max pooling under torch.compile: torch's own values and gradients, by one node on a CPU."""

import pytest
import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd

import torchkeras as keras
from torchkeras.kernels import max_pool

CASES = [
    ((2, 3, 8, 6), (2, 2), (2, 2), (0, 0), False),
    ((2, 3, 9, 7), (3, 2), (2, 1), (1, 0), True),  # windows overlap, the last one reaches beyond
    ((2, 3, 9), (2,), (2,), (0,), False),
    ((1, 2, 9), (3,), (1,), (1,), False),
]


@pytest.fixture(autouse=True)
def fresh_dynamo():
    torch._dynamo.reset()


def _gradients(function, x, grad_y):
    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = function(leaf)
    return y.detach(), torch.autograd.grad(y, leaf, grad_y)[0]


@pytest.mark.parametrize(("shape", "size", "strides", "padding", "ceil_mode"), CASES)
@pytest.mark.parametrize("last", [False, True])
def test_compiled_is_torchs_own(shape, size, strides, padding, ceil_mode, last):
    x = torch.randint(0, 4, shape).float()  # with equal numbers in a window
    if last and len(shape) == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    own = torch.max_pool1d if len(size) == 1 else torch.max_pool2d
    y = own(x, size, strides, padding, 1, ceil_mode)
    grad_y = torch.randn_like(y)
    graphs = []

    def backend(graph, inputs):
        def keep(module, inputs):
            graphs.extend(str(node.target) for node in module.graph.nodes)
            return make_boxed_func(module.forward)

        return aot_autograd(fw_compiler=keep, bw_compiler=keep)(graph, inputs)

    run = torch.compile(
        lambda x: max_pool.max_pool(x, size, strides, padding, ceil_mode),
        fullgraph=True,
        backend=backend,
    )
    found = _gradients(run, x, grad_y)
    expected = _gradients(lambda x: own(x, size, strides, padding, 1, ceil_mode), x, grad_y)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert found[1].stride() == expected[1].stride()
    assert graphs.count("torchkeras.max_pool2d_backward.default") == 1
    assert not any("scatter" in target for target in graphs)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_layers_and_ops_equal_themselves_without_a_graph(rank, padding):
    x = torch.randn(2, *(9, 7)[:rank], 3)
    layer = getattr(keras.layers, f"MaxPooling{rank}D")(2, padding=padding)
    for function in (layer, lambda x: keras.ops.max_pool(x, 3, 2, padding)):
        y = function(x)
        grad_y = torch.randn_like(y)
        run = torch.compile(function, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(
            _gradients(run, x, grad_y), _gradients(function, x, grad_y), rtol=0, atol=0
        )


def test_opcheck():
    y, indices = torch.ops.aten.max_pool2d_with_indices(torch.randn(2, 3, 8, 6), [2, 2], [2, 2])
    for last in (False, True):
        torch.library.opcheck(
            torch.ops.torchkeras.max_pool2d_backward.default,
            (y, indices, [2, 3, 8, 6], [2, 2], [2, 2], [0, 0], False, last),
            test_utils=("test_schema", "test_faketensor", "test_aot_dispatch_dynamic"),
        )


def test_exported_program_has_torchs_own():
    layer = keras.layers.MaxPooling2D(2)
    x = torch.randn(2, 8, 6, 3).requires_grad_()
    program = torch.export.export(layer, (x,), strict=False)
    assert not any("torchkeras" in str(node.target) for node in program.graph.nodes)
