"""GroupQueryAttention: attention whose heads share keys and values in groups."""

from torchkeras import regularizers
from torchkeras.layers.attention.projected_attention import ProjectedAttention
from torchkeras.layers.weight_arguments import weight_config


class GroupedQueryAttention(ProjectedAttention):
    """Multi-head attention where each head of keys and values serves a group of query heads.

    With one head of keys and values this is multi-query attention; with as many as queries have,
    multi-head attention. With `Q` the projection of the query for one head, and `K`, `V` those
    of key and value for its group:

        head = softmax(Q @ K.T / sqrt(head_dim)) @ V

    Args:
        head_dim: int, at least 1. Size of query, key and value within a head.
        num_query_heads: int, a multiple of `num_key_value_heads`.
        num_key_value_heads: int, at least 1. Number of groups.
        dropout: float from 0 to 1, part of the scores dropped in training.
        use_bias: bool, whether the projections have biases.
        sliding_window: int; queries see keys less than so many positions away. None for all.
        flash_attention: bool; None and True let torch choose its kernel, as long as
            `keras.config.disable_flash_attention()` was not called before; True with dropout or
            scores is an error.
        kernel_initializer, bias_initializer: initializers, by name or instance.
        kernel_regularizer, bias_regularizer: regularizers, by name or instance, or None.
        activity_regularizer: regularizer of the output and of each projection's, or None.
        kernel_constraint, bias_constraint: constraints, by name or instance, or None.
        use_gate: bool, whether each head's output is multiplied by the sigmoid of another
            projection of the query.
        seed: int or SeedGenerator for the dropout; None for one drawn from torch's generator.

    Call arguments:
        query: tensor `(batch, positions, features)`.
        value, key, masks and flags: as for MultiHeadAttention.

    Output shape:
        The query's. With the scores a tuple of it and `(batch, num_query_heads, query positions,
        key positions)`. A query without keys gets what it does in MultiHeadAttention.

    Raises:
        ValueError: an argument is out of its range; key and value differ in other axes than the
            last.

    Source: Ainslie et al. 2023, arXiv:2305.13245; the gate after Qiu et al. 2025,
        arXiv:2505.06708; the window after Beltagy et al. 2020, arXiv:2004.05150.

    Example:

    >>> layer = keras.layers.GroupQueryAttention(4, num_query_heads=6, num_key_value_heads=2)
    >>> x = torch.ones(1, 3, 8)
    >>> y, scores = layer(x, x, return_attention_scores=True)
    >>> y.shape, scores.shape
    (torch.Size([1, 3, 8]), torch.Size([1, 6, 3, 3]))
    """

    # Keras's class has this name too: automatic names and weights files go by it, configs by that
    # of `keras.layers`.
    _exported_name = "GroupQueryAttention"
    attention_axes = (1,)

    def __init__(
        self,
        head_dim,
        num_query_heads,
        num_key_value_heads,
        dropout=0.0,
        use_bias=True,
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
        self._check_sizes(
            head_dim=head_dim,
            num_query_heads=num_query_heads,
            num_key_value_heads=num_key_value_heads,
        )
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                "`num_query_heads` must be a multiple of `num_key_value_heads`. Received: "
                f"num_query_heads={num_query_heads}, num_key_value_heads={num_key_value_heads}."
            )
        super().__init__(arguments, activity_regularizer=activity_regularizer, **kwargs)
        self.head_dim = head_dim
        self.num_query_heads = num_query_heads
        self.num_key_value_heads = num_key_value_heads

    @property
    def _projections_regularizer(self):
        return self.activity_regularizer

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        self._check_shapes(value_shape, key_shape)
        queries = self.num_query_heads, self.head_dim
        groups = self.num_key_value_heads, self.head_dim
        self._query_dense = self._heads("query", query_shape, queries)
        self._key_dense = self._heads("key", key_shape, groups)
        if self.use_gate:
            self._gate_dense = self._heads("gate", query_shape, queries, "sigmoid")
        self._value_dense = self._heads("value", value_shape, groups)
        self._make_softmax_and_dropout()
        self._output_dense = self._built_dense(
            "attention_output",
            "bquh,uhm->bqm",
            (None, query_shape[-1]),
            "m",
            (None, None, *queries),
        )

    def _heads(self, name, input_shape, sizes, activation=None):
        """An EinsumDense that makes heads of these numbers and sizes of the features."""
        # The letters are those of Keras, whose configs hold the equation.
        steps, heads = ("q", "u") if name in ("query", "gate") else ("k", "v")
        equation = f"b{steps}m,m{heads}h->b{steps}{heads}h"
        return self._built_dense(
            name, equation, (None, *sizes), f"{heads}h", input_shape, activation
        )

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        self._check_shapes(value_shape, value_shape if key_shape is None else key_shape)
        if query_shape[-1] != value_shape[-1]:
            raise ValueError(
                "`query` and `value` must have the same number of features. Received: query_shape="
                f"{tuple(query_shape)}, value_shape={tuple(value_shape)}."
            )
        return tuple(query_shape)

    def _scores_shape(self, query_shape, key_shape):
        return (query_shape[0], self.num_query_heads, query_shape[1], key_shape[1])

    def get_config(self):
        return {
            **super().get_config(),
            "head_dim": self.head_dim,
            "num_query_heads": self.num_query_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "use_bias": self.use_bias,
            "use_gate": self.use_gate,
            "sliding_window": self.sliding_window,
            "dropout": self.dropout,
            **weight_config(self),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "seed": self.seed,
        }
