"""Metrics of torchmetrics, such as `torchmetrics.R2Score()`, in the place of our metrics."""

import warnings

import torch
from torch import nn

from torchkeras.core import naming, tree
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.variable import Variable
from torchkeras.losses.loss import on_device_of
from torchkeras.metrics.metric import Metric


def is_torch_metric(x):
    """Whether `x` is a metric of torchmetrics, or a module that has its methods."""
    return isinstance(x, nn.Module) and all(
        callable(getattr(x, name, None)) for name in ("update", "compute", "reset")
    )


class TorchMetric(Metric):
    """A metric of torchmetrics, called with Keras's `(y_true, y_pred)`.

    `update_state` calls the metric's own `update(y_pred, y_true)`, `result` its `compute` and
    `reset_state` its `reset`, so its numbers are those of all samples, not means over batches. In
    a job of several processes the states are brought together as the metric declares, and by
    torchkeras alone: `compute` does not talk to other processes. Targets lose a last axis of size
    1 that outputs do not have, and become integers for a metric of classes.

    Args:
        metric: metric or `MetricCollection` of torchmetrics.
        name: str; None for one after the metric's class. Results of a collection go by the names
            in it.

    Raises:
        ValueError: when called, sample weights, which these metrics do not take.
    """

    def __init__(self, metric, name=None):
        super().__init__(name=name or naming.to_snake_case(type(metric).__name__))
        self.metric = metric
        higher = getattr(metric, "higher_is_better", None)
        self._direction = None if higher is None else "up" if higher else "down"
        self._states = None
        for part in self._parts():
            part.sync_on_compute = part.dist_sync_on_step = part._to_sync = False

    def __getstate__(self):
        return {**self.__dict__, "_states": None}  # handles on states of this object alone

    def _members(self):
        """`(name, metric)` of a collection, whose members then count each for itself; or None."""
        if isinstance(self.metric, nn.ModuleDict) and hasattr(self.metric, "items"):
            return list(self.metric.items(keep_base=False))
        return None

    def _parts(self):
        return [m for m in self.metric.modules() if hasattr(m, "_defaults")]

    @property
    def variables(self):
        """Handles on the states of the metric."""
        if self._states is None:
            self._states = [
                _State.of(part, key, self.name) for part in self._parts() for key in part._defaults
            ]
        return list(self._states)

    def to(self, device):
        """Move the states to a device. Returns this object."""
        self.metric.to(device)
        return self

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch."""
        if sample_weight is not None:
            raise ValueError(
                "Metrics of torchmetrics take no sample weights. Received: sample_weight for "
                f"{type(self.metric).__name__}. Move it from `weighted_metrics` to `metrics`."
            )
        y_pred = convert_to_tensor(y_pred).detach()
        y_true = on_device_of(y_pred, convert_to_tensor(y_true))
        if any(part.device != y_pred.device for part in self._parts() if hasattr(part, "device")):
            self.metric.to(y_pred.device)
        members = self._members()
        for metric in [self.metric] if members is None else [metric for _, metric in members]:
            metric.update(y_pred, _target(metric, y_true, y_pred))

    def result(self):
        """What the metric's `compute` gives: nan where it cannot compute without any sample."""
        for part in self._parts():
            part._computed = None  # the states may have been brought together since
        members = self._members()
        if members is None:
            return self._compute(self.metric)
        results = {}
        for name, metric in members:
            result = self._compute(metric)
            results.update(result if isinstance(result, dict) else {name: result})
        return results

    def _compute(self, metric):
        with warnings.catch_warnings():
            # A process may have no rows of its own, and yet the states of all.
            warnings.filterwarnings("ignore", "The ``compute`` method of metric")
            try:
                result = metric.compute()
            except (ValueError, RuntimeError, IndexError):
                if getattr(metric, "_update_count", 1):
                    raise
                return torch.tensor(float("nan"))
        return tree.map_structure(
            lambda x: x.detach().clone() if isinstance(x, torch.Tensor) else x, result
        )

    def reset_state(self):
        """Set the metric back to its start."""
        self.metric.reset()

    # As functions of the state

    def stateless_update_state(self, metric_variables, *args, **kwargs):
        """`update_state` as a function: takes a list of states, returns the next one."""
        return self._with(metric_variables, lambda: self.update_state(*args, **kwargs))[1]

    def stateless_result(self, metric_variables):
        """`result` as a function of a list of states."""
        return self._with(metric_variables, self.result)[0]

    def stateless_reset_state(self):
        """The states after a reset; the metric itself does not change."""
        return self._with([v.value for v in self.variables], self.reset_state)[1]

    def _with(self, values, function):
        """What `function` returns while the metric holds `values`, and the states after it."""
        variables = self.variables
        if len(values) != len(variables):
            raise ValueError(
                f"`metric_variables` must hold one state for each of the {len(variables)} of "
                f"'{self.name}'. Received: {len(values)} of them."
            )
        counts = [part._update_count for part in self._parts()]
        before = [variable._store[variable._key] for variable in variables]
        try:
            for variable, value in zip(variables, values, strict=True):
                variable._store[variable._key] = _copy(value)
            result = function()
            return result, [variable._store[variable._key] for variable in variables]
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable._store[variable._key] = value
            for part, count in zip(self._parts(), counts, strict=True):
                part._update_count, part._computed = count, None

    def get_config(self):
        """Not to be had: a config never names a class of another library.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "A metric of torchmetrics cannot be described in a config. Received: "
            f"{self.metric}. Use a metric of keras.metrics where it is to be saved, or compile "
            "the loaded model again."
        )

    def __repr__(self):
        return f"<TorchMetric {self.metric}>"


class _State(Variable):
    """A handle on a state of a metric of torchmetrics: a tensor, or a list of tensors."""

    @classmethod
    def of(cls, metric, key, name):
        """The handle on the state `key` of `metric`."""
        state = cls._of_slot(metric.__dict__, key, f"{name}/{key}")
        state.aggregation = "gathered"
        state._reduction = metric._reductions.get(key)
        return state

    def combine(self, values):
        """The state of all processes together, as the metric declares it.

        Args:
            values: list of the states of all processes.
        """
        own = self._store[self._key]
        if isinstance(own, list):
            return [item for value in values for item in value]
        stacked = torch.stack(values).to(own.device)
        return stacked if self._reduction is None else self._reduction(stacked)


def _copy(value):
    return list(value) if isinstance(value, list) else value.clone()


def _target(metric, y_true, y_pred):
    """The targets as the metrics of torchmetrics take them."""
    if y_true.dim() == y_pred.dim() and y_true.shape != y_pred.shape and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)  # class numbers beside a score for each class
    elif y_true.dim() + 1 == y_pred.dim() and y_pred.shape[-1] == 1:
        y_true = y_true.unsqueeze(-1)
    elif y_true.dim() == y_pred.dim() + 1 and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    if y_true.is_floating_point() and ".classification" in type(metric).__module__:
        return y_true.long()
    return y_true
