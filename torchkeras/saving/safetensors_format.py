"""The `.safetensors` file: weights under their `state_dict` names, everything else beside them.

| in the file | what |
| --- | --- |
| `dense.kernel`, ... | the `state_dict`, each tensor once |
| `optimizer/0`, ... | variables of the optimizer in order (for torch's: its state's tensors) |
| `seeds/dropout.seed_generator_state`, ... | states of seed generators |
| metadata `config` | the model's config and compile arguments as JSON |
| metadata `aliases` | JSON, further names of tensors that stand under one name only |
| metadata `optimizer` | JSON, what of a torch optimizer's state is not a tensor |

Reading it runs no code: tensors are read by safetensors, the rest is JSON.
"""

import json
import warnings

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.saving.atomic import atomic_write

_OPTIMIZER, _SEEDS = "optimizer/", "seeds/"


def save_weights(model, path):
    """Write the `state_dict` alone."""
    tensors, aliases = _state(model)
    _write(path, tensors, {"format": "pt", "aliases": json.dumps(aliases)})


def save_model(model, path, include_optimizer=True):
    """Write weights, config, compile arguments, optimizer state and seeds."""
    tensors, aliases = _state(model)
    metadata = {
        "format": "pt",
        "aliases": json.dumps(aliases),
        "config": json.dumps(serialize_keras_object(model)),
    }
    for name, tensor in _seed_states(model).items():
        tensors[_SEEDS + name] = tensor
    optimizer = getattr(model, "optimizer", None)
    if include_optimizer and optimizer is not None:
        found, extra = _optimizer_state(optimizer)
        tensors.update({_OPTIMIZER + name: tensor for name, tensor in found.items()})
        if extra is not None:
            metadata["optimizer"] = json.dumps(extra)
    _write(path, tensors, metadata)


def load_model(path, custom_objects=None, compile=True):
    """Make the model that the file describes, with its weights and its optimizer's state."""
    with _open(path) as file:
        metadata = file.metadata() or {}
        if "config" not in metadata:
            raise ValueError(
                f"A model file holds the model's config. Received: '{path}', which holds weights "
                "only. Make the model and call `model.load_weights(path)`."
            )
        config = _json(metadata["config"], path)
        compile_config = config.pop("compile_config", None)
        model = deserialize_keras_object(config, custom_objects=custom_objects)
        if not model.built:
            raise ValueError(
                f"The model in '{path}' could not be built from its config, so its weights have "
                f"no place. Received: {type(model).__name__} '{model.name}'. Make the model, "
                "build it, and call `model.load_weights(path)`."
            )
        _assign_state(model, file, path, skip_mismatch=False)
        _assign_seeds(model, file)
        if compile and compile_config is not None:
            from torchkeras.core.serialization import custom_object_scope

            with custom_object_scope(custom_objects or {}):
                model.compile_from_config(compile_config)
            _assign_optimizer(model, file, metadata, path)
    return model


def load_weights(model, path, skip_mismatch=False):
    """Set the weights of a built model; all of them, or none when something does not fit."""
    if not model.built:
        raise ValueError(
            f"'{model.name}' has no weights to load into yet. Received: an unbuilt "
            f"{type(model).__name__}. Call it on data, or `build(input_shape)`, first."
        )
    with _open(path) as file:
        _assign_state(model, file, path, skip_mismatch)


def _state(model):
    """Tensors by `state_dict` name, each once, and the further names of shared ones."""
    if not model.built:
        raise ValueError(
            f"'{model.name}' has no weights to save yet. Received: an unbuilt "
            f"{type(model).__name__}. Call it on data, or `build(input_shape)`, first."
        )
    tensors, aliases, names = {}, {}, {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(
                "The state of a model must be tensors. Received: "
                f"'{name}' of type {type(tensor).__name__} in '{model.name}'."
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


def _optimizer_state(optimizer):
    """Tensors by name, and the rest as something JSON can hold, or None."""
    if not hasattr(optimizer, "state_dict"):
        return {str(i): v.value for i, v in enumerate(optimizer.variables)}, None
    tensors = {}

    def take(value, path):
        if isinstance(value, torch.Tensor):
            tensors[path] = value
            return {"tensor": path}
        if isinstance(value, dict):
            return {"dict": [[key, take(item, f"{path}/{key}")] for key, item in value.items()]}
        if isinstance(value, (list, tuple)):
            return {"list": [take(item, f"{path}/{i}") for i, item in enumerate(value)]}
        return {"value": value}

    return tensors, take(optimizer.state_dict(), "torch")


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
        save_file(unique, temporary, metadata=metadata)


def _open(path):
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no file to load. Received: '{path}'. Check the path."
        ) from None
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"A .safetensors file was expected. Received: '{path}', which cannot be read as one: "
            f"{error}. It may be damaged or of another format."
        ) from error


def _json(text, path):
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"The description in '{path}' must be JSON. Received: text that is not ({error})."
        ) from error
    if not isinstance(value, dict):
        raise ValueError(
            f"The description in '{path}' must be a JSON object. Received: {type(value).__name__}."
        )
    return value


def _assign_state(model, file, path, skip_mismatch):
    own = model.state_dict(keep_vars=True)
    stored = {k for k in file.keys() if not k.startswith((_OPTIMIZER, _SEEDS))}
    aliases = _json((file.metadata() or {}).get("aliases", "{}"), path)
    source = {name: name for name in stored}
    source.update({name: first for name, first in aliases.items() if first in stored})
    missing = [name for name in own if name not in source]
    extra = [name for name in stored if name not in own]
    shapes = [
        (name, tuple(own[name].shape), tuple(file.get_slice(source[name]).get_shape()))
        for name in own
        if name in source
    ]
    wrong = [item for item in shapes if item[1] != item[2]]
    if missing or extra or wrong:
        problem = (
            f"The weights in '{path}' must be those of '{model.name}'. Received: "
            f"{_listed('missing', missing)}{_listed('unknown', extra)}"
            f"{_listed('of another shape', [f'{n} {have} for {want}' for n, want, have in wrong])}"
        )
        if not skip_mismatch:
            raise ValueError(
                f"{problem} Load into a model of the same architecture, or pass skip_mismatch=True."
            )
        warnings.warn(f"{problem} They were skipped.", stacklevel=4)
    bad = {name for name, *_ in wrong}
    fitting = {n: file.get_tensor(source[n]) for n in own if n in source and n not in bad}
    with torch.no_grad():
        for name, tensor in fitting.items():
            own[name].copy_(tensor)


def _listed(what, names):
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{what}: {', '.join(sorted(names)[:5])}{more}. "


def _assign_seeds(model, file):
    stored = set(file.keys())
    for name, tensor in _seed_states(model).items():
        if _SEEDS + name in stored:
            tensor.copy_(file.get_tensor(_SEEDS + name))


def _assign_optimizer(model, file, metadata, path):
    optimizer = model.optimizer
    names = [name for name in file.keys() if name.startswith(_OPTIMIZER)]
    if not names and "optimizer" not in metadata:
        return
    if "optimizer" in metadata:
        return  # a torch optimizer belongs to the program; compile_from_config cannot make it
    variables = optimizer.variables
    tensors = {name: file.get_tensor(name) for name in names}
    ordered = [tensors.get(f"{_OPTIMIZER}{i}") for i in range(len(variables))]
    fits = len(tensors) == len(variables) and all(
        t is not None and tuple(t.shape) == v.shape for t, v in zip(ordered, variables, strict=True)
    )
    if not fits:
        warnings.warn(
            f"The optimizer state in '{path}' does not fit the optimizer of '{model.name}' "
            f"({len(tensors)} tensors for {len(variables)} variables) and was not loaded. "
            "Training would start with a fresh optimizer.",
            stacklevel=4,
        )
        return
    for variable, tensor in zip(variables, ordered, strict=True):
        variable.assign(tensor)
