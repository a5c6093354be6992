"""The arguments by which users choose how a weight starts, is penalized and is kept in bounds.

A layer with a weight `kernel` takes `kernel_initializer`, `kernel_regularizer` and
`kernel_constraint`. It hands its constructor's arguments to `set_weight_arguments`, gives
`weight_arguments(self, "kernel")` to `add_weight`, and puts `weight_config(self)` in its config.
"""

from torchkeras import constraints, initializers, regularizers

_KINDS = {
    "initializer": initializers,
    "regularizer": regularizers,
    "constraint": constraints,
}


def set_weight_arguments(layer, arguments, *weights):
    """Make attributes of the arguments for these weights, as objects.

    Args:
        layer: Layer whose `super().__init__()` has run.
        arguments: dict of the constructor's arguments by name, as `locals()` gives them. For a
            weight `kernel` those of `kernel_initializer`, `kernel_regularizer` and
            `kernel_constraint` that are there are taken: names, instances, or None.
        *weights: names of weights.

    Raises:
        ValueError, TypeError: an argument names nothing, or is no such object.

    Example:

    >>> layer = keras.layers.Layer()
    >>> set_weight_arguments(layer, {"bias_initializer": "zeros", "units": 3}, "bias")
    >>> type(layer.bias_initializer).__name__
    'Zeros'
    """
    names = list(getattr(layer, "_weight_argument_names", ()))
    for weight in weights:
        for kind, namespace in _KINDS.items():
            name = f"{weight}_{kind}"
            if name in arguments:
                setattr(layer, name, namespace.get(arguments[name]))
                names.append(name)
    layer._weight_argument_names = names


def weight_arguments(layer, weight):
    """Keyword arguments of `add_weight` for a weight: what the user chose for it.

    Args:
        layer: Layer.
        weight: str, name of a weight given to `set_weight_arguments`.

    Example:

    >>> sorted(weight_arguments(keras.layers.Dense(1), "bias"))
    ['constraint', 'initializer', 'regularizer']
    """
    names = {f"{weight}_{kind}": kind for kind in _KINDS}
    own = layer._weight_argument_names
    return {kind: getattr(layer, name) for name, kind in names.items() if name in own}


def weight_config(layer):
    """The part of `get_config` for all arguments given to `set_weight_arguments`.

    Args:
        layer: Layer.

    Example:

    >>> weight_config(keras.layers.Dense(1))["bias_initializer"]["class_name"]
    'Zeros'
    """
    config = {}
    for name in layer._weight_argument_names:
        namespace = _KINDS[name.rpartition("_")[2]]
        config[name] = namespace.serialize(getattr(layer, name))
    return config
