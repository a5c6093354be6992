"""F-scores: one number for precision and recall."""

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.losses.loss import match_shapes, on_device_of
from torchkeras.metrics.metric import Metric

_KINDS = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")
_AVERAGES = (None, "micro", "macro", "weighted")


class FBetaScore(Metric):
    """Weighted harmonic mean of precision and recall, `(1 + b**2) * p * r / (b**2 * p + r)`.

    Args:
        average: how classes combine: None for one score a class; `"micro"`, from counts over all
            classes; `"macro"`, the mean of the scores; `"weighted"`, their mean by the number of
            positives.
        beta: float above 0; recall counts `beta` times as much as precision.
        threshold: float in (0, 1], above which a class is predicted; None for the class with the
            largest prediction.
        name, dtype: as for `Metric`.

    Input shapes: `y_true` (zeros and ones) and `y_pred` `(batch, classes)`; weights `(batch,)`.

    Raises:
        ValueError: an argument out of its range; when called, other shapes.

    Source: van Rijsbergen 1979, "Information Retrieval", chapter 7.

    Example:

    >>> metric = keras.metrics.FBetaScore(beta=2.0, threshold=0.5)
    >>> metric([[1, 1], [1, 0]], [[0.2, 0.6], [0.9, 0.8]])
    tensor([0.5556, 0.8333])
    """

    _direction = "up"

    def __init__(self, average=None, beta=1.0, threshold=None, name="fbeta_score", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if average not in _AVERAGES:
            raise ValueError(
                f"`average` must be one of {', '.join(map(repr, _AVERAGES))}. Received: "
                f"average={average!r}."
            )
        if not isinstance(beta, float) or beta <= 0.0:
            raise ValueError(f"`beta` must be a float above 0. Received: beta={beta!r}.")
        if threshold is not None and (not isinstance(threshold, float) or not 0 < threshold <= 1):
            raise ValueError(
                "`threshold` must be a float above 0 and at most 1, or None. Received: "
                f"threshold={threshold!r}."
            )
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self._built = False

    def _build(self, y_true, y_pred):
        if y_pred.dim() != 2:
            raise ValueError(
                f"{type(self).__name__} expects targets and outputs of shape (batch, classes). "
                f"Received: y_true of shape {tuple(y_true.shape)}, y_pred of shape "
                f"{tuple(y_pred.shape)}."
            )
        shape = () if self.average == "micro" else (y_pred.shape[1],)
        for kind in _KINDS:
            setattr(self, kind, self.add_variable(shape, dtype=self.dtype, name=kind))
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch."""
        with torch.no_grad():
            dtype = self._torch_dtype
            y_true, y_pred = match_shapes(y_true, convert_to_tensor(y_pred, dtype))
            if not self._built:
                self._build(y_true, y_pred)
            if self.threshold is None:
                largest = y_pred.amax(-1, keepdim=True)
                predicted = (y_pred >= largest) & (y_pred.abs() > 1e-9)
            else:
                predicted = y_pred > self.threshold
            predicted = predicted.to(dtype)
            weights = None
            if sample_weight is not None:
                weights = on_device_of(y_pred, convert_to_tensor(sample_weight, dtype))
                weights = weights.unsqueeze(1) if weights.dim() == 1 else weights
            for kind, values in zip(
                _KINDS,
                (
                    predicted * y_true,
                    predicted * (1.0 - y_true),
                    (1.0 - predicted) * y_true,
                    y_true,
                ),
                strict=True,
            ):
                values = values if weights is None else values * weights
                total = values.sum() if self.average == "micro" else values.sum(0)
                self._add(getattr(self, kind), total)

    def result(self):
        """The score: a scalar, or `(classes,)` with `average=None`; 0 before the first update."""
        if not self._built:
            return torch.zeros((), dtype=self._torch_dtype)
        eps = config.epsilon()
        found = self.true_positives.value
        precision = found / (found + self.false_positives.value + eps)
        recall = found / (found + self.false_negatives.value + eps)
        square = self.beta**2
        scores = precision * recall / (square * precision + recall + eps) * (1.0 + square)
        if self.average == "weighted":
            positives = self.intermediate_weights.value
            return (scores * (positives / (positives.sum() + eps))).sum()
        return scores if self.average is None else scores.mean()

    def get_config(self):
        """Arguments that make the metric again."""
        return {
            **super().get_config(),
            "average": self.average,
            "beta": self.beta,
            "threshold": self.threshold,
        }


class F1Score(FBetaScore):
    """Harmonic mean of precision and recall.

    Args:
        average, threshold, name, dtype: as for `FBetaScore`.

    Example:

    >>> keras.metrics.F1Score(threshold=0.5)([[1, 1], [1, 0]], [[0.2, 0.6], [0.9, 0.8]])
    tensor([0.6667, 0.6667])
    """

    def __init__(self, average=None, threshold=None, name="f1_score", dtype=None):
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self):
        """Arguments that make the metric again."""
        config = super().get_config()
        del config["beta"]
        return config
