"""Optimizers: from gradients to updated variables."""

import torch

from torchkeras.core import serialization
from torchkeras.optimizers import schedules
from torchkeras.optimizers.adadelta import Adadelta
from torchkeras.optimizers.adagrad import Adagrad
from torchkeras.optimizers.adam import Adam
from torchkeras.optimizers.adamax import Adamax
from torchkeras.optimizers.adamw import AdamW
from torchkeras.optimizers.lion import Lion
from torchkeras.optimizers.nadam import Nadam
from torchkeras.optimizers.optimizer import Optimizer
from torchkeras.optimizers.rmsprop import RMSprop
from torchkeras.optimizers.sgd import SGD
from torchkeras.optimizers.torch_optimizer import TorchOptimizer

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "TorchOptimizer",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

_BY_NAME = {
    cls.__name__.lower(): cls
    for cls in (SGD, Adadelta, Adagrad, Adam, AdamW, Adamax, Lion, Nadam, RMSprop)
}


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
    own = _BY_NAME.get(name.lower()) if isinstance(name, str) else None
    registered = config.get("registered_name")
    is_registered = isinstance(registered, str) and (
        serialization.get_registered_object(registered) is not None
    )
    if own is not None and not is_registered and name not in (custom_objects or {}):
        config = {
            "config": {},
            **config,
            "module": "keras.optimizers",
            "class_name": own.__name__,
            "registered_name": None,
        }
    return serialization.deserialize_keras_object(config, custom_objects)


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
    if identifier is None or isinstance(identifier, (Optimizer, TorchOptimizer)):
        return identifier
    if isinstance(identifier, dict) and "class_name" in identifier:
        found = deserialize(identifier)
    elif isinstance(identifier, str):
        found = _get_by_name(identifier)
    elif isinstance(identifier, torch.optim.Optimizer) or _makes_torch_optimizers(identifier):
        found = TorchOptimizer(identifier)
    else:
        found = None
    if not isinstance(found, (Optimizer, TorchOptimizer)):
        raise ValueError(
            f"Could not interpret optimizer identifier: {identifier!r}. Expected one of "
            f"{', '.join(sorted(_BY_NAME))}, a config, an Optimizer, or a torch.optim optimizer "
            "or a function that makes one."
        )
    return found


def _get_by_name(name):
    registered = serialization.get_registered_object(name)
    if registered is not None:
        return registered() if isinstance(registered, type) else registered
    own = _BY_NAME.get(name.lower())
    return own() if own is not None else None


def _makes_torch_optimizers(identifier):
    is_ours = isinstance(identifier, type) and not issubclass(identifier, torch.optim.Optimizer)
    return callable(identifier) and not is_ours


serialization.expose(
    "keras.optimizers", globals(), only=["Optimizer", *(c.__name__ for c in _BY_NAME.values())]
)
