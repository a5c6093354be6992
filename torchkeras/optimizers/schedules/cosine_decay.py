"""CosineDecay: a learning rate that falls along half a cosine, after a linear warm-up."""

import math

from torchkeras.optimizers.schedules.learning_rate_schedule import (
    FormulaSchedule,
    as_number,
    check_finite,
    check_positive,
)


class CosineDecay(FormulaSchedule):
    """Learning rate that falls along half a cosine, optionally after a linear warm-up.

    Without warm-up the rate at step `t <= decay_steps` is
    `initial * ((1 - alpha) * 0.5 * (1 + cos(pi * t / decay_steps)) + alpha)`, and
    `initial * alpha` afterwards. With `warmup_target` it first rises in a straight line from
    `initial_learning_rate` to `warmup_target` within `warmup_steps`, then decays from there
    during the next `decay_steps`.

    Args:
        initial_learning_rate: float, the learning rate at step 0.
        decay_steps: int above 0, the steps of the decay (without those of the warm-up).
        alpha: float, the final rate as a fraction of the one the decay starts from.
        name: str, kept in the config.
        warmup_target: float, the learning rate after the warm-up; None for no warm-up.
        warmup_steps: int, the steps of the warm-up.

    Raises:
        ValueError: `decay_steps` is not above 0.

    Source: Loshchilov and Hutter 2016, arXiv:1608.03983, eq. 5 without restarts; the warm-up
    is that of Goyal et al. 2017, arXiv:1706.02677, section 2.2.

    Example:

    >>> schedule = keras.optimizers.schedules.CosineDecay(
    ...     0.0, decay_steps=100, warmup_target=0.4, warmup_steps=10
    ... )
    >>> schedule(5), schedule(10), schedule(60)
    (tensor(0.2000), tensor(0.4000), tensor(0.2000))
    """

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        alpha=0.0,
        name="CosineDecay",
        warmup_target=None,
        warmup_steps=0,
    ):
        check_positive("decay_steps", decay_steps)
        check_finite(
            initial_learning_rate=initial_learning_rate,
            alpha=alpha,
            warmup_target=warmup_target,
            warmup_steps=warmup_steps,
        )
        self.initial_learning_rate = as_number(initial_learning_rate)
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = as_number(warmup_target)
        self.warmup_steps = warmup_steps

    def _formula(self, step, m):
        start = self.initial_learning_rate
        if self.warmup_target is None:
            return self._decay(step, start, m)
        decayed = self._decay(step - self.warmup_steps, self.warmup_target, m)
        if not self.warmup_steps:
            return decayed
        warming = (self.warmup_target - start) * step / self.warmup_steps + start
        return m.where(step < self.warmup_steps, warming, decayed)

    def _decay(self, step, start, m):
        fraction = m.minimum(step, float(self.decay_steps)) / self.decay_steps
        cosine = 0.5 * (1 + m.cos(math.pi * fraction))
        return start * ((1 - self.alpha) * cosine + self.alpha)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict.

        Example:

        >>> keras.optimizers.schedules.CosineDecay(0.1, 100).get_config()["warmup_steps"]
        0
        """
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }
