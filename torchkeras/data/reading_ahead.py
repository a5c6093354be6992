"""Reading ahead: elements that threads or processes make ready while others are in use."""

import collections
import concurrent.futures
import itertools
import os
import random

import numpy as np
import torch

from torchkeras.data.passes import DerivedPass
from torchkeras.distribution.random_state import mixed_seed


class AheadPass(DerivedPass):
    """The elements of a pass, read ahead.

    Args:
        below: Pass.
        buffer_size: int, elements that are read ahead; None for some more than there are readers.
        num_workers: int, number of processes; 0 for threads, where the pass may be read by these.
        is_thread_safe: bool, whether it may.
        seed: int, from which processes seed their random numbers for each element.
    """

    def __init__(self, below, buffer_size, num_workers, is_thread_safe, seed):
        super().__init__(below)
        self.reads_ahead = True
        self._buffer_size = buffer_size
        self._num_workers = num_workers
        self._is_thread_safe = is_thread_safe
        self._seed = seed

    def around(self, below):
        """Another pass, read ahead in the same way."""
        return AheadPass(
            below, self._buffer_size, self._num_workers, self._is_thread_safe, self._seed
        )

    def __getitem__(self, index):
        return self.below[index]

    def rows(self, indices):
        return self.below.rows(indices)

    def part(self, index, shard):
        return self.below.part(index, shard)

    def parts(self, shard):
        if not self.is_indexed:
            return self.below.parts(shard)
        parts = self.around(_Parts(self.below, shard))
        parts._seed = mixed_seed(self._seed, shard[0])  # other rows, other random numbers
        return iter(parts)

    def stream(self):
        if self._num_workers:
            return self._by_processes()
        if self._is_thread_safe and self.is_indexed and not self.below.reads_ahead:
            return self._by_threads()
        return iter(self.below)

    def _by_threads(self):
        threads = threads_for_reading()
        ahead = threads + 2 if self._buffer_size is None else self._buffer_size
        numbers, pending = iter(range(self.length)), collections.deque()
        pool = concurrent.futures.ThreadPoolExecutor(min(threads, ahead), "torchkeras_data")
        try:
            for index in itertools.islice(numbers, ahead):
                pending.append(pool.submit(self.below.__getitem__, index))
            while pending:
                element = pending.popleft().result()
                for index in itertools.islice(numbers, 1):
                    pending.append(pool.submit(self.below.__getitem__, index))
                yield element
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _by_processes(self):
        # A stream has one order, which one process alone can follow.
        workers = self._num_workers if self.is_indexed else 1
        ahead = 2 * workers if self._buffer_size is None else self._buffer_size
        dataset = (
            _ByNumber(self.below, self._seed)
            if self.is_indexed
            else _InOrder(self.below, self._seed)
        )
        loader = torch.utils.data.DataLoader(
            dataset,
            batch_size=None,
            sampler=range(self.length) if self.is_indexed else None,
            num_workers=workers,
            prefetch_factor=max(ahead // workers, 1),
            collate_fn=_unchanged,
            # Else it would draw from the default one.
            generator=torch.Generator().manual_seed(self._seed),
        )
        reader = iter(loader)
        try:
            yield from reader
        finally:
            # Dropping `reader` would do, but a live traceback can hold on to it.
            reader._shutdown_workers()


class _Parts(DerivedPass):
    """`(share, part)` of each batch."""

    def __init__(self, below, shard):
        super().__init__(below)
        self._shard = shard

    def __getitem__(self, index):
        return self.below.part(index, self._shard)


class _ByNumber(torch.utils.data.Dataset):
    """A pass in a process: what is drawn for an element depends on its number alone."""

    def __init__(self, below, seed):
        self._below = below
        self._seed = seed

    def __getitem__(self, index):
        seed_all(mixed_seed(self._seed, index + 1))
        return self._below[index]


class _InOrder(torch.utils.data.IterableDataset):
    """A pass that one process reads from beginning to end."""

    def __init__(self, below, seed):
        self._below = below
        self._seed = seed

    def __iter__(self):
        seed_all(self._seed)
        return iter(self._below)


def _unchanged(element):
    return element


def seed_all(seed):
    """Seed the global generators of Python, NumPy and torch.

    Example:

    >>> from torchkeras.data.reading_ahead import seed_all
    >>> seed_all(3)
    >>> torch.initial_seed()
    3
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def threads_for_reading():
    """How many threads read: the processor's cores that are this process's, 8 at most.

    Example:

    >>> from torchkeras.data.reading_ahead import threads_for_reading
    >>> 1 <= threads_for_reading() <= 8
    True
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    except ValueError:
        processes = 1
    return max(1, min(8, cores // max(processes, 1)))
