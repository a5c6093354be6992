"""ShardedDataLoaderAdapter: a torch DataLoader whose batches are shared among processes."""

import collections
import inspect
import itertools

import torch

from torchkeras.distribution import process_group
from torchkeras.distribution.share import Share
from torchkeras.trainers.data_adapters.torch_data_loader_adapter import TorchDataLoaderAdapter

# Batches of sample numbers that process 0 sends at once.
_BLOCK = 64


class ShardedDataLoaderAdapter(TorchDataLoaderAdapter):
    """This process's rows of each batch of a `torch.utils.data.DataLoader`.

    The sampler stays the user's: process 0 asks it which samples make a batch and tells the
    others, so that any sampler works, weighted and batch samplers too, and the order is that of a
    single process. Each process then loads its own samples only, with the workers, the
    `collate_fn` and the pinning of the loader.

    Args:
        dataloader: DataLoader over a dataset with sample numbers, in batches.
        class_weight: dict of class index to weight, or None.
        device: torch device of the batches, or None to leave them where they are.
        shard: `(number, count)`: which of how many parts.

    Example:

    >>> from torchkeras.trainers.data_adapters.sharded_data_loader import ShardedDataLoaderAdapter
    >>> data = torch.utils.data.TensorDataset(torch.arange(5.0))
    >>> loader = torch.utils.data.DataLoader(data, batch_size=4)
    >>> list(ShardedDataLoaderAdapter(loader, None, None, (1, 2)).batches())
    [(tensor([2., 3.]),), (tensor([4.]),)]
    """

    def __init__(self, dataloader, class_weight, device, shard):
        super().__init__(dataloader, class_weight, device)
        self._shares = collections.deque()
        self._sampler = _SharedBatches(dataloader.batch_sampler, self._shares, shard)
        self._dataloader = _with(dataloader, batch_sampler=self._sampler)

    @staticmethod
    def can_read(dataloader):
        """Whether the loader makes batches of numbered samples; others give whole batches."""
        return dataloader.batch_sampler is not None and _is_numbered(dataloader)

    def batches(self):
        self._shares.clear()
        yield from self._with_shares(super().batches())

    def resumed(self, count, source):
        self._shares.clear()
        rest = super().resumed(count, source)
        for _ in range(count):
            self._shares.popleft()
        return self._with_shares(rest)

    def _with_shares(self, batches):
        for batch in batches:
            self.share = self._shares.popleft()
            yield batch


def in_agreed_order(dataloader):
    """A loader of whole batches that gives the same ones, in process 0's order, in all processes.

    That is one with `batch_size=None`, whose sampler numbers batches. A loader over a stream, or
    of a class with an `__iter__` of its own, comes back as it is: it must give the same batches
    in all processes by itself.
    """
    if dataloader.batch_sampler is not None or not _is_numbered(dataloader):
        return dataloader
    return _with(dataloader, sampler=_SharedOrder(dataloader.sampler), batch_size=None)


def _is_numbered(dataloader):
    if isinstance(dataloader.dataset, torch.utils.data.IterableDataset):
        return False
    return type(dataloader).__iter__ is torch.utils.data.DataLoader.__iter__


def _blocks(iterable):
    """Lists of what process 0 finds in the iterable, which the others do not ask."""
    iterator = iter(iterable) if process_group.is_chief() else None
    while True:
        block = None if iterator is None else list(itertools.islice(iterator, _BLOCK))
        block = process_group.broadcast_object(block)
        if not block:
            return
        yield block


class _SharedOrder:
    """The sample numbers that process 0's sampler gives, in all processes."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __len__(self):
        return len(self.sampler)

    def __iter__(self):
        return itertools.chain.from_iterable(_blocks(self.sampler))


class _SharedBatches:
    """The sample numbers of this process in each batch that process 0's sampler gives."""

    def __init__(self, batch_sampler, shares, shard):
        self.sampler = batch_sampler
        self._shares = shares
        self._shard = shard

    def __len__(self):
        return len(self.sampler)

    def __iter__(self):
        for block in _blocks(map(list, self.sampler)):
            for batch in block:
                share = Share.of(len(batch), *self._shard)
                first, stop = share.span
                self._shares.append(share)
                yield batch[first:stop]


def _with(dataloader, **arguments):
    """A DataLoader of the same settings, with another sampler."""
    settings = {
        name: getattr(dataloader, name)
        for name in (
            "num_workers",
            "collate_fn",
            "pin_memory",
            "timeout",
            "worker_init_fn",
            "multiprocessing_context",
            "generator",
            "prefetch_factor",
            "persistent_workers",
            "pin_memory_device",
            "in_order",
        )
        if hasattr(dataloader, name)
    }
    known = inspect.signature(torch.utils.data.DataLoader.__init__).parameters
    settings = {name: value for name, value in settings.items() if name in known}
    if not settings.get("pin_memory_device"):
        settings.pop("pin_memory_device", None)  # torch deprecates even naming it
    return torch.utils.data.DataLoader(dataloader.dataset, **arguments, **settings)
