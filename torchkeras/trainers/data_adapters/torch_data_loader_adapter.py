"""TorchDataLoaderAdapter: batches of a torch DataLoader, as it gives them."""

import numbers

import torch

from torchkeras.core.strings import as_text, is_text
from torchkeras.trainers.data_adapters import data_adapter_utils as utils
from torchkeras.trainers.data_adapters.data_adapter import DataAdapter


class TorchDataLoaderAdapter(DataAdapter):
    """Batches of a `torch.utils.data.DataLoader`; its workers, sampler and pinning are its own.

    A list batch becomes a tuple, anything else that is no tuple becomes `(batch,)`. Contents
    are only moved to `device`, without waiting where the loader pins memory; an `x` of strings
    becomes a NumPy array. Samplers with
    `set_epoch` (a DistributedSampler, inside a batch sampler too) are told the number of the
    pass, from 0.

    Args:
        dataloader: `torch.utils.data.DataLoader`.
        class_weight: dict of class index to weight, or None.
        device: torch device of the batches, or None to leave them where they are.

    Example:

    >>> data = torch.utils.data.TensorDataset(torch.arange(3.0), torch.arange(3))
    >>> adapter = TorchDataLoaderAdapter(torch.utils.data.DataLoader(data, batch_size=2))
    >>> next(adapter.batches())
    (tensor([0., 1.]), tensor([0, 1]))
    """

    def __init__(self, dataloader, class_weight=None, device=None):
        if not isinstance(dataloader, torch.utils.data.DataLoader):
            raise ValueError(
                "`dataloader` must be a torch.utils.data.DataLoader. Received: a "
                f"{type(dataloader).__name__}. Wrap it: DataLoader(dataset, batch_size=32)."
            )
        self._dataloader = dataloader
        self._class_weight = class_weight
        self._device = utils.full_device(device)
        self._passes = 0

    @property
    def num_batches(self):
        # A loader always has `__len__`; it raises where an iterable dataset has none.
        try:
            return len(self._dataloader)
        except (TypeError, NotImplementedError):
            return None

    def pass_state(self):
        generators = [generator.get_state() for generator in _generators(self._dataloader)]
        return {"passes": self._passes, "generators": generators}

    def set_pass_state(self, state):
        self._passes = state["passes"]
        for generator, value in zip(
            _generators(self._dataloader), state["generators"], strict=False
        ):
            generator.set_state(value)

    def source_state(self):
        return utils.state_of(self._dataloader)

    def set_source_state(self, state):
        utils.set_state(self._dataloader, state)

    def resumed(self, count, source):
        """The rest of a pass. A loader with a `state_dict` goes on by it.

        Of another one without workers and with a numbered dataset, only the sampler is asked for
        what comes before; else, as workers draw and count by themselves, all of it is read.
        """
        loader = self._dataloader
        if source is not None:
            self.set_source_state(source)
            return self.batches()
        self._begin_pass()
        reader = iter(loader)
        skip = getattr(reader, "_next_index", None)
        is_numbered = not isinstance(loader.dataset, torch.utils.data.IterableDataset)
        if loader.num_workers or not is_numbered or skip is None:
            skip = reader.__next__
        for _ in range(count):
            skip()
        return self._converted(reader)

    def batches(self):
        self._begin_pass()
        yield from self._converted(self._dataloader)

    def _begin_pass(self):
        for sampler in samplers(self._dataloader):
            set_epoch = getattr(sampler, "set_epoch", None)
            if callable(set_epoch):
                set_epoch(self._passes)
        self._passes += 1

    def _converted(self, batches):
        device, class_weight = self._device, self._class_weight
        for batch in batches:
            if type(batch) is not tuple or not isinstance(batch[0], torch.Tensor):
                self.bare_batches = utils.is_bare(batch)
                batch = utils.as_batch_tuple(batch)
                if is_text(batch[0]):
                    batch = (as_text(batch[0]), *batch[1:])
            if class_weight is not None:
                batch = utils.add_class_weight(batch, class_weight)
            yield batch if device is None else utils.to_device(batch, device)


def _generators(dataloader):
    """The torch Generators that a DataLoader and its samplers were given, each once."""
    holders = [dataloader, *samplers(dataloader)]
    found = [getattr(holder, "generator", None) for holder in holders]
    return list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())


def samplers(dataloader):
    """The samplers of a DataLoader: its batch sampler, its sampler, and those that these wrap.

    Example:

    >>> loader = torch.utils.data.DataLoader(torch.arange(3), batch_size=2)
    >>> [type(sampler).__name__ for sampler in samplers(loader)]
    ['BatchSampler', 'SequentialSampler']
    """
    found = []
    for sampler in (dataloader.batch_sampler, dataloader.sampler):
        while sampler is not None and not any(sampler is other for other in found):
            found.append(sampler)
            sampler = getattr(sampler, "sampler", None)
    return found


def dividing_sampler(dataloader):
    """The sampler that gives this process a part of the data only, or None.

    That is a DistributedSampler, or any other that has ints `num_replicas` above 1 and `rank`.

    Example:

    >>> data = torch.arange(4)
    >>> sampler = torch.utils.data.DistributedSampler(data, num_replicas=2, rank=0)
    >>> loader = torch.utils.data.DataLoader(
    ...     data, batch_sampler=torch.utils.data.BatchSampler(sampler, 2, drop_last=False)
    ... )
    >>> dividing_sampler(loader) is sampler
    True
    """
    for sampler in samplers(dataloader):
        replicas, rank = getattr(sampler, "num_replicas", 1), getattr(sampler, "rank", None)
        if isinstance(replicas, numbers.Integral) and isinstance(rank, numbers.Integral):
            if replicas > 1:
                return sampler
    return None
