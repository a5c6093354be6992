"""Crossentropies between targets and predictions, one value for each sample.

Of logits they are computed exactly. Of probabilities `p` they are computed as in Keras, with
`p` clipped to [epsilon, 1 - epsilon], so that no loss exceeds `-log(1e-7)`, about 16.1, and
the gradient of a probability beyond the clip is zero. There is one exception: where `p` comes
straight from `keras.activations.softmax` or `sigmoid`, the logits behind it are still known,
and the loss is computed from them, without the clip. Both ways agree wherever `p` is not
clipped; the second is exact, keeps its gradient, and needs fewer steps. It is taken in eager
mode only: what `torch.compile` traces, and a `p` that was changed in any way, takes the first.
"""

import torch
import torch.nn.functional as F

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import at_least_float32, beside


def remember_logits(probabilities, logits, kind):
    """Note on `probabilities` the logits they were made from, for the losses below.

    Args:
        probabilities: what the activation returned.
        logits: what it was given.
        kind: `"sigmoid"`, or the axis of a softmax, not negative.
    """
    # Dynamo may not set attributes on the tensors it traces.
    if torch.compiler.is_compiling() or type(logits) is not torch.Tensor:
        return
    probabilities._keras_logits = logits
    probabilities._keras_logits_facts = (kind, _version(logits))


def _version(tensor):
    """How often a tensor was written in place; None where torch does not count."""
    return None if tensor.is_inference() else tensor._version


def _logits_behind(probabilities, kind):
    """The logits that `probabilities` are a softmax or sigmoid of, or None if not known."""
    if torch.compiler.is_compiling():
        return None
    logits = getattr(probabilities, "_keras_logits", None)
    if (
        logits is None
        or logits.dtype is not probabilities.dtype
        or probabilities._keras_logits_facts != (kind, _version(logits))
        or _version(probabilities)  # something was written into them since
    ):
        return None
    return logits


@op(shape=rules.class_loss)
def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """`-sum(target * log(p))` over the class axis.

    Args:
        target: tensor of probabilities, such as one-hot codes, of the shape of `output`.
        output: float tensor of probabilities (divided by their sum), or of logits.
        from_logits: bool, whether `output` holds logits.
        axis: int, the class axis.

    Output shape: that of `output` without `axis`.

    Raises:
        ValueError: the shapes differ, or have no axis.

    Example:

    >>> keras.ops.categorical_crossentropy(torch.tensor([[0, 1]]), torch.tensor([[0.5, 0.5]]))
    tensor([0.6931])
    """
    output = convert_to_tensor(output)
    target = beside(target, output)
    _check_same_shape(target, output)
    if not output.dim():
        raise ValueError(
            "`target` and `output` must have at least one axis. Received: output of shape ()."
        )
    logits = output if from_logits else _logits_behind(output, axis % output.dim())
    if logits is not None:
        log_probabilities = torch.log_softmax(logits, axis)
    else:
        log_probabilities = _log_of_probabilities(output, axis)
    return -torch.sum(target * log_probabilities, axis)


# torch skips targets equal to its `ignore_index`; its default, -100, would hide a wrong label.
# (Not -(2**63): that is what NaN becomes as an integer.)
IGNORE_NOTHING = 1 - 2**63


@op(shape=rules.label_loss, dtype=rules.floating_of_second)
def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """`-log(p[target])`, where `target` holds the index of the class.

    No one-hot code is made, so a large number of classes costs no memory.

    Args:
        target: tensor of labels in [0, classes), of the shape of `output` without `axis`, or
            with `axis` of size 1. Floats are cast to ints. There is no label that is skipped:
            -100, which torch ignores, is out of range like any other.
        output: float tensor of probabilities (divided by their sum), or of logits.
        from_logits: bool, whether `output` holds logits.
        axis: int, the class axis.

    Output shape: that of `output` without `axis`.

    Raises:
        ValueError: the shapes do not fit; on the CPU also a label out of range or NaN. On a
            GPU, where looking at the labels would stop the pipeline, torch's own kernel
            raises a device-side assertion for a label out of range.

    Example:

    >>> keras.ops.sparse_categorical_crossentropy(torch.tensor([1]), torch.tensor([[0.5, 0.5]]))
    tensor([0.6931])
    """
    output = convert_to_tensor(output)
    if not output.dim():
        raise ValueError("`output` must have at least one axis. Received: output of shape ().")
    target = beside(target, output)
    if target.is_floating_point():
        _check_no_nan(target)
    labels = target.long()
    axis = axis % output.dim()
    if labels.dim() == output.dim() and labels.shape[axis] == 1:
        labels = labels.squeeze(axis)
    expected = (*output.shape[:axis], *output.shape[axis + 1 :])
    if tuple(labels.shape) != expected:
        raise ValueError(
            f"`target` must have the shape of `output` without its class axis: {expected}. "
            f"Received: target of shape {tuple(target.shape)}, output of shape "
            f"{tuple(output.shape)}, axis={axis}. For one-hot targets use "
            "categorical_crossentropy."
        )
    logits = output if from_logits else _logits_behind(output, axis)
    if logits is not None:
        function, values = F.cross_entropy, logits
    else:
        function, values = F.nll_loss, _log_of_probabilities(output, axis)
    if axis != 1 and values.dim() > 1:
        values = values.movedim(axis, 1)  # where torch expects the classes
    try:
        return function(values, labels, reduction="none", ignore_index=IGNORE_NOTHING)
    except IndexError as error:
        raise ValueError(
            f"Labels must lie in [0, {output.shape[axis]}), the classes of `output`. Received: "
            f"target with labels from {int(target.min())} to {int(target.max())}. Give the last "
            "layer one unit for each class, and count the classes from 0."
        ) from error


def _check_no_nan(target):
    """Refuse NaN among float labels, on the CPU, where looking at them costs next to nothing."""
    if target.device.type != "cpu" or torch.compiler.is_compiling():
        return
    if torch.isnan(target).any():
        raise ValueError(
            f"Labels must be whole numbers. Received: target of shape {tuple(target.shape)} with "
            "NaN in it. Look for missing values in the data."
        )


@op(shape=rules.elementwise_loss)
def binary_crossentropy(target, output, from_logits=False):
    """`-(target * log(p) + (1 - target) * log(1 - p))`, element by element.

    Args:
        target: tensor of 0, 1, or probabilities, of the shape of `output`.
        output: float tensor of probabilities, or of logits. NaN gives NaN.
        from_logits: bool, whether `output` holds logits.

    Output shape: that of `output`.

    Raises:
        ValueError: the shapes differ.

    Example:

    >>> keras.ops.binary_crossentropy(torch.tensor([1.0]), torch.tensor([0.5]))
    tensor([0.6931])
    """
    output = convert_to_tensor(output)
    target = beside(target, output)
    _check_same_shape(target, output)
    target = target.to(output.dtype)
    logits = output if from_logits else _logits_behind(output, "sigmoid")
    if logits is None:
        # The logit of the clipped value gives the same loss as its logarithms, in two fused
        # steps. Unlike F.binary_cross_entropy it lets NaN pass: there NaN is an error, which on
        # a GPU ends the process. Half precision has no number between 1 - 1e-7 and 1.
        probabilities = at_least_float32(output)
        logits = torch.logit(probabilities, eps=config.epsilon())
        loss = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none")
        return loss.to(output.dtype)
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def _log_of_probabilities(output, axis):
    """Logarithm of `output`, divided by its sum over `axis` and clipped as in Keras."""
    output = output / torch.sum(output, axis, keepdim=True)
    return torch.log(torch.clamp(output, config.epsilon(), 1 - config.epsilon()))


def _check_same_shape(target, output):
    if target.shape != output.shape:
        raise ValueError(
            "`target` and `output` must have one shape. Received: target of shape "
            f"{tuple(target.shape)}, output of shape {tuple(output.shape)}. Reshape one of them, "
            "or one-hot encode class labels."
        )


__all__ = op_names(__name__)
