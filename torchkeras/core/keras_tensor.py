"""KerasTensor: the symbol that flows through layers and ops while a functional model is defined.

Part of one idea, with operation.py and shapes.py: see operation.py.
"""

import torch
from torch import nn

from torchkeras.core import naming
from torchkeras.core.arguments import leaves_of
from torchkeras.core.dtypes import NAME_TO_TORCH, standardize_dtype
from torchkeras.core.scopes import SCOPE


class _NotIterable(TypeError, NotImplementedError):
    """What iterating over a symbol raises: the one by Python's habit, the other by Keras's."""


class KerasTensor:
    """Shape and dtype of a tensor that does not exist yet, and the operation that will make it.

    Args:
        shape: tuple of ints; None for a size that is not known.
        dtype: name of the dtype.
        sparse: bool, kept for Keras's signature; torchkeras has no sparse symbols.
        ragged: bool, likewise.
        record_history: bool, whether an operation may be recorded as its source.
        name: str or None for an automatic name.

    Example:

    >>> x = keras.Input((3,), name="x")
    >>> x.shape, x.dtype
    ((None, 3), 'float32')
    >>> (x + 1).shape
    (None, 3)
    """

    _is_symbolic = True

    def __init__(
        self,
        shape,
        dtype=None,
        sparse=False,
        ragged=False,
        record_history=True,
        name=None,
    ):
        if sparse or ragged:
            raise ValueError(
                "KerasTensor supports dense tensors only. Received: "
                f"sparse={sparse}, ragged={ragged}."
            )
        self._shape = _standardize_shape(shape)
        self._dtype = standardize_dtype(dtype)
        self.sparse = False
        self.ragged = False
        # Symbols of a spec scope are many and soon forgotten: they count in no names.
        self.name = name or ("symbol" if SCOPE.spec else naming.auto_name(type(self).__name__))
        self.record_history = record_history
        self._keras_mask = None

    @property
    def shape(self):
        """Shape as a tuple, None where the size is open. It cannot be set."""
        return self._shape

    @shape.setter
    def shape(self, value):
        raise AttributeError(
            "The shape of a KerasTensor cannot be set. Received: "
            f"shape={value} for '{self.name}'. Use keras.ops.reshape(x, new_shape)."
        )

    @property
    def dtype(self):
        """Name of the dtype (inside `spec_scope` the torch dtype). It cannot be set."""
        return NAME_TO_TORCH.get(self._dtype, self._dtype) if SCOPE.spec else self._dtype

    @dtype.setter
    def dtype(self, value):
        raise AttributeError(
            "The dtype of a KerasTensor cannot be set. Received: "
            f"dtype={value} for '{self.name}'. Use keras.ops.cast(x, dtype)."
        )

    @property
    def ndim(self):
        """Number of axes."""
        return len(self._shape)

    def dim(self):
        """Number of axes, under torch's name."""
        return len(self._shape)

    def size(self, dim=None):
        """Shape, or the size of one axis, under torch's name; None where it is open."""
        return self._shape if dim is None else self._shape[dim]

    def __repr__(self):
        return (
            f"<KerasTensor shape={self._shape}, dtype={self._dtype}, sparse=False, "
            f"ragged=False, name={self.name}>"
        )

    def __len__(self):
        size = self._shape[0] if self._shape else None
        if size is None:
            raise TypeError(f"The length of a symbolic tensor is not known. Received: {self!r}.")
        return size

    def __iter__(self):
        raise _NotIterable(
            f"A symbolic tensor cannot be iterated over (as in Keras). Received: {self!r}. Use "
            "keras.ops.unstack, slices `x[:, 0]`, keras.ops.scan or keras.ops.map."
        )

    def __bool__(self):
        raise TypeError(
            f"A symbolic tensor has no truth value. Received: {self!r}. Use keras.ops.where or "
            "keras.ops.cond to choose by its value."
        )

    def __array__(self, *args, **kwargs):
        raise ValueError(
            f"A symbolic tensor has no values to put into a NumPy array. Received: {self!r}. "
            "Use a function of keras.ops instead of the NumPy one."
        )

    def __float__(self):
        raise TypeError(f"A symbolic tensor has no value. Received: {self!r}.")

    __int__ = __float__
    __index__ = __float__
    __array_priority__ = 100  # so that `ndarray + KerasTensor` asks the KerasTensor

    def __getattr__(self, name):
        """Tensor methods (`x.mean(dim=1)`, `x.view(...)`) become steps of the model."""
        if name == "device" and SCOPE.spec:
            return torch.device("meta")
        method = None if name.startswith("_") else getattr(torch.Tensor, name, None)
        if not callable(method):
            raise AttributeError(f"'KerasTensor' object has no attribute '{name}'")

        from torchkeras.core.operation import call_torch

        def record(*args, **kwargs):
            return call_torch(method, (self, *args), kwargs)

        return record

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        from torchkeras.core.operation import call_torch

        kwargs = kwargs or {}
        if not SCOPE.spec and any(
            isinstance(leaf, nn.Parameter) for leaf in leaves_of((args, kwargs))
        ):
            raise ValueError(
                "A torch module was called on a symbolic tensor: "
                f"{torch.overrides.resolve_name(func)} received an nn.Parameter with it, and "
                "the model could not find that weight again. Wrap the module: "
                "keras.layers.TorchModuleWrapper(module)(x)."
            )
        return call_torch(func, args, kwargs)


def _standardize_shape(shape):
    if isinstance(shape, int):
        shape = (shape,)
    if shape is None or not all(d is None or isinstance(d, int) or d == int(d) for d in shape):
        raise ValueError(f"`shape` must be a tuple of ints and Nones. Received: shape={shape}.")
    shape = tuple(None if d is None else int(d) for d in shape)
    if any(d is not None and d < 0 for d in shape):
        raise ValueError(f"`shape` cannot hold negative sizes. Received: shape={shape}.")
    return shape


# Every function of keras.ops by its name: `op` in operation.py enters it, and the operators of
# KerasTensor and Variable and saved graphs look here.
OPS = {}

# Python's names of the operators of two operands, and the ops behind them.
OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "mod",
    "pow": "power",
    "matmul": "matmul",
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
}


def _apply_op(name, *args):
    return OPS[name](*args)


def _define_operators():
    def binary(op_name, reflected):
        def method(self, other):
            args = (other, self) if reflected else (self, other)
            return _apply_op(op_name, *args)

        return method

    def unary(op_name):
        return lambda self: _apply_op(op_name, self)

    for python_name, op_name in OPERATORS.items():
        setattr(KerasTensor, f"__{python_name}__", binary(op_name, False))
        setattr(KerasTensor, f"__r{python_name}__", binary(op_name, True))
    comparisons = {
        "lt": "less",
        "le": "less_equal",
        "gt": "greater",
        "ge": "greater_equal",
        "eq": "equal",
        "ne": "not_equal",
    }
    for python_name, op_name in comparisons.items():
        setattr(KerasTensor, f"__{python_name}__", binary(op_name, False))
    for python_name, op_name in {
        "neg": "negative",
        "abs": "absolute",
        "invert": "logical_not",
    }.items():
        setattr(KerasTensor, f"__{python_name}__", unary(op_name))
    KerasTensor.__round__ = lambda self, ndigits=None: _apply_op("round", self, ndigits or 0)
    KerasTensor.__getitem__ = lambda self, index: _apply_op("get_item", self, index)
    KerasTensor.__hash__ = object.__hash__


_define_operators()


def is_keras_tensor(x):
    """Whether `x` is a symbolic KerasTensor.

    Example:

    >>> keras.utils.is_keras_tensor(keras.Input((2,)))
    True
    """
    return isinstance(x, KerasTensor)
