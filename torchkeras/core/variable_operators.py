"""The operators of a Variable: those of `keras.ops`, and in-place ones that assign."""

import sys

import numpy as np
import torch
from torch import nn

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.keras_tensor import OPERATORS, OPS
from torchkeras.core.scopes import SCOPE


def define_operators(cls):
    """Give Variable its operators: those of `keras.ops`, which promote as Keras does.

    `&`, `|` and `^` are logical. In-place operators write to the variable; see `_write_result`.
    """

    def binary(op_name, reflected=False):
        def method(self, other):
            if type(other) not in _READY:
                if getattr(type(other), "_is_symbolic", False):
                    return NotImplemented  # the symbol's own operator records it
                other = _operand(other, self)
            op = OPS[op_name]
            return op(other, self.value) if reflected else op(self.value, other)

        return method

    def comparison(name):
        def method(self, other):
            if getattr(type(other), "_is_symbolic", False):
                return NotImplemented
            if type(other) in (list, tuple):
                other = np.asarray(unwrap(other))
            return getattr(self.value, name)(_operand(other, self))

        return method

    def in_place(op_name):
        def method(self, other):
            if getattr(type(other), "_is_symbolic", False) or (self.trainable and _in_a_call()):
                return NotImplemented  # so that Python takes the operator that makes a new tensor
            return self._write_result(OPS[op_name](self._store[self._key], _operand(other, self)))

        return method

    def unary(name):
        return lambda self: getattr(self.value, name)()

    for name, op_name in OPERATORS.items():
        methods = {
            f"__{name}__": binary(op_name),
            f"__r{name}__": binary(op_name, reflected=True),
            f"__i{name}__": in_place(op_name),
        }
        for method_name, method in methods.items():
            method.__name__ = method_name
            setattr(cls, method_name, method)
    for name in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"):
        method = comparison(name)
        method.__name__ = name
        setattr(cls, name, method)
    cls.__pos__ = lambda self: self.value
    for name in ("__neg__", "__abs__", "__invert__"):
        method = unary(name)
        method.__name__ = name
        setattr(cls, name, method)


# Operands that an op takes as they are.
_READY = frozenset({torch.Tensor, nn.Parameter, int, float, bool})


def _operand(x, variable):
    if isinstance(x, np.ndarray):  # else NumPy would answer, without a gradient
        return convert_to_tensor(x).to(variable._store[variable._key].device)
    return unwrap(x)


def _in_a_call():
    """Whether a layer or module is being called.

    There, code written for Keras says `kernel *= mask` of a local name, and means a new tensor.
    """
    if torch.compiler.is_compiling() or SCOPE.meta:
        return True
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _CALL:
            return True
        frame = frame.f_back
    return False


_CALL = nn.Module._call_impl.__code__


def unwrap(x):
    """`x` with the tensors of Variables in their place, in lists, tuples and dicts too."""
    if getattr(type(x), "_is_variable", False):
        return x.value
    if type(x) in (list, tuple):
        return type(x)([unwrap(item) for item in x])
    if type(x) is dict:
        return {key: unwrap(item) for key, item in x.items()}
    return x
