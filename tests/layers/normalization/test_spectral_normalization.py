import pytest
import torch

import torchkeras as keras
from torchkeras import layers


def spectral(units=3, shape=(2, 4), **kwargs):
    layer = layers.SpectralNormalization(layers.Dense(units, name="inner"), name="outer", **kwargs)
    layer.build(shape)
    return layer


def test_training_brings_the_largest_singular_value_to_one():
    layer, x = spectral(), torch.randn(2, 4)
    for _ in range(30):
        layer(x, training=True)
    values = torch.linalg.svdvals(layer.layer.kernel.value.detach())
    assert values.max().item() == pytest.approx(1, abs=1e-4)


def test_one_step_is_the_formula():
    layer, x = spectral(), torch.randn(2, 4)
    kernel, u = layer.kernel.value.detach().clone(), layer.vector_u.value.clone()
    y = layer(x, training=True)
    v = u @ kernel.T
    v /= v.norm()
    u = v @ kernel
    u /= u.norm()
    kernel = kernel / (v @ kernel @ u.T)
    torch.testing.assert_close(layer.vector_u.value, u)
    torch.testing.assert_close(layer.kernel.value, kernel)
    torch.testing.assert_close(y, x @ kernel)


def test_inference_changes_nothing():
    layer, x = spectral(), torch.randn(2, 4)
    before = layer.get_weights()
    torch.testing.assert_close(layer(x), layer.layer(x))
    assert all((a == b).all() for a, b in zip(before, layer.get_weights(), strict=True))


def test_a_kernel_of_zeros_stays():
    layer = spectral()
    layer.kernel.assign(torch.zeros(4, 3))
    u = layer.vector_u.value.clone()
    assert not layer(torch.ones(2, 4), training=True).any()
    assert torch.equal(layer.vector_u.value, u)


def test_gradients_are_those_at_the_kernel_of_each_call():
    # As in a GAN: two calls, each with a kernel of its own, before one backward pass.
    layer, x = spectral(), torch.randn(2, 4, requires_grad=True)
    kernels = []
    loss = 0
    for power in (2, 3):
        loss = loss + layer(x, training=True).pow(power).sum()
        kernels.append(layer.kernel.value.detach().clone())
    loss.backward()
    first, second = ((x @ k).detach() for k in kernels)
    expected = 2 * first @ kernels[0].T + 3 * second.square() @ kernels[1].T
    torch.testing.assert_close(x.grad, expected)
    torch.testing.assert_close(
        layer.kernel.grad, (x.T @ (2 * first) + x.T @ (3 * second.square())).detach()
    )
    assert type(layer.layer._parameters["kernel"]) is torch.nn.Parameter


def test_training_compiles_in_one_graph():
    layer, twin = spectral().train(), spectral().train()
    twin.set_weights(layer.get_weights())
    x = torch.randn(2, 4)
    torch._dynamo.reset()
    y = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    torch._dynamo.reset()
    torch.testing.assert_close(y, twin(x))
    torch.testing.assert_close(layer.kernel.value, twin.kernel.value)


def test_the_kernel_is_one_tensor_in_the_state():
    layer = spectral()
    assert set(layer.state_dict()) == {"vector_u", "layer.kernel", "layer.bias"}
    assert [w.path for w in layer.weights] == [
        "outer/inner/kernel",
        "outer/vector_u",
        "outer/inner/bias",
    ]


def test_config_makes_the_layer_again():
    layer = spectral(power_iterations=2)
    config = keras.saving.serialize_keras_object(layer)
    made = keras.saving.deserialize_keras_object(config)
    assert made.get_config() == layer.get_config()
    assert [w.shape for w in made.weights] == [w.shape for w in layer.weights]


def test_what_it_cannot_wrap():
    with pytest.raises(ValueError, match="must be a Layer.*Received"):
        layers.SpectralNormalization(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="power_iterations.*Received"):
        layers.SpectralNormalization(layers.Dense(2), power_iterations=0)
    with pytest.raises(ValueError, match="kernel.*embeddings.*Received"):
        layers.SpectralNormalization(layers.ReLU())(torch.ones(2, 3))
