"""clone_model: a model of the same architecture with weights of its own."""

from torchkeras.core import tree
from torchkeras.core.arguments import map_leaves, symbols_of
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.serialization import (
    custom_object_scope,
    deserialize_keras_object,
    serialize_keras_object,
)
from torchkeras.layers.core.input_layer import Input, InputLayer
from torchkeras.layers.core.lambda_layer import Lambda
from torchkeras.layers.layer import Layer
from torchkeras.models.functional import Functional, takes_graph
from torchkeras.models.graph import twin_of
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

    The weights are fresh; a compiled model's clone is compiled alike, with a new optimizer. A
    Lambda layer's clone shares the Python function, so lambdas need no config.

    Args:
        model: a Sequential or functional model, or a subclassed one with `get_config`.
        input_tensors: KerasTensors, in the structure of the model's inputs, to build on.
        clone_function: function from a layer to the layer that takes its place; None copies by
            config. It is not asked about Inputs, nor about functions of keras.ops.
        call_function: function `(layer, *args, **kwargs)` that calls a new layer or operation;
            functional models only.
        recursive: bool, clone the layers of nested models by `clone_function` too, instead of
            giving it the nested model.

    Raises:
        ValueError: an argument does not go with the kind of model.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> clone = keras.models.clone_model(model)
    >>> clone.count_params(), clone.layers[0] is model.layers[0]
    (8, False)
    """
    cache = kwargs.pop("cache", None)
    if kwargs:
        raise ValueError(f"clone_model takes no such arguments. Received: {list(kwargs)}.")
    cloner = _Cloner(clone_function, call_function, recursive, {} if cache is None else cache)
    if isinstance(model, Sequential) and call_function is not None:
        raise ValueError(
            "`call_function` goes with functional models. Received: a Sequential "
            f"'{model.name}' and call_function={call_function}."
        )
    clone = cloner.clone(model, input_tensors)
    if model.compiled:
        config = model.get_compile_config()
        if config is not None:
            clone.compile_from_config(config)
    return clone


class _Cloner:
    """The settings of one `clone_model`, and the clones made so far by the layer's id."""

    def __init__(self, clone_function, call_function, recursive, cache):
        self.clone_function = clone_function
        self.call_function = call_function
        # By default a nested model is cloned by config, which comes to the same layer by layer.
        self.recursive = recursive or clone_function is None
        self.cache = cache

    def clone(self, model, input_tensors=None):
        if isinstance(model, Sequential):
            return self._sequential(model, input_tensors)
        if isinstance(model, Functional):
            default = type(model).get_config is Functional.get_config
            if default or self.clone_function is not None or input_tensors is not None:
                return self._functional(model, input_tensors)
        if not isinstance(model, Model):
            raise ValueError(
                f"clone_model takes a model. Received: {model!r} of type {type(model).__name__}."
            )
        if not (input_tensors is self.clone_function is self.call_function is None):
            raise ValueError(
                "A subclassed model is cloned by its config alone. Received: `input_tensors`, "
                f"`clone_function` or `call_function` for '{model.name}'."
            )
        with custom_object_scope({type(model).__name__: type(model)}):
            return deserialize_keras_object(serialize_keras_object(model))

    def _layer(self, layer):
        if id(layer) not in self.cache:
            if self.recursive and isinstance(layer, (Sequential, Functional)):
                new = self.clone(layer)
            elif self.clone_function is not None:
                new = self.clone_function(layer)
            else:
                new = _from_config(layer)
            self.cache[id(layer)] = new
        return self.cache[id(layer)]

    def _sequential(self, model, input_tensors):
        layers = [self._layer(layer) for layer in model.layers]
        first = model._stack[0] if model._stack else None
        given = isinstance(first, InputLayer)
        if input_tensors is not None:
            symbols = tree.flatten(input_tensors)
            if len(symbols) != 1 or not isinstance(symbols[0], KerasTensor):
                raise ValueError(
                    "A Sequential takes one KerasTensor as input. Received: "
                    f"input_tensors={input_tensors}."
                )
            layers.insert(0, _as_input(symbols[0], first.name if given else None))
        elif given:
            layers.insert(0, _input_like(first.output, first.name, first.optional))
        clone = Sequential(layers, name=model.name, trainable=model.trainable)
        if model.built and not clone.built and layers:  # a list or dict of inputs
            clone.build(model.input_shape)
        return clone

    def _functional(self, model, input_tensors):
        graph = model._graph
        if input_tensors is None:
            inputs = tree.map_structure(
                lambda x: _input_like(x, model._origin(x).name, model._is_optional(x)), model.input
            )
        else:
            _check_input_tensors(model, input_tensors)
            inputs = input_tensors
        flat = tree.flatten(inputs)
        made = {id(old): new for old, new in zip(model.inputs, flat, strict=True)}

        def revive(x):
            return made[id(x)] if isinstance(x, KerasTensor) else x

        for node in graph.steps:
            operation = node.operation
            is_layer = isinstance(operation, Layer)
            new = self._layer(operation) if is_layer else twin_of(operation)
            args, kwargs = map_leaves(revive, (node.args, node.kwargs))
            call = self.call_function or _call
            outputs = call(new, *args, **kwargs)
            for old, symbol in zip(node.outputs, symbols_of(outputs), strict=True):
                made.setdefault(id(old), symbol)
        outputs = tree.map_structure(revive, model.output)
        cls = type(model) if takes_graph(type(model)) else Functional
        clone = cls(inputs=inputs, outputs=outputs, name=model.name)
        clone._trainable = model.trainable
        return clone


def _call(operation, *args, **kwargs):
    return operation(*args, **kwargs)


def _input_like(symbol, name, optional):
    return Input(batch_shape=symbol.shape, dtype=symbol.dtype, name=name, optional=optional)


def _as_input(symbol, name):
    operation = symbol._keras_history.operation
    return symbol if isinstance(operation, InputLayer) else _input_like(symbol, name, False)


def _check_input_tensors(model, input_tensors):
    for x in tree.flatten(input_tensors):
        if not isinstance(x, KerasTensor):
            raise ValueError(
                "`input_tensors` must be KerasTensors. Received: "
                f"{x!r} of type {type(x).__name__}. Make them with keras.Input."
            )
    try:
        tree.assert_same_structure(model.input, input_tensors)
    except ValueError as error:
        raise ValueError(
            f"`input_tensors` must have the structure of the inputs of '{model.name}', "
            f"{model.input}. Received: input_tensors={input_tensors}."
        ) from error


def _from_config(layer):
    """A layer like this one with fresh weights."""
    cls = type(layer)
    if isinstance(layer, Lambda) and cls.get_config is Lambda.get_config:
        # The function itself: a lambda has no config.
        config = {
            **Layer.get_config(layer),
            "function": layer.function,
            "output_shape": layer._output_shape,
            "mask": layer.mask,
            "arguments": serialize_keras_object(layer.arguments),
        }
        return cls.from_config(config)
    return cls.from_config(layer.get_config())
