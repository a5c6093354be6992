"""save_model, load_model, save_weights, load_weights: the format by the file's ending."""

import os

from torchkeras.saving import safetensors_format


def save_model(model, filepath, overwrite=True, zipped=None, include_optimizer=True):
    """Save architecture, weights, compile arguments and optimizer state to one file.

    The file is written beside its place and renamed when it is whole, so a crash leaves the old
    file or the new one.

    Args:
        model: a built model.
        filepath: str or path ending in `.safetensors`.
        overwrite: bool, whether an existing file may be replaced.
        zipped: kept for Keras's signature.
        include_optimizer: bool, whether the optimizer's state goes in.

    Raises:
        ValueError: another ending, or the model is not built or not serializable.
        FileExistsError: the file exists and `overwrite` is False.

    Example:

    >>> import os, tempfile
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> keras.saving.save_model(model, path)
    """
    filepath = _check(filepath, "save_model")
    _check_overwrite(filepath, overwrite)
    safetensors_format.save_model(model, filepath, include_optimizer=include_optimizer)


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """Load a model that `save_model` wrote.

    Args:
        filepath: str or path ending in `.safetensors`.
        custom_objects: dict of names to classes or functions the file may name.
        compile: bool, whether to compile it as it was and load the optimizer's state.
        safe_mode: kept for Keras's signature. Loading never runs code from a file.

    Raises:
        ValueError: not a model file, or it names classes that are not known.
        FileNotFoundError: there is no such file.

    Example:

    >>> import os, tempfile
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> model.save(path)
    >>> bool((keras.saving.load_model(path)(torch.ones(1, 3)) == model(torch.ones(1, 3))).all())
    True
    """
    filepath = _check(filepath, "load_model")
    return safetensors_format.load_model(filepath, custom_objects=custom_objects, compile=compile)


def save_weights(model, filepath, overwrite=True):
    """Save the weights under their `state_dict` names; see `Model.save_weights`.

    Args:
        model: a built model.
        filepath: str or path ending in `.safetensors`.
        overwrite: bool, whether an existing file may be replaced.
    """
    filepath = _check(filepath, "save_weights")
    _check_overwrite(filepath, overwrite)
    safetensors_format.save_weights(model, filepath)


def load_weights(model, filepath, skip_mismatch=False):
    """Load weights into a built model; see `Model.load_weights`.

    Args:
        model: a built model.
        filepath: str or path ending in `.safetensors`.
        skip_mismatch: bool, load what fits and warn about the rest.
    """
    filepath = _check(filepath, "load_weights")
    safetensors_format.load_weights(model, filepath, skip_mismatch=skip_mismatch)


def _check(filepath, function):
    filepath = os.fspath(filepath)
    if not str(filepath).endswith(".safetensors"):
        raise ValueError(
            f"`{function}` works with files that end in '.safetensors'. Received: "
            f"filepath={filepath!r}. Choose that ending."
        )
    return str(filepath)


def _check_overwrite(filepath, overwrite):
    if not overwrite and os.path.exists(filepath):
        raise FileExistsError(
            f"The file exists already. Received: filepath={filepath!r}, overwrite=False. Choose "
            "another name, or pass overwrite=True."
        )
