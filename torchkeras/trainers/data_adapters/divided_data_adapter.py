"""DividedDataAdapter: batches that are a process's own, in step with those of the others."""

import torch

from torchkeras.distribution import process_group
from torchkeras.distribution.share import Share
from torchkeras.trainers.data_adapters.sharded_data_adapter import (
    ShardedDataAdapter,
    moved,
    rows_of,
)


class DividedDataAdapter(ShardedDataAdapter):
    """Batches of data that was divided among the processes before.

    For a DataLoader with a DistributedSampler, and for `auto_shard_dataset=False`. The batch of a
    step is what all processes bring to it; they tell each other how many rows that is. One whose
    data ends earlier goes on with its last batch, which then counts for nothing, until all are
    through.

    Args:
        adapter: DataAdapter of this process's data.
        device: torch device of the batches, or None to leave them where they are.
        sampler: DistributedSampler that has divided the data, or None.
    """

    is_divided = True

    def __init__(self, adapter, device, sampler=None):
        super().__init__(adapter, device, None)
        self.sampler = sampler

    @property
    def num_batches(self):
        return self._adapter.num_batches

    def batches(self):
        iterator, last = iter(self._adapter.batches()), None
        while True:
            batch = next(iterator, None)
            rows = 0 if batch is None else rows_of(batch)
            counts = torch.zeros(process_group.world_size(), dtype=torch.int64)
            counts[process_group.rank()] = rows
            counts = process_group.all_reduce_([counts])[0].tolist()
            total = sum(counts)
            if not total:
                return
            if batch is not None:
                last = batch if self._device is None else moved(batch, self._device)
            elif last is None:
                raise ValueError(
                    "Every process needs at least one batch. Received: none in process "
                    f"{process_group.rank()}, of data that is divided already. Give each some, "
                    "or let the batches be shared (auto_shard_dataset=True)."
                )
            self.share = Share(rows, total, is_even=len(set(counts)) == 1)
            yield last
