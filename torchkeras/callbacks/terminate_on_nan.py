"""TerminateOnNaN: end the training when the loss is not a finite number."""

import math

from torchkeras.callbacks.callback import Callback, logs_to_floats
from torchkeras.core.checks import check_switch
from torchkeras.utils.progbar import write_line


class TerminateOnNaN(Callback):
    """Stops `fit` as soon as the loss is nan or infinite.

    It reads the loss, the mean of the epoch so far, after every step (with
    `compile(steps_per_execution=n)`, after every n steps). Each reading waits for the device. Of
    several processes of a job each looks at the loss of its rows, and one stops them all.

    Args:
        raise_error: bool, raise an error instead of ending `fit` as if it was done.

    Raises:
        RuntimeError: in `fit`, with `raise_error=True`.

    Example:

    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.full((64, 3), np.nan), np.zeros((64, 1))
    >>> stop = keras.callbacks.TerminateOnNaN()
    >>> _ = model.fit(x, y, epochs=9, verbose=0, callbacks=[stop])
    Batch 0: the loss is nan, training ends
    """

    _supports_device_logs = True

    def __init__(self, raise_error: bool = False):
        super().__init__()
        check_switch("raise_error", raise_error)
        self.raise_error = raise_error
        self._has_told = False

    def on_epoch_begin(self, epoch, logs=None):
        self._has_told = False

    def on_batch_end(self, batch, logs=None):
        logs = logs() if callable(logs) else logs
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        loss = logs_to_floats({"loss": loss})["loss"]
        if math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"The loss must be a finite number. Received: loss={loss} at batch {batch}. Lower "
                "the learning rate, clip the gradients, or look for such values in the data."
            )
        write_line(f"Batch {batch}: the loss is {loss}, training ends")
        self._has_told = True
        self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        """Say what has ended the training, where another process has seen it."""
        loss = (logs or {}).get("loss", 0.0)
        if not self._has_told and not math.isfinite(loss):
            write_line(f"Epoch {epoch + 1}: the loss of a process is {loss}, training ends")
