"""ProjectedAttention: what the attention layers with heads and projections have in common."""

import math

import torch

from torchkeras.core.config import is_flash_attention_enabled
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.initializers.initializer import Initializer
from torchkeras.layers.activations.softmax import Softmax
from torchkeras.layers.attention.attention_masks import all_of, as_bias, nearby
from torchkeras.layers.core.einsum_dense import EinsumDense
from torchkeras.layers.layer import Layer
from torchkeras.layers.masks import unmasked
from torchkeras.layers.regularization.dropout import Dropout
from torchkeras.layers.weight_arguments import set_weight_arguments, weight_arguments
from torchkeras.ops.flash import scaled_dot_product_attention

# What Keras adds to the score of a key that a query must not see: with no key left, all have the
# same score again, and the output is that of the mean of the values.
_LOW = {torch.float16: -0.7 * 65500.0}
_LOWEST = -0.7 * 3.38953e38


class ProjectedAttention(Layer):
    """Base class of MultiHeadAttention and GroupQueryAttention.

    A subclass makes the EinsumDense layers `_query_dense`, `_key_dense`, `_value_dense`,
    `_gate_dense` and `_output_dense` in `build`, and says the shape of its scores. The first four
    give tensors `(batch, ..., heads, size)`.

    Args:
        arguments: dict of the subclass's arguments by name.
        **kwargs: those of Layer.
    """

    _makes_masks = False

    def __init__(self, arguments, **kwargs):
        super().__init__(**kwargs)
        self.dropout = arguments["dropout"]
        self.use_bias = arguments["use_bias"]
        self.use_gate = arguments["use_gate"]
        self.seed = arguments["seed"]
        self.sliding_window = arguments["sliding_window"]
        window = self.sliding_window
        if window is not None and (not isinstance(window, int) or window < 1):
            raise ValueError(
                "`sliding_window` must be an int of at least 1, or None. Received: "
                f"sliding_window={window!r}."
            )
        # As it is when the layer is made, as in Keras.
        self._flash_attention = arguments["flash_attention"] or is_flash_attention_enabled()
        if self._flash_attention and self.dropout > 0:
            raise ValueError(
                "`flash_attention=True` goes without dropout. Received: "
                f"dropout={self.dropout}. Leave out one of them."
            )
        set_weight_arguments(self, arguments, "kernel", "bias")
        self.supports_masking = True

    @staticmethod
    def _check_sizes(**sizes):
        for name, size in sizes.items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(
                    f"`{name}` must be an int of at least 1. Received: {name}={size!r}."
                )

    @staticmethod
    def _check_shapes(value_shape, key_shape):
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                "`key` and `value` must have the same positions. Received: value_shape="
                f"{tuple(value_shape)}, key_shape={tuple(key_shape)}."
            )

    def _built_dense(self, name, equation, output_shape, bias_axes, input_shape, activation=None):
        arguments = {}
        for weight in ("kernel", "bias"):
            for kind, value in weight_arguments(self, weight).items():
                if isinstance(value, Initializer):  # a copy draws numbers of its own
                    value = type(value).from_config(value.get_config())
                arguments[f"{weight}_{kind}"] = value
        dense = EinsumDense(
            equation,
            output_shape,
            activation,
            bias_axes if self.use_bias else None,
            activity_regularizer=self._projections_regularizer,
            dtype=self.dtype_policy,
            trainable=self.trainable,
            name=name,
            **arguments,
        )
        dense.build(input_shape)
        return dense

    def _make_softmax_and_dropout(self):
        self._softmax = Softmax(dtype=self.dtype_policy)
        self._dropout_layer = Dropout(self.dropout, dtype=self.dtype_policy, seed=self.seed)

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
    ):
        if return_attention_scores and self._flash_attention:
            raise ValueError(
                f"Layer '{self.name}' has flash_attention=True, which makes no scores. Received: "
                "return_attention_scores=True. Make the layer without it."
            )
        # The masks have come as arguments; the projections are to know nothing of them.
        query, value = unmasked(query), unmasked(value)
        key = value if key is None else unmasked(key)
        gate = self._gate_dense(query) if self.use_gate else None
        layout = _Layout(query.dim(), self.attention_axes)
        q = layout.fold(self._query_dense(query))
        k = layout.fold(self._key_dense(key))
        v = layout.fold(self._value_dense(value))
        mask = all_of(
            [
                layout.fold_mask(attention_mask, query, key),
                layout.fold_positions(query_mask, -1),
                layout.fold_positions(value_mask, -2),
                layout.fold_positions(key_mask, -2),
            ]
        )
        with_scores = return_attention_scores or (training and self.dropout > 0)
        if with_scores:
            heads, scores = self._attend_with_scores(q, k, v, mask, use_causal_mask, training)
        else:
            # Of what a query may not see at all Keras has two opinions; see the docstring.
            mean = query.dim() == 3 and not self.dropout
            heads, scores = self._attend(q, k, v, mask, use_causal_mask, mean), None
        heads = layout.unfold(heads, query.shape)
        outputs = self._output_dense(heads if gate is None else heads * gate)
        if return_attention_scores:
            return outputs, layout.unfold_scores(scores, query.shape, key.shape)
        return outputs

    def _attend(self, query, key, value, mask, is_causal, mean):
        """The heads' outputs `(..., heads, queries, size)`, scores not kept."""
        if mask is not None or self.sliding_window is not None:
            sizes = query.shape[-2], key.shape[-2]
            mask = all_of([mask, nearby(*sizes, is_causal, self.sliding_window, query.device)])
            is_causal = False
        batch = query.shape[:-3]
        if len(batch) > 1:  # the kernels know one axis
            if mask is not None:
                mask = mask.expand(*batch, *mask.shape[-3:]).flatten(0, -4)
            query, key, value = (x.flatten(0, -4) for x in (query, key, value))
        if mask is not None and mean:
            mask = as_bias(mask, _LOW.get(query.dtype, _LOWEST), query.dtype)
        heads = scaled_dot_product_attention(
            query,
            key,
            value,
            self._flash_attention,
            attn_mask=mask,
            is_causal=is_causal,
            scale=1 / math.sqrt(query.shape[-1]),
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return heads.unflatten(0, batch) if len(batch) > 1 else heads

    def _attend_with_scores(self, query, key, value, mask, is_causal, training):
        """The heads' outputs, and the scores `(..., heads, queries, keys)`."""
        repeats = query.shape[-3] // key.shape[-3]
        if repeats > 1:
            key, value = (x.repeat_interleave(repeats, dim=-3) for x in (key, value))
        sizes = query.shape[-2], key.shape[-2]
        mask = all_of([mask, nearby(*sizes, is_causal, self.sliding_window, query.device)])
        query = query * (1 / math.sqrt(query.shape[-1]))
        scores = self._softmax(torch.matmul(query, key.transpose(-1, -2)), mask=mask)
        kept = self._dropout_layer(scores, training=training) if self.dropout else scores
        return torch.matmul(kept, value), scores

    def compute_output_spec(self, *args, **kwargs):
        outputs = super().compute_output_spec(*args, **kwargs)
        arguments = self._spec_of_call().bind(args, kwargs)
        if not arguments.get("return_attention_scores", False):
            return outputs
        key = arguments.get("key")
        key = arguments["value"] if key is None else key
        shape = self._scores_shape(tuple(arguments["query"].shape), tuple(key.shape))
        return outputs, KerasTensor(shape, self.compute_dtype)


class _Layout:
    """Where heads and positions stand: folded, `(batch, ..., heads, positions, size)`.

    Args:
        rank: int, that of the layer's input, whose projection has one axis more.
        axes: tuple of ints, the axes of positions.
    """

    def __init__(self, rank, axes):
        self.axes = axes
        self.count = len(axes)
        self.batch = [axis for axis in range(rank - 1) if axis not in axes]
        self.simple = rank == 3 and axes == (1,)
        self.order = [*self.batch, rank - 1, *axes, rank]

    def fold(self, x):
        if self.simple:
            return x.transpose(1, 2)
        return x.permute(self.order).flatten(-1 - self.count, -2)

    def unfold(self, heads, query_shape):
        """The heads of each position side by side again."""
        if self.simple:
            return heads.transpose(1, 2)
        heads = heads.unflatten(-2, [query_shape[axis] for axis in self.axes])
        back = [self.order.index(axis) for axis in range(len(self.order))]
        return heads.permute(back)

    def unfold_scores(self, scores, query_shape, key_shape):
        if self.count == 1:
            return scores
        scores = scores.unflatten(-1, [key_shape[axis] for axis in self.axes])
        return scores.unflatten(-1 - self.count, [query_shape[axis] for axis in self.axes])

    def fold_positions(self, mask, place):
        """A mask of positions `(batch, ...)`, to go with scores; `place` is of the others."""
        if mask is None:
            return None
        mask = mask.bool()
        if not self.simple:
            mask = mask.permute([*self.batch, *self.axes]).flatten(-self.count)
        return mask.unsqueeze(-2).unsqueeze(place)

    def fold_mask(self, mask, query, key):
        """An attention mask, with an axis for all that scores have."""
        if mask is None:
            return None
        mask = mask.bool()
        last = 2 * self.count
        missing = len(self.batch) + 1 + last - mask.dim()
        for _ in range(missing):
            mask = mask.unsqueeze(max(mask.dim() - last, 0))
        if self.count > 1:
            sizes = [x.shape[axis] for x in (query, key) for axis in self.axes]
            mask = mask.expand(*mask.shape[:-last], *sizes)
            mask = mask.flatten(-self.count).flatten(-1 - self.count, -2)
        return mask
