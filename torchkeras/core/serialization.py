"""Configs: objects to JSON-ready dicts and back, and the registry of classes a file may name.

A config names classes; it never carries code, and reading one never imports a module. A name
is looked up, in this order, in the `custom_objects` of the caller, in what
`register_keras_serializable` registered, and in the public namespaces of this package. What is
in none of the three is an error, so a file can make nothing that the program did not offer.
"""

import contextlib
import threading
import types

import numpy as np
import torch

from torchkeras.core.convert import convert_to_numpy
from torchkeras.core.dtypes import standardize_dtype, to_torch_dtype

_registered = {}  # "package>Name" -> class or function
_registered_names = {}  # class or function -> "package>Name"
_namespaces = {}  # "keras.layers" -> the namespace's dict
_local = threading.local()


def expose(module, namespace, only=None):
    """Let configs name the classes of `namespace` as `module`'s.

    Args:
        module: name in configs, Keras's own (`"keras.layers"`), so that files are exchangeable.
        namespace: dict of names, as `globals()` of a package's `__init__`.
        only: names to offer, or None for every class in it that has `from_config`.
    """
    _namespaces[module] = (namespace, None if only is None else frozenset(only))


def _exposed(module, name):
    """The class that `name` means in the public namespace `module`, or None."""
    namespace, only = _namespaces.get(module, ({}, None))
    found = namespace.get(name) if only is None or name in only else None
    return found if isinstance(found, type) and hasattr(found, "from_config") else None


def _public_name(cls):
    """`(module, name)` of a class in the public namespaces, or None."""
    name = cls.__dict__.get("_exported_name", cls.__name__)
    for module, (namespace, only) in _namespaces.items():
        if namespace.get(name) is cls and (only is None or name in only):
            return module, name
    return None


def register_keras_serializable(package="Custom", name=None):
    """Class decorator: files may name this class, or function, from now on.

    Args:
        package: str, first part of the registered name `package>name`.
        name: str, second part; None for the class's own name.

    A later class of the same name takes the place of an earlier one.

    Raises:
        ValueError: a class without `get_config`.

    Example:

    >>> @keras.saving.register_keras_serializable("docs")
    ... class Scale(keras.layers.Layer):
    ...     pass
    >>> keras.saving.get_registered_name(Scale)
    'docs>Scale'
    """

    def decorate(obj):
        registered_name = f"{package}>{name or obj.__name__}"
        if isinstance(obj, type) and not hasattr(obj, "get_config"):
            raise ValueError(
                "A class that files may name needs a `get_config` method. Received: "
                f"{obj.__name__}, which has none."
            )
        old = _registered_names.pop(obj, None)
        _registered.pop(old, None)
        replaced = _registered.get(registered_name)
        _registered_names.pop(replaced, None)
        _registered[registered_name] = obj
        _registered_names[obj] = registered_name
        return obj

    return decorate


def get_registered_name(obj):
    """Name under which `obj` is registered; its own `__name__` if it is not.

    Example:

    >>> keras.saving.get_registered_name(keras.layers.Dense)
    'Dense'
    """
    return _registered_names.get(obj, obj.__name__)


def get_registered_object(name, custom_objects=None, module_objects=None):
    """The class or function that `name` means, or None.

    Example:

    >>> keras.saving.get_registered_object("nobody>Knows") is None
    True
    """
    for known in (_scope_objects(), custom_objects, _registered, module_objects):
        if known and name in known:
            return known[name]
    return None


def get_custom_objects():
    """The process-wide dict of custom objects; put classes in it to make them known.

    Example:

    >>> keras.saving.get_custom_objects()["Square"] = lambda x: x * x
    >>> del keras.saving.get_custom_objects()["Square"]
    """
    return _registered


@contextlib.contextmanager
def custom_object_scope(custom_objects):
    """Inside, configs may name these objects.

    Args:
        custom_objects: dict of names to classes or functions.

    Example:

    >>> with keras.saving.custom_object_scope({"twice": lambda x: 2 * x}):
    ...     float(keras.activations.get("twice")(3.0))
    6.0
    """
    stack = _local.__dict__.setdefault("scopes", [])
    stack.append(dict(custom_objects))
    try:
        yield
    finally:
        stack.pop()


def _scope_objects():
    merged = {}
    for scope in _local.__dict__.get("scopes", ()):
        merged.update(scope)
    return merged


def serialize_keras_object(obj):
    """A JSON-ready description of `obj`.

    Args:
        obj: an object with `get_config`, a number, string, None, array, dtype, slice, a named
            function, or lists, tuples and dicts of these.

    Raises:
        ValueError: a lambda, since its code cannot go into a config.
        TypeError: an object without `get_config`.

    Example:

    >>> keras.saving.serialize_keras_object(keras.initializers.Zeros())["class_name"]
    'Zeros'
    """
    if obj is None or isinstance(obj, (str, bool, int, float)):
        return obj
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode()}}
    if isinstance(obj, (list, tuple)):
        items = [serialize_keras_object(item) for item in obj]
        return tuple(items) if isinstance(obj, tuple) else items
    if isinstance(obj, dict):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    if getattr(type(obj), "_is_symbolic", False):
        history = getattr(obj, "_keras_history", None)
        config = {"shape": obj.shape, "dtype": obj.dtype}
        if history is not None:
            config["keras_history"] = [
                history.operation.name,
                history.node_index,
                history.tensor_index,
            ]
        return {"class_name": "__keras_tensor__", "config": config}
    if isinstance(obj, torch.Tensor) or hasattr(obj, "_as_tensor"):
        config = {"value": convert_to_numpy(obj).tolist(), "dtype": standardize_dtype(obj.dtype)}
        return {"class_name": "__tensor__", "config": config}
    if isinstance(obj, np.ndarray):
        return {
            "class_name": "__numpy__",
            "config": {"value": obj.tolist(), "dtype": obj.dtype.name},
        }
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, (torch.dtype, np.dtype)):
        return standardize_dtype(obj)
    if isinstance(obj, slice):
        parts = {part: getattr(obj, part) for part in ("start", "stop", "step")}
        return {"class_name": "__slice__", "config": serialize_keras_object(parts)}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, types.FunctionType | types.BuiltinFunctionType):
        return _serialize_function(obj)
    return _serialize_object(obj)


def _serialize_function(function):
    name = function.__name__
    if name == "<lambda>":
        raise ValueError(
            "A lambda cannot be saved: its code would have to go into the file. Received: "
            f"{function}. Define it with `def` and give it to custom_objects when loading, or "
            "decorate it with keras.saving.register_keras_serializable()."
        )
    return {
        "module": "builtins",
        "class_name": "function",
        "config": name,
        "registered_name": _registered_names.get(function, "function"),
    }


def _serialize_object(obj):
    if not hasattr(obj, "get_config"):
        raise TypeError(
            "Only objects with a `get_config` method can be described in a config. Received: "
            f"{obj!r} of type {type(obj).__name__}."
        )
    cls = type(obj)
    public = _public_name(cls) if cls not in _registered_names else None
    module, class_name = public or (cls.__module__, cls.__name__)
    config = {
        "module": module,
        "class_name": class_name,
        "config": serialize_keras_object(obj.get_config()),
        "registered_name": None if public else get_registered_name(cls),
    }
    for part in ("build_config", "compile_config"):
        getter = getattr(obj, f"get_{part}", None)
        value = getter() if getter is not None else None
        if value is not None:
            config[part] = serialize_keras_object(value)
    sharing = _local.__dict__.get("sharing")
    if sharing is not None and (hasattr(obj, "_inbound_nodes") or hasattr(obj, "apply_gradients")):
        sharing.note(obj, config)
    return config


class _Sharing:
    """Which layers and optimizers a config holds in several places, as in two nested models."""

    def __init__(self):
        self.seen = {}  # id -> object, which keeps the id from being given again
        self.numbers = None  # id -> number of a repeated one, once all were seen
        self.repeated = {}  # id -> how many times
        self.made = {}  # number -> object, while reading

    def note(self, obj, config):
        if self.numbers is not None:
            if id(obj) in self.numbers:
                config["shared_object_id"] = self.numbers[id(obj)]
        else:
            self.seen[id(obj)] = obj
            self.repeated[id(obj)] = self.repeated.get(id(obj), 0) + 1


@contextlib.contextmanager
def sharing_scope():
    """Inside, a layer that a config names in several places is made once, as in Keras's files."""
    outer = _local.__dict__.get("sharing")
    _local.sharing = _Sharing()
    try:
        yield _local.sharing
    finally:
        _local.sharing = outer


def is_sharing():
    """Whether a `sharing_scope` is open.

    Example:

    >>> from torchkeras.core.serialization import is_sharing
    >>> is_sharing()
    False
    """
    return _local.__dict__.get("sharing") is not None


def serialize_with_sharing(obj):
    """`serialize_keras_object(obj)`, with a number at each layer that stands in several places."""
    with sharing_scope() as sharing:
        config = serialize_keras_object(obj)
        repeated = [key for key, times in sharing.repeated.items() if times > 1]
        if repeated:
            sharing.numbers = {key: number for number, key in enumerate(repeated)}
            config = serialize_keras_object(obj)
    return config


def deserialize_keras_object(config, custom_objects=None, safe_mode=True, **kwargs):
    """The object that a config describes.

    Args:
        config: what `serialize_keras_object` returned, as is or after a trip through JSON.
        custom_objects: dict of names to classes or functions the config may name.
        safe_mode: kept for Keras's signature. Reading a config never runs code from it, with
            either value.

    Raises:
        ValueError: the config names something unknown.

    Example:

    >>> keras.saving.deserialize_keras_object(
    ...     {"class_name": "Zeros", "module": "keras.initializers", "config": {}}
    ... )
    <Zeros>
    """
    if custom_objects:
        with custom_object_scope(custom_objects):
            return deserialize_keras_object(config)
    try:
        return _deserialize(config)
    except RecursionError as error:
        raise ValueError(
            "A config of objects within objects was expected, up to some hundred deep. Received: "
            f"one of type {type(config).__name__} that is nested too deeply."
        ) from error


def _deserialize(config):
    if config is None or isinstance(config, (str, bool, int, float)):
        found = get_registered_object(config) if isinstance(config, str) else None
        return config if found is None else found
    if isinstance(config, (list, tuple)):
        return type(config)(deserialize_keras_object(item) for item in config)
    if not isinstance(config, dict):
        raise TypeError(
            "A config is made of dicts, lists, strings, numbers and None. Received: "
            f"{config!r} of type {type(config).__name__}."
        )
    if "class_name" not in config or "config" not in config:
        return {key: deserialize_keras_object(value) for key, value in config.items()}
    class_name, inner = config["class_name"], config["config"]
    if not isinstance(class_name, str):
        raise ValueError(f"`class_name` must be a string. Received: class_name={class_name!r}.")
    if class_name in _VALUES:
        with _explained(class_name):
            return _VALUES[class_name](inner)
    if class_name == "function":
        return _deserialize_function(config)
    return _deserialize_object(config, class_name, inner)


def _no_symbol(inner):
    raise ValueError(
        "A symbolic tensor belongs to the model that recorded it and cannot be made alone. "
        f"Received: {inner}."
    )


def _no_lambda(inner):
    raise ValueError(
        "The config holds the compiled code of a lambda, and torchkeras never runs code from a "
        "file, whatever `safe_mode` and `enable_unsafe_deserialization` say. Define the function "
        "in your program and pass it in custom_objects, or rebuild the layer by hand and load "
        "only its weights."
    )


_VALUES = {
    "__tuple__": lambda inner: tuple(deserialize_keras_object(v) for v in inner["value"]),
    "__bytes__": lambda inner: inner["value"].encode(),
    "__numpy__": lambda inner: np.array(inner["value"], dtype=standardize_dtype(inner["dtype"])),
    "__tensor__": lambda inner: torch.tensor(inner["value"], dtype=to_torch_dtype(inner["dtype"])),
    "__slice__": lambda inner: slice(
        *[deserialize_keras_object(inner[part]) for part in ("start", "stop", "step")]
    ),
    "__ellipsis__": lambda inner: Ellipsis,
    "__keras_tensor__": _no_symbol,
    "__lambda__": _no_lambda,
}


def _deserialize_function(config):
    for name in (config.get("registered_name"), config["config"]):
        found = get_registered_object(name) if isinstance(name, str) else None
        if found is not None:
            return found
    # A function of this package is known by its name alone to activations.get, losses.get...
    return config["config"]


def _deserialize_object(config, class_name, inner):
    cls = _find_class(config.get("module"), class_name, config.get("registered_name"))
    if not hasattr(cls, "from_config"):
        raise TypeError(
            f"The config names '{class_name}' as a class with `from_config`. Received: {cls!r} "
            "under that name."
        )
    if not isinstance(inner, dict):
        raise TypeError(f"The config of a '{class_name}' must be a dict. Received: {inner!r}.")
    sharing, number = _local.__dict__.get("sharing"), config.get("shared_object_id")
    if sharing is None or not isinstance(number, int):
        return _make(cls, config, inner)
    known = sharing.made.get(number)
    if type(known) is not cls:
        known = sharing.made[number] = _make(cls, config, inner)
    return known


def _make(cls, config, inner):
    outer, _local.making = is_deserializing(), True
    try:
        with _explained(cls.__name__):
            obj = cls.from_config(inner)
            if config.get("build_config") and hasattr(obj, "build_from_config"):
                obj.build_from_config(deserialize_keras_object(config["build_config"]))
            if config.get("compile_config") and hasattr(obj, "compile_from_config"):
                obj.compile_from_config(config["compile_config"])
    finally:
        _local.making = outer
    return obj


# What a config that is not as it should be leads to, where nobody looked.
_MISFITS = (LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError)


@contextlib.contextmanager
def _explained(class_name):
    """Inside, an object is made from a config: whatever is wrong with that is told as such."""
    try:
        yield
    except (NotImplementedError, RecursionError):
        raise
    except _MISFITS as error:
        raise ValueError(
            f"The config of a '{class_name}' must be one that `get_config` gives. Received: one "
            f"that leads to {type(error).__name__}: {str(error)[:500]}"
        ) from error


def is_deserializing():
    """Whether an object is being made from a config, which must not make it open other files.

    Example:

    >>> from torchkeras.core.serialization import is_deserializing
    >>> is_deserializing()
    False
    """
    return _local.__dict__.get("making", False)


def _find_class(module, class_name, registered_name):
    custom = _scope_objects()
    for name in (registered_name, class_name):
        if isinstance(name, str) and name in custom:
            return custom[name]
    if isinstance(registered_name, str) and registered_name in _registered:
        return _registered[registered_name]
    found = _exposed(module, class_name) if isinstance(module, str) else None
    if found is None:
        # Keras writes an internal module for some classes (its optimizers per backend, say).
        for namespace in _namespaces if str(module).startswith("keras.src.") else ():
            found = found or _exposed(namespace, class_name)
    if found is None:
        raise ValueError(
            f"The config names the class '{class_name}' of module '{module}', which is neither "
            "a class of torchkeras nor a registered one. Received: registered_name="
            f"{registered_name!r}. Decorate the class with "
            "keras.saving.register_keras_serializable(), or pass "
            f"custom_objects={{'{class_name}': {class_name}}}."
        )
    return found
