"""EarlyStopping: end the training when a value stops improving."""

import warnings

from torchkeras.callbacks.monitor_callback import MonitorCallback
from torchkeras.core.checks import check_real, check_switch, check_verbose
from torchkeras.core.sharding import is_sharded
from torchkeras.utils.progbar import write_line


class EarlyStopping(MonitorCallback):
    """Stops `fit` once a value of the logs has not improved for some epochs.

    It looks at the end of each epoch; an epoch without the value warns and does not count. The
    first epoch never ends the training (as in Keras).

    Args:
        monitor: str, name of the value in the logs.
        min_delta: float, an improvement must be larger than this.
        patience: int, the epochs without improvement after which the training ends.
        verbose: 0, or 1 for a line when it acts.
        mode: `"min"`, `"max"` or `"auto"`, by the loss or metric.
        baseline: float or None. Unless the value beats it, an improvement does not end the wait.
        restore_best_weights: bool, give the model the weights of its best epoch at the end of
            `fit`, stopped early or not. They are copied at every improvement, to the memory of
            the CPU.
        start_from_epoch: int, epochs before this one (from 0) are not looked at.

    Attributes:
        best: float or None, the best value of the last `fit`.
        best_epoch: int, its epoch, from 0.
        stopped_epoch: int, the epoch that ended the training; 0 if none did.
        best_weights: list of CPU tensors, or None.
        wait: int, epochs since the last improvement.

    Raises:
        ValueError: at the end of an epoch, where `mode="auto"` cannot tell the direction.

    Example:

    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> stop = keras.callbacks.EarlyStopping("loss", min_delta=1e6, patience=2)
    >>> x, y = np.ones((4, 3)), np.ones((4, 1))
    >>> len(model.fit(x, y, epochs=10, verbose=0, callbacks=[stop]).epoch)
    3
    """

    _state_names = ("wait", "stopped_epoch", "best", "best_epoch", "best_weights")

    def __init__(
        self,
        monitor="val_loss",
        min_delta=0,
        patience=0,
        verbose=0,
        mode="auto",
        baseline=None,
        restore_best_weights=False,
        start_from_epoch=0,
    ):
        super().__init__(monitor, mode, min_delta=min_delta)
        check_real("patience", patience, least=0, finite=False, cure="Give a number of epochs.")
        check_real("start_from_epoch", start_from_epoch, cure="Give a number of epochs.")
        if baseline is not None:
            check_real("baseline", baseline, finite=False, cure="Give a number, or None.")
        check_verbose(verbose)
        check_switch("restore_best_weights", restore_best_weights)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.wait = 0
        self.stopped_epoch = 0
        self.restore_best_weights = restore_best_weights
        self.best_weights = None
        self.best_epoch = 0
        self.start_from_epoch = start_from_epoch

    def on_train_begin(self, logs=None):
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_weights = None
        self.best_epoch = 0

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor_op is None:
            self._set_monitor_op()
        current = self.get_monitor_value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep_weights(epoch)  # even a value of nan has been the best so far
        self.wait += 1
        if self._is_improvement(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._keep_weights(epoch)
            if self.baseline is None or self._is_improvement(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    @property
    def _had_stopped(self):
        """Whether the run whose state this has was over, but for what comes after epochs."""
        return self.stopped_epoch > 0 and self.wait >= self.patience

    def _keep_weights(self, epoch):
        self.best_epoch = epoch
        self.best_weights = [_copy(weight.value) for weight in self.model.weights]

    def on_train_end(self, logs=None):
        if self.stopped_epoch > 0 and self.verbose > 0:
            write_line(f"Epoch {self.stopped_epoch + 1}: stopping early")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                write_line(f"Restoring the weights of the best epoch, {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)

    def get_monitor_value(self, logs):
        """The monitored value in `logs`; None, with a warning, where it is missing."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"EarlyStopping monitors '{self.monitor}', which the logs of this epoch lack. "
                f"They have: {', '.join(logs or {})}.",
                stacklevel=2,
            )
        return value


def _copy(tensor):
    """A copy in the memory of the CPU; of a tensor divided among processes, of the whole."""
    tensor = tensor.detach()
    return (tensor.full_tensor() if is_sharded(tensor) else tensor).to("cpu", copy=True)
