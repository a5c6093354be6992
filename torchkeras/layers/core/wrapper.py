"""Wrapper: base class of layers that do something around another layer."""

from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.layer import Layer


class Wrapper(Layer):
    """Base class of layers around another one, their attribute `layer`.

    It builds that layer for the shape of its own input and keeps it in its config. A subclass
    defines `call`.

    Args:
        layer: Layer.

    Raises:
        ValueError: `layer` is none.

    Example:

    >>> class Twice(keras.layers.Wrapper):
    ...     def call(self, x):
    ...         return self.layer(self.layer(x))
    >>> layer = Twice(keras.layers.Dense(3))
    >>> layer(torch.ones(2, 3)).shape, [w.name for w in layer.weights]
    (torch.Size([2, 3]), ['kernel', 'bias'])
    """

    def __init__(self, layer, **kwargs):
        if not isinstance(layer, Layer):
            raise ValueError(
                f"`layer` must be a Layer. Received: layer={layer!r} of type "
                f"{type(layer).__name__}."
            )
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape=None):
        if not self.layer.built:
            self.layer.build(input_shape)

    def get_config(self):
        return {**super().get_config(), "layer": serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer that `get_config` described.

        Args:
            config: dict.
            custom_objects: dict of names to classes or functions the config may name.
        """
        config = dict(config)
        config["layer"] = deserialize_keras_object(config["layer"], custom_objects=custom_objects)
        return super().from_config(config)
