"""Checks of plain arguments: numbers, switches, paths, names; each says name, value and cure."""

import math
import os

import numpy as np
import torch


def check_real(name, value, least=-math.inf, most=math.inf, below=math.inf, finite=True, cure=None):
    """Raise unless `value`, the argument called `name`, is a real number in its range.

    Numbers of Python and NumPy, and arrays, tensors and Variables of one element count.

    Args:
        name: str.
        value: anything.
        least, most: numbers, the range with its ends.
        below: number, an end that is not part of it.
        finite: bool, whether infinity is refused. NaN always is.
        cure: str, what to do; None for the range itself.

    Raises:
        TypeError: it is no number.
        ValueError: it is one outside the range.

    Example:

    >>> from torchkeras.core.checks import check_real
    >>> check_real("epsilon", np.float32(1e-3), least=0)
    >>> check_real("beta_1", 1.5, least=0, below=1)
    Traceback (most recent call last):
    ValueError: `beta_1` must be a number, from 0, below 1. Received: beta_1=1.5. Give one within.
    """
    ends = "" if least == -math.inf else f", from {least}"
    ends += "" if most == math.inf else f", at most {most}"
    ends += "" if below == math.inf else f", below {below}"
    number = _as_float(value)
    if number is None:
        raise TypeError(
            f"`{name}` must be a number{ends}. Received: {name}={value!r} of type "
            f"{type(value).__name__}. {cure or 'Give a float or int.'}"
        )
    fits = least <= number <= most and (below == math.inf or number < below)
    if not fits or (finite and math.isinf(number)):
        raise ValueError(
            f"`{name}` must be a {'finite ' if finite and not ends else ''}number{ends}. Received: "
            f"{name}={value!r}. {cure or 'Give one within.'}"
        )


def _as_float(value):
    if isinstance(value, (bool, np.bool_, str, bytes, complex)):
        return None
    if hasattr(value, "_as_tensor"):  # a Variable
        value = value._as_tensor()
    if isinstance(value, (np.ndarray, torch.Tensor)):
        if math.prod(value.shape) != 1:
            return None
        is_numpy = isinstance(value, np.ndarray)
        is_real = value.dtype.kind in "fiu" if is_numpy else not value.is_complex()
        if not is_real:
            return None
        return float(value.reshape(()) if is_numpy else value.detach().reshape(()))
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def check_whole(name, value, least, cure="Give a whole number."):
    """Raise unless `value`, the argument called `name`, is an integer of at least `least`.

    Example:

    >>> from torchkeras.core.checks import check_whole
    >>> check_whole("epochs", np.array(3), least=0)
    >>> check_whole("epochs", True, least=0)
    Traceback (most recent call last):
    TypeError: `epochs` must be an int of at least 0. Received: epochs=True of type bool. Give a \
whole number.
    """
    number = None
    if not isinstance(value, (bool, np.bool_)) and getattr(value, "dtype", None) not in _BOOLS:
        try:
            number = value.__index__()
        except (AttributeError, TypeError, ValueError, RuntimeError):
            number = None
    if number is None:
        raise TypeError(
            f"`{name}` must be an int of at least {least}. Received: {name}={value!r} of type "
            f"{type(value).__name__}. {cure}"
        )
    if number < least:
        raise ValueError(
            f"`{name}` must be at least {least}. Received: {name}={value}. Give a larger number."
        )


_BOOLS = (torch.bool, np.dtype(bool))


def check_switch(name, value):
    """Raise a TypeError unless `value`, the argument called `name`, is a bool, or 0, 1 or None.

    Example:

    >>> from torchkeras.core.checks import check_switch
    >>> check_switch("amsgrad", np.bool_(True))
    """
    if value is None or isinstance(value, (bool, np.bool_)):
        return
    if isinstance(value, (int, np.integer)) and value in (0, 1):
        return
    raise TypeError(
        f"`{name}` must be True or False. Received: {name}={value!r} of type "
        f"{type(value).__name__}. Give one of the two."
    )


def check_text(name, value):
    """Raise a TypeError unless `value`, the argument called `name`, is a str.

    Example:

    >>> from torchkeras.core.checks import check_text
    >>> check_text("monitor", "val_loss")
    """
    if not isinstance(value, str):
        raise TypeError(
            f"`{name}` must be a string. Received: {name}={value!r} of type "
            f"{type(value).__name__}. Give a str."
        )


def check_function(name, value, optional=True):
    """Raise a TypeError unless `value`, the argument called `name`, can be called.

    Example:

    >>> from torchkeras.core.checks import check_function
    >>> check_function("on_epoch_end", print)
    """
    if not callable(value) and not (optional and value is None):
        raise TypeError(
            f"`{name}` must be a function{' or None' if optional else ''}. Received: "
            f"{name}={value!r} of type {type(value).__name__}. Give the function itself, not what "
            "it returns."
        )


def as_path(name, value):
    """`value`, the argument called `name`, as a str, where it is a str, bytes or a path.

    Raises:
        TypeError: it is something else.

    Example:

    >>> from torchkeras.core.checks import as_path
    >>> as_path("filepath", "model.keras")
    'model.keras'
    """
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise TypeError(
            f"`{name}` must be a path. Received: {name}={value!r} of type {type(value).__name__}. "
            "Give a str or a pathlib.Path."
        )
    return os.fsdecode(value)


def check_verbose(verbose, name="verbose"):
    """Raise unless `verbose` is `"auto"`, a bool, None or an int of at least 0.

    Example:

    >>> from torchkeras.core.checks import check_verbose
    >>> check_verbose("auto"), check_verbose(2)
    (None, None)
    """
    if verbose is None or isinstance(verbose, (bool, np.bool_)):
        return
    if isinstance(verbose, str):
        if verbose != "auto":
            raise ValueError(
                f"`{name}` must be 0, 1, 2 or 'auto'. Received: {name}={verbose!r}. Give one of "
                "these."
            )
        return
    check_whole(name, verbose, least=0, cure="Give 0 for silence, 1 for a bar, 2 for lines.")


def check_custom_objects(custom_objects):
    """Raise a TypeError unless `custom_objects` is a dict of names, or None.

    Example:

    >>> from torchkeras.core.checks import check_custom_objects
    >>> check_custom_objects({"Scale": object})
    """
    if custom_objects is None:
        return
    if not isinstance(custom_objects, dict) or not all(isinstance(k, str) for k in custom_objects):
        raise TypeError(
            "`custom_objects` must be a dict of names to classes or functions. Received: "
            f"custom_objects={custom_objects!r}. Give {{'Name': Class}}, or leave it out."
        )
