"""From the config of a functional model back to its layers and their calls."""

from collections import defaultdict, deque

from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.serialization import deserialize_keras_object
from torchkeras.layers.core.input_layer import InputLayer
from torchkeras.models.graph import is_functional
from torchkeras.models.operation_configs import deserialize_operation, without_default_mode


def functional_from_config(cls, config):
    """The model of class `cls` that `Functional.get_config` described.

    Raises:
        ValueError: the calls in the config cannot be put into an order, or name unknown layers.
    """
    config = dict(config)
    nodes, waiting = {}, []
    for layer_config in config.pop("layers"):
        operation, call = deserialize_operation(layer_config)
        name = layer_config.get("name", operation.name)
        if name in nodes:
            raise ValueError(
                "The layers of a functional model must have different names. Received: a config "
                f"with a second layer '{name}'."
            )
        # A layer shared with a nested model brings calls along that are not this model's.
        nodes[name] = operation._inbound_nodes[:] if isinstance(operation, InputLayer) else []
        calls = deque(layer_config.get("inbound_nodes") or ())
        waiting.append((name, operation, call, calls))
    _make_calls(waiting, nodes)
    inputs = _find_symbols(config.pop("input_layers"), nodes)
    outputs = _find_symbols(config.pop("output_layers"), nodes)
    trainable = config.pop("trainable", True)
    model = cls(inputs=inputs, outputs=outputs, **config)
    model._trainable = trainable is not False
    return model


def _make_calls(layers, nodes):
    """Make the calls of `(name, operation, call, calls)`, each once what it takes is made.

    The layers may stand in any order; one that must wait is looked at again when all that it
    lacked has made progress.
    """
    ready, lacking, waiters = deque(layers), {}, defaultdict(list)
    while ready:
        layer = ready.popleft()
        name, operation, call, calls = layer
        made = False
        while calls:
            missing, args, kwargs = _revive_arguments(calls[0], nodes)
            if missing:
                lacking[name] = len(missing)
                for other in missing:
                    waiters[other].append(layer)
                break
            calls.popleft()
            call(*args, **without_default_mode(operation, kwargs))
            nodes[name].append(operation._inbound_nodes[-1])
            made = True
        for other in waiters.pop(name, ()) if made else ():
            lacking[other[0]] -= 1
            if not lacking[other[0]]:
                ready.append(other)
    stuck = [name for name, *_, calls in layers if calls]
    if stuck:
        raise ValueError(
            "The config of a functional model must connect its layers without loops. "
            f"Received: layers {stuck}, whose inputs are nowhere made."
        )


def _find_symbols(reference, nodes):
    """The structure of symbols for one of `[layer name, call, output]`."""
    if isinstance(reference, dict):
        return {key: _find_symbols(value, nodes) for key, value in reference.items()}
    if not isinstance(reference, (list, tuple)):
        raise ValueError(
            "The ends of a functional model are given as [layer name, call, output]. Received: "
            f"{reference!r}."
        )
    if len(reference) == 3 and isinstance(reference[0], str):
        name, node_index, tensor_index = reference
        calls = nodes.get(name)
        if calls and is_functional(calls[0].operation) and isinstance(node_index, int):
            node_index -= 1
        return _symbol(nodes, name, node_index, tensor_index)
    return type(reference)(_find_symbols(value, nodes) for value in reference)


def _symbol(nodes, name, node_index, tensor_index):
    places = (node_index, tensor_index)
    if name in nodes and all(isinstance(place, int) and place >= 0 for place in places):
        calls = nodes[name]
        if node_index < len(calls) and tensor_index < len(calls[node_index].outputs):
            return calls[node_index].outputs[tensor_index]
    raise ValueError(
        "The config of a functional model must name its own layers and their outputs. Received: "
        f"output {tensor_index} of call {node_index} of '{name}', which does not exist among the "
        f"layers {list(nodes)}."
    )


def _revive_arguments(call, nodes):
    """`(missing, args, kwargs)` of a recorded call: with symbols in place, if none is missing.

    `missing` is the set of layers that have not made what the call takes.
    """
    missing = set()

    def revive(value):
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            history = value["config"].get("keras_history")
            if not isinstance(history, (list, tuple)) or len(history) != 3:
                raise ValueError(
                    "A symbol in a config comes from [layer name, call, output]. Received: "
                    f"keras_history={history!r}."
                )
            name, node_index, tensor_index = history
            known = nodes.get(name) if isinstance(name, str) else None
            if known is not None and isinstance(node_index, int) and len(known) <= node_index:
                missing.add(name)
                return None
            return _symbol(nodes, name, node_index, tensor_index)
        if isinstance(value, dict) and value.get("class_name") == "__tuple__":
            return tuple(revive(item) for item in value["config"]["value"])
        if isinstance(value, dict) and value.get("class_name") == "__dtype__":
            return to_torch_dtype(value["config"]["value"])
        if isinstance(value, dict) and "class_name" in value:
            return deserialize_keras_object(value)
        if isinstance(value, dict):
            return {key: revive(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(revive(item) for item in value)
        return value

    if not isinstance(call, dict) or not {"args", "kwargs"} <= set(call):
        raise ValueError(
            "The calls in the config of a functional model are dicts with `args` and `kwargs`. "
            f"Received: {call!r}. Files of Keras 2 must be converted with Keras 3 first."
        )
    args, kwargs = tuple(revive(list(call["args"]))), revive(dict(call["kwargs"]))
    return missing, args, kwargs
