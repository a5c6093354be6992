"""Activations by name and by config."""

import types

from torchkeras.activations.activations import linear
from torchkeras.core import serialization
from torchkeras.core.namespaces import Namespace

NAMESPACE = Namespace(
    "keras.activations", None, "An activation is None, a callable, a config or a name."
)


def get(identifier):
    """The activation that an identifier means.

    Args:
        identifier: None for `linear`; the name of an activation, or of a function registered
            or in a custom object scope; a callable, returned as it is; or a config.

    Raises:
        ValueError: no activation is meant by it.

    Example:

    >>> keras.activations.get("relu").__name__
    'relu'
    """
    return linear if identifier is None else NAMESPACE.get(identifier)


def serialize(activation):
    """What a config holds for an activation: the name of one of ours, else a dict.

    Args:
        activation: function of this module, a named function of your own, or an object with
            `get_config`, such as a layer.

    Raises:
        ValueError: a lambda, or something that is no activation.

    Example:

    >>> keras.activations.serialize(keras.activations.relu)
    'relu'
    """
    if not callable(activation):
        raise ValueError(
            f"An activation must be callable. Received: {activation!r}. Use "
            "keras.activations.get to find one by its name."
        )
    name = getattr(activation, "__name__", None)
    if name is not None and NAMESPACE.functions.get(name) is activation:
        return name
    config = serialization.serialize_keras_object(activation)
    if isinstance(activation, types.FunctionType):
        config["config"] = serialization.get_registered_name(activation)
    return config


def deserialize(config, custom_objects=None):
    """The activation that `serialize` described.

    Args:
        config: name or dict.
        custom_objects: dict of names to functions or classes of your own.

    Raises:
        ValueError: the config names nothing known.

    Example:

    >>> keras.activations.deserialize("relu").__name__
    'relu'
    """
    return NAMESPACE.deserialize(config, custom_objects)
