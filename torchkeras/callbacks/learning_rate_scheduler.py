"""LearningRateScheduler: the learning rate of each epoch by a function."""

import inspect

import numpy as np

from torchkeras.callbacks.callback import Callback
from torchkeras.callbacks.learning_rates import check_settable
from torchkeras.core.checks import check_function, check_verbose
from torchkeras.utils.progbar import write_line


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of each epoch, and adds it to the logs at its end.

    It works with every optimizer whose learning rate is a number, those of torch included: there
    the rate is that of the first parameter group, and the others are scaled along with it.

    Args:
        schedule: function of `(epoch, learning_rate)`, the epoch from 0 and the present rate, or
            of `(epoch)` alone. Returns the new rate, a float.
        verbose: 0, or 1 for a line at each epoch.

    Raises:
        ValueError: at the start of training, where the optimizer has no learning rate; at the
            start of an epoch, where the schedule returns something else than a float.
        TypeError: at the start of training, where the optimizer's own rate is a schedule.

    Example:

    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.5), "mse")
    >>> halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    >>> x, y = np.zeros((4, 3)), np.zeros((4, 1))
    >>> model.fit(x, y, epochs=2, verbose=0, callbacks=[halve]).history["learning_rate"]
    [0.25, 0.125]
    """

    def __init__(self, schedule, verbose=0):
        super().__init__()
        check_function("schedule", schedule, optional=False)
        check_verbose(verbose)
        self.schedule = schedule
        self.verbose = verbose

    def on_train_begin(self, logs=None):
        check_settable(self)

    def on_epoch_begin(self, epoch, logs=None):
        optimizer = check_settable(self)
        if _takes_rate(self.schedule):
            rate = self.schedule(epoch, float(optimizer.learning_rate))
        else:
            rate = self.schedule(epoch)
        if isinstance(rate, bool) or not isinstance(rate, (float, np.floating)):
            raise ValueError(
                f"The schedule of LearningRateScheduler must return a float. Received: {rate!r} "
                f"of type {type(rate).__name__} for epoch {epoch}. Convert it with float()."
            )
        optimizer.learning_rate = float(rate)
        if self.verbose > 0:
            write_line(f"\nEpoch {epoch + 1}: the learning rate is set to {float(rate)}")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


def _takes_rate(schedule):
    """Whether a function can be called with two arguments."""
    try:
        inspect.signature(schedule).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # a built-in function that does not tell
        return True
    return True
