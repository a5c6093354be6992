"""Loss, the base class, and what all losses share: masks, sample weights, reductions."""

import torch

from torchkeras.core import config, dtype_policy, naming, tree
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.scopes import SCOPE
from torchkeras.ops.crossentropy import keep_logits

# The reductions that are the plain mean of the values where there is no weight and no mask.
MEAN_REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")
_REDUCTIONS = (*MEAN_REDUCTIONS, "sum", "none", None)


class Loss:
    """Base class of losses: subclass it with `call(y_true, y_pred)`.

    Calling a loss converts both arguments to its dtype, runs `call`, which gives one value a
    sample (or a sample and step), applies the weights and the mask that `y_pred` carries, and
    reduces.

    Args:
        name: str; None for an automatic one.
        reduction: `"sum_over_batch_size"` or `"mean"`: sum divided by the number of values;
            `"mean_with_sample_weight"`: sum divided by the sum of the weights; `"sum"`;
            `"none"` or None: the values themselves.
        dtype: dtype of the computation, name or DTypePolicy; None means `floatx()`.

    Raises:
        ValueError: an unknown `reduction`.

    Example:

    >>> class Distance(keras.losses.Loss):
    ...     def call(self, y_true, y_pred):
    ...         return torch.linalg.vector_norm(y_true - y_pred, dim=-1)
    >>> Distance()(torch.zeros(2, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor(3.)
    """

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None):
        self.name = name or naming.auto_name(type(self).__name__)
        self.reduction = standardize_reduction(reduction)
        self._dtype_policy = dtype_policy.get(dtype or config.floatx())
        self._torch_dtype = to_torch_dtype(self._dtype_policy.compute_dtype)

    # Class labels stay integers: a loss that gathers by them sets this.
    _keeps_integer_targets = False

    @property
    def dtype(self):
        """Name of the dtype that the loss computes in."""
        return self._dtype_policy.compute_dtype

    def __call__(self, y_true, y_pred, sample_weight=None):
        dtype = self._torch_dtype
        mask = getattr(y_pred, "_keras_mask", None)
        y_pred = _convert(y_pred, dtype)
        y_true = _convert(y_true, dtype, keep_integers=self._keeps_integer_targets)
        if isinstance(y_pred, torch.Tensor) and isinstance(y_true, torch.Tensor):
            y_true = on_device_of(y_pred, y_true)
        losses = self.call(y_true, y_pred)
        own_mask = getattr(losses, "_keras_mask", None)
        if mask is None:
            mask = own_mask
        elif own_mask is not None:
            mask = mask & own_mask
        return reduce_weighted_values(losses, sample_weight, mask, self.reduction, dtype)

    def call(self, y_true, y_pred):
        """Loss values before weights and reduction, shape `(batch, ...)`; each subclass's own."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `call(self, y_true, y_pred)` to be used as a "
            "loss. Received: a class without it."
        )

    def get_config(self):
        """Arguments that make the loss again."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config):
        """The loss that `get_config` described."""
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


def can_fuse(y_true, y_pred):
    """Whether both are plain, non-empty tensors on one device, `y_pred` without a mask."""
    return (
        type(y_pred) is torch.Tensor
        and type(y_true) is torch.Tensor
        and getattr(y_pred, "_keras_mask", None) is None
        and y_true.device == y_pred.device
        and y_pred.numel() > 0
    )


def standardize_reduction(reduction):
    """Return `reduction` if it is one of the known ones.

    Raises:
        ValueError: it is not.
    """
    if reduction not in _REDUCTIONS:
        known = ", ".join(repr(name) for name in _REDUCTIONS)
        raise ValueError(f"`reduction` must be one of {known}. Received: reduction={reduction!r}.")
    return reduction


def _convert(x, dtype, keep_integers=False):
    if isinstance(x, torch.Tensor):
        if x.dtype is dtype or (keep_integers and not x.is_floating_point()):
            return x
        converted = x.to(dtype)
        keep_logits(converted, x)  # of a half precision softmax or sigmoid the loss wants them
        return converted
    if tree.is_nested(x) and any(hasattr(leaf, "shape") for leaf in tree.flatten(x)):
        return tree.map_structure(lambda leaf: _convert(leaf, dtype, keep_integers), x)
    x = convert_to_tensor(x)
    return x if keep_integers and not x.is_floating_point() else x.to(dtype)


def on_device_of(reference, x):
    """`x` on the device of `reference`, without waiting for the copy."""
    if x.device == reference.device:
        return x
    return x.to(reference.device, non_blocking=True)


def convert_pair(y_true, y_pred):
    """Both as tensors on one device, `y_pred` of a float dtype, `y_true` in that dtype."""
    if not isinstance(y_pred, torch.Tensor):
        y_pred = convert_to_tensor(y_pred)
    if not y_pred.is_floating_point():
        y_pred = y_pred.to(to_torch_dtype(config.floatx()))
    if not isinstance(y_true, torch.Tensor):
        y_true = convert_to_tensor(y_true)
    if y_true.dtype is not y_pred.dtype:
        y_true = y_true.to(y_pred.dtype)
    return on_device_of(y_pred, y_true), y_pred


def match_shapes(y_true, y_pred):
    """Both as float tensors of one shape, as `convert_pair` and `align_pair` give them.

    Raises:
        ValueError: the shapes do not fit.
    """
    return align_pair(*convert_pair(y_true, y_pred))


def align_pair(y_true, y_pred):
    """Both in one shape: one side may lack a last axis of size 1, or be a single number.

    Nothing else is broadcast: targets `(batch, 2)` beside outputs `(batch, 1)` are a mistake.

    Args:
        y_true, y_pred: tensors.

    Raises:
        ValueError: the shapes do not fit.
    """
    if y_true.shape == y_pred.shape:
        return y_true, y_pred
    if not y_true.dim() or not y_pred.dim():
        return torch.broadcast_tensors(y_true, y_pred)
    true, pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    if true.shape != pred.shape:
        raise ValueError(
            "`y_true` and `y_pred` must have the same shape, but for a last axis of size 1. "
            f"Received: y_true of shape {tuple(y_true.shape)}, y_pred of shape "
            f"{tuple(y_pred.shape)}. Check the targets against the output of the last layer; "
            "integer class labels go with a sparse loss such as 'sparse_categorical_crossentropy'."
        )
    return true, pred


def _broadcastable(a, b):
    sizes = zip(reversed(a.shape), reversed(b.shape), strict=False)
    return all(m == n or m == 1 or n == 1 for m, n in sizes)


def squeeze_or_expand_to_same_rank(x1, x2, expand_rank_1=True):
    """Give both tensors one rank where they differ by a last axis of size 1.

    A vector beside `(n, 1)` gains that axis (unless `expand_rank_1` is False, then the other
    loses it); a tensor of a higher rank makes the other lose it. Anything else stays.
    """
    rank1, rank2 = x1.dim(), x2.dim()
    if rank1 == rank2 + 1 and x1.shape[-1] == 1:
        if rank2 == 1 and expand_rank_1:
            return x1, x2.unsqueeze(-1)
        return x1.squeeze(-1), x2
    if rank2 == rank1 + 1 and x2.shape[-1] == 1:
        if rank1 == 1 and expand_rank_1:
            return x1.unsqueeze(-1), x2
        return x1, x2.squeeze(-1)
    return x1, x2


def divide_no_nan(x, y):
    """`x / y`, and 0 where `y` is 0 (tensors of one dtype)."""
    zero = y == 0
    return torch.where(zero, 0.0, x / torch.where(zero, 1.0, y))


def align_weights(values, weights):
    """Values and weights in shapes whose product is per value.

    The squeeze rule first; then weights of shape `(batch,)`, or of any leading part of the
    shape of `values`, count for everything behind. Anything else must broadcast.
    """
    values, weights = squeeze_or_expand_to_same_rank(values, weights)
    missing = values.dim() - weights.dim()
    if missing > 0 and weights.dim() and values.shape[: weights.dim()] == weights.shape:
        weights = weights.reshape(*weights.shape, *[1] * missing)
    # Weights of more axes than values would make a table of all pairs out of them.
    if (values.dim() and weights.dim() > values.dim()) or not _broadcastable(values, weights):
        raise ValueError(
            "`sample_weight` must have the shape of the loss values, or a leading part of it such "
            f"as (batch,). Received: weights of shape {tuple(weights.shape)} for values of shape "
            f"{tuple(values.shape)}. Give one weight a sample, or one a value."
        )
    return values, weights


def apply_mask(sample_weight, mask, dtype, reduction):
    """Weights that include a mask.

    For the reductions that divide by the number of values, the weight of an unmasked value is
    raised to `size / number unmasked`, so that the mean is one over the unmasked values.

    Args:
        sample_weight: tensor or None.
        mask: boolean tensor or None; True where a value counts.
        dtype: torch dtype of the result.
        reduction: name of a reduction.
    """
    if mask is None:
        return sample_weight
    weights = mask.to(dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        count = weights.sum()
        if SCOPE.replica is None:
            count = count.clamp(min=1)
        else:  # of all processes
            count = SCOPE.replica.normalizer(count, least=1)
        weights = weights * (mask.numel() / count)
    if sample_weight is None:
        return weights
    weights, sample_weight = align_weights(weights, sample_weight.to(dtype))
    return weights * sample_weight


def reduce_weighted_values(
    values, sample_weight=None, mask=None, reduction="sum_over_batch_size", dtype=None
):
    """Apply weights and mask to loss values, and reduce them.

    Args:
        values: tensor `(batch, ...)`.
        sample_weight: number, array or tensor whose shape is a leading part of that of
            `values`, or broadcasts; None for 1.
        mask: boolean tensor or None.
        reduction: as for `Loss`.
        dtype: dtype of the result; None keeps that of `values`.

    Raises:
        ValueError: unknown reduction, or weights that do not fit the values.
    """
    standardize_reduction(reduction)
    values = convert_to_tensor(values, dtype)
    if sample_weight is not None:
        sample_weight = on_device_of(values, convert_to_tensor(sample_weight, values.dtype))
    if mask is not None:
        mask = on_device_of(values, convert_to_tensor(mask, "bool"))
        _check_mask(mask, values)
    weights = apply_mask(sample_weight, mask, values.dtype, reduction)
    if weights is not None:
        values, weights = align_weights(values, weights)
        values = values * weights
    return _reduce(values, weights, reduction)


def _check_mask(mask, values):
    if mask.shape == values.shape[: mask.dim()]:
        return
    try:
        align_weights(values, mask)
    except ValueError:
        raise ValueError(
            "The mask of y_pred must have the shape of the loss values, or a leading part of it "
            f"such as (batch,). Received: a mask of shape {tuple(mask.shape)} for values of "
            f"shape {tuple(values.shape)}. A layer that changes the shape of its input gives the "
            "new mask in `compute_mask(inputs, mask)`, or None."
        ) from None


def _reduce(values, weights, reduction):
    if reduction in (None, "none") or values.dim() == 0 or values.shape == (0,):
        return values
    if reduction == "sum" or values.numel() == 0:
        return values.sum()
    if reduction == "mean_with_sample_weight" and weights is not None:
        total = weights.sum()
        if SCOPE.replica is not None:
            total = SCOPE.replica.normalizer(total)
        return divide_no_nan(values.sum(), total)
    return values.mean()
