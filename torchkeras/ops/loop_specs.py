"""What loops and branches give on symbols: their functions run at most once, and record nothing."""

import builtins
import types

import torch

from torchkeras.core import shapes, tree
from torchkeras.core.arguments import symbols_of
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.op_specs import Misfit, dtype_of
from torchkeras.core.scopes import SCOPE, spec_scope
from torchkeras.ops.shape_rules import axis_of, common, may_be_equal, shape_of


def _like(structure):
    """A symbol for each tensor of a structure."""
    return tree.map_structure(lambda x: KerasTensor(shape_of(x), dtype_of(x)), structure)


_BLIND = (int, float, complex, str, bytes, type(None), type, torch.Tensor, torch.dtype)
_BLIND += (types.ModuleType, types.BuiltinFunctionType)


def _sees_no_symbols(function, depth=2):
    """Whether nothing that a function sees from outside can be, or hold, a symbol."""
    if isinstance(function, types.BuiltinFunctionType):
        return True
    if not isinstance(function, types.FunctionType):
        return False
    code = function.__code__
    try:
        seen = [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:  # a name that has no value yet
        return False
    seen += [function.__globals__[name] for name in code.co_names if name in function.__globals__]
    seen += function.__defaults__ or ()
    return not any(isinstance(c, types.CodeType) for c in code.co_consts) and all(
        isinstance(x, _BLIND)
        or getattr(x, "_op_name", None) is not None
        or (depth and _sees_no_symbols(x, depth - 1))
        for x in seen
    )


def _result(function, *args):
    """What a function of a loop or branch gives, in symbols of its own."""
    if not callable(function):
        raise TypeError(f"A function was expected. Received: {function!r}.")
    recorded = not SCOPE.spec

    def checked(*values):
        result = function(*values)
        if recorded and symbols_of(result):
            raise Misfit(
                "the function must compute its result from its arguments. Received: a function "
                "that uses a symbol from outside, of which a model would have no value when it "
                "runs. Pass the symbol as an argument, or use keras.ops.where(condition, x1, x2)."
            )
        return result

    with spec_scope():
        if _sees_no_symbols(function):  # then it needs no check, and no trace as a rule
            result = shapes.infer_on_symbols(function, args, {})
        else:
            result = shapes.infer(checked, args, {})
    return tree.map_structure(
        lambda x: KerasTensor(x.shape, x.dtype) if isinstance(x, KerasTensor) else x, result
    )


def _agreed(results):
    """The one structure of symbols that all branches give."""

    def agree(first, *others):
        if not all(isinstance(x, KerasTensor) for x in (first, *others)):
            return first
        for other in others:
            differ = len(first.shape) != len(other.shape) or first.dtype != other.dtype
            if differ or any(
                None not in (a, b) and a != b
                for a, b in zip(first.shape, other.shape, strict=False)
            ):
                raise Misfit(
                    "all functions must give one shape and dtype. Received: "
                    f"{first.shape} of {first.dtype} and {other.shape} of {other.dtype}."
                )
        sizes = zip(*[x.shape for x in (first, *others)], strict=True)
        return KerasTensor(
            [size[0] if len(set(size)) == 1 else None for size in sizes], first.dtype
        )

    return tree.map_structure(agree, *results)


def cond(pred, true_fn, false_fn):
    return _agreed([_result(true_fn), _result(false_fn)])


def switch(index, branches, *operands):
    return _agreed([_result(branch, *operands) for branch in branches])


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    # As in Keras, shapes and dtypes do not change from turn to turn.
    return _like(tuple(loop_vars) if isinstance(loop_vars, list) else loop_vars)


def fori_loop(lower, upper, body_fun, init_val):
    return _like(init_val)


def scan(f, init, xs=None, length=None, reverse=False, unroll=1):
    if not callable(f):
        raise TypeError(f"`f` must be a function of (carry, x). Received: f={f}.")
    if xs is None and length is None:
        raise Misfit("`xs` is needed, or `length`, to walk over. Received: None for both.")
    steps = _steps(xs) if length is None else int(length)
    if steps == 0:
        raise Misfit(
            "at least one step is needed, to know what `f` returns. Received: an axis of size 0 to "
            "walk over."
        )
    carry = _like(init)
    carry, y = _result(f, carry, _slice(xs))
    return carry, _stacked(_like(init) if y is None else y, steps)


def check_scanned(elems, axis):
    """Sizes along an axis, which must agree."""
    shapes = [shape_of(x) for x in tree.flatten(elems)]
    if not shapes:
        raise Misfit("at least one tensor is needed. Received: none.")
    sizes = [shape[axis_of(axis, shape)] for shape in shapes]
    common(sizes, f"tensors along axis {axis}", shapes)


def associative_scan(f, elems, reverse=False, axis=0):
    if not callable(f):
        raise TypeError(f"`f` must be a function of (a, b). Received: f={f}.")
    check_scanned(elems, axis)
    return _like(elems)


def map(f, xs):
    return _stacked(_result(f, _slice(xs)), _steps(xs))


vectorized_map = map


def jvp(fun, primals, tangents, has_aux=False):
    given, along = tree.flatten(tuple(primals)), tree.flatten(tuple(tangents))
    shapes_given, shapes_along = [shape_of(x) for x in given], [shape_of(x) for x in along]
    if len(given) != len(along) or not all(builtins.map(may_be_equal, shapes_given, shapes_along)):
        raise Misfit(
            "`tangents` must have the shapes of `primals`. Received: shapes "
            f"{shapes_along} for {shapes_given}."
        )
    result = _result(fun, *primals)
    value, *aux = result if has_aux else (result,)
    return value, _like(value), *aux


def _steps(xs):
    shape = shape_of(tree.flatten(xs)[0])
    if not shape:
        raise Misfit("an axis to walk over is needed. Received: a tensor of shape ().")
    return shape[0]


def _slice(xs):
    """Symbols for one slice of each tensor."""
    return tree.map_structure(lambda x: KerasTensor(shape_of(x)[1:], dtype_of(x)), xs)


def _stacked(structure, steps):
    return tree.map_structure(lambda x: KerasTensor((steps, *shape_of(x)), dtype_of(x)), structure)
