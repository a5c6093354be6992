"""Operation, the unit of a graph; Node, one use of it; `@op`, which makes a function one.

Layers, functions of `keras.ops` and raw torch functions all end up as Operations when they
are called on KerasTensors.

Symbols and operations are one idea in three files: an operator of a KerasTensor (keras_tensor.py)
is an Operation, whose call finds the shapes of its results (shapes.py) and gives KerasTensors. So
they import each other, keras_tensor.py the others inside its methods.
"""

import functools
import inspect
import math

import torch

from torchkeras.core import naming, shapes
from torchkeras.core.arguments import any_symbolic, leaves_of, map_leaves, symbols_of
from torchkeras.core.init_arguments import config_of_arguments
from torchkeras.core.keras_tensor import OPS, KerasTensor
from torchkeras.core.op_specs import explained, op_spec, torch_spec
from torchkeras.core.remat import recomputing_call
from torchkeras.core.scopes import SCOPE, spec_scope
from torchkeras.core.serialization import deserialize_keras_object


class Node:
    """One use of an operation: its arguments and the symbols it gave.

    Attributes:
        operation: the Operation.
        args, kwargs: its arguments, with KerasTensors where tensors will be.
        outputs: list of KerasTensors.
    """

    def __init__(self, operation, args, kwargs, outputs):
        self.operation = operation
        self.args = args
        self.kwargs = kwargs
        self.input_tensors = symbols_of((args, kwargs))
        self.outputs = symbols_of(outputs)
        index = len(operation._inbound_nodes)
        for i, tensor in enumerate(self.outputs):
            tensor._keras_history = KerasHistory(operation, index, i)
        operation._inbound_nodes.append(self)
        for parent in {id(n): n for n in self.parent_nodes}.values():
            parent.operation._outbound_nodes.append(self)

    @property
    def parent_nodes(self):
        """Nodes whose outputs this one takes."""
        histories = [getattr(x, "_keras_history", None) for x in self.input_tensors]
        return [h.operation._inbound_nodes[h.node_index] for h in histories if h is not None]

    @property
    def is_input(self):
        """Whether the node is an InputLayer's: it takes nothing."""
        return not self.input_tensors

    def __repr__(self):
        return f"<Node operation={self.operation.name}, outputs={self.outputs}>"


class KerasHistory:
    """Where a KerasTensor comes from: operation, which of its calls, which output."""

    __slots__ = ("operation", "node_index", "tensor_index")

    def __init__(self, operation, node_index, tensor_index):
        self.operation = operation
        self.node_index = node_index
        self.tensor_index = tensor_index

    def __iter__(self):
        return iter((self.operation, self.node_index, self.tensor_index))


class Operation:
    """A computation that runs on tensors and is recorded when called on KerasTensors.

    Subclass it with a `call` method for a stateless operation of your own. `Layer` is the
    stateful kind.

    Args:
        name: str without `/`; None for an automatic one.

    Example:

    >>> class Double(keras.Operation):
    ...     def call(self, x):
    ...         return 2 * x
    >>> Double()(torch.ones(2))
    tensor([2., 2.])
    >>> Double()(keras.Input((3,))).shape
    (None, 3)
    """

    _remat_mode = None  # the RematMode of the scope it was made in
    _recomputes_whole = True  # in such a scope; False where its layers do, each for itself
    _init_arguments = None

    def __new__(cls, *args, **kwargs):
        operation = super().__new__(cls)
        if args or kwargs:
            operation.__dict__["_init_arguments"] = (args, kwargs)
        return operation

    def __init__(self, name=None):
        self._init_operation(name)

    def _init_operation(self, name):
        if SCOPE.remat:
            self._remat_mode = SCOPE.remat[-1]
        name = naming.auto_name(type(self).__name__) if name is None else name
        if not isinstance(name, str) or "/" in name:
            raise ValueError(
                f"`name` must be a string without '/'. Received: name={name!r} "
                f"for {type(self).__name__}."
            )
        self.name = name
        self._inbound_nodes = []
        self._outbound_nodes = []

    def __call__(self, *args, **kwargs):
        if any_symbolic(args, kwargs):
            return self.symbolic_call(*args, **kwargs)
        if self._remat_mode is not None:
            return recomputing_call(self)(*args, **kwargs)
        return self.call(*args, **kwargs)

    def call(self, *args, **kwargs):
        """The computation on tensors; every operation defines its own."""
        raise NotImplementedError(
            f"{type(self).__name__} must define a `call` method to be used. Received: none."
        )

    def symbolic_call(self, *args, **kwargs):
        """Record the call as a Node (not so inside `spec_scope`) and return its symbols."""
        outputs = self.compute_output_spec(*args, **kwargs)
        if not SCOPE.spec:
            Node(self, args, kwargs, outputs)
        return outputs

    def compute_output_spec(self, *args, **kwargs):
        """KerasTensors of the shapes and dtypes that `call` will give."""
        return shapes.infer(self.call, args, kwargs)

    def _output_size(self, args, kwargs):
        """Number of elements in the outputs of a call, found once for each shape of the inputs."""
        tensors = [x for x in leaves_of((args, kwargs)) if isinstance(x, torch.Tensor)]
        shapes_and_dtypes = tuple((tuple(x.shape), x.dtype) for x in tensors)
        sizes = self.__dict__.setdefault("_output_sizes", {})
        if shapes_and_dtypes not in sizes:

            def as_symbol(x):
                return KerasTensor(tuple(x.shape), x.dtype) if isinstance(x, torch.Tensor) else x

            with spec_scope():
                args, kwargs = map_leaves(as_symbol, (args, kwargs))
                outputs = symbols_of(self.compute_output_spec(*args, **kwargs))
            sizes[shapes_and_dtypes] = sum(math.prod(y.shape) for y in outputs)
        return sizes[shapes_and_dtypes]

    @property
    def input(self):
        """Symbol, or structure of symbols, the operation was first called on."""
        node = self._first_node("input")
        args, kwargs = node.args, node.kwargs
        if len(args) == 1 and not symbols_of(kwargs):
            return args[0]
        return node.input_tensors[0] if len(node.input_tensors) == 1 else node.input_tensors

    @property
    def output(self):
        """Symbol, or list of symbols, the operation gave at its first call."""
        outputs = self._first_node("output").outputs
        return outputs[0] if len(outputs) == 1 else outputs

    def _first_node(self, what):
        if not self._inbound_nodes:
            raise AttributeError(
                f"'{self.name}' has no symbolic {what} yet. Received: an operation never called on "
                "symbolic tensors. Call it on a keras.Input."
            )
        return self._inbound_nodes[0]

    def get_config(self):
        """Arguments that make the operation again.

        A subclass that takes only numbers, strings and the like need not override it: the
        arguments it was made with are remembered.

        Raises:
            NotImplementedError: an argument cannot be described in a config.
        """
        base = {"name": self.name}
        # A subclass that adds to it knows its arguments.
        if type(self).get_config is not Operation.get_config or type(self) is Operation:
            return base
        return config_of_arguments(self, *(self._init_arguments or ((), {})), base)

    @classmethod
    def from_config(cls, config):
        """The operation that `get_config` described."""
        if cls.get_config is Operation.get_config:
            config = {key: deserialize_keras_object(value) for key, value in config.items()}
        return cls(**config)

    def __repr__(self):
        return f"<Operation name={self.name}>"


# Keras's names of the classes behind its functions, where they are not the words in camel case.
_CLASS_NAMES = {
    "abs": "Absolute",
    "allclose": "AllClose",
    "batch_normalization": "BatchNorm",
    "cdist": "CDist",
    "conj": "Conjugate",
    "ctc_decode": "CTCDecode",
    "ctc_loss": "CTCLoss",
    "fft": "FFT",
    "fft2": "FFT2",
    "hsv_to_rgb": "HSVToRGB",
    "ifft2": "IFFT2",
    "irfft": "IRFFT",
    "isin": "IsIn",
    "istft": "ISTFT",
    "jvp": "JVP",
    "layer_normalization": "LayerNorm",
    "psnr": "PSNR",
    "rfft": "RFFT",
    "rgb_to_grayscale": "RGBToGrayscale",
    "rgb_to_hsv": "RGBToHSV",
    "rms_normalization": "RMSNorm",
    "searchsorted": "SearchSorted",
    "ssim": "SSIM",
    "stft": "STFT",
    "svd": "SVD",
}


def class_name_of(op_name):
    """Name of Keras's class for a function of `keras.ops`."""
    words = op_name.split("_")
    return _CLASS_NAMES.get(op_name) or "".join(word.capitalize() for word in words)


class FunctionOperation(Operation):
    """A function of `keras.ops` as a step of a graph."""

    @property
    def class_name(self):
        """Name of Keras's class for the function: `"ExpandDims"` for `expand_dims`."""
        return class_name_of(self.op_name)

    def __init__(self, op_name, name=None):
        self.op_name = op_name
        self.call = OPS[op_name]._run
        self._init_operation(name or naming.auto_name(op_name))

    def get_config(self):
        """Its name; what it was called with is in the config of the call."""
        return {"name": self.name}

    def compute_output_spec(self, *args, **kwargs):
        return op_spec(OPS[self.op_name], args, kwargs)

    def __reduce__(self):
        return FunctionOperation, (self.op_name, self.name)


class TorchFunction(Operation):
    """A raw torch function, such as `torch.relu` or `Tensor.view`, as a step of a graph."""

    def __init__(self, function, name=None):
        self.call = function
        short = getattr(function, "__name__", "torch_function").strip("_")
        if short in ("get", "set"):  # the getter of a Tensor property
            short = getattr(getattr(function, "__self__", None), "__name__", short)
        self._init_operation(name or naming.auto_name(short))

    def get_config(self):
        """Its name; the function is in the config of the step."""
        return {"name": self.name}

    def compute_output_spec(self, *args, **kwargs):
        return torch_spec(self.call, args, kwargs)


def call_torch(function, args, kwargs):
    """Record a raw torch function that was called on symbols, and return its symbols."""
    if getattr(function, "__name__", "") == "__get__":
        raise AttributeError(
            "This tensor attribute cannot be a step of a model. Received: "
            f"{torch.overrides.resolve_name(function)}."
        )
    if SCOPE.spec:
        return torch_spec(function, args, kwargs)
    return TorchFunction(function)(*args, **kwargs)


def op(function=None, *, name=None, shape=None, dtype=None, spec=None):
    """Make a plain function on tensors a function of `keras.ops`.

    Called on tensors it simply runs (about 0.1 µs more), and where it fails and its shape rule
    knows why, the error is that of the rule; on KerasTensors it is recorded as a Node, with the
    shapes and dtypes that its rules give.

    Args:
        function: the function; its name is the one in `keras.ops`.
        name: another name, or None.
        shape: function of the same arguments that gives the shape of the result, or a list or
            tuple of shapes; it raises `Misfit` where they do not fit. None to run the function
            on tensors without data.
        dtype: name of the dtype of the result, or function of the arguments that gives it. None
            to run the function on tensors of size 1, once for given dtypes and settings.
        spec: function of the arguments that gives KerasTensors, in place of `shape`.

    Example:

    >>> from torchkeras.core.operation import op
    >>> @op(shape=lambda x: x.shape)
    ... def twice_example(x):
    ...     return x * 2
    >>> twice_example(keras.Input((3,))).shape
    (None, 3)
    """
    if function is None:
        return functools.partial(op, name=name, shape=shape, dtype=dtype, spec=spec)
    name = name or function.__name__

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        if any_symbolic(args, kwargs):
            if SCOPE.spec:
                return op_spec(wrapper, args, kwargs)
            return FunctionOperation(name).symbolic_call(*args, **kwargs)
        try:
            return function(*args, **kwargs)
        except (RuntimeError, ValueError, IndexError) as error:
            told = explained(error, wrapper, args, kwargs)
            if told is None:
                raise
            raise told from error

    wrapper._run = function
    wrapper._op_name, wrapper._shape, wrapper._dtype, wrapper._spec = name, shape, dtype, spec
    wrapper.__signature__ = inspect.signature(function)
    OPS[name] = wrapper
    return wrapper


def op_names(module, *others):
    """Names of the ops that a module defines, with others it gives, for its `__all__`."""
    return sorted([name for name, f in OPS.items() if f._run.__module__ == module] + list(others))
