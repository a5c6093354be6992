"""The state of a training run in one file: what it takes to go on as if nothing had happened.

A `.safetensors` file, so reading it runs no code:

| in the file | is |
| --- | --- |
| `weights/dense.kernel`, ... | the model's `state_dict`, shared tensors once |
| `seeds/0`, ... | states of seed generators, in the order of the model's modules |
| `optimizer/0`, ... | tensors of the optimizer's state |
| `arrays/0`, ... | arrays in the states of callbacks and random generators |
| metadata `training` | JSON, all that is not a tensor |
"""

import json

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from torchkeras.distribution import process_group
from torchkeras.distribution.random_state import check_random_states, gather_random_states
from torchkeras.distribution.sharding import whole_state

# Of what `fit` tells of itself; a file of another one begins its epoch anew.
LOOP_VERSION = 1

_WEIGHTS, _SEEDS, _OPTIMIZER, _ARRAYS = "weights/", "seeds/", "optimizer/", "arrays/"


def save_training_state(path, model, callbacks, progress):
    """Write model, optimizer, states of callbacks, random generators and `progress`; atomically.

    In a job of several processes all must call it: process 0 writes, with the states of the
    random generators of each.

    Args:
        path: str. Its folder must exist.
        model: a built model.
        callbacks: list of Callbacks; those that have a state take part: see `get_states`.
        progress: dict of numbers and strings; under `"loops"` a list, an item for each process, of
            dicts of a position in the data, the metrics' values and the logs.

    Raises:
        TypeError: a callback's state has something that is no number, string, array or structure
            of them.
        OSError: the file cannot be written; what was there before is unchanged.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "state.safetensors")
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> save_training_state(path, model, [], {"epoch": 3})
    >>> load_training_state(path, model)[0]
    {'epoch': 3}
    """
    random_states = gather_random_states()
    model._replica.synchronize_state()
    with whole_state(model):
        if process_group.is_chief():
            _write(path, model, callbacks, progress, random_states)


def _write(path, model, callbacks, progress, random_states):
    from torchkeras.saving.atomic import atomic_write
    from torchkeras.saving.optimizer_state import get_optimizer_state

    optimizer_tensors, frame = get_optimizer_state(model.optimizer, model)
    arrays = []
    progress = dict(progress)
    loops = progress.pop("loops", None)  # what each process tells of its loop
    description = {
        "progress": progress,
        "optimizer": frame,
        "callbacks": to_frame(get_states(callbacks), arrays),
        "random": to_frame(random_states, arrays),
    }
    if loops is not None:
        description["loop"] = {"version": LOOP_VERSION, "processes": to_frame(loops, arrays)}
    tensors = {_WEIGHTS + name: tensor for name, tensor in _weights(model).items()}
    for prefix, values in (
        (_SEEDS, _seeds(model)),
        (_OPTIMIZER, optimizer_tensors),
        (_ARRAYS, arrays),
    ):
        tensors.update({f"{prefix}{i}": value for i, value in enumerate(values)})
    # A copy in plain order on the CPU: safetensors refuses views into one memory.
    tensors = {k: t.detach().to("cpu", copy=True).contiguous() for k, t in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={"training": json.dumps(description)})


def load_training_state(path, model):
    """Set a model and its optimizer as the file says.

    Everything is read and compared before anything is set.

    Args:
        path: str.
        model: a built model of the same architecture, compiled with the same kind of optimizer.

    Returns:
        `(progress, callback states, random states)`; the last are a list, an item for each process
        of the run. See `set_states`, and `set_random_states` of the distribution.

    Raises:
        ValueError: the file is damaged or of another model.
        FileNotFoundError: there is no such file.
    """
    from torchkeras.saving.optimizer_state import set_optimizer_state

    description, tensors = _read(path)
    weights, seeds = _weights(model), _seeds(model)
    found = _with_prefix(tensors, _WEIGHTS)
    _check_same(
        path,
        {name: tuple(tensor.shape) for name, tensor in weights.items()},
        {name: tuple(tensor.shape) for name, tensor in found.items()},
    )
    found_seeds = _in_order(tensors, _SEEDS)
    _check_same(path, {"seed generators": len(seeds)}, {"seed generators": len(found_seeds)})
    arrays = _in_order(tensors, _ARRAYS)
    try:
        callback_states = from_frame(description["callbacks"], arrays)
        random_states = from_frame(description["random"], arrays)
        if isinstance(random_states, dict):  # of an earlier version, which knew one process
            random_states = [random_states]
        check_random_states(random_states)
        loops = _loops_in(description, arrays)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    optimizer_tensors = _in_order(tensors, _OPTIMIZER)
    if optimizer_tensors or description["optimizer"] is not None:
        set_optimizer_state(model, optimizer_tensors, description["optimizer"])
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.copy_(found[name])
        for tensor, value in zip(seeds, found_seeds, strict=True):
            tensor.copy_(value)
    progress = description["progress"]
    return ({**progress, "loops": loops} if loops else progress), callback_states, random_states


def _loops_in(description, arrays):
    """What each process told of its loop; None in files that lack it, or of another version."""
    found = description.get("loop")
    if not found or found["version"] != LOOP_VERSION:
        return None
    loops = from_frame(found["processes"], arrays)
    if not isinstance(loops, list) or not loops:
        raise ValueError("the states of its loops are no list")
    for loop in loops:
        if not isinstance(loop, dict) or set(loop) != {"position", "metrics", "logs"}:
            raise ValueError("the state of a loop is of another form")
        position = loop["position"]
        for name in ("epoch_random", "pass_random"):
            if position[name] is not None:
                check_random_states([position[name]])
        for name in ("steps", "steps_in_pass"):
            if type(position[name]) is not int or position[name] < 0:
                raise ValueError(f"the state of a loop has {name}={position[name]!r}")
        if not {"pass_state", "source"} <= set(position) or not all(
            isinstance(value, torch.Tensor) for value in loop["metrics"]
        ):
            raise ValueError("the state of a loop lacks something")
    return loops


def _read(path):
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})["training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        missing = {"progress", "optimizer", "callbacks", "random"} - set(description)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if missing:
        raise _damaged(path, f"it lacks {sorted(missing)}")
    return description, tensors


def _damaged(path, problem):
    return ValueError(
        f"A file of a training run was expected. Received: '{path}', which cannot be read as one "
        f"({problem}). Delete it to start anew."
    )


def _check_same(path, expected, found):
    if expected == found:
        return
    different = [key for key in {**expected, **found} if expected.get(key) != found.get(key)]
    listed = [f"{key} {found.get(key)} for {expected.get(key)}" for key in different[:5]]
    raise ValueError(
        f"A run can go on only with the model that it was begun with. Received: '{path}' with "
        f"{', '.join(listed)}{' and others' if len(different) > 5 else ''}. Restore the model's "
        "code, or delete the file to start anew."
    )


def _with_prefix(tensors, prefix):
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def _in_order(tensors, prefix):
    found = _with_prefix(tensors, prefix)
    return [found[str(i)] for i in range(len(found)) if str(i) in found]


def _weights(model):
    """The `state_dict`, each tensor once."""
    found, seen = {}, set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if isinstance(tensor, torch.Tensor) and id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor
    return found


def _seeds(model):
    generators = {}
    for module in model.modules():
        for generator in getattr(module, "_seed_generators", ()):
            generators[id(generator)] = generator.state.value
    return list(generators.values())


# Callbacks


def get_states(callbacks):
    """`[[class name, state], ...]` of the callbacks that have one.

    That is, of those with methods `state_dict()` and `load_state_dict(state)`, and of the
    library's own that list the attributes that matter in `_state_names`.

    Example:

    >>> history = keras.callbacks.History()
    >>> get_states([history, keras.callbacks.Callback()])
    [['History', {'epoch': [], 'history': {}}]]
    """
    found = []
    for callback in callbacks:
        if hasattr(callback, "state_dict"):
            found.append([type(callback).__name__, callback.state_dict()])
        elif hasattr(callback, "_state_names"):
            state = {name: getattr(callback, name) for name in callback._state_names}
            found.append([type(callback).__name__, state])
    return found


def set_states(callbacks, states):
    """Give callbacks the states of `get_states`: the first of a class the first of that class.

    Example:

    >>> history = keras.callbacks.History()
    >>> set_states([history], [["History", {"epoch": [0], "history": {"loss": [0.5]}}]])
    >>> history.epoch
    [0]
    """
    states = list(states)
    for callback in callbacks:
        name = type(callback).__name__
        place = next((i for i, (kind, _) in enumerate(states) if kind == name), None)
        if place is None:
            continue
        _, state = states.pop(place)
        if hasattr(callback, "load_state_dict"):
            callback.load_state_dict(state)
        else:
            for attribute in getattr(callback, "_state_names", ()):
                if attribute in state:
                    setattr(callback, attribute, state[attribute])


# Structures of numbers, strings and arrays as JSON


def to_frame(value, arrays):
    """A structure as JSON values, its arrays and tensors put into the list `arrays`.

    Raises:
        TypeError: something in it is of another kind.

    Example:

    >>> arrays = []
    >>> frame = to_frame({"a": (1, np.ones(2))}, arrays)
    >>> from_frame(frame, arrays)
    {'a': (1, array([1., 1.]))}
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (torch.Tensor, np.ndarray)):
        is_array = isinstance(value, np.ndarray)
        arrays.append(torch.from_numpy(value.copy()) if is_array else value)
        return {"array" if is_array else "tensor": len(arrays) - 1}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [to_frame(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[to_frame(k, arrays), to_frame(v, arrays)] for k, v in value.items()]}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    raise TypeError(
        "The state of a callback or of data must be made of numbers, strings, arrays, and lists, "
        f"tuples and dicts of them. Received: {value!r} of type {type(value).__name__}. Leave it "
        "out of the state."
    )


def from_frame(frame, arrays):
    """The structure that `to_frame` described.

    Example:

    >>> from_frame({"list": [1, {"tuple": ["a"]}]}, [])
    [1, ('a',)]
    """
    if not isinstance(frame, dict):
        return frame
    ((kind, content),) = frame.items()
    if kind == "array":
        return arrays[content].numpy()
    if kind == "tensor":
        return arrays[content]
    if kind == "bytes":
        return bytes.fromhex(content)
    if kind == "dict":
        return {from_frame(key, arrays): from_frame(item, arrays) for key, item in content}
    items = [from_frame(item, arrays) for item in content]
    return tuple(items) if kind == "tuple" else items
