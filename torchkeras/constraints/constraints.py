"""Projections that an optimizer applies to a weight after each update."""

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor


class Constraint:
    """Base class of constraints: called on a weight, one returns the value to put in its place.

    A subclass defines `__call__(w)` and, if its constructor has arguments, `get_config`.

    Example:

    >>> class Rounded(keras.constraints.Constraint):
    ...     def __call__(self, w):
    ...         return torch.round(w)
    >>> Rounded()(torch.tensor([0.2, 0.9]))
    tensor([0., 1.])
    """

    def __call__(self, w):
        """The projected weight; `w` itself here.

        Args:
            w: tensor or Variable.
        """
        return w

    def get_config(self):
        """The constructor's arguments, as a JSON-ready dict."""
        return {}

    @classmethod
    def from_config(cls, config):
        """The constraint that `get_config` described."""
        return cls(**config)


class MaxNorm(Constraint):
    """Scale down what has a norm above `max_value`.

    Args:
        max_value: float, at least 0.
        axis: int, or list of ints: the axes over which a norm is taken. For a `Dense` kernel 0
            gives one norm a unit; for a `Conv2D` kernel `[0, 1, 2]` one a filter.

    Output shape: that of the weight.

    Raises:
        ValueError: `max_value` is negative.

    Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from
    overfitting", section 5.1.

    Example:

    >>> keras.constraints.MaxNorm(1.0)(torch.tensor([[3.0, 0.3], [4.0, 0.4]]))
    tensor([[0.6000, 0.3000],
            [0.8000, 0.4000]])
    """

    def __init__(self, max_value=2, axis=0):
        if not max_value >= 0:
            raise ValueError(f"`max_value` must be at least 0. Received: max_value={max_value}.")
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w):
        """The weight, a tensor or Variable, with its norms bounded."""
        w = convert_to_tensor(w)
        norms = _norms(w, self.axis)
        return w / (norms + config.epsilon()) * norms.clamp(max=self.max_value)

    def get_config(self):
        """`{"max_value": ..., "axis": ...}`."""
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Set negative elements to 0.

    Output shape: that of the weight.

    Example:

    >>> keras.constraints.NonNeg()(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def __call__(self, w):
        """The weight, a tensor or Variable, without negative elements."""
        return convert_to_tensor(w).clamp(min=0)


class UnitNorm(Constraint):
    """Scale to norm 1; zeros stay zero.

    Args:
        axis: int, or list of ints: the axes over which a norm is taken, as in `MaxNorm`.

    Output shape: that of the weight.

    Example:

    >>> keras.constraints.UnitNorm()(torch.tensor([3.0, 4.0]))
    tensor([0.6000, 0.8000])
    """

    def __init__(self, axis=0):
        self.axis = axis

    def __call__(self, w):
        """The weight, a tensor or Variable, with norms of 1."""
        w = convert_to_tensor(w)
        return w / (_norms(w, self.axis) + config.epsilon())

    def get_config(self):
        """`{"axis": ...}`."""
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Move norms into `[min_value, max_value]`, all the way or a part of it at each step.

    A norm becomes `rate * clip(norm, min_value, max_value) + (1 - rate) * norm`.

    Args:
        min_value: float, at least 0.
        max_value: float, at least `min_value`.
        rate: float; 1 moves all the way, 0 not at all.
        axis: int, or list of ints: the axes over which a norm is taken, as in `MaxNorm`.

    Output shape: that of the weight. A norm of 0 stays 0.

    Raises:
        ValueError: `min_value` is negative, or above `max_value`.

    Example:

    >>> keras.constraints.MinMaxNorm(1.0, 2.0)(torch.tensor([[0.3, 3.0], [0.4, 4.0]]))
    tensor([[0.6000, 1.2000],
            [0.8000, 1.6000]])
    """

    def __init__(self, min_value=0.0, max_value=1.0, rate=1.0, axis=0):
        if not 0 <= min_value <= max_value:
            raise ValueError(
                "`min_value` must be at least 0 and at most `max_value`. Received: "
                f"min_value={min_value}, max_value={max_value}."
            )
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w):
        """The weight, a tensor or Variable, with its norms moved."""
        w = convert_to_tensor(w)
        norms = _norms(w, self.axis)
        desired = norms.clamp(self.min_value, self.max_value)
        if self.rate != 1:
            desired = self.rate * desired + (1 - self.rate) * norms
        # In this order, since desired / epsilon overflows in float16 where a norm is 0.
        return w / (norms + config.epsilon()) * desired

    def get_config(self):
        """The constructor's arguments."""
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


def _norms(w, axis):
    axis = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    return torch.sqrt(torch.sum(torch.square(w), dim=axis, keepdim=True))
