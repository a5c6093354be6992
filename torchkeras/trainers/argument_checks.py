"""Checks of the arguments of `fit`, `evaluate` and `predict`."""

import numpy as np


def check_count(name, value, least):
    """Raise unless `value`, given as `name`, is an int of at least `least`.

    Example:

    >>> from torchkeras.trainers.argument_checks import check_count
    >>> check_count("epochs", 3, least=0)
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"`{name}` must be an int of at least {least}. Received: {name}={value!r} of type "
            f"{type(value).__name__}. Give a whole number."
        )
    if value < least:
        raise ValueError(
            f"`{name}` must be at least {least}. Received: {name}={value}. Give a larger number."
        )


def check_validation(validation_split, validation_freq):
    """Raise unless these arguments of `fit` say which samples to hold out, and when to evaluate."""
    if isinstance(validation_split, bool) or not isinstance(validation_split, (int, float)):
        raise TypeError(
            "`validation_split` must be a float from 0 to below 1. Received: validation_split="
            f"{validation_split!r} of type {type(validation_split).__name__}. Give the fraction "
            "of the samples to hold out."
        )
    if not 0 <= validation_split < 1:
        raise ValueError(
            "`validation_split` must be a fraction of the samples, from 0 to below 1. Received: "
            f"validation_split={validation_split}. For a number of samples, divide it by their "
            "count, or give `validation_data`."
        )
    if not isinstance(validation_freq, (list, tuple, set)):
        check_count("validation_freq", validation_freq, least=1)


def no_batch_error(method, name):
    """What a loop raises for the model `name` where there was nothing to read."""
    return ValueError(
        f"{method} needs at least one batch. Received: data without any, for '{name}'. Check "
        "the generator or data set; a generator can be read only once."
    )
