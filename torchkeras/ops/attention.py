"""Scaled dot-product attention over heads."""

import math

import torch
import torch.nn.functional as F

from torchkeras.core.config import is_flash_attention_enabled
from torchkeras.core.dtypes import NAME_TO_TORCH, result_type
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.flash import scaled_dot_product_attention
from torchkeras.ops.operands import all_tensors, beside, to_float


@op(shape=rules.attention, dtype=rules.promoted_three)
def dot_product_attention(
    query,
    key,
    value,
    bias=None,
    mask=None,
    scale=None,
    is_causal=False,
    flash_attention=None,
    attn_logits_soft_cap=None,
):
    """`softmax(scale * query @ key.T + bias) @ value`, head by head.

    Args:
        query: tensor of shape `(batch, queries, heads, size)`.
        key: tensor of shape `(batch, keys, key heads, size)`. Where it has fewer heads, each
            serves as many heads of the query in a row.
        value: tensor of shape `(batch, keys, key heads, value size)`.
        bias: tensor that broadcasts to `(batch, heads, queries, keys)`, added to the scores.
        mask: boolean tensor that broadcasts to the same shape: True where a query may attend.
            A query that may attend to nothing gets the mean of all values.
        scale: float; None for `1 / sqrt(size)`.
        is_causal: bool, whether query `i` attends to no key after `i`.
        flash_attention: True for torch's flash kernel and no other, False for any but that; None
            to let torch choose, or False after `keras.config.disable_flash_attention()`.
        attn_logits_soft_cap: float; scores are then `cap * tanh(score / cap)` before bias and
            mask. None for no cap.

    Output shape: `(batch, queries, heads, value size)`.

    Raises:
        ValueError: shapes do not fit, or both `bias` and `mask` are given.
        RuntimeError: the flash kernel was asked for, and cannot be used.

    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1; the cap from Gemma 2, arXiv:2408.00118.

    Example:

    >>> x = torch.ones(1, 3, 2, 4)
    >>> keras.ops.dot_product_attention(x, x, x).shape
    torch.Size([1, 3, 2, 4])
    """
    query, key, value = all_tensors((query, key, value))
    rules.attention(query, key, value, bias, mask)
    dtype = NAME_TO_TORCH[result_type(query.dtype, key.dtype, value.dtype)]
    query, key, value = (to_float(x.to(dtype)).transpose(1, 2) for x in (query, key, value))
    heads, shared = query.shape[1], key.shape[1]
    if heads != shared:
        key = key.repeat_interleave(heads // shared, 1)
        value = value.repeat_interleave(heads // shared, 1)
    extra = None if bias is None else beside(bias, query).to(query)
    if mask is not None:
        allowed = beside(mask, query).to(query.device).bool()
        allowed = allowed & _not_later(query, key) if is_causal else allowed
        extra = _low_where_not(allowed, query.dtype)
    elif is_causal and (extra is not None or attn_logits_soft_cap is not None):
        causal = _low_where_not(_not_later(query, key), query.dtype)
        extra = causal if extra is None else extra + causal
    is_causal = is_causal and extra is None
    if attn_logits_soft_cap is not None:
        outputs = _capped(query, key, value, extra, scale, attn_logits_soft_cap)
    elif flash_attention:  # alone, or an error
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):
            outputs = F.scaled_dot_product_attention(
                query, key, value, extra, is_causal=is_causal, scale=scale
            )
    else:
        if flash_attention is None:
            flash_attention = is_flash_attention_enabled()
        outputs = scaled_dot_product_attention(
            query, key, value, flash_attention, attn_mask=extra, is_causal=is_causal, scale=scale
        )
    return outputs.transpose(1, 2)


def _not_later(query, key):
    """Whether each key comes no later than each query."""
    shape = (query.shape[2], key.shape[2])
    return torch.ones(shape, dtype=torch.bool, device=query.device).tril()


def _low_where_not(allowed, dtype):
    # Not minus infinity: a query that may attend to nothing would give NaN. Not the lowest number
    # either, to which a score may still be added.
    low = torch.finfo(dtype).min * 0.7
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(
        ~allowed, low
    )


def _capped(query, key, value, extra, scale, cap):
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = torch.matmul(query * scale, key.transpose(-2, -1))
    scores = torch.tanh(scores / cap) * cap
    scores = scores if extra is None else scores + extra
    return torch.matmul(torch.softmax(scores, -1), value)


__all__ = op_names(__name__)
