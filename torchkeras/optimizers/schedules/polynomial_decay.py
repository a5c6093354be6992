"""PolynomialDecay: a learning rate that falls along a power of the remaining time."""

from torchkeras.optimizers.schedules.learning_rate_schedule import (
    FormulaSchedule,
    as_number,
    check_finite,
    check_positive,
)


class PolynomialDecay(FormulaSchedule):
    """Learning rate that falls from a start to an end value as a power of the time left.

    Computes `(initial - end) * (1 - step / decay_steps) ** power + end`, and `end` after
    `decay_steps`. With `cycle=True` the rate rises again there: `decay_steps` is multiplied by
    the smallest whole number that makes it at least `step`.

    Args:
        initial_learning_rate: float, the learning rate at step 0.
        decay_steps: int above 0, the steps of the decay.
        end_learning_rate: float, the learning rate at the end.
        power: float above 0; 1 falls along a straight line.
        cycle: bool, whether to start over beyond `decay_steps`.
        name: str, kept in the config.

    Raises:
        ValueError: `decay_steps` is not above 0.

    Example:

    >>> keras.optimizers.schedules.PolynomialDecay(0.5, 100, end_learning_rate=0.1)(50)
    tensor(0.3000)
    """

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        end_learning_rate=0.0001,
        power=1.0,
        cycle=False,
        name="PolynomialDecay",
    ):
        check_positive("decay_steps", decay_steps)
        check_finite(
            initial_learning_rate=initial_learning_rate,
            end_learning_rate=end_learning_rate,
            power=power,
        )
        self.initial_learning_rate = as_number(initial_learning_rate)
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def _formula(self, step, m):
        decay_steps = self.decay_steps
        if self.cycle:
            decay_steps = decay_steps * m.where(step == 0, 1.0, m.ceil(step / decay_steps))
        else:
            step = m.minimum(step, float(decay_steps))
        span = self.initial_learning_rate - self.end_learning_rate
        return span * (1 - step / decay_steps) ** self.power + self.end_learning_rate

    def get_config(self):
        """The constructor arguments as a JSON-ready dict.

        Example:

        >>> keras.optimizers.schedules.PolynomialDecay(0.5, 100).get_config()["power"]
        1.0
        """
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
            "name": self.name,
        }
