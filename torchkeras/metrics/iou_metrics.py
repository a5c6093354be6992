"""Intersection over union of the places that belong to a class, for segmentation."""

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import is_int_dtype
from torchkeras.losses.loss import align_pair, align_weights, on_device_of
from torchkeras.metrics.metric import Metric

_MOST_CLASSES = 2**20  # whose confusion matrix takes 4 TB


class IoU(Metric):
    """Mean over chosen classes of `TP / (TP + FP + FN)`, from a confusion matrix.

    A class that neither targets nor predictions contain is left out of the mean, and so is a
    place whose label or prediction lies outside [0, num_classes).

    Args:
        num_classes: int, at least 1.
        target_class_ids: list of ints, the classes to average over.
        name: str, as for `Metric`.
        dtype: dtype of the confusion matrix; None for int32, which counts exactly. Weights are
            cast to it.
        ignore_class: int, a label whose places do not count, or None.
        sparse_y_true, sparse_y_pred: bool, whether targets, predictions, are class numbers; else
            their largest entry along `axis` tells the class.
        axis: int, the axis of the classes.

    Input shapes: `(batch, ...)` of class numbers, or with an axis of classes.

    Raises:
        ValueError: a target class that is not below `num_classes`.

    Source: Everingham et al. 2010, IJCV 88, section 4.2.

    Example:

    >>> metric = keras.metrics.IoU(num_classes=2, target_class_ids=[0])
    >>> metric([0, 0, 1, 1], [0, 1, 0, 1])
    tensor(0.3333)
    """

    _direction = "up"

    def __init__(
        self,
        num_classes,
        target_class_ids,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_true=True,
        sparse_y_pred=True,
        axis=-1,
    ):
        super().__init__(name=name, dtype=dtype or "int32")
        if not 1 <= num_classes <= _MOST_CLASSES:
            raise ValueError(
                f"`num_classes` must be at least 1, and the matrix of so many classes fit in "
                f"memory. Received: num_classes={num_classes}."
            )
        if max(target_class_ids) >= num_classes or min(target_class_ids) < 0:
            raise ValueError(
                f"`target_class_ids` must lie in [0, {num_classes}). Received: target_class_ids="
                f"{list(target_class_ids)}."
            )
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_variable(
            (num_classes, num_classes), dtype=self.dtype, name="total_confusion_matrix"
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; weights have one value a place, or broadcast."""
        with torch.no_grad():
            y_pred = convert_to_tensor(y_pred)
            y_true = on_device_of(y_pred, convert_to_tensor(y_true))
            labels = y_true if self.sparse_y_true else y_true.argmax(self.axis)
            predicted = y_pred if self.sparse_y_pred else y_pred.argmax(self.axis)
            # At least one axis: a single number would stand for all places.
            labels, predicted = align_pair(
                *map(torch.atleast_1d, (labels.long(), predicted.long()))
            )
            weights = self._weights(sample_weight, labels)
            labels, predicted = labels.flatten(), predicted.flatten()
            n = self.num_classes
            counts = (labels >= 0) & (labels < n) & (predicted >= 0) & (predicted < n)
            if self.ignore_class is not None:
                counts = counts & (labels != self.ignore_class)
            weights = torch.where(counts, weights, 0)
            cells = torch.where(counts, labels * n + predicted, 0)
            matrix = torch.zeros(n * n, dtype=weights.dtype, device=weights.device)
            self._add(self.total_cm, matrix.index_add_(0, cells, weights).view(n, n))

    def _weights(self, sample_weight, labels):
        dtype = self._torch_dtype
        if sample_weight is None:
            return torch.ones(labels.numel(), dtype=dtype, device=labels.device)
        weights = convert_to_tensor(sample_weight)
        if weights.is_floating_point() and is_int_dtype(self.dtype):
            raise ValueError(
                "A confusion matrix of integers cannot count fractions. Received: sample_weight of "
                f"dtype {weights.dtype}, dtype='{self.dtype}'. Make the metric with "
                "dtype='float32', or pass integer weights."
            )
        weights = on_device_of(labels, weights.to(dtype))
        if weights.numel() == labels.numel():
            return weights.flatten()
        return align_weights(labels, weights)[1].expand(labels.shape).flatten()

    def result(self):
        """The mean, a float32 scalar; 0 before the first update."""
        matrix = self.total_cm.value
        both = matrix.diagonal()
        either = (matrix.sum(0) + matrix.sum(1) - both)[self.target_class_ids].float()
        both = both[self.target_class_ids].float()
        eps = config.epsilon()
        present = either > 1e-9
        shares = torch.where(present, both / (either + eps), 0.0)
        return shares.sum() / (present.sum() + eps)

    def get_config(self):
        """Arguments that make the metric again."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "target_class_ids": self.target_class_ids,
            "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred,
            "axis": self.axis,
        }

    def _config(self, *names):
        return {name: getattr(self, name) for name in ("name", "dtype", *names)}


class BinaryIoU(IoU):
    """Mean intersection over union of the two classes below and above a threshold.

    Args:
        target_class_ids: list of 0, 1 or both: the classes to average over.
        threshold: float, from which on a prediction is class 1.
        name, dtype: as for `IoU`.

    Input shapes: `y_true` (zeros and ones) and `y_pred` `(batch, ...)`.

    Example:

    >>> keras.metrics.BinaryIoU(threshold=0.3)([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7])
    tensor(0.3333)
    """

    def __init__(self, target_class_ids=(0, 1), threshold=0.5, name=None, dtype=None):
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; weights have one value a place, or broadcast."""
        y_pred = convert_to_tensor(y_pred) >= self.threshold
        super().update_state(y_true, y_pred, sample_weight)

    def get_config(self):
        """Arguments that make the metric again."""
        return self._config("target_class_ids", "threshold")


class MeanIoU(IoU):
    """Mean intersection over union of all classes.

    Args:
        num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis: as for `IoU`.

    Example:

    >>> keras.metrics.MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1])
    tensor(0.3333)
    """

    def __init__(
        self,
        num_classes,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_true=True,
        sparse_y_pred=True,
        axis=-1,
    ):
        super().__init__(
            num_classes,
            range(num_classes),
            name,
            dtype,
            ignore_class,
            sparse_y_true,
            sparse_y_pred,
            axis,
        )

    def get_config(self):
        """Arguments that make the metric again."""
        return self._config("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")


class OneHotIoU(IoU):
    """Mean intersection over union of chosen classes, with one-hot targets.

    Args:
        num_classes, target_class_ids, name, dtype, ignore_class, sparse_y_pred, axis: as for
            `IoU`.

    Example:

    >>> metric = keras.metrics.OneHotIoU(num_classes=2, target_class_ids=[0])
    >>> metric([[1, 0], [0, 1]], [[0.6, 0.4], [0.7, 0.3]])
    tensor(0.5000)
    """

    def __init__(
        self,
        num_classes,
        target_class_ids,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_pred=False,
        axis=-1,
    ):
        super().__init__(
            num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis
        )

    def get_config(self):
        """Arguments that make the metric again."""
        return self._config(
            "num_classes", "target_class_ids", "ignore_class", "sparse_y_pred", "axis"
        )


class OneHotMeanIoU(MeanIoU):
    """Mean intersection over union of all classes, with one-hot targets.

    Args:
        num_classes, name, dtype, ignore_class, sparse_y_pred, axis: as for `IoU`.

    Example:

    >>> keras.metrics.OneHotMeanIoU(num_classes=2)([[1, 0], [0, 1]], [[0.6, 0.4], [0.7, 0.3]])
    tensor(0.2500)
    """

    def __init__(
        self,
        num_classes,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_pred=False,
        axis=-1,
    ):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self):
        """Arguments that make the metric again."""
        return self._config("num_classes", "ignore_class", "sparse_y_pred", "axis")
