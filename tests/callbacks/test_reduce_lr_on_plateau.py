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


def by_groups(model, *rates):
    """An SGD with the first layer in one group and the others in another."""
    first, *others = model.layers
    return torch.optim.SGD(
        [
            {"params": list(first.parameters()), "lr": rates[0]},
            {"params": [p for layer in others for p in layer.parameters()], "lr": rates[1]},
        ]
    )


def two_layers():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])


@pytest.mark.parametrize(
    "min_lr, expected",
    [
        (0.0, [(0.1, 1e-5), (0.01, 1e-6), (0.001, 1e-7)]),
        # As torch's own: no group falls below the bound, and none rises to it.
        (2e-3, [(0.1, 1e-5), (0.01, 1e-5), (2e-3, 1e-5)]),
        (5e-7, [(0.1, 1e-5), (0.01, 1e-6), (0.001, 5e-7)]),
    ],
)
def test_every_group_of_a_torch_optimizer_is_lowered_by_the_factor(min_lr, expected):
    model = two_layers()
    model.compile(by_groups(model, 0.1, 1e-5), "mse")
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(model.optimizer.learning_rates)
    )
    reduce = ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=1e9, min_lr=min_lr)
    x = np.ones((4, 3))
    history = model.fit(x, x[:, :1], epochs=4, verbose=0, callbacks=[watch, reduce]).history
    np.testing.assert_allclose(seen[1:], expected, rtol=1e-12)
    np.testing.assert_allclose(history["learning_rate"][1:], [first for first, _ in expected])


@pytest.mark.parametrize(
    "rate",
    [keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5), lambda: 0.1],
    ids=["schedule", "function"],
)
@pytest.mark.parametrize(
    "callback",
    [ReduceLROnPlateau("loss"), keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)],
    ids=["plateau", "scheduler"],
)
def test_a_rate_that_cannot_be_set_is_refused_before_the_first_batch(callback, rate):
    model = two_layers()
    model.compile(keras.optimizers.SGD(rate), "mse")
    before = model.get_weights()
    name = type(callback).__name__
    with pytest.raises(TypeError, match=f"{name} sets the learning rate.*not settable to"):
        model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0, callbacks=[callback])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_model_without_an_optimizer_is_refused_before_the_first_batch():
    class OwnStep(keras.Sequential):
        def train_step(self, data):
            return {"loss": torch.tensor(1.0)}

    model = OwnStep([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer=None)
    with pytest.raises(ValueError, match="ReduceLROnPlateau needs an optimizer.*Received: None"):
        model.fit(np.ones((4, 3)), verbose=0, callbacks=[ReduceLROnPlateau("loss")])
