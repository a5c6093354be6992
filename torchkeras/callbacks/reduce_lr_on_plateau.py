"""ReduceLROnPlateau: a lower learning rate when a value stops improving."""

import warnings

import numpy as np

from torchkeras.callbacks.learning_rates import check_settable
from torchkeras.callbacks.monitor_callback import MonitorCallback
from torchkeras.core.checks import check_real, check_verbose
from torchkeras.utils.progbar import write_line


class ReduceLROnPlateau(MonitorCallback):
    """Multiplies the learning rate by a factor once a value has not improved for some epochs.

    It looks at the end of each epoch, and adds `learning_rate`, the rate of that epoch, to the
    logs. It works with torch's optimizers too, where it lowers the rate of every parameter group,
    each down to `min_lr`; the logs have that of the first.

    Args:
        monitor: str, name of the value in the logs.
        factor: float below 1, new rate over old.
        patience: int, the epochs without improvement after which the rate is lowered.
        verbose: 0, or 1 for a line when it acts.
        mode: `"min"`, `"max"` or `"auto"`, by the loss or metric.
        min_delta: float, an improvement must be larger than this.
        cooldown: int, epochs after lowering the rate in which nothing is counted.
        min_lr: float, lowest rate.
        **kwargs: ignored, as in Keras.

    Raises:
        ValueError: `factor` is 1 or more; at the start of training, where the optimizer has no
            learning rate; at the end of an epoch, where `mode="auto"` cannot tell the direction.
        TypeError: at the start of training, where the optimizer's own rate is a schedule.

    Example:

    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(1.0), "mse")
    >>> reduce = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1)
    >>> x, y = np.zeros((4, 3)), np.zeros((4, 1))
    >>> model.fit(x, y, epochs=4, verbose=0, callbacks=[reduce]).history["learning_rate"]
    [1.0, 1.0, 0.5, 0.25]
    """

    _state_names = ("best", "wait", "cooldown_counter")

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        verbose=0,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
        **kwargs,
    ):
        super().__init__(monitor, mode, min_delta=min_delta)
        check_real("factor", factor, least=0, cure="Give a factor from 0 to below 1.")
        check_real("patience", patience, least=0, finite=False, cure="Give a number of epochs.")
        check_real("cooldown", cooldown, least=0, finite=False, cure="Give a number of epochs.")
        check_real("min_lr", min_lr, least=0, cure="Give a learning rate, 0 for no limit.")
        check_verbose(verbose)
        if factor >= 1.0:
            raise ValueError(
                f"`factor` of ReduceLROnPlateau must be below 1. Received: factor={factor}."
            )
        self.factor = factor
        self.min_lr = min_lr
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs=None):
        check_settable(self)
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor_op is None:
            self._set_monitor_op()
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"ReduceLROnPlateau monitors '{self.monitor}', which the logs of this epoch lack. "
                f"They have: {', '.join(logs)}.",
                stacklevel=2,
            )
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def _reduce(self, epoch):
        optimizer = self.model.optimizer
        groups = getattr(optimizer, "learning_rates", None)  # of torch's optimizers
        old = [float(optimizer.learning_rate)] if groups is None else groups
        # The optimizer keeps its rate in float32: a rate that was set to `min_lr` is at the bound.
        lowest = np.float32(self.min_lr)
        rates = [rate if rate <= lowest else max(rate * self.factor, self.min_lr) for rate in old]
        if rates == old:
            return False
        if groups is None:
            optimizer.learning_rate = rates[0]
        else:
            optimizer.learning_rates = rates
        new = float(optimizer.learning_rate) if groups is not None else rates[0]
        if self.verbose > 0:
            write_line(f"\nEpoch {epoch + 1}: the learning rate is reduced to {new}")
        return True

    def in_cooldown(self):
        """Whether the epochs after a reduction are still running."""
        return self.cooldown_counter > 0
