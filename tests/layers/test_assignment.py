"""A tensor assigned to a weight's attribute: the weight stays trained, or an error says so."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import torchkeras as keras
from torchkeras import layers, optimizers


def built():
    layer = layers.Dense(8)
    layer.build((None, 4))
    return layer


@pytest.mark.parametrize(
    "value",
    [torch.zeros(4, 8), torch.ones(2), np.zeros((4, 8)), np.float32(1), torch.ones(4, 8) * 2],
    ids=["tensor", "other shape", "array", "numpy number", "result"],
)
def test_a_plain_tensor_in_the_place_of_a_weight_is_refused(value):
    layer = built()
    kernel, before = layer.kernel, layer.kernel.numpy()
    with pytest.raises(TypeError, match=r"kernel is Variable '.*kernel'.*kernel.assign\(value\)"):
        layer.kernel = value
    assert layer.kernel is kernel and list(dict(layer.named_parameters())) == ["kernel", "bias"]
    np.testing.assert_array_equal(layer.kernel.numpy(), before)
    with pytest.raises(TypeError, match="Received: a value of type Tensor"):
        layer.kernel = layer.kernel * 2


def test_operators_in_place_on_the_attribute_keep_it_trained():
    layer = built()
    before, parameter = layer.kernel.numpy(), layer.kernel.value
    layer.kernel += 1
    layer.kernel[0] = 5
    layer.bias -= torch.ones(8)
    before += 1
    before[0] = 5
    assert layer.kernel.value is parameter and layer._parameters["kernel"] is parameter
    np.testing.assert_array_equal(layer.kernel.numpy(), before)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    layer(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(layer.kernel.numpy(), before - 0.5, rtol=1e-6)
    np.testing.assert_allclose(layer.bias.numpy(), -1.5)


def test_a_parameter_takes_the_weights_place():
    layer = built()
    handle, parameter = layer.kernel, nn.Parameter(torch.ones(4, 8))
    layer.kernel = parameter
    assert layer.kernel is handle and handle.value is parameter and handle.trainable
    assert layer._parameters["kernel"] is parameter


def test_a_parameter_in_the_place_of_a_statistic_is_trained_from_then_on():
    layer = layers.BatchNormalization()
    layer.build((None, 2))
    layer.moving_mean = nn.Parameter(torch.ones(2))
    assert "moving_mean" in dict(layer.named_parameters())
    assert "moving_mean" not in dict(layer.named_buffers())
    assert layer.moving_mean.trainable and len(layer.trainable_weights) == 3
    assert list(layer.state_dict()) == ["gamma", "beta", "moving_mean", "moving_variance"]


def test_a_tensor_may_take_the_place_of_a_weight_that_is_not_trained():
    layer = layers.BatchNormalization()
    layer.build((None, 2))
    handle = layer.moving_mean
    layer.moving_mean = torch.ones(2)
    layer.moving_variance = layer.moving_variance * 4
    assert layer.moving_mean is handle
    assert layer.state_dict()["moving_mean"].tolist() == [1.0, 1.0]
    assert layer.moving_variance.numpy().tolist() == [4.0, 4.0]
    with pytest.raises(ValueError, match=r"expects a value of shape \(2,\)"):
        layer.moving_mean = torch.ones(3)
    with pytest.raises(TypeError, match="moving_mean.assign"):
        layer.moving_mean = np.ones(2)


class Counting(layers.Layer):
    def build(self, input_shape):
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False, name="steps")

    def call(self, x):
        self.steps = self.steps + 1
        return x


def test_a_statistic_replaced_in_call_counts_calls_on_data_only():
    layer = Counting()
    inputs = keras.Input((2,))
    model = keras.Model(inputs, layer(inputs))
    assert float(layer.steps) == 0.0 and layer.steps.device.type == "cpu"
    model(torch.ones(1, 2))
    assert float(layer.steps) == 1.0
    _, (state,) = model.stateless_call([], [torch.tensor(5.0)], torch.ones(1, 2))
    assert float(state) == 6.0 and float(layer.steps) == 1.0


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_items_of_containers(kind):
    layer = layers.Layer()
    weights = [keras.Variable(1.0), keras.Variable(2.0)]
    layer.ws = weights if kind == "list" else dict(enumerate(weights))
    layer.ws[0] += 1
    with pytest.raises(TypeError, match=r"ws\[1\] is Variable"):
        layer.ws[1] = layer.ws[1] + 1
    with pytest.raises(TypeError, match=r"ws\[0\] is Variable"):
        layer.ws[0] = torch.tensor(3.0)
    layer.ws[1] = keras.Variable(7.0)
    assert [float(w) for w in layer.weights] == [2.0, 7.0]
    assert len(list(layer.parameters())) == 2


def test_a_weight_shared_or_under_another_slot_is_refused_alike():
    layer, other = built(), layers.Layer()
    other.mine = layer.kernel
    with pytest.raises(TypeError, match="mine is Variable"):
        other.mine = torch.zeros(4, 8)
    assert layer.kernel.value is layer._parameters["kernel"]


def test_state_of_an_optimizer_is_refused_alike():
    class Own(optimizers.Optimizer):
        def build(self, variables):
            super().build(variables)
            self.total = self.add_variable((), name="total")

        def update_step(self, gradient, variable, learning_rate):
            self.total += 1
            self.total = self.total * 2

    optimizer = Own(0.5)
    with pytest.raises(TypeError, match="total is Variable.*total.assign"):
        optimizer.apply([torch.tensor(1.0)], [keras.Variable(1.0)])
    assert float(optimizer.total) == 1.0
    optimizer.learning_rate *= 0.5
    assert float(optimizer.learning_rate) == 0.25 and optimizer.total in set(optimizer.variables)


# What torch does with the attribute


def test_load_state_dict_with_assign():
    layer = layers.BatchNormalization()
    layer.build((None, 2))
    state = {k: torch.full_like(v, 3.0) for k, v in layer.state_dict().items()}
    layer.load_state_dict(state, assign=True)
    assert all(w.numpy().tolist() == [3.0, 3.0] for w in layer.weights)
    assert [w.trainable for w in layer.weights] == [True, True, False, False]
    layer.trainable = False
    layer.load_state_dict(state, assign=True)
    assert layer.trainable_weights == []


def test_functional_call():
    layer, x = built(), torch.ones(1, 4)
    given = {"kernel": torch.ones(4, 8), "bias": torch.zeros(8)}
    outputs = torch.func.functional_call(layer, given, (x,))
    assert outputs.tolist() == [[4.0] * 8] and isinstance(layer.kernel.value, nn.Parameter)


def test_parametrizations_of_a_plain_module_in_a_model():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = parametrizations.weight_norm(nn.Linear(2, 2))

        def call(self, x):
            return self.inner(x)

    model = Model()
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.zeros((4, 2)), verbose=0)
    assert len(model.trainable_weights) == 3
    parametrize.remove_parametrizations(model.inner, "weight")
    assert len(model.trainable_weights) == 2
