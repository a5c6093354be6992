import pytest
import torch

from torchkeras import layers


@pytest.mark.parametrize("axis", [-1, 1, [1, 2], [0]])
def test_vectors_have_length_one(axis):
    x = torch.randn(2, 3, 4)
    y = layers.UnitNormalization(axis)(x)
    axes = axis if isinstance(axis, list) else [axis]
    torch.testing.assert_close(y, x / x.square().sum(axes, keepdim=True).sqrt())


def test_zeros_stay_zeros_with_finite_gradients():
    x = torch.zeros(2, 3, requires_grad=True)
    y = layers.UnitNormalization()(x)
    y.sum().backward()
    assert not y.any() and torch.isfinite(x.grad).all()


def test_integers_are_computed_in_the_compute_dtype():
    y = layers.UnitNormalization()(torch.tensor([[3, 4]]))
    torch.testing.assert_close(y, torch.tensor([[0.6, 0.8]]))


def test_wrong_axes():
    with pytest.raises(TypeError, match="axis.*Received"):
        layers.UnitNormalization(axis=1.0)
    with pytest.raises(ValueError, match="each axis.*Received"):
        layers.UnitNormalization(axis=3).compute_output_shape((2, 3))
