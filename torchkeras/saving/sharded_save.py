"""Writing a sharded checkpoint: each process the parts that it holds.

`torch.distributed.checkpoint` writes them, in the training's thread or in one of its own.
"""

import atexit
import json
import os
import secrets
import sys
import threading

from torchkeras.core.serialization import serialize_with_sharing
from torchkeras.core.sharding import is_sharded
from torchkeras.distribution import process_group
from torchkeras.saving.safetensors_format import collect_state
from torchkeras.saving.sharded_index import (
    FORMAT,
    commit,
    no_warning_of_one_process,
    part_checksums,
    remove_unfinished,
)


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
    process_group.ensure_initialized()
    wait_for_pending()
    folder = os.path.abspath(os.fsdecode(folder))
    replica = model.__dict__.get("_replica")
    if replica is not None:
        replica.gather_accumulators()
    tensors, metadata = collect_state(model, include_optimizer=True)
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
    description = {"format": FORMAT, "data": name, "step": step, "metadata": metadata}
    pending = PendingSave(tensors, folder, description, asynchronous)
    _State.pending = pending
    if asynchronous:
        return pending
    pending.wait()
    return None


def wait_for_pending():
    """Return when no save of this process is under way; raises the error of one that failed."""
    if _State.pending is not None:
        _State.pending.wait()


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
        self._checksums = {}  # of the files that this process has written
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
            checksums = self._together(lambda: self._checksums, group)
            self._together(self._commit, group, files, checksums)
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
                remove_unfinished(self._folder, self._description["data"])
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
        self._checksums = {name: part_checksums(os.path.join(self._path, name)) for name in names}
        return {name: os.path.getsize(os.path.join(self._path, name)) for name in names}

    def _commit(self, files, checksums):
        if process_group.is_chief():
            _check_seen(self._path, files)
            self._description["checksums"] = {k: v for f in checksums for k, v in f.items()}
            commit(self._folder, self._description, {k: v for f in files for k, v in f.items()})


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
        with no_warning_of_one_process():
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


def _tell_unheard():
    """At the end of the program: the error of a last save that nobody has waited for."""
    save = _State.pending
    if save is not None and save._error is not None and sys.stderr is not None:
        rank = process_group.rank()
        sys.stderr.write(f"[rank {rank}] the last asynchronous save failed: {save._error}\n")
        sys.stderr.flush()


atexit.register(_tell_unheard)  # threads have come to their end by then
