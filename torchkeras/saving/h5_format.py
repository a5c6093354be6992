"""The `.weights.h5` file, in the layout of Keras 3, which reads ours as we read its own.

| in the file | what |
| --- | --- |
| `layers/dense/vars/0`, ... | the own variables of a part; see `keras_layout` |
| `optimizer/vars/0`, ... | state of the model's optimizer, one of `keras.optimizers` |
| `torchkeras/seeds/vars/<name>` | states of seed generators, which Keras does not save |
| `torchkeras/optimizer/vars/0`, ... | tensors of the state of a `torch.optim` optimizer |
| `torchkeras/optimizer/vars/frame` | the rest of that state: JSON as bytes |
| attributes `torchkeras.checksums0`, ... | JSON: names, dtypes, shapes and checksums of arrays |

Keras passes over the last four. The same file is a member of `.keras` archives, which have
checksums of their own. Who changes an array in place must delete those attributes.
"""

import contextlib
import io
import json
import os
import re

import numpy as np
import torch

from torchkeras.core.convert import convert_to_numpy
from torchkeras.layers.core.quantizable import Quantizable
from torchkeras.layers.tracked_module import TrackedModule
from torchkeras.saving import weight_sets
from torchkeras.saving.atomic import atomic_write
from torchkeras.saving.checksums import checksum
from torchkeras.saving.h5_reader import (
    Groups,
    import_h5py,
    open_h5,
    read_tensor,
    write_checksums,
)
from torchkeras.saving.keras_layout import parts_by_path, torch_module
from torchkeras.saving.messages import clipped, json_object, listed, unreadable
from torchkeras.saving.model_config import check_built
from torchkeras.saving.optimizer_state import (
    get_optimizer_state,
    optimizer_as_it_was,
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
            write_checksums(file, _write(file, groups))


def save_weight_set(model, path, most_bytes):
    """Write what `save_weights` does to several files and an index, as Keras does."""
    h5py = import_h5py()
    groups = _collect(model, include_optimizer=True)
    sizes = {
        (group, name): value.nbytes if hasattr(value, "nbytes") else np.asarray(value).nbytes
        for group, (_, values) in groups.items()
        for name, value in values.items()
    }
    for (group, name), size in sizes.items():
        if size > most_bytes:
            raise ValueError(
                "`max_shard_size` must leave room for the largest weight. Received: "
                f"{most_bytes / 2**30:g} GB for '{group}/{name}' of {size / 2**30:g} GB. Give "
                "more, or choose the ending .safetensors.index.json: there a file may be larger."
            )

    def write(temporary, part):
        found = {}
        for group, name in part:
            about, values = groups[group]
            found.setdefault(group, (about, {}))[1][name] = values[name]
        with h5py.File(temporary, "w") as file:
            return write_checksums(file, _write(file, found))

    def weight_map(files):
        places = {}
        for file, part in files.items():
            for group, _ in part:
                names = places.setdefault(f"/{group}", [])
                names += [] if file in names else [file]
        return {group: names if len(names) > 1 else names[0] for group, names in places.items()}

    metadata = {"total_size": sum(sizes.values())}
    with _write_errors(path):
        parts = weight_sets.divide(sizes, most_bytes)
        weight_sets.write_set(weight_sets.KERAS, path, parts, write, weight_map, metadata)
        _put_first_file(h5py, path)


def _put_first_file(h5py, path):
    """Keras opens the file of number 0 whatever it is called in the index."""
    base = os.path.abspath(path).removesuffix(weight_sets.KERAS.ending)
    first = weight_sets.KERAS.name(base, 0, 1, "")
    if not os.path.lexists(first):
        with atomic_write(first) as temporary:
            h5py.File(temporary, "w").close()


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
    return groups


def _write(file, groups):
    """Write groups; returns what `write_checksums` takes."""
    arrays = {}
    for path, (name, values) in groups.items():
        if not values and name is None:
            continue
        group = file.create_group(path)
        if name is not None:
            group.attrs["name"] = name
        for key, value in values.items():
            arrays[f"{path}/{key}"] = _put(group, key, value)
    return arrays


def _put(group, name, value):
    """Write an array; returns its dtype in the file, its shape and its checksum."""
    if isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16:
        array = value.detach().cpu().contiguous().view(torch.int16).numpy().view("V2")
        group.create_dataset(name, data=array).attrs["dtype"] = "bfloat16"
        return array.dtype, array.shape, checksum(array)
    array = np.asarray(convert_to_numpy(value))
    if array.dtype.kind not in "biufc":
        raise ValueError(
            f"A file of weights holds arrays of numbers. Received: {clipped(repr(value))} as "
            f"'{name}' in '{group.name}'. Let `save_own_variables` put numbers there."
        )
    group[name] = array
    return array.dtype, array.shape, checksum(array)


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
    variables = part._own_variables()
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


@contextlib.contextmanager
def open_weight_set(path):
    """The reader of the weights in the files of an index."""
    weight_map, _, files = weight_sets.read_index(weight_sets.KERAS, path)
    merged = Groups()
    merged.checksums = {}
    with contextlib.ExitStack() as stack:
        opened = {}
        for name, (file, seal) in files.items():
            opened[name] = stack.enter_context(open_h5(file))
            weight_sets.check_same_set(opened[name].seal, seal, file)
            merged.checksums.update(opened[name].checksums)
        for place, names in weight_map.items():
            group = place.strip("/")
            for name in names:
                datasets = opened[name].get(group)
                if datasets is None or set(datasets) & set(merged.get(group, ())):
                    problem = "lacks, or has as another one does, what its index tells: "
                    raise unreadable(files[name][0], f"it {problem}'{clipped(group)}'", "HDF5")
                merged.setdefault(group, {}).update(datasets)
        yield Weights(merged, path)


class Weights:
    """The weights, seeds and optimizer state in an open file.

    Args:
        groups: dict from `open_h5`.
        path: str.
        prefix: str, what stands before the names in the file.
    """

    def __init__(self, groups, path, prefix=""):
        self._path = path
        self._prefix = prefix
        self._checksums = groups.checksums
        self._optimizer_tensors = {}
        self._groups = {
            path: datasets for path, datasets in groups.items() if path.split("/")[-1] == "vars"
        }

    def under(self, prefix):
        """The reader of the weights in a group; their paths there are theirs here."""
        start = f"{prefix.strip('/')}/"
        found = Groups(
            {k.removeprefix(start): v for k, v in self._groups.items() if k.startswith(start)}
        )
        if not found:
            raise ValueError(
                f"`prefix` must name a group with weights in '{self._path}'. Received: "
                f"prefix={prefix!r}. {listed('It has', list(self._groups))}"
            )
        found.checksums = self._checksums
        return Weights(found, self._path, f"{self._prefix}{start}")

    def named(self, model, names):
        raise ValueError(
            "`names` is for files of Hugging Face's kind, which end in .safetensors. Received: "
            f"names={clipped(repr(names))} for '{self._path}'. Leave it out: HDF5 files go by the "
            "structure of the model."
        )

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

    def check_optimizer(self):
        """Raise where the state of an optimizer is not as it was written; it is kept for later."""
        for group in (_OPTIMIZER, _TORCH_OPTIMIZER):
            for name in self._groups.get(group, {}):
                self._optimizer_tensors[group, name] = self._tensor(group, name)

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
        with optimizer_as_it_was(model.optimizer):
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
            and not (group.endswith("/vars") and "optimizer" in group.split("/")[-2])
            for name in datasets
        ]

    def _tensor(self, group, name):
        if (group, name) in self._optimizer_tensors:
            return self._optimizer_tensors[group, name]
        dataset = self._groups[group][name]
        name = f"{self._prefix}{group}/{name}"
        return read_tensor(dataset, name, self._path, self._checksums)


def _group(path):
    return f"{path}/vars" if path else "vars"


def _copies(part):
    return {name: tensor.clone() for name, tensor in part.state_dict().items()}


def _has_state(model):
    optimizer = model.optimizer
    return optimizer is not None and optimizer.built and len(optimizer.variables) > 2
