"""`keras.activations`: activation functions, and finding them by name."""

import types

from torchkeras.activations.activations import (
    celu,
    elu,
    exponential,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    linear,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    swish,
    tanh,
    tanh_shrink,
    threshold,
)
from torchkeras.core import serialization

_FUNCTIONS = {
    function.__name__: function
    for function in (
        celu,
        elu,
        exponential,
        gelu,
        glu,
        hard_shrink,
        hard_sigmoid,
        hard_silu,
        hard_tanh,
        leaky_relu,
        linear,
        log_sigmoid,
        log_softmax,
        mish,
        relu,
        relu6,
        selu,
        sigmoid,
        silu,
        soft_shrink,
        softmax,
        softplus,
        softsign,
        sparse_plus,
        sparse_sigmoid,
        sparsemax,
        squareplus,
        tanh,
        tanh_shrink,
        threshold,
    )
}
_BY_NAME = {**_FUNCTIONS, "swish": silu, "hard_swish": hard_silu}


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
    if identifier is None:
        return linear
    found = identifier
    if isinstance(identifier, dict):
        found = deserialize(identifier)
    elif isinstance(identifier, str):
        found = serialization.get_registered_object(identifier, module_objects=_BY_NAME)
    if callable(found):
        return found
    raise ValueError(
        "An activation is None, a callable, a config, or one of the names "
        f"{', '.join(sorted(_BY_NAME))}. Received: {identifier!r}. Register a function of your "
        "own with keras.saving.register_keras_serializable(), or pass it itself."
    )


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
    for name, function in _FUNCTIONS.items():
        if activation is function:
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
    if custom_objects:
        with serialization.custom_object_scope(custom_objects):
            return deserialize(config)
    is_function = isinstance(config, dict) and config.get("class_name") == "function"
    if not is_function and not isinstance(config, str):
        return serialization.deserialize_keras_object(config)
    names = [config] if isinstance(config, str) else [config.get("registered_name")]
    names += [] if isinstance(config, str) else [config.get("config")]
    for name in names:
        if isinstance(name, str):
            found = serialization.get_registered_object(name, module_objects=_BY_NAME)
            if found is not None:
                return found
    raise ValueError(
        f"The config names an activation that is not known. Received: {config!r}. Register the "
        "function with keras.saving.register_keras_serializable(), or pass it in custom_objects."
    )


__all__ = [
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]

serialization.expose("keras.activations", globals())
