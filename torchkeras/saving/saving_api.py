"""Saving and loading of models, weights and optimizer state: the format by the file's ending."""

import os

from torchkeras.saving import safetensors_format


def save_model(model, filepath, overwrite=True, zipped=None, include_optimizer=True):
    """Save architecture, weights, compile arguments, optimizer state and seeds to one file.

    The file is written beside its place and renamed when it is whole, so a crash leaves the old
    file or the new one. Its tensors under the names of the `state_dict` are the weights, each
    once: of tied weights the first name is stored, as safetensors' own `load_model` expects.

    A `torch.optim` optimizer is the program's own: its state is saved, but not how to make it.
    After loading, compile with a new one and call `load_optimizer_state`.

    Args:
        model: a built model. Layers and functions of your own must have a name to be found by:
            see `register_keras_serializable`.
        filepath: str or path ending in `.safetensors`, in an existing folder. Of a symbolic link
            the target is replaced.
        overwrite: bool, whether an existing file may be replaced.
        zipped: kept for Keras's signature.
        include_optimizer: bool, whether the optimizer's state goes in.

    Raises:
        ValueError: another ending, or the model is not built.
        TypeError: `model` is not a model.
        NotImplementedError: a layer or module has no `get_config`.
        FileExistsError: the file exists and `overwrite` is False.
        OSError: it cannot be written; an older file is still whole.

    Example:

    >>> import os, tempfile
    >>> from safetensors.torch import load_file
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> keras.saving.save_model(model, path)
    >>> sorted(load_file(path)) == sorted(model.state_dict())
    True
    """
    filepath = _check("save_model", model, filepath)
    _check_overwrite(filepath, overwrite)
    safetensors_format.save_model(model, filepath, include_optimizer=include_optimizer)


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """Load a model that `save_model` wrote.

    It predicts as it did, and trains on as if it had never been away: weights, optimizer state
    and the seeds of random layers made with `seed=` are as they were. Metrics start anew.

    Args:
        filepath: str or path ending in `.safetensors`.
        custom_objects: dict of names to classes or functions the file may name.
        compile: bool, whether to compile it as it was and load the optimizer's state.
        safe_mode: kept for Keras's signature. Loading never runs code from a file, imports a
            module that it names, or opens another file.

    Raises:
        ValueError: not a model file, it is damaged, or it names classes that are not known.
        FileNotFoundError: there is no such file.

    Example:

    >>> import os, tempfile
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> model.save(path)
    >>> bool((keras.saving.load_model(path)(torch.ones(1, 3)) == model(torch.ones(1, 3))).all())
    True
    """
    filepath = _check_path("load_model", filepath)
    return safetensors_format.load_model(filepath, custom_objects=custom_objects, compile=compile)


def save_weights(model, filepath, overwrite=True):
    """Save the weights under their `state_dict` names; see `Model.save_weights`.

    Args:
        model: a built model.
        filepath: str or path ending in `.safetensors`.
        overwrite: bool, whether an existing file may be replaced.

    Raises:
        ValueError, TypeError, FileExistsError, OSError: as `save_model`.

    Example:

    >>> import os, tempfile
    >>> from safetensors.torch import load_file
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> keras.saving.save_weights(model, path)
    >>> model.load_state_dict(load_file(path))
    <All keys matched successfully>
    """
    filepath = _check("save_weights", model, filepath)
    _check_overwrite(filepath, overwrite)
    safetensors_format.save_weights(model, filepath)


def load_weights(model, filepath, skip_mismatch=False):
    """Load weights into a built model; see `Model.load_weights`.

    All weights are set, or none. They are converted to the dtypes and devices of the model's own.

    Args:
        model: a built model.
        filepath: str or path ending in `.safetensors`; a file of weights or of a whole model.
        skip_mismatch: bool, load what fits and warn about the rest.

    Raises:
        ValueError: names or shapes differ, or the model is not built.
        FileNotFoundError: there is no such file.

    Example:

    >>> import os, tempfile
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> keras.saving.save_weights(model, path)
    >>> keras.saving.load_weights(model, path)
    """
    filepath = _check("load_weights", model, filepath)
    safetensors_format.load_weights(model, filepath, skip_mismatch=skip_mismatch)


def load_optimizer_state(model, filepath):
    """Load the state of the optimizer that a model file holds into a compiled model.

    `load_model` does this for the optimizers of `keras.optimizers`. It is needed after compiling
    a loaded model with a new `torch.optim` optimizer, or after `load_weights`.

    Args:
        model: a built and compiled model.
        filepath: str or path ending in `.safetensors`, written by `save_model`.

    Raises:
        ValueError: the file has no such state, it does not fit, or the model is not ready.
        FileNotFoundError: there is no such file.

    Example:

    >>> import os, tempfile
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    >>> _ = model.train_on_batch(torch.ones(4, 3), torch.ones(4, 2))
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> model.save(path)
    >>> again = keras.saving.load_model(path, compile=False)
    >>> again.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    >>> keras.saving.load_optimizer_state(again, path)
    >>> int(again.optimizer.iterations)
    1
    """
    filepath = _check("load_optimizer_state", model, filepath)
    safetensors_format.load_optimizer_state(model, filepath)


def _check(function, model, filepath):
    if not safetensors_format.is_model(model):
        raise TypeError(
            f"`{function}` takes a model first. Received: {model!r} of type {type(model).__name__}."
        )
    return _check_path(function, filepath)


def _check_path(function, filepath):
    filepath = os.fsdecode(filepath)
    if not filepath.endswith(".safetensors"):
        raise ValueError(
            f"`{function}` works with files that end in '.safetensors'. Received: "
            f"filepath={filepath!r}. Choose that ending."
        )
    return filepath


def _check_overwrite(filepath, overwrite):
    if not overwrite and os.path.lexists(filepath):
        raise FileExistsError(
            f"The file exists already. Received: filepath={filepath!r}, overwrite=False. Choose "
            "another name, or pass overwrite=True."
        )
