"""MultiHeadAttention: queries look things up among keys and values, in several ways at once."""

import string

from torchkeras import regularizers
from torchkeras.layers.attention.projected_attention import ProjectedAttention
from torchkeras.layers.weight_arguments import weight_config


class MultiHeadAttention(ProjectedAttention):
    """Attention of several heads, each on projections of its own.

    With `Q`, `K`, `V` the projections of query, key and value for one head:

        head = softmax(Q @ K.T / sqrt(key_dim)) @ V

    The heads of a position, side by side, are projected to the output. Attention goes by
    `torch.nn.functional.scaled_dot_product_attention`; only scores that are asked for, and
    dropout in training, need them all in memory.

    Args:
        num_heads: int, at least 1.
        key_dim: int, at least 1. Size of query and key within a head.
        value_dim: int, size of value within a head; None for `key_dim`.
        dropout: float from 0 to 1, part of the scores dropped in training.
        use_bias: bool, whether the projections have biases.
        output_shape: int or tuple, size or sizes of an output position; None for the query's.
        attention_axes: int or tuple, axes that hold positions; None for all between the first
            and the last. Several are taken as one sequence, row by row.
        sliding_window: int; queries see keys less than so many positions away. None for all.
        flash_attention: bool; None and True let torch choose its kernel, as long as
            `keras.config.disable_flash_attention()` was not called before; True with dropout or
            scores is an error.
        kernel_initializer, bias_initializer: initializers, by name or instance.
        kernel_regularizer, bias_regularizer: regularizers, by name or instance, or None.
        activity_regularizer: regularizer of each projection's output, or None.
        kernel_constraint, bias_constraint: constraints, by name or instance, or None.
        use_gate: bool, whether each head's output is multiplied by the sigmoid of another
            projection of the query.
        seed: int or SeedGenerator for the dropout; None for one drawn from torch's generator.

    Call arguments:
        query: tensor `(batch, ..., features)`.
        value: tensor `(batch, ..., features)`.
        key: tensor of the value's shape but for the features; None for the value.
        query_mask, value_mask, key_mask: bool tensors without the last axis, False for positions
            to leave out; None for those that ride on the tensors.
        attention_mask: tensor `(batch, query positions, key positions)`, True where a query may
            see a key. Axes for the heads may stand before the positions, and first ones lack.
        return_attention_scores: bool, whether to return the scores too.
        training: bool, whether dropout is active.
        use_causal_mask: bool, whether a query sees no later key.

    Output shape:
        The query's, with `output_shape` in the place of the last axis. With the scores a tuple
        of it and `(batch, num_heads, query positions, key positions)`. Where a query may see no
        key at all, its output is that of the mean of all values; with scores, with dropout or for
        other ranks than 3, that of zero, as in Keras.

    Raises:
        ValueError: an argument is out of its range; key and value differ in other axes than the
            last.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2; the gate after Qiu et al. 2025,
        arXiv:2505.06708; the window after Beltagy et al. 2020, arXiv:2004.05150.

    Example:

    >>> layer = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
    >>> x = torch.ones(1, 3, 8)
    >>> y, scores = layer(x, x, use_causal_mask=True, return_attention_scores=True)
    >>> y.shape, scores.shape
    (torch.Size([1, 3, 8]), torch.Size([1, 2, 3, 3]))
    >>> scores[0, 0].detach()
    tensor([[1.0000, 0.0000, 0.0000],
            [0.5000, 0.5000, 0.0000],
            [0.3333, 0.3333, 0.3333]])
    """

    _plain_attributes = ProjectedAttention._plain_attributes | {"_projections_regularizer"}

    def __init__(
        self,
        num_heads,
        key_dim,
        value_dim=None,
        dropout=0.0,
        use_bias=True,
        output_shape=None,
        attention_axes=None,
        sliding_window=None,
        flash_attention=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        use_gate=False,
        seed=None,
        **kwargs,
    ):
        arguments = dict(locals())
        sizes = {"num_heads": num_heads, "key_dim": key_dim}
        if value_dim is not None:
            sizes["value_dim"] = value_dim
        self._check_sizes(**sizes)
        if attention_axes is not None:
            attention_axes = _as_tuple(attention_axes, "attention_axes")
        if output_shape is not None:
            output_shape = _as_tuple(output_shape, "output_shape")
        super().__init__(arguments, **kwargs)
        # Keras's layer regularizes what its projections give, not what it gives itself.
        self._projections_regularizer = regularizers.get(activity_regularizer)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = key_dim if value_dim is None else value_dim
        self.attention_axes = attention_axes
        self._output_shape = output_shape or None

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        self._check_shapes(value_shape, key_shape)
        rank = len(query_shape)
        if self.attention_axes is None:
            self.attention_axes = tuple(range(1, rank - 1))
        self.attention_axes = tuple(axis % rank for axis in self.attention_axes)
        heads = self.num_heads, self.key_dim
        values = self.num_heads, self.value_dim
        self._query_dense = self._projection("query", query_shape, heads)
        self._key_dense = self._projection("key", key_shape, heads)
        if self.use_gate:
            self._gate_dense = self._projection("gate", query_shape, values, "sigmoid")
        self._value_dense = self._projection("value", value_shape, values)
        self._make_softmax_and_dropout()
        shape = (*query_shape[:-1], *values)
        outputs = self._output_shape or (query_shape[-1],)
        self._output_dense = self._projection("attention_output", shape, outputs, summed=2)

    def _projection(self, name, input_shape, sizes, activation=None, summed=1):
        """An EinsumDense that makes axes of these sizes of the last ones."""
        letters = string.ascii_letters
        free = letters[: len(input_shape) - summed]
        inputs, made = letters[len(free) : len(input_shape)], letters[len(input_shape) :]
        made = made[: len(sizes)]
        return self._built_dense(
            name,
            f"{free}{inputs},{inputs}{made}->{free}{made}",
            (*[None] * (len(free) - 1), *sizes),
            made,
            input_shape,
            activation,
        )

    @property
    def query_dense(self):
        """EinsumDense that projects the query."""
        return self._query_dense

    @property
    def key_dense(self):
        """EinsumDense that projects the key."""
        return self._key_dense

    @property
    def value_dense(self):
        """EinsumDense that projects the value."""
        return self._value_dense

    @property
    def output_dense(self):
        """EinsumDense that projects the heads to the output."""
        return self._output_dense

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        self._check_shapes(value_shape, value_shape if key_shape is None else key_shape)
        if self._output_shape:
            return (*query_shape[:-1], *self._output_shape)
        return tuple(query_shape)

    def _scores_shape(self, query_shape, key_shape):
        axes = self.attention_axes
        batch = [n for i, n in enumerate(query_shape[:-1]) if i not in axes]
        queries, keys = ([shape[axis] for axis in axes] for shape in (query_shape, key_shape))
        return (*batch, self.num_heads, *queries, *keys)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "use_gate": self.use_gate,
            "output_shape": self._output_shape,
            "attention_axes": self.attention_axes,
            "sliding_window": self.sliding_window,
            **weight_config(self),
            "activity_regularizer": regularizers.serialize(self._projections_regularizer),
            "seed": self.seed,
        }


def _as_tuple(value, name):
    if isinstance(value, int):
        return (value,)
    if not isinstance(value, (list, tuple)):
        raise ValueError(
            f"`{name}` must be an int, or a list or tuple of them. Received: {name}={value!r}."
        )
    return tuple(value)
