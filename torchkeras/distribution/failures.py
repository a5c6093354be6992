"""A process that fails says so on the screen of process 0, wherever that is.

torchrun ends a job when one of its processes fails, and shows the standard error of the processes
on the same machine. On several machines the reason would be on the screen of another one: so the
process that fails leaves its traceback in the job's key-value store, and process 0 prints it.
"""

import os
import sys
import threading
import time
import traceback

_KEY = "torchkeras/failure"
_POLL_S = 0.5
_LONGEST = 20_000  # characters of a traceback


class _State:
    failed = False  # whether this process ends because of an error
    shown = False  # whether that of another was printed


def has_failed():
    """Whether this process is ending because of an error.

    Example:

    >>> from torchkeras.distribution.failures import has_failed
    >>> has_failed()
    False
    """
    return _State.failed


def watch(rank, world_size):
    """From now on an uncaught error is reported; process 0 also listens for those of others.

    Args:
        rank: int, number of this process in the job.
        world_size: int, number of processes.
    """
    _report_own(rank)
    on_this_machine = int(os.environ.get("LOCAL_WORLD_SIZE") or world_size)
    if rank == 0 and on_this_machine < world_size:
        threading.Thread(target=_listen, name="torchkeras-failures", daemon=True).start()


def _store():
    import torch.distributed as dist

    return dist.distributed_c10d._get_default_store()


def _report_own(rank):
    previous = sys.excepthook

    def report(kind, error, trace):
        _State.failed = True
        previous(kind, error, trace)
        if issubclass(kind, (KeyboardInterrupt, SystemExit)):
            return
        _say(f"[rank {rank}] failed: {kind.__name__}: {error}\n")
        try:
            if rank:
                text = "".join(traceback.format_exception(kind, error, trace))
                _store().set(_KEY, f"[rank {rank}] failed:\n{text[-_LONGEST:]}")
            else:
                # Mostly that others closed their connections; one of them may have said why.
                _show_other(_store())
        except (RuntimeError, ValueError) as problem:  # the store went with its process
            _say(f"[rank {rank}] cannot reach the others' store: {problem}\n")

    sys.excepthook = report


def _listen():
    try:
        store = _store()
        while not _show_other(store):
            time.sleep(_POLL_S)
    except (RuntimeError, ValueError):
        return  # the job is over, and its store closed


def _show_other(store):
    """Print the failure of another process, if there is one. Returns whether there is."""
    if not _State.shown and store.check([_KEY]):
        _State.shown = True
        _say(store.get(_KEY).decode(errors="replace"))
    return _State.shown


def _say(text):
    if sys.stderr is not None:
        sys.stderr.write(text)
        sys.stderr.flush()
