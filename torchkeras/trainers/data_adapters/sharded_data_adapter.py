"""ShardedDataAdapter: one process's rows of batches that every process reads."""

import warnings

import numpy as np
import torch

from torchkeras.core import tree
from torchkeras.core.strings import is_text
from torchkeras.distribution import process_group, random_state
from torchkeras.distribution.share import Share
from torchkeras.trainers.data_adapters import agreement
from torchkeras.trainers.data_adapters import data_adapter_utils as utils
from torchkeras.trainers.data_adapters.data_adapter import DataAdapter


class ShardedDataAdapter(DataAdapter):
    """This process's rows of each batch of another adapter.

    For generators, `PyDataset`s and other sources of whole batches: every process asks for the
    same batch and takes its part, so that the job trains on what a single process would. The
    source must therefore give the same batches in all processes. Random numbers of Python, NumPy
    and, until the first batch of a pass was read, torch are those of process 0 for it.

    Whether the batches are the same is looked at: in each pass at the first one, and where the
    number of batches is not known, at each one's number of rows, which is a small message.

    Args:
        adapter: DataAdapter that gives whole batches.
        device: torch device of the batches, or None to leave them where they are.
        shard: `(number, count)`: which of how many parts.

    Raises:
        ValueError: in all processes, where one has another number of batches, or of rows in
            one. Other values are warned of, as they may be meant: augmented data is random. They
            are an error where processes share no rows.

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
        self._has_warned = False

    @property
    def bare_batches(self):
        return self._adapter.bare_batches

    @property
    def one_shot(self):
        return self._adapter.one_shot

    @property
    def num_batches(self):
        return self._adapter.num_batches

    def on_epoch_begin(self):
        with random_state.drawn_alike():
            self._adapter.on_epoch_begin()

    def on_epoch_end(self):
        self._adapter.on_epoch_end()

    def pass_state(self):
        return self._adapter.pass_state()

    def set_pass_state(self, state):
        self._adapter.set_pass_state(state)

    def source_state(self):
        return self._adapter.source_state()

    def set_source_state(self, state):
        self._adapter.set_source_state(state)

    def close(self):
        self._adapter.close()

    def batches(self):
        with random_state.drawn_alike():
            iterator = iter(self._adapter.batches())
            batch = next(iterator, None)
        number, is_counted = 0, self._adapter.num_batches is not None
        while True:
            batch = None if batch is None else as_tensors(batch)
            if number == 0 or not is_counted:
                self._compare(batch, number)
            if batch is None:
                return
            share = Share.of(rows_of(batch), *self._shard)
            first, stop = share.span
            batch = tree.map_structure(lambda x, a=first, b=stop: _rows(x, a, b), batch)
            batch = batch if self._device is None else moved(batch, self._device)
            self.share = share
            yield batch
            batch, number = next(iterator, None), number + 1

    def _compare(self, batch, number):
        """Raise in all processes unless all have a batch of as many rows, or none."""
        counts = agreement.gathered(-1 if batch is None else rows_of(batch))
        if -1 in counts and max(counts) >= 0:
            ended = [rank for rank, rows in enumerate(counts) if rows < 0]
            going_on = [rank for rank, rows in enumerate(counts) if rows >= 0]
            raise ValueError(
                "Every process must be given the same batches, and takes its rows of each. "
                f"Received: only {number} batches in {_listed(ended)}, and more in "
                f"{_listed(going_on)}. Stop before with steps_per_epoch (`steps` in `evaluate` and "
                f"`predict`), or: {agreement.REMEDY}"
            )
        if len(set(counts)) > 1:
            rank = next(rank for rank, rows in enumerate(counts) if rows != counts[0])
            raise ValueError(
                "Every process must be given the same batches, and takes its rows of each. "
                f"Received: batch {number} with {counts[0]} rows in process 0 and with "
                f"{counts[rank]} in process {rank}. {agreement.REMEDY}"
            )
        if number == 0 and batch is not None and not self._has_warned:
            self._compare_values(batch)

    def _compare_values(self, batch):
        # Of rows that are shared the targets, where there are any: inputs may be augmented, by each
        # process in its way. Processes that each hold a part of the weights need the same inputs.
        shares_rows = self._shard[1] > 1
        first = 1 if shares_rows and len(batch) > 1 and batch[1] is not None else 0
        named = [
            (f"`{name}`", leaf)
            for name, part in list(zip(utils.DATA_NAMES, batch, strict=False))[first:]
            for leaf in tree.flatten(part)
            if _has_rows(leaf)
        ]
        differences = agreement.differing(named)
        if not differences:
            return
        if not shares_rows:
            raise ValueError(
                "Every process must be given the same batches. Received: a first batch with other "
                f"values; {agreement.described(differences)}, as in process 0. "
                f"{agreement.SEED_ALIKE}"
            )
        self._has_warned = True
        if process_group.is_chief():
            warnings.warn(
                "Every process takes its rows of the same batches, but the first batch differs: "
                f"{agreement.described(differences)}. If it was shuffled in another order, some "
                f"samples are read twice and others never. {agreement.REMEDY}",
                stacklevel=4,
            )


def as_tensors(batch):
    """`batch` with tensors in the place of NumPy arrays of numbers; inputs of strings are arrays.

    Example:

    >>> from torchkeras.trainers.data_adapters.sharded_data_adapter import as_tensors
    >>> as_tensors((np.arange(2), ["a", "b"]))
    (tensor([0, 1]), ['a', 'b'])
    """
    batch = (utils.text_as_arrays(batch[0]), *batch[1:])
    return tree.map_structure(
        lambda x: (
            utils.rows_to_tensor(x)
            if isinstance(x, np.ndarray) and x.dtype.kind not in "OUSMm"
            else x
        ),
        batch,
    )


def rows_of(batch):
    """Number of samples in a batch: the first axis of its first tensor, or text.

    Raises:
        ValueError: the batch has no tensor with an axis.
    """
    for leaf in tree.flatten(batch):
        if _has_rows(leaf):
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


def _listed(ranks):
    few = ", ".join(map(str, ranks[:4])) + (" ..." if len(ranks) > 4 else "")
    return f"process {few}" if len(ranks) == 1 else f"processes {few}"


def _rows(x, first, stop):
    return x[first:stop] if _has_rows(x) else x


def _has_rows(x):
    """Whether `x` is a tensor with an axis, or text as the adapters give it."""
    return (isinstance(x, torch.Tensor) and x.dim() > 0) or (
        isinstance(x, np.ndarray) and x.ndim > 0 and is_text(x)
    )
