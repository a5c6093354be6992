"""Regularizers by name and by config."""

from torchkeras.core import serialization
from torchkeras.core.namespaces import Namespace
from torchkeras.regularizers.regularizers import Regularizer

NAMESPACE = Namespace(
    "keras.regularizers",
    Regularizer,
    "A regularizer is given by its name, class, config or instance, or as a function x -> scalar.",
)


def serialize(regularizer):
    """Config of a regularizer: a JSON-ready dict that names its class.

    Args:
        regularizer: a `Regularizer`, or a registered function.

    Example:

    >>> keras.regularizers.serialize(keras.regularizers.L2(0.1))["config"]
    {'l2': 0.1}
    """
    return serialization.serialize_keras_object(regularizer)


def deserialize(config, custom_objects=None):
    """Regularizer that a config describes.

    Args:
        config: dict with `class_name` and `config`, as `serialize` returns it. Without a
            `module`, the class is one of this module's.
        custom_objects: dict of names to classes or functions the config may name.

    Raises:
        ValueError: the config names something unknown.

    Example:

    >>> keras.regularizers.deserialize({"class_name": "L1", "config": {"l1": 0.5}}).l1
    0.5
    """
    return NAMESPACE.deserialize(config, custom_objects)


def get(identifier):
    """Regularizer that `identifier` means.

    Args:
        identifier: a name (`"l2"`, `"L2"`, or that of a registered object), a class, a config,
            any callable `x -> scalar`, which is returned as it is, or None, for which None is
            returned.

    Raises:
        ValueError: `identifier` is none of these.

    Example:

    >>> keras.regularizers.get("l2").get_config()
    {'l2': 0.01}
    """
    return NAMESPACE.get(identifier)
