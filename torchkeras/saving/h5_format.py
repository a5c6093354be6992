"""The `.weights.h5` file, in the layout of Keras 3, which reads ours as we read its own.

| in the file | what |
| --- | --- |
| `layers/dense/vars/0`, ... | the own variables of a part; see `keras_layout` |
| `optimizer/vars/0`, ... | state of the model's optimizer, one of `keras.optimizers` |
| `optimizer/inner_optimizer/vars/0`, ... | an inner optimizer's part of it once more, for Keras |
| `torchkeras/seeds/vars/<name>` | states of seed generators, which Keras does not save |
| `torchkeras/optimizer/vars/0`, ... | tensors of the state of a `torch.optim` optimizer |
| `torchkeras/optimizer/vars/frame` | the rest of that state: JSON as bytes |

Keras passes over the last three. The same file is a member of `.keras` archives.
"""

import contextlib
import io
import json
import re

import numpy as np
import torch

from torchkeras.core.convert import convert_to_numpy
from torchkeras.layers.core.quantizable import Quantizable
from torchkeras.layers.tracked_module import TrackedModule
from torchkeras.saving.atomic import atomic_write
from torchkeras.saving.h5_reader import import_h5py, open_h5, read_tensor
from torchkeras.saving.keras_layout import optimizers_by_path, parts_by_path, torch_module
from torchkeras.saving.messages import clipped, json_object, unreadable
from torchkeras.saving.model_config import check_built
from torchkeras.saving.optimizer_state import (
    get_optimizer_state,
    prepare_optimizer,
    set_optimizer_state,
)
from torchkeras.saving.weight_checks import (
    as_weight,
    check_differences,
    check_seed_shapes,
    check_seeds,
    seed_states,
)

_SEEDS, _TORCH_OPTIMIZER = "torchkeras/seeds/vars", "torchkeras/optimizer/vars"
_OPTIMIZER = "optimizer/vars"
_MAX_FRAME_BYTES = 2**25
_CUSTOM_BYTES, _CUSTOM_RATIO = 2**25, 16

# Writing


def save_weights(model, path):
    """Write the weights and, as Keras does, the optimizer's state."""
    write_groups(path, _collect(model, include_optimizer=True))


def write_groups(path, groups):
    """Write `{path of a group: (name of the part, {name: value})}`, whole or not at all."""
    h5py = import_h5py()
    with atomic_write(path) as temporary, _write_errors(path):
        with h5py.File(temporary, "w") as file:
            _write(file, groups)


def to_bytes(model, path, include_optimizer=True):
    """The file with seeds too, as the bytes of a member of the archive `path`."""
    groups = _collect(model, include_optimizer)
    groups[_SEEDS] = (None, seed_states(model))
    buffer = io.BytesIO()
    with import_h5py().File(buffer, "w") as file:
        _write(file, groups)
    return buffer.getvalue()


@contextlib.contextmanager
def _write_errors(path):
    try:
        yield
    except (OSError, RuntimeError) as error:
        # A full disk, say: HDF5 puts the system's error number into its text.
        number = re.search(r"errno = (\d+)", str(error))
        text = f"'{path}' could not be written: {error}. What was there before is unchanged."
        raise (OSError(int(number[1]), text) if number else OSError(text)) from error


def _collect(model, include_optimizer):
    """`{path of a group: (name of the part, {name: value})}`."""
    check_built(model, "to save")
    groups = {}
    for path, part in parts_by_path(model).items():
        name, values = getattr(part, "name", None), _own_values(part)
        groups[_group(path)] = (name if isinstance(name, str) else None, values)
    optimizer = model.optimizer
    if include_optimizer and optimizer is not None and optimizer.built:
        tensors, frame = get_optimizer_state(optimizer, model)
        values = {str(index): tensor for index, tensor in enumerate(tensors)}
        if frame is not None:
            values["frame"] = np.frombuffer(json.dumps(frame).encode(), dtype=np.uint8)
        groups[_OPTIMIZER if frame is None else _TORCH_OPTIMIZER] = (optimizer.name, values)
        if frame is None:
            for path, inner in optimizers_by_path(optimizer).items():
                groups[_group(path)] = inner.name, _numbered(inner.variables)
    return groups


def _write(file, groups):
    for path, (name, values) in groups.items():
        if not values and name is None:
            continue
        group = file.create_group(path)
        if name is not None:
            group.attrs["name"] = name
        for key, value in values.items():
            _put(group, key, value)


def _put(group, name, value):
    if isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16:
        array = value.detach().cpu().contiguous().view(torch.int16).numpy().view("V2")
        group.create_dataset(name, data=array).attrs["dtype"] = "bfloat16"
        return
    array = np.asarray(convert_to_numpy(value))
    if array.dtype.kind not in "biufc":
        raise ValueError(
            f"A file of weights holds arrays of numbers. Received: {clipped(repr(value))} as "
            f"'{name}' in '{group.name}'. Let `save_own_variables` put numbers there."
        )
    group[name] = array


# What a part owns


def _own_values(part):
    """`{name: tensor or array}` of a part's own variables."""
    module = torch_module(part)
    if module is not None:
        return module.state_dict(keep_vars=True)
    if _is_custom(part, "save_own_variables"):
        store = {}
        part.save_own_variables(store)
        return store
    return _numbered(part._own_variables())


def _numbered(variables):
    return {str(i): variable._store[variable._key] for i, variable in enumerate(variables)}


def _is_custom(part, method):
    """Whether a layer has its own way to save or load its variables."""
    if not isinstance(part, TrackedModule) or torch_module(part) is not None:
        return False
    own = getattr(type(part), method)
    if own is getattr(Quantizable, method):
        return part.lora_enabled or part._codes is not None
    return own is not getattr(TrackedModule, method)


# Reading


@contextlib.contextmanager
def open_weights(path, data=None):
    """The reader of the weights in a file, or in the bytes `data` of an archive's member."""
    with open_h5(path, data) as groups:
        yield Weights(groups, path)


class Weights:
    """The weights, seeds and optimizer state in an open file.

    Args:
        groups: dict from `open_h5`.
        path: str.
    """

    def __init__(self, groups, path):
        self._path = path
        self._groups = {
            path: datasets for path, datasets in groups.items() if path.split("/")[-1] == "vars"
        }

    def lacks_place(self, model):
        """Whether some of the weights belong to no weight of the model."""
        parts = parts_by_path(model)
        return bool(self._unknown(parts)) or any(
            set(self._stored(path)) - set(_own_values(part))
            for path, part in parts.items()
            if not _is_custom(part, "load_own_variables")
        )

    def assign_state(self, model):
        """Set weights and seeds."""
        seeds = seed_states(model)
        stored = self._groups.get(_SEEDS, {})
        shapes = {name: stored[name].shape for name in seeds if name in stored}
        check_seed_shapes(seeds, shapes, self._path)
        found = {name: self._tensor(_SEEDS, name) for name in shapes}
        check_seeds(seeds, found, self._path)
        self.assign_weights(model)
        for name, tensor in found.items():
            seeds[name].copy_(tensor)

    def assign_weights(self, model, skip_mismatch=False):
        """Set the weights of a built model; all of them, or none when something does not fit."""
        parts = parts_by_path(model)
        missing, extra, wrong, fitting, custom = [], self._unknown(parts), {}, [], []
        for path, part in parts.items():
            stored, group = self._stored(path), _group(path)
            if _is_custom(part, "load_own_variables"):
                custom.append((part, group, stored))
                continue
            own = _own_values(part)
            missing += [f"{group}/{name}" for name in own if name not in stored]
            extra += [f"{group}/{name}" for name in stored if name not in own]
            for name in (name for name in own if name in stored):
                shapes = tuple(stored[name].shape), tuple(own[name].shape)
                if shapes[0] != shapes[1]:
                    wrong[f"{group}/{name}"] = shapes
                else:
                    fitting.append((own[name], group, name))
        check_differences(model, self._path, missing, extra, wrong, skip_mismatch)
        # All are read before the first is set: a file that breaks off changes nothing.
        values = [
            as_weight(self._tensor(group, name), own, f"{group}/{name}", self._path)
            for own, group, name in fitting
        ]
        self._load_custom([(part, self._custom(*own)) for part, *own in custom])
        with torch.no_grad():
            for (own, _, _), value in zip(fitting, values, strict=True):
                own.copy_(value)

    def _custom(self, group, stored):
        """The arrays of a layer that loads in its own way: what shapes they have, it knows alone.

        Such as shrink beyond measure in the file are refused.
        """
        declared = sum(d.size * d.dtype.itemsize for d in stored.values())
        kept = sum(d.id.get_storage_size() for d in stored.values())
        if declared > _CUSTOM_BYTES + _CUSTOM_RATIO * kept:
            problem = f"'{group}' declares {declared} bytes and stores {kept}"
            raise unreadable(self._path, problem, "HDF5")
        return {name: self._tensor(group, name) for name in stored}

    def _load_custom(self, custom):
        """Let layers that load in their own way do so; after an error they are as they were."""
        before = [(part, _copies(part)) for part, _ in custom]
        try:
            for part, store in custom:
                part.load_own_variables({n: convert_to_numpy(v) for n, v in store.items()})
        except Exception as error:
            with torch.no_grad():
                for part, copies in before:
                    for name, tensor in part.state_dict(keep_vars=True).items():
                        tensor.copy_(copies[name])
            raise ValueError(
                f"The weights in '{self._path}' must suit the model's layers. Received: what "
                f"`load_own_variables` of one refuses ({type(error).__name__}: {clipped(error)})."
            ) from error

    def assign_optimizer(self, model):
        """Set the optimizer's state; False where the file has none."""
        frame = self._groups.get(_TORCH_OPTIMIZER, {}).get("frame")
        group = _OPTIMIZER if frame is None else _TORCH_OPTIMIZER
        stored = self._groups.get(group, {})
        # Keras stores the counter and the rate of an optimizer that has not run yet.
        if len(stored) < 3 and frame is None and _has_state(model):
            return False
        if not stored:
            return False
        count = len(stored) - (frame is not None)
        self._check_numbered(stored, count)
        if frame is not None:
            if frame.shape is None or frame.size > _MAX_FRAME_BYTES:
                raise unreadable(self._path, f"'{group}/frame' has {frame.size} bytes", "HDF5")
            text = self._tensor(group, "frame").to(torch.uint8).numpy().tobytes()
            frame = json_object(text, self._path, "HDF5", frame.id.get_storage_size())
        shapes = [tuple(stored[str(index)].shape) for index in range(count)]
        prepare_optimizer(model, shapes, frame)
        tensors = [self._tensor(group, str(index)) for index in range(count)]
        set_optimizer_state(model, tensors, frame)
        return True

    def _check_numbered(self, stored, count):
        absent = [str(index) for index in range(count) if str(index) not in stored]
        if absent:
            raise ValueError(
                f"The state of an optimizer is numbered from 0. Received: {count} tensors in "
                f"'{self._path}', without number {absent[0]}. The file is damaged."
            )

    def _stored(self, path):
        return self._groups.get(_group(path), {})

    def _unknown(self, parts):
        """Variables in the file that belong to no part; optimizers may be absent."""
        return [
            f"{group}/{name}"
            for group, datasets in self._groups.items()
            if group.removesuffix("vars").removesuffix("/") not in parts
            and not group.startswith("torchkeras/")
            and not group.startswith("optimizer/")
            and not (group.endswith("/vars") and "optimizer" in group.split("/")[-2])
            for name in datasets
        ]

    def _tensor(self, group, name):
        return read_tensor(self._groups[group][name], f"{group}/{name}", self._path)


def _group(path):
    return f"{path}/vars" if path else "vars"


def _copies(part):
    return {name: tensor.clone() for name, tensor in part.state_dict().items()}


def _has_state(model):
    optimizer = model.optimizer
    return optimizer is not None and optimizer.built and len(optimizer.variables) > 2
