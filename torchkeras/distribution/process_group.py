"""The processes of one job: who they are, and what they tell each other.

Started by `torchrun --nproc-per-node=N train.py`, a script needs nothing of this: the first `fit`,
`evaluate` or `predict` makes the process group, with NCCL for GPUs and gloo for CPUs. In a single
process every function here is a no-op that costs one look at a flag, and `torch.distributed` is
never asked for anything.
"""

import atexit
import datetime
import os
import sys
import time

import torch

from torchkeras.core import config
from torchkeras.distribution import agent_store, failures

_NAMES = ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")

# How long a process waits for the others before it gives up with an error.
_TIMEOUT_S = 1800.0

# How long a process that ends waits for the threads of its process group to come to rest.
_LAST_MESSAGE_S = 0.25


class _State:
    """What is known of the group; `world_size` is 1 until there is one."""

    active = False  # whether this is one process of several
    owned = False  # whether the group was made here, and so is to be destroyed here
    device = None  # of messages, where the group has no way for those on the CPU
    rank = 0
    world_size = 1
    timeout_s = None  # as `initialize` was told
    messages = 0  # that all processes have exchanged by the functions of this module


def initialize(job_addresses=None, num_processes=None, process_id=None, timeout_s=None):
    """Join the processes of this job into one group.

    Called without arguments it reads `KERAS_DISTRIBUTION_JOB_ADDRESSES`, `..._NUM_PROCESSES` and
    `..._PROCESS_ID`, and else the environment that torchrun sets. With neither of them this is a
    job of one process, and nothing happens. A group that the program has made itself by
    `torch.distributed.init_process_group` is taken as it is. A second call does nothing.

    With CUDA each process takes the GPU of its number on its machine (`LOCAL_RANK`), unless
    `keras.device` or torch's default device says CPU.

    Args:
        job_addresses: str, `"host:port"` of process 0, or those of all processes by commas.
        num_processes: int, number of processes.
        process_id: int from 0, number of this process.
        timeout_s: float, seconds that one waits for the others before an error ends the
            process; None for `TORCHKERAS_TIMEOUT_S` of the environment, or 1800. It holds for
            every group that the library makes, later ones too.

    Raises:
        ValueError: only some of the arguments are known, or a number is out of range.
        RuntimeError: there are more processes than GPUs on this machine.

    Example:

    >>> keras.distribution.initialize()
    >>> keras.distribution.process_group.world_size()
    1
    """
    if _State.active:
        return
    _State.timeout_s = timeout_s
    if _adopt():
        return
    job = _job(job_addresses, num_processes, process_id)
    if job is None:
        return
    import torch.distributed as dist

    init_method, world_size, rank = job
    device = _select_device()
    place = {"init_method": init_method}
    if init_method == "env://" and agent_store.is_there():
        place = {"store": agent_store.connect(rank, world_size, timeout().total_seconds())}
    dist.init_process_group(
        # Objects and CPU tensors go through gloo, beside the GPUs' own way.
        "gloo" if device is None else "cpu:gloo,cuda:nccl",
        **place,
        world_size=world_size,
        rank=rank,
        timeout=timeout(),
        **({} if device is None else {"device_id": device}),
    )
    _State.owned = True
    _take(dist)
    failures.watch(rank, world_size)


def ensure_initialized():
    """Make the group if torchrun has started this process, or take the program's own.

    `fit`, `evaluate` and `predict` call it. Returns `is_active()`.

    Example:

    >>> keras.distribution.process_group.ensure_initialized()
    False
    """
    if not _State.active:
        if started_together():
            initialize()
        else:
            _adopt()
    return _State.active


def started_together():
    """Whether the environment says that this is one of several processes started by torchrun.

    Example:

    >>> keras.distribution.process_group.started_together()
    False
    """
    environment = os.environ
    return "RANK" in environment and environment.get("WORLD_SIZE", "1") not in ("", "1")


def is_active():
    """Whether this is one process of a group of several.

    Example:

    >>> keras.distribution.process_group.is_active()
    False
    """
    return _State.active


def rank():
    """Number of this process in the job, from 0; before there is a group, what torchrun says.

    Example:

    >>> keras.distribution.process_group.rank()
    0
    """
    if not _State.active and started_together():
        return int(os.environ["RANK"])
    return _State.rank


def world_size():
    """Number of processes of the group; 1 without one.

    Example:

    >>> keras.distribution.process_group.world_size()
    1
    """
    return _State.world_size


def local_rank():
    """Number of this process on its machine, from 0.

    Example:

    >>> keras.distribution.process_group.local_rank()
    0
    """
    return int(os.environ.get("LOCAL_RANK") or 0)


def is_chief():
    """Whether this is the process that prints and writes files: number 0, or the only one.

    Example:

    >>> keras.distribution.process_group.is_chief()
    True
    """
    return rank() == 0


def timeout():
    """How long a process waits for the others before it gives up, for groups to be made.

    Example:

    >>> keras.distribution.process_group.timeout().total_seconds()
    1800.0
    """
    seconds = _State.timeout_s or os.environ.get("TORCHKERAS_TIMEOUT_S") or _TIMEOUT_S
    return datetime.timedelta(seconds=float(seconds))


def message_count():
    """How many messages all processes have exchanged here: at one place of a program, one number.

    Example:

    >>> before = keras.distribution.process_group.message_count()
    >>> keras.distribution.process_group.barrier()  # of one process: nobody to wait for
    >>> keras.distribution.process_group.message_count() - before
    0
    """
    return _State.messages


def barrier():
    """Wait until every process has come here.

    Example:

    >>> keras.distribution.process_group.barrier()
    """
    if _State.active:
        # Through the host: it also waits for processes that do other work meanwhile.
        all_reduce_([torch.zeros(1)])


def broadcast_object(value, source=0):
    """The object of process `source`, in every process.

    Args:
        value: anything that can be pickled; looked at in the process `source` only.
        source: int, number of a process.

    Example:

    >>> keras.distribution.process_group.broadcast_object({"epoch": 3})
    {'epoch': 3}
    """
    if not _State.active:
        return value
    import torch.distributed as dist

    _State.messages += 1
    box = [value if _State.rank == source else None]
    dist.broadcast_object_list(box, src=source)
    return box[0]


def all_gather_object(value):
    """List of the objects of all processes, in their order, in every process.

    Args:
        value: anything that can be pickled.

    Example:

    >>> keras.distribution.process_group.all_gather_object("a")
    ['a']
    """
    if not _State.active:
        return [value]
    import torch.distributed as dist

    _State.messages += 1
    values = [None] * _State.world_size
    dist.all_gather_object(values, value)
    return values


def all_gather(tensor):
    """List of the tensors of all processes, in their order; all must have one shape and dtype.

    Args:
        tensor: tensor on the CPU or on the device of this process.

    Example:

    >>> keras.distribution.process_group.all_gather(torch.ones(2))
    [tensor([1., 1.])]
    """
    if not _State.active:
        return [tensor]
    import torch.distributed as dist

    _State.messages += 1
    own = tensor.detach().contiguous()
    if _State.device is not None and own.device.type == "cpu":
        own = own.to(_State.device)
    parts = [torch.empty_like(own) for _ in range(_State.world_size)]
    dist.all_gather(parts, own)
    return [part.to(tensor.device) for part in parts]


def all_reduce_(tensors, op="sum"):
    """Replace tensors by their sum (or other reduction) over all processes, in place.

    Tensors of one dtype and device travel together, in one message. Every process must bring
    tensors of the same shapes and dtypes in the same order.

    Args:
        tensors: list of tensors.
        op: `"sum"`, `"mean"` (floats only), `"max"` or `"min"`.

    Returns:
        The list.

    Example:

    >>> keras.distribution.process_group.all_reduce_([torch.ones(2)])
    [tensor([1., 1.])]
    """
    if _State.active:
        _packed(tensors, lambda dist, flat: _reduce(dist, flat, op))
    return tensors


def broadcast_(tensors, source=0):
    """Replace tensors by those of process `source`, in place; packed like `all_reduce_`.

    Args:
        tensors: list of tensors, of the same shapes and dtypes in every process.
        source: int, number of a process.

    Returns:
        The list.

    Example:

    >>> keras.distribution.process_group.broadcast_([torch.ones(2)])
    [tensor([1., 1.])]
    """
    if _State.active:
        _packed(tensors, lambda dist, flat: dist.broadcast(flat, src=source))
    return tensors


# A message of at most so many bytes is packed: beyond, copies would double the memory needed.
_PACKED_BYTES = 64 * 2**20


def _packed(tensors, communicate):
    import torch.distributed as dist

    if torch.compiler.is_dynamo_compiling():
        torch._dynamo.graph_break(msg="what it computes takes messages between the processes")
    _State.messages += 1
    groups = {}
    for tensor in tensors:
        groups.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    with torch.no_grad():
        for group in groups.values():
            for part in _parts(group):
                _communicate(part, dist, communicate)


def _communicate(tensors, dist, communicate):
    moved = _State.device is not None and tensors[0].device.type == "cpu"
    if len(tensors) == 1 and tensors[0].is_contiguous() and not moved:
        communicate(dist, tensors[0].detach())
        return
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    if moved:
        flat = flat.to(_State.device)
    communicate(dist, flat)
    sizes = [tensor.numel() for tensor in tensors]
    for tensor, values in zip(tensors, flat.split(sizes), strict=True):
        tensor.detach().copy_(values.view(tensor.shape))


def _parts(tensors):
    part, size = [], 0
    for tensor in tensors:
        tensor_bytes = tensor.numel() * tensor.element_size()
        if part and size + tensor_bytes > _PACKED_BYTES:
            yield part
            part, size = [], 0
        part.append(tensor)
        size += tensor_bytes
    if part:
        yield part


def _reduce(dist, flat, op):
    operations = {"sum": "SUM", "mean": "SUM", "max": "MAX", "min": "MIN"}
    if op not in operations:
        raise ValueError(
            f"`op` must be one of {', '.join(map(repr, operations))}. Received: op={op!r}."
        )
    if op == "mean":
        flat.div_(_State.world_size)
    dist.all_reduce(flat, op=getattr(dist.ReduceOp, operations[op]))


# Getting started, and the end


def _adopt():
    """Take a group that the program has made itself, if there is one."""
    dist = sys.modules.get("torch.distributed")
    if dist is None or not (dist.is_available() and dist.is_initialized()):
        return False
    _take(dist)
    return True


def _take(dist):
    _State.rank = dist.get_rank()
    _State.world_size = dist.get_world_size()
    _State.active = _State.world_size > 1
    if _State.active or _State.owned:
        atexit.register(_leave)
    if _State.active and dist.get_backend() == "nccl" and not _State.owned:
        _State.device = torch.device("cuda", torch.cuda.current_device())


def _job(job_addresses, num_processes, process_id):
    """`(init_method, world_size, rank)`, or None for a job of one process."""
    given = [job_addresses, num_processes, process_id]
    given = [
        os.environ.get(f"KERAS_DISTRIBUTION_{name}") if value is None else value
        for name, value in zip(_NAMES, given, strict=True)
    ]
    if given == [None, None, None]:
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            return None
        return "env://", int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    if None in given:
        missing = [n.lower() for n, value in zip(_NAMES, given, strict=True) if value is None]
        raise ValueError(
            "`initialize` needs job_addresses, num_processes and process_id together. Received: "
            f"no {' and no '.join(missing)}. Give all three, as arguments or as "
            "KERAS_DISTRIBUTION_... in the environment; or start the script by torchrun."
        )
    addresses, world_size, rank = str(given[0]).split(","), int(given[1]), int(given[2])
    if world_size < 1 or not 0 <= rank < world_size or len(addresses) not in (1, world_size):
        raise ValueError(
            "`process_id` must be from 0 to num_processes - 1, and `job_addresses` one address, "
            f"or one for each process. Received: process_id={rank}, num_processes={world_size}, "
            f"{len(addresses)} addresses."
        )
    return f"tcp://{addresses[0].strip()}", world_size, rank


def _select_device():
    """The GPU of this process, made torch's current one; None where the CPU computes."""
    if not torch.cuda.is_available() or config.default_device().type != "cuda":
        return None
    count, number = torch.cuda.device_count(), local_rank()
    if number >= count:
        raise RuntimeError(
            f"Each process needs a GPU of its own. Received: LOCAL_RANK={number} on a machine "
            f"with {count}. Start {count} with torchrun --nproc-per-node={count}, or set "
            "CUDA_VISIBLE_DEVICES= to train on the CPU."
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def select_device_early():
    """Make the GPU of `LOCAL_RANK` torch's current one before the first weight is made.

    Done when the library is imported, only under torchrun: a model is often built before `fit`
    makes the group, and would else lie on the first GPU in every process.

    Example:

    >>> keras.distribution.process_group.select_device_early()
    """
    if started_together() and torch.cuda.is_available():
        number = local_rank()
        if number < torch.cuda.device_count():
            torch.cuda.set_device(number)


def _leave():
    import torch.distributed as dist

    # After an error the others may wait inside a collective: leave at once, and do not join them.
    if failures.has_failed():
        return
    # A thread of gloo lets go of its last message, which needs the interpreter's lock, a moment
    # after we had the result. One that asks for the lock while Python ends aborts the process,
    # and torch keeps these threads where there was a DistributedDataParallel: also those of a
    # group that the program made, and has destroyed itself.
    time.sleep(_LAST_MESSAGE_S)
    if _State.owned and dist.is_initialized():
        _State.owned = _State.active = False
        dist.destroy_process_group()
