"""Initializers by name, by config and by value."""

import numpy as np
import torch

from torchkeras.core import serialization
from torchkeras.core.namespaces import Namespace
from torchkeras.core.variable import find_initializers_with
from torchkeras.initializers.constant_initializers import Constant
from torchkeras.initializers.initializer import Initializer

NAMESPACE = Namespace(
    "keras.initializers",
    Initializer,
    "An initializer is given by its name, class, config or instance, or as a function "
    "(shape, dtype) -> tensor.",
)


def serialize(initializer):
    """Config of an initializer: a JSON-ready dict that names its class.

    Args:
        initializer: an `Initializer`, or a registered function.

    Example:

    >>> keras.initializers.serialize(keras.initializers.Ones())["class_name"]
    'Ones'
    """
    return serialization.serialize_keras_object(initializer)


def deserialize(config, custom_objects=None):
    """Initializer that a config describes.

    Args:
        config: dict with `class_name` and `config`, as `serialize` returns it. Without a
            `module`, the class is one of this module's.
        custom_objects: dict of names to classes or functions the config may name.

    Raises:
        ValueError: the config names something unknown.

    Example:

    >>> keras.initializers.deserialize({"class_name": "Constant", "config": {"value": 2}})
    <Constant value=2>
    """
    return NAMESPACE.deserialize(config, custom_objects)


def get(identifier):
    """Initializer that `identifier` means.

    Args:
        identifier: a name (`"glorot_uniform"`, `"GlorotUniform"`, or that of a registered
            object), a class, a config, a tensor or array (the value itself: the weight must
            have its shape), any callable `(shape, dtype) -> tensor`, which is returned as it
            is, or None, for which None is returned.

    Raises:
        ValueError: `identifier` is none of these.

    Example:

    >>> keras.initializers.get("he_normal")
    <HeNormal seed=None>
    >>> keras.initializers.get(torch.eye(2))((2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if isinstance(identifier, (torch.Tensor, np.ndarray, np.generic)):
        found = Constant(identifier)
        found._exact_shape = tuple(identifier.shape)
        return found
    return NAMESPACE.get(identifier)


find_initializers_with(get)
