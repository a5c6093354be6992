"""Attention: a sequence of queries looks things up among values, without projections."""

import torch

from torchkeras import random
from torchkeras.core.config import is_flash_attention_enabled
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.layers.attention.attention_masks import all_of, as_bias, nearby
from torchkeras.layers.layer import Layer
from torchkeras.ops.flash import scaled_dot_product_attention


class Attention(Layer):
    """Dot-product attention: means of values, weighted by how well their keys fit a query.

    With query `Q`, key `K` and value `V`:

        scores = softmax(scale * Q @ K.T)    # score_mode="dot"
        scores = softmax(weight * sum(tanh(scale * (q + k))))    # score_mode="concat"
        output = scores @ V

    Args:
        use_scale: bool, whether there is a learned scalar `scale`, 1 at first; else it is 1.
        score_mode: `"dot"` or `"concat"`; the latter has a learned scalar `concat_score_weight`,
            1 at first.
        dropout: float from 0 to 1, part of the scores dropped in training.
        seed: int or SeedGenerator for the dropout; None for one drawn from torch's generator.

    Call arguments:
        inputs: list `[query, value]` or `[query, value, key]` of tensors `(batch, queries, size)`,
            `(batch, keys, value size)` and `(batch, keys, size)`; without a key the value is it.
        mask: list `[query_mask, value_mask]` of bool tensors `(batch, positions)`, each may be
            None; for `[..., key_mask]` the last is not used. Outputs are zero where the first is
            False, and values are left out where the second is.
        training: bool, whether dropout is active.
        return_attention_scores: bool, whether to return the scores too.
        use_causal_mask: bool, whether a query sees no later key.

    Output shape:
        `(batch, queries, value size)`; with the scores a tuple of it and `(batch, queries, keys)`.

    Raises:
        ValueError: `inputs` or `mask` is no list of two or three; `score_mode` is another.

    Source: Luong et al. 2015, arXiv:1508.04025, equation 8; "concat" is Keras's, without the
        matrix of that paper.

    Example:

    >>> query, value = torch.zeros(1, 2, 4), torch.arange(12.0).reshape(1, 3, 4)
    >>> keras.layers.Attention()([query, value])
    tensor([[[4., 5., 6., 7.],
             [4., 5., 6., 7.]]])
    """

    _makes_masks = False

    def __init__(self, use_scale=False, score_mode="dot", dropout=0.0, seed=None, **kwargs):
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                f'`score_mode` must be "dot" or "concat". Received: score_mode={score_mode!r}.'
            )
        super().__init__(**kwargs)
        self.use_scale = use_scale
        self.score_mode = score_mode
        self.dropout = dropout
        self.seed = seed
        self._flash_attention = is_flash_attention_enabled()
        if dropout > 0:
            self.seed_generator = random.SeedGenerator(seed)

    def build(self, input_shape):
        self._check(input_shape)
        self.scale = self.concat_score_weight = None
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(
                name="concat_score_weight", shape=(), initializer="ones"
            )

    def call(
        self,
        inputs,
        mask=None,
        training=False,
        return_attention_scores=False,
        use_causal_mask=False,
    ):
        self._check(inputs, mask)
        query, value = inputs[0], inputs[1]
        key = inputs[2] if len(inputs) > 2 else value
        query_mask, value_mask = (None, None) if mask is None else mask[:2]
        sizes = query.shape[-2], key.shape[-2]
        dropped = training and self.dropout > 0
        if self._is_dot_product() and not (dropped or return_attention_scores):
            alone = use_causal_mask and value_mask is None
            bias = None if alone else self._bias(value_mask, use_causal_mask, sizes, query)
            outputs, scores = self._dot_product(query, key, value, bias, alone), None
        else:
            scores = self._scores(query, key)
            bias = self._bias(value_mask, use_causal_mask, sizes, query)
            scores = torch.softmax(scores if bias is None else scores + bias, dim=-1)
            kept = (
                random.dropout(scores, self.dropout, seed=self.seed_generator)
                if dropped
                else scores
            )
            outputs = torch.matmul(kept, value)
        if query_mask is not None:
            outputs = torch.where(query_mask.bool().unsqueeze(-1), outputs, 0)
        return (outputs, scores) if return_attention_scores else outputs

    def _is_dot_product(self):
        return self.score_mode == "dot"

    def _dot_product(self, query, key, value, bias, is_causal):
        """The outputs, by torch's kernel, which knows heads: here there is one."""
        if self.scale is not None:
            query = query * self.scale.value
        if bias is not None and bias.dim() > 2:
            bias = bias.unsqueeze(-3)
        query, key, value = (x.unsqueeze(-3) for x in (query, key, value))
        return scaled_dot_product_attention(
            query, key, value, self._flash_attention, attn_mask=bias, is_causal=is_causal, scale=1.0
        ).squeeze(-3)

    def _bias(self, value_mask, is_causal, sizes, query):
        """What to add to scores, so that masked ones vanish, as long as others are left."""
        value_mask = None if value_mask is None else value_mask.bool()
        if value_mask is not None and value_mask.dim() == 2:
            value_mask = value_mask.unsqueeze(-2)
        mask = all_of([value_mask, nearby(*sizes, is_causal, None, query.device)])
        if mask is None:
            return None
        return as_bias(mask, -65504.0 if query.dtype is torch.float16 else -1e9, query.dtype)

    def _scores(self, query, key):
        """Scores before the softmax, `(batch, queries, keys)`."""
        if self.score_mode == "dot":
            if self.scale is not None:
                query = query * self.scale.value
            return torch.matmul(query, key.transpose(-1, -2))
        sums = query.unsqueeze(-2) + key.unsqueeze(-3)
        if self.scale is not None:
            sums = sums * self.scale.value
        return self.concat_score_weight.value * torch.tanh(sums).sum(-1)

    def compute_mask(self, inputs, previous_mask=None):
        self._check(inputs, previous_mask)
        return None if previous_mask is None else previous_mask[0]

    def compute_output_shape(self, input_shape):
        self._check(input_shape)
        return (*input_shape[0][:-1], input_shape[1][-1])

    def compute_output_spec(self, inputs, *args, **kwargs):
        self._check(inputs, kwargs.get("mask"))
        outputs = super().compute_output_spec(inputs, *args, **kwargs)
        arguments = self._spec_of_call().bind((inputs, *args), kwargs)
        if not arguments.get("return_attention_scores", False):
            return outputs
        shape = (*inputs[0].shape[:-1], inputs[-1].shape[-2])
        return outputs, KerasTensor(shape, self.compute_dtype)

    def _check(self, inputs, mask=None):
        name = type(self).__name__
        if not isinstance(inputs, list) or len(inputs) not in (2, 3):
            raise ValueError(
                f"{name} takes a list [query, value] or [query, value, key]. Received: "
                f"inputs={inputs!r}."
            )
        if mask is not None and (not isinstance(mask, list) or len(mask) not in (2, 3)):
            raise ValueError(
                f"{name} takes a list [query_mask, value_mask] as `mask`. Received: mask={mask!r}."
            )

    def get_config(self):
        return {
            **super().get_config(),
            "use_scale": self.use_scale,
            "score_mode": self.score_mode,
            "dropout": self.dropout,
            "seed": self.seed,
        }
