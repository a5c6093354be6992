"""Whether any code of a user's runs in a model's step."""

import types

from torchkeras.core import tree

_KNOWN = ("torchkeras", "torch", "builtins", "numpy", "collections")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def is_known(model):
    """Whether all code of the model, its loss and its metrics is torchkeras's or torch's.

    Such code does nothing in Python that a compiled graph of it would leave out.

    Args:
        model: Model, compiled.

    Example:

    >>> from torchkeras.trainers.known_code import is_known
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> is_known(model)
    True
    """
    for module in model.modules():
        if not _is_ours(module) or any(getattr(module, hooks, None) for hooks in _HOOKS):
            return False
        # Activations, regularizers, functions of a graph's nodes.
        if not all(map(_is_ours, _callables(vars(module)))):
            return False
    parts = [*model.metrics]
    for metric in model.metrics:
        parts += getattr(metric, "metrics", [])
    for part in parts:
        if not _is_ours(part) or not all(map(_is_ours, _callables(vars(part)))):
            return False
    return all(map(_is_ours, filter(callable, tree.flatten(model.loss))))


def _callables(attributes):
    return [value for value in attributes.values() if callable(value)]


def _is_ours(thing):
    is_function = isinstance(thing, (type, types.FunctionType, types.MethodType))
    place = thing if is_function else type(thing)
    name = getattr(place, "__module__", None) or ""
    return name.partition(".")[0] in _KNOWN
