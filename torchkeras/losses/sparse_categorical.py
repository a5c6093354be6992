"""Cross-entropy of one class among several, with targets as class numbers."""

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.losses.categorical import check_axis
from torchkeras.losses.fused_mean import is_last, with_fused_mean
from torchkeras.losses.loss import Loss, on_device_of
from torchkeras.losses.loss_function_wrapper import LossFunctionWrapper
from torchkeras.ops.crossentropy import (
    logits_behind,
    logits_if_known,
    loss_of_labels,
    mean_loss_of_logits,
    range_of_wrong_labels,
)


def labels_for(y_true, y_pred, axis):
    """Labels as int64 of the shape of `y_pred` without its class axis."""
    labels = on_device_of(y_pred, convert_to_tensor(y_true, torch.int64))
    rank = y_pred.dim()
    if not rank or not -rank <= axis < rank:
        raise ValueError(
            "A categorical loss needs an axis of classes in `y_pred`. Received: y_pred of shape "
            f"{tuple(y_pred.shape)}, axis={axis}."
        )
    expected = list(y_pred.shape)
    del expected[axis]
    if labels.dim() == rank and labels.shape[axis] == 1:
        labels = labels.squeeze(axis)
    elif labels.dim() == rank and labels.shape[-1] == 1:
        labels = labels.squeeze(-1)
    if list(labels.shape) != expected:
        raise ValueError(
            "`y_true` must hold one label for each place of `y_pred`, hence have its shape "
            f"without the class axis {axis}: {tuple(expected)}. Received: y_true of shape "
            f"{tuple(labels.shape)}, y_pred of shape {tuple(y_pred.shape)}. One-hot targets go "
            "with 'categorical_crossentropy'."
        )
    return labels


def explain_labels(labels, classes, error):
    """Re-raise what torch said, in our words where a label outside the classes was the cause."""
    wrong = range_of_wrong_labels(labels, classes)
    if wrong is None:
        raise error
    raise ValueError(
        f"Labels must be whole numbers from 0 to {classes - 1}, as `y_pred` has {classes} "
        f"classes. Received: y_true from {wrong[0]} to {wrong[1]}. Give the last layer more "
        "units, renumber the labels, or name a label to skip in `ignore_class`."
    ) from error


def _fused_sparse(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    rank = y_pred.dim()
    if ignore_class is not None or rank < 2 or not is_last(axis, rank):
        return None
    logits = y_pred if from_logits else logits_behind(y_pred, axis)
    if logits is None:
        return None
    if y_true.dim() == rank and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    if y_true.shape != y_pred.shape[:-1]:
        return None
    if y_true.dtype is not torch.int64:
        y_true = y_true.long()
    try:
        return mean_loss_of_logits(y_true, logits)
    except (IndexError, RuntimeError) as error:
        explain_labels(y_true, y_pred.shape[-1], error)


@with_fused_mean(_fused_sparse)
def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """`-log p[label]`, with targets as class numbers.

    Args:
        y_true: labels in [0, classes), `(batch, ...)`, or with a last axis of size 1; any dtype,
            whole numbers.
        y_pred: probabilities, scaled to sum 1 and clipped to [epsilon, 1 - epsilon], or logits,
            `(batch, ..., classes)`.
        from_logits: bool, whether `y_pred` are logits.
        ignore_class: int, a label whose places give 0 and are left out of a loss's mean (-1 or
            255 in segmentation), or None.
        axis: int, the axis of the classes.

    Returns:
        Tensor `(batch, ...)`: the shape of `y_pred` without `axis`, in its dtype. With
        `ignore_class` it carries the boolean `_keras_mask` of the places that count.

    Raises:
        ValueError: shapes that do not fit; on the CPU, a label outside the classes (an
            accelerator reports that by itself, later: looking here would wait for it).

    Example:

    >>> keras.losses.sparse_categorical_crossentropy([1], [[0.25, 0.5, 0.25]])
    tensor([0.6931])
    """
    check_axis(axis)
    if not isinstance(y_pred, torch.Tensor):
        y_pred = convert_to_tensor(y_pred)
    if not y_pred.is_floating_point():
        y_pred = y_pred.to(to_torch_dtype(config.floatx()))
    y_pred, from_logits = logits_if_known(y_pred, from_logits, axis)
    labels = labels_for(y_true, y_pred, axis)
    if ignore_class is None:
        return _loss_of_labels(labels, y_pred, from_logits, axis)
    counts = labels != int(ignore_class)
    labels = torch.where(counts, labels, 0)
    # A row that does not count may hold anything (nan after attention to nothing, say), and nan
    # times a gradient of 0 is nan.
    y_pred = torch.where(counts.unsqueeze(axis), y_pred, 1.0)
    losses = _loss_of_labels(labels, y_pred, from_logits, axis)
    losses = torch.where(counts, losses, 0.0)
    losses._keras_mask = counts
    return losses


sparse_categorical_crossentropy._keeps_integer_targets = True


def _loss_of_labels(labels, y_pred, from_logits, axis):
    try:
        return loss_of_labels(labels, y_pred, from_logits, axis)
    except (IndexError, RuntimeError) as error:
        explain_labels(labels, y_pred.shape[axis], error)


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of one class among several, with targets as class numbers.

    Args:
        from_logits: bool, whether `y_pred` are logits; else probabilities, which may come from a
            softmax at no loss of precision.
        ignore_class: int, a label to leave out, or None.
        reduction, name, dtype: as for `Loss`.
        axis: int, the axis of the classes.

    Input shapes: `y_true` `(batch, ...)` or `(batch, ..., 1)`, `y_pred` `(batch, ..., classes)`.

    Raises:
        ValueError: when called, a label outside the classes (on the CPU), or wrong shapes.

    Example:

    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> loss(torch.tensor([0, 1]), torch.zeros(2, 2))
    tensor(0.6931)
    """

    def __init__(
        self,
        from_logits=False,
        ignore_class=None,
        reduction="sum_over_batch_size",
        axis=-1,
        name="sparse_categorical_crossentropy",
        dtype=None,
    ):
        super().__init__(
            sparse_categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def get_config(self):
        """Arguments that make the loss again; `axis` only if it is not -1, as Keras has none."""
        config = {
            **Loss.get_config(self),
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
        }
        return config if self.axis == -1 else {**config, "axis": self.axis}
