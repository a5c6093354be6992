"""Metrics between numbers: errors, cosine similarity, R2."""

import warnings

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.losses.loss import can_fuse, divide_no_nan, match_shapes, on_device_of
from torchkeras.losses.regression import (
    cosine_of,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from torchkeras.metrics.metric import Metric
from torchkeras.metrics.reduction_metrics import Mean, MeanMetricWrapper


class MeanSquaredError(MeanMetricWrapper):
    """Mean of squared differences over all samples.

    Args:
        name, dtype: as for `Metric`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., n)`.

    Example:

    >>> float(keras.metrics.MeanSquaredError()([[0.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]]))
    0.5
    """

    _direction = "down"

    def __init__(self, name="mean_squared_error", dtype=None):
        super().__init__(mean_squared_error, name, dtype)

    get_config = Metric.get_config


class MeanAbsoluteError(MeanMetricWrapper):
    """Mean of absolute differences over all samples.

    Args and shapes as for `MeanSquaredError`.

    Example:

    >>> float(keras.metrics.MeanAbsoluteError()([[0.0, 1.0]], [[3.0, 1.0]]))
    1.5
    """

    _direction = "down"

    def __init__(self, name="mean_absolute_error", dtype=None):
        super().__init__(mean_absolute_error, name, dtype)

    get_config = Metric.get_config


class MeanAbsolutePercentageError(MeanMetricWrapper):
    """Mean of absolute differences over all samples, in percent of the target.

    Args and shapes as for `MeanSquaredError`.

    Example:

    >>> float(keras.metrics.MeanAbsolutePercentageError()([[4.0, 2.0]], [[3.0, 2.0]]))
    12.5
    """

    _direction = "down"

    def __init__(self, name="mean_absolute_percentage_error", dtype=None):
        super().__init__(mean_absolute_percentage_error, name, dtype)

    get_config = Metric.get_config


class MeanSquaredLogarithmicError(MeanMetricWrapper):
    """Mean of squared differences of `log(1 + y)` over all samples.

    Args and shapes as for `MeanSquaredError`.

    Example:

    >>> keras.metrics.MeanSquaredLogarithmicError()([[0.0]], [[np.e - 1.0]])
    tensor(1.0000)
    """

    _direction = "down"

    def __init__(self, name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(mean_squared_logarithmic_error, name, dtype)

    get_config = Metric.get_config


class LogCoshError(MeanMetricWrapper):
    """Mean of `log(cosh(y_pred - y_true))` over all samples.

    Args and shapes as for `MeanSquaredError`.

    Example:

    >>> keras.metrics.LogCoshError()([[0.0]], [[1.0]])
    tensor(0.4338)
    """

    _direction = "down"

    def __init__(self, name="logcosh", dtype=None):
        super().__init__(log_cosh, name, dtype)

    get_config = Metric.get_config


def cosine_similarity(y_true, y_pred, axis=-1):
    """Cosine of the angle between `y_true` and `y_pred` along `axis`: 1 aligned, -1 opposed.

    (The loss of this name is minus that.)

    Example:

    >>> from torchkeras.metrics.regression_metrics import cosine_similarity
    >>> cosine_similarity([[0.0, 1.0]], [[1.0, 1.0]])
    tensor([0.7071])
    """
    return cosine_of(*match_shapes(y_true, y_pred), axis)


class CosineSimilarity(MeanMetricWrapper):
    """Mean cosine of the angle between targets and predictions: 1 aligned, -1 opposed.

    Args:
        name, dtype: as for `Metric`.
        axis: int, the axis of the vectors.

    Example:

    >>> keras.metrics.CosineSimilarity()([[0.0, 1.0], [1.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]])
    tensor(0.8536)
    """

    _direction = "up"

    def __init__(self, name="cosine_similarity", dtype=None, axis=-1):
        super().__init__(cosine_similarity, name, dtype, axis=axis)
        self.axis = axis

    def get_config(self):
        """Arguments that make the metric again; `axis` only if it is not -1, as Keras has none."""
        config = Metric.get_config(self)
        return config if self.axis == -1 else {**config, "axis": self.axis}


class RootMeanSquaredError(Mean):
    """Square root of the mean squared difference over all samples.

    Args:
        name, dtype: as for `Metric`.

    Input shapes: `y_true` and `y_pred` `(batch, ...)`.

    Example:

    >>> float(keras.metrics.RootMeanSquaredError()([[0.0], [0.0]], [[3.0], [3.0]]))
    3.0
    """

    _direction = "down"

    def __init__(self, name="root_mean_squared_error", dtype=None):
        super().__init__(name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; weights have a leading part of the shape of `y_pred`, or broadcast."""
        with torch.no_grad():
            dtype = self._torch_dtype
            if (
                sample_weight is None
                and can_fuse(y_true, y_pred)
                and y_pred.dtype is dtype
                and y_pred.dim() > 1
            ):
                mean = mean_squared_error._fused_mean(y_true, y_pred)
                if mean is not None:
                    self._add_both(mean, y_pred.shape[0], y_pred.shape[0])
                    return
            mask = getattr(y_pred, "_keras_mask", None)
            y_true = convert_to_tensor(y_true, dtype)
            y_true, y_pred = match_shapes(y_true, convert_to_tensor(y_pred, dtype))
            values = (y_pred - y_true).square()
            if mask is not None:
                values._keras_mask = mask
            super().update_state(values, sample_weight)

    def result(self):
        """The root, a scalar; 0 before the first update."""
        return super().result().sqrt()


class R2Score(Metric):
    """Coefficient of determination: the share of the targets' variance that is predicted.

    1 is perfect, 0 what predicting the mean would reach, and it may fall below. An output whose
    targets do not vary counts 1 where it is predicted exactly, and 0 else.

    Args:
        class_aggregation: how outputs combine: `"uniform_average"`,
            `"variance_weighted_average"`, or None for one score an output.
        num_regressors: int, at least 0, the number of inputs for the adjusted score; 0 for the
            plain one. Other values make `result` wait for the device.
        name, dtype: as for `Metric`.

    Input shapes: `y_true` and `y_pred` `(batch, outputs)`; weights `(batch,)` or the same.

    Raises:
        ValueError: unknown `class_aggregation`, negative `num_regressors`; when called, inputs
            that are not two-dimensional.

    Example:

    >>> metric = keras.metrics.R2Score()
    >>> metric.update_state([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]])
    >>> metric.result()
    tensor(0.5714)
    """

    _direction = "up"

    def __init__(
        self,
        class_aggregation="uniform_average",
        num_regressors=0,
        name="r2_score",
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        known = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in known:
            raise ValueError(
                f"`class_aggregation` must be one of {', '.join(map(repr, known))}. Received: "
                f"class_aggregation={class_aggregation!r}."
            )
        if num_regressors < 0:
            raise ValueError(
                f"`num_regressors` must be at least 0. Received: num_regressors={num_regressors}."
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable((), name="num_samples")
        self._built = False

    def _build(self, y_true, y_pred):
        if y_pred.dim() != 2 or y_true.dim() != 2:
            raise ValueError(
                "R2Score expects targets and outputs of shape (batch, outputs). Received: y_true "
                f"of shape {tuple(y_true.shape)}, y_pred of shape {tuple(y_pred.shape)}."
            )
        shape = (y_pred.shape[1],)
        self.squared_sum = self.add_variable(shape, name="squared_sum")
        self.sum = self.add_variable(shape, name="sum")
        self.total_mse = self.add_variable(shape, name="residual")
        self.count = self.add_variable(shape, name="count")
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch."""
        with torch.no_grad():
            dtype = self._torch_dtype
            y_true, y_pred = match_shapes(
                convert_to_tensor(y_true, dtype), convert_to_tensor(y_pred, dtype)
            )
            if not self._built:
                self._build(y_true, y_pred)
            weights = convert_to_tensor(1.0 if sample_weight is None else sample_weight, dtype)
            if weights.dim() == 1:
                weights = weights.unsqueeze(1)
            weights = on_device_of(y_true, weights).expand(y_true.shape)
            weighted = y_true * weights
            self._add(self.sum, weighted.sum(0))
            self._add(self.squared_sum, (y_true * weighted).sum(0))
            self._add(self.total_mse, ((y_true - y_pred).square() * weights).sum(0))
            self._add(self.count, weights.sum(0))
            self._add(self.num_samples, len(y_true))

    def result(self):
        """The score: a scalar, or `(outputs,)` with `class_aggregation=None`; 0 at the start."""
        if not self._built:
            return torch.zeros_like(self.num_samples.value)
        total = self.squared_sum.value - divide_no_nan(self.sum.value.square(), self.count.value)
        error = self.total_mse.value
        varies = total != 0
        exact = (error == 0) & (self.count.value != 0)
        scores = 1.0 - error / torch.where(varies, total, 1.0)
        scores = torch.where(varies, scores, exact.to(scores.dtype))
        if self.class_aggregation == "uniform_average":
            scores = scores.mean()
        elif self.class_aggregation == "variance_weighted_average":
            weighted = divide_no_nan((total * scores).sum(), total.sum())
            scores = torch.where(varies.any(), weighted, scores.mean())
        return self._adjusted(scores) if self.num_regressors else scores

    def _adjusted(self, scores):
        freedom = float(self.num_samples) - self.num_regressors - 1.0
        if freedom <= 0:
            warnings.warn(
                "The adjusted R2 score needs more samples than regressors, and one more. Received: "
                f"{int(self.num_samples)} samples, num_regressors={self.num_regressors}. The "
                "plain score is given instead.",
                stacklevel=3,
            )
            return scores
        return 1.0 - (1.0 - scores) * (float(self.num_samples) - 1.0) / freedom

    def get_config(self):
        """Arguments that make the metric again."""
        return {
            **super().get_config(),
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }
