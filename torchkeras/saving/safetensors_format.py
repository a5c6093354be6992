"""The `.safetensors` file: weights under their `state_dict` names, everything else beside them.

| in the file | what |
| --- | --- |
| `dense.kernel`, ... | the `state_dict`, each tensor once |
| `optimizer/0`, ... | tensors of the optimizer's state |
| `seeds/dropout.seed_generator_state`, ... | states of seed generators |
| metadata `config` | the model's config and compile arguments as JSON |
| metadata `aliases` | JSON, further names of tensors that stand under one name only |
| metadata `optimizer` | JSON, what of a torch optimizer's state is not a tensor |

Reading it runs no code: tensors are read by safetensors, the rest is JSON.
"""

import contextlib
import json
import os
import re
import warnings

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from torchkeras.core import tree
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.serialization import (
    custom_object_scope,
    deserialize_keras_object,
    serialize_keras_object,
)
from torchkeras.saving.atomic import atomic_write
from torchkeras.saving.memory_limit import MemoryLimit
from torchkeras.saving.optimizer_state import get_optimizer_state, set_optimizer_state

_OPTIMIZER, _SEEDS = "optimizer/", "seeds/"
_MAX_HEADER_BYTES = 32 * 2**20  # room for a config of thousands of layers; bounds the tensors too
_MAX_TEXT = 2000  # characters of a message that may quote the file

# Writing


def save_weights(model, path):
    """Write the `state_dict` alone."""
    tensors, aliases = _state(model)
    _write(path, tensors, {"aliases": json.dumps(aliases)})


def save_model(model, path, include_optimizer=True):
    """Write weights, config, compile arguments, optimizer state and seeds."""
    tensors, aliases = _state(model)
    metadata = {
        "aliases": json.dumps(aliases),
        "config": json.dumps(serialize_keras_object(model)),
    }
    for name, tensor in _seed_states(model).items():
        tensors[_SEEDS + name] = tensor
    if include_optimizer:
        state, frame = get_optimizer_state(model.optimizer)
        tensors.update({f"{_OPTIMIZER}{i}": tensor for i, tensor in enumerate(state)})
        if frame is not None:
            metadata["optimizer"] = json.dumps(frame)
    _write(path, tensors, metadata)


def _state(model):
    """Tensors by `state_dict` name, each once, and the further names of shared ones."""
    _check_built(model, "to save")
    tensors, aliases, names = {}, {}, {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if not isinstance(tensor, torch.Tensor) or tensor.is_meta:
            kind = "meta tensor" if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise ValueError(
                "The state of a model must be tensors with values. Received: "
                f"'{name}', a {kind}, in '{model.name}'."
            )
        if id(tensor) in names:
            aliases[name] = names[id(tensor)]
        else:
            names[id(tensor)] = name
            tensors[name] = tensor
    return tensors, aliases


def _seed_states(model):
    found = {}
    for path, module in model.named_modules():
        for generator in getattr(module, "_seed_generators", ()):
            key = f"{path}.{generator.state._key}" if path else generator.state._key
            found.setdefault(key, generator.state.value)
    return found


def _write(path, tensors, metadata):
    unique, storages = {}, set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        place = (tensor.untyped_storage().data_ptr(), tensor.device)
        if place in storages and tensor.numel():
            tensor = tensor.clone()  # parts of one memory: safetensors wants each on its own
        storages.add(place)
        unique[name] = tensor
    with atomic_write(path) as temporary:
        try:
            save_file(unique, temporary, metadata={"format": "pt", **metadata})
        except SafetensorError as error:
            # A full disk, say: safetensors puts the system's error number into its text.
            number = re.search(r"os error (\d+)", str(error))
            text = f"'{path}' could not be written: {error}. What was there before is unchanged."
            raise (OSError(int(number[1]), text) if number else OSError(text)) from error
        except KeyError as error:
            raise ValueError(
                f"A .safetensors file cannot hold tensors of every dtype. Received: {error} in "
                f"{[name for name, t in unique.items() if str(t.dtype) in str(error)][:5]}."
            ) from error


# Reading


def load_model(path, custom_objects=None, compile=True):
    """Make the model that the file describes, with its weights and its optimizer's state."""
    with _open(path) as file, custom_object_scope(custom_objects or {}):
        metadata = file.metadata() or {}
        if "config" not in metadata:
            raise ValueError(
                f"A model file holds the model's config. Received: '{path}', which holds weights "
                "only. Make the model and call `model.load_weights(path)`."
            )
        config = _json(metadata["config"], path)
        compile_config = config.pop("compile_config", None)
        with _limits(path):
            model = _make_model(config if compile else _never_compiled(config), file)
        _check_loadable(model, path)
        _assign_state(model, file, path)
        if compile and compile_config:
            with _limits(path, " Pass compile=False to load the model without compiling it."):
                model.compile_from_config(compile_config)
            _assign_optimizer_or_warn(model, file, path)
    return model


def load_weights(model, path, skip_mismatch=False):
    """Set the weights of a built model; all of them, or none when something does not fit."""
    _check_built(model, "to load into")
    with _open(path) as file:
        _assign_weights(model, file, path, skip_mismatch)


def load_optimizer_state(model, path):
    """Set the state of a compiled model's optimizer; all of it, or nothing."""
    _check_built(model, "to optimize")
    if model.optimizer is None:
        raise ValueError(
            f"An optimizer is needed to load its state. Received: '{model.name}', which has none. "
            "Call `compile` first."
        )
    with _open(path) as file:
        if not _assign_optimizer(model, file, path):
            raise ValueError(
                f"A file with the state of an optimizer was expected. Received: '{path}', which "
                "has none. `model.save` writes it, once the model has been trained."
            )


def _open(path):
    _check_header(path)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _check_header(path):
    """The header must be small, and name nothing twice: readers differ in which one they take."""
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = file.read(size) if size <= _MAX_HEADER_BYTES else None
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no file to load. Received: '{path}'. Check the path."
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from error
    if header is None:
        raise _unreadable(path, f"its header has {size} bytes, above {_MAX_HEADER_BYTES}")
    _json(header, path)


def _unreadable(path, problem):
    return ValueError(
        f"A .safetensors file was expected. Received: '{path}', which cannot be read as one: "
        f"{_clipped(problem)}. It may be damaged or of another format."
    )


def _json(text, path):
    """The JSON object in `text`."""
    try:
        value = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, f"a description in it is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise _unreadable(path, f"a description in it is a {type(value).__name__}, not an object")
    return value


def _without_duplicates(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        names = iter([name for name, _ in pairs])
        twice = next(name for name in names if found.pop(name, names) is names)
        raise ValueError(f"the name {_clipped(twice)!r} occurs twice")
    return found


@contextlib.contextmanager
def _limits(path, hint=""):
    """Inside, a config is read: whatever is wrong with it is a ValueError, and it stays small."""
    try:
        with MemoryLimit(os.path.getsize(path)):
            yield
    except Exception as error:
        kind = "" if isinstance(error, (ValueError, TypeError)) else f"{type(error).__name__}: "
        raise ValueError(
            f"The model in '{path}' cannot be made here: {kind}{_clipped(error)}{hint}"
        ) from error


def _clipped(message):
    text = str(message)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."


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
    """Whether `obj` is a Model; they are above this file, so it goes by what they can do."""
    return isinstance(obj, torch.nn.Module) and hasattr(obj, "compile_from_config")


def _make_model(config, file):
    model = deserialize_keras_object(config)
    if not is_model(model):
        raise ValueError(f"A config of a model was expected. Received: one of {model!r}.")
    shapes = model.__dict__.get("_build_shapes")
    if model.built and shapes and set(_weight_names(file)) - set(model.state_dict()):
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


def _check_built(model, purpose):
    if not model.built:
        raise ValueError(
            f"'{model.name}' has no weights {purpose} yet. Received: an unbuilt "
            f"{type(model).__name__}. Call it on data, or `build(input_shape)`, first."
        )


def _weight_names(file):
    return [name for name in file.keys() if not name.startswith((_OPTIMIZER, _SEEDS))]


def _assign_state(model, file, path):
    """Weights and seeds."""
    seeds = _seed_states(model)
    stored = set(file.keys())
    found = {name: _tensor(file, _SEEDS + name, path) for name in seeds if _SEEDS + name in stored}
    for name, tensor in found.items():
        if tensor.shape != seeds[name].shape or tensor.dtype != seeds[name].dtype:
            raise ValueError(
                f"The seed '{name}' must be a {seeds[name].dtype} tensor of shape "
                f"{tuple(seeds[name].shape)}. Received: {tensor.dtype}, {tuple(tensor.shape)} in "
                f"'{path}'."
            )
    _assign_weights(model, file, path)
    for name, tensor in found.items():
        seeds[name].copy_(tensor)


def _assign_weights(model, file, path, skip_mismatch=False):
    own = model.state_dict(keep_vars=True)
    sources = _sources(own, file, path)
    found = {own_name: _shape(file, name, path) for own_name, name in sources.items()}
    missing = [name for name in own if name not in sources]
    extra = [name for name in _weight_names(file) if name not in own]
    wrong = {name: shape for name, shape in found.items() if shape != tuple(own[name].shape)}
    if missing or extra or wrong:
        differences = [f"{n} {shape} for {tuple(own[n].shape)}" for n, shape in wrong.items()]
        problem = (
            f"The weights in '{path}' must be those of '{model.name}'. Received: "
            f"{_listed('missing', missing)}{_listed('unknown', extra)}"
            f"{_listed('of another shape', differences)}"
        )
        if not skip_mismatch:
            raise ValueError(
                f"{problem}Load into a model of the same architecture, or pass skip_mismatch=True."
            )
        warnings.warn(f"{problem}They were skipped.", stacklevel=5)
    # All are read before the first is set: a file that breaks off changes nothing.
    fitting = {
        own_name: _tensor(file, name, path, like=own[own_name])
        for own_name, name in sources.items()
        if own_name not in wrong
    }
    with torch.no_grad():
        for name, tensor in fitting.items():
            own[name].copy_(tensor)


def _sources(own, file, path):
    """`{own name: name in the file}` of the weights that the file holds."""
    stored = set(_weight_names(file))
    aliases = _json((file.metadata() or {}).get("aliases", "{}"), path)
    sources = {name: name for name in own if name in stored}
    for name, first in aliases.items():
        if name in own and isinstance(first, str) and first in stored:
            sources.setdefault(name, first)
    # Other writers store a tensor once too, without telling its further names.
    by_tensor = {id(own[name]): source for name, source in sources.items()}
    for name, tensor in own.items():
        if id(tensor) in by_tensor:
            sources.setdefault(name, by_tensor[id(tensor)])
    return sources


def _shape(file, name, path):
    try:
        return tuple(file.get_slice(name).get_shape())
    except (SafetensorError, OSError, TypeError) as error:
        raise _unreadable(path, f"'{_clipped(name)}': {error}") from error


def _tensor(file, name, path, like=None):
    """The tensor of a name, in the dtype of `like` and fit to be copied into it."""
    try:
        tensor = file.get_tensor(name)
        # Elements of less than a byte come packed, in another shape than the file declares.
        if like is None or (
            tensor.shape == like.shape and torch.can_cast(tensor.dtype, like.dtype)
        ):
            return tensor if like is None else tensor.to(like.dtype)
    except (SafetensorError, OSError, TypeError, RuntimeError) as error:
        raise _unreadable(path, f"'{_clipped(name)}': {error}") from error
    raise ValueError(
        f"The weight '{name}' must be {like.dtype} of shape {tuple(like.shape)}, or what can be "
        f"made that. Received: {tensor.dtype} of shape {tuple(tensor.shape)} in '{path}'. Convert "
        "the file."
    )


def _listed(what, names):
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return _clipped(f"{what}: {', '.join(sorted(names)[:5])}{more}. ")


def _assign_optimizer(model, file, path):
    """Set the optimizer's state; False where the file has none."""
    count = sum(name.startswith(_OPTIMIZER) for name in file.keys())
    frame = (file.metadata() or {}).get("optimizer")
    if not count and frame is None:
        return False
    tensors = [_tensor(file, f"{_OPTIMIZER}{i}", path) for i in range(count)]
    set_optimizer_state(model, tensors, None if frame is None else _json(frame, path))
    return True


def _assign_optimizer_or_warn(model, file, path):
    try:
        _assign_optimizer(model, file, path)
    except ValueError as error:
        warnings.warn(
            f"The optimizer state in '{path}' does not fit the optimizer of '{model.name}' and "
            f"was not loaded; training would start with a fresh one. {_clipped(error)}",
            stacklevel=4,
        )
