"""Optimizers by name in any case, by config, and from torch.optim."""

import torch

from torchkeras.core import serialization
from torchkeras.core.namespaces import Namespace
from torchkeras.optimizers.optimizer import Optimizer
from torchkeras.optimizers.torch_optimizer import TorchOptimizer

NAMESPACE = Namespace(
    "keras.optimizers",
    Optimizer,
    "Could not interpret optimizer identifier: a name, a config, an Optimizer, or a torch.optim "
    "optimizer or a function that makes one, was expected.",
)


def serialize(optimizer):
    """The config of an optimizer: a JSON-ready dict that names its class.

    Example:

    >>> keras.optimizers.serialize(keras.optimizers.Adam())["class_name"]
    'Adam'
    """
    return serialization.serialize_keras_object(optimizer)


def deserialize(config, custom_objects=None):
    """The optimizer that a config describes, without its state.

    Args:
        config: dict that `serialize` returned; it is not modified. For our own classes
            `class_name` is enough, in any case.
        custom_objects: dict of names to classes of your own.

    Raises:
        ValueError: the config names an unknown class.

    Example:

    >>> config = {"class_name": "sgd", "config": {"learning_rate": 0.5}}
    >>> float(keras.optimizers.deserialize(config).learning_rate)
    0.5
    """
    name = config.get("class_name")
    own = NAMESPACE.names.get(name.lower()) if isinstance(name, str) else None
    registered = config.get("registered_name")
    is_registered = isinstance(registered, str) and (
        serialization.get_registered_object(registered) is not None
    )
    if own is not None and not is_registered and name not in (custom_objects or {}):
        config = {**config, "module": None, "class_name": own.__name__, "registered_name": None}
    return NAMESPACE.deserialize(config, custom_objects)


def get(identifier):
    """The optimizer that `identifier` means.

    Args:
        identifier: name in any case (`"adam"`), config dict, `Optimizer`, or None, which is
            returned. A `torch.optim.Optimizer`, or a function or class that makes one from a
            list of parameters, is wrapped in a `TorchOptimizer`.

    Raises:
        ValueError: it means none.

    Example:

    >>> type(keras.optimizers.get("AdamW")).__name__
    'AdamW'
    """
    if isinstance(identifier, (Optimizer, TorchOptimizer)):
        return identifier
    if isinstance(identifier, type) and not issubclass(identifier, torch.optim.Optimizer):
        raise NAMESPACE.unknown(identifier)
    if isinstance(identifier, torch.optim.Optimizer) or callable(identifier):
        return TorchOptimizer(identifier)
    if isinstance(identifier, dict):
        found = deserialize(identifier)
    else:
        found = NAMESPACE.get(_own_case(identifier))
    if found is not None and not isinstance(found, (Optimizer, TorchOptimizer)):
        raise NAMESPACE.unknown(identifier)
    return found


def _own_case(name):
    """The name by which an optimizer of ours is known, of one in any case; others as they are."""
    if not isinstance(name, str) or serialization.get_registered_object(name) is not None:
        return name
    return name.lower() if name.lower() in NAMESPACE.names else name
