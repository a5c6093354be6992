"""In a job of several processes one writes a file; those that save with it wait until it is there.

No process waits for one that may never come: process 0, which writes, waits for nobody. So a
program may save in all processes, as it would in one, or under `if rank == 0`.
"""

import contextlib

from torchkeras.distribution import process_group

_KEY = "torchkeras/saved"


class _State:
    alone = False
    saves = {}  # path: number of times that this process has saved there


@contextlib.contextmanager
def one_writer(path):
    """Give whether this process is to write `path`; in the others, end when it is written.

    Args:
        path: str, the same in all processes.

    Raises:
        RuntimeError: process 0 could not write the file, or did not within the time that
            processes of a job wait for each other.

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

    # The number tells this save from an earlier one to the same place.
    number = _State.saves[path] = _State.saves.get(path, 0) + 1
    store, key = _get_default_store(), f"{_KEY}/{number}/{path}"
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
            "Give the same path in all processes, or save in process 0 only."
        )
