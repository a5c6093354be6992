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


def keep_logits(converted, probabilities):
    """Note on a cast of `probabilities` their logits in the same dtype, where these are known."""
    if getattr(probabilities, "_keras_logits", None) is not None and _note_holds(probabilities):
        logits = probabilities._keras_logits.to(converted.dtype)
        remember_logits(converted, logits, probabilities._keras_logits_facts[0])


def logits_behind(probabilities, kind):
    """Logits that `probabilities` were made from by an activation, or None if not known.

    Args:
        probabilities: tensor, or anything else, behind which nothing is known.
        kind: `"sigmoid"`, or the axis of a softmax.
    """
    logits = getattr(probabilities, "_keras_logits", None)
    if logits is None or not _note_holds(probabilities):
        return None
    if kind != "sigmoid":
        kind %= probabilities.dim()
    is_kind = probabilities._keras_logits_facts[0] == kind
    return logits if is_kind and logits.dtype is probabilities.dtype else None


def _note_holds(probabilities):
    """Whether neither the probabilities nor their logits were written in place since."""
    facts = getattr(probabilities, "_keras_logits_facts", None)
    if facts is None or torch.compiler.is_compiling():
        return False
    return facts[1] == _version(probabilities._keras_logits) and not _version(probabilities)


def _version(tensor):
    """How often a tensor was written in place; None where torch does not count."""
    return None if tensor.is_inference() else tensor._version


def logits_if_known(output, from_logits, kind):
    """`(output, from_logits)`, with the logits behind probabilities in their place if known."""
    if not from_logits:
        logits = logits_behind(output, kind)
        if logits is not None:
            return logits, True
    return output, from_logits


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
    output, from_logits = logits_if_known(output, from_logits, axis)
    return loss_of_classes(target, output, from_logits, axis)


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
    classes = output.shape[axis]
    output, from_logits = logits_if_known(output, from_logits, axis)
    try:
        return loss_of_labels(labels, output, from_logits, axis)
    except (IndexError, RuntimeError) as error:
        wrong = range_of_wrong_labels(labels, classes)
        if wrong is None:
            raise
        raise ValueError(
            f"Labels must lie in [0, {classes}), the classes of `output`. Received: target with "
            f"labels from {wrong[0]} to {wrong[1]}. Give the last layer one unit for each class, "
            "and count the classes from 0."
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
    output, from_logits = logits_if_known(output, from_logits, "sigmoid")
    return loss_of_answers(target.to(output.dtype), output, from_logits)


def _check_same_shape(target, output):
    if target.shape != output.shape:
        raise ValueError(
            "`target` and `output` must have one shape. Received: target of shape "
            f"{tuple(target.shape)}, output of shape {tuple(output.shape)}. Reshape one of them, "
            "or one-hot encode class labels."
        )


# The mathematics, of operands that fit: `ops` and `losses` check and shape theirs, and come here.

# torch skips targets equal to its `ignore_index`; its default, -100, would hide a wrong label.
# (Not -(2**63): that is what NaN becomes as an integer.)
_IGNORE_NOTHING = 1 - 2**63


def clipped(probabilities):
    """`probabilities` in [epsilon, 1 - epsilon], as in Keras."""
    return torch.clamp(probabilities, config.epsilon(), 1.0 - config.epsilon())


def loss_of_classes(target, output, from_logits, axis):
    """`-sum(target * log(p))` over `axis`."""
    if from_logits:
        log_probabilities = torch.log_softmax(output, axis)
    else:
        log_probabilities = torch.log(clipped(output / torch.sum(output, axis, keepdim=True)))
    return -torch.sum(target * log_probabilities, axis)


def loss_of_labels(labels, output, from_logits, axis):
    """`-log(p[label])` along `axis`, with labels as int64.

    Raises:
        IndexError, RuntimeError: torch's own, for a label out of range on the CPU.
    """
    if not from_logits:
        chosen = output.gather(axis, labels.unsqueeze(axis)).squeeze(axis)
        return -torch.log(clipped(chosen / torch.sum(output, axis)))
    rank = output.dim()
    if rank > 2 and axis % rank == rank - 1:
        # As a flat list: over a moved axis torch takes a slower kernel.
        flat = loss_of_labels(labels.flatten(), output.flatten(0, -2), True, -1)
        return flat.view(labels.shape)
    if rank > 1 and axis % rank != 1:
        output = output.movedim(axis, 1)  # where torch expects the classes
    return F.cross_entropy(output, labels, ignore_index=_IGNORE_NOTHING, reduction="none")


def mean_loss_of_logits(target, logits, label_smoothing=0.0):
    """Mean over all samples, classes last, in one call of torch.

    Args:
        target: int64 labels of the shape of `logits` without its last axis, or probabilities of
            the shape and dtype of `logits`.
        logits: tensor with at least two axes.
        label_smoothing: float in [0, 1], the part of each target spread over the classes.
    """
    if logits.dim() > 2:
        target = target.flatten(0, logits.dim() - 2)
        logits = logits.flatten(0, -2)
    return F.cross_entropy(
        logits, target, ignore_index=_IGNORE_NOTHING, label_smoothing=label_smoothing
    )


def loss_of_answers(target, output, from_logits, reduction="none"):
    """`-(target * log(p) + (1 - target) * log(1 - p))`, element by element, or its mean."""
    if from_logits:
        return F.binary_cross_entropy_with_logits(output, target, reduction=reduction)
    # The logit of the clipped value gives the same loss as its logarithms, in two fused steps.
    # Unlike F.binary_cross_entropy it lets NaN pass: there NaN is an error, which on a GPU ends
    # the process. Half precision has no number between 1 - 1e-7 and 1.
    logits = torch.logit(at_least_float32(output), eps=config.epsilon())
    target = target.to(logits.dtype)
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction=reduction)
    return loss.to(output.dtype)


def range_of_wrong_labels(labels, classes):
    """`(lowest, highest)` of labels that leave [0, classes); None where all lie within.

    None also off the CPU, where looking would wait for the device.
    """
    if labels.device.type != "cpu" or not labels.numel():
        return None
    low, high = int(labels.min()), int(labels.max())
    return (low, high) if low < 0 or high >= classes else None


__all__ = op_names(__name__)
