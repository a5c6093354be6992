import pytest
import torch

from torchkeras import layers


def formula(x, axes, epsilon=1e-6):
    return x / (x.square().mean(axes, keepdim=True) + epsilon).sqrt()


@pytest.mark.parametrize("axis", [-1, 1, [1, 2], [2, 3], [1, 3], [-1, -2], [2]])
def test_formula_over_any_axes(axis):
    x = torch.randn(2, 3, 4, 5) * 3
    layer = layers.RMSNormalization(axis)
    layer.build(x.shape)
    axes = sorted(a % 4 for a in (axis if isinstance(axis, list) else [axis]))
    scale = torch.randn([x.shape[a] for a in axes])
    layer.scale.assign(scale)
    wide = [x.shape[a] if a in axes else 1 for a in range(4)]
    torch.testing.assert_close(layer(x), formula(x, axes) * scale.reshape(wide))


def test_axes_counted_from_both_ends():
    layer, x = layers.RMSNormalization([1, -1]), torch.randn(2, 3, 4)
    torch.testing.assert_close(layer(x), formula(x, [1, 2]))
    assert layer.scale.shape == (4, 3)


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_summed_in_float32(axis, dtype):
    layer = layers.RMSNormalization(axis, dtype=dtype)
    # The squares are beyond float16, and bfloat16 stops counting their sum.
    x = torch.full((2, 512, 512), 300.0)
    torch.testing.assert_close(layer(x), torch.ones_like(x).to(layer(x).dtype))


def test_integers():
    x = torch.arange(1, 13).reshape(3, 4)
    torch.testing.assert_close(layers.RMSNormalization()(x), formula(x.float(), [1]))


def test_zeros_stay_zeros_with_finite_gradients():
    x = torch.zeros(2, 3, requires_grad=True)
    y = layers.RMSNormalization()(x)
    y.sum().backward()
    assert not y.any() and torch.isfinite(x.grad).all()


def test_wrong_axes():
    with pytest.raises(TypeError, match="axis.*Received"):
        layers.RMSNormalization(axis="last")
    with pytest.raises(ValueError, match="each axis.*Received"):
        layers.RMSNormalization(axis=2)(torch.ones(2, 3))
    with pytest.raises(ValueError, match="needs the sizes.*Received"):
        layers.RMSNormalization().build((None, None))
