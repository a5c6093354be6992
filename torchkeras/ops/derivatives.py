"""Gradients of one's own, and derivatives along a direction."""

import functools
import inspect
import warnings

import torch

from torchkeras.core import shapes, tree
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import Operation, op
from torchkeras.ops import loop_specs as specs


def custom_gradient(f):
    """A function whose gradient is computed by code of its own: a decorator.

    Args:
        f: function of tensors that returns `(result, grad)`. `grad` is called with the keyword
            argument `upstream`, the gradient of the result (a tuple of them where there are
            several results), and with the arguments of `f` before it if it takes any, as in Keras
            on torch; or with `upstream` alone, as in Keras on TensorFlow and JAX. It returns the
            gradient of each argument, one or a tuple; None for none.

    Example:

    >>> @keras.ops.custom_gradient
    ... def clipped_gradient(x):
    ...     def grad(*args, upstream):
    ...         return keras.ops.clip(upstream, -1.0, 1.0)
    ...     return x * 10.0, grad
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> clipped_gradient(x).backward()
    >>> x.grad
    tensor(1.)
    """
    if not callable(f):
        raise TypeError(f"`f` must be a function. Received: f={f}.")
    operation = _OwnGradient(f)

    @functools.wraps(f)
    def function(*args, **kwargs):
        return operation(*args, **kwargs)

    return function


class _OwnGradient(Operation):
    """The call of a function with its own gradient."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def call(self, *args, **kwargs):
        args = [x._as_tensor() if hasattr(x, "_as_tensor") else x for x in args]
        structure = []
        flat = _Gradient.apply(self._function, kwargs, structure, *args)
        return tree.pack_sequence_as(structure[0], flat)

    def compute_output_spec(self, *args, **kwargs):
        return shapes.infer(lambda *a, **k: self._function(*a, **k)[0], args, kwargs)


class _Gradient(torch.autograd.Function):
    """A forward pass that says how to go back."""

    @staticmethod
    def forward(ctx, function, kwargs, structure, *args):
        result = function(*args, **kwargs)
        if not isinstance(result, (tuple, list)) or len(result) != 2 or not callable(result[1]):
            raise ValueError(
                "The function must return a pair: its result, and a function that computes the "
                f"gradient. Received: {type(result).__name__}."
            )
        result, ctx.grad = result
        structure.append(result)
        ctx.others = [None if isinstance(x, torch.Tensor) else x for x in args]
        ctx.save_for_backward(*[x for x in args if isinstance(x, torch.Tensor)])
        ctx.are_tensors = [isinstance(x, torch.Tensor) for x in args]
        # An argument that is handed back unchanged would be taken for one written in place.
        return tuple(
            x.view_as(x) if any(x is arg for arg in args) else x
            for x in map(convert_to_tensor, tree.flatten(result))
        )

    @staticmethod
    def backward(ctx, *upstream):
        saved = iter(ctx.saved_tensors)
        args = [
            next(saved) if is_tensor else other
            for is_tensor, other in zip(ctx.are_tensors, ctx.others, strict=True)
        ]
        upstream = upstream[0] if len(upstream) == 1 else upstream
        grads = _called(ctx.grad, args, upstream)
        grads = tuple(grads) if isinstance(grads, (tuple, list)) else (grads,)
        if len(grads) != len(args):
            raise ValueError(
                "The gradient function must return a gradient for each argument. Received: "
                f"{len(grads)} for {len(args)} arguments."
            )
        return None, None, None, *grads


def _called(grad, args, upstream):
    """`grad` called in the form that its signature asks for."""
    parameters = inspect.signature(grad).parameters.values()
    kinds = [p.kind for p in parameters]
    takes_all = inspect.Parameter.VAR_POSITIONAL in kinds
    named = any(p.name == "upstream" for p in parameters)
    positional = [p for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    if named and (takes_all or len(positional) > 1):
        return grad(*args, upstream=upstream)
    if named:
        return grad(upstream=upstream)
    if isinstance(upstream, tuple) and (takes_all or len(positional) > 1):
        return grad(*upstream)
    return grad(upstream)


_LOADED = []


def _load_forward_mode():
    """Let torch load its rules without the warning of a deprecation that it gives itself."""
    if not _LOADED and not torch.compiler.is_compiling():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            with torch.autograd.forward_ad.dual_level():
                torch.autograd.forward_ad.make_dual(torch.zeros(()), torch.zeros(()))
        _LOADED.append(True)


@op(spec=specs.jvp)
def jvp(fun, primals, tangents, has_aux=False):
    """A function's value, and its derivative along a direction, in one forward pass.

    Args:
        fun: function of tensors.
        primals: tuple or list of its arguments.
        tangents: tuple or list of as many tensors of the same shapes, the direction.
        has_aux: bool, whether `fun` returns a pair of its result and a structure of tensors
            that is handed on as it is.

    Returns:
        Tuple of the result and its derivative, and what was handed on.

    Example:

    >>> keras.ops.jvp(lambda x: x**2, (torch.tensor(3.0),), (torch.tensor(1.0),))
    (tensor(9.), tensor(6.))
    """
    if not callable(fun):
        raise TypeError(f"`fun` must be a function. Received: fun={fun}.")
    for value, name in ((primals, "primals"), (tangents, "tangents")):
        if not isinstance(value, (tuple, list)):
            raise TypeError(
                f"`{name}` must be a tuple or list of arguments. Received: {name} of type "
                f"{type(value).__name__}."
            )
    primals, tangents = (
        tree.map_structure(convert_to_tensor, tuple(value)) for value in (primals, tangents)
    )
    _load_forward_mode()
    return torch.func.jvp(fun, primals, tangents, has_aux=has_aux)


__all__ = ["custom_gradient", "jvp"]
