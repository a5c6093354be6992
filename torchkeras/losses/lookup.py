"""Losses by name, by config, and from modules of torch."""

from torch import nn

from torchkeras.core import serialization
from torchkeras.core.namespaces import Namespace
from torchkeras.losses.loss import Loss
from torchkeras.losses.torch_loss import TorchLoss, is_of_torch

NAMESPACE = Namespace(
    "keras.losses",
    Loss,
    "A loss is given by name, config, function, Loss or torch.nn loss module.",
    own_first=True,  # as in Keras
)


def serialize(loss):
    """The config of a loss, or of a loss function by its name.

    Args:
        loss: Loss instance or named function.

    Example:

    >>> keras.losses.serialize(keras.losses.MeanSquaredError())["config"]["name"]
    'mean_squared_error'
    """
    return serialization.serialize_keras_object(loss)


def deserialize(name, custom_objects=None):
    """The loss that a config describes.

    Args:
        name: dict that `serialize` returned (`module` may lack), or the name of a loss.
        custom_objects: dict of further names to classes or functions.

    Raises:
        ValueError: the config names something unknown.

    Example:

    >>> keras.losses.deserialize({"class_name": "Huber", "config": {"delta": 2.0}})
    <Huber name=huber_loss>
    """
    return NAMESPACE.deserialize(name, custom_objects)


def get(identifier):
    """The loss that `identifier` means.

    Args:
        identifier: name of a class (which is instantiated) or function, also `"mse"`, `"bce"`
            and the like; a config; a function `(y_true, y_pred)`, Loss instance or class;
            a loss module or function of torch, whose argument order is turned around; or None.

    Returns:
        A Loss, a function, or None.

    Raises:
        ValueError: `identifier` means no loss.

    Example:

    >>> keras.losses.get("MeanSquaredError")
    <MeanSquaredError name=mean_squared_error>
    >>> keras.losses.get("mse") is keras.losses.mean_squared_error
    True
    """
    found = NAMESPACE.get(identifier)
    return TorchLoss(found) if isinstance(found, nn.Module) or is_of_torch(found) else found
