"""Random numbers in several processes: alike where all must agree, different where rows differ.

Outside of training every process draws the same numbers if all were seeded alike. Inside `fit`
process 0 goes on with torch's generators, and so sees what a single process would; the others
draw from streams of their own, so that dropout has another mask for other rows. At the end of
`fit` all continue from the generators of process 0.

Python's and NumPy's generators are what data is shuffled with, on which all must agree: they get no
streams of their own. Where whole batches are read in every process they are made those of
process 0 before; a program that seeds them differently on purpose, and reads no such data, keeps
its seeds.
"""

import contextlib
import pickle
import random
import struct
import zlib

import numpy as np
import torch

from torchkeras.distribution import process_group

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: spreads consecutive ranks over all bits


def mixed_seed(seed, rank):
    """A seed in [0, 2**63) for process `rank`; for process 0 the seed itself.

    Example:

    >>> from torchkeras.distribution.random_state import mixed_seed
    >>> mixed_seed(7, 0), mixed_seed(7, 1) != mixed_seed(7, 2)
    (7, True)
    """
    if not rank:
        return seed
    mixed = (seed + rank * _GOLDEN) & (2**64 - 1)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = ((mixed ^ (mixed >> shift)) * factor) & (2**64 - 1)
    return (mixed ^ (mixed >> 31)) >> 1


@contextlib.contextmanager
def agreed_generator():
    """A `torch.Generator` on the CPU that draws alike in all processes; None in a single one.

    It continues from the default generator of process 0, which afterwards is where it ended: the
    numbers are those that a single process would have drawn. So are the default generators that
    were in the same state before.

    Example:

    >>> from torchkeras.distribution.random_state import agreed_generator
    >>> with agreed_generator() as generator:
    ...     torch.randperm(3, generator=generator).shape
    torch.Size([3])
    """
    if not process_group.is_active():
        yield None
        return
    own = torch.get_rng_state()
    state = process_group.broadcast_([own.clone()])[0]
    generator = torch.Generator()
    generator.set_state(state)
    yield generator
    if torch.equal(own, state):
        torch.set_rng_state(generator.get_state())


@contextlib.contextmanager
def drawn_alike():
    """Inside, Python's, NumPy's and torch's generators on the CPU draw alike in all processes.

    They continue from those of process 0. Afterwards Python's and NumPy's go on alike; torch's
    default generator goes back to this process's own stream, if it had one.

    Example:

    >>> from torchkeras.distribution.random_state import drawn_alike
    >>> with drawn_alike():
    ...     np.random.permutation(3).shape
    (3,)
    """
    if not process_group.is_active():
        yield
        return
    own = torch.get_rng_state()
    states, agreed = process_group.broadcast_object((_host_states(), own))
    if process_group.rank():
        _set_host_states(states)
        torch.set_rng_state(agreed)
    try:
        yield
    finally:
        if not torch.equal(own, agreed):
            torch.set_rng_state(own)


@contextlib.contextmanager
def own_streams():
    """Inside, torch's default generators differ from process to process; afterwards all agree.

    Python's and NumPy's stay as they are. If they were alike before, they are afterwards, too:
    a callback or a sampler that only process 0 asks may have drawn from its own.

    Example:

    >>> from torchkeras.distribution.random_state import own_streams
    >>> with own_streams():
    ...     torch.rand(1).shape
    torch.Size([1])
    """
    if not process_group.is_active():
        yield
        return
    alike = _hosts_are_alike()
    take_own_stream()
    yield
    # After an error nothing is agreed on: the others may never come here.
    rank = process_group.rank()
    states = process_group.broadcast_object(None if rank else get_random_states())
    if rank:
        set_torch_states(states)
        if alike:
            _set_host_states(states)


def _hosts_are_alike():
    """Whether Python's and NumPy's generators are in the same state in all processes."""
    digest = zlib.crc32(pickle.dumps(_host_states()))
    least, most = process_group.all_reduce_([torch.tensor([-digest, digest])], "max")[0].tolist()
    return -least == most


def take_own_stream():
    """Leave process 0 as it is, and seed torch's default generators anew in the others."""
    state = process_group.broadcast_([torch.get_rng_state()])[0]
    if process_group.rank():
        seed = zlib.crc32(state.numpy().tobytes()) | (zlib.adler32(state.numpy().tobytes()) << 31)
        torch.manual_seed(mixed_seed(seed, process_group.rank()))


def get_random_states():
    """States of Python's, NumPy's and torch's global generators, of this process.

    Example:

    >>> from torchkeras.distribution.random_state import get_random_states, set_random_states
    >>> states = get_random_states()
    >>> x = torch.rand(2)
    >>> set_random_states(states)
    >>> torch.equal(torch.rand(2), x)
    True
    """
    return {**_host_states(), **get_torch_states()}


def gather_random_states():
    """List of the states of all processes, in their order; every process must call it.

    Example:

    >>> from torchkeras.distribution.random_state import gather_random_states
    >>> len(gather_random_states())
    1
    """
    return process_group.all_gather_object(get_random_states())


def set_random_states(states):
    """Set the global generators of this process.

    Args:
        states: what `get_random_states` or `gather_random_states` gave. Of a list this process
            takes its own entry. Where the list comes from another number of processes, all take
            the first one, and all but process 0 then draw from a stream of their own.
    """
    if isinstance(states, dict):
        _set_states(states)
        return
    rank, world_size = process_group.rank(), process_group.world_size()
    if len(states) == world_size:
        _set_states(states[rank])
        return
    _set_states(states[0])
    if rank:
        torch.manual_seed(mixed_seed(torch.initial_seed(), rank))


def check_random_states(states):
    """Raise a ValueError unless `states` are such as `gather_random_states` gives.

    Generators trust the positions in their states, and draw from wherever these point: what comes
    from a file is checked before it is set.

    Args:
        states: list of dicts.

    Raises:
        ValueError: a state is of another form, or a position in it lies outside its numbers.

    Example:

    >>> from torchkeras.distribution.random_state import check_random_states, get_random_states
    >>> states = get_random_states()
    >>> check_random_states([states])
    >>> states["numpy"]["state"]["pos"] = 2**30
    >>> check_random_states([states])
    Traceback (most recent call last):
    ValueError: A state of NumPy's generator was expected. Received: pos=1073741824, not 0 to 624.
    """
    if not isinstance(states, list) or not states:
        raise ValueError("A list of states of random generators was expected. Received: none.")
    for state in states:
        if not isinstance(state, dict) or not {"python", "numpy", "cpu", "devices"} <= set(state):
            raise ValueError(
                "States of Python's, NumPy's and torch's generators were expected. Received: "
                "others, or not all of them."
            )
        _check_python_state(state["python"])
        _check_numpy_state(state["numpy"])
        _check_torch_state(state["cpu"])
        devices = state["devices"]
        if not isinstance(devices, list) or not all(map(_is_bytes, devices)):
            raise _not_a_state("torch", "no list of byte tensors for the devices")


def _not_a_state(whose, problem):
    return ValueError(f"A state of {whose}'s generator was expected. Received: {problem}.")


def _check_python_state(state):
    try:
        random.Random().setstate(state)  # Python checks it, all but the number kept by `gauss`
        kept = state[2]
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise _not_a_state("Python", f"{type(error).__name__}: {error}") from error
    if not isinstance(kept, (float, type(None))):
        raise _not_a_state("Python", f"a {type(kept).__name__} as the next of `gauss`")


def _check_numpy_state(state):
    fitting = isinstance(state, dict) and isinstance(state.get("state"), dict)
    own = np.random.get_state(legacy=False)
    if not fitting or {k: type(v) for k, v in state.items()} != {k: type(own[k]) for k in own}:
        raise _not_a_state("NumPy", "one of another form")
    if state["bit_generator"] != own["bit_generator"]:
        raise _not_a_state("NumPy", f"bit_generator={state['bit_generator']!r}")
    numbers, expected = state["state"], own["state"]
    for name, value in expected.items():
        found = numbers.get(name)
        if isinstance(value, np.ndarray):
            shape = getattr(found, "shape", None), getattr(found, "dtype", None)
            if shape != (value.shape, value.dtype):
                raise _not_a_state("NumPy", f"{name} of shape and dtype {shape}")
        elif type(found) is not int:
            raise _not_a_state("NumPy", f"{name}={found!r}")
    for place, name, end in ((numbers, "pos", 624), (state, "buffer_pos", 4)):
        if name in place and not 0 <= place[name] <= end:
            raise _not_a_state("NumPy", f"{name}={place[name]}, not 0 to {end}")


def _check_torch_state(state):
    if not _is_bytes(state) or state.shape != torch.get_rng_state().shape:
        raise _not_a_state("torch", "no byte tensor of its length")
    # A Mersenne twister: after the seed `left`, one more than the numbers left, a flag, and the
    # place of the next number. torch checks each, but not that they go together.
    left, _, place = struct.unpack_from("<iiQ", state.numpy().tobytes(), 8)
    if not (1 <= left <= 624 and left + place <= 625):
        raise _not_a_state("torch", f"place={place} with {left - 1} of 624 numbers left")
    try:
        torch.Generator().set_state(state)
    except RuntimeError as error:
        raise _not_a_state("torch", error) from error


def _is_bytes(x):
    return isinstance(x, torch.Tensor) and x.dtype is torch.uint8 and x.dim() == 1


def _set_states(states):
    _set_host_states(states)
    set_torch_states(states)


def _host_states():
    return {"python": random.getstate(), "numpy": np.random.get_state(legacy=False)}


def _set_host_states(states):
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])


def get_torch_states():
    """States of torch's default generators, of this process, on the CPU and on its devices."""
    return {"cpu": torch.get_rng_state(), "devices": [read() for read, _ in _devices()]}


def set_torch_states(states):
    """Set torch's default generators to what `get_torch_states` gave."""
    torch.set_rng_state(states["cpu"])
    for (_, write), state in zip(_devices(), states["devices"], strict=False):
        write(state)


def _devices():
    """Pairs of functions that read and set a device's generator.

    In one of several processes only that of its own device, in a single one those of all.
    """
    if not torch.accelerator.is_available():
        return []
    kind = torch.accelerator.current_accelerator().type
    module = torch.get_device_module(kind)
    if kind == "mps":  # one device, whose functions take no number
        return [(module.get_rng_state, module.set_rng_state)]
    numbers = range(torch.accelerator.device_count())
    if process_group.is_active():
        numbers = [torch.accelerator.current_device_index()]
    return [
        (
            lambda i=i: module.get_rng_state(i),
            lambda state, i=i: module.set_rng_state(state, i),
        )
        for i in numbers
    ]
