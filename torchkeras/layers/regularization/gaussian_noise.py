"""GaussianNoise: add normal noise during training."""

import torch

from torchkeras.core.scopes import SCOPE
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer
from torchkeras.random import philox
from torchkeras.random.seed_generator import SeedGenerator


class GaussianNoise(Layer):
    """Adds normal noise of mean 0 during training; returns its input at inference.

    Args:
        stddev: float from 0 to 1, standard deviation of the noise.
        seed: int, or None; then the draws follow `torch.manual_seed`.

    Input shape: any, floating point.
    Output shape: that of the input.

    Raises:
        ValueError: `stddev` is not in [0, 1].

    Example:

    >>> layer = keras.layers.GaussianNoise(0.1, seed=1)
    >>> bool(layer(torch.ones(1000), training=True).std() < 0.11)
    True
    """

    keeps_shape = True

    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(**kwargs)
        if isinstance(stddev, bool) or not 0 <= stddev <= 1:
            raise ValueError(
                "`stddev` must be a number from 0 to 1. Received: "
                f"stddev={stddev!r}. Rescale the input if you need more noise."
            )
        self.stddev = stddev
        self.seed = seed
        if stddev > 0:
            self.seed_generator = SeedGenerator(seed)
        self.supports_masking = True
        mark_built(self)

    def call(self, inputs, training=False):
        if training and self.stddev > 0:
            return inputs + self.stddev * normal_like(inputs, self.seed_generator)
        return inputs

    def get_config(self):
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


def normal_like(x, seed_generator):
    """Standard normal numbers in the shape and dtype of `x`.

    Args:
        x: float tensor.
        seed_generator: SeedGenerator. Where it says `draws_from_state` the numbers are a
            function of its state; else torch's default generator of the device draws them.

    Example:

    >>> from torchkeras.layers.regularization.gaussian_noise import normal_like
    >>> normal_like(torch.ones(2, 3), keras.random.SeedGenerator(1)).shape
    torch.Size([2, 3])
    """
    if SCOPE.meta or not seed_generator.draws_from_state:
        return torch.randn_like(x)
    return philox.normal(seed_generator.next(), x.shape, x.dtype, x.device)
