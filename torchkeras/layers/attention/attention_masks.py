"""Masks of attention: which queries may attend to which keys, and what that does to scores."""

import torch


def nearby(queries, keys, is_causal, window, device):
    """Bool tensor `(queries, keys)` of what the order alone lets a query see; None for all.

    Args:
        queries, keys: ints, numbers of positions.
        is_causal: bool, whether a query sees no later key.
        window: int, a query sees keys less than so many positions away; None for all.
        device: of the tensor.

    Example:

    >>> nearby(2, 3, True, None, None).int()
    tensor([[1, 0, 0],
            [1, 1, 0]], dtype=torch.int32)
    """
    if not is_causal and window is None:
        return None
    behind = torch.arange(queries, device=device)[:, None] - torch.arange(keys, device=device)
    if window is None:
        return behind >= 0
    near = behind.abs() < window
    return near & (behind >= 0) if is_causal else near


def all_of(masks):
    """What all of these bool tensors allow, broadcast; None stands for no mask."""
    joined = None
    for mask in masks:
        if mask is not None:
            joined = mask if joined is None else joined & mask
    return joined


def as_bias(mask, low, dtype):
    """A bool mask as numbers to add to scores: 0 where it is True, `low` elsewhere."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, low)
