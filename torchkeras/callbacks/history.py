"""History: the metrics of every epoch."""

from torchkeras.callbacks.callback import Callback


class History(Callback):
    """Records the logs of each epoch; `fit` adds one and returns it.

    Attributes:
        epoch: list of int, the epochs run in the last `fit`.
        history: dict of metric name -> list of float, one per epoch that reported it.

    Example:

    >>> history = keras.callbacks.History()
    >>> history.on_train_begin()
    >>> history.on_epoch_end(0, {"loss": 0.5})
    >>> history.epoch, history.history
    ([0], {'loss': [0.5]})
    """

    _state_names = ("epoch", "history")

    def __init__(self):
        super().__init__()
        self.epoch = []
        self.history = {}

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
