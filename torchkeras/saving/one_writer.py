"""In a job of several processes one writes a file; those that save with it wait until it is there.

No process waits for one that may never come: process 0, which writes, waits for nobody. So a
program may save in all processes, as it would in one, or under `if rank == 0`.

So a process that waits must know which of the writes of process 0 is that of its own save, and
process 0, which may be far ahead or behind, cannot say which of them are others' too. But all
processes exchange messages, the same ones in the same order, and a save of all comes after the
same message in each. That names a write: the path, the number of messages before it, and, as there
may be several between two messages, its number among these.

It follows that messages must lie between a save in process 0 alone and one of all to the same
path: a `fit`, an `evaluate`, or a `process_group.barrier()`. Where they do not, a process may have
taken the first of the two for its own, and is told at its next save.
"""

import contextlib

from torchkeras.distribution import process_group

_KEY = "torchkeras/saved"


class _State:
    alone = False
    messages = None  # of all processes, at the last save of this one
    saves = {}  # path: number of times that this process has saved there since


@contextlib.contextmanager
def one_writer(path):
    """Give whether this process is to write `path`; in the others, end when it is written.

    A save in process 0 alone needs nothing of this, but that all processes exchange a message
    (as in `fit`, or `process_group.barrier()`) between it and one of all to the same path.

    Args:
        path: str, the same in all processes.

    Raises:
        RuntimeError: process 0 could not write the file, or did not within the time that
            processes of a job wait for each other; or it has written another one meanwhile.

    Example:

    >>> from torchkeras.saving.one_writer import one_writer
    >>> with one_writer("model.safetensors") as writes:
    ...     writes
    True
    """
    if _State.alone or not process_group.ensure_initialized():
        yield not process_group.is_active() or process_group.is_chief()
        return
    from torch.distributed.distributed_c10d import _get_default_store

    store, messages = _get_default_store(), process_group.message_count()
    if messages != _State.messages:
        earlier = _State.messages, _State.saves
        _State.messages, _State.saves = messages, {}
        if not process_group.is_chief():
            _check_alone(store, *earlier)
    _State.saves[path] = _State.saves.get(path, 0) + 1
    key = _key(messages, _State.saves[path], path)
    if not process_group.is_chief():
        yield False
        _wait(store, key, path)
        return
    try:
        yield True
    except BaseException as error:
        store.set(key, f"{type(error).__name__}: {error}")
        raise
    store.set(key, "")


@contextlib.contextmanager
def without_others():
    """Inside, process 0 saves without telling the others, which do not wait for it.

    Example:

    >>> from torchkeras.saving.one_writer import without_others
    >>> with without_others(), one_writer("model.safetensors") as writes:
    ...     writes
    True
    """
    outer, _State.alone = _State.alone, True
    try:
        yield
    finally:
        _State.alone = outer


def _key(messages, number, path):
    return f"{_KEY}/{messages}/{number}/{path}"


def _wait(store, key, path):
    try:
        store.wait([key])
        problem = store.get(key).decode()
    except RuntimeError as error:
        problem = f"nothing was heard of it ({type(error).__name__})"
    if problem:
        raise RuntimeError(
            f"Process 0 writes a file that several processes save. Received: filepath={path!r} in "
            f"process {process_group.rank()}, while of process 0: {problem}. "
            "Give the same path in all processes, between the same messages of all, or save in "
            "process 0 only."
        )


def _check_alone(store, messages, saves):
    """Process 0 must not have saved more often than this process between two messages."""
    keys = {path: _key(messages, number + 1, path) for path, number in saves.items()}
    twice = [path for path, key in keys.items() if store.check([key])]
    if twice:
        raise RuntimeError(
            "Between a save in process 0 alone and one in all processes to the same path, all must "
            f"exchange a message. Received: filepath={twice[0]!r}, saved more often in process 0 "
            f"than in process {process_group.rank()}, with none between: what this process has "
            "found there may be the wrong one. Call "
            "keras.distribution.process_group.barrier() between the two."
        )
