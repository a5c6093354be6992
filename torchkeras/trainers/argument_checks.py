"""Checks of the arguments of `fit`, `evaluate` and `predict`."""

from torchkeras.core.checks import check_real, check_switch, check_verbose, check_whole


def check_loop(verbose=None, **counts):
    """Raise unless `verbose` is one, and the counts given by name are ints of at least 1 or None.

    Example:

    >>> from torchkeras.trainers.argument_checks import check_loop
    >>> check_loop("auto", batch_size=32, steps=None)
    """
    check_verbose(verbose)
    for name, value in counts.items():
        if value is not None:
            check_whole(name, value, least=1, cure="Give a whole number, or leave it out.")


def check_shuffle(shuffle):
    """Raise unless `shuffle` is a bool, or 0, 1, None or `"batch"`."""
    if isinstance(shuffle, str):
        if shuffle != "batch":
            raise ValueError(
                f"`shuffle` must be True, False or 'batch'. Received: shuffle={shuffle!r}. Give "
                "one of these."
            )
        return
    check_switch("shuffle", shuffle)


def check_validation(validation_split, validation_freq):
    """Raise unless these arguments of `fit` say which samples to hold out, and when to evaluate."""
    check_real("validation_split", validation_split, cure="Give the fraction to hold out.")
    if not 0 <= validation_split < 1:
        raise ValueError(
            "`validation_split` must be a fraction of the samples, from 0 to below 1. Received: "
            f"validation_split={validation_split}. For a number of samples, divide it by their "
            "count, or give `validation_data`."
        )
    is_list = isinstance(validation_freq, (list, tuple, set))
    for epoch in validation_freq if is_list else [validation_freq]:
        check_whole("validation_freq", epoch, least=1)


def no_batch_error(method, name):
    """What a loop raises for the model `name` where there was nothing to read."""
    return ValueError(
        f"{method} needs at least one batch. Received: data without any, for '{name}'. Check "
        "the generator or data set; a generator can be read only once."
    )
