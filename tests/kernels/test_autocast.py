"""Autocast: torch's product inside an op would return another dtype than the op has room for.

A prototype wrote beyond its memory there; the op now refuses, and the public functions turn
autocast off around it.
"""

import pytest
import torch

import torchkeras as keras
from tests.kernels.support import ACTIVATIONS, formula, needs_ops, scales
from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import compiled, dense, dropout, loader

KEPT_DTYPE = "A matrix product must keep its dtype here. Received: BFloat16 from Float.*autocast"


@needs_ops
def test_the_op_refuses_what_autocast_would_make_of_its_product():
    x, kernel, gy = torch.randn(64, 64), torch.randn(64, 96), torch.randn(64, 96)
    with torch.autocast("cpu"):
        for _ in range(20):
            with pytest.raises(RuntimeError, match=KEPT_DTYPE):
                compiled.dense_act_dropout(x, kernel, None, codes.RELU, 0.0, None)
            for needed in ((True, False), (False, True)):
                with pytest.raises(RuntimeError, match=KEPT_DTYPE):
                    compiled.dense_act_dropout_backward(
                        gy, x, kernel, gy, gy, codes.RELU, 0.0, None, *needed, False
                    )


@needs_ops
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_op_is_right_in_the_dtypes_that_autocast_keeps(dtype):
    x, kernel, bias = (torch.randn(s).to(dtype) for s in ((64, 64), (64, 96), (96,)))
    expected = compiled.dense_act_dropout(x, kernel, bias, codes.GELU, 0.0, None)
    with torch.autocast("cpu"):
        found = compiled.dense_act_dropout(x, kernel, bias, codes.GELU, 0.0, None)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


@needs_ops
def test_the_op_for_narrow_kernels_has_a_product_of_its_own():
    x, kernel = torch.randn(64, 64), torch.randn(64, 10)
    expected, _ = compiled.dense_act_dropout(x, kernel, None, codes.RELU, 0.0, None)
    with torch.autocast("cpu"):
        assert torch.equal(
            compiled.dense_act_dropout(x, kernel, None, codes.RELU, 0.0, None)[0], expected
        )


def _leaves(*shapes, dtype=torch.float32):
    g = torch.Generator().manual_seed(4)
    values = [torch.randn(s, generator=g, dtype=torch.float64) * 0.1 for s in shapes]
    return [v.to(dtype).requires_grad_() for v in values]


def _exact(name, inputs, rate):
    """Value and gradients of the sum of the squares, in float64."""
    x, kernel, bias = inputs = [t.detach().double().requires_grad_() for t in inputs]
    y = formula(name, x @ kernel + bias)
    y = y * scales(y.shape, rate, 9)
    return y.detach(), torch.autograd.grad(y.square().sum(), inputs)


def _assert_near(actual, expected, tolerance):
    for a, e in zip(actual, expected, strict=True):
        assert (a.detach().double() - e).abs().max() <= tolerance * max(1.0, float(e.abs().max()))


SHAPES = [((130, 160), 100), ((4, 260, 130), 8)]  # large enough for the op on any CPU
# bfloat16 has 8 bits: the inputs, the product, the value and the gradients are each rounded.
ROUNDED = 0.03


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("shape", "units"), SHAPES)
@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize("backward_inside", [True, False])
def test_forward_inside(name, shape, units, rate, backward_inside):
    inputs = _leaves(shape, (shape[-1], units), (units,))
    expected, gradients = _exact(name, inputs, rate)
    with torch.autocast("cpu"):
        y = dense(*inputs, ACTIVATIONS[name], rate, keras.random.SeedGenerator(9))
        loss = y.float().square().sum()
        if backward_inside:
            found = torch.autograd.grad(loss, inputs)
        assert torch.is_autocast_enabled("cpu")
    if not backward_inside:
        found = torch.autograd.grad(loss, inputs)
    assert y.dtype is torch.bfloat16
    assert {g.dtype for g in found} == {torch.float32}
    _assert_near([y, *found], [expected, *gradients], ROUNDED)


@pytest.mark.parametrize("name", ["none", "relu", "gelu", "tanh"])
@pytest.mark.parametrize(("shape", "units"), SHAPES)
@pytest.mark.parametrize("create_graph", [True, False])
def test_backward_alone_inside(name, shape, units, create_graph):
    inputs = _leaves(shape, (shape[-1], units), (units,))
    expected, gradients = _exact(name, inputs, 0.5)
    y = dense(*inputs, ACTIVATIONS[name], 0.5, keras.random.SeedGenerator(9))
    loss = y.square().sum()
    with torch.autocast("cpu"):
        found = torch.autograd.grad(loss, inputs, create_graph=create_graph)
    _assert_near([y], [expected], 1e-5)
    # The op keeps to the precision of its forward; the products of plain torch are cast here.
    _assert_near(found, gradients, 1e-5 if loader.load() else ROUNDED)


@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_double_precision_is_left_alone(name, rate):
    inputs = _leaves((130, 160), (160, 100), (100,), dtype=torch.float64)
    expected, gradients = _exact(name, inputs, rate)
    with torch.autocast("cpu"):
        y = dense(*inputs, ACTIVATIONS[name], rate, keras.random.SeedGenerator(9))
        found = torch.autograd.grad(y.square().sum(), inputs)
    assert y.dtype is torch.float64
    _assert_near([y, *found], [expected, *gradients], 1e-12)


def test_a_region_without_autocast_inside_one():
    inputs = _leaves((130, 160), (160, 100), (100,))
    with torch.autocast("cpu"), torch.autocast("cpu", enabled=False):
        y = dense(*inputs, codes.TANH, 0.5, keras.random.SeedGenerator(9))
    assert y.dtype is torch.float32
    _assert_near([y], [_exact("tanh", inputs, 0.5)[0]], 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_functions_without_a_product_keep_their_dtype(dtype):
    z = torch.randn(200, 200).to(dtype).requires_grad_()
    with torch.autocast("cpu"):
        y = dropout(z, 0.5, keras.random.SeedGenerator(9))
        assert y.dtype is dtype
        assert torch.equal(y, (z * scales(z.shape, 0.5, 9).to(dtype)))
        (gz,) = torch.autograd.grad(y.sum(), z)
    assert gz.dtype is dtype
    assert torch.equal(gz, scales(z.shape, 0.5, 9).to(dtype))


def test_training_a_model_under_autocast():
    x, y = torch.randn(512, 130), torch.randn(512, 1)
    model = keras.Sequential(
        [keras.layers.Dense(100, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    )
    model.build((None, 130))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        with torch.autocast("cpu"):
            loss = (model(x, training=True).float() - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.dtype is torch.float32 for p in model.parameters())


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_cuda(dtype):
    inputs = [t.detach().cuda().requires_grad_() for t in _leaves((130, 160), (160, 100), (100,))]
    with torch.autocast("cuda", dtype):
        y = dense(*inputs, codes.RELU, 0.5, keras.random.SeedGenerator(9))
    assert y.dtype is dtype
    found = torch.autograd.grad(y.float().square().sum(), inputs)
    expected, gradients = _exact("relu", [t.cpu() for t in inputs], 0.5)
    _assert_near([t.cpu() for t in (y, *found)], [expected, *gradients], ROUNDED)
