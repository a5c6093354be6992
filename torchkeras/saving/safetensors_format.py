"""The `.safetensors` file: weights under their `state_dict` names, everything else beside them.

| in the file | what |
| --- | --- |
| `dense.kernel`, ... | the `state_dict`, each tensor once |
| `optimizer/0`, ... | tensors of the optimizer's state |
| `seeds/dropout.seed_generator_state`, ... | states of seed generators |
| `assets/lookup/vocabulary.txt`, ... | bytes that layers keep; see `assets` |
| metadata `config` | the model's config and compile arguments as JSON |
| metadata `aliases` | JSON, further names of tensors that stand under one name only |
| metadata `optimizer` | JSON, what of a torch optimizer's state is not a tensor |
| metadata `torchkeras.checksums`, ... | see `checksums` |

Reading it runs no code: tensors are read by safetensors, the rest is JSON. A `.keras` archive
holds the same file, without the config and without checksums: it has its own.
"""

import contextlib
import io
import json
import re

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors_torch

from torchkeras.core.files import open_regular
from torchkeras.core.serialization import custom_object_scope, serialize_with_sharing
from torchkeras.saving import assets, weight_sets
from torchkeras.saving.assets import by_module, collect_assets
from torchkeras.saving.atomic import atomic_write
from torchkeras.saving.checksums import (
    check_tensor,
    header_checksum,
    read_checksums,
    save_with_checksums,
)
from torchkeras.saving.messages import clipped, json_object, listed, no_file, unreadable
from torchkeras.saving.model_config import check_built, rebuild_model
from torchkeras.saving.name_maps import RenamedFile, places_of, renamed_tensors
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

OPTIMIZER, SEEDS = "optimizer/", "seeds/"
_MAX_HEADER_BYTES = 32 * 2**20  # room for a config of thousands of layers; bounds the tensors too

# Writing


def save_weights(model, path, names=None):
    """Write the `state_dict` alone, under its own names or those of a map."""
    tensors, aliases = _named_state(model, names)
    write_tensors(path, tensors, {"aliases": json.dumps(aliases)})


def save_weight_set(model, path, most_bytes, names=None):
    """Write the `state_dict` to several files and an index, as Hugging Face does."""
    tensors, aliases = _named_state(model, names)
    tensors = _distinct(tensors)
    parts = weight_sets.divide({name: t.nbytes for name, t in tensors.items()}, most_bytes)

    def write(temporary, part):
        return save_with_checksums({n: tensors[n] for n in part}, temporary, {"format": "pt"})

    def weight_map(files):
        return {name: file for file, part in files.items() for name in part}

    metadata = {"total_size": sum(tensor.nbytes for tensor in tensors.values())}
    if aliases:
        metadata["aliases"] = json.dumps(aliases)
    with _write_errors(path, tensors):
        weight_sets.write_set(weight_sets.HUGGING_FACE, path, parts, write, weight_map, metadata)


def save_model(model, path, include_optimizer=True):
    """Write weights, config, compile arguments, optimizer state and seeds."""
    tensors, metadata = collect_state(model, include_optimizer)
    for name, data in collect_assets(by_module(model)).items():
        tensors[name] = torch.tensor(list(data), dtype=torch.uint8)
    metadata["config"] = json.dumps(serialize_with_sharing(model))
    write_tensors(path, tensors, metadata)


def to_bytes(model, path, include_optimizer=True):
    """What `save_model` writes, without the config, as the bytes of a file inside of `path`."""
    tensors, metadata = collect_state(model, include_optimizer)
    tensors = _distinct(tensors)
    with _write_errors(path, tensors):
        return safetensors_torch.save(tensors, metadata={"format": "pt", **metadata})


def collect_state(model, include_optimizer):
    """Weights, seeds and optimizer state, and the metadata that belongs to them."""
    tensors, aliases = _state(model)
    metadata = {"aliases": json.dumps(aliases)}
    for name, tensor in seed_states(model).items():
        tensors[SEEDS + name] = tensor
    if include_optimizer:
        state, frame = get_optimizer_state(model.optimizer, model)
        tensors.update({f"{OPTIMIZER}{i}": tensor for i, tensor in enumerate(state)})
        if frame is not None:
            metadata["optimizer"] = json.dumps(frame)
    return tensors, metadata


def _state(model):
    """Tensors by `state_dict` name, each once, and the further names of shared ones."""
    check_built(model, "to save")
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


def _named_state(model, names):
    tensors, aliases = _state(model)
    if names is None:
        return tensors, aliases
    return renamed_tensors(tensors, names, aliases), {}


def write_tensors(path, tensors, metadata):
    """Write a file of tensors by their names, and a dict of strings, as a whole or not at all."""
    tensors = _distinct(tensors)
    with atomic_write(path) as temporary, _write_errors(path, tensors):
        save_with_checksums(tensors, temporary, {"format": "pt", **metadata})


def _distinct(tensors):
    """The tensors, each with memory of its own, as safetensors wants them."""
    distinct, storages = {}, set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        place = (tensor.untyped_storage().data_ptr(), tensor.device)
        if place in storages and tensor.numel():
            tensor = tensor.clone()
        storages.add(place)
        distinct[name] = tensor
    return distinct


@contextlib.contextmanager
def _write_errors(path, tensors):
    try:
        yield
    except SafetensorError as error:
        # A full disk, say: safetensors puts the system's error number into its text.
        number = re.search(r"os error (\d+)", str(error))
        text = f"'{path}' could not be written: {error}. What was there before is unchanged."
        raise (OSError(int(number[1]), text) if number else OSError(text)) from error
    except KeyError as error:
        raise ValueError(
            f"A .safetensors file cannot hold tensors of every dtype. Received: {error} in "
            f"{[name for name, t in tensors.items() if str(t.dtype) in str(error)][:5]}."
        ) from error


# Reading


def load_model(path, custom_objects=None, compile=True):
    """Make the model that the file describes, with its weights and its optimizer's state."""
    with OpenFile(path) as file, custom_object_scope(custom_objects or {}):
        metadata = file.metadata() or {}
        if "config" not in metadata:
            raise ValueError(
                f"A model file holds the model's config. Received: '{path}', which holds weights "
                "only. Make the model and call `model.load_weights(path)`."
            )
        config = json_object(metadata["config"], path)
        return rebuild_model(config, Weights(file, path), path, compile)


@contextlib.contextmanager
def open_weights(path):
    """The reader of the weights in a file."""
    with OpenFile(path) as file:
        yield Weights(file, path)


class OpenFile:
    """An open `.safetensors` file; a tensor is compared with its checksum when it is read.

    Args:
        path: str.

    Raises:
        ValueError: it is no such file, or its header is damaged.
        FileNotFoundError: there is none.
    """

    def __init__(self, path):
        self._path = path
        try:
            with open_regular(path, most_bytes=None) as file:
                header = check_header(file, path)
            self._checksums = read_checksums(header, path)
            self.seal = header_checksum(header)
            del header  # of very many names, before it is read once more
            self._file = safe_open(path, framework="pt")
        except FileNotFoundError:
            raise no_file(path) from None
        except (SafetensorError, OSError) as error:
            raise unreadable(path, error) from error

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def keys(self):
        return list(self._file.keys())

    def metadata(self):
        return self._file.metadata()

    def get_shape(self, name):
        return tuple(self._file.get_slice(name).get_shape())

    def get_tensor(self, name):
        tensor = self._file.get_tensor(name)
        check_tensor(tensor, name, self._checksums, self._path)
        return tensor


def check_header(file, path):
    """The header of an open file as JSON; it must be small, and name nothing twice."""
    size = int.from_bytes(file.read(8), "little")
    if size > _MAX_HEADER_BYTES:
        raise unreadable(path, f"its header has {size} bytes, above {_MAX_HEADER_BYTES}")
    return json_object(file.read(size), path)


@contextlib.contextmanager
def open_weight_set(path):
    """The reader of the weights in the files of an index."""
    weight_map, metadata, files = weight_sets.read_index(weight_sets.HUGGING_FACE, path)
    with contextlib.ExitStack() as stack:
        opened = {}
        for name, (file, seal) in files.items():
            opened[name] = stack.enter_context(OpenFile(file))
            weight_sets.check_same_set(opened[name].seal, seal, file)
        held = {name: set(file.keys()) for name, file in opened.items()}
        for tensor, (name, *more) in weight_map.items():
            if more or tensor not in held[name]:
                raise unreadable(path, f"'{clipped(tensor)}' is not in '{clipped(name)}'", "index")
        places = {tensor: opened[name] for tensor, (name,) in weight_map.items()}
        yield Weights(_FileSet(places, metadata), path)


class _FileSet:
    """Several open files, with the methods of one."""

    def __init__(self, places, metadata):
        self._places = places
        self._metadata = {k: v for k, v in metadata.items() if isinstance(v, str)}

    def keys(self):
        return list(self._places)

    def metadata(self):
        return self._metadata

    def get_shape(self, name):
        return self._places[name].get_shape(name)

    def get_tensor(self, name):
        return self._places[name].get_tensor(name)


class FileInMemory:
    """The bytes of a `.safetensors` file, with the methods of an open one.

    Args:
        data: bytes.
        path: str, the archive they are from.
    """

    def __init__(self, data, path):
        self._metadata = check_header(io.BytesIO(data), path).get("__metadata__")
        try:
            self._tensors = safetensors_torch.load(data)
        except (SafetensorError, KeyError, RuntimeError, TypeError) as error:
            raise unreadable(path, error) from error

    def keys(self):
        return list(self._tensors)

    def metadata(self):
        return self._metadata

    def get_tensor(self, name):
        return self._tensors[name]

    def get_shape(self, name):
        return tuple(self._tensors[name].shape)


class Weights:
    """The weights, seeds and optimizer state in an open `.safetensors` file.

    Args:
        file: an `OpenFile`, or a `FileInMemory`.
        path: str.
    """

    def __init__(self, file, path):
        self._file = file
        self._path = path
        self._stored = set(file.keys())
        self._optional = set()
        beside = (OPTIMIZER, SEEDS, assets.PREFIX)
        self._names = [n for n in file.keys() if not n.startswith(beside)]

    def under(self, prefix):
        """The reader of the weights whose names begin so; the rest of the name is theirs here."""
        aliases = json_object((self._file.metadata() or {}).get("aliases", "{}"), self._path)
        places = {name: name for name in self._names}
        tied = {k: v for k, v in aliases.items() if isinstance(v, str) and v in places}
        found = {n: p for n, p in places.items() if n.startswith(prefix)}
        inner = {n: v for n, v in tied.items() if n.startswith(prefix) and v in found}
        found.update({n: v for n, v in tied.items() if n.startswith(prefix) and v not in found})
        if not found:
            raise ValueError(
                f"`prefix` must begin the names of some weights in '{self._path}'. Received: "
                f"prefix={prefix!r}. {listed('It has', self._names)}"
            )
        start = len(prefix)
        aliases = {name[start:]: first[start:] for name, first in inner.items()}
        found = {name[start:]: (place, None) for name, place in found.items()}
        return Weights(RenamedFile(self._file, found, aliases), self._path)

    def named(self, model, names):
        """The reader that finds the weights of a model under the names of a map."""
        places, optional = places_of(model, names, self._names)
        weights = Weights(RenamedFile(self._file, places), self._path)
        weights._optional = optional
        return weights

    def lacks_place(self, model):
        """Whether some of the weights belong to no weight of the model."""
        return bool(set(self._names) - set(model.state_dict()))

    def assign_assets(self, model):
        """Give the layers of a model their assets."""
        names = [name for name in self._stored if name.startswith(assets.PREFIX)]
        found = {}
        for name in sorted(names):
            tensor = self._tensor(name)
            if tensor.dtype != torch.uint8 or tensor.dim() != 1:
                raise unreadable(self._path, f"'{clipped(name)}' is no row of bytes")
            found[name] = tensor.numpy().tobytes()
        assets.assign_assets(assets.by_module(model), found, self._path)

    def assign_state(self, model):
        """Set weights and seeds."""
        seeds = seed_states(model)
        stored = {n: SEEDS + n for n in seeds if SEEDS + n in self._stored}
        check_seed_shapes(seeds, {n: self._shape(name) for n, name in stored.items()}, self._path)
        found = {n: self._tensor(name) for n, name in stored.items()}
        check_seeds(seeds, found, self._path)
        self.assign_weights(model)
        for name, tensor in found.items():
            seeds[name].copy_(tensor)

    def assign_weights(self, model, skip_mismatch=False):
        """Set the weights of a built model; all of them, or none when something does not fit."""
        own = model.state_dict(keep_vars=True)
        sources = self._sources(own)
        found = {own_name: self._shape(name) for own_name, name in sources.items()}
        missing = [n for n in own if n not in sources and n not in self._optional]
        extra = [name for name in self._names if name not in own]
        shapes = {name: tuple(own[name].shape) for name in found}
        wrong = {n: (shape, shapes[n]) for n, shape in found.items() if shape != shapes[n]}
        check_differences(model, self._path, missing, extra, wrong, skip_mismatch)
        # All are read before the first is set: a file that breaks off changes nothing.
        fitting = {
            own_name: self._tensor(name, like=own[own_name])
            for own_name, name in sources.items()
            if own_name not in wrong
        }
        with torch.no_grad():
            for name, tensor in fitting.items():
                own[name].copy_(tensor)

    def assign_optimizer(self, model):
        """Set the optimizer's state; False where the file has none."""
        count = sum(name.startswith(OPTIMIZER) for name in self._stored)
        frame = (self._file.metadata() or {}).get("optimizer")
        if not count and frame is None:
            return False
        frame = None if frame is None else json_object(frame, self._path)
        shapes = [self._shape(f"{OPTIMIZER}{i}") for i in range(count)]
        with optimizer_as_it_was(model.optimizer):
            prepare_optimizer(model, shapes, frame)
            tensors = [self._tensor(f"{OPTIMIZER}{i}") for i in range(count)]
            set_optimizer_state(model, tensors, frame)
        return True

    def _sources(self, own):
        """`{own name: name in the file}` of the weights that the file holds."""
        stored = set(self._names)
        aliases = json_object((self._file.metadata() or {}).get("aliases", "{}"), self._path)
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

    def _shape(self, name):
        with self._read_errors(name):
            return self._file.get_shape(name)

    def _tensor(self, name, like=None):
        """The tensor of a name, in the dtype of `like` and fit to be copied into it."""
        with self._read_errors(name):
            tensor = self._file.get_tensor(name)
            if like is None:
                return tensor
            return as_weight(tensor, like, name, self._path)

    @contextlib.contextmanager
    def _read_errors(self, name):
        try:
            yield
        except (SafetensorError, OSError, TypeError, RuntimeError, KeyError) as error:
            raise unreadable(self._path, f"'{clipped(name)}': {error}") from error
