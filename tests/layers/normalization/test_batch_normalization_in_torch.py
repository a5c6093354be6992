"""BatchNormalization under what torch has for its own batch normalization."""

import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras import layers


def make(count=1):
    made = [layers.BatchNormalization(momentum=0.9) for _ in range(count)]
    for layer in made:
        layer.build((None, 3))
        layer.train()
    return made


def test_vmap_over_layers_and_inputs_in_training():
    x = torch.randn(5, 4, 3)
    made = make(5)
    parameters, buffers = torch.func.stack_module_state(made)

    def call(parameters, buffers, x):
        return torch.func.functional_call(made[0], (parameters, buffers), (x,))

    y = torch.vmap(call)(parameters, buffers, x)
    mean, variance = x.mean(1), x.var(1, unbiased=False)
    want = (x - mean[:, None]) / (variance[:, None] + 1e-3).sqrt()
    torch.testing.assert_close(y, want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(buffers["moving_mean"], 0.1 * mean)
    torch.testing.assert_close(buffers["moving_variance"], 0.9 + 0.1 * variance)


def test_vmap_of_a_stateless_call_gives_a_state_for_each():
    x = torch.randn(5, 4, 3)
    (layer,) = make()
    states = [
        [v.value for v in vs] for vs in (layer.trainable_variables, layer.non_trainable_variables)
    ]
    y, (mean, variance) = torch.vmap(lambda x: layer.stateless_call(*states, x, training=True))(x)
    torch.testing.assert_close(mean, 0.1 * x.mean(1))
    torch.testing.assert_close(variance, 0.9 + 0.1 * x.var(1, unbiased=False))
    torch.testing.assert_close(y.mean(1), torch.zeros(5, 3), atol=1e-5, rtol=0)
    assert layer.moving_mean.numpy().tolist() == [0, 0, 0]


def test_vmap_over_inputs_alone_has_no_place_for_the_statistics():
    (layer,) = make()
    with pytest.raises(RuntimeError, match="keeps one moving mean.*training=False"):
        torch.vmap(layer)(torch.randn(5, 4, 3))
    x = torch.randn(5, 4, 3)
    torch.testing.assert_close(torch.vmap(layer.eval())(x), x / 1.001**0.5)


@pytest.mark.parametrize("renorm", [False, True])
def test_update_bn_takes_the_mean_over_all_batches(renorm):
    model = keras.Sequential([keras.Input((3,)), layers.BatchNormalization(renorm=renorm)])
    model(torch.full((8, 3), 9.0), training=True)
    batches = [torch.randn(8, 3) + 5 for _ in range(4)]
    torch.optim.swa_utils.update_bn(batches, model)
    layer = model.layers[0]
    want = torch.stack([b.mean(0) for b in batches]).mean(0)
    torch.testing.assert_close(layer.moving_mean.value, want, atol=1e-5, rtol=1e-5)
    if not renorm:
        want = torch.stack([b.var(0, unbiased=False) for b in batches]).mean(0)
        torch.testing.assert_close(layer.moving_variance.value, want, atol=1e-5, rtol=1e-5)
    assert layer.momentum == 0.99 and not model.training


def test_convert_sync_batchnorm_tells_of_synchronized():
    net = nn.Sequential(nn.Linear(3, 3), make()[0])
    with pytest.raises(RuntimeError, match="synchronized=True"):
        nn.SyncBatchNorm.convert_sync_batchnorm(net)


def test_its_state_dict_is_keras_own():
    (layer,), (other,) = make(), make()
    assert list(layer.state_dict()) == ["gamma", "beta", "moving_mean", "moving_variance"]
    old = {key: value + 1 for key, value in layer.state_dict().items()}
    other.load_state_dict(old)
    torch.testing.assert_close(dict(other.state_dict()), old)
    assert not other._modules and "bn" not in repr(other)
