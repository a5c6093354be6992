"""Pipeline: layers one after the other, as one layer."""

from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.layer import Layer


class Pipeline(Layer):
    """Calls layers one after the other; a plain layer, where `Sequential` is a model.

    It is for preprocessing and augmentation. As the layers that augment images do, it starts in
    training mode, and gives its mode to the layers that take `training`.

    Args:
        layers: list of layers, or other callables.
        name: str, or None for an automatic one.

    Input shape: what the first layer takes; dicts of images, labels, boxes and masks too.
    Output shape: what the last layer gives.

    Raises:
        ValueError: `layers` is no list of callables.

    Example:

    >>> pipeline = keras.layers.Pipeline([keras.layers.Rescaling(2), keras.layers.AutoContrast()])
    >>> pipeline(torch.tensor([[[1.0], [2.0]]])).flatten()
    tensor([  0., 255.])
    """

    _trains_by_itself = True

    def __init__(self, layers, name=None):
        super().__init__(name=name, autocast=False)
        if not isinstance(layers, (list, tuple)) or not all(map(callable, layers)):
            raise ValueError(f"`layers` must be a list of layers. Received: layers={layers!r}.")
        self._pipeline_layers = list(layers)
        self.__dict__["training"] = self._trains_by_itself  # a choice of nobody's

    @property
    def layers(self):
        return self._pipeline_layers

    def call(self, inputs, training=True, mask=None):
        for layer in self._pipeline_layers:
            inputs = layer(inputs, **_arguments(layer, training, mask))
            mask = None  # from here on it rides on what comes out
        return inputs

    def get_config(self):
        return {"layers": serialize_keras_object(self._pipeline_layers), "name": self.name}

    @classmethod
    def from_config(cls, config):
        """The pipeline that `get_config` described.

        Raises:
            ValueError: the config has no list of layers.
        """
        layers = config.get("layers")
        if not isinstance(layers, (list, tuple)):
            raise ValueError(
                "The config of a `Pipeline` must have a list of configs under 'layers'. Received: "
                f"layers={layers!r}."
            )
        return cls(**{**config, "layers": [deserialize_keras_object(each) for each in layers]})


def _arguments(layer, training, mask):
    """What of mode and mask a layer takes."""
    if not isinstance(layer, Layer):
        return {}
    spec = layer._spec_of_call()
    arguments = {"training": training} if spec.takes_training else {}
    return {**arguments, "mask": mask} if spec.takes_mask and mask is not None else arguments
