"""Cross-entropy of one class among several, with targets as probabilities."""

import warnings

from torchkeras.losses.fused_mean import is_last, with_fused_mean
from torchkeras.losses.loss import Loss, match_shapes
from torchkeras.losses.loss_function_wrapper import LossFunctionWrapper
from torchkeras.ops.crossentropy import (
    logits_behind,
    logits_if_known,
    loss_of_classes,
    mean_loss_of_logits,
)


def check_axis(axis):
    """Refuse an axis of classes that is no int."""
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise ValueError(
            f"`axis` must be an int, the axis of the classes. Received: axis={axis!r} of type "
            f"{type(axis).__name__}."
        )


def match_classes(y_true, y_pred, axis):
    """Targets and predictions of one shape, with at least one axis."""
    y_true, y_pred = match_shapes(y_true, y_pred)
    if not y_pred.dim():
        raise ValueError(
            "A categorical loss needs an axis of classes. Received: y_true and y_pred of shape ()."
        )
    if y_pred.shape[axis] == 1:
        warnings.warn(
            "A categorical loss over one class is always 0. Received: y_pred of shape "
            f"{tuple(y_pred.shape)}, axis={axis}. For a yes-or-no question use "
            "'binary_crossentropy' and a sigmoid.",
            SyntaxWarning,
            stacklevel=3,
        )
    return y_true, y_pred


def smooth_classes(y_true, label_smoothing, axis):
    """Targets of which `label_smoothing`, a part in [0, 1], is spread evenly over the classes."""
    if not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[axis]


def _fused_categorical(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    rank = y_pred.dim()
    if rank < 2 or not is_last(axis, rank) or y_true.shape != y_pred.shape:
        return None
    logits = y_pred if from_logits else logits_behind(y_pred, axis)
    if logits is None or logits.shape[-1] == 1:
        return None
    if y_true.dtype is not logits.dtype:
        y_true = y_true.to(logits.dtype)
    return mean_loss_of_logits(y_true, logits, label_smoothing)


@with_fused_mean(_fused_categorical)
def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """`-sum(t * log p)` over the classes, with targets as probabilities (one-hot, say).

    Args:
        y_true: targets, `(batch, ..., classes)`, one-hot or probabilities; any dtype.
        y_pred: probabilities, scaled to sum 1 and clipped to [epsilon, 1 - epsilon], or logits;
            the same shape.
        from_logits: bool, whether `y_pred` are logits.
        label_smoothing: float in [0, 1], the part of each target that is spread evenly over the
            classes (Keras counts the classes along the last axis, whatever `axis` is).
        axis: int, the axis of the classes.

    Returns:
        Tensor `(batch, ...)`: the shape of `y_pred` without `axis`, in its dtype.

    Raises:
        ValueError: shapes that differ; `axis` is no int.

    Example:

    >>> keras.losses.categorical_crossentropy([[0.0, 1.0, 0.0]], [[0.25, 0.5, 0.25]])
    tensor([0.6931])
    """
    check_axis(axis)
    y_pred, from_logits = logits_if_known(y_pred, from_logits, axis)
    y_true, y_pred = match_classes(y_true, y_pred, axis)
    y_true = smooth_classes(y_true, label_smoothing, axis)
    return loss_of_classes(y_true, y_pred, from_logits, axis)


class CategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of one class among several, with targets as probabilities.

    Args:
        from_logits: bool, whether `y_pred` are logits; else probabilities, which may come from a
            softmax at no loss of precision.
        label_smoothing: float in [0, 1], the part of a target spread evenly over the classes.
        axis: int, the axis of the classes.
        reduction, name, dtype: as for `Loss`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., classes)`.

    Example:

    >>> loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    >>> loss(torch.eye(2), torch.zeros(2, 2))
    tensor(0.6931)
    """

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="categorical_crossentropy",
        dtype=None,
    ):
        super().__init__(
            categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def get_config(self):
        """Arguments that make the loss again."""
        return {**Loss.get_config(self), **self._fn_kwargs}
