"""Dropout: zero a random fraction of the input during training."""

from torchkeras.kernels.dropout import dropout
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer
from torchkeras.random.seed_generator import SeedGenerator


class Dropout(Layer):
    """Zeroes inputs at random during training and scales the others by `1 / (1 - rate)`.

    At inference it returns its input. Without a seed the draws follow `torch.manual_seed`.

    Args:
        rate: float from 0 to 1, the probability with which an element is zeroed.
        noise_shape: tuple that broadcasts to the input's shape, None for a size of the input;
            elements along a size of 1 are zeroed together. None: each element for itself.
        seed: int, or None.

    Input shape: any, floating point.
    Output shape: that of the input.

    Raises:
        ValueError: `rate` is not in [0, 1], or `noise_shape` is no tuple of positive ints and
            Nones.

    Source: Srivastava et al. 2014, JMLR 15, in the inverted form, scaled during training.

    Example:

    >>> layer = keras.layers.Dropout(0.5)
    >>> layer(torch.ones(3))
    tensor([1., 1., 1.])
    >>> layer(torch.ones(1000), training=True).unique()
    tensor([0., 2.])
    """

    keeps_shape = True

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = check_rate(rate)
        self.seed = seed
        self.noise_shape = _check_noise_shape(noise_shape)
        if rate > 0:
            self.seed_generator = SeedGenerator(seed)
        self.supports_masking = True
        mark_built(self)

    def call(self, inputs, training=False):
        if training and self.rate > 0:
            return dropout(inputs, self.rate, self.seed_generator, self.noise_shape)
        return inputs

    def get_config(self):
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }


def check_rate(rate):
    """`rate`, if it is a number from 0 to 1; else ValueError.

    Example:

    >>> from torchkeras.layers.regularization.dropout import check_rate
    >>> check_rate(0.5)
    0.5
    """
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise ValueError(
            f"`rate` must be a number from 0 to 1, the fraction to drop. Received: rate={rate!r}."
        )
    return rate


def _check_noise_shape(noise_shape):
    if noise_shape is None:
        return None
    if isinstance(noise_shape, (list, tuple)) and all(
        size is None or (isinstance(size, int) and not isinstance(size, bool) and size > 0)
        for size in noise_shape
    ):
        return tuple(noise_shape)
    raise ValueError(
        "`noise_shape` must be a tuple of positive ints and Nones. Received: "
        f"noise_shape={noise_shape!r}."
    )
