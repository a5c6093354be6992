"""CosineDecayRestarts: cosine decay that starts over, in longer and longer periods."""

import math

from torchkeras.optimizers.schedules.learning_rate_schedule import (
    FormulaSchedule,
    as_number,
    check_finite,
    check_positive,
)


class CosineDecayRestarts(FormulaSchedule):
    """Learning rate that falls along half a cosine and then starts over.

    The i-th period (from 0) has `first_decay_steps * t_mul**i` steps; in it the cosine starts
    at `m_mul**i`. The rate is `initial * ((1 - alpha) * cosine + alpha)`.

    The first step of a period is found exactly. Keras computes it in float32 and may miss it
    by a step, where the logarithm of a power of `t_mul` is rounded down.

    Args:
        initial_learning_rate: float, the learning rate at step 0.
        first_decay_steps: int above 0, the steps of the first period.
        t_mul: float above 0, how much longer each period is than the one before.
        m_mul: float, factor on the cosine from one period to the next.
        alpha: float, the lowest rate as a fraction of `initial_learning_rate`.
        name: str, kept in the config.

    Raises:
        ValueError: `first_decay_steps` is not above 0.

    Source: Loshchilov and Hutter 2016, arXiv:1608.03983, section 3; `m_mul` is not in the
    paper.

    Example:

    >>> schedule = keras.optimizers.schedules.CosineDecayRestarts(0.1, first_decay_steps=10)
    >>> schedule(5), schedule(10)
    (tensor(0.0500), tensor(0.1000))
    """

    def __init__(
        self,
        initial_learning_rate,
        first_decay_steps,
        t_mul=2.0,
        m_mul=1.0,
        alpha=0.0,
        name="SGDRDecay",
    ):
        check_positive("first_decay_steps", first_decay_steps)
        check_finite(
            initial_learning_rate=initial_learning_rate, t_mul=t_mul, m_mul=m_mul, alpha=alpha
        )
        self.initial_learning_rate = as_number(initial_learning_rate)
        self.first_decay_steps = first_decay_steps
        self._t_mul = t_mul
        self._m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def _formula(self, step, m):
        fraction = step / self.first_decay_steps
        growth = self._t_mul
        if growth == 1.0:
            restarts = m.floor(fraction)
            fraction = fraction - restarts
        else:
            # Lengths sum to (1 - growth**i) / (1 - growth) before period i. At a restart the
            # quotient of logarithms is whole but for rounding, which 1e-9 makes up for.
            periods = m.log(1 - fraction * (1 - growth)) / math.log(growth)
            restarts = m.floor(periods + 1e-9)
            length = growth**restarts
            fraction = (fraction - (1 - length) / (1 - growth)) / length
        cosine = 0.5 * self._m_mul**restarts * (1 + m.cos(math.pi * fraction))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict.

        Example:

        >>> keras.optimizers.schedules.CosineDecayRestarts(0.1, 10).get_config()["t_mul"]
        2.0
        """
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self._t_mul,
            "m_mul": self._m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }
