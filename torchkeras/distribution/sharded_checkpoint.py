"""Sharded checkpoints: each process writes the parts that it holds, and reads those that it needs.

A checkpoint is a folder:

| in the folder | what |
| --- | --- |
| `checkpoint.json` | where the data is, its files and their sizes, the config of the model |
| `save-.../*.safetensors` | tensors and parts of tensors, under the names of a model file |

The data of a save lies in a folder of its own, and `checkpoint.json` is replaced when all of it is
there, as process 0 has seen. So whatever is killed at whatever time leaves the checkpoint before,
or the new one. The parts are written and read by `torch.distributed.checkpoint`, on any number of
processes, and reading them runs no code.
"""

import atexit
import contextlib
import json
import os
import secrets
import shutil
import sys
import threading
import warnings

import torch

from torchkeras.core.serialization import serialize_with_sharing
from torchkeras.core.sharding import is_sharded, shard_like
from torchkeras.distribution import process_group
from torchkeras.distribution.fully_shard import ShardedReplica

_INDEX, _FORMAT = "checkpoint.json", 1
_OPTIMIZER, _SEEDS = "optimizer/", "seeds/"


class _State:
    pending = None  # the PendingSave that is under way
    group = None  # of processes, for messages beside those of training


def save_sharded(model, folder, step=None, asynchronous=False):
    """Write a model, its optimizer's state and its seeds, each process the parts it holds.

    Every process must call it, with a folder that all of them see. It is for models whose
    weights are divided by `FullyShard`, and works with any other; `load_sharded` reads it on any
    number of processes, and `consolidate` makes it an ordinary model file.

    Args:
        model: a built model.
        folder: str or path, made where missing. A checkpoint in it is replaced when the new one
            is whole.
        step: int or None, a number to find in what `load_sharded` returns.
        asynchronous: bool, whether to return when the values are copied to the CPU, and write
            them in a thread. A next save waits for it first, and raises its error. So does the
            end of the program wait; an error that nobody has heard of is then written to
            stderr, where it cannot change the exit code: call `wait()` on the last one.

    Returns:
        PendingSave, or None where nothing is pending.

    Raises:
        ValueError: the model is not built.
        RuntimeError: a process could not write; the checkpoint before is untouched.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> keras.distribution.save_sharded(model, folder, step=7)
    >>> keras.distribution.load_sharded(model, folder)
    {'step': 7}
    """
    from torchkeras.saving import safetensors_format

    process_group.ensure_initialized()
    if _State.pending is not None:
        _State.pending.wait()
    folder = os.path.abspath(os.fsdecode(folder))
    replica = model.__dict__.get("_replica")
    if replica is not None:
        replica.gather_accumulators()
    tensors, metadata = safetensors_format._whole_state(model, include_optimizer=True)
    if process_group.is_chief():
        name, error = f"save-{secrets.token_hex(6)}", None
        try:
            metadata["config"] = json.dumps(serialize_with_sharing(model))
        except Exception as problem:  # the others wait for a word of this process
            name, error = None, problem
        process_group.broadcast_object(name)
        if error is not None:
            raise error
    else:
        tensors = {n: tensor for n, tensor in tensors.items() if is_sharded(tensor)}
        name = process_group.broadcast_object(None)
        if name is None:
            raise RuntimeError(
                "Process 0 describes the model of a checkpoint. Received: an error there, for "
                f"'{model.name}'. See what it says."
            )
    tensors = {n: tensor.detach() for n, tensor in tensors.items()}
    description = {"format": _FORMAT, "data": name, "step": step, "metadata": metadata}
    pending = PendingSave(tensors, folder, description, asynchronous)
    _State.pending = pending
    if asynchronous:
        return pending
    pending.wait()
    return None


class PendingSave:
    """A checkpoint that is being written; `save_sharded(asynchronous=True)` returns it.

    Args:
        tensors: dict of names to tensors.
        folder: str.
        description: dict, what goes into the index.
        asynchronous: bool, whether a thread writes.

    Example:

    >>> import tempfile
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> save = keras.distribution.save_sharded(model, tempfile.mkdtemp(), asynchronous=True)
    >>> save.wait()
    >>> save.done
    True
    """

    def __init__(self, tensors, folder, description, asynchronous):
        self._error = None
        self._copy_error = None
        self._writer = None
        self._tensors = tensors
        self._folder = folder
        self._description = description
        self._path = os.path.join(folder, description["data"])
        self._thread = None
        if not asynchronous:
            self._write(None)
            return
        try:  # training goes on, and writes to the weights
            self._tensors = {name: t.to("cpu", copy=True) for name, t in tensors.items()}
        except Exception as error:  # the others come to the first message of the thread
            self._copy_error = error
        group = _background_group()
        self._thread = threading.Thread(target=self._write, args=(group,), name="save_sharded")
        self._thread.start()

    @property
    def done(self):
        """Whether nothing of it is under way any more in this process."""
        return self._thread is None or not self._thread.is_alive()

    def wait(self):
        """Return when the checkpoint is whole.

        Raises:
            RuntimeError: a process could not write; the checkpoint before is untouched.
        """
        if self._thread is not None:
            self._thread.join()
        if _State.pending is self:
            _State.pending = None
        if self._error is not None:
            raise self._error

    def _write(self, group):
        try:
            self._together(self._make_folder, group)
            self._together(self._make_writer, group)
            files = self._together(self._write_parts, group, group)
            self._together(self._commit, group, files)
        except Exception as error:  # wait() raises it
            self._error = error
        finally:
            self._tensors = self._writer = None

    def _together(self, action, group, *arguments):
        """List of what an action gives in each process; where it fails in one, an error in all.

        So no process goes on to a message that another one will never send.
        """
        cause = problem = found = None
        try:
            found = action(*arguments)
        except BaseException as error:
            cause, problem = error, f"{type(error).__name__}: {str(error).rstrip('.')}"
            problem = f"for '{self._folder}': {problem}"
        try:
            told = _all_gather_object((problem, found), group)
        except Exception as error:
            raise RuntimeError(
                "Every process must write its parts of a checkpoint. Received: nothing from some, "
                f"for '{self._folder}': {error}. See what they say. The folder holds the "
                "checkpoint before or, if only the last message is missing, the new one."
            ) from (cause or error)
        for rank, (problem, _) in enumerate(told):
            if problem is not None:
                _remove_unfinished(self._folder, self._description["data"])
                raise RuntimeError(
                    "Every process must write its parts of a checkpoint. Received: in process "
                    f"{rank}, {problem}. What was there before is unchanged."
                ) from cause
        return [found for _, found in told]

    def _make_folder(self):
        if self._copy_error is not None:
            raise self._copy_error
        if process_group.is_chief():
            os.makedirs(self._path)

    def _make_writer(self):
        import torch.distributed.checkpoint as dcp

        if not process_group.is_chief():
            try:
                # To make it asks the disk itself; a network disk may answer a look from memory.
                os.makedirs(self._path)
            except FileExistsError:
                pass
            else:
                raise _not_shared(self._path, "which was not there after process 0 had made it")
        self._writer = dcp.HuggingFaceStorageWriter(self._path, save_distributed=True)

    def _write_parts(self, group):
        names = _write_parts(self._tensors, self._writer, group)
        return {name: os.path.getsize(os.path.join(self._path, name)) for name in names}

    def _commit(self, files):
        if process_group.is_chief():
            _check_seen(self._path, files)
            _commit(self._folder, self._description, {k: v for f in files for k, v in f.items()})


def _write_parts(tensors, writer, group):
    """Write the parts of this process; returns the names of its files."""
    import torch.distributed.checkpoint as dcp

    write, written = writer.write_data, []

    def write_data(plan, planner):
        future = write(plan, planner)
        written.extend(future.wait())
        return future

    writer.write_data = write_data
    try:
        with _no_warning_of_one_process():
            dcp.save(
                tensors,
                storage_writer=writer,
                process_group=group,
                no_dist=not process_group.is_active(),
            )
    except dcp.CheckpointException as error:  # torch tells all of the errors of each
        own = error.failures.get(process_group.rank())
        if own is not None:
            raise own[0] from None
    return sorted({result.storage_data.relative_path for result in written})


def _all_gather_object(value, group):
    if group is None:
        return process_group.all_gather_object(value)
    import torch.distributed as dist

    values = [None] * process_group.world_size()
    dist.all_gather_object(values, value, group=group)
    return values


def _background_group():
    """Processes that talk beside the training: messages of one group must not overtake."""
    if _State.group is None and process_group.is_active():
        import torch.distributed as dist

        _State.group = dist.new_group(backend="gloo", timeout=process_group.timeout())
    return _State.group


def _check_seen(path, files):
    """Process 0 must see what each process wrote, or the checkpoint would lack it."""
    for rank, sizes in enumerate(files):
        for name, size in sizes.items():
            file = os.path.join(path, name)
            seen = f"{os.path.getsize(file)} bytes" if os.path.exists(file) else "nothing"
            if seen != f"{size} bytes":
                raise _not_shared(file, f"of {size} bytes in process {rank}, and {seen} here")


def _not_shared(path, problem):
    return RuntimeError(
        "The folder of a checkpoint must be one that all processes see. Received: "
        f"'{path}', {problem}. Give a folder on a disk that they share."
    )


def _commit(folder, description, files):
    """Make what was written the checkpoint of the folder, and remove the one before."""
    from torchkeras.saving.atomic import _flush_folder, atomic_write

    # torch has flushed the files; their names must be on the disk before the index tells of them.
    _flush_folder(os.path.join(folder, description["data"]))
    _flush_folder(folder)
    index = {**description, "processes": process_group.world_size(), "files": files}
    with atomic_write(os.path.join(folder, _INDEX)) as temporary:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(index, file)
    for name in os.listdir(folder):
        if name.startswith("save-") and name != description["data"]:
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def _remove_unfinished(folder, data):
    """Remove what a failed save has written, unless it failed after it was the checkpoint."""
    try:
        with open(os.path.join(folder, _INDEX), encoding="utf-8") as file:
            is_checkpoint = json.load(file)["data"] == data
    except (FileNotFoundError, NotADirectoryError):
        is_checkpoint = False
    except (ValueError, KeyError, TypeError, OSError):
        return  # a damaged index: what it stands for is not known
    if not is_checkpoint:
        shutil.rmtree(os.path.join(folder, data), ignore_errors=True)


def _tell_unheard():
    """At the end of the program: the error of a last save that nobody has waited for."""
    save = _State.pending
    if save is not None and save._error is not None and sys.stderr is not None:
        rank = process_group.rank()
        sys.stderr.write(f"[rank {rank}] the last asynchronous save failed: {save._error}\n")
        sys.stderr.flush()


atexit.register(_tell_unheard)  # threads have come to their end by then


# Reading


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
    from torchkeras.saving.model_config import check_built

    process_group.ensure_initialized()
    if _State.pending is not None:
        _State.pending.wait()
    check_built(model, "to load into")
    folder = os.path.abspath(os.fsdecode(folder))
    index, shapes = _read_index(folder)
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
    from torchkeras.saving import safetensors_format
    from torchkeras.saving.one_writer import one_writer

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
        index, shapes = _read_index(folder)
        tensors = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in shapes.items()}
        _read_parts(tensors, os.path.join(folder, index["data"]), alone=True)
        safetensors_format._write(filepath, tensors, index["metadata"])


def _read_index(folder):
    """The index of a whole checkpoint, and `{name: (shape, dtype)}` of its tensors."""
    from torchkeras.saving.messages import unreadable

    path = os.path.join(folder, _INDEX)
    try:
        with open(path, encoding="utf-8") as file:
            index = json.load(file)
        data, files = index["data"], index["files"]
        known = index["format"] == _FORMAT and {"metadata", "step"} <= index.keys()
        known = known and os.path.basename(data) == data and data.startswith("save-")
        sizes = {name: os.path.getsize(os.path.join(folder, data, name)) for name in files}
    except FileNotFoundError as error:
        if os.path.exists(path):
            raise ValueError(
                f"All files of a checkpoint must be there. Received: '{folder}', which lacks "
                f"'{error.filename}'. Copy the folder as a whole."
            ) from error
        raise FileNotFoundError(_absent(folder)) from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise unreadable(path, error) from error
    if not known:
        raise unreadable(path, "it is not the index of a checkpoint that this version knows")
    wrong = [name for name, size in sizes.items() if files[name] != size]
    if wrong:
        raise ValueError(
            f"The files of a checkpoint must be as they were written. Received: {wrong[:3]} in "
            f"'{folder}' of another size. Copy the folder anew, or go back to an earlier one."
        )
    return index, _read_shapes(os.path.join(folder, data), path)


def _absent(folder):
    unfinished = []
    if os.path.isdir(folder):
        unfinished = [name for name in os.listdir(folder) if name.startswith("save-")]
    reason = (
        f"which holds a save that did not come to its end ('{unfinished[0]}') and none before it"
        if unfinished
        else "which is no folder, or has no 'checkpoint.json'"
    )
    return (
        f"A folder with a whole checkpoint was expected. Received: '{folder}', {reason}. Give a "
        "folder that `save_sharded` has written to its end."
    )


def _read_shapes(data, path):
    import torch.distributed.checkpoint as dcp
    from safetensors import SafetensorError

    from torchkeras.saving.messages import unreadable

    try:
        metadata = dcp.HuggingFaceStorageReader(data).read_metadata()
    except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        raise unreadable(path, error) from error
    return {
        name: (tuple(found.size), found.properties.dtype)
        for name, found in metadata.state_dict_metadata.items()
    }


def _weights_and_seeds(model, index, folder, shapes):
    """`{name in the checkpoint: tensor of the model to read into}`."""
    from torchkeras.saving.weight_checks import check_differences, check_seeds, seed_states

    aliases = json.loads(index["metadata"].get("aliases", "{}"))
    own = {
        name: tensor.detach()
        for name, tensor in model.state_dict(keep_vars=True).items()
        if name not in aliases
    }
    stored = [name for name in shapes if not name.startswith((_OPTIMIZER, _SEEDS))]
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
        name: torch.empty(*shapes[_SEEDS + name][:1], dtype=shapes[_SEEDS + name][1])
        for name in seeds
        if _SEEDS + name in shapes
    }
    check_seeds(seeds, found, folder)
    return {**own, **{_SEEDS + name: seeds[name] for name in found}}


def _add_optimizer(model, index, folder, shapes, targets):
    """Add the optimizer's state to what is to be read; returns what is to be done afterwards."""
    from torchkeras.saving.optimizer_state import set_optimizer_state

    names = sorted((n for n in shapes if n.startswith(_OPTIMIZER)), key=lambda n: int(n[10:]))
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
    tensors = [torch.empty(shapes[name][0], dtype=shapes[name][1]) for name in names]
    if frame is None:
        set_optimizer_state(model, tensors, frame)
    targets.update(zip(names, tensors, strict=True))

    def finish():
        set_optimizer_state(model, tensors, frame)
        for parameter, values in optimizer.optimizer.state.items():
            for key, value in values.items():
                if is_sharded(parameter) and value.shape == parameter.shape and value.dim():
                    values[key] = shard_like(value, parameter)

    return finish


def _read_parts(targets, data, alone=False):
    import torch.distributed.checkpoint as dcp

    with _no_warning_of_one_process():
        dcp.load(
            targets,
            storage_reader=dcp.HuggingFaceStorageReader(data),
            no_dist=alone or not process_group.is_active(),
        )


@contextlib.contextmanager
def _no_warning_of_one_process():
    """torch warns of a save or load in one process even where `no_dist` asks for it."""
    if process_group.is_active():
        yield  # other threads go on meanwhile, and warnings are theirs too
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
