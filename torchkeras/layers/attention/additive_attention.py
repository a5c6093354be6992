"""AdditiveAttention: attention whose scores are sums of tanh of query and key."""

import torch

from torchkeras.layers.attention.attention import Attention
from torchkeras.layers.known_sizes import known_sizes


class AdditiveAttention(Attention):
    """Attention with scores of its own: `softmax(sum(scale * tanh(query + key)))`.

    Args:
        use_scale: bool, whether `scale` is a learned vector of the query's size; else it is 1.
        dropout: float from 0 to 1, part of the scores dropped in training.
        seed: int or SeedGenerator for the dropout; None for one drawn from torch's generator.

    Call arguments:
        inputs, mask and flags: as for Attention; query and key have one size.

    Output shape:
        `(batch, queries, value size)`; with the scores a tuple of it and `(batch, queries, keys)`.

    Raises:
        ValueError: `inputs` or `mask` is no list of two or three; the query's size is unknown.

    Source: Bahdanau et al. 2015, arXiv:1409.0473, appendix A.1.2, without its projections.

    Example:

    >>> query, value = torch.zeros(1, 2, 4), torch.zeros(1, 3, 4)
    >>> layer = keras.layers.AdditiveAttention()
    >>> layer([query, value]).shape, layer.scale.shape
    (torch.Size([1, 2, 4]), (4,))
    """

    def __init__(self, use_scale=True, dropout=0.0, **kwargs):
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape):
        self._check(input_shape)
        self.scale = None
        if self.use_scale:
            size = known_sizes(self, [-1], input_shape[0])
            self.scale = self.add_weight(name="scale", shape=size, initializer="glorot_uniform")

    def _is_dot_product(self):
        return False

    def _scores(self, query, key):
        sums = torch.tanh(query.unsqueeze(-2) + key.unsqueeze(-3))
        return sums.sum(-1) if self.scale is None else torch.matmul(sums, self.scale.value)

    def get_config(self):
        config = super().get_config()
        del config["score_mode"]
        return config
