"""A model from the config in a file: no code is run, and no more made than the file can fill."""

import contextlib
import os

import torch

from torchkeras.core import tree
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.serialization import deserialize_keras_object, sharing_scope
from torchkeras.core.user_warnings import warn_user
from torchkeras.saving.checksums import DamagedFileError
from torchkeras.saving.memory_limit import MemoryLimit
from torchkeras.saving.messages import clipped


def rebuild_model(config, weights, path, compile):
    """Make the model that `config` describes, and give it what the file holds.

    Args:
        config: dict, what `serialize_keras_object` gave for a model.
        weights: reader of the file's weights. `lacks_place(model)` tells whether some of them
            belong to no weight of the model; `assign_assets(model)` gives layers what they keep
            beside; `assign_state(model)` sets weights and seeds;
            `assign_optimizer(model)` the optimizer's state, all or none of each.
        path: str, the file.
        compile: bool, whether to compile it and load the optimizer's state.

    Raises:
        ValueError: whatever is wrong with the config or the weights.
    """
    config = dict(config)
    compile_config = config.pop("compile_config", None)
    with _limits(path, values_follow=True), sharing_scope():
        model = _make_model(config if compile else _never_compiled(config), weights)
    _check_loadable(model, path)
    weights.assign_assets(model)
    weights.assign_state(model)
    if compile and compile_config:
        with _limits(path, " Pass compile=False to load the model without compiling it."):
            model.compile_from_config(compile_config)
        if model.optimizer is not None:
            assign_optimizer_or_warn(model, weights, path)
    return model


def assign_optimizer_or_warn(model, weights, path):
    """Load the optimizer's state; one that does not fit is left out, with a warning."""
    try:
        weights.assign_optimizer(model)
    except DamagedFileError:
        raise
    except ValueError as error:
        warn_user(
            f"The optimizer state in '{path}' does not fit the optimizer of '{model.name}' and "
            f"was not loaded; training would start with a fresh one. {clipped(error)}"
        )


@contextlib.contextmanager
def _limits(path, hint="", values_follow=False):
    """Inside, a config is read: whatever is wrong with it is a ValueError, and it stays small."""
    try:
        with MemoryLimit(os.path.getsize(path), values_follow):
            yield
    except RecursionError as error:
        raise ValueError(
            f"The model in '{path}' cannot be made here. Received: a config that is nested too "
            f"deeply.{hint}"
        ) from error
    except Exception as error:
        kind = "" if isinstance(error, (ValueError, TypeError)) else f"{type(error).__name__}: "
        raise ValueError(
            f"The model in '{path}' cannot be made here: {kind}{clipped(error)}{hint}"
        ) from error


def _never_compiled(config):
    """The config without the compile arguments of nested models."""
    if isinstance(config, list):
        return [_never_compiled(item) for item in config]
    if not isinstance(config, dict):
        return config
    is_object = "class_name" in config and "config" in config
    return {
        key: _never_compiled(value)
        for key, value in config.items()
        if not (is_object and key == "compile_config")
    }


def is_model(obj):
    """Whether `obj` is a Model, or a layer that has files of its own, as a FeatureSpace.

    They are above this file, so it goes by what they can do.
    """
    if not isinstance(obj, torch.nn.Module):
        return False
    return hasattr(obj, "compile_from_config") or getattr(obj, "_is_saved_alone", False)


def _make_model(config, weights):
    model = deserialize_keras_object(config)
    if not is_model(model):
        raise ValueError(f"A config of a model was expected. Received: one of {model!r}.")
    shapes = model.__dict__.get("_build_shapes")
    if model.built and shapes and weights.lacks_place(model):
        # A `build` of the model's own left layers to be built in the first call.
        symbols = {
            name.removesuffix("_shape"): tree.map_shape_structure(KerasTensor, shape)
            for name, shape in shapes.items()
        }
        args = [symbols.pop("input")] if "input" in symbols else []
        model.compute_output_spec(*args, **symbols)
    return model


def _check_loadable(model, path):
    if not model.built:
        raise ValueError(
            f"The model in '{path}' could not be built from its config, so its weights have "
            f"no place. Received: {type(model).__name__} '{model.name}'. Make the model, "
            "build it, and call `model.load_weights(path)`."
        )


def check_built(model, purpose):
    """Raise unless the model has its weights."""
    if not model.built:
        raise ValueError(
            f"'{model.name}' has no weights {purpose} yet. Received: an unbuilt "
            f"{type(model).__name__}. Call it on data, or `build(input_shape)`, first."
        )
