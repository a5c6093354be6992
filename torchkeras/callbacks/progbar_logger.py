"""ProgbarLogger: the progress that `fit`, `evaluate` and `predict` print."""

import time

from torchkeras.callbacks.callback import Callback, logs_to_floats
from torchkeras.utils.progbar import Progbar, can_draw_bar, write_line

# Seconds between two drawings. Each reads the metrics, which waits for the device.
_INTERVAL_S = 0.1


class ProgbarLogger(Callback):
    """Prints progress and metrics; `fit` adds one unless `verbose=0`.

    A step costs one look at the clock. Metrics are read from the device only for a drawing,
    at most every 0.1 s, and for the line at the end of an epoch. Validation inside `fit`
    is silent. In a terminal each epoch has the header "Epoch 1/3" and a bar; a plain line, in
    a file or with `verbose=2`, begins with the header instead.

    Example:

    >>> logger = keras.callbacks.ProgbarLogger()
    >>> logger.set_params({"verbose": 2, "epochs": 3, "steps": 1})
    >>> logger.on_epoch_begin(0)
    >>> logger.on_train_batch_end(0, {"loss": torch.tensor(0.5)})
    >>> logger.on_epoch_end(0, {"loss": 0.5})  # doctest: +ELLIPSIS
    Epoch 1/3 - 1/1 - 0s - .../step - loss: 0.5000
    """

    _supports_device_logs = True
    _only_shows = True

    def __init__(self):
        super().__init__()
        self.seen = 0
        self.progbar = None
        self.target = None
        self.verbose = 1
        self.epochs = 1
        self._called_in_fit = False

    def set_params(self, params):
        super().set_params(params)
        verbose = params.get("verbose", 1)
        if verbose == "auto":
            verbose = 1 if can_draw_bar() else 2
        self.verbose = verbose
        self.epochs = params.get("epochs") or 1
        self.target = params.get("steps")

    def on_train_begin(self, logs=None):
        self._called_in_fit = True

    def on_train_end(self, logs=None):
        self._called_in_fit = False

    def on_epoch_begin(self, epoch, logs=None):
        header = f"Epoch {epoch + 1}/{self.epochs}" if self.epochs > 1 else ""
        if header and self.verbose == 1 and can_draw_bar():
            write_line(header)
        self._open(prefix=f"{header} - " if header else "")

    def on_test_begin(self, logs=None):
        if not self._called_in_fit:
            self._open()

    def on_predict_begin(self, logs=None):
        self._open()

    def on_train_batch_end(self, batch, logs=None):
        self._step(batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        if not self._called_in_fit:
            self._step(batch, logs)

    def on_predict_batch_end(self, batch, logs=None):
        self._step(batch, None)

    def on_epoch_end(self, epoch, logs=None):
        self._finish(logs)

    def on_test_end(self, logs=None):
        if not self._called_in_fit:
            self._finish(logs)

    def on_predict_end(self, logs=None):
        self._finish(None)

    def _open(self, prefix=""):
        self.seen = 0
        self.progbar = Progbar(
            target=self.target,
            verbose=self.verbose,
            interval=_INTERVAL_S,
            stateless_metrics=(),
            prefix=prefix,
        )

    def _step(self, batch, logs):
        self.seen = batch + 1 if self.target is None else min(batch + 1, self.target)
        progbar = self.progbar
        if self.seen > 1 and time.perf_counter() < progbar.next_draw:
            return
        # The first step is always reported, so that the time per step can leave it out.
        drawn = progbar.next_draw <= time.perf_counter()
        values = logs_to_floats(logs) if drawn else {}
        progbar.update(self.seen, list(values.items()), finalize=False)

    def _finish(self, logs):
        if self.target is None:
            self.target = self.progbar.target = self.seen
        values = logs_to_floats(logs)
        done = min(self.seen, self.target) or self.target
        self.progbar.update(done, list(values.items()), finalize=True)
