"""Checks of arguments that the functions around data share."""

import operator


def positive_int(value, name, optional=False):
    """`value` as an int of at least 1.

    Args:
        value: int, or None.
        name: str, that of the argument, for the message.
        optional: bool, whether None may be given; it is returned then.

    Raises:
        TypeError: it is no int.
        ValueError: it is below 1.

    Example:

    >>> from torchkeras.utils.argument_values import positive_int
    >>> positive_int(0, "units")
    Traceback (most recent call last):
    ValueError: `units` must be at least 1. Received: units=0.
    """
    if value is None and optional:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"`{name}` must be an integer{' or None' if optional else ''}. Received: "
            f"{name}={value!r} of type {type(value).__name__}."
        ) from None
    if number < 1:
        raise ValueError(f"`{name}` must be at least 1. Received: {name}={number}.")
    return number
