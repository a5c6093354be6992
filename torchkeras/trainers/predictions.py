"""Predictions: outputs of batch after batch, on their way to arrays."""

import time

import numpy as np
import torch

from torchkeras.core import tree
from torchkeras.core.convert import convert_to_numpy
from torchkeras.core.scopes import SCOPE
from torchkeras.distribution import process_group
from torchkeras.distribution.share import Share
from torchkeras.trainers.data_adapters.array_data_adapter import whole_rows

# A call at once that takes so long, in each of the first ones, is left to a graph: less than that
# Dynamo takes to look at what the graph depends on, 0.4 ms, and the loop.
_CALLS = 3
_LONG_S = 2e-3


class Predictions:
    """Collects the outputs of batches and joins them along the first axis.

    Copies from an accelerator start at once, and are waited for together in the end.

    Example:

    >>> from torchkeras.trainers.predictions import Predictions
    >>> predictions = Predictions()
    >>> for batch in torch.arange(5.0).split(2):
    ...     predictions.add({"y": batch})
    >>> predictions.join()
    {'y': array([0., 1., 2., 3., 4.], dtype=float32)}
    """

    def __init__(self):
        self._batches = []
        self._waits = False

    def __len__(self):
        return len(self._batches)

    def add(self, outputs):
        """Take the outputs of one batch: a tensor, or a structure of them."""
        self._batches.append(tree.map_structure(self._to_cpu, outputs))

    def _to_cpu(self, x):
        if not isinstance(x, torch.Tensor):
            return x
        x = x.detach()
        if x.device.type == "cpu":
            return x
        self._waits = True
        return x.to("cpu", non_blocking=True)

    def join(self):
        """NumPy arrays in the structure of the outputs, in memory of their own."""
        if self._waits:
            torch.accelerator.synchronize()
        return tree.map_structure(lambda *parts: _join(parts), *self._batches)


def _join(parts):
    if all(isinstance(part, torch.Tensor) for part in parts):
        return convert_to_numpy(torch.cat(parts))
    return np.concatenate([np.asarray(part) for part in parts])


def predict_at_once(model, x, batch_size):
    """What `predict` gives for a single array of one batch, without a loop around it.

    A loop costs several times what a small model does.

    Args:
        model: Model in one process, whose `predict_step` is the Trainer's.
        x: what was given to `predict`.
        batch_size: int, or None for 32.

    Returns:
        Structure of NumPy arrays; None where the loop is to see to it: more data, or of another
        kind, or a model that is not built, or a part of which is in training mode, or one with
        `jit_compile=True` whose call takes long.

    Example:

    >>> from torchkeras.trainers.predictions import predict_at_once
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> _ = model(np.ones((1, 3)))
    >>> predict_at_once(model, np.ones((5, 3)), None).shape
    (5, 2)
    >>> predict_at_once(model, np.ones((5, 3)), 4) is None
    True
    """
    if type(x) not in (np.ndarray, torch.Tensor) or not x.ndim or not _is_one(x, batch_size):
        return None
    if model._fast.token is not SCOPE.token(model._autocast_dtype):
        return None  # it has not looked at its layers yet
    if any(module.training for module in model.modules()):
        return None
    calls = model._calls_s
    if model.jit_compile and len(calls) == _CALLS and min(calls) >= _LONG_S:
        return None
    torch.clear_autocast_cache()  # weights may have been set since they were cast
    begin = time.perf_counter()
    with torch.no_grad():
        outputs = model(whole_rows(x).to(model._device()))
    predictions = Predictions()
    predictions.add(outputs)
    results = predictions.join()
    if len(calls) < _CALLS:
        calls.append(time.perf_counter() - begin)
    return results


def _is_one(x, batch_size):
    numbers = isinstance(x, torch.Tensor) or x.dtype.kind in "fiub"
    return numbers and type(batch_size) in (int, type(None)) and 0 < len(x) <= (batch_size or 32)


class SharedPredictions(Predictions):
    """Outputs of batches that processes share, joined in the order of the samples.

    Of data that was divided among the processes before, those of process 0 come first.

    Args:
        replica: Replica of the model, which knows the share of each step.
        iterator: EpochIterator of the data.

    Raises:
        ValueError: a sampler has divided the data, which repeats and reorders samples; or outputs
            have other rows than their batch.
    """

    def __init__(self, replica, iterator):
        super().__init__()
        self._replica = replica
        self._divided = iterator.is_divided
        if iterator.is_sampled:
            kind = type(iterator.data_adapter.sampler).__name__
            raise ValueError(
                "`predict` gives one output a sample, in order. Received: a DataLoader with a "
                f"{kind}, which divides the samples, and may reorder and repeat them. Give one "
                "without: the processes share its batches."
            )
        self._shares = []

    def add(self, outputs):
        """Take the outputs of this process's rows: nothing of a ghost's."""
        share = self._replica.share
        self._check_rows(outputs, 1 if share.is_ghost and not self._divided else share.rows)
        self._shares.append(share)
        if share.is_ghost:
            outputs = tree.map_structure(
                lambda x: x[:0] if hasattr(x, "__getitem__") else x, outputs
            )
        super().add(outputs)

    def _check_rows(self, outputs, rows):
        if self._divided and not rows:
            return  # the last batch once more, of which nothing is taken
        for leaf in tree.flatten(outputs):
            shape = tuple(leaf.shape) if hasattr(leaf, "shape") else np.shape(leaf)
            if shape[:1] != (rows,):
                raise ValueError(
                    "`predict` in several processes joins outputs in the order of the samples: "
                    "each needs a first axis of its batch's rows. Received: an output of shape "
                    f"{shape} for {rows} rows. Give outputs of one row a sample (several values "
                    "of a sample go on a further axis), or predict in a single process."
                )

    def join(self):
        """NumPy arrays in the structure of the outputs, the same in every process."""
        outputs = super().join()
        world_size = process_group.world_size()
        if self._divided:
            rows = sum(share.rows for share in self._shares)
            sizes = process_group.all_gather_object(rows)
            return tree.map_structure(lambda array: _gather_rows(array, sizes), outputs)
        counts = np.array(
            [
                [Share.of(share.total, rank, world_size).rows for share in self._shares]
                for rank in range(world_size)
            ]
        )
        sizes = counts.sum(1).tolist()
        order = _order(counts)
        return tree.map_structure(lambda array: _gather_rows(array, sizes)[order], outputs)


def _order(counts):
    """Where each sample is, in turn, among the rows of all processes one after the other.

    Args:
        counts: int array `(processes, batches)`, the rows of each process in each batch.
    """
    starts = np.cumsum(counts.reshape(-1)) - counts.reshape(-1)
    starts = starts.reshape(counts.shape)
    return np.concatenate(
        [
            np.arange(start, start + count)
            for start, count in zip(starts.T.reshape(-1), counts.T.reshape(-1), strict=True)
        ]
    )


def _gather_rows(array, sizes):
    """Rows of all processes, those of process 0 first."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiubc":
        return np.concatenate(process_group.all_gather_object(array))
    # Bytes, so that every dtype travels; padded, as all messages must be of one size.
    row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
    own = torch.zeros(max(sizes) * row_bytes, dtype=torch.uint8)
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    own[: flat.size] = torch.from_numpy(flat)
    return np.concatenate(
        [
            part.numpy()[: size * row_bytes].view(array.dtype).reshape(size, *array.shape[1:])
            for part, size in zip(process_group.all_gather(own), sizes, strict=True)
        ]
    )
