"""Connectionist temporal classification: its loss, and the label sequences behind predictions."""

import torch
import torch.nn.functional as F

from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import at_least_float32, beside


@op(shape=rules.ctc_loss, dtype=rules.at_least_float32_of_second)
def ctc_loss(target, output, target_length, output_length, mask_index=0):
    """Negative log-likelihood of label sequences, summed over all their alignments.

    Args:
        target: tensor of ints of shape `(batch, labels)`; what comes after a sequence's length
            is not read.
        output: tensor of logits of shape `(batch, steps, classes)`.
        target_length: tensor of ints of shape `(batch,)`, in [0, labels].
        output_length: tensor of ints of shape `(batch,)`, in [0, steps].
        mask_index: int, the class of the blank.

    Output shape: `(batch,)`, at least `float32`; infinite where a sequence is too long for its
    steps.

    Raises:
        ValueError: shapes do not fit; on the CPU also a label or length out of range. On other
            devices, where looking would stop the pipeline, the loss of that sequence is NaN.

    Source: Graves et al. 2006, ICML, "Connectionist temporal classification", eq. 12.

    Example:

    >>> y = torch.zeros(1, 1, 2)
    >>> keras.ops.ctc_loss(torch.tensor([[1]]), y, torch.tensor([1]), torch.tensor([1]))
    tensor([0.6931])
    """
    output = at_least_float32(output)
    target, target_length, output_length = (
        beside(x, output).to(torch.int64) for x in (target, target_length, output_length)
    )
    rules.ctc_loss(target, output, target_length, output_length, mask_index)
    return loss_of_sequences(target, output, target_length, output_length, mask_index)


def loss_of_sequences(labels, logits, label_lengths, steps, blank):
    """The CTC loss of operands that fit, all on one device.

    Args:
        labels, label_lengths, steps: int64 tensors `(batch, labels)`, `(batch,)`, `(batch,)`.
        logits: float tensor `(batch, steps, classes)`.
        blank: int.

    Raises:
        ValueError: on the CPU, a label or length out of range.
    """
    classes, most = logits.shape[2], (labels.shape[1], logits.shape[1])
    # torch reads wherever a label or a length points to.
    read = torch.arange(most[0], device=labels.device) < label_lengths[:, None]
    right = (labels >= 0) & (labels < classes) | ~read
    lengths_right = (label_lengths >= 0) & (label_lengths <= most[0])
    lengths_right = lengths_right & (steps >= 0) & (steps <= most[1])
    if labels.device.type == "cpu" and not torch.compiler.is_compiling():
        if not right.all():
            raise ValueError(
                f"Labels must lie in [0, {classes}), the classes of the logits. Received: target "
                f"with {labels[~right][0].item()}."
            )
        if not lengths_right.all():
            raise ValueError(
                f"Lengths of targets must lie in [0, {most[0]}], those of outputs in "
                f"[0, {most[1]}]. Received: target_length={label_lengths.tolist()}, "
                f"output_length={steps.tolist()}."
            )
    loss = F.ctc_loss(
        F.log_softmax(logits, dim=-1).transpose(0, 1),
        torch.where(right & read, labels, 0),
        steps.clamp(0, most[1]),
        label_lengths.clamp(0, most[0]),
        blank=blank,
        reduction="none",
    )
    return torch.where(right.all(-1) & lengths_right, loss, torch.nan)


@op(shape=rules.ctc_decode, dtype=rules.decoded)
def ctc_decode(
    inputs,
    sequence_lengths,
    strategy="greedy",
    beam_width=100,
    top_paths=1,
    merge_repeated=True,
    mask_index=0,
):
    """Label sequences that predictions stand for.

    Args:
        inputs: tensor of shape `(batch, steps, classes)`: logits, or logarithms of
            probabilities.
        sequence_lengths: tensor of ints of shape `(batch,)`, the steps that count.
        strategy: `"greedy"` takes the best class of each step; `"beam_search"` sums over
            alignments, of the `beam_width` best prefixes after each step.
        beam_width: int, at least 1.
        top_paths: int, at most `beam_width`, the number of sequences that a beam search returns.
        merge_repeated: bool, whether the greedy strategy takes a class repeated in a row as one.
        mask_index: int, the class of the blank; None for the last one.

    Returns:
        Tuple of the `int32` sequences, shape `(top_paths, batch, steps)`, filled up with -1; and
        scores, shape `(batch, top_paths)`: of the greedy strategy minus the sum of the best
        inputs, of a beam search the logarithms of the probabilities, the best first.

    Source: Graves et al. 2006, ICML, "Connectionist temporal classification", section 3.2; Hannun
    et al. 2014, arXiv:1408.2873, algorithm 1, without a language model.

    Example:

    >>> y = torch.tensor([[[0.0, 2.0], [3.0, 0.0], [0.0, 4.0]]])
    >>> keras.ops.ctc_decode(y, torch.tensor([3]))
    (tensor([[[ 1,  1, -1]]], dtype=torch.int32), tensor([[-9.]]))
    """
    inputs = at_least_float32(inputs)
    lengths = beside(sequence_lengths, inputs).to(inputs.device, torch.int64)
    rules.ctc_decode(inputs, lengths, strategy, beam_width, top_paths, merge_repeated, mask_index)
    blank = inputs.shape[2] - 1 if mask_index is None else mask_index
    if strategy == "greedy":
        return _best_of_each_step(inputs, lengths, merge_repeated, blank)
    return _beam_search(inputs, lengths, beam_width, top_paths, blank)


def _best_of_each_step(inputs, lengths, merge_repeated, blank):
    scores, classes = inputs.max(-1)
    beyond = torch.arange(inputs.shape[1], device=inputs.device) >= lengths[:, None]
    classes = classes.masked_fill(beyond, blank)
    scores = -scores.masked_fill(beyond, 0.0).sum(1, keepdim=True)
    dropped = classes == blank
    if merge_repeated:
        repeated = classes[:, 1:] == classes[:, :-1]
        dropped = dropped | F.pad(repeated, (1, 0))
    order = torch.argsort(dropped, dim=-1, stable=True)
    classes = classes.masked_fill(dropped, -1).gather(-1, order)
    return classes[None].to(torch.int32), scores


_FACTOR = 6364136223846793005  # odd, of Knuth's generator; hashes are modulo 2**64


def _beam_search(inputs, lengths, width, top_paths, blank):
    """Prefix beam search of all sequences of the batch at once.

    The letters: B batch, W beams, C classes, T steps. A beam is a prefix (its labels, length and
    hash) with the logarithms of two probabilities: of alignments that end in a blank, and in the
    prefix's last label. A prefix that grows to one that is a beam already is found by its hash.
    """
    p_BTC = F.log_softmax(inputs, -1)
    batch, steps, classes = p_BTC.shape
    device, never = inputs.device, float("-inf")
    labels_C = torch.arange(classes, device=device)
    # No more prefixes exist than these; a wider beam holds beams of probability 0.
    count = 1
    for _ in range(steps):
        count = min(width, count * classes + 1)
    count = max(count, top_paths)
    paths_BWT = torch.full((batch, count, steps), -1, device=device)
    sizes_BW = torch.zeros((batch, count), dtype=torch.int64, device=device)
    hashes_BW = torch.arange(count, device=device).expand(batch, count) * -2  # 0 is the empty one
    blank_BW = torch.full((batch, count), never, dtype=inputs.dtype, device=device)
    blank_BW[:, 0] = 0.0
    label_BW = torch.full_like(blank_BW, never)
    last_BW = torch.full_like(sizes_BW, -1)
    for step in range(steps):
        p_BC = p_BTC[:, step]
        total_BW = torch.logaddexp(blank_BW, label_BW)
        # A beam that stays: by a blank, or by its last label once more.
        stay_blank_BW = total_BW + p_BC[:, blank, None]
        again_BW = p_BC.gather(1, last_BW.clamp_min(0))
        stay_label_BW = torch.where(last_BW >= 0, label_BW + again_BW, never)
        # A beam that grows: by any label; by its last one only after a blank.
        is_last_BWC = last_BW[..., None] == labels_C
        grow_BWC = torch.where(is_last_BWC, blank_BW[..., None], total_BW[..., None])
        grow_BWC = grow_BWC + p_BC[:, None]
        grow_BWC[..., blank] = never
        hashes_BWC = hashes_BW[..., None] * _FACTOR + (labels_C + 1)
        # What grows into a beam that is there adds to that one: beam V, from beam W.
        into_BWV = hashes_BWC.gather(2, last_BW.clamp_min(0)[:, None].expand(-1, count, -1))
        into_BWV = (into_BWV == hashes_BW[:, None]) & (last_BW >= 0)[:, None]
        gain_BWV = grow_BWC.gather(2, last_BW.clamp_min(0)[:, None].expand(-1, count, -1))
        gain_BV = gain_BWV.masked_fill(~into_BWV, never).logsumexp(1)
        stay_label_BW = torch.logaddexp(stay_label_BW, gain_BV)
        merged_BWC = torch.zeros_like(grow_BWC, dtype=torch.int8).scatter_add_(
            2, last_BW.clamp_min(0)[:, None].expand(-1, count, -1), into_BWV.to(torch.int8)
        )
        grow_BWC = grow_BWC.masked_fill(merged_BWC > 0, never)
        # The best of both kinds go on.
        stay_BW = torch.logaddexp(stay_blank_BW, stay_label_BW)
        all_BN = torch.cat((stay_BW, grow_BWC.flatten(1)), 1)
        best_BW, chosen_BW = all_BN.topk(count, 1)
        grown_BW = chosen_BW >= count
        from_BW = torch.where(grown_BW, (chosen_BW - count) // classes, chosen_BW)
        new_BW = torch.where(grown_BW, (chosen_BW - count) % classes, -1)
        goes_on_B1 = (step < lengths)[:, None]
        hashes_next = hashes_BW.gather(1, from_BW)
        hashes_next = torch.where(grown_BW, hashes_next * _FACTOR + new_BW + 1, hashes_next)
        sizes_from = sizes_BW.gather(1, from_BW)
        paths_next = paths_BWT.gather(1, from_BW[..., None].expand(-1, -1, steps))
        here = torch.arange(steps, device=device) == sizes_from[..., None]
        paths_next = torch.where(here & grown_BW[..., None], new_BW[..., None], paths_next)
        blank_next = torch.where(grown_BW, never, stay_blank_BW.gather(1, from_BW))
        label_next = torch.where(grown_BW, best_BW, stay_label_BW.gather(1, from_BW))
        last_next = torch.where(grown_BW, new_BW, last_BW.gather(1, from_BW))
        # A beam of probability 0 only fills the table: it may be a second copy of another one.
        last_next = last_next.masked_fill(best_BW == never, -1)
        paths_BWT = torch.where(goes_on_B1[..., None], paths_next, paths_BWT)
        sizes_BW = torch.where(goes_on_B1, sizes_from + grown_BW, sizes_BW)
        hashes_BW = torch.where(goes_on_B1, hashes_next, hashes_BW)
        blank_BW = torch.where(goes_on_B1, blank_next, blank_BW)
        label_BW = torch.where(goes_on_B1, label_next, label_BW)
        last_BW = torch.where(goes_on_B1, last_next, last_BW)
    scores, best = torch.logaddexp(blank_BW, label_BW).topk(top_paths, 1)
    paths = paths_BWT.gather(1, best[..., None].expand(-1, -1, steps))
    paths = paths.masked_fill((scores == never)[..., None], -1)
    return paths.transpose(0, 1).to(torch.int32), scores


__all__ = op_names(__name__)
