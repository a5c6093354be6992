"""ELU: the exponential linear unit as a layer."""

from torchkeras import activations
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer


class ELU(Layer):
    """`x` where `x >= 0`, else `alpha * (exp(x) - 1)`.

    Args:
        alpha: float, the output far below zero is `-alpha`.

    Input shape: any.
    Output shape: that of the input.

    Source: Clevert, Unterthiner and Hochreiter 2015, arXiv:1511.07289, eq. 15.

    Example:

    >>> keras.layers.ELU()(torch.tensor([-100.0, 1.0]))
    tensor([-1.,  1.])
    """

    keeps_shape = True

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = alpha
        self.supports_masking = True
        mark_built(self)

    def call(self, inputs):
        return activations.elu(inputs, alpha=self.alpha)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha}
