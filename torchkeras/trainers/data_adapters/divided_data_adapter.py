"""DividedDataAdapter: batches that are a process's own, in step with those of the others."""

from torchkeras.distribution import process_group
from torchkeras.distribution.share import Share
from torchkeras.trainers.data_adapters import agreement
from torchkeras.trainers.data_adapters.sharded_data_adapter import (
    ShardedDataAdapter,
    as_tensors,
    moved,
    rows_of,
)


class DividedDataAdapter(ShardedDataAdapter):
    """Batches of data that was divided among the processes before.

    For a DataLoader with a DistributedSampler, and for `auto_shard_dataset=False`. The batch of a
    step is what all processes bring to it; they tell each other how many rows that is. One whose
    data ends earlier goes on with its last batch, which then counts for nothing, until all are
    through. Then all begin a new pass.

    Args:
        adapter: DataAdapter of this process's data.
        device: torch device of the batches, or None to leave them where they are.
        lengths: list of int or None, `num_batches` of every process's data.
        sampler: sampler that has divided the data, or None.

    Raises:
        ValueError: in all processes, where one has no batch at all.
    """

    is_divided = True

    def __init__(self, adapter, device, lengths, sampler=None):
        super().__init__(adapter, device, None)
        self.sampler = sampler
        self._num_batches = None if None in lengths else max(lengths)

    @property
    def num_batches(self):
        """Batches in one pass of the process that has most of them, or None."""
        return self._num_batches

    def on_epoch_begin(self):
        self._adapter.on_epoch_begin()

    def batches(self):
        iterator, last = iter(self._adapter.batches()), None
        while True:
            batch = next(iterator, None)
            batch = None if batch is None else as_tensors(batch)
            counts = agreement.gathered(0 if batch is None else rows_of(batch))
            total = sum(counts)
            if not total:
                return
            if last is None and 0 in counts:  # seen by all, so that nobody waits
                raise ValueError(
                    "Every process needs at least one batch. Received: none in process "
                    f"{counts.index(0)}, of data that is divided already. Give each some, "
                    "or let the batches be shared (auto_shard_dataset=True)."
                )
            if batch is not None:
                last = batch if self._device is None else moved(batch, self._device)
            rows = counts[process_group.rank()]
            self.share = Share(rows, total, is_even=len(set(counts)) == 1)
            yield last
