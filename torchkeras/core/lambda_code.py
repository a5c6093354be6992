"""Functions from the compiled code that Keras writes for Python lambdas; only where asked for."""

import base64
import builtins
import marshal
import types

import numpy as np
import torch


def lambda_of(config):
    """The function of a `__lambda__` config. DANGEROUS: it does whatever its author wrote.

    Called for those alone who have called `keras.config.enable_unsafe_deserialization()`.

    Args:
        config: dict with `code`, `defaults` and `closure`, or with the three as `value`; the
            code is marshalled, in base64.

    Raises:
        ValueError: it is not the code of a function.
    """
    try:
        if "code" in config:  # in a Lambda layer
            value = config["code"], config["defaults"], config["closure"]
        else:
            value = config["value"]
        code, defaults, closure = value
        code = marshal.loads(base64.b64decode(code))
        if not isinstance(code, types.CodeType):
            raise TypeError(f"code of type {type(code).__name__}")
        cells = None if closure is None else tuple(types.CellType(item) for item in closure)
        names = {"__builtins__": builtins, "np": np, "torch": torch}
        defaults = None if defaults is None else tuple(defaults)
        return types.FunctionType(code, names, code.co_name, defaults, cells)
    except (EOFError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "The code of a lambda in a config is that of a function, for this version of Python. "
            f"Received: {type(error).__name__}: {error}. Define the function in your program and "
            "pass it in custom_objects."
        ) from error
