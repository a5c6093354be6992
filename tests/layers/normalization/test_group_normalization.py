import pytest
import torch

from torchkeras import layers


def formula(x, groups, axis, epsilon=1e-3):
    """Group by group, as the words say it."""
    y = torch.empty_like(x)
    for group in torch.arange(x.shape[axis]).chunk(groups):
        part = x.index_select(axis, group)
        axes = list(range(1, x.dim()))
        mean, variance = part.mean(axes, True), part.var(axes, correction=0, keepdim=True)
        y.index_copy_(axis, group, (part - mean) / (variance + epsilon).sqrt())
    return y


@pytest.mark.parametrize(
    ("shape", "groups", "axis"),
    [
        ((3, 6), 2, -1),
        ((3, 5, 6), 3, -1),
        ((3, 4, 5, 6), 2, -1),
        ((3, 4, 5, 2, 6), 2, -1),
        ((3, 6, 4, 5), 3, 1),
        ((3, 4, 6, 5), 2, 2),
        ((3, 4, 5, 6), 6, 3),
        ((3, 4, 5, 6), 1, -1),
    ],
)
def test_formula(shape, groups, axis):
    layer = layers.GroupNormalization(groups, axis=axis)
    x = torch.randn(shape) * 2 + 3
    torch.testing.assert_close(layer(x), formula(x, groups, axis % len(shape)))
    values = torch.randn(2, 6)
    layer.set_weights(list(values))
    gamma, beta = (
        v.reshape([6 if a == axis % x.dim() else 1 for a in range(x.dim())]) for v in values
    )
    torch.testing.assert_close(layer(x), formula(x, groups, axis % x.dim()) * gamma + beta)


def test_minus_one_is_a_group_a_channel():
    layer = layers.GroupNormalization(-1)
    x = torch.randn(2, 5, 4)
    torch.testing.assert_close(layer(x), formula(x, 4, 2))
    assert layer.groups == 4


def test_a_group_of_one_value_is_normalized_to_zero():
    y = layers.GroupNormalization(-1)(torch.full((1, 3), 5.0))
    assert y.abs().max() < 1e-4  # torch refuses it; its kernel leaves a rounding


@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (2, 3, 3, 3, 6)])
def test_gradients_of_the_weights_where_the_input_wants_none(shape):
    # torch's own kernel for this layout crashes the process in this case.
    layer = layers.GroupNormalization(2)
    x, weights = torch.randn(shape), torch.randn(shape)
    (layer(x) * weights).sum().backward()
    axes = list(range(len(shape) - 1))
    expected = (formula(x, 2, len(shape) - 1) * weights).sum(axes)
    torch.testing.assert_close(layer.gamma.grad, expected)
    torch.testing.assert_close(layer.beta.grad, weights.sum(axes))


def test_mixed_precision_takes_its_statistics_from_the_inputs_as_they_come():
    layer = layers.GroupNormalization(2, dtype="mixed_bfloat16")
    x = torch.randn(3, 5, 4) + 500  # bfloat16 keeps steps of 2 here
    y = layer(x)
    assert y.dtype is torch.bfloat16
    torch.testing.assert_close(y, formula(x, 2, 2).bfloat16(), rtol=1e-2, atol=1e-2)
    half = x.bfloat16()
    torch.testing.assert_close(
        layer(half), formula(half.float(), 2, 2).bfloat16(), rtol=1e-2, atol=1e-2
    )


@pytest.mark.parametrize("groups", [0, -2, 2.0, "2"])
def test_groups_must_be_positive_or_minus_one(groups):
    with pytest.raises(ValueError, match="groups.*Received"):
        layers.GroupNormalization(groups)


@pytest.mark.parametrize("groups", [4, 12])
def test_groups_must_divide_the_channels(groups):
    layer = layers.GroupNormalization(groups)
    with pytest.raises(ValueError, match="groups.*divides.*Received.*6 channels"):
        layer(torch.ones(2, 6))
    assert layer.weights == []


def test_the_axis_of_the_batch_has_no_groups():
    with pytest.raises(ValueError, match="axis of the batch"):
        layers.GroupNormalization(2, axis=0)(torch.ones(2, 6))
