"""Configs in the form of Keras 2: `{"class_name": ..., "config": ...}`, without modules.

A name is looked up in what the caller gives and in what is registered, and nowhere else.
"""

import inspect
import types

from torchkeras.core.serialization import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
)

_PASSIVE = "__passive_serialization__"  # marks a config inside a config as that of an object


def serialize_keras_object(instance):
    """The config of an object in the form of Keras 2.

    Args:
        instance: object with `get_config`, function, class, or None.

    Raises:
        ValueError: it is nothing of that.

    Example:

    >>> keras.utils.legacy.serialize_keras_object(keras.initializers.Zeros())
    {'class_name': 'Zeros', 'config': {}}
    """
    instance = inspect.unwrap(instance)
    if instance is None:
        return None
    if not hasattr(instance, "get_config"):
        if hasattr(instance, "__name__"):
            return get_registered_name(instance)
        raise ValueError(
            "Objects with a `get_config` method, and functions, have a config. Received: "
            f"{instance!r} of type {type(instance).__name__}."
        )
    config = {}
    for key, item in instance.get_config().items():
        if not (hasattr(item, "get_config") or hasattr(item, "__name__")) or isinstance(item, str):
            config[key] = item
            continue
        config[key] = serialize_keras_object(item)
        if isinstance(config[key], dict):
            config[key][_PASSIVE] = True
    return {"class_name": get_registered_name(type(instance)), "config": config}


def deserialize_keras_object(
    identifier, module_objects=None, custom_objects=None, printable_module_name="object"
):
    """The object that a config in the form of Keras 2, or a name, means.

    Args:
        identifier: dict with `class_name` and `config`, name, function, or None.
        module_objects: dict of names to the classes and functions that are meant, such as
            `vars(keras.initializers)`.
        custom_objects: dict of names to further ones.
        printable_module_name: str, what to call the object in errors.

    Raises:
        ValueError: the name means nothing, or the config has another form.

    Example:

    >>> config = {"class_name": "Constant", "config": {"value": 2.0}}
    >>> keras.utils.legacy.deserialize_keras_object(config, vars(keras.initializers)).value
    2.0
    """
    if identifier is None or isinstance(identifier, types.FunctionType):
        return identifier
    if isinstance(identifier, str):
        found = _found(identifier, module_objects, custom_objects, printable_module_name)
        return found() if isinstance(found, type) else found
    if not isinstance(identifier, dict):
        raise ValueError(
            f"A {printable_module_name} is given by its name or its config. Received: "
            f"{identifier!r} of type {type(identifier).__name__}."
        )
    if "class_name" not in identifier or "config" not in identifier:
        raise ValueError(
            f"The config of a {printable_module_name} is a dict with `class_name` and `config`. "
            f"Received: {identifier!r}."
        )
    name, config = identifier["class_name"], identifier["config"]
    cls = _found(name, module_objects, custom_objects, printable_module_name)
    if not isinstance(cls, type):
        raise ValueError(
            f"`class_name` is the name of a class. Received: '{name}', which means {cls!r}."
        )
    if isinstance(config, dict):
        config = {
            key: _inner(key, item, module_objects, custom_objects) for key, item in config.items()
        }
    with custom_object_scope(custom_objects or {}):
        if not hasattr(cls, "from_config"):
            return cls(**config)
        if "custom_objects" in inspect.signature(cls.from_config).parameters:
            known = {**get_custom_objects(), **(custom_objects or {})}
            return cls.from_config(config, custom_objects=known)
        return cls.from_config(config)


def _inner(key, item, module_objects, custom_objects):
    if isinstance(item, dict) and _PASSIVE in item:
        return deserialize_keras_object(item, module_objects, custom_objects, "config_item")
    if isinstance(item, str) and key != "name":
        found = get_registered_object(item, custom_objects, module_objects)
        if isinstance(found, types.FunctionType):
            return found
    return item


def _found(name, module_objects, custom_objects, kind):
    found = None
    if isinstance(name, str):
        found = get_registered_object(name, custom_objects, module_objects)
    if found is None:
        raise ValueError(
            f"A config must name a known {kind}. Received: '{name}'. Pass custom_objects="
            f"{{'{name}': ...}}, or register it with keras.saving.register_keras_serializable()."
        )
    return found
