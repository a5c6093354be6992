"""Losses between distributions and counts: Kullback-Leibler divergence and Poisson."""

from torchkeras.core import config
from torchkeras.losses.fused_mean import mean_of, with_fused_mean
from torchkeras.losses.loss import Loss, match_shapes
from torchkeras.losses.loss_function_wrapper import LossFunctionWrapper


def kl_divergence(y_true, y_pred):
    """`sum(t * log(t / p))` over the last axis, both clipped to [epsilon, 1].

    Args:
        y_true: target probabilities `(batch, ..., classes)`; any dtype.
        y_pred: predicted probabilities of the same shape, floating point.

    Returns:
        Tensor `(batch, ...)` in the dtype of `y_pred`.

    Source: Kullback and Leibler 1951, Annals of Mathematical Statistics 22(1).

    Example:

    >>> keras.losses.kl_divergence([[0.5, 0.5]], [[0.25, 0.75]])
    tensor([0.1438])
    """
    y_true, y_pred = match_shapes(y_true, y_pred)
    eps = config.epsilon()
    y_true, y_pred = y_true.clamp(eps, 1.0), y_pred.clamp(eps, 1.0)
    return (y_true * (y_true / y_pred).log()).sum(-1)


def _poisson(y_true, y_pred):
    return y_pred - y_true * (y_pred + config.epsilon()).log()


@with_fused_mean(mean_of(_poisson))
def poisson(y_true, y_pred):
    """Mean over the last axis of `p - t * log(p + epsilon)`.

    The negative log-likelihood of counts `t` under a Poisson distribution of mean `p`, without
    the part that does not depend on `p`.

    Args:
        y_true: counts `(batch, ..., n)`, at least 0; any dtype.
        y_pred: means of the same shape, above 0, floating point.

    Returns:
        Tensor `(batch, ...)` in the dtype of `y_pred`.

    Example:

    >>> keras.losses.poisson([[2.0]], [[1.0]])
    tensor([1.0000])
    """
    return _poisson(*match_shapes(y_true, y_pred)).mean(-1)


class KLDivergence(LossFunctionWrapper):
    """Kullback-Leibler divergence of predicted from target probabilities.

    Args:
        reduction, name, dtype: as for `Loss`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., classes)`.

    Example:

    >>> keras.losses.KLDivergence()(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]]))
    tensor(0.1438)
    """

    def __init__(self, reduction="sum_over_batch_size", name="kl_divergence", dtype=None):
        super().__init__(kl_divergence, reduction, name, dtype)

    get_config = Loss.get_config


class Poisson(LossFunctionWrapper):
    """Negative log-likelihood of counts under predicted means, up to a constant.

    Args:
        reduction, name, dtype: as for `Loss`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., n)`.

    Example:

    >>> keras.losses.Poisson()(torch.tensor([[2.0]]), torch.tensor([[1.0]]))
    tensor(1.0000)
    """

    def __init__(self, reduction="sum_over_batch_size", name="poisson", dtype=None):
        super().__init__(poisson, reduction, name, dtype)

    get_config = Loss.get_config
