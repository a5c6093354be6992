"""Sequential: a stack of layers, each fed with the output of the one before."""

import copy

from torch import nn

from torchkeras.core import naming, tree
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.serialization import (
    custom_object_scope,
    deserialize_keras_object,
    serialize_keras_object,
)
from torchkeras.layers.core.input_layer import InputLayer
from torchkeras.layers.core.torch_module_wrapper import TorchModuleWrapper
from torchkeras.layers.fast_path import UNSETTLED, can_join, is_settled
from torchkeras.layers.layer import Layer
from torchkeras.models.functional import Functional, inputs_by_name
from torchkeras.models.graph import node_of
from torchkeras.models.model import Model, register_layers, register_next_layer

_GRAPH_PARTS = frozenset(
    "input inputs input_names input_shape output outputs output_names output_shape".split()
)


class Sequential(Model):
    """A model that passes its input through a list of layers.

    Without an `Input` first it has no weights until it is called, built or fitted. Plain
    `torch.nn.Module`s may stand among the layers.

    Args:
        layers: list of layers, `keras.Input` symbols first where given; or None.
        trainable: bool.
        name: str, or None for an automatic name.

    Raises:
        ValueError: something is not a layer, or two layers have one name.

    Example:

    >>> model = keras.Sequential([keras.layers.Dense(4, activation="relu")])
    >>> model.add(keras.layers.Dense(1))
    >>> model.weights
    []
    >>> model(torch.ones(2, 3)).shape
    torch.Size([2, 1])
    """

    _plain_attributes = Model._plain_attributes | {"_functional", "_names", "_stack"}

    def __new__(cls, *args, **kwargs):
        return Layer.__new__(cls, *args, **kwargs)

    def __init__(self, layers=None, trainable=True, name=None):
        super().__init__(trainable=trainable, name=name)
        self._stack = []  # the layers, an InputLayer first where there is one
        self._names = set()  # of layers that are, or once were, in the stack
        self._functional = None
        if layers is not None and not isinstance(layers, (list, tuple)):
            layers = [layers]
        self._push(*layers or ())
        self._rebuild()

    def add(self, layer, rebuild=True):
        """Put a layer on top of the stack.

        Args:
            layer: a layer, a `keras.Input`, or a plain `torch.nn.Module`.
            rebuild: bool, connect the stack at once where the input shape is known.

        Raises:
            ValueError: not a layer, an Input that is not first, a name already in the stack, or
                a layer that cannot take the output of the one below. The stack stays as it was.

        Example:

        >>> model = keras.Sequential()
        >>> model.add(keras.Input((3,)))
        >>> model.add(keras.layers.Dense(2))
        >>> model.output_shape
        (None, 2)
        """
        before, functional, fast = list(self._stack), self._functional, self._fast
        self._push(layer)
        try:
            if rebuild and functional is not None:
                self._extend(functional, fast)
            elif rebuild:
                self._rebuild()
        except Exception:
            self._stack[:] = before
            self._forget_graph()
            if functional is not None:
                with self._name_scope():
                    self._connect(functional.input, functional.output)
            raise

    def _extend(self, functional, fast):
        """Connect the top layer with those below, in the time of one layer where it can be.

        Args:
            functional: the _Stack of those below, which becomes that of all.
            fast: FastPath that this model had before.
        """
        layer = self._stack[-1]
        with self._name_scope():
            output = layer(functional.output)
            if not functional.append(output):
                self._connect(functional.input, output)
                return
            naming.auto_name("Functional")
            self._functional = functional
            self.built = True
            if is_settled(self, fast) and is_settled(functional) and can_join(layer):
                self._fast = fast
                return
            functional._fast = UNSETTLED
            functional._decide_fast_path(functional._spec_of_call())
            self._decide_fast_path(self._spec_of_call())

    def _push(self, *layers):
        for layer in map(self._as_layer, layers):
            name = layer.name
            if name in self._names and any(other.name == name for other in self._stack):
                raise ValueError(
                    "The layers of a Sequential must have different names. Received: a second "
                    f"layer named '{name}'. The names so far are "
                    f"{[other.name for other in self._stack]}."
                )
            if isinstance(layer, InputLayer) and self._stack:
                raise ValueError(
                    f"An Input comes first in a Sequential. Received: '{layer.name}' after "
                    f"{len(self._stack)} layer(s)."
                )
            shape = layer.__dict__.get("_input_shape_arg")
            if not self._stack and shape is not None:
                self._stack.append(InputLayer(batch_shape=(None, *shape)))
                self._names.add(self._stack[0].name)
            self._stack.append(layer)
            self._names.add(name)
        self._drop_graph()
        if len(layers) == 1 and "_layer_numbers" in self.__dict__:
            register_next_layer(self, self._stack[-1])
        else:
            register_layers(self, self.layers)

    def _as_layer(self, layer):
        if isinstance(layer, Layer):
            return layer
        if isinstance(layer, nn.Module):
            return TorchModuleWrapper(layer)
        history = getattr(layer, "_keras_history", None)
        if isinstance(layer, KerasTensor) and history is not None:
            if isinstance(history.operation, InputLayer):
                return history.operation
        raise ValueError(
            "Sequential takes layers, torch modules, and a keras.Input first. Received: "
            f"{layer!r} of type {type(layer).__name__}. Use keras.layers.Lambda for a function."
        )

    def pop(self, rebuild=True):
        """Take the top layer off the stack and return it.

        Args:
            rebuild: bool, connect the rest at once.

        Raises:
            ValueError: the stack is empty.

        Example:

        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
        >>> model.pop()
        <Dense name=head, built=True>
        """
        if not self._stack:
            raise ValueError(
                f"Sequential '{self.name}' has no layer to pop. Received: pop() on an empty stack."
            )
        layer, functional = self._stack.pop(), self._functional
        self._forget_graph()
        if rebuild and functional is not None and self.layers:
            # The layers below stay connected as they are.
            top = functional._graph.calls[layer][-1]
            with self._name_scope():
                self._connect(functional.input, top.args[0])
        elif rebuild:
            self._rebuild()
        return layer

    def _forget_graph(self):
        self._drop_graph()
        register_layers(self, self.layers)

    def _drop_graph(self):
        self.built = False
        self._functional = None
        self._build_shapes = None
        self._fast = UNSETTLED

    def _rebuild(self):
        if len(self._stack) < 2:
            return
        first = self._stack[0]
        if isinstance(first, InputLayer):
            self.build(first.batch_shape)
        elif isinstance(first, (Sequential, Functional)) and first.built:
            self.build(first.input_shape)

    def build(self, input_shape=None):
        """Create the weights for inputs of this shape, and connect the stack symbolically.

        Args:
            input_shape: shape tuple with the batch, None for unknown sizes.

        Raises:
            ValueError: no shape is known, or the stack is empty.
        """
        if self.built:
            return
        if not self._stack:
            raise ValueError(
                f"Sequential '{self.name}' has no layers to build. Received: an empty stack. Add "
                "layers with `add`."
            )
        start = self._start(input_shape)
        x = start
        for layer in self.layers:
            x = layer(x)
        if isinstance(start, KerasTensor) and not isinstance(self._stack[0], InputLayer):
            self._stack.insert(0, start._keras_history.operation)
            self._names.add(self._stack[0].name)
        self._connect(start, x)

    def _start(self, input_shape):
        """The symbols to build on."""
        first = self._stack[0]
        if isinstance(first, InputLayer):
            if input_shape is not None and not _fits(input_shape, first.batch_shape):
                raise ValueError(
                    f"Sequential '{self.name}' has an Input of shape {first.batch_shape}. "
                    f"Received: input_shape={input_shape}. Build it for the shape of its Input."
                )
            return first.output
        if input_shape is None:
            raise ValueError(
                f"Sequential '{self.name}' needs a shape to build for. Received: "
                "input_shape=None. Pass it, or start the stack with keras.Input(shape=...)."
            )
        # As in Keras the data arrives in the first layer's compute dtype, integers as floats.
        dtype = first.compute_dtype if tree.is_shape(input_shape) else None
        dtype = "string" if _reads_text(first) else dtype
        return tree.map_shape_structure(
            lambda shape: InputLayer(batch_shape=shape, dtype=dtype).output, input_shape
        )

    def _connect(self, start, end):
        naming.auto_name("Functional")  # Keras's counts as one: later models are named alike
        self._functional = _Stack(inputs=start, outputs=end, name=self.name)
        self._finish_build({})
        self._decide_fast_path(self._spec_of_call())

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        if self._functional is not None:
            self._functional._move_input_dtypes(fn)
        return self

    def _build_for(self, arguments, args, kwargs):
        if self._functional is None and self._stack:
            super()._build_for(arguments, args, kwargs)

    def call(self, inputs, training=None, mask=None):
        """Pass the input through the layers."""
        if self._functional is not None:
            return self._functional.call(inputs, mask=mask)
        x = inputs
        for layer in self.layers:
            x = layer(x)
        return x

    def _keras_call(self, args, kwargs):
        if not args and "inputs" not in kwargs and self._passes_on():
            args, kwargs = inputs_by_name(self._functional, kwargs)
            args = tuple(args[0].values())  # a stack has one input
        return super()._keras_call(args, kwargs)

    def _passes_on(self):
        """Whether a call is nothing but a call of the functional model inside."""
        return self._functional is not None and type(self).call is Sequential.call

    def _convert(self, x):
        return x if self._passes_on() else super()._convert(x)

    def _build_and_run(self, spec, args, kwargs):
        if not self._stack:
            raise ValueError(
                f"Sequential '{self.name}' has no layers to call. Received: an empty stack. Add "
                "layers with `add`."
            )
        if not self.built:
            self._build_for(spec.bind(args, kwargs), args, kwargs)
        if self._passes_on():
            return self._functional._build_and_run(spec, args, kwargs)
        return super()._build_and_run(spec, args, kwargs)

    def _decide_fast_path(self, spec):
        super()._decide_fast_path(spec)
        if self._fast is not UNSETTLED and self._remat_mode is None and self._passes_on():
            self._functional._decide_fast_path(spec)
            self._fast = self._functional._fast
            self._input_torch_dtype = self._functional._input_torch_dtype

    def compute_output_spec(self, *args, **kwargs):
        """KerasTensors of the shapes and dtypes that a call will give."""
        if self._passes_on():
            return self._functional.compute_output_spec(*args, **kwargs)
        return super().compute_output_spec(*args, **kwargs)

    def compute_output_shape(self, input_shape):
        """Shape of the output, layer by layer."""
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    # Structure

    def _graph_layers(self):
        return self.layers

    @property
    def layers(self):
        """The layers of the stack, without the Input."""
        stack = self.__dict__.get("_stack", [])
        return stack[1:] if stack and isinstance(stack[0], InputLayer) else stack[:]

    @layers.setter
    def layers(self, _):
        Model.layers.fset(self, _)

    def __getattr__(self, name):
        # After an AttributeError in a property Python asks here, and torch would say that there
        # is no such attribute at all.
        if name in _GRAPH_PARTS:
            return self._graph_part(name)
        return super().__getattr__(name)

    def _graph_part(self, name):
        if self._functional is None:
            raise AttributeError(
                f"Sequential '{self.name}' has no `{name}` before its input shape is known. Start "
                "it with keras.Input(shape=...), build it, or call it on data."
            )
        return getattr(self._functional, name)

    def _node_end(self, name):
        return getattr(Layer, name).fget(self)

    @property
    def inputs(self):
        """The symbolic input, in a list."""
        return self._graph_part("inputs")

    @property
    def outputs(self):
        """The symbolic output, in a list."""
        return self._graph_part("outputs")

    @property
    def input(self):
        """The symbolic input: of the first call, where it is part of another model's graph."""
        return self._node_end("input") if self._inbound_nodes else self._graph_part("input")

    @property
    def output(self):
        """The symbolic output: of the first call, where it is part of another model's graph."""
        return self._node_end("output") if self._inbound_nodes else self._graph_part("output")

    @property
    def input_shape(self):
        """Shape of the input."""
        return self._graph_part("input_shape")

    @property
    def output_shape(self):
        """Shape of the output."""
        return self._graph_part("output_shape")

    @property
    def output_names(self):
        """Name of the last layer, in a list."""
        return self._graph_part("output_names")

    @property
    def input_names(self):
        """Name of the input, in a list."""
        return self._graph_part("input_names")

    # Configs

    def get_config(self):
        """The layers in order, and the shape the stack was built for."""
        config = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": serialize_keras_object(self.dtype_policy),
            "layers": [serialize_keras_object(layer) for layer in self._stack],
        }
        if self._functional is not None:
            config["build_input_shape"] = self.input_shape
        return copy.deepcopy(config)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model that `get_config` described."""
        if "name" not in config:
            raise ValueError(
                "The config of a Sequential has a name and layers. Received: a config with the "
                f"keys {list(config)}."
            )
        with custom_object_scope(custom_objects or {}):
            model = cls(name=config["name"])
            made = [deserialize_keras_object(part) for part in config.get("layers", ())]
            model._push(*made)
            model._rebuild()
        model._trainable = config.get("trainable") is not False
        shape = config.get("build_input_shape")
        if shape and not model.built and len(model.layers) > 0:
            model.build(tuple(shape) if tree.is_shape(shape) else shape)
        return model

    def get_build_config(self):
        """None: the config holds the input shape."""
        return None

    def _name_scope(self):
        return naming.name_scope(self.name, caller=self)


class _Stack(Functional):
    """The graph of a Sequential, which as in Keras takes inputs of other sizes too.

    A stack whose shape was found by its first data must take the next batch, which may be longer;
    a layer that needs a size checks it itself.
    """

    _checks_sizes = False

    def append(self, output):
        """Put the layer that made `output` on top; False where it is no plain step."""
        node = node_of(output)
        if not self._plain_output or node is None or output is not node.outputs[0]:
            return False
        if not self._graph.append(node):
            return False
        self._outputs, self._outputs_struct = self._graph.outputs, output
        self.output_names = [node.operation.name]
        register_next_layer(self, node.operation)
        return True


def _reads_text(layer):
    """Whether a layer is for text; a model may be for anything."""
    if isinstance(layer, Sequential):
        return bool(layer._stack) and _reads_text(layer._stack[0])
    return layer.takes_text and not isinstance(layer, Model)


def _fits(shape, expected):
    return (
        tree.is_shape(shape)
        and len(shape) == len(expected)
        and all(a is None or b is None or a == b for a, b in zip(shape, expected, strict=True))
    )
