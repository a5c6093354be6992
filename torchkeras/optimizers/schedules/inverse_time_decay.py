"""InverseTimeDecay: a learning rate that falls as one over the time."""

from torchkeras.optimizers.schedules.learning_rate_schedule import (
    FormulaSchedule,
    as_number,
    check_finite,
    check_positive,
)


class InverseTimeDecay(FormulaSchedule):
    """Learning rate divided by a number that grows linearly with the step.

    Computes `initial_learning_rate / (1 + decay_rate * step / decay_steps)`.

    Args:
        initial_learning_rate: float, the learning rate at step 0.
        decay_steps: int or float above 0, the steps of one period.
        decay_rate: float, by how much the divisor grows per period.
        staircase: bool, whether `step / decay_steps` is rounded down.
        name: str, kept in the config.

    Raises:
        ValueError: `decay_steps` is not above 0.

    Example:

    >>> keras.optimizers.schedules.InverseTimeDecay(0.1, decay_steps=1, decay_rate=0.5)(2)
    tensor(0.0500)
    """

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        decay_rate,
        staircase=False,
        name="InverseTimeDecay",
    ):
        check_positive("decay_steps", decay_steps)
        check_finite(initial_learning_rate=initial_learning_rate, decay_rate=decay_rate)
        self.initial_learning_rate = as_number(initial_learning_rate)
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def _formula(self, step, m):
        periods = step / self.decay_steps
        if self.staircase:
            periods = m.floor(periods)
        return self.initial_learning_rate / (1 + self.decay_rate * periods)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict.

        Example:

        >>> keras.optimizers.schedules.InverseTimeDecay(0.1, 10, 0.5).get_config()["decay_rate"]
        0.5
        """
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }
