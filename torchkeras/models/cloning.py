"""clone_model: a model of the same architecture with weights of its own."""

from torchkeras.core import tree
from torchkeras.core.arguments import map_leaves
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.layers.core.input_layer import Input, InputLayer
from torchkeras.layers.layer import Layer
from torchkeras.models.functional import Functional
from torchkeras.models.model import Model
from torchkeras.models.sequential import Sequential


def clone_model(
    model,
    input_tensors=None,
    clone_function=None,
    call_function=None,
    recursive=False,
    **kwargs,
):
    """A model with the layers of `model` made anew from their configs.

    Args:
        model: a Sequential or functional model, or a subclassed one with `get_config`.
        input_tensors: KerasTensors, in the structure of the model's inputs, to build on.
        clone_function: function from a layer to the layer that takes its place; None copies by
            config.
        call_function: function `(layer, *args, **kwargs)` that calls a new layer; functional
            models only.
        recursive: bool, clone nested models by `clone_function` layer by layer too.

    Raises:
        ValueError: an argument does not go with the kind of model.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> clone = keras.models.clone_model(model)
    >>> clone.count_params(), clone.layers[0] is model.layers[0]
    (8, False)
    """
    cache = kwargs.pop("cache", None) or {}
    if kwargs:
        raise ValueError(f"clone_model takes no such arguments. Received: {list(kwargs)}.")
    settings = {"recursive": recursive, "call_function": call_function, "cache": cache}
    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError(
                "`call_function` goes with functional models. Received: a Sequential "
                f"'{model.name}' and call_function={call_function}."
            )
        return _clone_sequential(model, input_tensors, clone_function, settings)
    if isinstance(model, Functional) and type(model).get_config is Functional.get_config:
        return _clone_functional(model, input_tensors, clone_function, settings)
    if not isinstance(model, Model):
        raise ValueError(
            f"clone_model takes a model. Received: {model!r} of type {type(model).__name__}."
        )
    if input_tensors is not None or clone_function is not None or call_function is not None:
        raise ValueError(
            "A subclassed model is cloned by its config alone. Received: `input_tensors`, "
            f"`clone_function` or `call_function` for '{model.name}'."
        )
    return type(model).from_config(model.get_config())


def _clone_layer(layer, clone_function, settings):
    cache = settings["cache"]
    if id(layer) in cache:
        return cache[id(layer)]
    if settings["recursive"] and isinstance(layer, (Sequential, Functional)):
        new = clone_model(layer, clone_function=clone_function, recursive=True, cache=cache)
    elif clone_function is not None and not isinstance(layer, InputLayer):
        new = clone_function(layer)
    else:
        new = type(layer).from_config(layer.get_config())
    cache[id(layer)] = new
    return new


def _clone_sequential(model, input_tensors, clone_function, settings):
    layers = [_clone_layer(layer, clone_function, settings) for layer in model.layers]
    if input_tensors is not None:
        symbols = tree.flatten(input_tensors)
        if len(symbols) != 1 or not isinstance(symbols[0], KerasTensor):
            raise ValueError(
                "A Sequential takes one KerasTensor as input. Received: "
                f"input_tensors={input_tensors}."
            )
        layers.insert(0, symbols[0])
    elif model._stack and isinstance(model._stack[0], InputLayer):
        first = model._stack[0]
        layers.insert(0, Input(batch_shape=first.batch_shape, dtype=first.dtype, name=first.name))
    clone = Sequential(layers, name=model.name, trainable=model.trainable)
    return clone


def _clone_functional(model, input_tensors, clone_function, settings):
    if input_tensors is None:
        inputs = tree.map_structure(
            lambda x: Input(
                batch_shape=x.shape,
                dtype=x.dtype,
                name=model._origin(x).name,
                optional=getattr(model._origin(x), "optional", False),
            ),
            model._inputs_struct,
        )
    else:
        tree.assert_same_structure(model._inputs_struct, input_tensors)
        inputs = input_tensors
    made = {id(old): new for old, new in zip(model._inputs, tree.flatten(inputs), strict=True)}
    call = settings["call_function"] or (lambda layer, *args, **kwargs: layer(*args, **kwargs))
    for node in model._graph.nodes:
        if model._graph.is_start(node):
            continue
        operation = node.operation
        if isinstance(operation, Layer):
            operation = _clone_layer(operation, clone_function, settings)
        args, kwargs = map_leaves(
            lambda x: made[id(x)] if isinstance(x, KerasTensor) else x, (node.args, node.kwargs)
        )
        if isinstance(operation, Layer):
            outputs = call(operation, *args, **kwargs)
        else:
            outputs = type(operation).symbolic_call(_same(operation), *args, **kwargs)
        for old, new in zip(node.outputs, tree.flatten(outputs), strict=True):
            made[id(old)] = new
    outputs = tree.map_structure(lambda x: made[id(x)], model._outputs_struct)
    return type(model)(inputs, outputs, name=model.name, trainable=model.trainable)


def _same(operation):
    """A second operation like this stateless one, so that each model has its own nodes."""
    import copy

    twin = copy.copy(operation)
    twin._inbound_nodes, twin._outbound_nodes = [], []
    return twin
