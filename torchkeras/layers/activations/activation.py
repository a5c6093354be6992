"""Activation: an activation function as a layer."""

from torchkeras import activations
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer


class Activation(Layer):
    """Applies an activation function to its input.

    Args:
        activation: function of a tensor, or the name of one in `keras.activations`.

    Input shape: any.
    Output shape: that of the input.

    Example:

    >>> keras.layers.Activation("relu")(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    keeps_shape = True

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.activation = activations.get(activation)
        mark_built(self)

    def call(self, inputs):
        return self.activation(inputs)

    def get_config(self):
        return {**super().get_config(), "activation": activations.serialize(self.activation)}
