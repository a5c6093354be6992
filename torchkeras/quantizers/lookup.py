"""Quantizers, and configs of quantization, by name and by config."""

from torchkeras.core import serialization
from torchkeras.core.namespaces import Namespace
from torchkeras.quantizers.quantizer import Quantizer

NAMESPACE = Namespace(
    "keras.quantizers",
    Quantizer,
    "A quantizer is given by its name, class, config or instance.",
)


def serialize(initializer):
    """Config of a quantizer: a JSON-ready dict that names its class.

    Args:
        initializer: the Quantizer, under the name that Keras has for it.

    Example:

    >>> keras.quantizers.serialize(keras.quantizers.AbsMaxQuantizer())["class_name"]
    'AbsMaxQuantizer'
    """
    return serialization.serialize_keras_object(initializer)


def deserialize(config, custom_objects=None):
    """Quantizer, or config of quantization, that a config describes.

    Args:
        config: dict with `class_name` and `config`, as `serialize` returns it.
        custom_objects: dict of names to classes the config may name.

    Raises:
        ValueError: the config names something unknown.

    Example:

    >>> config = keras.quantizers.serialize(keras.quantizers.AbsMaxQuantizer(axis=0))
    >>> keras.quantizers.deserialize(config).axis
    (0,)
    """
    return NAMESPACE.deserialize(config, custom_objects)


def get(identifier, **kwargs):
    """Quantizer that `identifier` means.

    Args:
        identifier: a name (`"abs_max_quantizer"`, `"AbsMaxQuantizer"`), a class, a config, an
            instance, or None, for which None is returned.
        **kwargs: arguments of the constructor, for a name or a class.

    Raises:
        ValueError: `identifier` is none of these.

    Example:

    >>> keras.quantizers.get("abs_max_quantizer", axis=0).axis
    (0,)
    """
    found = NAMESPACE.find(identifier) if isinstance(identifier, str) else identifier
    if isinstance(found, type) and kwargs:
        return found(**kwargs)
    return NAMESPACE.get(identifier)
