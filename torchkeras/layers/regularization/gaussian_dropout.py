"""GaussianDropout: multiply by normal noise during training."""

import math

from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer
from torchkeras.layers.regularization.dropout import check_rate
from torchkeras.layers.regularization.gaussian_noise import normal_like
from torchkeras.random.seed_generator import SeedGenerator


class GaussianDropout(Layer):
    """Multiplies by normal noise of mean 1 during training; returns its input at inference.

    The noise has standard deviation `sqrt(rate / (1 - rate))`, that of the mask of `Dropout`.

    Args:
        rate: float, at least 0 and below 1.
        seed: int, or None; then the draws follow `torch.manual_seed`.

    Input shape: any, floating point.
    Output shape: that of the input.

    Raises:
        ValueError: `rate` is not in [0, 1). At 1 the deviation would be infinite; Keras accepts
            it and fails at the first training step.

    Source: Srivastava et al. 2014, JMLR 15, section 10.

    Example:

    >>> layer = keras.layers.GaussianDropout(0.5, seed=1)
    >>> layer(torch.ones(2, 3), training=True).shape
    torch.Size([2, 3])
    """

    keeps_shape = True

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if check_rate(rate) == 1:
            raise ValueError(
                "`rate` of GaussianDropout must be below 1, where the noise would be infinite. "
                f"Received: rate={rate}."
            )
        self.rate = rate
        self.seed = seed
        if rate > 0:
            self.seed_generator = SeedGenerator(seed)
        self.supports_masking = True
        mark_built(self)

    def call(self, inputs, training=False):
        if training and self.rate > 0:
            stddev = math.sqrt(self.rate / (1 - self.rate))
            return inputs * (1 + stddev * normal_like(inputs, self.seed_generator))
        return inputs

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
