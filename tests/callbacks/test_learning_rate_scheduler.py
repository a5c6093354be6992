import functools
import math

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.callbacks import LearningRateScheduler

X, Y = np.zeros((4, 3), "float32"), np.zeros((4, 1), "float32")


def rates(schedule, optimizer=None, epochs=3, **arguments):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.SGD(0.5), "mse")
    callbacks = [LearningRateScheduler(schedule, **arguments)]
    fit = model.fit(X, Y, epochs=epochs, verbose=0, callbacks=callbacks)
    return fit.history["learning_rate"]


@pytest.mark.parametrize(
    "schedule",
    [
        lambda epoch, rate: rate / 2,
        lambda epoch: 0.5 ** (epoch + 2),
        lambda epoch, rate=None: 0.5 ** (epoch + 2),
        lambda *args: args[1] / 2,
        lambda epoch: np.float32(0.5 ** (epoch + 2)),
        functools.partial(lambda base, epoch: base ** (epoch + 2), 0.5),
    ],
)
def test_schedule_of_epoch_or_of_epoch_and_rate(schedule):
    assert rates(schedule) == [0.25, 0.125, 0.0625]


def test_the_rate_is_used_by_the_steps():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(123.0), "mse")
    model.set_weights([np.ones((1, 1))])
    x = np.ones((2, 1))
    model.fit(x, 0 * x, verbose=0, callbacks=[LearningRateScheduler(lambda epoch: 0.125)])
    assert model.get_weights()[0].item() == 1 - 0.125 * 2  # gradient of w^2 at 1


@pytest.mark.parametrize("as_factory", [True, False])
def test_torch_optimizers(as_factory):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    make = functools.partial(torch.optim.SGD, lr=0.5)
    model.compile(make if as_factory else make(model.parameters()), "mse")
    halve = LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = model.fit(X, Y, epochs=2, verbose=0, callbacks=[halve]).history
    assert history["learning_rate"] == [0.25, 0.125]
    assert [group["lr"] for group in model.optimizer.optimizer.param_groups] == [0.125]


@pytest.mark.parametrize("result", [1, None, "0.1", True, [0.1]])
def test_result_that_is_no_float(result):
    with pytest.raises(ValueError, match="must return a float. Received: "):
        rates(lambda epoch: result)


def test_errors_inside_the_schedule_are_seen():
    with pytest.raises(TypeError, match="must be real number"):
        rates(lambda epoch, rate: math.exp("rate"))


def test_an_optimizer_that_has_a_schedule():
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        rates(lambda epoch: 0.1, keras.optimizers.SGD(decay))


def test_message(capsys):
    rates(lambda epoch: 0.25, epochs=1, verbose=1)
    assert "Epoch 1: the learning rate is set to 0.25" in capsys.readouterr().out


@pytest.mark.parametrize(
    "schedule, groups, expected",
    [
        (lambda epoch, rate: rate / 10, [0.1, 1e-5], [(0.01, 1e-6), (0.001, 1e-7)]),
        (lambda epoch: [0.05, 0.2][epoch], [0.1, 1e-5], [(0.05, 5e-6), (0.2, 2e-5)]),
        # A warm-up from 0, and a group that is not trained.
        (lambda epoch: [0.0, 0.1][epoch], [0.1, 1e-5], [(0.0, 0.0), (0.1, 1e-5)]),
        (lambda epoch, rate: rate / 2, [0.0, 0.1], [(0.0, 0.05), (0.0, 0.025)]),
        (lambda epoch: 0.5, [0.0, 0.0], [(0.5, 0.5), (0.5, 0.5)]),
    ],
)
@pytest.mark.parametrize("tensors", [False, True])
def test_groups_of_a_torch_optimizer_keep_their_proportions(schedule, groups, expected, tensors):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    kernel, bias = model.parameters()
    lrs = [torch.tensor(rate, dtype=torch.float64) if tensors else rate for rate in groups]
    inner = torch.optim.Adam(
        [{"params": [kernel], "lr": lrs[0]}, {"params": [bias], "lr": lrs[1]}],
        foreach=not tensors and None,
    )
    model.compile(inner, "mse")
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append([float(g["lr"]) for g in inner.param_groups])
    )
    callbacks = [LearningRateScheduler(schedule), watch]
    model.fit(X, Y, epochs=2, verbose=0, callbacks=callbacks)
    np.testing.assert_allclose(seen, expected, rtol=1e-12)
