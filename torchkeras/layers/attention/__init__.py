"""Layers that look things up: queries among keys and values."""

from torchkeras.layers.attention.additive_attention import AdditiveAttention as AdditiveAttention
from torchkeras.layers.attention.attention import Attention as Attention
from torchkeras.layers.attention.group_query_attention import (
    GroupedQueryAttention as GroupedQueryAttention,
)
from torchkeras.layers.attention.multi_head_attention import (
    MultiHeadAttention as MultiHeadAttention,
)
