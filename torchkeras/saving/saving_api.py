"""Saving and loading of models, weights and optimizer state: the format by the file's ending."""

import functools
import os

from torchkeras.core.checks import as_path, check_custom_objects, check_real, check_switch
from torchkeras.core.user_warnings import warn_user
from torchkeras.distribution.sharding import whole_state
from torchkeras.saving import (
    h5_format,
    keras_format,
    legacy_h5_format,
    safetensors_format,
    weight_sets,
)
from torchkeras.saving.model_config import assign_optimizer_or_warn, check_built, is_model
from torchkeras.saving.one_writer import one_writer

_MODELS = {".safetensors": safetensors_format, ".keras": keras_format}
_WEIGHTS = {".safetensors": safetensors_format, ".weights.h5": h5_format}
_SETS = {weight_sets.HUGGING_FACE.ending: safetensors_format, weight_sets.KERAS.ending: h5_format}
_LEGACY = {".h5": legacy_h5_format, ".hdf5": legacy_h5_format}


def save_model(
    model, filepath, overwrite=True, zipped=None, include_optimizer=True, weights_format=None
):
    """Save architecture, weights, compile arguments, optimizer state and seeds to one file.

    The file is written beside its place and renamed when it is whole, so a crash leaves the old
    file or the new one. In a `.safetensors` file the tensors under the names of the `state_dict`
    are the weights, each once: of tied weights the first name is stored, as safetensors' own
    `load_model` expects. A `.keras` file is a zip archive that holds such a file of weights
    beside the config or, with `weights_format="h5"`, weights in Keras's layout: Keras 3 opens
    that one, as far as it knows the layers.

    A `torch.optim` optimizer is the program's own: its state is saved, but not how to make it.
    After loading, compile with a new one and call `load_optimizer_state`.

    In a job of several processes the first one writes, and the others return when it has. Weights
    that are divided among processes come together for it: then all of them must save.

    Args:
        model: a built model. Layers and functions of your own must have a name to be found by:
            see `register_keras_serializable`.
        filepath: str or path ending in `.safetensors` or `.keras`, in an existing folder. Of a
            symbolic link the target is replaced.
        overwrite: bool, whether an existing file may be replaced.
        zipped: kept for Keras's signature; a folder cannot be written.
        include_optimizer: bool, whether the optimizer's state goes in.
        weights_format: of a `.keras` file, "safetensors" (also None) or "h5", which needs h5py.

    Raises:
        ValueError: another ending or format, or the model is not built.
        ImportError: h5py is needed and not installed.
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
    filepath, format = _check("save_model", model, filepath, _MODELS)
    allowed = (None, "safetensors", "h5") if format is keras_format else (None, "safetensors")
    if weights_format not in allowed:
        raise ValueError(
            "`weights_format` is 'safetensors' or, for a file ending in '.keras', 'h5'. "
            f"Received: weights_format={weights_format!r}, filepath={filepath!r}."
        )
    if zipped is False:
        raise ValueError(
            "A model is saved to one file. Received: zipped=False. Leave the argument out."
        )
    check_switch("overwrite", overwrite)
    check_switch("include_optimizer", include_optimizer)
    options = {"weights_format": weights_format} if weights_format == "h5" else {}
    with whole_state(model), one_writer(filepath) as writes:
        if writes:
            _check_overwrite(filepath, overwrite)
            format.save_model(model, filepath, include_optimizer=include_optimizer, **options)


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """Load a model that `save_model` wrote, or a `.keras` file that Keras 3 wrote.

    It predicts as it did, and trains on as if it had never been away: weights, optimizer state
    and the seeds of random layers made with `seed=` are as they were (Keras itself saves no
    seeds). Metrics start anew.

    Args:
        filepath: str or path ending in `.safetensors` or `.keras`.
        custom_objects: dict of names to classes or functions the file may name.
        compile: bool, whether to compile it as it was and load the optimizer's state.
        safe_mode: kept for Keras's signature. Loading never runs code from a file, imports a
            module that it names, or opens another file.

    Raises:
        ValueError: not a model file, it is damaged, or it names classes that are not known.
        ImportError: its weights are HDF5, and h5py is not installed.
        FileNotFoundError: there is no such file.

    Example:

    >>> import os, tempfile
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> model.save(path)
    >>> bool((keras.saving.load_model(path)(torch.ones(1, 3)) == model(torch.ones(1, 3))).all())
    True
    """
    filepath, format = _check_path("load_model", filepath, _MODELS)
    check_switch("compile", compile)
    check_switch("safe_mode", safe_mode)
    check_custom_objects(custom_objects)
    return format.load_model(filepath, custom_objects=custom_objects, compile=compile)


def save_weights(model, filepath, overwrite=True, max_shard_size=None, names=None):
    """Save the weights; see `Model.save_weights`.

    Args:
        model: a built model.
        filepath: str or path ending in `.safetensors`, for the names of the `state_dict`, or in
            `.weights.h5`, for Keras's layout, which holds the optimizer's state too. With
            `max_shard_size` that of an index: `.safetensors.index.json`, as Hugging Face has it, or
            `.weights.json`, as Keras has it. The files lie beside it, and its name is made of a
            path with one of the endings above, with a warning.
        overwrite: bool, whether an existing file may be replaced.
        max_shard_size: float, in GB of 2^30 bytes, what one of several files may hold; None for one
            file. Those of an older index are removed when the new one is in its place.
        names: dict or function, of a `.safetensors` file: the name in the file of each weight, or
            `(name, axes)` to store `weight.permute(axes)`, or None to leave it out. See
            `torch_names`.

    Raises:
        ValueError, TypeError, ImportError, FileExistsError, OSError: as `save_model`; or a weight
            is larger than a file of Keras's kind may be.

    Example:

    >>> import os, tempfile
    >>> from safetensors.torch import load_file
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> keras.saving.save_weights(model, path)
    >>> model.load_state_dict(load_file(path))
    <All keys matched successfully>
    """
    if max_shard_size is None:
        filepath, format = _check("save_weights", model, filepath, _WEIGHTS, _SETS)
        write = format.save_weights
    else:
        check_real("max_shard_size", max_shard_size, least=0, cure="Give a number of GB.")
        filepath = _as_index(as_path("filepath", filepath))
        filepath, format = _check("save_weights", model, filepath, _SETS)
        write = functools.partial(format.save_weight_set, most_bytes=max_shard_size * 2**30)
    check_switch("overwrite", overwrite)
    if names is not None:
        if format is not safetensors_format:
            raise ValueError(
                "`names` is for files of Hugging Face's kind, which end in .safetensors. "
                f"Received: filepath={filepath!r}. Choose that ending, or leave `names` out."
            )
        write = functools.partial(write, names=names)
    with whole_state(model), one_writer(filepath) as writes:
        if writes:
            _check_overwrite(filepath, overwrite)
            write(model, filepath)


def _as_index(filepath):
    """The path of the index, where that of one file is given."""
    for ending, index in ((".safetensors", ".safetensors.index.json"), (".h5", ".json")):
        if filepath.endswith(ending):
            changed = filepath.removesuffix(ending) + index
            warn_user(
                f"Weights in several files are found by an index. Received: filepath={filepath!r} "
                f"with `max_shard_size`. The index is written to {changed!r}."
            )
            return changed
    return filepath


def load_weights(model, filepath, skip_mismatch=False, by_name=None, prefix=None, names=None):
    """Load weights into a built model; see `Model.load_weights`.

    All weights are set, or none. They are converted to the dtypes and devices of the model's own.
    From `.weights.h5` an optimizer that is built takes its state too (as in Keras).

    Args:
        model: a built model.
        filepath: str or path ending in `.safetensors`, `.weights.h5` or `.keras`; a file of
            weights or of a whole model, ours or Keras 3's. Or an index of several files, ending in
            `.safetensors.index.json` or `.weights.json`, ours, Hugging Face's or Keras 3's. Or one
            ending in `.h5` or `.hdf5`, in the layout of Keras 2, as Keras publishes its
            applications; see `by_name`.
        skip_mismatch: bool, load what fits and warn about the rest.
        by_name: bool, of a `.h5` file: whether layers take the weights of those of their name,
            and others keep their own. By default the layers with weights are those of the file
            in their order, whatever their names.
        prefix: str, what the names in the file begin with, for a model that is a part of the one
            in the file: `"encoder."`, or `"layers/encoder"` in HDF5. Other weights of the file are
            left alone.
        names: dict or function, of a `.safetensors` file: the name in the file of each weight, or
            `(name, axes)` for a tensor that is `weight.permute(axes)`, or None for a weight that
            keeps its value. Other tensors of the file are left alone. See `torch_names`.

    Raises:
        ValueError: names or shapes differ, the file is damaged, the model is not built, or
            `by_name` is given for another kind of file.
        ImportError: the weights are HDF5, and h5py is not installed.
        FileNotFoundError: there is no such file.

    Example:

    >>> import os, tempfile
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> keras.saving.save_weights(model, path)
    >>> keras.saving.load_weights(model, path)
    """
    formats = _MODELS | _WEIGHTS | _SETS | _LEGACY
    filepath, format = _check("load_weights", model, filepath, formats)
    check_switch("skip_mismatch", skip_mismatch)
    check_built(model, "to load into")
    if by_name is not None and format is not legacy_h5_format:
        raise ValueError(
            "`by_name` is for files of Keras 2, which end in '.h5' or '.hdf5'. Received: "
            f"by_name={by_name!r}, filepath={filepath!r}. Leave it out: other files name weights."
        )
    _check_choice(prefix, names, filepath, format)
    options = {"by_name": by_name} if by_name else {}
    with _open_weights(format, filepath) as weights:
        if prefix is not None:
            weights = weights.under(prefix)
        if names is not None:
            weights = weights.named(model, names)
        has_optimizer = format is h5_format and model.optimizer is not None and prefix is None
        has_optimizer = has_optimizer and model.optimizer.built
        if has_optimizer:
            weights.check_optimizer()
        weights.assign_weights(model, skip_mismatch, **options)
        if has_optimizer:
            assign_optimizer_or_warn(model, weights, filepath)


def _check_choice(prefix, names, filepath, format):
    if prefix is not None and not isinstance(prefix, str):
        raise TypeError(
            "`prefix` must be the begin of names, a string. Received: "
            f"prefix={prefix!r}. Give such as 'encoder.'."
        )
    given = prefix is not None or names is not None
    if (given and format is legacy_h5_format) or (prefix is not None and names is not None):
        raise ValueError(
            "`prefix` or `names` chooses weights, one of them, in files that name these. Received: "
            f"prefix={prefix!r}, names={names!r}, filepath={filepath!r}. Leave one out; of a file "
            "of Keras 2 both."
        )


def _open_weights(format, filepath):
    is_set = filepath.endswith(tuple(_SETS))
    return (format.open_weight_set if is_set else format.open_weights)(filepath)


def load_optimizer_state(model, filepath):
    """Load the state of the optimizer that a model file holds into a compiled model.

    `load_model` does this for the optimizers of `keras.optimizers`. It is needed after compiling
    a loaded model with a new `torch.optim` optimizer, or after `load_weights`.

    Args:
        model: a built and compiled model.
        filepath: str or path ending in `.safetensors` or `.keras`, written by `save_model`, or
            in `.weights.h5` or `.weights.json`.

    Raises:
        ValueError: the file has no such state, it does not fit, or the model is not ready.
        ImportError: the state is HDF5, and h5py is not installed.
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
    formats = _MODELS | _WEIGHTS | {weight_sets.KERAS.ending: h5_format}
    filepath, format = _check("load_optimizer_state", model, filepath, formats)
    check_built(model, "to optimize")
    if model.optimizer is None:
        raise ValueError(
            f"An optimizer is needed to load its state. Received: '{model.name}', which has none. "
            "Call `compile` first."
        )
    with _open_weights(format, filepath) as weights:
        if not weights.assign_optimizer(model):
            raise ValueError(
                "A file with the state of an optimizer was expected. Received: "
                f"'{filepath}', which has none. `model.save` writes it, once the model has been "
                "trained."
            )


def _check(function, model, filepath, formats, with_size=()):
    if not is_model(model):
        raise TypeError(
            f"`{function}` takes a model first. Received: {model!r} of type "
            f"{type(model).__name__}. Give a keras Model."
        )
    return _check_path(function, filepath, formats, with_size)


def _check_path(function, filepath, formats, with_size=()):
    """The path as a string, and the module for its ending."""
    filepath = as_path("filepath", filepath)
    for ending, format in formats.items():
        if filepath.endswith(ending):
            return filepath, format
    if filepath.endswith(tuple(with_size)):
        raise ValueError(
            f"An index is of files of some size. Received: filepath={filepath!r} without "
            "`max_shard_size`. Give that, in GB, or the path of one file."
        )
    *endings, last = [f"'{ending}'" for ending in formats]
    raise ValueError(
        f"`{function}` works with files that end in {', '.join(endings)} or {last}. Received: "
        f"filepath={filepath!r}. Choose one of these endings."
    )


def _check_overwrite(filepath, overwrite):
    if not overwrite and os.path.lexists(filepath):
        raise FileExistsError(
            f"The file exists already. Received: filepath={filepath!r}, overwrite=False. Choose "
            "another name, or pass overwrite=True."
        )
