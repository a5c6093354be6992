"""Reading a sharded checkpoint: each process the parts that it needs, or one of them the whole.

`torch.distributed.checkpoint` reads them, on any number of processes, and runs no code doing so.
"""

import json
import os

import torch

from torchkeras.core.sharding import is_sharded, shard_like
from torchkeras.distribution import process_group
from torchkeras.distribution.fully_shard import ShardedReplica
from torchkeras.saving.model_config import check_built
from torchkeras.saving.one_writer import one_writer
from torchkeras.saving.optimizer_state import set_optimizer_state
from torchkeras.saving.safetensors_format import OPTIMIZER, SEEDS, write_tensors
from torchkeras.saving.sharded_index import no_warning_of_one_process, read_index
from torchkeras.saving.sharded_save import wait_for_pending
from torchkeras.saving.weight_checks import check_differences, check_seeds, seed_states


def load_sharded(model, folder):
    """Set a model, its optimizer's state and its seeds from what `save_sharded` wrote.

    Every process must call it, and reads the parts it holds; the checkpoint may come from another
    number of processes. Names, shapes and sizes of files are compared before anything is set.

    Args:
        model: a built model; the state of an optimizer is loaded where it is compiled with one.
        folder: str or path.

    Returns:
        dict with the `"step"` of the save.

    Raises:
        FileNotFoundError: there is no such folder, or no whole checkpoint in it.
        ValueError: the checkpoint is damaged, or that of another model.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> keras.distribution.save_sharded(model, folder, step=3)
    >>> other = keras.models.clone_model(model)
    >>> keras.distribution.load_sharded(other, folder)
    {'step': 3}
    >>> torch.equal(other.layers[0].kernel.value, model.layers[0].kernel.value)
    True
    """
    process_group.ensure_initialized()
    wait_for_pending()
    check_built(model, "to load into")
    folder = os.path.abspath(os.fsdecode(folder))
    index, shapes = read_index(folder)
    replica = model._join_job()
    if isinstance(replica, ShardedReplica):
        replica.prepare_inference(first_only=True)  # what is divided needs only its parts
    targets = _weights_and_seeds(model, index, folder, shapes)
    finish = _add_optimizer(model, index, folder, shapes, targets)
    _read_parts(targets, os.path.join(folder, index["data"]))
    finish()
    return {"step": index["step"]}


def consolidate(folder, filepath):
    """Make one ordinary model file of a sharded checkpoint.

    One process is enough, and holds the whole model in memory; in a job the first one writes.

    Args:
        folder: str or path of the checkpoint.
        filepath: str or path ending in `.safetensors`, for `load_model` and `load_weights`.

    Raises:
        FileNotFoundError, ValueError: as `load_sharded`.

    Example:

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> keras.distribution.save_sharded(model, os.path.join(folder, "parts"))
    >>> path = os.path.join(folder, "model.safetensors")
    >>> keras.distribution.consolidate(os.path.join(folder, "parts"), path)
    >>> keras.saving.load_model(path).count_params()
    8
    """
    filepath = os.fsdecode(filepath)
    if not filepath.endswith(".safetensors"):
        raise ValueError(
            "`consolidate` writes files that end in '.safetensors'. Received: "
            f"filepath={filepath!r}. Load the model from one, and save it to another format."
        )
    folder = os.path.abspath(os.fsdecode(folder))
    with one_writer(filepath) as writes:
        if not writes:
            return
        index, shapes = read_index(folder)
        tensors = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in shapes.items()}
        _read_parts(tensors, os.path.join(folder, index["data"]), alone=True)
        write_tensors(filepath, tensors, index["metadata"])


def _weights_and_seeds(model, index, folder, shapes):
    """`{name in the checkpoint: tensor of the model to read into}`."""
    aliases = json.loads(index["metadata"].get("aliases", "{}"))
    own = {
        name: tensor.detach()
        for name, tensor in model.state_dict(keep_vars=True).items()
        if name not in aliases
    }
    stored = [name for name in shapes if not name.startswith((OPTIMIZER, SEEDS))]
    missing = [name for name in own if name not in shapes]
    extra = [name for name in stored if name not in own]
    wrong = {
        name: (shapes[name][0], tuple(own[name].shape))
        for name in stored
        if name in own and shapes[name][0] != tuple(own[name].shape)
    }
    check_differences(model, folder, missing, extra, wrong)
    seeds = seed_states(model)
    found = {
        name: torch.empty(*shapes[SEEDS + name][:1], dtype=shapes[SEEDS + name][1])
        for name in seeds
        if SEEDS + name in shapes
    }
    check_seeds(seeds, found, folder)
    return {**own, **{SEEDS + name: seeds[name] for name in found}}


def _add_optimizer(model, index, folder, shapes, targets):
    """Add the optimizer's state to what is to be read; returns what is to be done afterwards."""
    names = [name for name in shapes if name.startswith(OPTIMIZER)]
    names.sort(key=lambda name: int(name.removeprefix(OPTIMIZER)))
    frame = json.loads(index["metadata"].get("optimizer", "null"))
    optimizer = model.optimizer
    if optimizer is None or not (names or frame is not None):
        return lambda: None
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    own = None if frame is not None else getattr(optimizer, "variables", None)
    if own is not None and [shapes[n][0] for n in names] == [v.shape for v in own]:
        targets.update(
            (name, variable._store[variable._key].detach())
            for name, variable in zip(names, own, strict=True)
        )
        return lambda: None
    # A torch optimizer's state may not exist yet, and another's is refused in its own words.
    tensors = [torch.zeros(shapes[name][0], dtype=shapes[name][1]) for name in names]
    if frame is None:
        set_optimizer_state(model, tensors, frame)
    targets.update(zip(names, tensors, strict=True))

    def finish():
        set_optimizer_state(model, tensors, frame)
        if "class_name" not in frame:
            return
        for parameter, values in optimizer.optimizer.state.items():
            for key, value in values.items():
                if is_sharded(parameter) and value.shape == parameter.shape and value.dim():
                    values[key] = shard_like(value, parameter)

    return finish


def _read_parts(targets, data, alone=False):
    import torch.distributed.checkpoint as dcp

    with no_warning_of_one_process():
        dcp.load(
            targets,
            storage_reader=dcp.HuggingFaceStorageReader(data),
            no_dist=alone or not process_group.is_active(),
        )
