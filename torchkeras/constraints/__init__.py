"""keras.constraints: projections of weights after each update."""

from torchkeras.constraints.constraints import Constraint as Constraint
from torchkeras.constraints.constraints import MaxNorm as MaxNorm
from torchkeras.constraints.constraints import MinMaxNorm as MinMaxNorm
from torchkeras.constraints.constraints import NonNeg as NonNeg
from torchkeras.constraints.constraints import UnitNorm as UnitNorm
from torchkeras.core import serialization as _serialization
from torchkeras.core.naming import to_snake_case as _to_snake_case

max_norm = MaxNorm
min_max_norm = MinMaxNorm
non_neg = NonNeg
unit_norm = UnitNorm

_CLASSES = Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm
_BY_NAME = {cls.__name__: cls for cls in _CLASSES}
_BY_NAME.update({_to_snake_case(cls.__name__): cls for cls in _CLASSES})


def serialize(constraint):
    """Config of a constraint.

    Args:
        constraint: a `Constraint`, or a registered function.

    Returns:
        A JSON-ready dict.

    Example:

    >>> keras.constraints.serialize(keras.constraints.UnitNorm(axis=1))["config"]
    {'axis': 1}
    """
    return _serialization.serialize_keras_object(constraint)


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
    if isinstance(config, dict) and not config.get("module"):
        config = {**config, "module": "keras.constraints"}
    return _serialization.deserialize_keras_object(config, custom_objects)


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
    if identifier is None:
        return None
    found = deserialize(identifier) if isinstance(identifier, dict) else identifier
    if isinstance(found, str):
        found = _serialization.get_registered_object(found, module_objects=_BY_NAME)
    if isinstance(found, type):
        found = found()
    if not callable(found):
        raise ValueError(
            "A constraint is given by its name, class, config or instance, or as a function "
            f"weight -> tensor. Received: {identifier!r}. The names are: "
            f"{', '.join(sorted(name for name in _BY_NAME if name.islower()))}."
        )
    return found


_serialization.expose("keras.constraints", globals())
