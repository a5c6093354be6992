"""Metrics of margins: hinge, squared hinge, categorical hinge."""

from torchkeras.losses.hinge import categorical_hinge, hinge, squared_hinge
from torchkeras.metrics.metric import Metric
from torchkeras.metrics.reduction_metrics import MeanMetricWrapper


class Hinge(MeanMetricWrapper):
    """Mean of `max(1 - t * y, 0)` for labels `t` of -1 and 1 (or 0 and 1).

    Args:
        name, dtype: as for `Metric`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., n)`.

    Example:

    >>> float(keras.metrics.Hinge()([[1.0], [-1.0]], [[0.5], [0.5]]))
    1.0
    """

    _direction = "down"

    def __init__(self, name="hinge", dtype=None):
        super().__init__(hinge, name, dtype)

    get_config = Metric.get_config


class SquaredHinge(MeanMetricWrapper):
    """Mean of `max(1 - t * y, 0)**2` for labels `t` of -1 and 1 (or 0 and 1).

    Args and shapes as for `Hinge`.

    Example:

    >>> float(keras.metrics.SquaredHinge()([[1.0], [-1.0]], [[0.5], [0.5]]))
    1.25
    """

    _direction = "down"

    def __init__(self, name="squared_hinge", dtype=None):
        super().__init__(squared_hinge, name, dtype)

    get_config = Metric.get_config


class CategoricalHinge(MeanMetricWrapper):
    """Mean of `max(wrong - right + 1, 0)` for one-hot targets.

    Args:
        name, dtype: as for `Metric`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., classes)`.

    Example:

    >>> float(keras.metrics.CategoricalHinge()([[0.0, 1.0]], [[0.75, 0.5]]))
    1.25
    """

    _direction = "down"

    def __init__(self, name="categorical_hinge", dtype=None):
        super().__init__(categorical_hinge, name, dtype)

    get_config = Metric.get_config
