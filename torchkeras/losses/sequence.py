"""CTC: the loss between a sequence of predictions and a shorter, unaligned one of labels."""

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.losses.loss import Loss, on_device_of
from torchkeras.losses.loss_function_wrapper import LossFunctionWrapper
from torchkeras.ops.ctc import loss_of_sequences


def ctc(y_true, y_pred):
    """Negative log-likelihood of label sequences, summed over all their alignments.

    Args:
        y_true: labels `(batch, max_length)`, whole numbers; 0 is the blank and ends a sequence.
        y_pred: logits `(batch, steps, classes)`, floating point; class 0 is the blank.

    Returns:
        Tensor `(batch,)`, at least float32.

    Raises:
        ValueError: other ranks than these, or a label that is no class (on a device other than the
            CPU, and under `torch.compile`, the loss of its sequence is NaN).

    Source: Graves et al. 2006, ICML, "Connectionist temporal classification", eq. 12.

    Example:

    >>> keras.losses.ctc([[1]], torch.zeros(1, 1, 2))
    tensor([0.6931])
    """
    y_pred = convert_to_tensor(y_pred)
    if not y_pred.is_floating_point() or y_pred.dtype in (torch.float16, torch.bfloat16):
        dtype = "float32" if y_pred.is_floating_point() else config.floatx()
        y_pred = y_pred.to(to_torch_dtype(dtype))
    labels = on_device_of(y_pred, convert_to_tensor(y_true, torch.int64))
    if labels.dim() != 2 or y_pred.dim() != 3:
        raise ValueError(
            "CTC expects labels of shape (batch, max_length) and logits of shape (batch, steps, "
            f"classes). Received: y_true of shape {tuple(labels.shape)}, y_pred of shape "
            f"{tuple(y_pred.shape)}."
        )
    batch, steps, classes = y_pred.shape
    # torch reads wherever a label points to.
    inside = (labels >= 0) & (labels < classes)
    if labels.device.type == "cpu" and not torch.compiler.is_compiling() and not inside.all():
        raise ValueError(
            f"CTC expects labels from 0 to {classes - 1}, the classes of the logits. Received: "
            f"y_true with {labels[~inside][0].item()}."
        )
    lengths = torch.full((batch,), steps, dtype=torch.int64, device=y_pred.device)
    loss = loss_of_sequences(
        torch.where(inside, labels, 0), y_pred, (labels != 0).sum(-1), lengths, 0
    )
    return torch.where(inside.all(-1), loss, torch.nan)


ctc._keeps_integer_targets = True


class CTC(LossFunctionWrapper):
    """Loss between a sequence of predictions and a shorter, unaligned one of labels.

    Args:
        reduction, name, dtype: as for `Loss`.

    Input shapes: `y_true` labels `(batch, max_length)`, 0 as padding; `y_pred` logits
    `(batch, steps, classes)` with the blank as class 0.

    Source: Graves et al. 2006, ICML, "Connectionist temporal classification", eq. 12.

    Example:

    >>> keras.losses.CTC()(torch.tensor([[1]]), torch.zeros(1, 1, 2))
    tensor(0.6931)
    """

    def __init__(self, reduction="sum_over_batch_size", name="ctc", dtype=None):
        super().__init__(ctc, reduction, name, dtype)

    get_config = Loss.get_config
