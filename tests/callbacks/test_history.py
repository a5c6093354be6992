from torchkeras.callbacks import CallbackList, History


def test_epochs_and_values_are_recorded():
    history = History()
    hooks = CallbackList([history])
    hooks.on_train_begin()
    hooks.on_epoch_end(0, {"loss": 2})
    hooks.on_epoch_end(1, {"loss": 1, "val_loss": 3})
    assert history.epoch == [0, 1]
    assert history.history == {"loss": [2.0, 1.0], "val_loss": [3.0]}


def test_second_training_adds_values_and_restarts_epochs():
    history = History()
    for first in (0, 5):
        history.on_train_begin()
        history.on_epoch_end(first, {"loss": 1.0})
    assert history.epoch == [5]
    assert history.history == {"loss": [1.0, 1.0]}


def test_epoch_without_logs():
    history = History()
    history.on_train_begin()
    history.on_epoch_end(0)
    assert history.epoch == [0] and history.history == {}
