"""MonitorCallback: the base of callbacks that watch one value of the logs for improvement."""

import operator
import warnings

from torchkeras.callbacks.callback import Callback
from torchkeras.core.checks import check_real, check_text


class MonitorCallback(Callback):
    """Base class of callbacks that compare a value of the logs with the best one so far.

    With `mode="auto"` a loss is better when lower, and for a metric its class decides.

    Args:
        monitor: str, name of the value in the logs of an epoch.
        mode: `"min"`, `"max"` or `"auto"`; anything else warns and means `"auto"` (as in Keras).
        baseline: float or None, the first value of `best`.
        min_delta: float, an improvement must be larger than this. Its sign does not matter.

    Example:

    >>> from torchkeras.callbacks.monitor_callback import MonitorCallback
    >>> watch = MonitorCallback("accuracy", mode="max", min_delta=0.1)
    >>> watch._is_improvement(0.75, 0.5), watch._is_improvement(0.55, 0.5)
    (True, False)
    """

    def __init__(self, monitor="val_loss", mode="auto", baseline=None, min_delta=0):
        super().__init__()
        check_text("monitor", monitor)
        check_real("min_delta", min_delta, finite=False)
        if baseline is not None:
            check_real("baseline", baseline, finite=False, cure="Give a number, or None.")
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"`mode` of {type(self).__name__} must be 'auto', 'min' or 'max'. Received: "
                f"mode={mode!r}. Going on with 'auto'.",
                stacklevel=3,
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(min_delta)
        self.monitor_op = None  # operator.lt or operator.gt, once known
        if mode != "auto":
            self._set_monitor_op()

    def _set_monitor_op(self):
        """Find out which way is better; with "auto" that needs the metrics of a built model."""
        direction = {"min": "down", "max": "up"}.get(self.mode)
        if direction is None:
            direction = _direction_of(self.monitor, self.model)
        if direction is None:
            raise ValueError(
                f"{type(self).__name__} must know whether more or less of the monitored value is "
                f"better. Received: monitor={self.monitor!r} with mode='auto', which is no loss "
                "or metric with a known direction. Pass mode='max' or mode='min'."
            )
        self.monitor_op = operator.gt if direction == "up" else operator.lt
        if direction == "down":
            self.min_delta = -self.min_delta

    def _is_improvement(self, monitor_value, reference_value):
        if reference_value is None:
            return True
        if reference_value != reference_value:  # after nan, any number is better
            return monitor_value == monitor_value
        if self.monitor_op is None:
            self._set_monitor_op()
        return self.monitor_op(monitor_value - self.min_delta, reference_value)


def _direction_of(monitor, model):
    """Which way is better for a name in the logs of `model`: "up", "down", or None."""
    name = monitor.removeprefix("val_")
    if name == "loss":
        return "down"
    compile_loss = getattr(model, "_compile_loss", None)
    if any(metric.name == name for metric in getattr(compile_loss, "metrics", ())):
        return "down"  # the loss of one output
    outputs = getattr(model, "output_names", None) or ()
    names = {name, *(name.removeprefix(f"{output}_") for output in outputs)}
    names |= {candidate.removeprefix("weighted_") for candidate in names}
    for metric in getattr(model, "metrics", ()):
        for single in getattr(metric, "metrics", None) or [metric]:
            direction = getattr(single, "_direction", None)
            if direction is not None and single.name in names:
                return direction
    return None
