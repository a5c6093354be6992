import functools

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.callbacks import ReduceLROnPlateau


class Fake:
    def __init__(self, optimizer):
        self.optimizer = optimizer


def rates(values, rate=1.0, **arguments):
    """The rate in force after each epoch."""
    callback = ReduceLROnPlateau("val_loss", **arguments)
    callback.set_model(Fake(keras.optimizers.SGD(rate)))
    callback.on_train_begin()
    found = []
    for epoch, value in enumerate(values):
        logs = {"val_loss": value}
        before = float(callback.model.optimizer.learning_rate)
        callback.on_epoch_end(epoch, logs)
        assert logs["learning_rate"] == before
        found.append(float(callback.model.optimizer.learning_rate))
    return found


def test_patience_and_factor():
    assert rates([3, 2, 2, 2, 2, 2], factor=0.5, patience=2) == [1, 1, 1, 0.5, 0.5, 0.25]


def test_small_improvements_do_not_count():
    # Lower by 0.5 is not yet lower by more than 0.5.
    assert rates([3, 2.75, 2.5], factor=0.5, patience=1, min_delta=0.5) == [1, 0.5, 0.25]
    assert rates([3, 2.75, 2.25], factor=0.5, patience=1, min_delta=0.5) == [1, 0.5, 0.5]


def test_max_mode():
    assert rates([1, 2, 1, 1], factor=0.5, patience=1, mode="max") == [1, 1, 0.5, 0.25]


def test_cooldown():
    values = [1] * 7
    assert rates(values, factor=0.5, patience=1, cooldown=2) == [
        1,
        0.5,
        0.5,
        0.25,
        0.25,
        0.125,
        0.125,
    ]


def test_lowest_rate():
    assert rates([1] * 4, factor=0.5, patience=1, min_lr=0.375) == [1, 0.5, 0.375, 0.375]
    # 0.1 is not exact in float32: a rate at the bound is not lowered for that.
    low = rates([1] * 4, rate=0.1, factor=0.5, patience=1, min_lr=0.1)
    assert low == [pytest.approx(0.1)] * 4


def test_factor_must_be_below_one():
    with pytest.raises(ValueError, match="factor=1.0"):
        ReduceLROnPlateau(factor=1.0)


def test_missing_value_warns():
    callback = ReduceLROnPlateau("val_loss")
    callback.set_model(Fake(keras.optimizers.SGD(0.5)))
    with pytest.warns(UserWarning, match="monitors 'val_loss'.*loss, learning_rate"):
        callback.on_epoch_end(0, {"loss": 1.0})


@pytest.mark.parametrize(
    "optimizer", [keras.optimizers.Adam(0.5), functools.partial(torch.optim.Adam, lr=0.5)]
)
def test_in_fit_with_either_kind_of_optimizer(optimizer, capsys):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    reduce = ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9, verbose=1)
    x = np.ones((4, 3))
    history = model.fit(x, x[:, :1], epochs=4, verbose=0, callbacks=[reduce]).history
    assert history["learning_rate"] == [0.5, 0.5, 0.25, 0.125]
    assert float(model.optimizer.learning_rate) == 0.0625
    assert "Epoch 2: the learning rate is reduced to 0.25" in capsys.readouterr().out
