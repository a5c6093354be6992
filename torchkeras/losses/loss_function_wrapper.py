"""LossFunctionWrapper: a function as a loss."""

import torch

from torchkeras.core import tree
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.losses.lookup import get
from torchkeras.losses.loss import (
    MEAN_REDUCTIONS,
    Loss,
    can_fuse,
    squeeze_or_expand_to_same_rank,
)


class LossFunctionWrapper(Loss):
    """A plain function `fn(y_true, y_pred, **kwargs)` as a loss.

    Args:
        fn: function that gives one value a sample.
        reduction, name, dtype: as for `Loss`.
        **kwargs: further arguments of `fn`, part of the config.

    Example:

    >>> from torchkeras.losses import LossFunctionWrapper
    >>> loss = LossFunctionWrapper(keras.losses.huber, delta=2.0)
    >>> loss(torch.zeros(2, 1), torch.tensor([[1.0], [3.0]]))
    tensor(2.2500)
    """

    def __init__(self, fn, reduction="sum_over_batch_size", name=None, dtype=None, **kwargs):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs
        # The mean of `fn` in few torch calls. A subclass with a `call` of its own has none.
        own_call = type(self).call is not LossFunctionWrapper.call
        self._fused_mean = None if own_call else getattr(fn, "_fused_mean", None)
        self._keeps_integer_targets = getattr(fn, "_keeps_integer_targets", False)

    def __call__(self, y_true, y_pred, sample_weight=None):
        fused_mean = self._fused_mean
        if (
            fused_mean is not None
            and sample_weight is None
            and self.reduction in MEAN_REDUCTIONS
            and can_fuse(y_true, y_pred)
            and y_pred.dtype is self._torch_dtype
        ):
            loss = fused_mean(y_true, y_pred, **self._fn_kwargs)
            if loss is not None:
                return loss
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        """Values of `fn`, after a last axis of size 1 that one side lacks is squared up."""
        if self._keeps_integer_targets:
            pass  # labels have a rank of their own, which the function knows
        elif isinstance(y_true, torch.Tensor) and isinstance(y_pred, torch.Tensor):
            if y_true.dim() != y_pred.dim():
                y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        elif tree.is_nested(y_true) and tree.is_nested(y_pred):
            pairs = [
                squeeze_or_expand_to_same_rank(true, pred)
                for true, pred in zip(tree.flatten(y_true), tree.flatten(y_pred), strict=True)
            ]
            y_true = tree.pack_sequence_as(y_true, [true for true, _ in pairs])
            y_pred = tree.pack_sequence_as(y_pred, [pred for _, pred in pairs])
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self):
        """Arguments that make the loss again, the function by its name."""
        config = {**super().get_config(), "fn": serialize_keras_object(self.fn)}
        return {**config, **serialize_keras_object(self._fn_kwargs)}

    @classmethod
    def from_config(cls, config):
        """The loss that `get_config` described."""
        if "fn" in config:
            # A plain string stays one: `name` may be that of a custom object.
            config = {
                key: value if isinstance(value, str) else deserialize_keras_object(value)
                for key, value in config.items()
            }
            config["fn"] = get(config["fn"])
        return cls(**config)
