"""ShardedDataAdapter: one process's rows of batches that every process reads."""

import torch

from torchkeras.core import tree
from torchkeras.distribution.share import Share
from torchkeras.trainers.data_adapters import data_adapter_utils as utils
from torchkeras.trainers.data_adapters.data_adapter import DataAdapter


class ShardedDataAdapter(DataAdapter):
    """This process's rows of each batch of another adapter.

    For generators, `PyDataset`s and other sources of whole batches: every process asks for the
    same batch and takes its part, so that the job trains on what a single process would. A
    generator must therefore give the same batches in all processes; where it draws random
    numbers, seed them alike.

    Args:
        adapter: DataAdapter that gives whole batches.
        device: torch device of the batches, or None to leave them where they are.
        shard: `(number, count)`: which of how many parts.

    Example:

    >>> from torchkeras.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
    >>> from torchkeras.trainers.data_adapters.sharded_data_adapter import ShardedDataAdapter
    >>> whole = ArrayDataAdapter(np.arange(5.0), batch_size=5)
    >>> list(ShardedDataAdapter(whole, None, (1, 2)).batches())
    [(tensor([3., 4.]),)]
    """

    def __init__(self, adapter, device, shard):
        self._adapter = adapter
        self._device = utils.full_device(device)
        self._shard = shard

    @property
    def bare_batches(self):
        return self._adapter.bare_batches

    @property
    def one_shot(self):
        return self._adapter.one_shot

    @property
    def num_batches(self):
        return self._adapter.num_batches

    @property
    def batch_size(self):
        return self._adapter.batch_size

    @property
    def has_partial_batch(self):
        return self._adapter.has_partial_batch

    @property
    def partial_batch_size(self):
        return self._adapter.partial_batch_size

    def on_epoch_begin(self):
        self._adapter.on_epoch_begin()

    def on_epoch_end(self):
        self._adapter.on_epoch_end()

    def close(self):
        self._adapter.close()

    def batches(self):
        for batch in self._adapter.batches():
            share = Share.of(rows_of(batch), *self._shard)
            first, stop = share.span
            batch = tree.map_structure(lambda x, a=first, b=stop: _rows(x, a, b), batch)
            batch = batch if self._device is None else moved(batch, self._device)
            self.share = share
            yield batch


def rows_of(batch):
    """Number of samples in a batch: the first axis of its first tensor.

    Raises:
        ValueError: the batch has no tensor with an axis.
    """
    for leaf in tree.flatten(batch):
        if isinstance(leaf, torch.Tensor) and leaf.dim():
            return leaf.shape[0]
    kinds = sorted({type(leaf).__name__ for leaf in tree.flatten(batch)})
    raise ValueError(
        "Several processes share a batch by the rows of its tensors. Received: a batch of "
        f"{', '.join(kinds)}. Give tensors; or give each process batches of its own, and "
        "keras.distribution.set_distribution(DataParallel(auto_shard_dataset=False))."
    )


def moved(batch, device):
    """The batch on the device, through page-locked memory where that is a GPU."""
    if device.type == "cuda":
        batch = tree.map_structure(
            lambda x: utils.pin(x) if isinstance(x, torch.Tensor) and x.device.type == "cpu" else x,
            batch,
        )
    return utils.to_device(batch, device)


def _rows(x, first, stop):
    if isinstance(x, torch.Tensor):
        return x[first:stop] if x.dim() else x
    return x
