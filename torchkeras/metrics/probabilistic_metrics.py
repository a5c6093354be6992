"""Metrics between probabilities: cross-entropies, Kullback-Leibler divergence, Poisson."""

from torchkeras.losses.binary import binary_crossentropy
from torchkeras.losses.categorical import categorical_crossentropy
from torchkeras.losses.distribution import kl_divergence, poisson
from torchkeras.losses.sparse_categorical import sparse_categorical_crossentropy
from torchkeras.metrics.metric import Metric
from torchkeras.metrics.reduction_metrics import MeanMetricWrapper


class KLDivergence(MeanMetricWrapper):
    """Mean Kullback-Leibler divergence of predicted from target probabilities.

    Args:
        name, dtype: as for `Metric`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., classes)`.

    Example:

    >>> keras.metrics.KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]])
    tensor(0.1438)
    """

    _direction = "down"

    def __init__(self, name="kl_divergence", dtype=None):
        super().__init__(kl_divergence, name, dtype)

    get_config = Metric.get_config


class Poisson(MeanMetricWrapper):
    """Mean negative log-likelihood of counts under predicted means, up to a constant.

    Args:
        name, dtype: as for `Metric`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., n)`.

    Example:

    >>> keras.metrics.Poisson()([[2.0]], [[1.0]])
    tensor(1.0000)
    """

    _direction = "down"

    def __init__(self, name="poisson", dtype=None):
        super().__init__(poisson, name, dtype)

    get_config = Metric.get_config


class _Crossentropy(MeanMetricWrapper):
    _direction = "down"

    def __init__(self, fn, name, dtype, **arguments):
        super().__init__(fn, name, dtype, **arguments)
        for argument, value in arguments.items():
            setattr(self, argument, value)

    def get_config(self):
        """Arguments that make the metric again."""
        return {**Metric.get_config(self), **self._fn_kwargs}


class BinaryCrossentropy(_Crossentropy):
    """Mean cross-entropy of independent yes-or-no answers.

    Args:
        name, dtype: as for `Metric`.
        from_logits: bool, whether predictions are logits.
        label_smoothing: float in [0, 1], how far targets move towards 0.5.

    Input shapes: `y_true` and `y_pred` `(batch, ..., n)`.

    Example:

    >>> keras.metrics.BinaryCrossentropy()([[1.0], [0.0]], [[0.5], [0.5]])
    tensor(0.6931)
    """

    def __init__(
        self, name="binary_crossentropy", dtype=None, from_logits=False, label_smoothing=0
    ):
        super().__init__(
            binary_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
        )


class CategoricalCrossentropy(_Crossentropy):
    """Mean cross-entropy of one class among several, with one-hot targets.

    Args:
        name, dtype: as for `Metric`.
        from_logits: bool, whether predictions are logits.
        label_smoothing: float in [0, 1], the part of a target spread evenly over the classes.
        axis: int, the axis of the classes.

    Input shapes: `y_true` and `y_pred` `(batch, ..., classes)`.

    Example:

    >>> keras.metrics.CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]])
    tensor(0.6931)
    """

    def __init__(
        self,
        name="categorical_crossentropy",
        dtype=None,
        from_logits=False,
        label_smoothing=0,
        axis=-1,
    ):
        super().__init__(
            categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(_Crossentropy):
    """Mean cross-entropy of one class among several, with targets as class numbers.

    Args:
        name, dtype: as for `Metric`.
        from_logits: bool, whether predictions are logits.
        ignore_class: int, a label whose places are left out of the mean, or None.
        axis: int, the axis of the classes.

    Input shapes: `y_true` `(batch, ...)`, `y_pred` `(batch, ..., classes)`.

    Example:

    >>> keras.metrics.SparseCategoricalCrossentropy()([1], [[0.5, 0.5]])
    tensor(0.6931)
    """

    def __init__(
        self,
        name="sparse_categorical_crossentropy",
        dtype=None,
        from_logits=False,
        ignore_class=None,
        axis=-1,
    ):
        super().__init__(
            sparse_categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )
