"""The key-value store of torchrun's agent, cleared of what an earlier start of the job left in it.

Processes find each other through a store. torchrun keeps one for all restarts of a job, with the
addresses of processes that are long gone under the very keys where those of this start belong: a
process that is a little faster than the others would connect to one that was lost. So process 0
chooses a new prefix for all keys, and tells it to those that ask now.
"""

import datetime
import os
import secrets
import time

_KEY = "torchkeras/start"
_POLL_S = 0.01


def is_there():
    """Whether torchrun's agent has given this process its store.

    Example:

    >>> from torchkeras.distribution import agent_store
    >>> agent_store.is_there()
    False
    """
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def connect(rank, world_size, timeout_s):
    """A store that is empty for the processes of this start.

    Args:
        rank: int, number of this process.
        world_size: int, number of processes.
        timeout_s: float, seconds to wait for the others.

    Raises:
        RuntimeError: some did not come in time.
    """
    import torch.distributed as dist

    store = dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        world_size=world_size,
        is_master=False,
        timeout=datetime.timedelta(seconds=timeout_s),
    )
    name = secrets.token_hex(8)
    if rank == 0:
        _answer(store, name, world_size, timeout_s)
    else:
        name = _ask(store, rank, name)
    return dist.PrefixStore(f"{_KEY}/{name}", store)


def _ask(store, rank, name):
    """The prefix that process 0 chose; asked for by a name that no earlier start has used."""
    store.set(f"{_KEY}/asks/{rank}", name)
    prefix = store.get(f"{_KEY}/answers/{name}").decode()  # waits for it
    store.set(f"{_KEY}/has/{prefix}/{rank}", "")
    return prefix


def _answer(store, prefix, world_size, timeout_s):
    """Answer all that ask, until each process of this start has the prefix.

    A question that is found may be an earlier start's; then another one follows.
    """
    missing, answered = list(range(1, world_size)), set()
    deadline = time.monotonic() + timeout_s
    while missing:
        for rank in missing:
            asks = f"{_KEY}/asks/{rank}"
            name = store.get(asks).decode() if store.check([asks]) else None
            if name is not None and name not in answered:
                store.set(f"{_KEY}/answers/{name}", prefix)
                answered.add(name)
        missing = [rank for rank in missing if not store.check([f"{_KEY}/has/{prefix}/{rank}"])]
        if missing and time.monotonic() > deadline:
            listed = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
            raise RuntimeError(
                f"All {world_size} processes of a job must start within {timeout_s:g} s. "
                f"Received: nothing from {listed}. Look at their output; TORCHKERAS_TIMEOUT_S "
                "sets the time."
            )
        if missing:
            time.sleep(_POLL_S)
