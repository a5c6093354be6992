"""True and false positives above thresholds: what confusion metrics and AUC are made of.

One pass over the predictions: each falls into the bin given by how many thresholds it exceeds,
the weights are summed by bin, and a running sum from the top gives the counts of all thresholds
at once. Nothing here waits for the device.
"""

import functools

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.losses.loss import (
    divide_no_nan,
    match_shapes,
    on_device_of,
    squeeze_or_expand_to_same_rank,
)

BYTES_OF_FLOAT = 32  # of Python, in a list
MINUS_INFINITY = -1e10  # of Keras, where all but the top k predictions are put


def as_thresholds(thresholds, default=0.5):
    """Thresholds as a list of floats.

    Raises:
        ValueError: one lies outside [0, 1].
    """
    if thresholds is None:
        return [default]
    given = list(thresholds) if isinstance(thresholds, (list, tuple)) else [thresholds]
    if any(t is None or not 0 <= t <= 1 for t in given):
        raise ValueError(f"`thresholds` must lie in [0, 1]. Received: thresholds={thresholds}.")
    return given


def are_even(thresholds):
    """Whether thresholds divide [0, 1] into equal parts; then Keras clips predictions to it."""
    last = len(thresholds) - 1
    return last >= 2 and all(abs(t - i / last) < 1e-7 for i, t in enumerate(thresholds))


@functools.lru_cache(maxsize=64)
def _sorted_tensor(thresholds, dtype, device):
    """Thresholds in rising order, and where each of the given ones is among them."""
    order = sorted(range(len(thresholds)), key=thresholds.__getitem__)
    places = [0] * len(order)
    for place, index in enumerate(order):
        places[index] = place
    with torch.inference_mode(False):
        rising = torch.tensor([thresholds[i] for i in order], dtype=dtype, device=device)
        back = None
        if places != list(range(len(places))):
            back = torch.tensor(places, device=device)
    return rising, back


KINDS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


def count(
    kinds,
    y_true,
    y_pred,
    thresholds,
    dtype,
    sample_weight=None,
    top_k=None,
    class_id=None,
    multi_label=False,
    label_weights=None,
    even=False,
):
    """Weighted counts of a batch above each threshold.

    Args:
        kinds: which of `KINDS` to count.
        y_true: labels; what is not 0 is positive. Shape `(batch, ...)`.
        y_pred: scores of the same shape.
        thresholds: list of floats; a score above one is a positive prediction.
        dtype: torch dtype of the counts.
        sample_weight: weights whose shape is a leading part of that of `y_pred`, or None.
        top_k: int or None; only the k largest scores of the last axis may be positive.
        class_id: int or None, the one class of the last axis to look at.
        multi_label: bool, whether the last axis keeps counts of its own.
        label_weights: tensor `(labels,)` or None; without `multi_label`.
        even: bool, whether scores are clipped to [0, 1].

    Returns:
        Dict of kinds to tensors `(thresholds,)`, with `multi_label` `(thresholds, labels)`.

    Raises:
        ValueError: shapes that do not fit.
    """
    y_true, y_pred = match_shapes(y_true, convert_to_tensor(y_pred, dtype))
    weights = None
    if sample_weight is not None:
        weights = on_device_of(y_pred, convert_to_tensor(sample_weight, dtype)).unsqueeze(-1)
        _, weights = squeeze_or_expand_to_same_rank(y_true, weights, expand_rank_1=False)
    if top_k is not None:
        y_pred = _only_top(y_pred, top_k)
    if class_id is not None:
        if y_pred.dim() < 2:
            raise ValueError(
                "`class_id` needs predictions of shape (batch, classes). Received: y_pred of shape "
                f"{tuple(y_pred.shape)}, class_id={class_id}."
            )
        y_true, y_pred = y_true[..., class_id, None], y_pred[..., class_id, None]
    positive = y_true != 0
    if label_weights is not None and not multi_label:
        of_label = on_device_of(y_pred, label_weights)
        weights = of_label if weights is None else weights * of_label
    if weights is not None:
        weights = _expand(weights, y_pred)
    if len(thresholds) == 1 and not multi_label:
        return _count_one(kinds, positive, y_pred > thresholds[0], weights, dtype)
    found, extra, totals = _count_binned(
        positive, y_pred, weights, thresholds, dtype, multi_label, even
    )
    counts = {
        "true_positives": found,
        "false_positives": extra,
        "true_negatives": totals[..., 1] - extra,
        "false_negatives": totals[..., 0] - found,
    }
    return {kind: counts[kind] for kind in kinds}


def _expand(weights, y_pred):
    while weights.dim() < y_pred.dim() and weights.shape != y_pred.shape[-weights.dim() :]:
        if weights.shape[-1] != 1:
            break
        weights = weights.unsqueeze(-1)  # (batch, 1) beside (batch, steps, classes)
    try:
        return weights.expand(y_pred.shape)
    except RuntimeError as error:
        raise ValueError(
            "`sample_weight` must have the shape of the predictions, or a leading part of it such "
            f"as (batch,). Received: weights of shape {tuple(weights.shape)} for y_pred of shape "
            f"{tuple(y_pred.shape)}."
        ) from error


def _count_one(kinds, positive, predicted, weights, dtype):
    """The counts at a single threshold, without bins."""
    counts = {}
    for kind in kinds:
        if kind == "true_positives":
            places = positive & predicted
        elif kind == "false_positives":
            places = predicted > positive  # of booleans: the one, and not the other
        elif kind == "true_negatives":
            places = ~(positive | predicted)
        else:
            places = positive > predicted
        if weights is None:
            total = places.sum(dtype=dtype)
        else:
            total = torch.where(places, weights, 0).sum()
        counts[kind] = total.unsqueeze(0)
    return counts


def _count_binned(positive, y_pred, weights, thresholds, dtype, multi_label, even):
    """True and false positives above each threshold, and all positives and negatives."""
    rising, back = _sorted_tensor(tuple(thresholds), dtype, y_pred.device)
    if even:
        y_pred = y_pred.clamp(0.0, 1.0)
    labels = y_pred.shape[1] if multi_label else 1
    bins = torch.searchsorted(rising, y_pred.contiguous())  # how many thresholds are exceeded
    if multi_label:
        bins = bins * labels + torch.arange(labels, device=bins.device)
    of_positive = positive.to(dtype) if weights is None else torch.where(positive, weights, 0)
    of_negative = (~positive).to(dtype) if weights is None else torch.where(positive, 0, weights)
    both = torch.stack([of_positive.flatten(), of_negative.flatten()], dim=1)
    sums = torch.zeros((len(thresholds) + 1) * labels, 2, dtype=dtype, device=both.device)
    sums = sums.index_add_(0, bins.flatten(), both).view(-1, labels, 2)
    above = sums.flip(0).cumsum(0).flip(0)
    totals, above = above[0], above[1:]
    if back is not None:
        above = above[back]
    if not multi_label:
        totals, above = totals[0], above[:, 0]
    return above[..., 0], above[..., 1], totals


def _only_top(y_pred, k):
    top = y_pred.topk(k, dim=-1).indices
    mask = torch.zeros_like(y_pred, dtype=torch.bool).scatter_(-1, top, True)
    return torch.where(mask, y_pred, MINUS_INFINITY)


def ratio(part, rest):
    """`part / (part + rest)`, 0 where both are 0."""
    return divide_no_nan(part, part + rest)
