"""Which of a model's statistics were written to, and so are made one at the end of an epoch."""

import pytest
import torch

import torchkeras as keras
from torchkeras.distribution.state_reduction import Statistics, _has_changed


class Native(torch.nn.BatchNorm1d):
    """torch's layer writes its running statistics without a new version of the tensor."""


@pytest.mark.parametrize("layer", [keras.layers.BatchNormalization(), Native(4)])
def test_running_statistics_are_noticed(layer):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), layer])
    model.layers[0].trainable = False
    statistics = Statistics(model)

    def changed():
        return {
            name.rpartition(".")[2]
            for name, tensor in statistics._tensors()
            if _has_changed(tensor, statistics._marks[name])
        }

    model(torch.randn(8, 3))
    assert changed() == set()
    model.train()
    model(torch.randn(8, 3))
    assert {name.rpartition("_")[2] for name in changed()} >= {"mean"}
    assert len(changed()) >= 2 and "kernel" not in changed()
    statistics.note()
    assert changed() == set()
    model.layers[0].kernel.assign(torch.ones(3, 4))
    assert changed() == {"kernel"}
