"""Losses of torch, such as `torch.nn.CrossEntropyLoss` and `F.mse_loss`, in the place of ours."""

import copy
import functools
import inspect
import types

import torch
from torch import nn

from torchkeras.core import naming
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.scopes import SCOPE
from torchkeras.losses.loss import (
    Loss,
    align_pair,
    on_device_of,
    reduce_weighted_values,
)

# What targets a loss takes, by the name of its function or of its module in snake case.
_CLASSES = ("cross_entropy", "cross_entropy_loss", "nll_loss")
_CLASS_NUMBERS = ("nll_loss", "multi_margin_loss", "multi_label_margin_loss")
# Those that take targets and predictions of one shape and float dtype.
_SAME_SHAPE = (
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "bce_loss",
    "binary_cross_entropy",
    "bce_with_logits_loss",
    "binary_cross_entropy_with_logits",
    "kl_div",
    "poisson_nll_loss",
    "soft_margin_loss",
    "multi_label_soft_margin_loss",
    "hinge_embedding_loss",
)
_MODULES = {
    nn.CrossEntropyLoss: "cross_entropy",
    nn.NLLLoss: "nll_loss",
    nn.MultiMarginLoss: "multi_margin_loss",
    nn.MultiLabelMarginLoss: "multi_label_margin_loss",
    nn.MSELoss: "mse_loss",
    nn.L1Loss: "l1_loss",
    nn.SmoothL1Loss: "smooth_l1_loss",
    nn.HuberLoss: "huber_loss",
    nn.BCELoss: "bce_loss",
    nn.BCEWithLogitsLoss: "bce_with_logits_loss",
    nn.KLDivLoss: "kl_div",
    nn.PoissonNLLLoss: "poisson_nll_loss",
    nn.SoftMarginLoss: "soft_margin_loss",
    nn.MultiLabelSoftMarginLoss: "multi_label_soft_margin_loss",
    nn.HingeEmbeddingLoss: "hinge_embedding_loss",
}
# Of torch and its siblings, whose functions take `(input, target)`.
_LIBRARIES = ("torch", "torchvision", "torchaudio", "torchmetrics")


def is_of_torch(function):
    """Whether a function, or what a `functools.partial` is of, is one of torch's own.

    Example:

    >>> from torchkeras.losses.torch_loss import is_of_torch
    >>> is_of_torch(torch.nn.functional.mse_loss), is_of_torch(lambda y_true, y_pred: 0)
    (True, False)
    """
    function = _inner(function)
    if not isinstance(function, (types.FunctionType, types.BuiltinFunctionType)):
        return False
    return (function.__module__ or "").partition(".")[0] in _LIBRARIES


def _inner(function):
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _kind(module):
    """The name of the function of torch that computes a loss; None for any other."""
    if isinstance(module, nn.Module):
        return next((name for cls, name in _MODULES.items() if isinstance(module, cls)), None)
    name = _inner(module).__name__
    return {"multilabel_margin_loss": "multi_label_margin_loss"}.get(
        name, name.replace("multilabel_", "multi_label_")
    )


class TorchLoss(Loss):
    """A loss module or function of torch, called with Keras's `(y_true, y_pred)`.

    It is called as `module(y_pred, y_true)` in the dtype of the predictions and reduces as it was
    made to. Targets that are class numbers become int64 and lose a last axis of size 1; those of
    losses that compare equal shapes (`nn.MSELoss` and its like) take the dtype and the last axis
    of size 1 of the predictions; others get their targets as they come.

    In a job of several processes the sum of `reduction="sum"`, and the mean of a cross-entropy
    with `weight` or `ignore_index`, are those of the whole batch. A module of one's own is taken
    for a mean over the samples.

    Args:
        module: `torch.nn.Module` or function called as `module(input, target)`.
        name: str; None for one after the module's class or the function.

    Raises:
        ValueError: when called, targets of another shape than the predictions; sample weights or
            a mask with a module that gives one number.

    Example:

    >>> loss = keras.losses.get(torch.nn.CrossEntropyLoss())
    >>> loss(torch.tensor([[0], [1]]), torch.zeros(2, 2))
    tensor(0.6931)
    """

    def __init__(self, module, name=None):
        is_module = isinstance(module, nn.Module)
        default = type(module).__name__ if is_module else _inner(module).__name__
        reduction = "sum" if self._given(module, "reduction") == "sum" else "sum_over_batch_size"
        super().__init__(name=name or naming.to_snake_case(default), reduction=reduction)
        self.module = module
        self._device = None
        self._kind = _kind(module)

    @staticmethod
    def _given(module, argument):
        """An argument that the module or `functools.partial` was made with, or None."""
        if isinstance(module, nn.Module):
            return getattr(module, argument, None)
        return module.keywords.get(argument) if isinstance(module, functools.partial) else None

    def _reducing_by(self, reduction):
        """The same loss with another reduction; None where it has no such argument."""
        module = self.module
        if not isinstance(module, nn.Module):
            if "reduction" not in _parameters(module):
                return None
            return functools.partial(module, reduction=reduction)
        if not isinstance(getattr(module, "reduction", None), str):
            return None
        other = copy.copy(module)
        other.reduction = reduction
        return other

    def __call__(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = self._pair(y_true, y_pred)
        mask = getattr(y_pred, "_keras_mask", None)
        if sample_weight is None and mask is None:
            if SCOPE.replica is not None and self._divides_by_weights(y_true, y_pred):
                total = SCOPE.replica.normalizer(self._total_weight(y_true))
                return self._reducing_by("sum")(y_pred, y_true) / total
            values = self.module(y_pred, y_true)
            return values.mean() if values.dim() else values
        module = self.module
        if not isinstance(module, nn.Module) and self._given(module, "reduction") is None:
            module = self._reducing_by("none") or module
        values = module(y_pred, y_true)
        if not values.dim():
            what = "sample weights" if mask is None else "the mask of a layer"
            raise ValueError(
                f"To apply {what}, the loss must give one value a sample. Received: "
                f"{self.module}, which gives one number. Make it with reduction='none'."
            )
        return reduce_weighted_values(values, sample_weight, mask, self.reduction)

    def call(self, y_true, y_pred):
        """What the module gives: one number, or one value a sample with reduction="none"."""
        y_true, y_pred = self._pair(y_true, y_pred)
        return self.module(y_pred, y_true)

    def _pair(self, y_true, y_pred):
        """Targets as the module takes them, and predictions, on one device."""
        if not isinstance(y_pred, torch.Tensor):
            y_pred = convert_to_tensor(y_pred)
        if self._device != y_pred.device:
            self._move(y_pred.device)
        y_true = on_device_of(y_pred, convert_to_tensor(y_true))
        return self._target(y_true, y_pred), y_pred

    def _move(self, device):
        """Take the weights of classes along: buffers of the module, or arguments of a partial."""
        self._device = device
        if isinstance(self.module, nn.Module):
            self.module.to(device)
        elif isinstance(self.module, functools.partial):
            keywords = {
                key: value.to(device) if isinstance(value, torch.Tensor) else value
                for key, value in self.module.keywords.items()
            }
            self.module = functools.partial(self.module.func, *self.module.args, **keywords)

    def _target(self, y_true, y_pred):
        kind = self._kind
        if kind in _CLASS_NUMBERS:
            return _class_numbers(y_true, y_pred)
        if kind in _CLASSES:
            if y_true.shape == y_pred.shape and (
                y_true.is_floating_point() or y_true.shape[-1] != 1
            ):
                return y_true.to(y_pred.dtype)  # probabilities, or one-hot integers
            return _class_numbers(y_true, y_pred)
        if kind in _SAME_SHAPE:
            y_true = y_true.to(y_pred.dtype)
            if y_true.dim() == y_pred.dim() + 1 and y_true.shape[-1] == 1:
                y_true = y_true.squeeze(-1)
            return align_pair(y_true, y_pred)[0]
        return y_true

    # Of several processes

    def _divides_by_weights(self, y_true, y_pred):
        """Whether the mean is over the weights of the classes, ignored places being without."""
        reduction = self._given(self.module, "reduction")
        return (
            self._kind in _CLASSES
            and reduction in (None, "mean")
            and not y_true.is_floating_point()
        )

    def _total_weight(self, y_true):
        weight = self._given(self.module, "weight")
        ignored = self._given(self.module, "ignore_index")
        counts = y_true != (-100 if ignored is None else ignored)
        if weight is None:
            return counts.sum().float()
        return (weight[torch.where(counts, y_true, 0)] * counts).sum()

    def get_config(self):
        """Not to be had: a config never names a module of another library.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "A loss of torch cannot be described in a config. Received: "
            f"{self.module}. Use a loss of keras.losses where the loss is to be saved, or "
            "compile the loaded model again."
        )

    def __repr__(self):
        return f"<TorchLoss {self.module}>"


def _class_numbers(y_true, y_pred):
    if y_true.dim() == y_pred.dim() and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    return y_true.long()


def _parameters(function):
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # of a builtin
        return ()


class ValuesOfTorch:
    """A loss of torch as a function `(y_true, y_pred)` of one value a sample, for a metric.

    Args:
        module: as for `TorchLoss`.
    """

    def __init__(self, module):
        self._loss = TorchLoss(module)
        self.__name__ = self._loss.name

    def __call__(self, y_true, y_pred):
        loss = self._loss
        y_true, y_pred = loss._pair(y_true, y_pred)
        values = (loss._reducing_by("none") or loss.module)(y_pred, y_true)
        if not values.dim():  # a number for the batch counts as that of each sample
            return values.expand(y_pred.shape[:1])
        if loss._kind in _CLASSES and not y_true.is_floating_point():
            ignored = loss._given(loss.module, "ignore_index")
            values = values.clone()
            values._keras_mask = y_true != (-100 if ignored is None else ignored)
        return values
