"""Layer: an `nn.Module` with Keras's protocol of building, calling, tracking and configs."""

import contextlib
import functools

import numpy as np
import torch

from torchkeras import constraints, initializers, regularizers
from torchkeras.core import config, naming, tree
from torchkeras.core import dtype_policy as dtype_policies
from torchkeras.core.arguments import any_symbolic
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtype_policy_map import DTypePolicyMap
from torchkeras.core.dtypes import is_float_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.operation import Node, Operation
from torchkeras.core.remat import recomputing_call
from torchkeras.core.scopes import SCOPE, autocast_scope
from torchkeras.core.strings import as_text, is_text
from torchkeras.core.variable import Variable
from torchkeras.layers.call_spec import CallSpec, call_spec, is_default, is_tensor_like, shapes_of
from torchkeras.layers.entry_points import set_entry_points
from torchkeras.layers.fast_path import UNSETTLED, always, fast_path_of, never
from torchkeras.layers.input_spec import assert_input_compatibility, describe
from torchkeras.layers.layer_config import LayerConfig
from torchkeras.layers.layer_dtypes import LayerDtypes
from torchkeras.layers.layer_losses import LayerLosses
from torchkeras.layers.masks import (
    any_mask,
    attach_mask,
    find_masks,
    mask_of,
    warn_of_lost_mask,
)
from torchkeras.layers.output_spec import infer_output, output_symbols
from torchkeras.layers.stateless_use import StatelessUse
from torchkeras.layers.tracked_module import TrackedModule
from torchkeras.layers.training_mode import restore_training, set_training

_Tensor = torch.Tensor
_PLAIN = frozenset({int, float, bool, str, type(None)})


class Layer(LayerDtypes, TrackedModule, LayerLosses, LayerConfig, StatelessUse, Operation):
    """Base class of all layers: weights made when first needed, and a computation, `call`.

    A subclass sets its attributes in `__init__`, creates weights in `build(input_shape)` with
    `add_weight`, and computes in `call`. It is an ordinary `torch.nn.Module`; its weights are
    ordinary parameters and buffers.

    Args:
        activity_regularizer: regularizer of the output, by name or instance.
        trainable: bool, whether optimizers may update the weights.
        dtype: dtype name or DTypePolicy; None for the default policy.
        autocast: bool, whether float inputs are cast to the compute dtype.
        name: str without `/`; None for an automatic one.

    Raises:
        ValueError: an unknown keyword argument.

    Example:

    >>> class Scale(keras.layers.Layer):
    ...     def build(self, input_shape):
    ...         self.scale = self.add_weight(shape=input_shape[-1:], initializer="ones")
    ...     def call(self, x):
    ...         return x * self.scale
    >>> layer = Scale()
    >>> layer.weights
    []
    >>> layer(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    >>> [w.shape for w in layer.weights]
    [(3,)]
    """

    # What a class says of its symbols; everything else is found by tracing `call`. See
    # docs/layers.md.
    keeps_shape = False  # the output has the shape of the first argument
    keeps_dtype = False  # integers and booleans stay what they are

    # Whether `call` takes text: NumPy arrays of strings, which lists of strings are made into.
    takes_text = False

    # Whether `compute_mask` may give a mask where the inputs have none. A class with a
    # `compute_mask` of its own may, unless it says otherwise: then it keeps its fast path.
    _makes_masks = False

    _plain_attributes = TrackedModule._plain_attributes | {
        "_activity_regularizer",
        "_adds_losses",
        "_autocast",
        "_autocast_dtype",
        "_build_done",
        "_build_shapes",
        "_calls_quantized",
        "_building",
        "_built_from_config",
        "_compute_dtype",
        "_dtype_policy",
        "_fast",
        "_fits_spec",
        "_inbound_nodes",
        "_init_arguments",
        "_input_shape_arg",
        "_input_spec",
        "_input_torch_dtype",
        "_losses",
        "_lost_mask",
        "_outbound_nodes",
        "_own_policy",
        "_path",
        "_quantization_mode",
        "_remat_mode",
        "_supports_masking",
        "_trainable",
        "_weight_argument_names",
        "built",
        "name",
    }

    def __new__(cls, *args, **kwargs):
        layer = super().__new__(cls)
        remembers = getattr(cls.get_config, "_uses_init_arguments", False)
        layer._init_arguments = (args, kwargs) if remembers else None
        layer._losses = []
        layer._adds_losses = False
        layer._building = False
        layer._build_done = False
        layer._built_from_config = False
        layer._fits_spec = always
        layer.built = False
        return layer

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "compute_mask" in cls.__dict__ and "_makes_masks" not in cls.__dict__:
            cls._makes_masks = True
        if "build" in cls.__dict__:
            cls.build = _around_build(cls.__dict__["build"])
        set_entry_points(cls, Layer)
        if "call" in cls.__dict__ and callable(cls.__dict__["call"]):
            cls._call_spec = CallSpec(cls.__dict__["call"])

    def __init__(
        self,
        *,
        activity_regularizer=None,
        trainable=True,
        dtype=None,
        autocast=True,
        name=None,
        **kwargs,
    ):
        input_shape = kwargs.pop("input_shape", None)
        if "input_dim" in kwargs:
            input_shape = (kwargs.pop("input_dim"),)
        if kwargs:
            raise ValueError(
                f"{type(self).__name__} takes no such keyword arguments. Received: "
                f"{kwargs}. Check their spelling."
            )
        if not isinstance(trainable, bool):
            raise ValueError(
                f"`trainable` must be True or False. Received: trainable={trainable!r} of type "
                f"{type(trainable).__name__}."
            )
        self._init_operation(name)
        self._trainable = trainable
        self._autocast = autocast
        self._activity_regularizer = regularizers.get(activity_regularizer)
        self._input_shape_arg = None if input_shape is None else tuple(input_shape)
        self._path = None
        self._build_shapes = None
        state = self.__dict__  # a subclass may have set these ahead of super().__init__()
        state.setdefault("_input_spec", None)
        state.setdefault("_supports_masking", not is_default(type(self).compute_mask))
        self._set_policy(dtype_policies.get(dtype))

    __init__._is_default = True

    # Building

    def build(self, input_shape=None):
        """Create the weights for inputs of this shape; subclasses with weights override it.

        Args:
            input_shape: tuple with None for unknown sizes, or a structure of such tuples. A
                `build` with several parameters receives `<argument>_shape` for each tensor
                argument of `call`.
        """
        self._finish_build({} if input_shape is None else {"input_shape": input_shape})

    build._is_default = True  # a first call needs no build of its own: sublayers build themselves

    def _finish_build(self, build_shapes):
        if self.__dict__.get("_path") is None:
            self._set_path(self._path_here())
        if self.__dict__.get("_build_shapes") is None and build_shapes:
            self._build_shapes = build_shapes
        self.built = True
        if not self._trainable:
            for variable in self._own_variables():
                variable.trainable = False

    def _path_here(self):
        path = naming.current_path()
        if path.rpartition("/")[2] == self.name:
            return path
        return f"{path}/{self.name}" if path else self.name

    def _build_for(self, arguments, args, kwargs):
        """Build for the tensor arguments of a call, on the device they are on."""
        build = type(self).build
        if is_default(build):
            return
        device = next(
            (
                leaf.device
                for leaf in tree.flatten((args, kwargs))
                if isinstance(leaf, _Tensor) and leaf.device.type != "meta"
            ),
            None,
        )
        shape_kwargs = call_spec(build).shape_arguments(shapes_of(arguments))
        with config.device(device) if device is not None else contextlib.nullcontext():
            self.build(**shape_kwargs)

    def add_weight(
        self,
        shape=None,
        initializer=None,
        dtype=None,
        trainable=True,
        autocast=True,
        regularizer=None,
        constraint=None,
        aggregation="none",
        overwrite_with_gradient=False,
        name=None,
    ):
        """Create a weight of the layer and return its Variable.

        Args:
            shape: tuple of ints; None means a scalar.
            initializer: by name, instance or function; None means `"glorot_uniform"` for floats
                and `"zeros"` for integers and booleans.
            dtype: dtype name; None for the layer's variable dtype.
            trainable: bool, a parameter (True) or a buffer (False).
            autocast: bool, whether it is read in the compute dtype.
            regularizer: by name or instance.
            constraint: by name or instance; applied after each update.
            aggregation: how replicas combine it.
            overwrite_with_gradient: bool, whether the "gradient" is the new value itself.
            name: str; None to take the name of the attribute it is assigned to.

        Raises:
            ValueError: `shape` has an unknown size, or `build` is run a second time.

        Example:

        >>> layer = keras.layers.Layer(name="norm")
        >>> layer.add_weight(shape=(2,), initializer="ones", name="scale").path
        'norm/scale'
        """
        self._check_initialized()
        if self._building and self._build_done:
            raise ValueError(
                f"Layer '{self.name}' is built once: an optimizer may hold its weights. Received: "
                "a second call of `build`. Make a new layer, or use `set_weights`."
            )
        shape = () if shape is None else tuple([shape] if isinstance(shape, int) else shape)
        if any(size is None for size in shape):
            raise ValueError(
                f"A weight of layer '{self.name}' needs every size. Received: shape={shape} for "
                f"'{name}'. Give the input's sizes in Input(shape=...), or call the layer on data."
            )
        dtype = self.variable_dtype if dtype is None else dtype
        if initializer is None:
            initializer = "glorot_uniform" if is_float_dtype(dtype) else "zeros"
        with naming.name_scope(self.name, caller=self):
            variable = Variable(
                initializers.get(initializer),
                shape=shape,
                dtype=dtype,
                trainable=trainable,
                autocast=autocast,
                aggregation=aggregation,
                name=name,
            )
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._adopt(variable, self._free_slot(variable.name))
        return variable

    def add_variable(self, shape, initializer, dtype=None, trainable=True, name=None, **kwargs):
        """`add_weight`, under the name that metrics and optimizers have for it.

        Args:
            shape, initializer, dtype, trainable, name: as for `add_weight`.
            **kwargs: further ones of its arguments.

        Example:

        >>> keras.layers.Layer(name="norm").add_variable((2,), "ones", name="scale").path
        'norm/scale'
        """
        return self.add_weight(
            shape=shape,
            initializer=initializer,
            dtype=dtype,
            trainable=trainable,
            name=name,
            **kwargs,
        )

    def add_state(self, shape=(), initializer="zeros", dtype=None, name=None):
        """Create a variable that belongs to a run and not to the model, and return it.

        It is in `variables`, moves with the module and is carried by `stateless_call`, but it is
        no weight: not in `weights`, in `state_dict` or in the weights of a file. So are the states
        that a stateful recurrent layer hands from one batch to the next, and seeds.

        Args:
            shape: tuple of ints.
            initializer: by name, instance or function.
            dtype: dtype name; None for the layer's variable dtype.
            name: str; None to take the name of the attribute it is assigned to.

        Example:

        >>> layer = keras.layers.Layer(name="counter")
        >>> state = layer.add_state(shape=(2,), name="last")
        >>> len(layer.variables), len(layer.weights), list(layer.state_dict())
        (1, 0, [])
        """
        self._check_initialized()
        with naming.name_scope(self.name, caller=self):
            variable = Variable(
                initializers.get(initializer),
                shape=tuple(shape),
                dtype=self.variable_dtype if dtype is None else dtype,
                trainable=False,
                autocast=False,
                name=name,
            )
        variable.persistent = False
        self._adopt(variable, self._free_slot(variable.name))
        return variable

    # Calling

    def call(self, *args, **kwargs):
        """The computation; every layer defines its own."""
        raise NotImplementedError(
            f"Layer {type(self).__name__} must define a `call` method. Received: a call of layer "
            f"'{self.name}' without one."
        )

    call._is_default = True

    def forward(self, *args, **kwargs):
        """What `nn.Module.__call__` runs: `call`, with Keras's protocol around it.

        One plain tensor of the right dtype, or one list of them, given to a layer that is ready
        for it, goes straight to `call`; everything else takes the long way.
        """
        fast = self._fast
        if (
            len(args) == 1
            and not kwargs
            and fast.token is SCOPE.fast_token
            and fast.accepts(args[0])
        ):
            try:
                if fast.passes_training:
                    return self.call(args[0], training=self.training)
                return self.call(args[0])
            except Exception as error:
                self._note_error(error, args, kwargs)
                raise
        return self._keras_call(args, kwargs)

    forward._is_way_in = True
    _call_is_forward = False  # whether `call` is the `forward` of a class written for torch

    def _check_initialized(self):
        if "_dtype_policy" not in self.__dict__:
            raise RuntimeError(
                f"Layer {type(self).__name__} must call super().__init__() in its __init__. "
                "Received: a layer whose __init__ did not. Add the call as its first line."
            )

    def _keras_call(self, args, kwargs):
        """The long way: all that may be around a `call`."""
        self._check_initialized()
        spec = self._spec_of_call()
        training = spec.training_of(args, kwargs)
        if not spec.takes_training and not spec.has_var_keyword:
            kwargs.pop("training", None)
        if not self.built and isinstance(self._dtype_policy, DTypePolicyMap):
            self._set_path(self._path_here())  # the policy says to what inputs are converted
        args, kwargs = self._convert_arguments(args, kwargs)
        if any_symbolic(args, kwargs):
            return self._symbolic_call(spec, args, kwargs, training)
        settled = self._fast.token is SCOPE.token(self._autocast_dtype)
        if settled and torch.compiler.is_compiling():
            # No losses to clear, so that the depth does not matter, and the trace has no effects.
            return self._call_in_mode(spec, args, kwargs, training)
        if not settled and SCOPE.depth == 0 and SCOPE.stateless is None:
            self._clear_losses()
            if training is None and not torch.compiler.is_compiling():
                self._warn_of_shared_layers()
        SCOPE.depth += 1
        try:
            if settled:
                return self._call_in_mode(spec, args, kwargs, training)
            with naming.name_scope(self.name, caller=self):
                outputs = self._call_in_mode(spec, args, kwargs, training)
        finally:
            SCOPE.depth -= 1
        SCOPE.follow_tokens()
        self._decide_fast_path(spec)
        return outputs

    def _spec_of_call(self):
        call = type(self).call
        spec = self._call_spec
        # Another one where somebody has put a function of his own in the place of `call`.
        return spec if spec.function is call else call_spec(call)

    def _call_in_mode(self, spec, args, kwargs, training):
        try:
            if training is None:
                return self._build_and_run(spec, args, kwargs)
            changed = set_training(self, bool(training))
            try:
                return self._build_and_run(spec, args, kwargs)
            finally:
                restore_training(changed)
        except Exception as error:
            self._note_error(error, args, kwargs)
            raise

    def _build_and_run(self, spec, args, kwargs):
        """Check, build, fill in masks and training, run `call`, attach the mask."""
        first = args[0] if args else next(iter(kwargs.values()), None)
        self._check_input(first)
        arguments = None
        if not self.built:
            arguments = spec.bind(args, kwargs)
            self._build_for(arguments, args, kwargs)
            self._check_input(first)
        kwargs, mask = find_masks(spec, args, kwargs)
        if spec.takes_training and spec.training_of(args, kwargs) is None:
            args, kwargs = spec.with_training(args, kwargs, self.training)
        call = self.call
        if self._calls_quantized:
            call = self.quantized_call
        elif self._remat_mode is not None:
            call = recomputing_call(self)
        # A layer of one dtype inside a mixed one must read its weights as they are.
        if self._autocast_dtype is not None and self._mixes_foreign_modules():
            with autocast_scope(self._autocast_dtype), self._torch_autocast(first):
                outputs = call(*args, **kwargs)
        elif SCOPE.autocast is self._autocast_dtype:
            outputs = call(*args, **kwargs)
        else:
            with autocast_scope(self._autocast_dtype):
                outputs = call(*args, **kwargs)
        if not self.built:
            self._finish_build(shapes_of(arguments))
        if self._activity_regularizer is not None:
            self._add_activity_losses(outputs)
        if self._supports_masking:
            if self._makes_masks or any_mask(mask):
                attach_mask(self, first, outputs, mask_of(first) if mask is None else mask)
        elif mask is not None and any_mask(mask_of(first)):  # not one given as `mask=`
            warn_of_lost_mask(self)
        return outputs

    def _check_input(self, first):
        if self._input_spec is not None:
            if type(first) is not _Tensor or not self._fits_spec(first):
                assert_input_compatibility(self._input_spec, first, self.name)

    def _convert_arguments(self, args, kwargs):
        """Arrays as tensors and floats in the compute dtype, leaving all else alone."""
        args = tuple([x if type(x) in _PLAIN else self._convert_each(x) for x in args])
        for key, x in kwargs.items():
            if type(x) not in _PLAIN:
                kwargs[key] = self._convert_each(x)
        return args, kwargs

    def _convert_each(self, x):
        if isinstance(x, _Tensor):
            return self._convert(x)
        if is_text(x):
            return self._convert_text(x)
        if type(x) is list:
            return [self._convert_each(item) for item in x]
        return tree.map_structure(self._convert_leaf, x) if tree.is_nested(x) else self._convert(x)

    def _convert_leaf(self, x):
        if isinstance(x, np.ndarray) and is_text(x):
            return self._convert_text(x)
        return self._convert(x)  # a lone string is an option, not data

    def _convert(self, x):
        dtype = self._input_torch_dtype
        if isinstance(x, _Tensor):
            if dtype is None or x.dtype is dtype or not x.is_floating_point():
                return x
            y = x.to(dtype)
            mask = getattr(x, "_keras_mask", None)
            if mask is not None:
                y._keras_mask = mask
            return y
        if isinstance(x, KerasTensor) or not is_tensor_like(x):
            return x
        if isinstance(x, Variable):
            return self._convert(x.value)
        device = next((p.device for p in self.parameters()), None)
        with config.device(device) if device is not None else contextlib.nullcontext():
            return self._convert(convert_to_tensor(x))

    def _convert_text(self, x):
        if self.takes_text or self._modules:  # a layer of layers hands it on
            return as_text(x)
        if isinstance(x, (list, tuple)):
            return x  # as lists of numbers are: a `call` of one's own may know what to do
        raise ValueError(
            f"Layer '{self.name}' of class {type(self).__name__} computes with numbers. Received: "
            f"text, {describe(x)}. Put a layer that reads text in front of it, such as "
            "keras.layers.StringLookup."
        )

    def compute_mask(self, inputs, previous_mask):
        """The mask of the output, from the inputs and their mask (here: the same mask)."""
        return previous_mask

    compute_mask._is_default = True

    @property
    def supports_masking(self):
        """Whether the mask of the input passes on to the output."""
        return self._supports_masking

    @supports_masking.setter
    def supports_masking(self, value):
        self._supports_masking = bool(value)
        self._fast = UNSETTLED

    @property
    def input_spec(self):
        """InputSpec, or structure of them, that inputs must fit; None for anything."""
        return self._input_spec

    @input_spec.setter
    def input_spec(self, value):
        self._input_spec = value
        self._fits_spec = _quick_check(value)
        self._fast = UNSETTLED

    def _decide_fast_path(self, spec):
        """Find out whether calls may skip parts of the protocol from now on."""
        fast = fast_path_of(self, spec)
        if fast is not UNSETTLED:
            self._fast = fast

    def _note_error(self, error, args, kwargs):
        if hasattr(error, "add_note") and not any(
            "while calling layer" in note for note in getattr(error, "__notes__", ())
        ):
            given = describe(args[0]) if len(args) == 1 else describe(list(args))
            error.add_note(
                f"This happened while calling layer '{self.__dict__.get('name')}' of class "
                f"{type(self).__name__} on an input of {given}."
            )

    # Symbolic calls and shapes

    def _symbolic_call(self, spec, args, kwargs, training):
        first = args[0] if args else next(iter(kwargs.values()), None)
        self._check_input(first)
        changed = [] if training is None else set_training(self, bool(training))
        try:
            with naming.name_scope(self.name, caller=self):
                if not self.built:
                    self._build_for(spec.bind(args, kwargs), args, kwargs)
                    self._check_input(first)
                outputs = self.compute_output_spec(*args, **kwargs)
        except Exception as error:
            self._note_error(error, args, kwargs)
            raise
        finally:
            restore_training(changed)
        if not self.built:
            self._finish_build(shapes_of(spec.bind(args, kwargs)))
        if not SCOPE.spec:
            # An explicit mode is part of the graph: `base(x, training=False)` stays in inference.
            # That of a layer which trains by itself is none: Keras's files have it for each.
            with_mode = {k: v for k, v in kwargs.items() if k != "training"}
            if training is not None and not (training and self._trains_by_itself):
                with_mode["training"] = training
            Node(self, args, with_mode, outputs)
            self._decide_fast_path(spec)
        return outputs

    def symbolic_call(self, *args, **kwargs):
        """Record a call on KerasTensors and return its symbols."""
        return self(*args, **kwargs)

    def compute_output_spec(self, *args, **kwargs):
        """KerasTensors of the shapes and dtypes that a call will give.

        A class that says what its outputs are, by `keeps_shape` or `compute_output_shape`, is
        taken at its word; for any other, `call` runs on tensors without data. Override it only
        where the outputs depend on more than shapes.
        """
        return output_symbols(self, self._spec_of_call(), args, kwargs)

    def compute_output_shape(self, input_shape):
        """Shape of the output for an input of this shape, None where a size is unknown.

        Args:
            input_shape: tuple, or structure of tuples, with None for unknown sizes.
        """
        if self.keeps_shape:
            return input_shape
        inputs = tree.map_shape_structure(
            lambda shape: KerasTensor(shape, self.compute_dtype), input_shape
        )
        outputs = infer_output(self, self._spec_of_call(), (inputs,), {})
        return tree.map_structure(lambda symbol: symbol.shape, outputs)

    compute_output_shape._is_default = True

    # Configs

    @property
    def path(self):
        """Names of the layers around it and its own, joined by `/`; None before it is built."""
        return self.__dict__.get("_path")

    def _name_scope(self):
        return naming.name_scope(self.name, caller=self)

    def __getstate__(self):
        state = self.__dict__.copy()
        state.update(_fast=UNSETTLED, _fits_spec=always, _losses=[])
        # A copy of one layer must not drag the models it is part of along.
        state.update(_inbound_nodes=[], _outbound_nodes=[])
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        self._fits_spec = _quick_check(state.get("_input_spec"))  # which cannot be copied

    def __repr__(self):
        return f"<{type(self).__name__} name={self.__dict__.get('name')}, built={self.built}>"

    def __str__(self):
        return repr(self)


Layer._call_spec = CallSpec(Layer.call)


def _around_build(build):
    """`build` in the layer's name scope, remembering its shapes; once for a chain of supers."""

    spec = CallSpec(build)

    @functools.wraps(build)
    def wrapper(self, *args, **kwargs):
        if self._building:
            return build(self, *args, **kwargs)
        self._check_initialized()
        if self._built_from_config:
            # A wrapper was loaded from a file, and builds the layer that came with its weights.
            self._built_from_config = False
            with naming.name_scope(self.name, caller=self):
                self._move_path(naming.current_path())
            return
        self._building = True
        # What a build records, such as the graph of a stack, is to last.
        in_spec, SCOPE.spec = SCOPE.spec, False
        try:
            with naming.name_scope(self.name, caller=self):
                self._set_path(naming.current_path())
                build(self, *args, **kwargs)
        finally:
            SCOPE.spec = in_spec
            self._building = False
        self._build_done = True
        self._finish_build(spec.bind(args, kwargs))

    return wrapper


def _quick_check(spec):
    """A function that is True for tensors that surely fit a spec, or structure of specs."""
    return never if spec is None or tree.is_nested(spec) else spec.quick_check()
