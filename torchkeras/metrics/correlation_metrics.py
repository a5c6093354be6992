"""Correlations between targets and predictions along an axis."""

from torchkeras.core import config
from torchkeras.losses.loss import match_shapes
from torchkeras.metrics.reduction_metrics import MeanMetricWrapper


def pearson_correlation(y_true, y_pred, axis=-1):
    """Pearson's correlation coefficient along `axis`: 1 on a rising line, -1 on a falling one.

    Args:
        y_true: targets `(batch, ..., n)`, any dtype.
        y_pred: predictions of the same shape.
        axis: int, the axis of the values; it is averaged away.

    Returns:
        Tensor without `axis`; nan where one of the two does not vary.

    Example:

    >>> keras.metrics.pearson_correlation([[0.0, 1.0, 2.0]], [[1.0, 3.0, 5.0]])
    tensor([1.0000])
    """
    y_true, y_pred = match_shapes(y_true, y_pred)
    y_true = y_true - y_true.mean(axis, keepdim=True)
    y_pred = y_pred - y_pred.mean(axis, keepdim=True)
    y_true = y_true / y_true.std(axis, correction=0, keepdim=True)
    y_pred = y_pred / y_pred.std(axis, correction=0, keepdim=True)
    return (y_true * y_pred).mean(axis)


def concordance_correlation(y_true, y_pred, axis=-1):
    """Concordance correlation coefficient along `axis`: 1 only where both are equal.

    Args and result as for `pearson_correlation`; 0 where neither varies.

    Source: Lin 1989, Biometrics 45(1), eq. 2, with `epsilon()` added to the divisor.

    Example:

    >>> keras.metrics.concordance_correlation([[0.0, 1.0, 2.0]], [[1.0, 2.0, 3.0]])
    tensor([0.5714])
    """
    y_true, y_pred = match_shapes(y_true, y_pred)
    mean_true = y_true.mean(axis, keepdim=True)
    mean_pred = y_pred.mean(axis, keepdim=True)
    spread = y_true.var(axis, correction=0, keepdim=True) + y_pred.var(
        axis, correction=0, keepdim=True
    )
    spread = spread + (mean_true - mean_pred).square() + config.epsilon()
    # Against the mean of the predictions on both sides: that of `y_true` would only add zero.
    return (2.0 * (y_true - mean_pred) * (y_pred - mean_pred) / spread).mean(axis)


class _Correlation(MeanMetricWrapper):
    _direction = "up"

    def __init__(self, fn, name, dtype, axis):
        super().__init__(fn, name, dtype, axis=axis)
        self.axis = axis

    def get_config(self):
        """Arguments that make the metric again."""
        return {"name": self.name, "dtype": self.dtype, "axis": self.axis}


class PearsonCorrelation(_Correlation):
    """Mean of Pearson's correlation coefficient over all samples.

    Args:
        name, dtype: as for `Metric`.
        axis: int, the axis of the values.

    Input shapes: `y_true` and `y_pred` `(batch, ..., n)`.

    Example:

    >>> keras.metrics.PearsonCorrelation()([[0.0, 1.0, 2.0]], [[1.0, 3.0, 5.0]])
    tensor(1.0000)
    """

    def __init__(self, name="pearson_correlation", dtype=None, axis=-1):
        super().__init__(pearson_correlation, name, dtype, axis)


class ConcordanceCorrelation(_Correlation):
    """Mean of the concordance correlation coefficient over all samples.

    Args and shapes as for `PearsonCorrelation`.

    Example:

    >>> keras.metrics.ConcordanceCorrelation()([[0.0, 1.0, 2.0]], [[1.0, 2.0, 3.0]])
    tensor(0.5714)
    """

    def __init__(self, name="concordance_correlation", dtype=None, axis=-1):
        super().__init__(concordance_correlation, name, dtype, axis)
