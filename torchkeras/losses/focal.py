"""Cross-entropies in which what is classified well already counts little."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.losses.binary import smooth_answers
from torchkeras.losses.categorical import check_axis, match_classes, smooth_classes
from torchkeras.losses.loss import Loss, match_shapes, on_device_of
from torchkeras.losses.loss_function_wrapper import LossFunctionWrapper
from torchkeras.ops.crossentropy import clipped, loss_of_answers


def binary_focal_crossentropy(
    y_true,
    y_pred,
    apply_class_balancing=False,
    alpha=0.25,
    gamma=2.0,
    from_logits=False,
    label_smoothing=0.0,
    axis=-1,
):
    """Binary cross-entropy in which well-classified values count little.

    Each value is multiplied by `(1 - p_t)**gamma`, where `p_t` is the probability given to the
    right answer, and with `apply_class_balancing` by `alpha` for ones, `1 - alpha` for zeros.

    Args:
        y_true, y_pred, from_logits, label_smoothing, axis: as for `binary_crossentropy`.
        apply_class_balancing: bool.
        alpha: float in [0, 1].
        gamma: float, at least 0.

    Source: Lin et al. 2017, arXiv:1708.02002, eqs. 4 and 5.

    Example:

    >>> keras.losses.binary_focal_crossentropy([[1.0]], [[0.5]])
    tensor([0.1733])
    """
    y_true, y_pred = match_shapes(y_true, y_pred)
    y_true = smooth_answers(y_true, label_smoothing)
    if from_logits:
        y_pred = torch.sigmoid(y_pred)
    losses = loss_of_answers(y_true, y_pred, from_logits=False)
    right = y_true * y_pred + (1.0 - y_true) * (1.0 - y_pred)
    losses = (1.0 - right) ** gamma * losses
    if apply_class_balancing:
        losses = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * losses
    return losses.mean(axis)


def categorical_focal_crossentropy(
    y_true,
    y_pred,
    alpha=0.25,
    gamma=2.0,
    from_logits=False,
    label_smoothing=0.0,
    axis=-1,
):
    """Categorical cross-entropy in which well-classified samples count little.

    Computes `-sum(alpha * (1 - p)**gamma * t * log p)` over the classes.

    Args:
        y_true, y_pred, from_logits, label_smoothing, axis: as for `categorical_crossentropy`.
        alpha: float, or a list of one a class.
        gamma: float, at least 0.

    Source: Lin et al. 2017, arXiv:1708.02002, eq. 5.

    Example:

    >>> keras.losses.categorical_focal_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])
    tensor([0.0433])
    """
    check_axis(axis)
    y_true, y_pred = match_classes(y_true, y_pred, axis)
    y_true = smooth_classes(y_true, label_smoothing, axis)
    if from_logits:
        y_pred = y_pred.softmax(axis)
    probabilities = clipped(y_pred / y_pred.sum(axis, keepdim=True))
    if not isinstance(alpha, (int, float)):
        alpha = on_device_of(y_pred, convert_to_tensor(alpha, y_pred.dtype))
    weights = (1.0 - probabilities) ** gamma * alpha
    return (weights * -y_true * probabilities.log()).sum(axis)


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """Binary cross-entropy in which well-classified values count little.

    Args:
        apply_class_balancing: bool, whether ones weigh `alpha` and zeros `1 - alpha`.
        alpha: float in [0, 1].
        gamma: float, at least 0; 0 gives the plain cross-entropy.
        from_logits, label_smoothing, axis: as for `BinaryCrossentropy`.
        reduction, name, dtype: as for `Loss`.

    Source: Lin et al. 2017, arXiv:1708.02002, eqs. 4 and 5.

    Example:

    >>> keras.losses.BinaryFocalCrossentropy()(torch.ones(2, 1), torch.full((2, 1), 0.5))
    tensor(0.1733)
    """

    def __init__(
        self,
        apply_class_balancing=False,
        alpha=0.25,
        gamma=2.0,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="binary_focal_crossentropy",
        dtype=None,
    ):
        super().__init__(
            binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
        self.apply_class_balancing = apply_class_balancing
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def get_config(self):
        """Arguments that make the loss again."""
        return {**Loss.get_config(self), **self._fn_kwargs}


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """Categorical cross-entropy in which well-classified samples count little.

    Args:
        alpha: float, or a list of one a class: weights of the classes.
        gamma: float, at least 0.
        from_logits, label_smoothing, axis: as for `CategoricalCrossentropy`.
        reduction, name, dtype: as for `Loss`.

    Source: Lin et al. 2017, arXiv:1708.02002, eq. 5.

    Example:

    >>> keras.losses.CategoricalFocalCrossentropy()(torch.eye(2), torch.full((2, 2), 0.5))
    tensor(0.0433)
    """

    def __init__(
        self,
        alpha=0.25,
        gamma=2.0,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="categorical_focal_crossentropy",
        dtype=None,
    ):
        super().__init__(
            categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def get_config(self):
        """Arguments that make the loss again."""
        return {**Loss.get_config(self), **self._fn_kwargs}
