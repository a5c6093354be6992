import pytest
import torch

from torchkeras import activations, layers


def built(*args, features=3, **kwargs):
    layer = layers.Dense(*args, **kwargs)
    layer.build((None, features))
    return layer


def test_formula():
    layer = built(2)
    layer.set_weights([torch.tensor([[1.0, 2], [3, 4], [5, 6]]), torch.tensor([1.0, -1])])
    # 1*1 + 2*3 + 3*5 + 1 = 23 and 1*2 + 2*4 + 3*6 - 1 = 27
    assert torch.equal(layer(torch.tensor([[1.0, 2, 3]])), torch.tensor([[23.0, 27.0]]))


@pytest.mark.parametrize("name", ["relu", "tanh", "softmax", "gelu"])
def test_activation_is_applied_to_the_sum(name):
    layer, x = built(4, activation=name), torch.randn(5, 3)
    expected = activations.get(name)(x @ layer.kernel.value + layer.bias.value)
    torch.testing.assert_close(layer(x), expected)


def test_activation_may_be_replaced_later():
    layer, x = built(4, activation="relu"), torch.randn(5, 3)
    layer.activation = activations.linear
    torch.testing.assert_close(layer(x), x @ layer.kernel.value)


def test_softmax_output_carries_its_logits():
    layer, x = built(4, activation="softmax"), torch.randn(5, 3)
    torch.testing.assert_close(layer(x)._keras_logits, x @ layer.kernel.value)


def test_relu_keeps_the_input_and_its_gradient():
    layer = built(4, activation="relu")
    x = torch.randn(5, 3, requires_grad=True)
    layer(x).sum().backward()
    active = ((x @ layer.kernel.value) > 0).float()
    torch.testing.assert_close(x.grad, active @ layer.kernel.value.T)


def test_no_bias():
    layer = built(4, use_bias=False)
    assert layer.bias is None
    assert [w.path for w in layer.weights] == ["dense/kernel"]


def test_regularizers_and_constraints_reach_their_weights():
    layer = built(
        4,
        kernel_initializer="ones",
        bias_initializer="ones",
        kernel_regularizer="l2",
        bias_constraint="non_neg",
    )
    # 0.01 * sum of twelve ones
    assert [loss.item() for loss in layer.losses] == pytest.approx([0.12])
    assert type(layer.bias.constraint).__name__ == "NonNeg"
    assert layer.kernel.constraint is None


def test_activity_regularizer_is_averaged_over_the_batch():
    layer = built(4, kernel_initializer="ones", activity_regularizer="l2")
    layer(torch.ones(5, 3))
    # 0.01 * 5 * 4 * 3**2 / 5
    assert [loss.item() for loss in layer.losses] == pytest.approx([0.36])


@pytest.mark.parametrize("units", [0, -1, 2.0, "3", None])
def test_units_must_be_a_positive_int(units):
    with pytest.raises(ValueError, match="units.*Received"):
        layers.Dense(units)


def test_quantization_config_must_be_one():
    with pytest.raises(ValueError, match="QuantizationConfig.*Received: quantization_config=4"):
        layers.Dense(2, quantization_config=4)


def test_wrong_number_of_features():
    with pytest.raises(ValueError, match=r"expects 3 features on axis -1.*Received.*\(8, 12\)"):
        built(2)(torch.ones(8, 12))


def test_unknown_features_at_build():
    with pytest.raises(ValueError, match="size of the last axis.*Received.*Input"):
        layers.Dense(2).build((None, None))


def test_empty_batch():
    assert built(2)(torch.ones(0, 3)).shape == (0, 2)
