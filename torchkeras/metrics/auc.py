"""AUC: the area under a curve of the counts above many thresholds."""

import torch

from torchkeras.core import config
from torchkeras.core.claims import claim_memory
from torchkeras.core.convert import convert_to_tensor
from torchkeras.losses.loss import divide_no_nan
from torchkeras.metrics.confusion_counts import BYTES_OF_FLOAT, KINDS, are_even, count, ratio
from torchkeras.metrics.metric import Metric

_CURVES = ("ROC", "PR", "PRGAIN")
_METHODS = ("interpolation", "minoring", "majoring")


class AUC(Metric):
    """Area under the ROC or the precision-recall curve, by a Riemann sum over thresholds.

    Args:
        num_thresholds: int, at least 2, how many evenly spaced thresholds make the curve. The
            more, the closer the sum is to the area.
        curve: `"ROC"` (true over false positive rate), `"PR"` (precision over recall) or
            `"PRGAIN"` (the same after the gain transform).
        summation_method: height of the steps: `"interpolation"` the mean of both ends (for `PR`
            the integral with true positives linear in positives), `"minoring"` the smaller,
            `"majoring"` the larger.
        name, dtype: as for `Metric`.
        thresholds: list of floats in [0, 1] to use instead; both ends are added.
        multi_label: bool, whether each of the outputs `(batch, labels)` has an area of its own,
            which are then averaged.
        num_labels: int, number of labels, to make the state before the first batch.
        label_weights: list of floats, one a label: weights of that average, or without
            `multi_label` of the predictions.
        from_logits: bool, whether predictions are logits; else they lie in [0, 1].

    Raises:
        ValueError: an argument that is none of these; when called, shapes that do not fit.

    Source: Davis and Goadrich 2006, ICML, for the interpolation of `PR`; Flach and Kull 2015,
    NeurIPS, for `PRGAIN`.

    Example:

    >>> float(keras.metrics.AUC(num_thresholds=3)([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]))
    0.75
    """

    _direction = "up"

    def __init__(
        self,
        num_thresholds=200,
        curve="ROC",
        summation_method="interpolation",
        name=None,
        dtype=None,
        thresholds=None,
        multi_label=False,
        num_labels=None,
        label_weights=None,
        from_logits=False,
    ):
        super().__init__(name=name, dtype=dtype)
        self.curve = _one_of(str(curve).upper(), _CURVES, "curve", curve)
        self.summation_method = _one_of(
            str(summation_method).lower(), _METHODS, "summation_method", summation_method
        )
        self._init_from_thresholds = thresholds is not None
        if thresholds is not None:
            inner = sorted(thresholds)
            self._even = are_even([0.0, *inner, 1.0])
        else:
            if not 2 <= num_thresholds <= 2**20:
                raise ValueError(
                    "`num_thresholds` must be at least 2, and at most 2**20. Received: "
                    f"num_thresholds={num_thresholds}."
                )
            claim_memory(BYTES_OF_FLOAT * num_thresholds)
            inner = [i / (num_thresholds - 1) for i in range(1, num_thresholds - 1)]
            self._even = True
        self.num_thresholds = len(inner) + 2
        # Below and above all probabilities, 0 and 1 included.
        self.thresholds = [-config.epsilon(), *inner, 1.0 + config.epsilon()]
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = None
        if label_weights is not None:
            self.label_weights = convert_to_tensor(label_weights, self.dtype)
        self._from_logits = from_logits
        if num_labels and not multi_label:
            raise ValueError(
                "`num_labels` is for multi_label=True only. Received: multi_label=False, "
                f"num_labels={num_labels}."
            )
        self._built = False
        if num_labels or not multi_label:
            self._build(num_labels)

    def _build(self, labels):
        shape = (self.num_thresholds, labels) if self.multi_label else (self.num_thresholds,)
        for kind in KINDS:
            setattr(self, kind, self.add_variable(shape, name=kind))
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch.

        Args:
            y_true: labels; what is not 0 is positive. Shape `(batch, ...)`.
            y_pred: probabilities, or logits, of the same shape.
            sample_weight: weights whose shape is a leading part of that one; None for 1.
        """
        with torch.no_grad():
            y_pred = convert_to_tensor(y_pred)
            if self.multi_label and y_pred.dim() != 2:
                raise ValueError(
                    "AUC with multi_label=True expects predictions of shape (batch, labels). "
                    f"Received: y_pred of shape {tuple(y_pred.shape)}."
                )
            if not self._built:
                self._build(y_pred.shape[1])
            counts = count(
                KINDS,
                y_true,
                torch.sigmoid(y_pred) if self._from_logits else y_pred,
                self.thresholds,
                self.true_positives.value.dtype,
                sample_weight,
                multi_label=self.multi_label,
                label_weights=None if self.multi_label else self.label_weights,
                even=self._even,
            )
            for kind, value in counts.items():
                self._add(getattr(self, kind), value)

    def result(self):
        """The area, a scalar; 0 before the first update."""
        if not self._built:
            return torch.zeros((), dtype=self._torch_dtype)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._average(self._interpolated_precision())
        x, y = getattr(self, f"_{self.curve.lower()}_curve")()
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2.0
        elif self.summation_method == "minoring":
            heights = torch.minimum(y[:-1], y[1:])
        else:
            heights = torch.maximum(y[:-1], y[1:])
        return self._average((x[:-1] - x[1:]) * heights)

    def _roc_curve(self):
        false_positive_rate = ratio(self.false_positives.value, self.true_negatives.value)
        return false_positive_rate, ratio(self.true_positives.value, self.false_negatives.value)

    def _pr_curve(self):
        recall = ratio(self.true_positives.value, self.false_negatives.value)
        return recall, ratio(self.true_positives.value, self.false_positives.value)

    def _prgain_curve(self):
        found, extra = self.true_positives.value, self.false_positives.value
        missed, left = self.false_negatives.value, self.true_negatives.value
        odds = divide_no_nan(found + missed, left + extra)
        recall_gain = 1.0 - odds * divide_no_nan(missed, found)
        precision_gain = 1.0 - odds * divide_no_nan(extra, found)
        recall_gain = torch.where(found == 0, 0.0, recall_gain).clamp(min=0.0)
        return recall_gain, torch.where(found == 0, 1.0, precision_gain)

    def _interpolated_precision(self):
        """Area between neighbours on the PR curve, true positives being linear in positives.

        With `TP = intercept + slope * P` the integral of `TP / P` over `dTP / positives` is
        `slope * (dTP + intercept * log(P_1 / P_2)) / positives`.
        """
        found = self.true_positives.value
        predicted = found + self.false_positives.value
        upper, lower = predicted[:-1], predicted[1:]
        d_found = found[:-1] - found[1:]
        slope = divide_no_nan(d_found, (upper - lower).clamp(min=0.0))
        intercept = found[1:] - slope * lower
        both = (upper > 0) & (lower > 0)
        quotient = torch.where(both, divide_no_nan(upper, lower.clamp(min=0.0)), 1.0)
        positives = (found[1:] + self.false_negatives.value[1:]).clamp(min=0.0)
        return divide_no_nan(slope * (d_found + intercept * quotient.log()), positives)

    def _average(self, parts):
        areas = parts.sum(0)
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return areas.mean()
        weights = self.label_weights.to(areas.device)
        return divide_no_nan((areas * weights).sum(), weights.sum())

    def get_config(self):
        """Arguments that make the metric again."""
        made = {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": self.label_weights,
            "from_logits": self._from_logits,
        }
        if self._init_from_thresholds:
            made["thresholds"] = self.thresholds[1:-1]
        return made

    @classmethod
    def from_config(cls, config):
        """The metric that `get_config` described, at its beginning."""
        from torchkeras.core.serialization import deserialize_keras_object

        weights = deserialize_keras_object(config.get("label_weights"))
        return cls(**{**config, "label_weights": weights})


def _one_of(value, known, argument, given):
    if value not in known:
        raise ValueError(
            f"`{argument}` must be one of {', '.join(map(repr, known))}. Received: "
            f"{argument}={given!r}."
        )
    return value
