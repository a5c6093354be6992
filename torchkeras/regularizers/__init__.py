"""keras.regularizers: penalties on weights and outputs."""

from torchkeras.core import serialization as _serialization
from torchkeras.core.naming import to_snake_case as _to_snake_case
from torchkeras.regularizers.regularizers import L1 as L1
from torchkeras.regularizers.regularizers import L1L2 as L1L2
from torchkeras.regularizers.regularizers import L2 as L2
from torchkeras.regularizers.regularizers import OrthogonalRegularizer as OrthogonalRegularizer
from torchkeras.regularizers.regularizers import Regularizer as Regularizer

l1 = L1
l1_l2 = L1L2
l2 = L2
orthogonal_regularizer = OrthogonalRegularizer

_CLASSES = L1, L1L2, L2, OrthogonalRegularizer, Regularizer
_BY_NAME = {cls.__name__: cls for cls in _CLASSES}
_BY_NAME.update({_to_snake_case(cls.__name__): cls for cls in _CLASSES})
_BY_NAME["l1_l2"] = L1L2  # the alias; Keras itself knows only "l1l2" here


def serialize(regularizer):
    """Config of a regularizer.

    Args:
        regularizer: a `Regularizer`, or a registered function.

    Returns:
        A JSON-ready dict.

    Example:

    >>> keras.regularizers.serialize(keras.regularizers.L2(0.1))["config"]
    {'l2': 0.1}
    """
    return _serialization.serialize_keras_object(regularizer)


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
    if isinstance(config, dict) and not config.get("module"):
        config = {**config, "module": "keras.regularizers"}
    return _serialization.deserialize_keras_object(config, custom_objects)


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
    if identifier is None:
        return None
    found = deserialize(identifier) if isinstance(identifier, dict) else identifier
    if isinstance(found, str):
        found = _serialization.get_registered_object(found, module_objects=_BY_NAME)
    if isinstance(found, type):
        found = found()
    if not callable(found):
        raise ValueError(
            "A regularizer is given by its name, class, config or instance, or as a function "
            f"x -> scalar. Received: {identifier!r}. The names are: "
            f"{', '.join(sorted(name for name in _BY_NAME if name.islower()))}."
        )
    return found


_serialization.expose("keras.regularizers", globals())
