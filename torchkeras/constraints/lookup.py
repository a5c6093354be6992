"""Constraints by name and by config."""

from torchkeras.constraints.constraints import Constraint
from torchkeras.core import serialization
from torchkeras.core.namespaces import Namespace

NAMESPACE = Namespace(
    "keras.constraints",
    Constraint,
    "A constraint is given by its name, class, config or instance, or as a function "
    "weight -> tensor.",
)


def serialize(constraint):
    """Config of a constraint: a JSON-ready dict that names its class.

    Args:
        constraint: a `Constraint`, or a registered function.

    Example:

    >>> keras.constraints.serialize(keras.constraints.UnitNorm(axis=1))["config"]
    {'axis': 1}
    """
    return serialization.serialize_keras_object(constraint)


def deserialize(config, custom_objects=None):
    """Constraint that a config describes.

    Args:
        config: dict with `class_name` and `config`, as `serialize` returns it. Without a
            `module`, the class is one of this module's.
        custom_objects: dict of names to classes or functions the config may name.

    Raises:
        ValueError: the config names something unknown.

    Example:

    >>> keras.constraints.deserialize({"class_name": "MaxNorm", "config": {"axis": 1}}).axis
    1
    """
    return NAMESPACE.deserialize(config, custom_objects)


def get(identifier):
    """Constraint that `identifier` means.

    Args:
        identifier: a name (`"non_neg"`, `"NonNeg"`, or that of a registered object), a class, a
            config, any callable `weight -> tensor`, which is returned as it is, or None, for
            which None is returned.

    Raises:
        ValueError: `identifier` is none of these.

    Example:

    >>> keras.constraints.get("max_norm").get_config()
    {'max_value': 2, 'axis': 0}
    """
    return NAMESPACE.get(identifier)
