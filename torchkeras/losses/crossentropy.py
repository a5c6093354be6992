"""Cross-entropies between class labels or probabilities and predictions.

Predictions are logits (`from_logits=True`) or probabilities. Behind probabilities that come
straight from our softmax or sigmoid the logits are still known, and the losses compute from
these: the same value in fewer and steadier steps, but for the clip at `epsilon()` (1e-7), so that
a probability that has rounded to 0 still has a gradient.
"""

import warnings

import torch
import torch.nn.functional as F

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.losses.loss import (
    Loss,
    LossFunctionWrapper,
    logits_behind,
    match_shapes,
    on_device_of,
)
from torchkeras.losses.regression import paired, with_fused_mean
from torchkeras.ops.crossentropy import IGNORE_NOTHING


def _logits_of_softmax(y_pred, axis):
    """Logits that `y_pred` is the softmax of along `axis`, or None if they are not known."""
    if getattr(y_pred, "_keras_logits", None) is None:
        return None
    return logits_behind(y_pred, axis % y_pred.dim())


def _is_last(axis, rank):
    return axis == -1 or axis == rank - 1


def _check_axis(axis):
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise ValueError(
            f"`axis` must be an int, the axis of the classes. Received: axis={axis!r} of type "
            f"{type(axis).__name__}."
        )


def at_least_float32(x):
    """Half precision as float32: it has no number between 1 - 1e-7 and 1."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _clip(probabilities):
    eps = config.epsilon()
    return probabilities.clamp(eps, 1.0 - eps)


# Binary


def _binary(y_true, y_pred, from_logits, label_smoothing, reduction):
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        return F.binary_cross_entropy_with_logits(y_pred, y_true, reduction=reduction)
    # The logit of the clipped probability gives the same value in two fused steps. Unlike
    # F.binary_cross_entropy it lets nan pass, which there ends the process on a GPU.
    logits = torch.logit(at_least_float32(y_pred), eps=config.epsilon())
    losses = F.binary_cross_entropy_with_logits(
        logits, y_true.to(logits.dtype), reduction=reduction
    )
    return losses.to(y_pred.dtype)


def _fused_binary(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    y_true = paired(y_true, y_pred)
    if y_true is None or not _is_last(axis, y_pred.dim()):
        return None
    if not from_logits:
        logits = logits_behind(y_pred, "sigmoid")
        if logits is not None:
            y_pred, from_logits = logits, True
    return _binary(y_true, y_pred, from_logits, label_smoothing, "mean")


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
    if not from_logits:
        logits = logits_behind(y_pred, "sigmoid")
        if logits is not None:
            y_pred, from_logits = logits, True
    y_true, y_pred = match_shapes(y_true, y_pred, exact=True)
    return _binary(y_true, y_pred, from_logits, label_smoothing, "none").mean(axis)


# Categorical


def _fused_categorical(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    rank = y_pred.dim()
    if rank < 2 or not _is_last(axis, rank) or y_true.shape != y_pred.shape:
        return None
    logits = y_pred if from_logits else _logits_of_softmax(y_pred, axis)
    if logits is None or logits.shape[-1] == 1:
        return None
    if y_true.dtype is not logits.dtype:
        y_true = y_true.to(logits.dtype)
    if rank > 2:
        logits, y_true = logits.flatten(0, -2), y_true.flatten(0, -2)
    return F.cross_entropy(logits, y_true, label_smoothing=label_smoothing)


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
    _check_axis(axis)
    if not from_logits and isinstance(y_pred, torch.Tensor):
        logits = _logits_of_softmax(y_pred, axis)
        if logits is not None:
            y_pred, from_logits = logits, True
    y_true, y_pred = _match_classes(y_true, y_pred, axis)
    if label_smoothing:
        y_true = _smooth(y_true, label_smoothing, axis)
    if from_logits:
        log_probabilities = F.log_softmax(y_pred, dim=axis)
    else:
        log_probabilities = _clip(y_pred / y_pred.sum(axis, keepdim=True)).log()
    return -(y_true * log_probabilities).sum(axis)


def _match_classes(y_true, y_pred, axis):
    """Targets and predictions of one shape, with at least one axis."""
    y_true, y_pred = match_shapes(y_true, y_pred, exact=True)
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


def _smooth(y_true, label_smoothing, axis):
    return y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[axis]


# Sparse categorical


def _fused_sparse(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    rank = y_pred.dim()
    if ignore_class is not None or rank < 2 or not _is_last(axis, rank):
        return None
    logits = y_pred if from_logits else _logits_of_softmax(y_pred, axis)
    if logits is None:
        return None
    shape = y_pred.shape
    if y_true.dim() == rank and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    if y_true.shape != shape[:-1]:
        return None
    if y_true.dtype is not torch.int64:
        y_true = y_true.long()
    if rank > 2:
        logits, y_true = logits.flatten(0, -2), y_true.flatten()
    try:
        return F.cross_entropy(logits, y_true, ignore_index=IGNORE_NOTHING)
    except (IndexError, RuntimeError) as error:
        _explain_labels(y_true, shape[-1], error)


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
    _check_axis(axis)
    if not isinstance(y_pred, torch.Tensor):
        y_pred = convert_to_tensor(y_pred)
    if not y_pred.is_floating_point():
        y_pred = y_pred.to(to_torch_dtype(config.floatx()))
    if not from_logits:
        logits = _logits_of_softmax(y_pred, axis)
        if logits is not None:
            y_pred, from_logits = logits, True
    labels = _labels(y_true, y_pred, axis)
    classes = y_pred.shape[axis]
    if ignore_class is None:
        return _of_label(labels, y_pred, from_logits, axis, classes)
    counts = labels != int(ignore_class)
    labels = torch.where(counts, labels, 0)
    # A row that does not count may hold anything (nan after attention to nothing, say), and nan
    # times a gradient of 0 is nan.
    y_pred = torch.where(counts.unsqueeze(axis), y_pred, 1.0)
    losses = _of_label(labels, y_pred, from_logits, axis, classes)
    losses = torch.where(counts, losses, 0.0)
    losses._keras_mask = counts
    return losses


sparse_categorical_crossentropy._keeps_integer_targets = True


def _labels(y_true, y_pred, axis):
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


def _of_label(labels, y_pred, from_logits, axis, classes):
    """`-log p` of each label."""
    try:
        if not from_logits:
            chosen = y_pred.gather(axis, labels.unsqueeze(axis)).squeeze(axis)
            return -_clip(chosen / y_pred.sum(axis)).log()
        rank = y_pred.dim()
        if rank == 1:
            return F.cross_entropy(y_pred, labels, ignore_index=IGNORE_NOTHING)
        if rank > 2 and _is_last(axis, rank):
            # As a flat list: over a moved axis torch takes a slower kernel.
            flat = F.cross_entropy(
                y_pred.flatten(0, -2),
                labels.flatten(),
                reduction="none",
                ignore_index=IGNORE_NOTHING,
            )
            return flat.view(labels.shape)
        logits = y_pred if axis % rank == 1 else y_pred.movedim(axis, 1)
        return F.cross_entropy(logits, labels, reduction="none", ignore_index=IGNORE_NOTHING)
    except (IndexError, RuntimeError) as error:
        _explain_labels(labels, classes, error)


def _explain_labels(labels, classes, error):
    """Re-raise what torch said, in our words where a label outside the classes was the cause."""
    if labels.device.type == "cpu" and labels.numel():
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            raise ValueError(
                f"Labels must be whole numbers from 0 to {classes - 1}, as `y_pred` has {classes} "
                f"classes. Received: y_true from {low} to {high}. Give the last layer more units, "
                "renumber the labels, or name a label to skip in `ignore_class`."
            ) from error
    raise error


# Focal


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
    y_true, y_pred = match_shapes(y_true, y_pred, exact=True)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        y_pred = torch.sigmoid(y_pred)
    losses = _binary(y_true, y_pred, False, 0.0, "none")
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
    _check_axis(axis)
    y_true, y_pred = _match_classes(y_true, y_pred, axis)
    if label_smoothing:
        y_true = _smooth(y_true, label_smoothing, axis)
    if from_logits:
        y_pred = y_pred.softmax(axis)
    probabilities = _clip(y_pred / y_pred.sum(axis, keepdim=True))
    if not isinstance(alpha, (int, float)):
        alpha = on_device_of(y_pred, convert_to_tensor(alpha, y_pred.dtype))
    weights = (1.0 - probabilities) ** gamma * alpha
    return (weights * -y_true * probabilities.log()).sum(axis)


# Classes


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


# Generalized


def categorical_generalized_cross_entropy(y_true, y_pred, q):
    """`(1 - p[label]**q) / q`: between the cross-entropy (q to 0) and the absolute error (q = 1).

    Args:
        y_true: labels in [0, classes), `(batch, ...)`; any dtype, whole numbers.
        y_pred: probabilities `(batch, ..., classes)`.
        q: float in (0, 1); the larger, the less wrong labels matter.

    Returns:
        Tensor `(batch, ...)` in the dtype of `y_pred`.

    Raises:
        ValueError: shapes that do not fit; on the CPU, a label outside the classes.

    Source: Zhang and Sabuncu 2018, arXiv:1805.07836, eq. 6.

    Example:

    >>> keras.losses.categorical_generalized_cross_entropy([1], [[0.75, 0.25]], q=0.5)
    tensor([1.])
    """
    y_pred = convert_to_tensor(y_pred)
    labels = _labels(y_true, y_pred, -1)
    try:
        chosen = y_pred.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    except (IndexError, RuntimeError) as error:
        _explain_labels(labels, y_pred.shape[-1], error)
    return (1.0 - chosen**q) / q


categorical_generalized_cross_entropy._keeps_integer_targets = True


class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """Cross-entropy that noisy labels disturb less.

    Args:
        q: float in (0, 1); the larger, the less wrong labels matter.
        reduction, name, dtype: as for `Loss`.

    Input shapes: `y_true` labels `(batch, ...)`, `y_pred` probabilities `(batch, ..., classes)`.

    Raises:
        ValueError: `q` is not between 0 and 1.

    Source: Zhang and Sabuncu 2018, arXiv:1805.07836, eq. 6.

    Example:

    >>> loss = keras.losses.CategoricalGeneralizedCrossEntropy()
    >>> loss(torch.tensor([1]), torch.tensor([[0.75, 0.25]]))
    tensor(1.)
    """

    def __init__(
        self,
        q=0.5,
        reduction="sum_over_batch_size",
        name="categorical_generalized_cross_entropy",
        dtype=None,
    ):
        if not 0 < q < 1:
            raise ValueError(f"`q` must lie between 0 and 1, both excluded. Received: q={q}.")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)
        self.q = q

    def get_config(self):
        """Arguments that make the loss again."""
        return {**Loss.get_config(self), "q": self.q}
