import pytest
import torch

from torchkeras import layers


def built(shape, **kwargs):
    layer = layers.LayerNormalization(**kwargs)
    layer.build(shape)
    return layer


def formula(x, axes, epsilon=1e-3):
    mean = x.mean(axes, keepdim=True)
    return (x - mean) / (x.var(axes, correction=0, keepdim=True) + epsilon).sqrt()


@pytest.mark.parametrize("axis", [-1, 1, 2, [1, 2], [2, 3], [1, 3], [-1, -2], [1, 2, 3], [0]])
def test_formula_over_any_axes(axis):
    x = torch.randn(2, 3, 4, 5) * 3 + 1
    layer = built(x.shape, axis=axis)
    axes = sorted(a % 4 for a in (axis if isinstance(axis, list) else [axis]))
    sizes = tuple(x.shape[a] for a in axes)
    assert layer.gamma.shape == layer.beta.shape == sizes
    gamma, beta = torch.randn(sizes), torch.randn(sizes)
    layer.set_weights([gamma, beta])
    wide = [x.shape[a] if a in axes else 1 for a in range(4)]
    expected = formula(x, axes) * gamma.reshape(wide) + beta.reshape(wide)
    torch.testing.assert_close(layer(x), expected)


def test_axes_counted_from_both_ends():
    x = torch.randn(2, 3, 4)
    layer = built(x.shape, axis=[1, -1])
    # Keras's order: sorted as given, -1 before 1.
    assert layer.gamma.shape == (4, 3)
    torch.testing.assert_close(layer(x), formula(x, [1, 2]))


def test_without_weights():
    layer = built((None, 4), center=False, scale=False)
    assert layer.weights == []
    x = torch.randn(3, 4)
    torch.testing.assert_close(layer(x), formula(x, [1]))


def test_rms_scaling_warns_and_divides_by_the_deviation():
    with pytest.warns(UserWarning, match="RMSNormalization"):
        layer = built((None, 4), rms_scaling=True)
    assert [w.name for w in layer.weights] == ["gamma"]
    x = torch.randn(3, 4) + 5
    expected = x / (x.var(1, correction=0, keepdim=True) + 1e-3).sqrt()
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("axis", [-1, 1])
def test_mixed_precision_takes_its_statistics_from_the_inputs_as_they_come(axis):
    layer = built((None, 4, 4), axis=axis, dtype="mixed_bfloat16")
    x = torch.randn(3, 4, 4) + 500  # bfloat16 keeps steps of 2 here
    y = layer(x)
    assert y.dtype is torch.bfloat16
    torch.testing.assert_close(y, formula(x, [axis]).bfloat16(), rtol=1e-2, atol=1e-2)
    assert layer(x.bfloat16()).dtype is torch.bfloat16
    assert {w.dtype for w in layer.weights} == {"float32"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kwargs", [{}, {"scale": False}, {"center": False}])
def test_half_precision_inputs_beside_float32_weights(dtype, kwargs):
    name = str(dtype).removeprefix("torch.")
    layer = built((None, 64), dtype=f"mixed_{name}", **kwargs)
    x = torch.randn(8, 64).to(dtype).requires_grad_()
    wide = x.detach().float().requires_grad_()
    (layer(x).float() * torch.arange(64)).sum().backward()
    (formula(wide, [1]) * torch.arange(64)).sum().backward()
    # The gradient is rounded to the input's dtype once or twice.
    torch.testing.assert_close(x.grad.float(), wide.grad, rtol=3e-2, atol=0.3)
    assert all(w.grad.dtype is torch.float32 for w in layer.trainable_weights)


def test_integers():
    x = torch.arange(12).reshape(3, 4)
    torch.testing.assert_close(built((None, 4))(x), formula(x.float(), [1]))


def test_it_passes_masks_on():
    x = torch.ones(2, 3, 4)
    x[0, 1] = 0
    y = layers.LayerNormalization()(layers.Masking()(x))
    assert y._keras_mask.tolist() == [[True, False, True], [True, True, True]]


@pytest.mark.parametrize("axis", [1.5, "last", None, [1.0]])
def test_axis_must_hold_ints(axis):
    with pytest.raises(TypeError, match="axis.*Received"):
        layers.LayerNormalization(axis=axis)


@pytest.mark.parametrize("axis", [2, [0, 2], [-1, 1]])
def test_axes_must_be_in_the_input_once(axis):
    with pytest.raises(ValueError, match="each axis.*none of them twice.*Received"):
        built((None, 3), axis=axis)


def test_sizes_must_be_known():
    with pytest.raises(ValueError, match="needs the sizes.*Received.*Input"):
        built((None, None, 3), axis=[1, 2])
