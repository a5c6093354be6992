import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.callbacks import EarlyStopping, LambdaCallback


class Fake:
    """The part of a model that the callback uses, with one weight that counts epochs."""

    stop_training = False

    def __init__(self):
        self.weights = [keras.Variable(0.0)]

    def set_weights(self, weights):
        for variable, value in zip(self.weights, weights, strict=True):
            variable.assign(value)


def run(callback, values):
    """Feed a value an epoch, as `fit` does; returns (model, epochs run)."""
    model = Fake()
    callback.set_model(model)
    callback.on_train_begin()
    epochs = 0
    for epoch, value in enumerate(values):
        model.weights[0].assign(float(epoch))
        callback.on_epoch_end(epoch, {"val_loss": value, "acc": value})
        epochs += 1
        if model.stop_training:
            break
    callback.on_train_end()
    return model, epochs


@pytest.mark.parametrize("patience, epochs", [(0, 3), (1, 3), (2, 4), (3, 5), (9, 7)])
def test_patience(patience, epochs):
    values = [3.0, 2.0, 2.0, 2.5, 2.0, 2.0, 2.0]
    assert run(EarlyStopping(patience=patience), values)[1] == epochs


def test_improvement_restarts_the_wait():
    callback = EarlyStopping(patience=2)
    assert run(callback, [3, 4, 2, 3, 1, 5, 5, 5])[1] == 7
    assert (callback.best, callback.best_epoch, callback.stopped_epoch) == (1, 4, 6)


def test_first_epoch_never_stops():
    assert run(EarlyStopping(patience=0, baseline=0.0), [3.0, 2.0])[1] == 2


def test_max_mode_and_min_delta():
    callback = EarlyStopping("acc", min_delta=0.5, patience=1, mode="max")
    assert run(callback, [0.0, 1.0, 1.25, 2.0])[1] == 3


def test_baseline_must_be_beaten():
    # Getting better, but not yet below 1, does not end the wait.
    values = [5, 4, 3, 3, 3, 3, 3]
    assert run(EarlyStopping(patience=3), values)[1] == 6
    assert run(EarlyStopping(patience=3, baseline=1.0), values)[1] == 4
    assert run(EarlyStopping(patience=2, baseline=1.0), [5, 0.5, 0.25, 1, 1, 1])[1] == 5


def test_start_from_epoch():
    callback = EarlyStopping(patience=1, start_from_epoch=3)
    assert run(callback, [1, 2, 3, 4, 5, 6])[1] == 5
    assert callback.best == 4


@pytest.mark.parametrize(
    "values, best", [([3, 1, 2, 2, 2], 1), ([3, 2, 1], 2), ([float("nan"), 2, 1], 2)]
)
def test_best_weights_come_back_stopped_or_not(values, best):
    callback = EarlyStopping(patience=2, restore_best_weights=True)
    model, _ = run(callback, values)
    assert float(model.weights[0]) == best == callback.best_epoch


def test_without_restoring_the_last_weights_stay():
    model, epochs = run(EarlyStopping(patience=1), [1, 2, 3])
    assert float(model.weights[0]) == epochs - 1


def test_missing_value_warns_and_does_not_count():
    callback = EarlyStopping("val_loss")
    callback.set_model(Fake())
    callback.on_train_begin()
    with pytest.warns(UserWarning, match="monitors 'val_loss'.* They have: loss, mae"):
        callback.on_epoch_end(0, {"loss": 1.0, "mae": 2.0})
    assert callback.wait == 0


def test_state_is_cleared_between_trainings():
    callback = EarlyStopping(patience=1)
    assert run(callback, [1, 2, 3])[1] == run(callback, [4, 5, 6])[1] == 2
    assert callback.best == 4


def test_messages(capsys):
    run(EarlyStopping(patience=1, verbose=1, restore_best_weights=True), [1, 2, 3])
    told = capsys.readouterr().out
    assert "Epoch 2: stopping early" in told and "best epoch, 1" in told
    run(EarlyStopping(patience=1), [1, 2, 3])
    assert capsys.readouterr().out == ""


def test_in_fit_the_model_ends_with_the_weights_of_the_best_epoch():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)]
    )
    # The rate grows until the loss does too.
    model.compile(keras.optimizers.SGD(0.05), "mse")
    x = torch.randn(64, 3)
    y = x.sum(1, keepdim=True)
    seen = []
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.05 if epoch < 3 else rate * 6),
        EarlyStopping(patience=2, restore_best_weights=True),
        LambdaCallback(
            on_epoch_end=lambda epoch, logs: seen.append([w.copy() for w in model.get_weights()])
        ),
    ]
    history = model.fit(
        x, y, validation_split=0.25, epochs=20, verbose=0, callbacks=callbacks
    ).history
    best = int(np.argmin(history["val_loss"]))
    assert 0 < best < len(seen) - 1 < 19
    for now, then in zip(model.get_weights(), seen[best], strict=True):
        np.testing.assert_array_equal(now, then)
