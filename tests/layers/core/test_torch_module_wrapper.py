import copy

import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras import layers


def test_weights_are_the_modules_own():
    module = nn.Linear(3, 2)
    layer = layers.TorchModuleWrapper(module)
    assert layer.built
    assert [w.value for w in layer.trainable_weights] == [module.weight, module.bias]
    assert set(layer.state_dict()) == {"module.weight", "module.bias"}
    x = torch.randn(4, 3)
    assert torch.equal(layer(x), module(x))


def test_shapes_are_found_without_running_on_data():
    layer = layers.TorchModuleWrapper(nn.Conv2d(3, 8, 3))
    assert layer(keras.Input((3, 10, 12))).shape == (None, 8, 8, 10)
    assert layer.compute_output_shape((2, 3, 10, 12)) == (2, 8, 8, 10)


def test_given_output_shape_is_believed():
    layer = layers.TorchModuleWrapper(nn.Linear(3, 2), output_shape=(None, 2))
    assert layer(keras.Input((3,))).shape == (None, 2)


def test_training_mode_reaches_the_module():
    layer = layers.TorchModuleWrapper(nn.Dropout(0.5))
    x = torch.ones(1000)
    assert torch.equal(layer(x), x)
    assert set(layer(x, training=True).unique().tolist()) == {0.0, 2.0}
    assert not layer.module.training
    layer.train()
    assert set(layer(x).unique().tolist()) == {0.0, 2.0}


def test_batch_norm_statistics_move_in_training_only():
    layer = layers.TorchModuleWrapper(nn.BatchNorm1d(2))
    x = torch.randn(8, 2) + 5
    layer(x)
    layer(keras.Input((2,)), training=True)
    assert layer.module.running_mean.tolist() == [0.0, 0.0]
    layer(x, training=True)
    torch.testing.assert_close(layer.module.running_mean, 0.1 * x.mean(0))


@pytest.mark.parametrize("symbolic", [True, False])
def test_lazy_modules_get_their_weights_at_the_first_call(symbolic):
    layer = layers.TorchModuleWrapper(nn.Sequential(nn.LazyLinear(4), nn.ReLU()))
    assert not layer.built
    y = layer(keras.Input((3,)) if symbolic else torch.ones(2, 3))
    assert tuple(y.shape)[-1] == 4
    assert [w.shape for w in layer.weights] == [(4, 3), (4,)]


def test_several_arguments():
    layer = layers.TorchModuleWrapper(nn.Bilinear(3, 4, 2))
    assert layer(torch.ones(5, 3), torch.ones(5, 4)).shape == (5, 2)
    assert layer(keras.Input((3,)), keras.Input((4,))).shape == (None, 2)


def test_config_needs_the_modules_own():
    layer = layers.TorchModuleWrapper(nn.Linear(3, 2))
    with pytest.raises(NotImplementedError, match="Received.*Linear.*get_config.*register"):
        layer.get_config()


def test_config_of_a_registered_module():
    @keras.saving.register_keras_serializable("tests")
    class Doubling(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.size = size
            self.scale = nn.Parameter(torch.full((size,), 2.0))

        def forward(self, x):
            return x * self.scale

        def get_config(self):
            return {"size": self.size}

        @classmethod
        def from_config(cls, config):
            return cls(**config)

    config = keras.layers.serialize(layers.TorchModuleWrapper(Doubling(3), name="d"))
    layer = keras.layers.deserialize(copy.deepcopy(config))
    assert layer(torch.ones(1, 3)).tolist() == [[2.0, 2.0, 2.0]]
    assert keras.layers.serialize(layer) == config


def test_a_pickle_in_a_config_is_refused():
    with pytest.raises(ValueError, match="never runs code.*Received"):
        layers.TorchModuleWrapper.from_config({"name": "m", "module": "UEsDBAAA"})


def test_not_a_module():
    with pytest.raises(TypeError, match="torch.nn.Module.*Received"):
        layers.TorchModuleWrapper(torch.relu)
