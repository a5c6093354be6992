"""Losses of overlap, for segmentation: Dice and Tversky."""

from torchkeras.core import config
from torchkeras.core.scopes import SCOPE
from torchkeras.losses.loss import Loss, match_shapes
from torchkeras.losses.loss_function_wrapper import LossFunctionWrapper


def _sum(x, axis):
    """The sum over `axis`; over the batch of all processes where that is among the axes."""
    total = x.sum(axis)
    if SCOPE.replica is None:
        return total
    axes = (axis,) if isinstance(axis, int) else axis
    over_batch = axes is None or 0 in axes or -x.dim() in axes
    return SCOPE.replica.total(total) if over_batch else total


def dice(y_true, y_pred, axis=None):
    """`1 - 2 * sum(t * p) / (sum(t) + sum(p) + epsilon)`.

    Args:
        y_true: targets `t` in [0, 1], any shape and dtype.
        y_pred: predictions `p` in [0, 1] of the same shape, floating point.
        axis: int or tuple of ints to sum over; None for all of them.

    Returns:
        Tensor of the axes that stay (a scalar with `axis=None`).

    Source: Milletari et al. 2016, arXiv:1606.04797, section 3; there the squares are summed in the
    divisor.

    Example:

    >>> keras.losses.dice([[1.0, 0.0]], [[0.5, 0.5]])
    tensor(0.5000)
    """
    y_true, y_pred = match_shapes(y_true, y_pred)
    both = _sum(y_true * y_pred, axis)
    return 1.0 - 2.0 * both / (_sum(y_true + y_pred, axis) + config.epsilon())


def tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    """`1 - both / (both + alpha * extra + beta * missed + epsilon)`.

    With `both = sum(t * p)`, `extra = sum((1 - t) * p)` and `missed = sum(t * (1 - p))`.
    `alpha = beta = 0.5` is the Dice loss.

    Args:
        y_true, y_pred, axis: as for `dice`.
        alpha: float, weight of what the prediction has too much (false positives).
        beta: float, weight of what it misses (false negatives).

    Source: Salehi et al. 2017, arXiv:1706.05721, eq. 3. In Keras 3.15.1 alpha and beta have
    changed places.

    Example:

    >>> keras.losses.tversky([[1.0, 0.0]], [[0.5, 0.5]])
    tensor(0.5000)
    """
    y_true, y_pred = match_shapes(y_true, y_pred)
    both = _sum(y_true * y_pred, axis)
    extra = _sum((1.0 - y_true) * y_pred, axis)
    missed = _sum(y_true * (1.0 - y_pred), axis)
    return 1.0 - both / (both + alpha * extra + beta * missed + config.epsilon())


class Dice(LossFunctionWrapper):
    """1 minus the overlap of target and prediction, relative to their sizes.

    Args:
        reduction, name, dtype: as for `Loss`.
        axis: int or tuple of ints to sum over; None for all, which leaves one value a batch.

    Example:

    >>> keras.losses.Dice()(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]]))
    tensor(0.5000)
    """

    def __init__(self, reduction="sum_over_batch_size", name="dice", axis=None, dtype=None):
        axis = tuple(axis) if isinstance(axis, list) else axis
        super().__init__(dice, reduction, name, dtype, axis=axis)
        self.axis = axis

    def get_config(self):
        """Arguments that make the loss again."""
        return {**Loss.get_config(self), **self._fn_kwargs}


class Tversky(LossFunctionWrapper):
    """1 minus the overlap of target and prediction, with weights for what either lacks.

    Args:
        alpha: float, weight of what the prediction has too much (false positives).
        beta: float, weight of what it misses (false negatives).
        reduction, name, dtype: as for `Loss`.
        axis: int or tuple of ints to sum over; None for all, which leaves one value a batch.

    Source: Salehi et al. 2017, arXiv:1706.05721, eq. 3. In Keras 3.15.1 alpha and beta have
    changed places.

    Example:

    >>> keras.losses.Tversky()(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]]))
    tensor(0.5000)
    """

    def __init__(
        self,
        alpha=0.5,
        beta=0.5,
        reduction="sum_over_batch_size",
        name="tversky",
        axis=None,
        dtype=None,
    ):
        axis = tuple(axis) if isinstance(axis, list) else axis
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)
        self.alpha = alpha
        self.beta = beta
        self.axis = axis

    def get_config(self):
        """Arguments that make the loss again."""
        return {**Loss.get_config(self), **self._fn_kwargs}
