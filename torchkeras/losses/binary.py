"""Cross-entropy of yes-or-no questions."""

from torchkeras.losses.fused_mean import is_last, paired, with_fused_mean
from torchkeras.losses.loss import Loss, match_shapes
from torchkeras.losses.loss_function_wrapper import LossFunctionWrapper
from torchkeras.ops.crossentropy import logits_if_known, loss_of_answers


def smooth_answers(y_true, label_smoothing):
    """Targets moved towards 0.5 by `label_smoothing`, a part in [0, 1]."""
    if not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing


def _fused_binary(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    y_true = paired(y_true, y_pred)
    if y_true is None or not is_last(axis, y_pred.dim()):
        return None
    y_pred, from_logits = logits_if_known(y_pred, from_logits, "sigmoid")
    y_true = smooth_answers(y_true, label_smoothing)
    return loss_of_answers(y_true, y_pred, from_logits, "mean")


@with_fused_mean(_fused_binary)
def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """Mean over `axis` of `-(t log p + (1 - t) log(1 - p))`: one yes-or-no question a value.

    Args:
        y_true: targets `t` in [0, 1], `(batch, ..., n)`; any dtype.
        y_pred: probabilities, clipped to [epsilon, 1 - epsilon], or logits; the same shape.
        from_logits: bool, whether `y_pred` are logits.
        label_smoothing: float in [0, 1], how far targets move towards 0.5.
        axis: int, the axis of the mean.

    Returns:
        Tensor `(batch, ...)` in the dtype of `y_pred`.

    Raises:
        ValueError: shapes that do not fit.

    Example:

    >>> keras.losses.binary_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])
    tensor([0.6931])
    """
    y_pred, from_logits = logits_if_known(y_pred, from_logits, "sigmoid")
    y_true, y_pred = match_shapes(y_true, y_pred)
    y_true = smooth_answers(y_true, label_smoothing)
    return loss_of_answers(y_true, y_pred, from_logits).mean(axis)


class BinaryCrossentropy(LossFunctionWrapper):
    """Cross-entropy of independent yes-or-no answers.

    Args:
        from_logits: bool, whether `y_pred` are logits; else probabilities, which may come from a
            sigmoid at no loss of precision.
        label_smoothing: float in [0, 1], how far targets move towards 0.5.
        axis: int, the axis of the first mean.
        reduction, name, dtype: as for `Loss`.

    Input shapes: `y_true` and `y_pred` `(batch, ..., n)`.

    Example:

    >>> loss = keras.losses.BinaryCrossentropy(from_logits=True)
    >>> loss(torch.ones(2, 1), torch.zeros(2, 1))
    tensor(0.6931)
    """

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="binary_crossentropy",
        dtype=None,
    ):
        super().__init__(
            binary_crossentropy,
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
