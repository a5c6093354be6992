"""Functional: a model made of symbolic inputs and outputs. One idea with model.py, see there."""

import copy
import inspect
import warnings

import torch

from torchkeras.core import config as core_config
from torchkeras.core import tree
from torchkeras.core.arguments import symbols_of
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import standardize_dtype, to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.remat import recomputing_call
from torchkeras.core.strings import as_text
from torchkeras.layers.fast_path import UNSETTLED, never
from torchkeras.layers.input_spec import InputSpec, describe
from torchkeras.layers.layer import Layer
from torchkeras.models.graph import Graph, is_functional, node_of, record_graph, replay_graph
from torchkeras.models.model import Model, register_layers
from torchkeras.models.operation_configs import serialize_operation
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

    _checks_sizes = True  # False in a Sequential: there each layer checks what it needs

    _plain_attributes = Model._plain_attributes | {
        "_graph",
        "_input_dtypes",
        "_inputs",
        "_inputs_struct",
        "_outputs",
        "_outputs_struct",
        "_plain_output",
        "_single_input",
        "_specs",
        "input_names",
        "output_names",
    }

    def __new__(cls, *args, **kwargs):
        return Layer.__new__(cls, *args, **kwargs)

    def __init__(self, inputs, outputs, name=None, trainable=True, **kwargs):
        _check_symbols("inputs", inputs)
        _check_symbols("outputs", outputs)
        Trainer.__init__(self)
        Layer.__init__(self, name=name, trainable=trainable, **kwargs)
        self._set_ends(inputs, outputs)
        self._set_input_dtypes([_torch_dtype(x.dtype) for x in self._inputs])
        register_layers(self, self._graph_layers())
        if self.__dict__.get("_path") is None:
            self._path = self._path_here()
        self.built = True
        self._decide_fast_path(self._spec_of_call())

    def _set_ends(self, inputs, outputs):
        """Find the graph between the symbols, and what calls and properties need of it."""
        self._inputs_struct = tree.map_structure(lambda x: x, inputs)
        self._outputs_struct = tree.map_structure(lambda x: x, outputs)
        self._inputs = tree.flatten(inputs)
        self._outputs = tree.flatten(outputs)
        self._graph = graph = Graph(self._inputs, self._outputs)
        self._single_input = isinstance(inputs, KerasTensor)
        self._plain_output = isinstance(outputs, KerasTensor)
        self._specs = [
            InputSpec(shape=self._checked_shape(x.shape), allow_last_axis_squeeze=True)
            for x in self._inputs
        ]
        self.input_names = [start.name for start in graph.starts]
        self.output_names = [graph.operation_of(x).name for x in self._outputs]

    def _checked_shape(self, shape):
        """The sizes that inputs must have: those of the symbol but for the batch, or the rank."""
        if self._checks_sizes or not shape:
            return _any_batch(shape)
        # A last axis of 1 may be left out by the data.
        return (*[None] * (len(shape) - 1), 1 if shape[-1] == 1 and len(shape) > 1 else None)

    def _graph_layers(self):
        return [op for op in self._graph.operations if isinstance(op, Layer)]

    def _origin(self, symbol):
        """The operation, in this model, that a symbol comes from."""
        return self._graph.operation_of(symbol)

    # Dtypes

    def _set_input_dtypes(self, dtypes):
        self._input_dtypes = dtypes
        self._input_torch_dtype = dtypes[0]

    def _set_policy(self, policy):
        super()._set_policy(policy)
        if "_input_dtypes" in self.__dict__:
            self._set_input_dtypes(self._input_dtypes)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self._move_input_dtypes(fn)
        return self

    def _move_input_dtypes(self, fn):
        # After `.double()` an input is not rounded to the float32 of its keras.Input first.
        with torch.no_grad():
            dtypes = [
                fn(torch.empty(0, dtype=dtype)).dtype
                if dtype and dtype.is_floating_point
                else dtype
                for dtype in self._input_dtypes
            ]
        self._set_input_dtypes(dtypes)

    # Structure

    @property
    def layers(self):
        """The layers of the graph, from the inputs to the outputs, and those set as attributes."""
        layers = self._graph_layers()
        known = {id(layer) for layer in layers}
        return layers + [layer for layer in self._layers if id(layer) not in known]

    @layers.setter
    def layers(self, _):
        Model.layers.fset(self, _)

    @property
    def operations(self):
        """The operations of the graph: layers, functions of keras.ops, torch functions."""
        return list(self._graph.operations)

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
            if not _is_flat(struct):
                return None
            items = [(name, struct[name]) for name in sorted(struct)]
        else:
            items = [(self._origin(x).name, x) for x in self._inputs]
        return [
            InputSpec(
                shape=_any_batch(x.shape),
                allow_last_axis_squeeze=True,
                name=name,
                optional=self._is_optional(x),
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
                A dict with the inputs' names does in any case but for nested inputs.
            training: handled by the layers' own flags.
            mask: boolean tensors for the inputs, or None.

        Returns:
            Tensors in the structure of the model's outputs.

        Raises:
            ValueError: inputs are missing, too many, or of the wrong rank or shape.
        """
        dtype = self._input_dtypes[0]
        if self._single_input and mask is None and type(inputs) is torch.Tensor:
            ready = inputs.dtype is dtype and inputs.dim() == len(self._inputs[0].shape)
        else:
            ready = False
        if ready:
            tensors = [inputs]
        else:
            tensors = self._standardize(self._arrange(inputs))
            if not self.__dict__.get("_has_warned_of_structure"):
                self._warn_of_structure(inputs)
        if mask is not None:
            tensors = _with_masks(tensors, self._arrange(mask))
        results = self._graph.run(tensors)
        return self._packed(results)

    def _keras_call(self, args, kwargs):
        if not args and "inputs" not in kwargs and type(self).call is Functional.call:
            args, kwargs = inputs_by_name(self, kwargs)
        return super()._keras_call(args, kwargs)

    def _names_in_dict(self):
        """The keys that a dict of inputs has."""
        struct = self._inputs_struct
        return sorted(struct) if isinstance(struct, dict) else self.input_names

    def _packed(self, results):
        if self._plain_output:
            return results[0]
        packed = tree.pack_sequence_as(self._outputs_struct, results)
        # As in Keras, one output in a list comes without the list.
        return packed[0] if isinstance(packed, (list, tuple)) and len(packed) == 1 else packed

    def _convert(self, x):
        # Each input is converted to its own dtype, in `_standardize`.
        return x if type(self).call is Functional.call else super()._convert(x)

    def _build_and_run(self, spec, args, kwargs):
        if type(self).call is not Functional.call:
            return super()._build_and_run(spec, args, kwargs)
        inputs = args[0] if args else kwargs["inputs"]
        self._check_inputs(self._arrange(inputs))
        mask = args[2] if len(args) > 2 else kwargs.get("mask")
        call = self.call if self._remat_mode is None else recomputing_call(self)
        outputs = call(inputs, mask=mask)
        if self.activity_regularizer is not None:
            self._add_activity_losses(outputs)
        return outputs

    def _is_optional(self, symbol):
        return getattr(self._origin(symbol), "optional", False)

    def _check_inputs(self, values):
        for value, symbol, spec, name in zip(
            values, self._inputs, self._specs, self.input_names, strict=True
        ):
            if value is None:
                if not self._is_optional(symbol):
                    raise ValueError(
                        f"Model '{self.name}' needs a value for its input '{name}'. "
                        "Received: None. Make it keras.Input(..., optional=True) to allow that."
                    )
                continue
            if not hasattr(value, "shape"):
                continue
            problem = spec.problem(tuple(value.shape), None)
            if problem:
                raise ValueError(
                    f"Model '{self.name}' {problem}, with any batch size, for its input "
                    f"'{name}'. Received: shape {tuple(value.shape)}."
                )

    def _arrange(self, inputs):
        """`inputs` as a flat list in the order of the model's own inputs."""
        struct = self._inputs_struct
        if isinstance(inputs, dict) and (_is_flat(struct) or not _holds_dict(struct)):
            return self._arrange_dict(inputs)
        if _holds_dict(struct) and tree.is_nested(inputs):
            self._check_structure(inputs)
        flat = [inputs] if self._single_input and hasattr(inputs, "shape") else tree.flatten(inputs)
        if len(flat) != len(self._inputs):
            raise ValueError(
                f"Model '{self.name}' expects {len(self._inputs)} input(s), "
                f"{self.input_names}. Received: {len(flat)} ({describe(inputs)})."
            )
        return flat

    def _warn_of_structure(self, inputs):
        """Warn, once, where inputs in another structure may have been meant otherwise.

        That is a list for a dict of inputs, and a dict with keys that no input has.
        """
        struct = self._inputs_struct
        if (
            not isinstance(struct, dict)
            or (len(self._inputs) == 1 and not isinstance(inputs, dict))
            or _nests_alike(struct, inputs)
            or torch.compiler.is_compiling()
        ):
            return
        if isinstance(inputs, dict) and all(
            key in struct or key in self.input_names for key in inputs
        ):
            return  # one that is optional was left out
        self.__dict__["_has_warned_of_structure"] = True
        names = tree.map_structure(lambda x: self._origin(x).name, struct)
        warnings.warn(
            f"Model '{self.name}' expects inputs in the structure {names!r}. Received: "
            f"{describe(inputs)}, of which it took what fits. Give them in that structure.",
            stacklevel=2,
        )

    def _arrange_dict(self, inputs):
        """The values of a dict by the keys of the model's inputs, or by their names."""
        names = self._names_in_dict()
        missing = [
            name
            for name, symbol in zip(names, self._inputs, strict=True)
            if name not in inputs and not self._is_optional(symbol)
        ]
        if missing:
            raise ValueError(
                f"Model '{self.name}' expects the inputs {names}. Received: a dict with "
                f"the keys {list(inputs)}; missing: {missing}."
            )
        return [inputs.get(name) for name in names]

    def _check_structure(self, inputs):
        struct = self._inputs_struct
        # A list has an order and a dict is walked by sorted keys: they can only stand for each
        # other where the model's dict was written in that order.
        in_order = _is_flat(struct) and isinstance(struct, dict) and list(struct) == sorted(struct)
        if in_order and not isinstance(inputs, dict):
            return
        try:
            tree.assert_same_structure(struct, inputs)
        except ValueError as error:
            names = tree.map_structure(lambda x: self._origin(x).name, struct)
            raise ValueError(
                f"Model '{self.name}' expects inputs in the structure {names}. Received: "
                f"{describe(inputs)}. Give them in the same lists and under the same keys."
            ) from error

    def _standardize(self, values):
        """Tensors of the inputs' dtypes and ranks."""
        tensors = []
        for x, symbol, dtype in zip(values, self._inputs, self._input_dtypes, strict=True):
            if x is None:
                tensors.append(None)
                continue
            mask = getattr(x, "_keras_mask", None)
            x = as_text(x) if dtype is None else self._to_tensor(x, dtype)
            rank = len(symbol.shape)
            if x.ndim == rank + 1 and x.shape[-1] == 1:
                x = x[..., 0]
            elif x.ndim == rank - 1 and symbol.shape[-1] == 1:
                x = x[..., None]
            if mask is not None:
                x._keras_mask = mask
            tensors.append(x)
        return tensors

    def _to_tensor(self, x, dtype):
        if not isinstance(x, torch.Tensor):
            parameter = next(self.parameters(), None)
            if parameter is not None:
                with core_config.device(parameter.device):
                    return convert_to_tensor(x, dtype)
        return convert_to_tensor(x, dtype)

    def _decide_fast_path(self, spec):
        super()._decide_fast_path(spec)
        if type(self).call is Functional.call and self._fast is not UNSETTLED:
            fits = never
            dtype = self._input_dtypes[0]
            if self._single_input and dtype is not None and self._remat_mode is None:
                has_shape = InputSpec(shape=self._specs[0].shape).quick_check()

                def fits(x):
                    return x.dtype is dtype and has_shape(x)

            self._fast = self._fast.narrowed(fits)

    def compute_output_spec(self, *args, **kwargs):
        """KerasTensors of the shapes and dtypes that a call will give."""
        if type(self).call is not Functional.call:
            return super().compute_output_spec(*args, **kwargs)
        given = self._arrange(args[0] if args else kwargs["inputs"])
        self._check_inputs(given)
        names = [_name_of(dtype) for dtype in self._input_dtypes]
        pairs = zip(given, self._inputs, names, strict=True)
        symbols = [x if x is None else _adapted(x, like, name) for x, like, name in pairs]
        return self._packed(self._graph.symbols_for(symbols))

    def build(self, input_shape=None):
        """Does nothing: a functional model is built when it is made."""

    # Configs

    def get_config(self):
        """The layers, and how they are connected."""
        if not takes_graph(type(self)):
            if symbols_of(self._init_arguments or ()):
                raise NotImplementedError(
                    f"{type(self).__name__} needs a `get_config` and a `from_config` of its own: "
                    "its constructor takes symbols and further arguments. Received: "
                    f"get_config() of '{self.name}'. Or let it take (inputs, outputs, name)."
                )
            return Model.get_config(self)
        layer_configs = []
        for operation, calls in self._graph.calls.items():
            layer_configs.append(serialize_operation(operation, calls, self._reference))
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
        """`[operation, call, output]` of a symbol, as configs name it."""
        operation, call, output = self._graph.reference(symbol)
        # Keras counts one more call at the ends of a graph where the end is a functional model.
        return [operation.name, call + (ends and is_functional(operation)), output]

    def __reduce__(self):
        return _empty_functional, (type(self),), self.__getstate__()

    def __getstate__(self):
        state = super().__getstate__()
        for key in ("_graph", "_inputs", "_outputs", "_inputs_struct", "_outputs_struct"):
            state.pop(key)
        ends = (self._inputs_struct, self._outputs_struct)
        state["_graph_record"] = record_graph(self._graph, ends)
        return state

    def __setstate__(self, state):
        state = dict(state)
        record = state.pop("_graph_record")
        super().__setstate__(state)
        self._set_ends(*replay_graph(record))


def inputs_by_name(model, kwargs):
    """The arguments of a call `model(a=x, b=y)` as those of `model({"a": x, "b": y})`.

    Args:
        model: Functional.
        kwargs: keyword arguments of a call without `inputs`.

    Raises:
        TypeError: there is none that names an input, or one that names nothing.
    """
    names = model._names_in_dict()
    inputs = {key: value for key, value in kwargs.items() if key in names}
    rest = {key: value for key, value in kwargs.items() if key not in inputs}
    unknown = [key for key in rest if key not in ("training", "mask")]
    if unknown or not inputs:
        raise TypeError(
            f"Model '{model.name}' takes its inputs in one structure, or by their names, {names}. "
            f"Received: the keyword arguments {list(kwargs)}."
        )
    return (inputs,), rest


def _empty_functional(cls):
    """An instance of `cls` to be filled from a pickle."""
    # In a new process a user's class has not yet changed its base.
    become_functional(cls)
    return cls.__new__(cls)


def takes_graph(cls):
    """Whether the constructor of a model class takes `inputs`, `outputs` and `name`, or anything.

    Only then can `from_config` make a model of this class from the graph alone.
    """
    if cls in (Model, Functional):
        return True
    spec = inspect.getfullargspec(cls.__init__)
    takes_any = spec.varargs is not None and spec.varkw is not None
    return takes_any or spec.args[1:] in (
        ["inputs", "outputs", "name"],
        ["inputs", "outputs", "name", "trainable"],
    )


def become_functional(cls):
    """Put Functional in the place of Model among the bases of a user's class."""
    if cls is Model or issubclass(cls, Functional):
        return
    cls.__bases__ = tuple(Functional if base is Model else base for base in cls.__bases__)
    for base in cls.__bases__:
        if issubclass(base, Model) and not issubclass(base, Functional):
            become_functional(base)


def _torch_dtype(name):
    """The torch dtype of an input; None for text."""
    return None if name == "string" else to_torch_dtype(name)


def _name_of(dtype):
    return "string" if dtype is None else standardize_dtype(dtype)


def _adapted(x, like, dtype):
    """The symbol for an input that is given as `x`: in the model's dtype, and of its rank."""
    shape, rank = tuple(x.shape), len(like.shape)
    if len(shape) == rank + 1 and shape[-1] == 1:
        shape = shape[:-1]
    elif len(shape) == rank - 1 and like.shape[-1] == 1:
        shape = (*shape, 1)
    symbol = KerasTensor(shape, dtype)
    symbol._keras_mask = x._keras_mask
    return symbol


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


def _is_flat(struct):
    """Whether a structure is one symbol, or a list, tuple or dict of symbols."""
    items = struct.values() if isinstance(struct, dict) else struct
    return isinstance(struct, KerasTensor) or all(isinstance(x, KerasTensor) for x in items)


def _holds_dict(struct):
    if isinstance(struct, dict):
        return True
    return isinstance(struct, (list, tuple)) and any(_holds_dict(item) for item in struct)


def _any_batch(shape):
    return (None, *shape[1:]) if shape else shape


def _shapes(struct):
    found = tree.map_structure(lambda x: x.shape, struct)
    return found[0] if isinstance(struct, (list, tuple)) and len(struct) == 1 else found


def _nests_alike(struct, inputs):
    """Whether `inputs` are nested as `struct`, lists and tuples being alike."""
    if not tree.is_nested(struct):
        return not tree.is_nested(inputs)
    if isinstance(struct, dict):
        if not isinstance(inputs, dict) or struct.keys() != inputs.keys():
            return False
        return all(_nests_alike(struct[key], inputs[key]) for key in struct)
    if not isinstance(inputs, (list, tuple)) or len(inputs) != len(struct):
        return False
    return all(_nests_alike(part, given) for part, given in zip(struct, inputs, strict=True))
