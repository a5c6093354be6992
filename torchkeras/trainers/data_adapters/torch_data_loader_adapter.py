"""TorchDataLoaderAdapter: batches of a torch DataLoader, as it gives them."""

import torch

from torchkeras.trainers.data_adapters import data_adapter_utils as utils
from torchkeras.trainers.data_adapters.data_adapter import DataAdapter


class TorchDataLoaderAdapter(DataAdapter):
    """Batches of a `torch.utils.data.DataLoader`; its workers, sampler and pinning are its own.

    A list batch becomes a tuple, anything else that is no tuple becomes `(batch,)`. Contents
    are only moved to `device`, without waiting where the loader pins memory. A sampler with
    `set_epoch` (a DistributedSampler) is told the number of the pass, from 0.

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

    @property
    def batch_size(self):
        return self._dataloader.batch_size

    @property
    def has_partial_batch(self):
        size = self.partial_batch_size
        return None if size is None else size > 0

    @property
    def partial_batch_size(self):
        if self.num_batches is None or self.batch_size is None or self._dataloader.drop_last:
            return None
        try:
            return len(self._dataloader.dataset) % self.batch_size
        except (TypeError, NotImplementedError):
            return None

    def batches(self):
        set_epoch = getattr(self._dataloader.sampler, "set_epoch", None)
        if callable(set_epoch):
            set_epoch(self._passes)
        self._passes += 1
        device, class_weight = self._device, self._class_weight
        for batch in self._dataloader:
            if type(batch) is not tuple:
                self.bare_batches = not isinstance(batch, (list, tuple))
            batch = utils.as_batch_tuple(batch)
            if class_weight is not None:
                batch = utils.add_class_weight(batch, class_weight)
            yield batch if device is None else utils.to_device(batch, device)
