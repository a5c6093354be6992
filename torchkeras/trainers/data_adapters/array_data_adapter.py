"""ArrayDataAdapter: batches cut out of arrays that lie in memory."""

import itertools
import math
import operator

import numpy as np
import torch

from torchkeras.core import config, tree
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.strings import is_text
from torchkeras.distribution.random_state import agreed_generator
from torchkeras.distribution.share import Share
from torchkeras.trainers.data_adapters import agreement
from torchkeras.trainers.data_adapters import data_adapter_utils as utils
from torchkeras.trainers.data_adapters.data_adapter import DataAdapter

# Batches whose indices or views are made in one torch call. One call for a whole epoch would
# hold a tensor object for every batch at once; this many keeps the objects in cache.
_BLOCK = 256


class ArrayDataAdapter(DataAdapter):
    """Batches of arrays: the rows in order, or by a new permutation each epoch.

    Floats become `floatx()`; integers and booleans stay as they are, unsigned ones of 16 bits
    and more are widened to a signed type. NumPy memory is shared. Without shuffling a batch is
    a view of the data, so writing into a batch writes into the data; read-only arrays are
    copied batch by batch. The last batch may be smaller.

    The permutation is drawn on the CPU from torch's default generator, so `torch.manual_seed`
    fixes the order, the same on every device.

    Args:
        x: structure of arrays (NumPy, tensors, pandas, SciPy sparse, lists of numbers), the
            inputs; all arrays have the same first axis, the samples. Text (arrays and lists of
            strings) comes as NumPy arrays of strings.
        y: like `x`, or None, the targets.
        sample_weight: like `y`, or one array of `(samples,)` or `(samples, 1)` used for each
            array of `y`, or None.
        batch_size: int, at least 1, or None: 32, or what makes `steps` batches.
        steps: int or None, the number of batches that fixes `batch_size` where that is None.
        shuffle: bool, or `"batch"`: shuffle inside each batch, the batches staying in order.
        class_weight: dict of class index to weight, or None.
        device: torch device of the batches, or None to leave them where the data is.
        shard: `(number, count)`, which of how many parts of each batch to give; None for all.
            The order is then that of the process 0 of the job.

    Raises:
        ValueError: arrays of different or zero length, of anything but numbers, or a wrong
            combination of arguments; with `shard`, when the first epoch begins, that another
            process was given other arrays.

    Example:

    >>> adapter = ArrayDataAdapter(np.arange(4.0), np.arange(4), batch_size=3)
    >>> list(adapter.batches())[1]
    (tensor([3.]), tensor([3]))
    """

    def __init__(
        self,
        x,
        y=None,
        sample_weight=None,
        batch_size=None,
        steps=None,
        shuffle=False,
        class_weight=None,
        device=None,
        shard=None,
    ):
        if x is None:
            raise ValueError(
                "`x` must hold the inputs. Received: x=None. Give an array, a structure of "
                "arrays, a DataLoader, a PyDataset or a generator."
            )
        if isinstance(shuffle, str) and shuffle != "batch":
            raise ValueError(
                f"`shuffle` must be True, False or 'batch'. Received: shuffle={shuffle!r}."
            )
        x = utils.map_arrays(utils.as_rows, x, "x")
        y = utils.map_arrays(utils.as_rows, y, "y")
        sample_weight = self._sample_weight(y, sample_weight, class_weight)
        parts = [part for part in (x, y, sample_weight) if part is not None]
        leaves = []
        for name, part in zip(utils.DATA_NAMES, parts, strict=False):
            leaves.extend(utils.named_leaves(part, name))
        self._num_samples = utils.check_lengths(leaves)
        self._batch_size = _batch_size(batch_size, steps, self._num_samples)
        self._shuffle = shuffle
        self._device = utils.full_device(device)
        self._shard = shard
        self._rows = [_Rows(array) for _, array in leaves]
        self._to_compare = None if shard is None else [name for name, _ in leaves]
        self._pack = _packer(parts)
        self.bare_batches = len(parts) == 1 and not isinstance(x, (list, tuple))

    def _sample_weight(self, y, sample_weight, class_weight):
        if class_weight is not None:
            if sample_weight is not None:
                raise utils.both_weights_error()
            return utils.class_weight_to_sample_weights(y, class_weight)
        if sample_weight is None:
            return None
        if y is None:
            raise ValueError(
                "`sample_weight` weighs the loss between `y` and the predictions. Received: "
                "sample_weight without `y`. Give `y` too, or leave `sample_weight` out."
            )
        sample_weight = utils.map_arrays(utils.as_rows, sample_weight, "sample_weight")
        if not tree.is_nested(y):
            if tree.is_nested(sample_weight):
                raise ValueError(
                    "`sample_weight` must be one array, as `y` is. Received: a "
                    f"{type(sample_weight).__name__} of {len(sample_weight)} arrays."
                )
            return sample_weight
        if tree.is_nested(sample_weight):
            _check_same_outputs(y, sample_weight)
            return sample_weight
        shape = tuple(sample_weight.shape)
        if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
            raise ValueError(
                "One `sample_weight` array for several outputs must have shape (samples,) or "
                f"(samples, 1). Received: sample_weight of shape {shape}. Give one array per "
                "output instead, in the structure of `y`."
            )
        return utils.map_arrays(lambda array, name: sample_weight, y, "y")

    @property
    def num_batches(self):
        return math.ceil(self._num_samples / self._batch_size)

    def on_epoch_begin(self):
        names, self._to_compare = self._to_compare, None
        if names is None:
            return
        arrays = [rows.array for rows in self._rows]
        differences = agreement.differing(list(zip(names, arrays, strict=True)))
        if differences:
            raise ValueError(
                "Every process must be given the same arrays, and takes its rows of each batch. "
                f"Received: {agreement.described(differences)}, as in process 0. {agreement.REMEDY}"
            )

    def batches(self):
        return self._batches_from(0)

    def resumed(self, count, source):
        if self._shuffle == "batch":  # an order is drawn with each batch
            return super().resumed(count, source)
        batches = iter(self._batches_from(count))
        first = list(itertools.islice(batches, 1))  # the order is drawn for the first one
        return itertools.chain(first, batches)

    def _batches_from(self, number):
        if self._shard is not None:
            groups = self._sharded_groups(number)
        elif all(rows.is_plain(self._device, selecting=self._shuffle) for rows in self._rows):
            tensors = [rows.tensor for rows in self._rows]
            if self._shuffle:
                groups = self._selections(tensors, number)
            else:
                groups = self._views(tensors, number)
        else:
            groups = self._moved_groups(number)
        return groups if self._pack is None else map(self._pack, groups)

    def _views(self, tensors, number):
        step, block = self._batch_size, self._batch_size * _BLOCK
        if self._num_samples <= block:
            views = zip(*[tensor.split(step) for tensor in tensors], strict=True)
            return itertools.islice(views, number, None) if number else views
        return self._views_in_blocks(tensors, number * step, step, block)

    def _views_in_blocks(self, tensors, first, step, block):
        for start in range(first, self._num_samples, block):
            parts = [t[start : start + block].split(step) for t in tensors]
            yield from zip(*parts, strict=True)

    def _selections(self, tensors, number):
        select = torch.index_select
        if len({tensor.device for tensor in tensors}) > 1:
            for index in self._indices("cpu", number):
                yield tuple([select(t, 0, index.to(t.device)) for t in tensors])
            return
        indices = self._indices(tensors[0].device, number)
        if len(tensors) == 2:  # the common case, written out: 0.3 µs a batch
            x, y = tensors
            for index in indices:
                yield select(x, 0, index), select(y, 0, index)
            return
        for index in indices:
            yield tuple([select(t, 0, index) for t in tensors])

    def _moved_groups(self, number):
        step = self._batch_size
        indices = self._indices("cpu", number) if self._shuffle else None
        for start in range(number * step, self._num_samples, step):
            if indices is None:
                stop = min(start + step, self._num_samples)
                group = [rows.span(start, stop) for rows in self._rows]
            else:
                index = next(indices)
                group = [rows.take(index) for rows in self._rows]
            yield self._on_device(group)

    def _on_device(self, group):
        device = self._device
        if device is None:
            return tuple(group)
        if device.type == "cuda":
            group = [
                utils.pin(t) if isinstance(t, torch.Tensor) and t.device.type == "cpu" else t
                for t in group
            ]
        return tuple([utils.to_device(t, device) for t in group])

    def _sharded_groups(self, number):
        """This process's rows of each batch; `share` says which they are."""
        step, order = self._batch_size, None
        if self._shuffle:
            with agreed_generator() as generator:
                if self._shuffle == "batch":
                    order = torch.cat(list(self._indices_in_batches(generator)))
                else:
                    order = self._order(generator)
        for start in range(number * step, self._num_samples, step):
            share = Share.of(min(step, self._num_samples - start), *self._shard)
            first, stop = (start + place for place in share.span)
            if order is None:
                group = [rows.span(first, stop) for rows in self._rows]
            else:
                index = order[first:stop]
                group = [rows.take(index) for rows in self._rows]
            group = self._on_device(group)
            self.share = share
            yield group

    def _indices_in_batches(self, generator=None):
        for start in range(0, self._num_samples, self._batch_size):
            count = min(self._batch_size, self._num_samples - start)
            yield torch.randperm(count, generator=generator) + start

    def _order(self, generator=None):
        # Half the memory of int64, in the same order; 10 GB of small rows have many.
        dtype = torch.int32 if self._num_samples < 2**31 else torch.int64
        return torch.randperm(self._num_samples, generator=generator, dtype=dtype)

    def _indices(self, device, number):
        """The sample numbers of each batch from `number` on, tensors on `device`."""
        step = self._batch_size
        if self._shuffle == "batch":
            indices = itertools.islice(self._indices_in_batches(), number, None)
            yield from (index.to(device) for index in indices)
            return
        order = self._order().to(device)[number * step :]
        if len(order):  # `split` makes one empty part of nothing
            for block in order.split(step * _BLOCK):
                yield from block.split(step)


def whole_rows(array):
    """All rows of a NumPy array or tensor, as a batch of them comes to a model.

    Example:

    >>> from torchkeras.trainers.data_adapters.array_data_adapter import whole_rows
    >>> whole_rows(np.ones((1, 2)))
    tensor([[1., 1.]])
    """
    return _Rows(array).span(0, len(array))


class _Rows:
    """One array and its two ways of giving rows: a span, or the rows of an index tensor.

    Read batch by batch are SciPy sparse matrices (made dense), memory-mapped files that torch
    cannot view as they are or whose floats are not `floatx()` (cast), and spans of read-only
    arrays (copied). Text stays what it is, a NumPy array, on no device.
    """

    def __init__(self, array):
        self.tensor = self._sparse = self._cast = self._text = self._mapped = None
        self._read_only = False
        if is_text(array):
            self._text = array
            return
        if hasattr(array, "tocsr"):
            self._sparse = array
            return
        is_numpy = not isinstance(array, torch.Tensor)
        floatx = to_torch_dtype(config.floatx())
        if is_numpy and not utils.is_shareable(array) and utils.is_mapped(array):
            self._mapped = array
            return
        self.tensor = utils.share_memory(array) if is_numpy else array
        if self.tensor.is_floating_point() and self.tensor.dtype is not floatx:
            if utils.is_mapped(array):
                self._cast = floatx
                return
            self.tensor = self.tensor.to(floatx)
        elif is_numpy:
            self._read_only = not array.flags.writeable

    def is_plain(self, device, selecting):
        """Whether a batch is a torch selection, or else a view, of `tensor` and nothing more."""
        return (
            self.tensor is not None
            and self._cast is None
            and (selecting or not self._read_only)
            and (device is None or self.tensor.device == device)
        )

    @property
    def array(self):
        """The array itself: a tensor, a sparse matrix, text, or a file that torch cannot view."""
        forms = (self.tensor, self._sparse, self._text, self._mapped)
        return next(x for x in forms if x is not None)

    def span(self, start, stop):
        if self._text is not None:
            return self._text[start:stop]
        if self._sparse is not None:
            return _dense(self._sparse[start:stop])
        if self._mapped is not None:
            return _converted(self._mapped[start:stop])
        rows = self.tensor[start:stop]
        if self._cast is not None:
            return rows.to(self._cast)
        return rows.clone() if self._read_only else rows

    def take(self, index):
        if self._text is not None:
            return self._text[index.numpy()]
        if self._sparse is not None:
            return _dense(self._sparse[index.numpy()])
        if self._mapped is not None:
            return _converted(self._mapped[index.numpy()])
        rows = torch.index_select(self.tensor, 0, index.to(self.tensor.device))
        return rows if self._cast is None else rows.to(self._cast)


def _dense(sparse_rows):
    return _as_floatx(torch.from_numpy(sparse_rows.toarray()))


def _converted(mapped_rows):
    """Rows of a file as a tensor in memory of its own."""
    return _as_floatx(utils.share_memory(np.array(mapped_rows)))


def _as_floatx(tensor):
    return tensor.to(to_torch_dtype(config.floatx())) if tensor.is_floating_point() else tensor


def _check_same_outputs(y, sample_weight):
    try:
        tree.assert_same_structure(y, sample_weight)
    except ValueError as error:
        outline = [
            tree.map_structure(lambda leaf: None if leaf is None else tuple(leaf.shape), part)
            for part in (y, sample_weight)
        ]
        raise ValueError(
            "`sample_weight` must be one array, or one per output in the structure of `y`. "
            f"Received: y with shapes {outline[0]} and sample_weight with shapes {outline[1]}."
        ) from error


def _batch_size(batch_size, steps, num_samples):
    if batch_size is None:
        return math.ceil(num_samples / steps) if steps else 32
    try:
        if isinstance(batch_size, bool):
            raise TypeError("a bool")
        batch_size = operator.index(batch_size)
    except TypeError as error:
        raise TypeError(
            "`batch_size` must be an integer of at least 1. Received: batch_size="
            f"{batch_size!r} of type {type(batch_size).__name__}."
        ) from error
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}.")
    return batch_size


def _packer(parts):
    """The function from a flat tuple of arrays to the structure of `parts`.

    None where the parts are plain arrays, so that the flat tuple is the batch.
    """
    if not any(tree.is_nested(part) for part in parts):
        return None
    counter = itertools.count()
    positions = [utils.map_arrays(lambda array, name: next(counter), part, "") for part in parts]

    def fill(position, values):
        if type(position) is int:
            return values[position]
        if position is None:
            return None
        if isinstance(position, dict):
            return utils.like(position, {k: fill(v, values) for k, v in position.items()})
        return utils.like(position, [fill(item, values) for item in position])

    return lambda values: tuple([fill(position, values) for position in positions])
