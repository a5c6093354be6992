"""Losses between numbers: squared, absolute and relative errors, Huber, log-cosh, cosine."""

import math

import torch

from torchkeras.core import config
from torchkeras.losses.fused_mean import mean_of, paired, with_fused_mean
from torchkeras.losses.loss import Loss, match_shapes
from torchkeras.losses.loss_function_wrapper import LossFunctionWrapper

# torch.nn.functional wraps these in checks and a broadcast that take 7 µs of its 9 (torch 2.13,
# CPU, (32, 10)); the shapes are compared here already.
_mse_loss = torch._C._nn.mse_loss
_l1_loss = torch._C._nn.l1_loss
_huber_loss = torch._C._nn.huber_loss
_NONE, _MEAN = 0, 1


def _fused_squared(y_true, y_pred):
    y_true = paired(y_true, y_pred)
    return None if y_true is None else _mse_loss(y_pred, y_true, _MEAN)


@with_fused_mean(_fused_squared)
def mean_squared_error(y_true, y_pred):
    """Mean over the last axis of `(y_true - y_pred)**2`.

    Args:
        y_true: targets `(batch, ..., n)`; any dtype.
        y_pred: predictions of the same shape, floating point.

    Returns:
        Tensor `(batch, ...)` in the dtype of `y_pred`.

    Raises:
        ValueError: shapes that do not fit.

    Example:

    >>> keras.losses.mean_squared_error([[0.0, 1.0]], [[2.0, 1.0]])
    tensor([2.])
    """
    y_true, y_pred = match_shapes(y_true, y_pred)
    return _mse_loss(y_pred, y_true, _NONE).mean(-1)


def _fused_absolute(y_true, y_pred):
    y_true = paired(y_true, y_pred)
    return None if y_true is None else _l1_loss(y_pred, y_true, _MEAN)


@with_fused_mean(_fused_absolute)
def mean_absolute_error(y_true, y_pred):
    """Mean over the last axis of `|y_true - y_pred|`.

    Args, result and errors as for `mean_squared_error`.

    Example:

    >>> keras.losses.mean_absolute_error([[0.0, 1.0]], [[2.0, 1.0]])
    tensor([1.])
    """
    y_true, y_pred = match_shapes(y_true, y_pred)
    return (y_true - y_pred).abs().mean(-1)


def _percentage(y_true, y_pred):
    return ((y_true - y_pred) / y_true.abs().clamp(min=config.epsilon())).abs() * 100.0


@with_fused_mean(mean_of(_percentage))
def mean_absolute_percentage_error(y_true, y_pred):
    """Mean over the last axis of `100 * |y_true - y_pred| / max(|y_true|, epsilon)`, in percent.

    Args, result and errors as for `mean_squared_error`.

    Example:

    >>> keras.losses.mean_absolute_percentage_error([[4.0, 2.0]], [[3.0, 2.0]])
    tensor([12.5000])
    """
    return _percentage(*match_shapes(y_true, y_pred)).mean(-1)


def _squared_logarithmic(y_true, y_pred):
    eps = config.epsilon()
    return (y_pred.clamp(min=eps).log1p() - y_true.clamp(min=eps).log1p()).square()


@with_fused_mean(mean_of(_squared_logarithmic))
def mean_squared_logarithmic_error(y_true, y_pred):
    """Mean over the last axis of `(log(1 + y_true) - log(1 + y_pred))**2`.

    Values below `epsilon()` count as `epsilon()`, so the loss is meant for what is not negative.
    Args, result and errors as for `mean_squared_error`.

    Example:

    >>> keras.losses.mean_squared_logarithmic_error([[0.0]], [[np.e - 1.0]])
    tensor([1.0000])
    """
    return _squared_logarithmic(*match_shapes(y_true, y_pred)).mean(-1)


def _fused_huber(y_true, y_pred, delta=1.0):
    y_true = paired(y_true, y_pred)
    return None if y_true is None else _huber_loss(y_pred, y_true, _MEAN, float(delta))


@with_fused_mean(_fused_huber)
def huber(y_true, y_pred, delta=1.0):
    """Mean over the last axis of an error that is squared when small and absolute when large.

    With `e = |y_pred - y_true|` it is `e**2 / 2` up to `delta`, then `delta * (e - delta / 2)`.

    Args:
        y_true, y_pred: as for `mean_squared_error`.
        delta: float above 0, in the unit of the targets.

    Source: Huber 1964, Annals of Mathematical Statistics 35(1), eq. 2.

    Example:

    >>> keras.losses.huber([[0.0], [0.0]], [[1.0], [3.0]])
    tensor([0.5000, 2.5000])
    """
    y_true, y_pred = match_shapes(y_true, y_pred)
    return _huber_loss(y_pred, y_true, _NONE, float(delta)).mean(-1)


def _log_cosh(y_true, y_pred):
    error = y_pred - y_true
    return error + torch.nn.functional.softplus(-2.0 * error) - math.log(2.0)


@with_fused_mean(mean_of(_log_cosh))
def log_cosh(y_true, y_pred):
    """Mean over the last axis of `log(cosh(y_pred - y_true))`.

    Computed as `e + softplus(-2 e) - log 2`, which no error makes overflow. It is about
    `e**2 / 2` near 0 and `|e| - log 2` far from it. Args as for `mean_squared_error`.

    Example:

    >>> keras.losses.log_cosh([[0.0]], [[1.0]])
    tensor([0.4338])
    """
    return _log_cosh(*match_shapes(y_true, y_pred)).mean(-1)


def cosine_of(y_true, y_pred, axis):
    """Cosine of the angle between two float tensors along `axis`; 0 where one of them is 0."""
    eps = max(config.epsilon() ** 2, torch.finfo(y_pred.dtype).tiny)
    # Bounding the squares, not the root's inverse, keeps the gradient of a zero vector finite.
    inverse_true = y_true.square().sum(axis).clamp(min=eps).rsqrt()
    inverse_pred = y_pred.square().sum(axis).clamp(min=eps).rsqrt()
    return (y_true * y_pred).sum(axis) * inverse_true * inverse_pred


def cosine_similarity(y_true, y_pred, axis=-1):
    """Minus the cosine of the angle between `y_true` and `y_pred`: -1 aligned, 1 opposed.

    Args:
        y_true, y_pred: as for `mean_squared_error`.
        axis: int, the axis of the vectors; it is summed away.

    Example:

    >>> keras.losses.cosine_similarity([[0.0, 1.0]], [[1.0, 1.0]])
    tensor([-0.7071])
    """
    return -cosine_of(*match_shapes(y_true, y_pred), axis)


class MeanSquaredError(LossFunctionWrapper):
    """Mean of squared differences, `mean((y_true - y_pred)**2)`.

    Args:
        reduction, name, dtype: as for `Loss`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., n)`; weights `(batch,)` or `(batch, ...)`.

    Example:

    >>> keras.losses.MeanSquaredError()(torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [2.0, 0.0]]))
    tensor(1.5000)
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_error", dtype=None):
        super().__init__(mean_squared_error, reduction, name, dtype)

    get_config = Loss.get_config


class MeanAbsoluteError(LossFunctionWrapper):
    """Mean of absolute differences, `mean(|y_true - y_pred|)`.

    Args and shapes as for `MeanSquaredError`.

    Example:

    >>> keras.losses.MeanAbsoluteError()(torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [2.0, 0.0]]))
    tensor(1.)
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_error", dtype=None):
        super().__init__(mean_absolute_error, reduction, name, dtype)

    get_config = Loss.get_config


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """Mean of absolute differences in percent of the target.

    Args and shapes as for `MeanSquaredError`.

    Example:

    >>> keras.losses.MeanAbsolutePercentageError()(torch.ones(2, 1), torch.full((2, 1), 1.5))
    tensor(50.)
    """

    def __init__(
        self,
        reduction="sum_over_batch_size",
        name="mean_absolute_percentage_error",
        dtype=None,
    ):
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)

    get_config = Loss.get_config


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """Mean of squared differences of `log(1 + y)`.

    Args and shapes as for `MeanSquaredError`.

    Example:

    >>> loss = keras.losses.MeanSquaredLogarithmicError()
    >>> loss(torch.zeros(2, 1), torch.full((2, 1), np.e - 1.0))
    tensor(1.0000)
    """

    def __init__(
        self,
        reduction="sum_over_batch_size",
        name="mean_squared_logarithmic_error",
        dtype=None,
    ):
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)

    get_config = Loss.get_config


class Huber(LossFunctionWrapper):
    """Squared error for small differences, absolute error for large ones.

    Args:
        delta: float above 0, where the one becomes the other.
        reduction, name, dtype: as for `Loss`.

    Source: Huber 1964, Annals of Mathematical Statistics 35(1), eq. 2.

    Example:

    >>> keras.losses.Huber()(torch.zeros(2, 1), torch.tensor([[1.0], [3.0]]))
    tensor(1.5000)
    """

    def __init__(self, delta=1.0, reduction="sum_over_batch_size", name="huber_loss", dtype=None):
        super().__init__(huber, reduction, name, dtype, delta=delta)
        self.delta = delta

    def get_config(self):
        """Arguments that make the loss again; `delta` only if it is not 1, as Keras has none."""
        config = Loss.get_config(self)
        return config if self.delta == 1.0 else {**config, "delta": self.delta}


class LogCosh(LossFunctionWrapper):
    """Mean of the logarithm of the hyperbolic cosine of the error: a smooth absolute error.

    Args and shapes as for `MeanSquaredError`.

    Example:

    >>> keras.losses.LogCosh()(torch.zeros(2, 1), torch.ones(2, 1))
    tensor(0.4338)
    """

    def __init__(self, reduction="sum_over_batch_size", name="log_cosh", dtype=None):
        super().__init__(log_cosh, reduction, name, dtype)

    get_config = Loss.get_config


class CosineSimilarity(LossFunctionWrapper):
    """Mean of minus the cosine of the angle between targets and predictions.

    Args:
        axis: int, the axis of the vectors.
        reduction, name, dtype: as for `Loss`.

    Example:

    >>> keras.losses.CosineSimilarity()(torch.eye(2), torch.ones(2, 2))
    tensor(-0.7071)
    """

    def __init__(
        self, axis=-1, reduction="sum_over_batch_size", name="cosine_similarity", dtype=None
    ):
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)
        self.axis = axis

    def get_config(self):
        """Arguments that make the loss again; `axis` only if it is not -1, as Keras has none."""
        config = Loss.get_config(self)
        return config if self.axis == -1 else {**config, "axis": self.axis}
