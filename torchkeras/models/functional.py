"""Functional: a model made of symbolic inputs and outputs."""

import copy
import re

import torch

from torchkeras.core import naming, shapes, tree
from torchkeras.core.arguments import map_leaves
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.core.input_layer import InputLayer
from torchkeras.layers.input_spec import InputSpec, describe
from torchkeras.layers.layer import Layer
from torchkeras.models.graph import Graph, node_of, record_graph, replay_graph
from torchkeras.models.model import Model, init_takes
from torchkeras.models.operation_configs import deserialize_operation, serialize_operation
from torchkeras.trainers.trainer import Trainer


class Functional(Model):
    """A model that runs the graph between symbolic inputs and outputs.

    `keras.Model(inputs, outputs)` makes one. Layers are shared, not copied, with other models on
    the same symbols, which is how features are extracted.

    Args:
        inputs: KerasTensor, or list, tuple or dict of them.
        outputs: likewise.
        name: str, or None for an automatic name.
        trainable: bool.

    Raises:
        ValueError: something is not a KerasTensor, or an output needs another input.

    Example:

    >>> x = keras.Input((3,), name="x")
    >>> hidden = keras.layers.Dense(4, activation="relu")(x)
    >>> model = keras.Model(x, keras.layers.Dense(1)(hidden))
    >>> features = keras.Model(model.inputs, hidden)
    >>> features(torch.ones(2, 3)).shape
    torch.Size([2, 4])
    """

    def __new__(cls, *args, **kwargs):
        return Layer.__new__(cls, *args, **kwargs)

    def __init__(self, inputs, outputs, name=None, trainable=True, **kwargs):
        _check_symbols("inputs", inputs)
        _check_symbols("outputs", outputs)
        Trainer.__init__(self)
        Layer.__init__(self, name=name, **kwargs)
        self._set_ends(inputs, outputs)
        self._connect()
        if not trainable:
            self.trainable = False

    def _set_ends(self, inputs, outputs):
        state = self.__dict__
        state["_inputs_struct"] = tree.map_structure(lambda x: x, inputs)
        state["_outputs_struct"] = tree.map_structure(lambda x: x, outputs)
        state["_inputs"] = tree.flatten(inputs)
        state["_outputs"] = tree.flatten(outputs)
        state["_graph"] = Graph(self._inputs, self._outputs)

    def _connect(self):
        """Note what the graph consists of, register its layers, prepare the call."""
        state = self.__dict__
        # A model that starts at an intermediate tensor gets an InputLayer in its place.
        state["_starts"] = starts = [_start_of(symbol) for symbol in self._inputs]
        operations = []
        for operation in self._graph.operations:
            for symbol, start in zip(self._inputs, starts, strict=True):
                if node_of(symbol).operation is operation and start is not operation:
                    operations.append(start)
            if isinstance(operation, InputLayer) or self._own_nodes(operation):
                operations.append(operation)
        state["_operations"] = operations
        state["_single_input"] = isinstance(self._inputs_struct, KerasTensor)
        state["_plain_output"] = isinstance(self._outputs_struct, KerasTensor) or (
            isinstance(self._outputs_struct, (list, tuple)) and len(self._outputs_struct) == 1
        )
        state["_input_dtypes"] = [to_torch_dtype(x.dtype) for x in self._inputs]
        state["input_names"] = [start.name for start in starts]
        state["output_names"] = [self._origin(x).name for x in self._outputs]
        state["_input_torch_dtype"] = self._input_dtypes[0]
        register_layers(self, [op for op in operations if isinstance(op, Layer)])
        if self.__dict__.get("_path") is None:
            state["_path"] = self._path_here()
        state["built"] = True

    def _own_nodes(self, operation):
        """The calls of an operation that are steps of this model."""
        graph = self._graph
        own = {id(node) for node in graph.nodes if not graph.is_start(node)}
        return [node for node in operation._inbound_nodes if id(node) in own]

    def _origin(self, symbol):
        """The operation, in this model, that a symbol comes from."""
        for own, start in zip(self._inputs, self._starts, strict=True):
            if own is symbol:
                return start
        return symbol._keras_history.operation

    def __setattr__(self, name, value):
        if isinstance(value, Layer) and "_graph" in self.__dict__:
            if any(value is module for module in self._modules.values()):
                self.__dict__[name] = value  # a layer of the graph, already registered
                return
        super().__setattr__(name, value)

    def _set_policy(self, policy):
        super()._set_policy(policy)
        if "_input_dtypes" in self.__dict__:
            self.__dict__["_input_torch_dtype"] = self._input_dtypes[0]

    # Structure

    @property
    def layers(self):
        """The layers of the graph, from the inputs to the outputs, and those set as attributes."""
        layers = [op for op in self._operations if isinstance(op, Layer)]
        known = {id(layer) for layer in layers}
        return layers + [layer for layer in self._layers if id(layer) not in known]

    @layers.setter
    def layers(self, _):
        Model.layers.fset(self, _)

    @property
    def operations(self):
        """The operations of the graph: layers, functions of keras.ops, torch functions."""
        return list(self._operations)

    @property
    def inputs(self):
        """The symbolic inputs as a flat list."""
        return list(self._inputs)

    @property
    def outputs(self):
        """The symbolic outputs as a flat list."""
        return list(self._outputs)

    @property
    def input(self):
        """The symbolic inputs as given."""
        return self._inputs_struct

    @property
    def output(self):
        """The symbolic outputs as given."""
        return self._outputs_struct

    @property
    def input_shape(self):
        """Shape of the input, or structure of shapes."""
        return _shapes(self._inputs_struct)

    @property
    def output_shape(self):
        """Shape of the output, or structure of shapes."""
        return _shapes(self._outputs_struct)

    @property
    def input_spec(self):
        """InputSpecs of the inputs, in a list; None for deeply nested inputs."""
        if self._input_spec is not None:
            return self._input_spec
        struct = self._inputs_struct
        if isinstance(struct, dict):
            if not all(isinstance(x, KerasTensor) for x in struct.values()):
                return None
            items = [(name, struct[name]) for name in sorted(struct)]
        else:
            items = [(self._origin(x).name, x) for x in self._inputs]
        return [
            InputSpec(
                shape=(None, *x.shape[1:]) if x.shape else x.shape,
                allow_last_axis_squeeze=True,
                name=name,
                optional=getattr(self._origin(x), "optional", False),
            )
            for name, x in items
        ]

    @input_spec.setter
    def input_spec(self, value):
        Layer.input_spec.fset(self, value)

    # Calling

    def call(self, inputs, training=None, mask=None):
        """Run the graph.

        Args:
            inputs: what the model was made for: a tensor, or a list, tuple or dict of tensors.
                A dict with the inputs' names does in any case.
            training: handled by the layers' own flags.
            mask: boolean tensors for the inputs, or None.

        Returns:
            Tensors in the structure of the model's outputs.
        """
        if type(inputs) is torch.Tensor and self._single_input and mask is None:
            dtype = self._input_dtypes[0]
            if inputs.dtype is dtype and inputs.dim() == len(self._inputs[0].shape):
                results = self._graph.run([inputs])
                if self._plain_output:
                    return results[0]
                return tree.pack_sequence_as(self._outputs_struct, results)
        tensors = self._standardize(inputs)
        if mask is not None:
            tensors = _with_masks(tensors, tree.flatten(mask))
        results = self._graph.run(tensors)
        if self._plain_output:
            return results[0]
        return tree.pack_sequence_as(self._outputs_struct, results)

    def _convert(self, x):
        return x  # each input is converted to its own dtype, in `_standardize`

    def _build_and_run(self, spec, args, kwargs):
        self._check_inputs(args[0] if args else kwargs.get("inputs"))
        mask = kwargs.get("mask")
        outputs = self.call(args[0] if args else kwargs["inputs"], mask=mask)
        if self.activity_regularizer is not None:
            self._add_activity_losses(outputs)
        return outputs

    def _check_inputs(self, inputs):
        for value, symbol in zip(self._arrange(inputs), self._inputs, strict=True):
            start = self._origin(symbol)
            if value is None:
                if not getattr(start, "optional", False):
                    raise ValueError(
                        f"Model '{self.name}' needs a value for its input '{start.name}'. "
                        "Received: None. Make it keras.Input(..., optional=True) to allow that."
                    )
                continue
            if not hasattr(value, "shape"):
                continue
            shape = (None, *symbol.shape[1:]) if symbol.shape else symbol.shape
            spec = InputSpec(shape=shape, allow_last_axis_squeeze=True)
            problem = spec.problem(tuple(value.shape), None)
            if problem:
                raise ValueError(
                    f"Model '{self.name}' {problem}, with any batch size, for its input "
                    f"'{start.name}'. Received: shape {tuple(value.shape)}."
                )

    def _arrange(self, inputs):
        """`inputs` as a flat list in the order of the model's own inputs."""
        struct = self._inputs_struct
        if isinstance(inputs, dict):
            names = sorted(struct) if _is_flat_dict(struct) else self.input_names
            if _is_flat_dict(struct) or not isinstance(struct, dict):
                missing = [name for name in names if name not in inputs]
                optional = [
                    self._origin(x).name
                    for x in self._inputs
                    if getattr(self._origin(x), "optional", False)
                ]
                if not set(missing) <= set(optional):
                    raise ValueError(
                        f"Model '{self.name}' expects the inputs {names}. Received: a dict with "
                        f"the keys {list(inputs)}; missing: {missing}."
                    )
                return [inputs.get(name) for name in names]
        flat = [inputs] if self._single_input and hasattr(inputs, "shape") else tree.flatten(inputs)
        if len(flat) != len(self._inputs):
            raise ValueError(
                f"Model '{self.name}' expects {len(self._inputs)} input(s), "
                f"{self.input_names}. Received: {len(flat)} ({describe(inputs)})."
            )
        return flat

    def _standardize(self, inputs):
        tensors = []
        for x, symbol, dtype in zip(
            self._arrange(inputs), self._inputs, self._input_dtypes, strict=True
        ):
            if x is None:
                tensors.append(None)
                continue
            mask = getattr(x, "_keras_mask", None)
            x = convert_to_tensor(x, dtype)
            rank = len(symbol.shape)
            if x.dim() == rank + 1 and x.shape[-1] == 1:
                x = x.squeeze(-1)
            elif x.dim() == rank - 1 and symbol.shape[-1] == 1:
                x = x.unsqueeze(-1)
            if mask is not None:
                x._keras_mask = mask
            tensors.append(x)
        return tensors

    def _decide_fast_path(self, spec):
        if not self._single_input:
            return
        super()._decide_fast_path(spec)
        if self._fast is not None:
            shape = self._inputs[0].shape
            fits = InputSpec(shape=(None, *shape[1:]) if shape else shape).quick_check()
            dtype = self._input_dtypes[0]
            self.__dict__["_fast_check"] = lambda x: x.dtype is dtype and fits(x)
            self.__dict__["_fast_training"] = False

    def compute_output_spec(self, *args, **kwargs):
        """KerasTensors of the shapes and dtypes that a call will give."""
        inputs = args[0] if args else kwargs["inputs"]
        self._check_inputs(inputs)
        return shapes.infer(self.call, (inputs,), {}, modules=(self,))

    def build(self, input_shape=None):
        """Does nothing: a functional model is built when it is made."""

    # Configs

    def get_config(self):
        """The layers, and how they are connected."""
        if not takes_graph(type(self)):
            return Model.get_config(self)
        layer_configs = []
        for operation in self._operations:
            config = serialize_operation(operation)
            config["name"] = operation.name
            config["inbound_nodes"] = [
                self._node_config(node) for node in self._own_nodes(operation)
            ]
            layer_configs.append(config)
        return copy.deepcopy(
            {
                "name": self.name,
                "trainable": self.trainable,
                "layers": layer_configs,
                "input_layers": tree.map_structure(
                    lambda x: self._reference(x, ends=True), self._inputs_struct
                ),
                "output_layers": tree.map_structure(
                    lambda x: self._reference(x, ends=True), self._outputs_struct
                ),
            }
        )

    get_config._uses_init_arguments = True

    def _reference(self, symbol, ends=False):
        """`[operation, call, output]` of a symbol, counting only the calls in this model."""
        operation = self._origin(symbol)
        if isinstance(operation, InputLayer):
            return [operation.name, 0, 0]
        index = [id(node) for node in self._own_nodes(operation)].index(id(node_of(symbol)))
        # Keras counts one more call at the ends of a graph where the end is a functional model.
        index += ends and isinstance(operation, Functional)
        return [operation.name, index, symbol._keras_history.tensor_index]

    def _node_config(self, node):
        def describe_symbol(x):
            if not isinstance(x, KerasTensor):
                return x
            config = {"shape": x.shape, "dtype": x.dtype, "keras_history": self._reference(x)}
            return {"class_name": "__keras_tensor__", "config": config}

        args, kwargs = map_leaves(describe_symbol, (list(node.args), node.kwargs))
        if not isinstance(node.operation, Layer):
            # An index or a shape must come back as a tuple, which JSON does not know.
            args, kwargs = _mark_tuples(args), _mark_tuples(kwargs)
        return {"args": serialize_keras_object(args), "kwargs": serialize_keras_object(kwargs)}

    def __getstate__(self):
        # The graph travels as a flat record. Its symbols and nodes form one long chain of
        # references, which copy and pickle would follow by recursion.
        state = super().__getstate__()
        for key in ("_graph", "_inputs", "_outputs", "_inputs_struct", "_outputs_struct"):
            state.pop(key)
        record = record_graph(self._graph, (self._inputs_struct, self._outputs_struct))
        state["_graph_record"] = record
        return state

    def __setstate__(self, state):
        state = dict(state)
        record = state.pop("_graph_record")
        super().__setstate__(state)
        self._set_ends(*replay_graph(record))


def _start_of(symbol):
    operation = symbol._keras_history.operation
    if isinstance(operation, InputLayer):
        return operation
    return InputLayer(batch_shape=symbol.shape, dtype=symbol.dtype, name=symbol.name)


def takes_graph(cls):
    """Whether the constructor of a model class takes `inputs` and `outputs`."""
    return cls in (Model, Functional) or init_takes(cls, ["inputs", "outputs", "name", "trainable"])


def become_functional(cls):
    """Put Functional in the place of Model among the bases of a user's class."""
    if cls is Model or issubclass(cls, Functional):
        return
    cls.__bases__ = tuple(Functional if base is Model else base for base in cls.__bases__)
    for base in cls.__bases__:
        if issubclass(base, Model) and not issubclass(base, Functional):
            become_functional(base)


_AUTOMATIC = re.compile(r"_\d+$")


def register_layers(model, layers):
    """Make `layers` the children of `model`, under names that are the same in every process.

    A layer with a name of its own is registered under it. Automatic names (`dense`, `dense_1`)
    are counted anew in each model, so that two models of one architecture have the same
    `state_dict` keys.
    """
    graph_keys = model.__dict__.get("_layer_keys", ())
    attributes = {id(m) for key, m in model._modules.items() if key not in graph_keys}
    for key in graph_keys:
        model._modules.pop(key, None)
    own_names = {layer.name for layer in layers if not _has_automatic_name(layer)}
    keys = []
    for layer in layers:
        if id(layer) in attributes:
            continue
        key = layer.name.replace(".", "_")
        if _has_automatic_name(layer):
            key = _AUTOMATIC.sub("", key)
        taken = {*model._modules, *model._parameters, *model._buffers}
        base, number = key, 0
        while key in taken or (key in own_names and _has_automatic_name(layer)):
            number += 1
            key = f"{base}_{number}"
        model._modules[key] = layer
        keys.append(key)
    model.__dict__["_layer_keys"] = keys


def _has_automatic_name(layer):
    stem = naming.to_snake_case(type(layer).__name__)
    return re.fullmatch(rf"{re.escape(stem)}(_\d+)?", layer.name) is not None


def functional_from_config(cls, config):
    """The model of class `cls` that `Functional.get_config` described.

    Raises:
        ValueError: the calls in the config cannot be put into an order, or name unknown layers.
    """
    config = dict(config)
    operations, waiting = {}, []
    for layer_config in config.pop("layers"):
        operation, added = deserialize_operation(layer_config)
        operations[layer_config["name"]] = operation
        calls = layer_config.get("inbound_nodes") or []
        waiting.append((operation, [(call, added) for call in calls]))
    nodes = {name: [] for name in operations}
    for name, operation in operations.items():
        if isinstance(operation, InputLayer):
            nodes[name].append(operation._inbound_nodes[0])
    names = {id(operation): name for name, operation in operations.items()}
    while any(calls for _, calls in waiting):
        progress = False
        for operation, calls in waiting:
            while calls:
                call, added = calls[0]
                found = _revive_call(call, nodes)
                if found is None:
                    break
                calls.pop(0)
                args, kwargs = found
                if isinstance(operation, Layer):
                    operation(*args, **{**added, **kwargs})
                else:
                    operation.symbolic_call(*args, **{**added, **kwargs})
                nodes[names[id(operation)]].append(operation._inbound_nodes[-1])
                progress = True
        if not progress:
            stuck = [operation.name for operation, calls in waiting if calls]
            raise ValueError(
                "The config of a functional model must connect its layers without loops. "
                f"Received: layers {stuck}, whose inputs are nowhere made."
            )

    def find(reference):
        if _is_reference(reference):
            name, node_index, tensor_index = reference
            if isinstance(operations.get(name), Functional):
                node_index -= 1
            return _output(nodes, name, node_index, tensor_index)
        if isinstance(reference, dict):
            return {key: find(value) for key, value in reference.items()}
        return type(reference)(find(value) for value in reference)

    inputs, outputs = find(config.pop("input_layers")), find(config.pop("output_layers"))
    config.setdefault("trainable", True)
    return cls(inputs=inputs, outputs=outputs, **config)


def _is_reference(x):
    return isinstance(x, (list, tuple)) and len(x) == 3 and isinstance(x[0], str)


def _output(nodes, name, node_index, tensor_index):
    try:
        return nodes[name][node_index].outputs[tensor_index]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(
            f"The config of a functional model must name its own layers. Received: output "
            f"{tensor_index} of call {node_index} of '{name}', which does not exist."
        ) from error


def _mark_tuples(value):
    if isinstance(value, tuple):
        marked = [_mark_tuples(item) for item in value]
        return {"class_name": "__tuple__", "config": {"value": marked}}
    if isinstance(value, list):
        return [_mark_tuples(item) for item in value]
    if isinstance(value, dict):
        return {key: _mark_tuples(item) for key, item in value.items()}
    return value


def _revive_call(call, nodes):
    """Arguments of a recorded call with symbols in place, or None if one is not made yet."""
    missing = []

    def revive(value):
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            name, node_index, tensor_index = value["config"]["keras_history"]
            if name not in nodes:
                raise ValueError(
                    "The config of a functional model must name its own layers. Received: a "
                    f"call on the output of '{name}', which is not among {list(nodes)}."
                )
            if len(nodes[name]) <= node_index:
                missing.append(name)
                return None
            return _output(nodes, name, node_index, tensor_index)
        if isinstance(value, dict) and value.get("class_name") == "__tuple__":
            return tuple(revive(item) for item in value["config"]["value"])
        if isinstance(value, dict) and "class_name" in value:
            return deserialize_keras_object(value)
        if isinstance(value, dict):
            return {key: revive(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(revive(item) for item in value)
        return value

    args, kwargs = tuple(revive(list(call["args"]))), revive(dict(call["kwargs"]))
    return None if missing else (args, kwargs)


def _check_symbols(what, structure):
    flat = tree.flatten(structure)
    for x in flat:
        if not isinstance(x, KerasTensor):
            raise ValueError(
                f"`{what}` of a functional model must be KerasTensors, made from keras.Input. "
                f"Received: {x!r} of type {type(x).__name__}."
            )
        if node_of(x) is None:
            raise ValueError(
                f"`{what}` of a functional model must come from keras.Input. Received: {x!r}, "
                "made on its own. Use keras.Input(shape=...)."
            )
    if not flat:
        raise ValueError(f"`{what}` of a functional model cannot be empty. Received: {what}=[].")


def _with_masks(tensors, masks):
    masked = []
    for tensor, mask in zip(tensors, masks, strict=True):
        if mask is not None:
            tensor = tensor.view_as(tensor)  # the caller's tensor carries no mask afterwards
            tensor._keras_mask = mask
        masked.append(tensor)
    return masked


def _is_flat_dict(struct):
    return isinstance(struct, dict) and all(isinstance(x, KerasTensor) for x in struct.values())


def _shapes(struct):
    found = tree.map_structure(lambda x: x.shape, struct)
    return found[0] if isinstance(struct, (list, tuple)) and len(struct) == 1 else found
