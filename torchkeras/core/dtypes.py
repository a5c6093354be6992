"""Dtype names, their torch dtypes, and promotion as in JAX (and so as in Keras)."""

import functools

import torch

from torchkeras.core import config

NAME_TO_TORCH = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "uint16": torch.uint16,
    "uint32": torch.uint32,
    "uint64": torch.uint64,
    "bool": torch.bool,
    "complex64": torch.complex64,
    "complex128": torch.complex128,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
}
TORCH_TO_NAME = {dtype: name for name, dtype in NAME_TO_TORCH.items()}
_ALIASES = {"half": "float16", "float": "float32", "double": "float64", "int": "int32"}


def standardize_dtype(dtype):
    """Canonical name of a dtype given as a name, a torch or NumPy dtype, a Python type or None.

    None and Python's `float` mean `floatx()`; `int` means `"int32"`, as in Keras.

    Raises:
        ValueError: `dtype` names no dtype that torch has.

    Example:

    >>> keras.utils.standardize_dtype(torch.float16)
    'float16'
    """
    name = TORCH_TO_NAME.get(dtype) if isinstance(dtype, torch.dtype) else None
    if name is not None:
        return name
    if dtype is None or dtype is float:
        return config.floatx()
    if dtype is int:
        return "int32"
    if dtype is bool:
        return "bool"
    if isinstance(dtype, str):
        name = dtype.removeprefix("torch.")
        name = _ALIASES.get(name, name)
    else:
        name = getattr(dtype, "name", None) or getattr(dtype, "__name__", str(dtype))
    if name == "string" or name in NAME_TO_TORCH:
        return name
    if getattr(dtype, "kind", "") in ("O", "U", "S", "T"):  # NumPy's dtypes of text
        return "string"
    raise ValueError(
        f"`dtype` must name one of {', '.join(NAME_TO_TORCH)}. Received: dtype={dtype!r}."
    )


def to_torch_dtype(dtype):
    """The `torch.dtype` for anything that `standardize_dtype` understands.

    Example:

    >>> from torchkeras.core.dtypes import to_torch_dtype
    >>> to_torch_dtype("float32")
    torch.float32
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    name = standardize_dtype(dtype)
    if name == "string":
        raise ValueError(
            "A tensor cannot hold strings. Received: dtype='string'. Encode the text as "
            "integers first."
        )
    return NAME_TO_TORCH[name]


def is_float_dtype(dtype):
    """Whether `dtype` is a float type (bfloat16 and float8 included).

    Example:

    >>> keras.backend.is_float_dtype("bfloat16")
    True
    """
    return standardize_dtype(dtype).startswith(("float", "bfloat"))


def is_int_dtype(dtype):
    """Whether `dtype` is a signed or unsigned integer type (bool is not).

    Example:

    >>> keras.backend.is_int_dtype("uint8")
    True
    """
    return standardize_dtype(dtype).startswith(("int", "uint"))


# JAX's promotion lattice: each type and those directly above it. "int*", "float*" and
# "complex*" are the weak types of Python scalars. The join of two types is the lowest type
# above both. Source: the JAX document "Type promotion semantics".
_ABOVE = {
    "bool": ("int*",),
    "int*": ("uint8", "int8"),
    "uint8": ("uint16", "int16"),
    "uint16": ("uint32", "int32"),
    "uint32": ("uint64", "int64"),
    "uint64": ("float*",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("float*",),
    "float*": ("float16", "bfloat16", "complex*"),
    "float16": ("float32",),
    "bfloat16": ("float32",),
    "float32": ("float64", "complex64"),
    "float64": ("complex128",),
    "complex*": ("complex64",),
    "complex64": ("complex128",),
    "complex128": (),
}


@functools.cache
def _closure(name):
    above = {name}
    for parent in _ABOVE[name]:
        above |= _closure(parent)
    return frozenset(above)


@functools.cache
def _join(a, b):
    common = _closure(a) & _closure(b)
    return next(c for c in common if common <= _closure(c))


def result_type(*dtypes):
    """Dtype of an operation on arguments of these dtypes, by JAX's rules with 32-bit defaults.

    Args:
        *dtypes: dtypes or their names; the Python types `int` and `float` stand for scalars,
            which are weak: they do not widen a dtype of their own kind.

    Returns:
        The name of a dtype. Integers never become `float64`, but `float32` (as in Keras). What
        needs 64 bits gets them, as in the functions of `keras.ops` on torch; Keras's own
        `result_type` names the 32-bit dtype there.

    Example:

    >>> keras.backend.result_type("int32", float)
    'float32'
    >>> keras.backend.result_type("bfloat16", "float16")
    'float32'
    """
    if not dtypes:
        return config.floatx()
    key = (config.floatx(), *dtypes)
    found = _results.get(key)
    if found is None:
        found = _results[key] = _result_type(*key)
    return found


_results = {}  # a plain dict: Dynamo warns of functools.cache


def _result_type(floatx, *dtypes):
    names = []
    for dtype in dtypes:
        weak = {int: "int*", float: "float*", complex: "complex*"}.get(dtype)
        names.append(weak or ("float*" if dtype is None else standardize_dtype(dtype)))
    if any(name.startswith("float8") for name in names):
        if len(set(names)) > 1:
            raise ValueError(
                "float8 dtypes take part in no promotion; cast the arguments first. "
                f"Received: dtypes={dtypes}."
            )
        return names[0]
    joined = functools.reduce(_join, names)
    defaults = {"int*": "int32", "float*": floatx, "complex*": "complex64"}
    return defaults.get(joined, joined)
