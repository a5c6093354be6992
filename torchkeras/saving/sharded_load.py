"""Reading a sharded checkpoint: each process the parts that it needs, or one of them the whole.

`torch.distributed.checkpoint` reads them, on any number of processes, and runs no code doing so.
"""

import contextlib
import functools
import os

import torch
from safetensors import SafetensorError

from torchkeras.core.sharding import is_sharded, shard_like
from torchkeras.distribution import process_group
from torchkeras.distribution.fully_shard import ShardedReplica
from torchkeras.saving.messages import clipped, json_object, unreadable
from torchkeras.saving.model_config import check_built
from torchkeras.saving.one_writer import one_writer
from torchkeras.saving.optimizer_state import (
    optimizer_as_it_was,
    plan_optimizer_state,
    prepare_optimizer,
)
from torchkeras.saving.safetensors_format import OPTIMIZER, SEEDS, write_tensors
from torchkeras.saving.sharded_index import (
    check_parts,
    no_warning_of_one_process,
    read_index,
    storage_reader,
)
from torchkeras.saving.sharded_save import wait_for_pending
from torchkeras.saving.weight_checks import (
    check_differences,
    check_dtypes,
    check_seed_shapes,
    check_seeds,
    seed_states,
)


def load_sharded(model, folder):
    """Set a model, its optimizer's state and its seeds from what `save_sharded` wrote.

    Every process must call it, and reads the parts it holds; the checkpoint may come from another
    number of processes. Names, shapes and checksums are compared before anything is set, each
    file by one process. Until all is read, each process keeps a copy of what it had, in the memory
    of its host: after an error, also one of a disk, model and optimizer are as they were.

    Args:
        model: a built model; the state of an optimizer is loaded where it is compiled with one.
        folder: str or path.

    Returns:
        dict with the `"step"` of the save.

    Raises:
        FileNotFoundError: there is no such folder, or no whole checkpoint in it.
        ValueError: the checkpoint is damaged, or that of another model.
        OSError: a file could not be read.
        RuntimeError: another process could not read its part.

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
    read = functools.partial(_read_parts, os.path.join(folder, index["data"]), index["files"])
    with optimizer_as_it_was(model.optimizer):
        files = sorted(index["files"])
        own_share = files[process_group.rank() :: process_group.world_size()]
        _together(lambda: check_parts(folder, index, own_share), folder)
        set_optimizer = _prepare_optimizer(model, index, folder, shapes, targets, read)
        # From here on only a disk can fail: all that the files say was checked.
        with _as_they_were(targets.values()):
            read(targets)
            set_optimizer()
    return {"step": index["step"]}


def _together(action, folder):
    """Do something in each process; where it fails in one, it is an error in all."""
    own = None
    try:
        action()
    except Exception as error:
        own = error
    problems = [own]
    if process_group.is_active():
        problems = process_group.all_gather_object(None if own is None else str(own))
    if own is not None:
        raise own
    for rank, problem in enumerate(problems):
        if problem is not None:
            raise _failed_elsewhere(folder, rank, problem)


def _failed_elsewhere(folder, rank, problem):
    return RuntimeError(
        f"Every process must read its part of a checkpoint. Received: in process {rank}, for "
        f"'{folder}': {clipped(problem)} The model is as it was."
    )


@contextlib.contextmanager
def _as_they_were(tensors):
    """After an error inside, tensors have the values that they had."""
    own = [tensor.to_local() if is_sharded(tensor) else tensor for tensor in tensors]
    before = [tensor.to("cpu", copy=True) for tensor in own]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for tensor, values in zip(own, before, strict=True):
                tensor.copy_(values)
        raise


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
        check_parts(folder, index, index["files"])
        tensors = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in shapes.items()}
        _read_parts(os.path.join(folder, index["data"]), index["files"], tensors, alone=True)
        write_tensors(filepath, tensors, index["metadata"])


def _weights_and_seeds(model, index, folder, shapes):
    """`{name in the checkpoint: tensor of the model to read into}`."""
    aliases = json_object(index["metadata"].get("aliases", "{}"), folder, "checkpoint.json")
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
    check_dtypes({name: (shapes[name][1], own[name].dtype) for name in own}, folder)
    seeds = seed_states(model)
    stored = {name: shapes[SEEDS + name] for name in seeds if SEEDS + name in shapes}
    check_seed_shapes(seeds, {name: shape for name, (shape, _) in stored.items()}, folder)
    found = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in stored.items()}
    check_seeds(seeds, found, folder)
    return {**own, **{SEEDS + name: seeds[name] for name in found}}


def _prepare_optimizer(model, index, folder, shapes, targets, read):
    """Check the optimizer's state; returns what is to be done when all has been read.

    That of torchkeras's own is added to the targets. That of torch's may not exist yet: it is
    read at once and set at the end.
    """
    names = [name for name in shapes if name.startswith(OPTIMIZER)]
    if {name.removeprefix(OPTIMIZER) for name in names} != set(map(str, range(len(names)))):
        raise ValueError(
            f"The state of an optimizer is numbered from 0. Received: {clipped(sorted(names))} in "
            f"'{folder}'. The checkpoint is damaged."
        )
    names = [f"{OPTIMIZER}{i}" for i in range(len(names))]
    text = index["metadata"].get("optimizer")
    frame = None if text is None else json_object(text, folder, "checkpoint.json")
    if model.optimizer is None or not (names or frame is not None):
        return lambda: None
    prepare_optimizer(model, [shapes[name][0] for name in names], frame)
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    own = None if frame is not None else model.optimizer.variables
    if own is not None:
        own = [variable._store[variable._key].detach() for variable in own]
        kinds = {n: (shapes[n][1], t.dtype) for n, t in zip(names, own, strict=True)}
        check_dtypes(kinds, folder)
        targets.update(zip(names, own, strict=True))
        return lambda: None
    tensors = [torch.zeros(shapes[name][0], dtype=shapes[name][1]) for name in names]
    read(dict(zip(names, tensors, strict=True)))
    set_all = plan_optimizer_state(model, tensors, frame)

    def finish():
        set_all()
        if "class_name" not in frame:
            return
        for parameter, values in inner.optimizer.state.items():
            for key, value in values.items():
                if is_sharded(parameter) and value.shape == parameter.shape and value.dim():
                    values[key] = shard_like(value, parameter)

    return finish


def _read_parts(data, files, targets, alone=False):
    import torch.distributed.checkpoint as dcp

    try:
        with no_warning_of_one_process():
            dcp.load(
                targets,
                storage_reader=storage_reader(data, files),
                no_dist=alone or not process_group.is_active(),
            )
    except dcp.CheckpointException as error:  # torch tells all of the errors of each
        own = error.failures.get(0 if alone else process_group.rank())
        if own is not None:
            raise (
                unreadable(data, own[0]) if isinstance(own[0], SafetensorError) else own[0]
            ) from None
        rank, (problem, _) = next(iter(error.failures.items()))
        raise _failed_elsewhere(data, rank, f"{type(problem).__name__}: {problem}") from None
