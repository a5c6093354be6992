"""Accuracies: the share of samples whose predicted class is the right one."""

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.losses.loss import align_pair, on_device_of
from torchkeras.metrics.reduction_metrics import MeanMetricWrapper


def _from_matches(matches):
    """Decorator: note the function that gives the same values as booleans, for the metrics."""

    def decorate(function):
        function._matches = matches
        return function

    return decorate


def _tensors(y_true, y_pred):
    if not isinstance(y_pred, torch.Tensor):
        y_pred = convert_to_tensor(y_pred)
    if not isinstance(y_true, torch.Tensor):
        y_true = convert_to_tensor(y_true)
    return on_device_of(y_pred, y_true), y_pred


def _as_float(matches):
    return matches.to(to_torch_dtype(config.floatx()))


def _mismatch(y_true, y_pred, expected):
    return ValueError(
        f"`y_true` must have the shape {expected}. Received: y_true of shape "
        f"{tuple(y_true.shape)}, y_pred of shape {tuple(y_pred.shape)}. 'accuracy' in `compile` "
        "chooses the accuracy by these shapes."
    )


def is_binary_or_sparse_categorical(y_true, y_pred):
    """Which accuracy or cross-entropy the shapes of targets and outputs ask for.

    Args:
        y_true, y_pred: tensors, or anything with a `shape`.

    Returns:
        `(is_binary, is_sparse_categorical)`, the first of which wins: one output a sample is a
        yes-or-no question; targets of a lower rank, or with a last axis of size 1 beside several
        outputs, are class numbers. Neither: targets are one-hot.

    Example:

    >>> from torchkeras.metrics.accuracy_metrics import is_binary_or_sparse_categorical
    >>> is_binary_or_sparse_categorical(torch.zeros(8), torch.zeros(8, 10))
    (False, True)
    """
    last_true = y_true.shape[-1] if len(y_true.shape) else None
    last_pred = y_pred.shape[-1] if len(y_pred.shape) else None
    is_binary = last_pred == 1
    fewer_axes = len(y_true.shape) < len(y_pred.shape)
    one_label = last_true == 1 and last_pred is not None and last_pred > 1
    return is_binary, fewer_axes or one_label


def _accuracy_matches(y_true, y_pred):
    y_true, y_pred = align_pair(*_tensors(y_true, y_pred))
    return y_true.to(y_pred.dtype) == y_pred


@_from_matches(_accuracy_matches)
def accuracy(y_true, y_pred):
    """1 where `y_pred` equals `y_true`, else 0; shape of `y_pred`.

    Example:

    >>> from torchkeras.metrics.accuracy_metrics import accuracy
    >>> accuracy([1, 2], [1, 3])
    tensor([1., 0.])
    """
    return _as_float(_accuracy_matches(y_true, y_pred))


def _binary_matches(y_true, y_pred, threshold=0.5):
    y_true, y_pred = align_pair(*_tensors(y_true, y_pred))
    return (y_pred > threshold) == y_true


@_from_matches(_binary_matches)
def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1 where `y_pred > threshold` agrees with `y_true`, else 0.

    Args:
        y_true: zeros and ones `(batch, ...)`, any dtype.
        y_pred: probabilities of the same shape.
        threshold: float; a value at it counts as 0.

    Returns:
        Tensor of that shape, dtype `floatx()`.

    Example:

    >>> keras.metrics.binary_accuracy([1, 0, 1], [0.9, 0.2, 0.3])
    tensor([1., 1., 0.])
    """
    return _as_float(_binary_matches(y_true, y_pred, threshold))


def _categorical_matches(y_true, y_pred):
    y_true, y_pred = _tensors(y_true, y_pred)
    if y_true.shape != y_pred.shape:
        raise _mismatch(y_true, y_pred, "of `y_pred`")
    return y_true.argmax(-1) == y_pred.argmax(-1)


@_from_matches(_categorical_matches)
def categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction is that of the right class, else 0.

    Args:
        y_true: one-hot targets `(batch, ..., classes)`, any dtype.
        y_pred: probabilities or logits of the same shape.

    Returns:
        Tensor `(batch, ...)`, dtype `floatx()`.

    Raises:
        ValueError: the shapes differ.

    Example:

    >>> keras.metrics.categorical_accuracy([[0, 1], [0, 1]], [[0.3, 0.7], [0.6, 0.4]])
    tensor([1., 0.])
    """
    return _as_float(_categorical_matches(y_true, y_pred))


def _sparse_matches(y_true, y_pred):
    y_true, y_pred = _tensors(y_true, y_pred)
    if y_true.dim() == y_pred.dim() and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    predicted = y_pred.argmax(-1)
    if predicted.shape != y_true.shape:
        raise _mismatch(y_true, y_pred, "of `y_pred` without its last axis, the classes")
    matches = predicted == y_true
    return matches.squeeze(-1) if matches.dim() > 1 and matches.shape[-1] == 1 else matches


@_from_matches(_sparse_matches)
def sparse_categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction is that of the right class, with targets as class numbers.

    Args:
        y_true: labels `(batch, ...)` or `(batch, ..., 1)`, any dtype.
        y_pred: probabilities or logits `(batch, ..., classes)`.

    Returns:
        Tensor `(batch, ...)`, dtype `floatx()`.

    Raises:
        ValueError: shapes that do not fit.

    Example:

    >>> keras.metrics.sparse_categorical_accuracy([1, 1], [[0.3, 0.7], [0.6, 0.4]])
    tensor([1., 0.])
    """
    return _as_float(_sparse_matches(y_true, y_pred))


def _in_top(labels, y_pred, k):
    """Whether the prediction of each label is at least the k-th largest (ties count)."""
    if labels.shape != y_pred.shape[:-1]:
        raise _mismatch(labels, y_pred, "of `y_pred` without its last axis, the classes")
    k = min(k, y_pred.shape[-1])
    own = y_pred.gather(-1, labels.long().unsqueeze(-1)).squeeze(-1)
    return own >= y_pred.topk(k, dim=-1).values[..., -1]


def _top_k_matches(y_true, y_pred, k=5):
    y_true, y_pred = _tensors(y_true, y_pred)
    if y_true.shape != y_pred.shape:
        raise _mismatch(y_true, y_pred, "of `y_pred`")
    return _in_top(y_true.argmax(-1), y_pred, k)


@_from_matches(_top_k_matches)
def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where the right class is among the `k` largest predictions, else 0.

    Args:
        y_true: one-hot targets `(batch, ..., classes)`, any dtype.
        y_pred: probabilities or logits of the same shape.
        k: int, at least 1.

    Returns:
        Tensor `(batch, ...)`, dtype `floatx()`.

    Raises:
        ValueError: the shapes differ.

    Example:

    >>> keras.metrics.top_k_categorical_accuracy([[1, 0, 0]], [[0.3, 0.5, 0.2]], k=2)
    tensor([1.])
    """
    return _as_float(_top_k_matches(y_true, y_pred, k))


def _sparse_top_k_matches(y_true, y_pred, k=5, from_sorted_ids=False):
    y_true, y_pred = _tensors(y_true, y_pred)
    if y_true.dim() == y_pred.dim() and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    if not from_sorted_ids:
        return _in_top(y_true, y_pred, k)
    if y_true.shape != y_pred.shape[:-1]:
        raise _mismatch(y_true, y_pred, "of `y_pred` without its last axis, the classes")
    return (y_true.unsqueeze(-1) == y_pred[..., :k]).any(-1)


@_from_matches(_sparse_top_k_matches)
def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """1 where the right class is among the `k` largest predictions, with class numbers.

    Args:
        y_true: labels `(batch, ...)` or `(batch, ..., 1)`, any dtype.
        y_pred: probabilities or logits `(batch, ..., classes)`.
        k: int, at least 1.
        from_sorted_ids: bool, whether `y_pred` holds class numbers instead, best first.

    Returns:
        Tensor `(batch, ...)`, dtype `floatx()`.

    Raises:
        ValueError: shapes that do not fit.

    Example:

    >>> keras.metrics.sparse_top_k_categorical_accuracy([0], [[0.3, 0.5, 0.2]], k=2)
    tensor([1.])
    """
    return _as_float(_sparse_top_k_matches(y_true, y_pred, k, from_sorted_ids))


class _Accuracy(MeanMetricWrapper):
    _direction = "up"

    def get_config(self):
        """Arguments that make the metric again."""
        return {"name": self.name, "dtype": self.dtype, **self._fn_kwargs}


class Accuracy(_Accuracy):
    """Share of predictions that equal their targets.

    Args:
        name, dtype: as for `Metric`.

    Input shapes: `y_true` and `y_pred` `(batch, ...)`.

    Example:

    >>> float(keras.metrics.Accuracy()([1, 2, 3, 4], [0, 2, 3, 4]))
    0.75
    """

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(_Accuracy):
    """Share of yes-or-no questions that are answered right.

    Args:
        name, dtype: as for `Metric`.
        threshold: float, above which a prediction is a yes.

    Input shapes: `y_true` and `y_pred` `(batch, ...)`.

    Example:

    >>> float(keras.metrics.BinaryAccuracy()([[1], [1], [0], [0]], [[0.9], [0.4], [0.2], [0.3]]))
    0.75
    """

    def __init__(self, name="binary_accuracy", dtype=None, threshold=0.5):
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)
        self.threshold = threshold


class CategoricalAccuracy(_Accuracy):
    """Share of samples whose largest prediction is that of the right class (one-hot targets).

    Args:
        name, dtype: as for `Metric`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., classes)`.

    Example:

    >>> float(keras.metrics.CategoricalAccuracy()([[0, 1], [0, 1]], [[0.3, 0.7], [0.6, 0.4]]))
    0.5
    """

    def __init__(self, name="categorical_accuracy", dtype=None):
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(_Accuracy):
    """Share of samples whose largest prediction is that of the right class (class numbers).

    Args:
        name, dtype: as for `Metric`.

    Input shapes: `y_true` `(batch, ...)` or `(batch, ..., 1)`, `y_pred` `(batch, ..., classes)`.

    Example:

    >>> float(keras.metrics.SparseCategoricalAccuracy()([1, 1], [[0.3, 0.7], [0.6, 0.4]]))
    0.5
    """

    def __init__(self, name="sparse_categorical_accuracy", dtype=None):
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(_Accuracy):
    """Share of samples whose right class is among the `k` largest predictions (one-hot targets).

    Args:
        k: int, at least 1.
        name, dtype: as for `Metric`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., classes)`.

    Example:

    >>> metric = keras.metrics.TopKCategoricalAccuracy(k=2)
    >>> float(metric([[1, 0, 0], [0, 0, 1]], [[0.3, 0.5, 0.2], [0.3, 0.5, 0.2]]))
    0.5
    """

    def __init__(self, k=5, name="top_k_categorical_accuracy", dtype=None):
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)
        self.k = k


class SparseTopKCategoricalAccuracy(_Accuracy):
    """Share of samples whose right class is among the `k` largest predictions (class numbers).

    Args:
        k: int, at least 1.
        name, dtype: as for `Metric`.
        from_sorted_ids: bool, whether predictions are class numbers instead, best first.

    Input shapes: `y_true` `(batch, ...)` or `(batch, ..., 1)`, `y_pred` `(batch, ..., classes)`.

    Example:

    >>> metric = keras.metrics.SparseTopKCategoricalAccuracy(k=2)
    >>> float(metric([0, 2], [[0.3, 0.5, 0.2], [0.3, 0.5, 0.2]]))
    0.5
    """

    def __init__(
        self,
        k=5,
        name="sparse_top_k_categorical_accuracy",
        dtype=None,
        from_sorted_ids=False,
    ):
        super().__init__(
            sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids
        )
        self.k = k
        self.from_sorted_ids = from_sorted_ids

    def get_config(self):
        """Arguments that make the metric again; `from_sorted_ids` only where set, as in Keras."""
        config = super().get_config()
        if not self.from_sorted_ids:
            del config["from_sorted_ids"]
        return config
