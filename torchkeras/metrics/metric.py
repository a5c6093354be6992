"""Metric, the base class: named state that batches add to and a result made of it."""

import torch

from torchkeras.core import config, dtype_policy, naming
from torchkeras.core.dtypes import NAME_TO_TORCH
from torchkeras.core.scopes import SCOPE, StatelessScope
from torchkeras.core.variable import Variable

_AGGREGATIONS = ("sum", "mean", "max", "min", "none", "only_first_replica")


class _AddedUp(Variable):
    """State of a metric that has not said how processes combine it."""

    warns = None  # set by an `assign` in a step of one of several processes

    def assign(self, value):
        if SCOPE.replica is not None and self.warns is None:
            self.warns = True
        return super().assign(value)


def _is_ours(cls):
    return cls.__module__.startswith("torchkeras.")


def zeros(shape, dtype=None):
    """Initializer of a metric's state, on the default device."""
    return torch.zeros(shape, dtype=NAME_TO_TORCH[dtype], device=config.default_device())


class Metric:
    """Base class of metrics: `update_state` adds a batch, `result` reads, `reset_state` clears.

    A subclass makes its state with `add_weight` in the constructor and changes it with `assign`
    and `assign_add`, which keep no autograd graph and never wait for the device. Variables and
    metrics among its attributes, in lists and dicts too, are part of its `variables`. In a job of
    several processes each has the state of its rows; the states are added up, unless
    `aggregation` says otherwise: a maximum is one of `aggregation="max"`.

    Args:
        dtype: dtype of the state, name or DTypePolicy; None means `floatx()`.
        name: str; None for an automatic one.

    Example:

    >>> class Largest(keras.metrics.Metric):
    ...     def __init__(self, name="largest"):
    ...         super().__init__(name=name)
    ...         self.value = self.add_weight(name="value", aggregation="max")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.value.assign(torch.maximum(self.value.value, y_pred.max()))
    ...     def result(self):
    ...         return self.value.value
    >>> metric = Largest()
    >>> metric.update_state(None, torch.tensor([1.0, 3.0]))
    >>> metric.update_state(None, torch.tensor([2.0]))
    >>> float(metric.result())
    3.0
    """

    # Which way is better, for callbacks that watch: "up", "down", or None where it is not known.
    _direction = None

    def __init__(self, dtype=None, name=None):
        self._variables = []
        self.name = name or naming.auto_name(type(self).__name__)
        self._dtype_policy = dtype_policy.get(dtype or config.floatx())

    @property
    def dtype(self):
        """Name of the dtype of the state."""
        return self._dtype_policy.compute_dtype

    @property
    def _torch_dtype(self):
        return NAME_TO_TORCH[self._dtype_policy.compute_dtype]

    # State

    def add_variable(self, shape, initializer=None, dtype=None, aggregation=None, name=None):
        """Make a Variable of this metric's state.

        Args:
            shape: tuple of ints.
            initializer: initializer or its name; None for zeros.
            dtype: name of a dtype; None means `floatx()`.
            aggregation: how replicas of a distributed job combine it: `"sum"`, `"mean"`,
                `"max"`, `"min"`, `"none"` or `"only_first_replica"`. None means `"sum"`, with a
                warning in such a job where an update writes the state with `assign`: what is
                not added to is seldom to be added up.
            name: str without `/`; None for an automatic one.

        Raises:
            ValueError: an unknown `aggregation`.
            RuntimeError: the constructor has not called `super().__init__()`.
        """
        if aggregation is not None and aggregation not in _AGGREGATIONS:
            raise ValueError(
                f"`aggregation` must be one of {', '.join(map(repr, _AGGREGATIONS))}, or None. "
                f"Received: aggregation={aggregation!r}."
            )
        if "_variables" not in self.__dict__:
            raise RuntimeError(
                f"The constructor of a metric must first call super().__init__(). Received: "
                f"{type(self).__name__}.add_variable before that. Add the call."
            )
        if initializer is None or initializer == "zeros":
            initializer = zeros
        else:
            from torchkeras import initializers

            initializer = initializers.get(initializer)
        with naming.name_scope(self.name.replace("/", ">"), caller=self):
            kind = Variable if aggregation or _is_ours(type(self)) else _AddedUp
            variable = kind(
                initializer,
                shape=tuple(shape),
                dtype=dtype,
                trainable=False,
                autocast=False,
                aggregation=aggregation or "sum",
                synchronization="on_read",
                name=name or naming.auto_name("Variable"),
            )
        self._variables.append(variable)
        return variable

    def add_weight(self, shape=(), initializer=None, dtype=None, name=None, aggregation=None):
        """Make a Variable of this metric's state; arguments as for `add_variable`."""
        return self.add_variable(shape, initializer, dtype, aggregation, name)

    @property
    def variables(self):
        """All Variables of the state: its own, then those of the metrics among its attributes."""
        found = _Found()
        found.search(self)
        return found.variables

    def to(self, device):
        """Move the state to a device. Returns the metric.

        Args:
            device: a torch device or its name.
        """
        # State made under inference_mode could never be updated outside it.
        with torch.inference_mode(False):
            for variable in self.variables:
                store, key = variable._store, variable._key
                store[key] = store[key].to(device, non_blocking=True)
        return self

    # Use

    def update_state(self, *args, **kwargs):
        """Add a batch to the state; each subclass's own."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `update_state` to be used. Received: a class "
            "without it."
        )

    def result(self):
        """The metric of all batches since the last reset: a scalar tensor, as a rule."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `result` to be used. Received: a class without it."
        )

    def reset_state(self):
        """Set the whole state to zero."""
        for variable in self.variables:
            if SCOPE.stateless is None and not SCOPE.meta:
                variable._store[variable._key].zero_()
            else:
                variable.assign(torch.zeros_like(variable.value))

    def __call__(self, *args, **kwargs):
        """Add a batch and return the result so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def stateless_update_state(self, metric_variables, *args, **kwargs):
        """`update_state` as a function: takes a state, returns the next one.

        Args:
            metric_variables: list of tensors, one for each of `variables`.
            *args, **kwargs: as for `update_state`.

        Returns:
            List of tensors, of more than were given where the metric makes variables for the
            shapes of its first batch. What the metric holds itself does not change.
        """
        given = list(metric_variables)
        with torch.no_grad(), self._holding(self.variables, given) as scope:
            self.update_state(*args, **kwargs)
        variables = self.variables
        given += [variable.value for variable in variables[len(given) :]]
        values = [scope.get_current_value(variable) for variable in variables]
        return [before if now is None else now for before, now in zip(given, values, strict=True)]

    def stateless_result(self, metric_variables):
        """`result` as a function of a list of tensors, one for each of `variables`."""
        with self._holding(self.variables, metric_variables):
            return self.result()

    def stateless_reset_state(self):
        """The state after a reset, as a list of tensors; the metric itself does not change."""
        variables = self.variables
        with StatelessScope() as scope:
            self.reset_state()
        values = [scope.get_current_value(variable) for variable in variables]
        return [
            variable.value if value is None else value
            for variable, value in zip(variables, values, strict=True)
        ]

    def _holding(self, variables, values):
        if len(variables) != len(values):
            raise ValueError(
                f"`metric_variables` must hold one tensor for each of the {len(variables)} "
                f"variables of '{self.name}'. Received: {len(values)} of them."
            )
        return StatelessScope(zip(variables, values, strict=True))

    def _add(self, variable, value, alpha=1):
        """Add `alpha * value` to a variable of the state; `value` a number or a tensor.

        In place where nothing stands against it. State on the CPU moves to the accelerator that
        the value is on: the other way about would wait for it.
        """
        if SCOPE.stateless is not None or SCOPE.meta:
            variable.assign_add(value if alpha == 1 else value * alpha)
            return
        state = variable._store[variable._key]
        if isinstance(value, torch.Tensor):
            if value.requires_grad:
                value = value.detach()
            if value.device != state.device:
                if state.device.type == "cpu":
                    self.to(value.device)
                    state = variable._store[variable._key]
                else:
                    value = value.to(state.device, non_blocking=True)
            state.add_(value, alpha=alpha)
        else:
            state.add_(value * alpha)

    # Configs

    def get_config(self):
        """Arguments that make the metric again, its state not included."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config):
        """The metric that `get_config` described, at its beginning."""
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


class _Found:
    """Variables of a metric, each once, however they are nested in its attributes."""

    def __init__(self):
        self.variables = []
        self._seen = set()

    def search(self, metric):
        if id(metric) in self._seen:
            return
        self._seen.add(id(metric))
        metrics = []
        for value in metric.__dict__.values():
            self._visit(value, metrics)
        for inner in metrics:
            self.search(inner)

    def _visit(self, value, metrics):
        if isinstance(value, Variable):
            if id(value) not in self._seen:
                self._seen.add(id(value))
                self.variables.append(value)
        elif isinstance(value, Metric):
            metrics.append(value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._visit(item, metrics)
        elif isinstance(value, dict):
            for item in value.values():
                self._visit(item, metrics)
