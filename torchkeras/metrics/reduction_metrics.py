"""Mean and sum of values, and MeanMetricWrapper, the mean of a function of targets and outputs."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.scopes import SCOPE
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.losses.loss import (
    align_weights,
    apply_mask,
    can_fuse,
    on_device_of,
    squeeze_or_expand_to_same_rank,
)
from torchkeras.metrics.lookup import function_named
from torchkeras.metrics.metric import Metric


def samplewise(values, sample_weight, reduce, dtype):
    """One value, and one weight, a sample.

    Args:
        values: tensor `(batch, ...)`.
            They may carry a mask in `_keras_mask`, of what counts.
        sample_weight: number, array or tensor of a leading part of that shape, or None.
        reduce: `torch.mean` or `torch.sum`, applied to the axes behind the batch.
        dtype: torch dtype of the computation.

    Returns:
        Weighted values and weights, each `(batch,)` or a scalar; weights None if neither they nor
        a mask came.
    """
    mask = getattr(values, "_keras_mask", None)
    values = values.to(dtype)
    weights = None
    if sample_weight is not None:
        weights = on_device_of(values, convert_to_tensor(sample_weight, dtype))
    if mask is not None:
        weights = apply_mask(weights, on_device_of(values, mask), dtype, "sum")
    if weights is None:
        return _flat(values, 1, reduce), None
    values, weights = squeeze_or_expand_to_same_rank(values, weights)
    rank = weights.dim()
    values = _flat(values, rank, reduce)
    if weights.shape != values.shape:
        values, weights = _broadcast(values, weights)
    return _flat(values * weights, 1, reduce), _flat(weights, 1, reduce) if rank > 1 else weights


def _flat(x, first, reduce):
    """`x` reduced over the axes from `first` on."""
    return reduce(x, dim=tuple(range(first, x.dim()))) if x.dim() > first else x


def _broadcast(values, weights):
    values, weights = align_weights(values, weights)
    return values, weights.expand(values.shape)


class Sum(Metric):
    """Sum of values times weights.

    Args:
        name, dtype: as for `Metric`.

    Example:

    >>> metric = keras.metrics.Sum()
    >>> metric.update_state([1.0, 3.0])
    >>> metric.update_state([5.0], sample_weight=2.0)
    >>> float(metric.result())
    14.0
    """

    def __init__(self, name="sum", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), dtype=self.dtype, name="total")

    def update_state(self, values, sample_weight=None):
        """Add values of any shape; weights of a leading part of it, or broadcasting."""
        with torch.no_grad():
            values = convert_to_tensor(values)
            dtype = self._torch_dtype
            values, _ = samplewise(values, sample_weight, torch.sum, dtype)
            self._add(self.total, values.sum())

    def reset_state(self):
        """Set the sum to zero."""
        self.total.assign(0)

    def result(self):
        """The sum, a scalar."""
        # A copy: the state itself changes in place with the next batch.
        return self.total.value.clone()


class Mean(Metric):
    """Weighted mean of values: the sum of values times weights over the sum of the weights.

    Before the first update it is 0. Values with more axes than the batch count with their mean
    over these.

    Args:
        name, dtype: as for `Metric`.

    Example:

    >>> metric = keras.metrics.Mean()
    >>> metric.update_state([1.0, 3.0])
    >>> metric.update_state(5.0, sample_weight=2)
    >>> float(metric.result())
    3.5
    """

    def __init__(self, name="mean", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), dtype=self.dtype, name="total")
        self.count = self.add_variable((), dtype=self.dtype, name="count")

    def update_state(self, values, sample_weight=None):
        """Add values.

        Args:
            values: number, array or tensor `(batch, ...)`.
            sample_weight: number, or weights whose shape is a leading part of that of `values`;
                None for 1. For a scalar of a whole batch: the size of the batch.
        """
        if (
            sample_weight is None
            and type(values) is torch.Tensor
            and getattr(values, "_keras_mask", None) is None
        ):
            if not values.dim():
                self._add_both(values, 1, 1)
            else:
                # The mean over the axes behind the batch, summed over the batch, in one step.
                samples, size = values.shape[0], values.numel()
                alpha = samples / size if size else 1
                self._add_both(values.sum(dtype=self._torch_dtype), alpha, samples)
        elif type(values) is torch.Tensor and not values.dim() and _is_number(sample_weight):
            self._add_both(values, sample_weight, sample_weight)
        else:
            with torch.no_grad():
                self._add_weighted(convert_to_tensor(values), sample_weight)

    def _add_both(self, part, alpha, weight):
        """Add `alpha * part` to the total and the number `weight` to the count, in place."""
        total = self.total._store[self.total._key]
        if SCOPE.stateless is None and not SCOPE.meta and part.device == total.device:
            total.add_(part.detach() if part.requires_grad else part, alpha=alpha)
            self.count._store[self.count._key].add_(weight)
        else:
            self._add(self.total, part, alpha)
            self._add(self.count, weight)

    def _add_weighted(self, values, sample_weight):
        dtype = self._torch_dtype
        values, weights = samplewise(values, sample_weight, torch.mean, dtype)
        self._add(self.total, values.sum())
        if weights is not None:
            self._add(self.count, weights.sum())
        else:
            self._add(self.count, values.shape[0] if values.dim() else 1)

    def reset_state(self):
        """Set total and count to zero."""
        self.total.assign(0)
        self.count.assign(0)

    def result(self):
        """The mean, a scalar; 0 before the first update."""
        total, count = self.total.value, self.count.value
        return torch.where(count == 0, count, total / count)


def _is_number(x):
    return type(x) is int or type(x) is float


class MeanMetricWrapper(Mean):
    """Mean over all samples of `fn(y_true, y_pred, **kwargs)`.

    Args:
        fn: function of targets and outputs that gives one value a sample, `(batch, ...)`.
        name, dtype: as for `Metric`.
        **kwargs: further arguments of `fn`, part of the config.

    Example:

    >>> def within_one(y_true, y_pred):
    ...     return ((y_true - y_pred).abs() <= 1).float()
    >>> metric = keras.metrics.MeanMetricWrapper(within_one, name="within_one")
    >>> metric.update_state(torch.zeros(4), torch.tensor([0.5, 1.0, 2.0, 3.0]))
    >>> float(metric.result())
    0.5
    """

    def __init__(self, fn, name=None, dtype=None, **kwargs):
        super().__init__(name=name, dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs
        # A loss function knows its mean over a batch at once; an accuracy its values as booleans.
        self._fused_mean = getattr(fn, "_fused_mean", None)
        self._values = getattr(fn, "_matches", fn)
        if type(self)._direction is None and _is_loss(fn):
            self._direction = "down"

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch.

        Args:
            y_true: targets, of a shape that `fn` takes.
            y_pred: outputs; their `_keras_mask`, if they carry one, leaves samples out.
            sample_weight: weights whose shape is a leading part of that of the values; None for 1.
        """
        if not torch.is_grad_enabled():
            self._update(y_true, y_pred, sample_weight)
        else:
            with torch.no_grad():
                self._update(y_true, y_pred, sample_weight)

    def _update(self, y_true, y_pred, sample_weight):
        if (
            sample_weight is None
            and self._fused_mean is not None
            and can_fuse(y_true, y_pred)
            and y_pred.dtype is torch.float32
            and y_pred.dim() > 1
        ):
            mean = self._fused_mean(y_true, y_pred, **self._fn_kwargs)
            if mean is not None:
                self._add_both(mean, y_pred.shape[0], y_pred.shape[0])
                return
        mask = getattr(y_pred, "_keras_mask", None)
        values = convert_to_tensor(self._values(y_true, y_pred, **self._fn_kwargs))
        if mask is not None:
            dtype = self._torch_dtype
            if sample_weight is not None:
                sample_weight = on_device_of(values, convert_to_tensor(sample_weight, dtype))
            sample_weight = apply_mask(sample_weight, on_device_of(values, mask), dtype, "sum")
        Mean.update_state(self, values, sample_weight)

    def get_config(self):
        """Arguments that make the metric again, the function by its name."""
        config = {**super().get_config(), "fn": serialize_keras_object(self._fn)}
        return {**config, **serialize_keras_object(self._fn_kwargs)}

    @classmethod
    def from_config(cls, config):
        """The metric that `get_config` described, at its beginning."""
        if "fn" in config:
            # A plain string stays one: `name` may be that of a custom object.
            config = {
                key: value if isinstance(value, str) else deserialize_keras_object(value)
                for key, value in config.items()
            }
            if isinstance(config["fn"], str):
                config["fn"] = function_named(config["fn"])
        return cls(**config)


def _is_loss(fn):
    module = getattr(fn, "__module__", None) or type(fn).__module__
    return module.startswith("torchkeras.losses.")
