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

from torchkeras.core.files import open_regular
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
    from torchkeras.saving.checksums import save_with_checksums
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
        save_with_checksums(tensors, temporary, {"training": json.dumps(description)})


def load_training_state(path, model, callbacks=()):
    """Set a model and its optimizer as the file says.

    Everything is read and compared before anything is set.

    Args:
        path: str.
        model: a built model of the same architecture, compiled with the same kind of optimizer.
        callbacks: list of Callbacks that `set_states` will be called with.

    Returns:
        `(progress, callback states, random states)`; the last are a list, an item for each process
        of the run. See `set_states`, and `set_random_states` of the distribution.

    Raises:
        ValueError: the file is damaged or of another model.
        FileNotFoundError: there is no such file.
    """
    from torchkeras.saving.optimizer_state import plan_optimizer_state

    weights, seeds = _weights(model), _seeds(model)
    description, tensors = _read(path, weights, seeds)
    arrays = _in_order(tensors, _ARRAYS)
    try:
        callback_states = from_frame(description["callbacks"], arrays)
        check_states(callback_states, callbacks)
        random_states = from_frame(description["random"], arrays)
        if isinstance(random_states, dict):  # of an earlier version, which knew one process
            random_states = [random_states]
        check_random_states(random_states)
        loops = _loops_in(description, arrays)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    optimizer_tensors = _in_order(tensors, _OPTIMIZER)
    frame, set_optimizer = description["optimizer"], lambda: None
    if model.optimizer is not None and (optimizer_tensors or frame is not None):
        set_optimizer = plan_optimizer_state(model, optimizer_tensors, frame)
    # From here on nothing can fail.
    set_optimizer()
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.copy_(tensors[_WEIGHTS + name])
        for i, tensor in enumerate(seeds):
            tensor.copy_(tensors[f"{_SEEDS}{i}"])
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


def _read(path, weights, seeds):
    """`(description, tensors)` of a file, whose names, shapes and dtypes fit the model."""
    from torchkeras.saving.checksums import check_tensor, read_checksums
    from torchkeras.saving.safetensors_format import check_header

    try:
        with open_regular(path, most_bytes=None) as file:
            checksums = read_checksums(check_header(file, path), path)
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})["training"])
            _check_description(description)
            slices = {name: file.get_slice(name) for name in file.keys()}
            _check_fits(path, slices, weights, seeds)
            tensors = {name: file.get_tensor(name) for name in slices}
            for name, tensor in tensors.items():
                check_tensor(tensor, name, checksums, path)
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise error if isinstance(error, _Misfit) else _damaged(path, _told(error)) from error
    for name, own in [
        *((_WEIGHTS + name, tensor) for name, tensor in weights.items()),
        *((f"{_SEEDS}{i}", tensor) for i, tensor in enumerate(seeds)),
    ]:
        exact = name.startswith(_SEEDS)  # a seed in another dtype is another seed
        found = tensors[name].dtype
        if found != own.dtype and (exact or not torch.can_cast(found, own.dtype)):
            raise _damaged(path, f"'{name}' is {found}, not {own.dtype}")
    return description, tensors


def _told(error):
    return f"{type(error).__name__}: {str(error)[:500]}"


def _check_description(description):
    missing = {"progress", "optimizer", "callbacks", "random"} - set(description)
    if missing or not isinstance(description, dict):
        raise ValueError(f"it lacks {sorted(missing)}")
    progress = description["progress"]
    if not isinstance(progress, dict):
        raise ValueError(f"progress={progress!r} is no dict")
    for name, lowest in (("epoch", 0), ("batch", 0)):
        value = progress.get(name)
        is_none = value is None and name == "batch"
        if not is_none and (type(value) is not int or not lowest <= value < 2**53):
            raise ValueError(f"{name}={value!r} is no number of an epoch or batch")


def _check_fits(path, slices, weights, seeds):
    def shapes(prefix):
        found = _with_prefix(slices, prefix)
        return {name: tuple(part.get_shape()) for name, part in found.items()}

    expected = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    _check_same(path, expected, shapes(_WEIGHTS))
    found, numbers = shapes(_SEEDS), {str(i): tuple(seed.shape) for i, seed in enumerate(seeds)}
    _check_same(path, {"seed generators": len(numbers)}, {"seed generators": len(found)})
    _check_same(path, numbers, found)
    for prefix in (_OPTIMIZER, _ARRAYS):
        count = len(_with_prefix(slices, prefix))
        lacking = [i for i in range(count) if f"{prefix}{i}" not in slices]
        if lacking:
            raise ValueError(f"it lacks '{prefix}{lacking[0]}'")


def _damaged(path, problem):
    return ValueError(
        f"A file of a training run was expected. Received: '{path}', which cannot be read as one "
        f"({str(problem)[:2000]}). Delete it to start anew."
    )


class _Misfit(ValueError):
    """The file is a good one, of another model."""


def _check_same(path, expected, found):
    if expected == found:
        return
    different = [key for key in {**expected, **found} if expected.get(key) != found.get(key)]
    listed = [f"{key} {found.get(key)} for {expected.get(key)}" for key in different[:5]]
    raise _Misfit(
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


def check_states(states, callbacks=()):
    """Raise a ValueError unless states are of the form that `get_states` gives.

    Those of the library's callbacks must have values of the kinds that these have now.

    Args:
        states: list of `[class name, state]`.
        callbacks: list of Callbacks.

    Example:

    >>> check_states([["History", {"epoch": 1}]], [keras.callbacks.History()])
    Traceback (most recent call last):
    ValueError: The state 'epoch' of History must be a list. Received: 1.
    """
    if not isinstance(states, list):
        raise ValueError("The states of callbacks must be a list. Received: another value.")
    for item in states:
        pair = item if isinstance(item, (list, tuple)) and len(item) == 2 else (None, None)
        if not isinstance(pair[0], str) or not isinstance(pair[1], dict):
            raise ValueError(
                "The state of a callback must be its class name and a dict. Received: "
                f"{str(item)[:200]}."
            )
    for callback, state in _matched(callbacks, states):
        if hasattr(callback, "load_state_dict"):
            continue  # its own
        for name in getattr(callback, "_state_names", ()):
            current, value = getattr(callback, name, None), state.get(name)
            # What is None so far may be a number or, if its name says so, a list of weights.
            none = current is None and not name.endswith("weights")
            listed = none and isinstance(value, (list, dict, tuple))
            if name in state and (listed or not _same_kind(value, current)):
                is_number = none or isinstance(current, _NUMBERS)
                kind = "number" if is_number else type(current).__name__
                raise ValueError(
                    f"The state '{name}' of {type(callback).__name__} must be a {kind}. "
                    f"Received: {str(value)[:200]}."
                )


_NUMBERS = (bool, int, float, np.generic, np.ndarray)


def _same_kind(value, current):
    if value is None or current is None:
        return value is None or isinstance(value, (str, list, dict, *_NUMBERS))
    if isinstance(current, _NUMBERS):
        return isinstance(value, _NUMBERS)
    return isinstance(value, type(current))


def _matched(callbacks, states):
    """`(callback, state)`: the first of a class with the first of that class."""
    states = list(states)
    for callback in callbacks:
        name = type(callback).__name__
        place = next((i for i, (kind, _) in enumerate(states) if kind == name), None)
        if place is not None:
            yield callback, states.pop(place)[1]


def set_states(callbacks, states):
    """Give callbacks the states of `get_states`: the first of a class the first of that class.

    Example:

    >>> history = keras.callbacks.History()
    >>> set_states([history], [["History", {"epoch": [0], "history": {"loss": [0.5]}}]])
    >>> history.epoch
    [0]
    """
    for callback, state in _matched(callbacks, states):
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
    if kind in ("array", "tensor"):
        if type(content) is not int or not 0 <= content < len(arrays):
            raise ValueError(f"A frame names an array that the file lacks: {content!r}.")
        return arrays[content].numpy() if kind == "array" else arrays[content]
    if kind == "bytes":
        return bytes.fromhex(content)
    if kind == "dict":
        return {from_frame(key, arrays): from_frame(item, arrays) for key, item in content}
    if kind not in ("list", "tuple"):
        raise ValueError(f"A frame of an unknown kind: {kind!r}.")
    items = [from_frame(item, arrays) for item in content]
    return tuple(items) if kind == "tuple" else items
