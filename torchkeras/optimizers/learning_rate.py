"""LearningRate: a number, a schedule or a function that gives an optimizer's learning rate."""

import torch

from torchkeras.core import config
from torchkeras.core.checks import check_real
from torchkeras.core.variable import Variable
from torchkeras.optimizers.schedules.learning_rate_schedule import (
    FormulaSchedule,
    LearningRateSchedule,
)


class LearningRate:
    """The part of `Optimizer` that keeps the learning rate and says what it is now."""

    def _make_learning_rate(self, learning_rate):
        if isinstance(learning_rate, LearningRateSchedule):
            return learning_rate
        if isinstance(learning_rate, Variable):
            learning_rate = float(learning_rate)
        elif callable(learning_rate):
            return learning_rate
        if not isinstance(learning_rate, float):
            raise ValueError(
                "Argument `learning_rate` should be float, or an instance of "
                "LearningRateSchedule, or a callable without arguments that returns the "
                f"learning rate. Received: learning_rate={learning_rate!r}."
            )
        check_real(
            "learning_rate",
            learning_rate,
            least=0,
            cure="Give 0 or more; to maximize, train on the negative loss.",
        )
        return self._host_variable(learning_rate, config.floatx(), "learning_rate")

    @property
    def learning_rate(self):
        """The learning rate now: the Variable, or what the schedule or function gives."""
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        current = self._learning_rate
        is_rule = isinstance(learning_rate, LearningRateSchedule) or (
            callable(learning_rate) and not isinstance(learning_rate, (Variable, torch.Tensor))
        )
        if is_rule:
            self._learning_rate = learning_rate
            self._variables = [v for v in self._variables if v is not current]
        elif isinstance(current, Variable):
            current.assign(learning_rate)
        else:
            kind = (
                "a `LearningRateSchedule`"
                if isinstance(current, LearningRateSchedule)
                else "a function"
            )
            raise TypeError(
                f"The learning rate of optimizer '{self.name}' comes from {kind}, so it is not "
                f"settable to a number. Received: learning_rate={learning_rate!r}. Make the "
                "optimizer with a float learning_rate, or assign another schedule."
            )

    @property
    def learning_rate_rule(self):
        """The schedule or function that gives the learning rate; None where it is a number."""
        return None if isinstance(self._learning_rate, Variable) else self._learning_rate

    def _get_current_learning_rate(self):
        rate = self._learning_rate
        if isinstance(rate, Variable):
            return rate
        return rate(self._iterations) if isinstance(rate, LearningRateSchedule) else rate()

    def _host_learning_rate(self, calls):
        """The learning rate after `calls` calls of `apply`, as a Python float."""
        rate = self._learning_rate
        if isinstance(rate, Variable):
            return rate._store[rate._key].item()
        if type(rate).__call__ is FormulaSchedule.__call__:
            return rate._at(calls)
        return float(self._get_current_learning_rate())
