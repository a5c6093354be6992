import pytest
import torch

from torchkeras import layers

X = torch.tensor([-10.0, -5.0, 0.0, 0.5, 5.0, 20.0])


def test_relu_with_all_arguments():
    y = layers.ReLU(max_value=10, negative_slope=0.5, threshold=1.0)(X)
    # below 1: 0.5 * (x - 1); above: at most 10
    torch.testing.assert_close(y, torch.tensor([-5.5, -3.0, -0.5, -0.25, 5.0, 10.0]))


def test_leaky_relu_and_its_older_argument_name():
    expected = torch.where(X < 0, 0.25 * X, X)
    torch.testing.assert_close(layers.LeakyReLU(negative_slope=0.25)(X), expected)
    torch.testing.assert_close(layers.LeakyReLU(alpha=0.25)(X), expected)
    torch.testing.assert_close(layers.LeakyReLU()(X), torch.where(X < 0, 0.3 * X, X))


def test_elu():
    torch.testing.assert_close(
        layers.ELU(alpha=2.0)(X), torch.where(X < 0, 2 * (torch.exp(X) - 1), X)
    )


def test_prelu_and_its_gradient_at_and_below_zero():
    layer = layers.PReLU(alpha_initializer="ones")
    x = X.reshape(1, 6).clone().requires_grad_()
    layer.build((None, 6))
    layer.alpha.assign(torch.full((6,), 0.25))
    y = layer(x)
    torch.testing.assert_close(y, torch.where(x > 0, x, 0.25 * x))
    y.sum().backward()
    torch.testing.assert_close(layer.alpha.grad, torch.tensor([-10.0, -5.0, 0, 0, 0, 0]))


def test_prelu_shared_axes_must_be_axes_of_a_sample():
    with pytest.raises(ValueError, match="shares axes.*Received"):
        layers.PReLU(shared_axes=[0])(torch.ones(2, 3))


@pytest.mark.parametrize("axis", [-1, 1, [1], [1, 2], (-1, -2)])
def test_softmax_sums_to_one_over_its_axes(axis):
    y = layers.Softmax(axis=axis)(torch.randn(2, 3, 4))
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    sums = y.sum(dim=tuple(axes))
    torch.testing.assert_close(sums, torch.ones_like(sums))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_masked_positions_get_no_probability_and_a_masked_row_is_zero(dtype):
    mask = torch.tensor([[True, True, False], [False, False, False]])
    x = torch.zeros(2, 3, requires_grad=True)
    y = layers.Softmax(dtype=dtype)(x, mask=mask)
    assert y.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    y.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_numbers_as_mask_count_from_one_half():
    y = layers.Softmax()(torch.zeros(1, 2), mask=torch.tensor([[0.4, 0.6]]))
    assert y.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("shape", [(2, 3, 1), (4,), (3, 3)])
def test_a_mask_that_does_not_broadcast_is_an_error(shape):
    with pytest.raises(ValueError, match="mask.*Received"):
        layers.Softmax()(torch.zeros(2, 3), mask=torch.ones(shape, dtype=torch.bool))


@pytest.mark.parametrize("name", ["max_value", "negative_slope", "threshold"])
def test_negative_arguments_are_refused(name):
    with pytest.raises(ValueError, match=f"`{name}`.*Received"):
        layers.ReLU(**{name: -0.1})


def test_activation_takes_a_function():
    assert layers.Activation(torch.exp)(torch.zeros(2)).tolist() == [1.0, 1.0]
