"""Metrics counted above thresholds: true and false positives, precision, recall, and trade-offs."""

import torch

from torchkeras.core.claims import claim_memory
from torchkeras.metrics.confusion_counts import (
    BYTES_OF_FLOAT,
    KINDS,
    MINUS_INFINITY,
    are_even,
    as_thresholds,
    count,
    ratio,
)
from torchkeras.metrics.metric import Metric


class _ConfusionCount(Metric):
    """Base of the four counts; `_kind` is the one of `KINDS` that a subclass sums."""

    _kind = None

    def __init__(self, thresholds=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.thresholds = as_thresholds(thresholds)
        self._even = are_even(self.thresholds)
        self.accumulator = self.add_variable((len(self.thresholds),), name="accumulator")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch.

        Args:
            y_true: labels; what is not 0 is positive. Shape `(batch, ...)`.
            y_pred: scores of the same shape.
            sample_weight: weights whose shape is a leading part of that one; None for 1.
        """
        with torch.no_grad():
            dtype = self.accumulator.value.dtype
            counts = count(
                (self._kind,),
                y_true,
                y_pred,
                self.thresholds,
                dtype,
                sample_weight,
                even=self._even,
            )
            self._add(self.accumulator, counts[self._kind])

    def result(self):
        """The count: a scalar, or `(thresholds,)` where there are several."""
        value = self.accumulator.value
        return value[0].clone() if len(self.thresholds) == 1 else value.clone()

    def get_config(self):
        """Arguments that make the metric again."""
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_ConfusionCount):
    """Number (or weight) of positives that are predicted so.

    Args:
        thresholds: float in [0, 1] or list of these; a score above one is a positive prediction.
            None for 0.5.
        name, dtype: as for `Metric`.

    Example:

    >>> float(keras.metrics.TruePositives()([1, 1, 0, 0], [0.9, 0.2, 0.8, 0.1]))
    1.0
    """

    _kind = "true_positives"


class FalsePositives(_ConfusionCount):
    """Number (or weight) of negatives that are predicted positive.

    Args as for `TruePositives`.

    Example:

    >>> float(keras.metrics.FalsePositives()([1, 1, 0, 0], [0.9, 0.2, 0.8, 0.1]))
    1.0
    """

    _kind = "false_positives"


class TrueNegatives(_ConfusionCount):
    """Number (or weight) of negatives that are predicted so.

    Args as for `TruePositives`.

    Example:

    >>> float(keras.metrics.TrueNegatives()([1, 1, 0, 0], [0.9, 0.2, 0.8, 0.1]))
    1.0
    """

    _kind = "true_negatives"


class FalseNegatives(_ConfusionCount):
    """Number (or weight) of positives that are predicted negative.

    Args as for `TruePositives`.

    Example:

    >>> float(keras.metrics.FalseNegatives()([1, 1, 0, 0], [0.9, 0.2, 0.8, 0.1]))
    1.0
    """

    _kind = "false_negatives"


class _Share(Metric):
    """Base of precision and recall: true positives over these and the `_rest`."""

    _direction = "up"
    _rest = None

    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self.thresholds = as_thresholds(thresholds, 0.5 if top_k is None else MINUS_INFINITY)
        self._even = are_even(self.thresholds)
        shape = (len(self.thresholds),)
        self.true_positives = self.add_variable(shape, name="true_positives")
        setattr(self, self._rest, self.add_variable(shape, name=self._rest))

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch.

        Args:
            y_true: labels; what is not 0 is positive. Shape `(batch, ...)`.
            y_pred: scores of the same shape.
            sample_weight: weights whose shape is a leading part of that one; None for 1.
        """
        with torch.no_grad():
            counts = count(
                ("true_positives", self._rest),
                y_true,
                y_pred,
                self.thresholds,
                self.true_positives.value.dtype,
                sample_weight,
                top_k=self.top_k,
                class_id=self.class_id,
                even=self._even,
            )
            for kind, value in counts.items():
                self._add(getattr(self, kind), value)

    def result(self):
        """The share: a scalar, or `(thresholds,)` where there are several."""
        share = ratio(self.true_positives.value, getattr(self, self._rest).value)
        return share[0] if len(self.thresholds) == 1 else share

    def get_config(self):
        """Arguments that make the metric again."""
        return {
            **super().get_config(),
            "thresholds": self.init_thresholds,
            "top_k": self.top_k,
            "class_id": self.class_id,
        }


class Precision(_Share):
    """Share of positive predictions that are right; 0 where there is none.

    Args:
        thresholds: float in [0, 1] or list of these; a score above one is a positive prediction.
            None for 0.5, or with `top_k` for no threshold.
        top_k: int or None; only the k largest scores of the last axis may be positive.
        class_id: int or None, the one class of the last axis to look at.
        name, dtype: as for `Metric`.

    Raises:
        ValueError: a threshold outside [0, 1].

    Example:

    >>> keras.metrics.Precision()([0, 1, 1, 1], [1, 0, 1, 1])
    tensor(0.6667)
    """

    _rest = "false_positives"


class Recall(_Share):
    """Share of positives that are found; 0 where there is none.

    Args as for `Precision`.

    Example:

    >>> float(keras.metrics.Recall()([0, 1, 1, 1, 1], [1, 0, 1, 1, 1]))
    0.75
    """

    _rest = "false_negatives"


class _TradeOff(Metric):
    """Base of the best share that some threshold reaches while another stays high enough."""

    _direction = "up"
    _argument = None  # name of the bound among the constructor's arguments

    def __init__(self, value, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        if not 0 <= value <= 1:
            raise ValueError(
                f"`{self._argument}` must lie in [0, 1]. Received: {self._argument}={value}."
            )
        if not 1 <= num_thresholds <= 2**20:
            raise ValueError(
                "`num_thresholds` must be at least 1, and at most 2**20. Received: "
                f"num_thresholds={num_thresholds}."
            )
        self.value = value
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        last = num_thresholds - 1
        claim_memory(BYTES_OF_FLOAT * num_thresholds)
        self.thresholds = [i / last for i in range(num_thresholds)] if last else [0.5]
        setattr(self, self._argument, value)
        for kind in KINDS:
            setattr(self, kind, self.add_variable((num_thresholds,), name=kind))

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; arguments as for `Precision`."""
        with torch.no_grad():
            counts = count(
                KINDS,
                y_true,
                y_pred,
                self.thresholds,
                self.true_positives.value.dtype,
                sample_weight,
                class_id=self.class_id,
                even=self.num_thresholds > 1,
            )
            for kind, value in counts.items():
                self._add(getattr(self, kind), value)

    def _best(self, bounded, wanted):
        return torch.where(bounded >= self.value, wanted, 0.0).amax()

    def _sensitivity(self):
        return ratio(self.true_positives.value, self.false_negatives.value)

    def _specificity(self):
        return ratio(self.true_negatives.value, self.false_positives.value)

    def _precision(self):
        return ratio(self.true_positives.value, self.false_positives.value)

    def get_config(self):
        """Arguments that make the metric again."""
        return {
            **super().get_config(),
            "class_id": self.class_id,
            "num_thresholds": self.num_thresholds,
            self._argument: self.value,
        }


class SensitivityAtSpecificity(_TradeOff):
    """Best sensitivity `TP / (TP + FN)` at a specificity `TN / (TN + FP)` of at least a bound.

    Args:
        specificity: float in [0, 1], the bound.
        num_thresholds: int, at least 1, how many evenly spaced thresholds are tried.
        class_id: int or None, the one class of the last axis to look at.
        name, dtype: as for `Metric`.

    Raises:
        ValueError: an argument out of its range.

    Example:

    >>> metric = keras.metrics.SensitivityAtSpecificity(0.5)
    >>> float(metric([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8]))
    0.5
    """

    _argument = "specificity"

    def __init__(self, specificity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(specificity, num_thresholds, class_id, name, dtype)

    def result(self):
        """The best sensitivity, a scalar; 0 where no threshold reaches the bound."""
        return self._best(self._specificity(), self._sensitivity())


class SpecificityAtSensitivity(_TradeOff):
    """Best specificity `TN / (TN + FP)` at a sensitivity `TP / (TP + FN)` of at least a bound.

    Args:
        sensitivity: float in [0, 1], the bound.
        num_thresholds, class_id, name, dtype: as for `SensitivityAtSpecificity`.

    Example:

    >>> metric = keras.metrics.SpecificityAtSensitivity(0.5)
    >>> metric([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8])
    tensor(0.6667)
    """

    _argument = "sensitivity"

    def __init__(self, sensitivity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)

    def result(self):
        """The best specificity, a scalar; 0 where no threshold reaches the bound."""
        return self._best(self._sensitivity(), self._specificity())


class PrecisionAtRecall(_TradeOff):
    """Best precision at a recall of at least a bound.

    Args:
        recall: float in [0, 1], the bound.
        num_thresholds, class_id, name, dtype: as for `SensitivityAtSpecificity`.

    Example:

    >>> float(keras.metrics.PrecisionAtRecall(0.5)([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8]))
    0.5
    """

    _argument = "recall"

    def __init__(self, recall, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(recall, num_thresholds, class_id, name, dtype)

    def result(self):
        """The best precision, a scalar; 0 where no threshold reaches the bound."""
        return self._best(self._sensitivity(), self._precision())


class RecallAtPrecision(_TradeOff):
    """Best recall at a precision of at least a bound.

    Args:
        precision: float in [0, 1], the bound.
        num_thresholds, class_id, name, dtype: as for `SensitivityAtSpecificity`.

    Example:

    >>> float(keras.metrics.RecallAtPrecision(0.8)([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]))
    0.5
    """

    _argument = "precision"

    def __init__(self, precision, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(precision, num_thresholds, class_id, name, dtype)

    def result(self):
        """The best recall, a scalar; 0 where no threshold reaches the bound."""
        return self._best(self._precision(), self._sensitivity())
