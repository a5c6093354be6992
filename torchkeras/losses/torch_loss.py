"""Loss modules of torch, such as `torch.nn.CrossEntropyLoss`, in the place of our losses."""

import torch
from torch import nn

from torchkeras.core import naming
from torchkeras.core.convert import convert_to_tensor
from torchkeras.losses.loss import (
    Loss,
    align_pair,
    on_device_of,
    reduce_weighted_values,
)

_CLASS_NUMBERS = (nn.NLLLoss, nn.MultiMarginLoss, nn.MultiLabelMarginLoss)
# Those that take targets and predictions of one shape and float dtype.
_SAME_SHAPE = (
    nn.MSELoss,
    nn.L1Loss,
    nn.SmoothL1Loss,
    nn.HuberLoss,
    nn.BCELoss,
    nn.BCEWithLogitsLoss,
    nn.KLDivLoss,
    nn.PoissonNLLLoss,
    nn.SoftMarginLoss,
    nn.MultiLabelSoftMarginLoss,
    nn.HingeEmbeddingLoss,
)


class TorchLoss(Loss):
    """A loss module of torch, called with Keras's `(y_true, y_pred)`.

    The module is called as `module(y_pred, y_true)` in the dtype of the predictions and reduces
    as it was made to. Targets that are class numbers become int64 and lose a last axis of size 1;
    those of modules that compare equal shapes (`nn.MSELoss` and its like) take the dtype and the
    last axis of size 1 of the predictions; other modules get their targets as they come.

    Args:
        module: `torch.nn.Module` called as `module(input, target)`.
        name: str; None for one after the module's class.

    Raises:
        ValueError: when called, sample weights or a mask with a module that gives one number.

    Example:

    >>> loss = keras.losses.get(torch.nn.CrossEntropyLoss())
    >>> loss(torch.tensor([[0], [1]]), torch.zeros(2, 2))
    tensor(0.6931)
    """

    def __init__(self, module, name=None):
        super().__init__(name=name or naming.to_snake_case(type(module).__name__))
        self.module = module
        self._device = None

    def __call__(self, y_true, y_pred, sample_weight=None):
        values = self.call(y_true, y_pred)
        mask = getattr(y_pred, "_keras_mask", None)
        if sample_weight is None and mask is None:
            return values.mean() if values.dim() else values
        if not values.dim():
            what = "sample weights" if mask is None else "the mask of a layer"
            raise ValueError(
                f"To apply {what}, the loss must give one value a sample. Received: "
                f"{self.module}, which gives one number. Make it with reduction='none'."
            )
        return reduce_weighted_values(values, sample_weight, mask, self.reduction)

    def call(self, y_true, y_pred):
        """What the module gives: one number, or one value a sample with reduction="none"."""
        if not isinstance(y_pred, torch.Tensor):
            y_pred = convert_to_tensor(y_pred)
        if self._device != y_pred.device:
            self.module.to(y_pred.device)  # class weights live in buffers of the module
            self._device = y_pred.device
        y_true = on_device_of(y_pred, convert_to_tensor(y_true))
        return self.module(y_pred, self._target(y_true, y_pred))

    def _target(self, y_true, y_pred):
        module = self.module
        if isinstance(module, nn.CrossEntropyLoss):
            if y_true.shape == y_pred.shape and (
                y_true.is_floating_point() or y_true.shape[-1] != 1
            ):
                return y_true.to(y_pred.dtype)  # probabilities, or one-hot integers
            return _class_numbers(y_true, y_pred)
        if isinstance(module, _CLASS_NUMBERS):
            return _class_numbers(y_true, y_pred)
        if isinstance(module, _SAME_SHAPE):
            y_true = y_true.to(y_pred.dtype)
            if y_true.dim() == y_pred.dim() + 1 and y_true.shape[-1] == 1:
                y_true = y_true.squeeze(-1)
            return align_pair(y_true, y_pred)[0]
        return y_true

    def get_config(self):
        """Not to be had: a config never names a module of another library.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "A loss module of torch cannot be described in a config. Received: "
            f"{self.module}. Use a loss of keras.losses where the loss is to be saved, or "
            "compile the loaded model again."
        )

    def __repr__(self):
        return f"<TorchLoss {self.module}>"


def _class_numbers(y_true, y_pred):
    if y_true.dim() == y_pred.dim() and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    return y_true.long()
