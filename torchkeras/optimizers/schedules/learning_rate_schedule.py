"""LearningRateSchedule: a learning rate that is a function of the step."""

import math

import torch

from torchkeras.core import config
from torchkeras.core.checks import check_real
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype


class LearningRateSchedule:
    """A learning rate computed from the number of steps taken.

    Given as `learning_rate` to an optimizer, it is called once a step with the optimizer's
    iteration counter (an int32 Variable of shape `()`, 0 at the first step).

    A schedule of your own defines `__call__`, and `get_config` if it is to be saved.

    Raises:
        NotImplementedError: the base class itself is called or asked for its config.

    Example:

    >>> class InverseSqrt(keras.optimizers.schedules.LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 / (step + 1) ** 0.5
    >>> InverseSqrt()(3)
    0.05
    """

    def __call__(self, step):
        raise NotImplementedError(
            f"A learning-rate schedule defines `__call__(self, step)`. Received: "
            f"'{type(self).__name__}', which does not. Add it, returning the learning rate."
        )

    def get_config(self):
        """The constructor arguments as a JSON-ready dict.

        Example:

        >>> keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5).get_config()["decay_rate"]
        0.5
        """
        raise NotImplementedError(
            "To be saved, a learning-rate schedule defines `get_config(self)`. Received: "
            f"'{type(self).__name__}', which does not. Add it, returning a dict of the "
            "constructor arguments."
        )

    @classmethod
    def from_config(cls, config):
        """A schedule with the arguments that `get_config` returned.

        Example:

        >>> config = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5).get_config()
        >>> keras.optimizers.schedules.ExponentialDecay.from_config(config)(10)
        tensor(0.0500)
        """
        return cls(**config)


class FormulaSchedule(LearningRateSchedule):
    """A schedule that is one formula, computed by Python's math or by torch.

    A subclass defines `_formula(step, m)`, where `step` is a Python float or a tensor, and `m`
    offers `floor`, `ceil`, `cos`, `log`, `minimum` and `where` for that kind of number.
    """

    def __call__(self, step):
        """The learning rate at `step`.

        Args:
            step: int, or tensor or Variable of any shape, at least 0.

        Returns:
            A tensor of the shape of `step` in `floatx()`, on its device (the CPU for an int).
        """
        dtype = to_torch_dtype(config.floatx())
        if isinstance(step, (int, float)):
            return torch.tensor(self._at(step), dtype=dtype, device="cpu")
        step = convert_to_tensor(step)
        # As exact as the host's arithmetic, where the device has the type.
        exact = torch.float32 if step.device.type == "mps" else torch.float64
        return torch.as_tensor(self._formula(step.to(exact), _TorchMath), device=step.device).to(
            dtype
        )

    def _at(self, step):
        """The learning rate at the int `step`, as a Python float and without torch."""
        return float(self._formula(float(step), _PythonMath))

    def _formula(self, step, m):
        raise NotImplementedError(f"'{type(self).__name__}' must define `_formula(step, m)`.")


class _PythonMath:
    cos = math.cos
    minimum = min

    @staticmethod
    def floor(x):
        return float(math.floor(x)) if math.isfinite(x) else x

    @staticmethod
    def ceil(x):
        return float(math.ceil(x)) if math.isfinite(x) else x

    @staticmethod
    def log(x):
        return math.log(x) if x > 0 else math.nan

    @staticmethod
    def where(condition, yes, no):
        return yes if condition else no


class _TorchMath:
    cos = staticmethod(torch.cos)
    floor = staticmethod(torch.floor)
    ceil = staticmethod(torch.ceil)

    @staticmethod
    def log(x):
        return torch.log(x) if isinstance(x, torch.Tensor) else math.log(x)

    @staticmethod
    def minimum(x, bound):
        return torch.clamp(x, max=bound)

    @staticmethod
    def where(condition, yes, no):
        return torch.where(condition, yes, no)


def as_number(x):
    """`x` itself, or the Python float in a Variable or tensor, which no config could hold."""
    return float(x) if hasattr(x, "_as_tensor") or isinstance(x, torch.Tensor) else x


def check_positive(name, value):
    """Raise unless `value`, the argument called `name`, is a number above 0."""
    check_real(name, value, finite=False, cure="Give a number of steps.")
    if value <= 0:
        raise ValueError(
            f"Argument `{name}` must be > 0. Received: {name}={value}. Give a number of steps."
        )


def check_finite(**arguments):
    """Raise unless all arguments are finite numbers, or None."""
    for name, value in arguments.items():
        if value is not None:
            check_real(name, value)
