"""What an op gives on symbols: shapes by its rule, dtypes by its rule or a run on tiny tensors.

Part of one idea, with operation.py and keras_tensor.py: see operation.py.
"""

import torch

from torchkeras.core import config, shapes
from torchkeras.core.arguments import map_leaves
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import TORCH_TO_NAME, standardize_dtype, to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.scopes import meta_scope


class Misfit(ValueError):
    """What a shape rule raises; the name of the op is put before its text."""


def op_spec(function, args, kwargs):
    """KerasTensors for the result of an op on symbols.

    Args:
        function: a function made by `@op`.
        args, kwargs: its arguments, KerasTensors among them.

    Raises:
        ValueError: the shapes do not fit.
    """
    rule = function._spec or function._shape
    if rule is None:
        return shapes.infer(function._run, args, kwargs)
    try:
        result = rule(*args, **kwargs)
    except ValueError as error:
        raise _named(error, function) from None
    except TypeError:
        function.__signature__.bind(*args, **kwargs)  # explains arguments that are no good
        raise
    if function._spec:
        return result
    return _symbols(result, _dtype(function._run, function._dtype, args, kwargs))


def explained(error, function, args, kwargs):
    """The error to raise where an op failed on data: that of its shape rule; None if it has none.

    Args:
        error: what the function raised.
        function: a function made by `@op`.
        args, kwargs: its arguments.
    """
    if torch.compiler.is_compiling():
        return None
    try:
        if function._shape is not None:
            function._shape(*args, **kwargs)
    except ValueError as misfit:
        return _named(misfit, function)
    except Exception:
        pass  # arguments that the rule does not know; the function had its own words for them
    return _named(error, function) if isinstance(error, Misfit) else None


def _named(error, function):
    """A ValueError that begins with the name of the op."""
    text = str(error)
    prefix = "" if text.startswith("keras.ops.") else f"keras.ops.{function._op_name}: "
    return ValueError(prefix + text)


# Raw torch functions: (shape rule, dtype rule or None).
TORCH_RULES = {}


def torch_spec(function, args, kwargs):
    """KerasTensors for the result of a raw torch function on symbols."""
    shape, dtype = TORCH_RULES.get(function, (None, None))
    if shape is not None:
        try:
            return _symbols(shape(*args, **kwargs), _dtype(function, dtype, args, kwargs))
        except Exception:
            pass  # arguments that the rule does not know, or a mistake, for which torch has words
    return shapes.infer(function, args, kwargs)


def is_shape(x):
    """Whether `x` is a tuple of sizes, not a structure of such tuples."""
    return type(x) is tuple and not any(isinstance(d, (tuple, list)) for d in x)


def _symbols(shape, dtype):
    if is_shape(shape):
        return KerasTensor(shape, dtype)
    dtypes = dtype if isinstance(dtype, (list, tuple)) else [dtype] * len(shape)
    return type(shape)(_symbols(s, d) for s, d in zip(shape, dtypes, strict=True))


def _dtype(function, rule, args, kwargs):
    """Name of the dtype of the result, or a list of names."""
    if rule is not None:
        return rule if isinstance(rule, str) else rule(*args, **kwargs)
    key = (function, config.floatx(), _key(args), _key(kwargs))
    try:
        found = _found.get(key)
    except TypeError:  # an argument that cannot be hashed
        return _found_by_running(function, args, kwargs)
    if found is None:
        if len(_found) > 4096:
            _found.clear()
        found = _found[key] = _found_by_running(function, args, kwargs)
    return found


_found = {}


def _key(x):
    """`x` for a key: of what has a dtype, the dtype and whether it has axes."""
    if isinstance(x, (list, tuple)):
        return tuple([_key(item) for item in x])
    if isinstance(x, dict):
        return tuple([(name, _key(item)) for name, item in x.items()])
    return (str(x.dtype), len(x.shape)) if _is_array(x) else (type(x), x)


def _is_array(x):
    """Whether `x` is a symbol, tensor, Variable or array (and no class of arrays)."""
    return not isinstance(x, type) and hasattr(x, "dtype") and hasattr(x, "shape")


def _found_by_running(function, args, kwargs):
    # On the CPU a small step takes 1 µs; on the meta device many take 0.3 ms, as they are written
    # in Python, and the first of those imports sympy, which takes seconds.
    with meta_scope(False), config.device("cpu"), torch.no_grad():
        result = function(*map_leaves(_tiny, args), **map_leaves(_tiny, kwargs))
    return _names(result)


def _names(result):
    if isinstance(result, (list, tuple)):
        return [_names(item) for item in result]
    return TORCH_TO_NAME[result.dtype]


def _tiny(x):
    """A tensor of the dtype of `x`, with as many axes, each of size 1."""
    if not _is_array(x):
        return x
    # Not of zeros, by which integers cannot be divided.
    return torch.ones((1,) * len(x.shape), dtype=to_torch_dtype(x.dtype), device="cpu")


def dtype_of(x):
    """Name of the dtype that `x` has, or has as a tensor."""
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        with meta_scope(False), config.device("cpu"):
            dtype = convert_to_tensor(x).dtype
    return standardize_dtype(dtype)
