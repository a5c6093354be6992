"""Hinge losses: zero once the right side wins by a margin of 1."""

import torch

from torchkeras.losses.fused_mean import mean_of, with_fused_mean
from torchkeras.losses.loss import Loss, match_shapes
from torchkeras.losses.loss_function_wrapper import LossFunctionWrapper


def _signed(y_true):
    """Labels 0 and 1 as -1 and 1; any others as they are (decided over the whole batch)."""
    is_binary = ((y_true == 0) | (y_true == 1)).all()
    return torch.where(is_binary, 2.0 * y_true - 1.0, y_true)


def _hinge(y_true, y_pred):
    return (1.0 - _signed(y_true) * y_pred).clamp(min=0.0)


def _squared_hinge(y_true, y_pred):
    return _hinge(y_true, y_pred).square()


@with_fused_mean(mean_of(_hinge))
def hinge(y_true, y_pred):
    """Mean over the last axis of `max(1 - t * y, 0)`.

    Args:
        y_true: labels `t`, -1 or 1; a batch of zeros and ones is read as -1 and 1. Shape
            `(batch, ..., n)`, any dtype.
        y_pred: scores `y` of the same shape, floating point.

    Returns:
        Tensor `(batch, ...)` in the dtype of `y_pred`.

    Source: Cortes and Vapnik 1995, Machine Learning 20, section 3.

    Example:

    >>> keras.losses.hinge([[1.0], [-1.0]], [[0.5], [0.5]])
    tensor([0.5000, 1.5000])
    """
    return _hinge(*match_shapes(y_true, y_pred)).mean(-1)


@with_fused_mean(mean_of(_squared_hinge))
def squared_hinge(y_true, y_pred):
    """Mean over the last axis of `max(1 - t * y, 0)**2`.

    Args and result as for `hinge`.

    Example:

    >>> keras.losses.squared_hinge([[1.0], [-1.0]], [[0.5], [0.5]])
    tensor([0.2500, 2.2500])
    """
    return _squared_hinge(*match_shapes(y_true, y_pred)).mean(-1)


def categorical_hinge(y_true, y_pred):
    """`max(wrong - right + 1, 0)`: the margin of the right class over the best wrong one.

    With one-hot targets `t`, `right = sum(t * y)` and `wrong = max((1 - t) * y)` over the last
    axis; so `wrong` is at least 0 where the right class's own zero is the largest, as in Keras.

    Args:
        y_true: one-hot targets `(batch, ..., classes)`; any dtype.
        y_pred: scores of the same shape, floating point.

    Returns:
        Tensor `(batch, ...)` in the dtype of `y_pred`.

    Example:

    >>> keras.losses.categorical_hinge([[0.0, 1.0]], [[0.75, 0.5]])
    tensor([1.2500])
    """
    y_true, y_pred = match_shapes(y_true, y_pred)
    right = (y_true * y_pred).sum(-1)
    wrong = ((1.0 - y_true) * y_pred).amax(-1)
    return (wrong - right + 1.0).clamp(min=0.0)


class Hinge(LossFunctionWrapper):
    """Mean of `max(1 - t * y, 0)` for labels `t` of -1 and 1 (or 0 and 1).

    Args:
        reduction, name, dtype: as for `Loss`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., n)`.

    Example:

    >>> keras.losses.Hinge()(torch.tensor([[1.0], [-1.0]]), torch.full((2, 1), 0.5))
    tensor(1.)
    """

    def __init__(self, reduction="sum_over_batch_size", name="hinge", dtype=None):
        super().__init__(hinge, reduction, name, dtype)

    get_config = Loss.get_config


class SquaredHinge(LossFunctionWrapper):
    """Mean of `max(1 - t * y, 0)**2` for labels `t` of -1 and 1 (or 0 and 1).

    Args and shapes as for `Hinge`.

    Example:

    >>> keras.losses.SquaredHinge()(torch.tensor([[1.0], [-1.0]]), torch.full((2, 1), 0.5))
    tensor(1.2500)
    """

    def __init__(self, reduction="sum_over_batch_size", name="squared_hinge", dtype=None):
        super().__init__(squared_hinge, reduction, name, dtype)

    get_config = Loss.get_config


class CategoricalHinge(LossFunctionWrapper):
    """Mean of `max(wrong - right + 1, 0)` for one-hot targets.

    Args:
        reduction, name, dtype: as for `Loss`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., classes)`.

    Example:

    >>> keras.losses.CategoricalHinge()(torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 0.5]]))
    tensor(0.2500)
    """

    def __init__(self, reduction="sum_over_batch_size", name="categorical_hinge", dtype=None):
        super().__init__(categorical_hinge, reduction, name, dtype)

    get_config = Loss.get_config
