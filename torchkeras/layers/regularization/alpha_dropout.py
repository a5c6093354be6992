"""AlphaDropout: dropout that keeps mean and variance, for networks of SELU units."""

import torch

from torchkeras.kernels.dropout import dropout
from torchkeras.layers.regularization.dropout import Dropout

# What SELU tends to far below zero: -scale * alpha of its paper.
_LOWEST = -1.0507009873554805 * 1.6732632423543772


class AlphaDropout(Dropout):
    """Sets inputs to SELU's lowest value at random during training, then restores the moments.

    For inputs of mean 0 and variance 1 the output has mean 0 and variance 1 too. At inference
    it returns its input.

    Args:
        rate: float, at least 0 and below 1; the probability with which an element is replaced.
        noise_shape: tuple that broadcasts to the input's shape, None for a size of the input;
            elements along a size of 1 are replaced together. None: each element for itself.
        seed: int, or None; then the draws follow `torch.manual_seed`.

    Input shape: any, floating point.
    Output shape: that of the input.

    Raises:
        ValueError: `rate` is not in [0, 1).

    Source: Klambauer et al. 2017, arXiv:1706.02515, section "New dropout technique".

    Example:

    >>> y = keras.layers.AlphaDropout(0.5, seed=1)(torch.randn(10000), training=True)
    >>> bool(y.mean().abs() < 0.1), bool((y.std() - 1).abs() < 0.1)
    (True, True)
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(rate, noise_shape=noise_shape, seed=seed, **kwargs)
        if rate == 1:
            raise ValueError(
                "`rate` of AlphaDropout must be below 1, where nothing of the input is left. "
                f"Received: rate={rate}."
            )

    def call(self, inputs, training=False):
        rate = self.rate
        if not training or rate == 0:
            return inputs
        # 1 where kept and 0 where replaced, after the scale of dropout is taken out.
        kept = dropout(torch.ones_like(inputs), rate, self.seed_generator, self.noise_shape) > 0
        a = ((1 - rate) * (1 + rate * _LOWEST**2)) ** -0.5
        return a * torch.where(kept, inputs, _LOWEST) - a * _LOWEST * rate
