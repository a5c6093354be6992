import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.callbacks import CallbackList, LambdaCallback, TerminateOnNaN


def fit(bad_value, callback, bad_batch=2, **compile_arguments):
    """Train 5 batches of 4, one with a bad value; returns the batches done in the one epoch."""
    x = np.ones((20, 3), "float32")
    x[bad_batch * 4] = bad_value
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse", **compile_arguments)
    batches = []
    count = LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch))
    history = model.fit(
        x, x[:, :1], batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=[callback, count]
    )
    return batches, history.epoch


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_training_ends_at_the_batch(value, capsys):
    assert fit(value, TerminateOnNaN()) == ([0, 1, 2], [0])
    assert "Batch 2: the loss is " in capsys.readouterr().out


def test_finite_losses_go_on():
    assert fit(1.0, TerminateOnNaN()) == ([0, 1, 2, 3, 4] * 3, [0, 1, 2])


def test_groups_of_steps():
    assert fit(np.nan, TerminateOnNaN(), steps_per_execution=2) == ([1, 3], [0])


def test_raising():
    with pytest.raises(RuntimeError, match="loss=nan at batch 2"):
        fit(np.nan, TerminateOnNaN(raise_error=True))


def test_only_the_loss_is_read():
    class Unreadable(torch.Tensor):
        def item(self):
            raise AssertionError("read")

    logs = {"loss": torch.tensor(0.5), "other": torch.tensor(1.0).as_subclass(Unreadable)}
    hooks = CallbackList([TerminateOnNaN()])
    hooks.on_train_batch_end(0, lambda: logs)
    with pytest.raises(AssertionError, match="read"):
        hooks.on_train_batch_end(0, {"loss": logs["other"]})


def test_logs_without_a_loss():
    TerminateOnNaN().on_batch_end(0, {"accuracy": float("nan")})
    TerminateOnNaN().on_batch_end(0)
