"""PyDataset, a dataset indexed by batch, and its adapter: reading by threads or processes."""

import collections
import concurrent.futures
import itertools
import random
import warnings

import numpy as np
import torch

from torchkeras.distribution.random_state import agreed_generator, mixed_seed
from torchkeras.trainers.data_adapters import data_adapter_utils as utils
from torchkeras.trainers.data_adapters.data_adapter import DataAdapter


class PyDataset:
    """Base class of a dataset written in Python that is read batch by batch, in parallel.

    A subclass defines `__getitem__(index)`, which returns a whole batch, and `__len__()`, the
    number of batches (or the property `num_batches`; None there means endless). One without
    either needs `steps_per_epoch` in `fit`, and `steps` elsewhere. Batches come in
    order whatever the number of workers, and an error in a worker reaches the caller of `fit`.

    A batch is `(x,)`, `(x, y)` or `(x, y, sample_weight)`, or one array or dict: `x`.

    What a dataset keeps from epoch to epoch, such as an order that `on_epoch_end` shuffles on, is
    its own. With methods `state_dict()`, which returns numbers, strings, arrays and structures of
    them, and `load_state_dict(state)`, a run that `BackupAndRestore` brings back has it too.

    Args:
        workers: int, number of threads or processes that read. 0 or 1 thread reads in the
            main thread.
        use_multiprocessing: bool, processes instead of threads. The dataset is copied into
            each process at the start of an epoch, and must be picklable where processes are
            not forked.
        max_queue_size: int, at least 1, number of batches read ahead.

    Example:

    >>> class Squares(keras.utils.PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...
    ...     def __getitem__(self, index):
    ...         x = np.arange(3.0) + 3 * index
    ...         return x, x**2
    >>> Squares(workers=2)[1]
    (array([3., 4., 5.]), array([ 9., 16., 25.]))
    """

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        self._workers = workers
        self._use_multiprocessing = use_multiprocessing
        self._max_queue_size = max_queue_size

    def _setting(self, name, default):
        if name not in self.__dict__:
            setattr(self, name, default)
            warnings.warn(
                f"{type(self).__name__}.__init__ should call `super().__init__(**kwargs)`, which "
                f"takes `workers`, `use_multiprocessing` and `max_queue_size`. Using {default}.",
                stacklevel=3,
            )
        return self.__dict__[name]

    @property
    def workers(self):
        """Number of threads or processes that read."""
        return self._setting("_workers", 1)

    @workers.setter
    def workers(self, value):
        self._workers = value

    @property
    def use_multiprocessing(self):
        """Whether processes read, instead of threads."""
        return self._setting("_use_multiprocessing", False)

    @use_multiprocessing.setter
    def use_multiprocessing(self, value):
        self._use_multiprocessing = value

    @property
    def max_queue_size(self):
        """Number of batches read ahead."""
        return self._setting("_max_queue_size", 10)

    @max_queue_size.setter
    def max_queue_size(self, value):
        self._max_queue_size = value

    def __getitem__(self, index):
        """The batch at position `index`, an int from 0."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `__getitem__(index)`, which returns a batch. "
            f"Received: index={index}. Override it in the subclass."
        )

    def __iter__(self):
        count = self.num_batches
        for index in itertools.count() if count is None else range(count):
            yield self[index]

    @property
    def num_batches(self):
        """Number of batches, or None if the dataset is endless."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(
            f"{type(self).__name__} must define `__len__()` or the property `num_batches`, the "
            "number of batches. Received: neither. An endless dataset returns None from "
            "`num_batches`, or give `steps_per_epoch` (`steps` in `evaluate` and `predict`)."
        )

    def on_epoch_begin(self):
        """Called before the first batch of each epoch."""

    def on_epoch_end(self):
        """Called after the last batch of each epoch, e.g. to shuffle the samples."""


class PyDatasetAdapter(DataAdapter):
    """Batches of a `PyDataset`, read by its workers; these live at most for one epoch.

    Workers start with an epoch's first batch and end with the epoch, so what the dataset's
    hooks change between epochs reaches every worker. A pass that an epoch left half-way goes on
    at the next batch.

    Args:
        x: `PyDataset`.
        class_weight: dict of class index to weight, or None.
        shuffle: bool, read the batches in a new random order in each pass, drawn from torch's
            default generator; the samples inside a batch keep theirs.
        device: torch device of the batches, or None to leave them where they are.
        counted: bool, whether steps are counted elsewhere, so that no length is needed.

    Example:

    >>> class Twos(PyDataset):
    ...     def __len__(self):
    ...         return 1
    ...
    ...     def __getitem__(self, index):
    ...         return np.full((3,), 2)
    >>> list(PyDatasetAdapter(Twos(workers=2)).batches())
    [(tensor([2, 2, 2]),)]
    """

    def __init__(self, x, class_weight=None, shuffle=False, device=None, counted=False):
        self._dataset = x
        self._class_weight = class_weight
        self._shuffle = bool(shuffle)
        self._device = utils.full_device(device)
        self._reader = None
        self._has_length = True
        try:
            count = x.num_batches
        except NotImplementedError:
            if not counted:
                raise
            self._has_length, count = False, None
        if count == 0:
            raise ValueError(
                "The data must give at least one batch. Received: a "
                f"{type(x).__name__} of length 0. Check its `__len__`, and the files it found."
            )

    @property
    def num_batches(self):
        return self._dataset.num_batches if self._has_length else None

    def source_state(self):
        return utils.state_of(self._dataset)

    def set_source_state(self, state):
        utils.set_state(self._dataset, state)

    def on_epoch_begin(self):
        self._dataset.on_epoch_begin()

    def on_epoch_end(self):
        self.close()
        self._dataset.on_epoch_end()

    def close(self):
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def batches(self):
        return self._batches_from(0)

    def resumed(self, count, source):
        batches = self._batches_from(count)
        self.set_source_state(source)
        return batches

    def _batches_from(self, position):
        self.close()
        count = self.num_batches
        order = None if count is None else self._order(count)
        return self._read_in(order, count, position, _seed_of_pass(self._dataset))

    def _read_in(self, order, count, position, seed):
        while count is None or position < count:
            if self._reader is None:
                rest = itertools.count(position) if order is None else order[position:]
                self._reader = _read(self._dataset, rest, seed)
            batch = next(self._reader)
            position += 1
            yield self._convert(batch)
        self.close()

    def _order(self, count):
        if not self._shuffle:
            return range(count)
        with agreed_generator() as generator:  # the same batches in all processes of a job
            return torch.randperm(count, generator=generator).tolist()

    def _convert(self, batch):
        self.bare_batches = utils.is_bare(batch)
        device = self._device
        batch = utils.batch_to_tensors(
            utils.as_batch_tuple(batch), pinned=device is not None and device.type == "cuda"
        )
        if self._class_weight is not None:
            batch = utils.add_class_weight(batch, self._class_weight)
        return batch if device is None else utils.to_device(batch, device)


def _seed_of_pass(dataset):
    """What processes that read are to draw by, from the default generator; else None."""
    if not (dataset.use_multiprocessing and dataset.workers):
        return None
    return int(torch.empty((), dtype=torch.int64, device="cpu").random_())


def _read(dataset, indices, seed):
    """A generator of `dataset[i]` for `i` in `indices`, in order; closing it ends its workers."""
    workers = dataset.workers or 0
    if workers > 0 and dataset.use_multiprocessing:
        return _read_by_processes(dataset, indices, workers, seed)
    if workers > 1:
        return _read_by_threads(dataset, indices, workers)
    return (dataset[index] for index in indices)


def _read_by_threads(dataset, indices, workers):
    indices = iter(indices)
    pending = collections.deque()
    pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="PyDataset")
    try:
        for index in itertools.islice(indices, max(dataset.max_queue_size, 1)):
            pending.append(pool.submit(dataset.__getitem__, index))
        while pending:
            batch = pending.popleft().result()
            for index in itertools.islice(indices, 1):
                pending.append(pool.submit(dataset.__getitem__, index))
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read_by_processes(dataset, indices, workers, seed):
    # torch's own loader does it all: order, shared memory, tracebacks, the death of a worker.
    loader = torch.utils.data.DataLoader(
        _ItemsOnly(dataset, seed),
        generator=torch.Generator(),  # the default one must not tell where a pass was begun
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        prefetch_factor=max(dataset.max_queue_size // workers, 1),
    )
    reader = iter(loader)
    try:
        yield from reader
    finally:
        # Dropping `reader` would do, but a live traceback can hold on to it.
        reader._shutdown_workers()


class _ItemsOnly(torch.utils.data.Dataset):
    """`dataset` without its own `__iter__` and `__len__`, which a DataLoader would ask.

    What a batch draws at random is a function of the pass and its index alone: whichever process
    reads it, and wherever in the pass reading was begun.
    """

    def __init__(self, dataset, seed):
        self._dataset = dataset
        self._seed = seed

    def __getitem__(self, index):
        if self._seed is not None:
            seed = mixed_seed(self._seed, index + 1)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.manual_seed(seed)
        return self._dataset[index]
