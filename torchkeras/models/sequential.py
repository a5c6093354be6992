"""Sequential: a stack of layers, each fed with the output of the one before."""

import copy

from torch import nn

from torchkeras.core import naming, tree
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.core.input_layer import InputLayer
from torchkeras.layers.layer import Layer
from torchkeras.models.functional import Functional, register_layers
from torchkeras.models.model import Model


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

    def __new__(cls, *args, **kwargs):
        return Layer.__new__(cls, *args, **kwargs)

    def __init__(self, layers=None, trainable=True, name=None):
        super().__init__(trainable=trainable, name=name)
        self.__dict__["_stack"] = []  # the layers, an InputLayer first where there is one
        self.__dict__["_functional"] = None
        if layers is not None and not isinstance(layers, (list, tuple)):
            layers = [layers]
        for layer in layers or ():
            self._push(layer)
        self._rebuild()

    def add(self, layer, rebuild=True):
        """Put a layer on top of the stack.

        Args:
            layer: a layer, a `keras.Input`, or a plain `torch.nn.Module`.
            rebuild: bool, connect the stack at once where the input shape is known.

        Raises:
            ValueError: not a layer, an Input that is not first, or a name already in the stack.

        Example:

        >>> model = keras.Sequential()
        >>> model.add(keras.Input((3,)))
        >>> model.add(keras.layers.Dense(2))
        >>> model.output_shape
        (None, 2)
        """
        self._push(layer)
        if rebuild:
            self._rebuild()

    def _push(self, layer):
        if isinstance(layer, KerasTensor):
            layer = layer._keras_history.operation
        if not isinstance(layer, Layer):
            if not isinstance(layer, nn.Module):
                raise ValueError(
                    f"Sequential takes layers. Received: {layer!r} of type {type(layer).__name__}."
                )
            from torchkeras.layers.core.torch_module_wrapper import TorchModuleWrapper

            layer = TorchModuleWrapper(layer)
        if any(layer.name == other.name for other in self._stack):
            raise ValueError(
                f"The layers of a Sequential must have different names. Received: a second layer "
                f"named '{layer.name}'. The names so far are "
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
        self._stack.append(layer)
        self._forget_graph()

    def pop(self, rebuild=True):
        """Take the top layer off the stack and return it.

        Args:
            rebuild: bool, connect the rest at once.

        Raises:
            ValueError: the stack is empty.
        """
        if not self._stack:
            raise ValueError(
                f"Sequential '{self.name}' has no layer to pop. Received: pop() on an empty stack."
            )
        layer = self._stack.pop()
        self._forget_graph()
        if rebuild:
            self._rebuild()
        return layer

    def _forget_graph(self):
        state = self.__dict__
        state["built"] = False
        state["_functional"] = None
        state["_build_shapes"] = None
        state["_fast"] = None
        register_layers(self, self.layers)

    def _rebuild(self):
        if not self._stack or len(self._stack) < 2:
            return
        if isinstance(self._stack[0], InputLayer):
            self.build(self._stack[0].batch_shape)
        elif hasattr(self._stack[0], "input_shape") and isinstance(
            self._stack[0], (Sequential, Functional)
        ):
            if self._stack[0].built:
                self.build(self._stack[0].input_shape)

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
        if isinstance(self._stack[0], InputLayer):
            start = self._stack[0].output
            given = tuple(input_shape) if tree.is_shape(input_shape) else start.shape
            if input_shape is not None and not _fits(given, start.shape):
                raise ValueError(
                    f"Sequential '{self.name}' has an Input of shape {start.shape}. Received: "
                    f"input_shape={input_shape}."
                )
        elif input_shape is None:
            raise ValueError(
                f"Sequential '{self.name}' needs a shape to build for. Received: "
                "input_shape=None. Pass it, or start the stack with keras.Input(shape=...)."
            )
        elif not tree.is_shape(input_shape):
            start = tree.map_shape_structure(
                lambda shape: InputLayer(batch_shape=shape).output, input_shape
            )
        else:
            layer = InputLayer(batch_shape=input_shape, dtype=self._first_input_dtype())
            self._stack.insert(0, layer)
            start = layer.output
        x = start
        for layer in self.layers:
            x = layer(x)
        functional = Functional(inputs=start, outputs=x, name=self.name)
        self.__dict__["_functional"] = functional
        register_layers(self, self.layers)
        self._finish_build({})

    def _first_input_dtype(self):
        # Keras takes the first layer's compute dtype, so integer data arrives as floats.
        return self._stack[0].compute_dtype

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

    def _convert(self, x):
        return x if self._functional is not None else super()._convert(x)

    def _build_and_run(self, spec, args, kwargs):
        if not self._stack:
            raise ValueError(
                f"Sequential '{self.name}' has no layers to call. Received: an empty stack. Add "
                "layers with `add`."
            )
        if not self.built:
            arguments = spec.bind(args, kwargs)
            self._build_for(arguments, args, kwargs)
        return self._functional._build_and_run(spec, args, kwargs)

    def _decide_fast_path(self, spec):
        if self._functional is not None:
            self._functional._decide_fast_path(spec)
            super()._decide_fast_path(spec)
            if self._fast is not None and self._functional._fast is not None:
                for key in ("_fast_check", "_fast_training", "_input_torch_dtype"):
                    self.__dict__[key] = self._functional.__dict__[key]
            else:
                self.__dict__["_fast"] = None

    def compute_output_spec(self, *args, **kwargs):
        """KerasTensors of the shapes and dtypes that a call will give."""
        if self._functional is not None:
            return self._functional.compute_output_spec(*args, **kwargs)
        return super().compute_output_spec(*args, **kwargs)

    def compute_output_shape(self, input_shape):
        """Shape of the output, layer by layer."""
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    # Structure

    @property
    def layers(self):
        """The layers of the stack, without the Input."""
        stack = self.__dict__.get("_stack", [])
        return stack[1:] if stack and isinstance(stack[0], InputLayer) else stack[:]

    @layers.setter
    def layers(self, _):
        Model.layers.fset(self, _)

    def _graph_part(self, name):
        if self._functional is None:
            raise AttributeError(
                f"Sequential '{self.name}' has no `{name}` before its input shape is known. Start "
                "it with keras.Input(shape=...), build it, or call it on data."
            )
        return getattr(self._functional, name)

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
        """The symbolic input."""
        return self._graph_part("input")

    @property
    def output(self):
        """The symbolic output."""
        return self._graph_part("output")

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
        from torchkeras.core.serialization import custom_object_scope

        if "name" not in config:
            raise ValueError(
                "The config of a Sequential has a name and layers. Received: a config with the "
                f"keys {list(config)}."
            )
        with custom_object_scope(custom_objects or {}):
            model = cls(name=config["name"])
            for layer_config in config.get("layers", ()):
                model._push(deserialize_keras_object(layer_config))
            model._rebuild()
        if config.get("trainable") is False:
            model.trainable = False
        shape = config.get("build_input_shape")
        if shape and not model.built and len(model.layers) > 0:
            model.build(tuple(shape) if tree.is_shape(shape) else shape)
        return model

    def get_build_config(self):
        """None: the config holds the input shape."""
        return None

    def _name_scope(self):
        return naming.name_scope(self.name, caller=self)


def _fits(shape, expected):
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b for a, b in zip(shape, expected, strict=True)
    )
