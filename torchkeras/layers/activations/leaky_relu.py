"""LeakyReLU: a rectified linear unit with a slope below zero."""

from torchkeras import activations
from torchkeras.layers.activations.relu import check_not_negative
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer


class LeakyReLU(Layer):
    """`x` where `x >= 0`, else `negative_slope * x`.

    Args:
        negative_slope: float, at least 0. `alpha`, its older name, is understood too.

    Input shape: any.
    Output shape: that of the input.

    Raises:
        ValueError: `negative_slope` is negative.

    Source: Maas, Hannun and Ng 2013, "Rectifier nonlinearities improve neural network acoustic
    models"; the default slope 0.3 as in Keras.

    Example:

    >>> keras.layers.LeakyReLU(negative_slope=0.5)(torch.tensor([-10.0, 5.0]))
    tensor([-5.,  5.])
    """

    keeps_shape = True

    def __init__(self, negative_slope=0.3, **kwargs):
        negative_slope = kwargs.pop("alpha", negative_slope)
        super().__init__(**kwargs)
        check_not_negative("negative_slope", negative_slope)
        self.negative_slope = negative_slope
        self.supports_masking = True
        mark_built(self)

    def call(self, inputs):
        return activations.leaky_relu(inputs, negative_slope=self.negative_slope)

    def get_config(self):
        return {**super().get_config(), "negative_slope": self.negative_slope}
