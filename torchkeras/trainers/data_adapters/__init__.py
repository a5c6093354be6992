"""Readers of every kind of data that `fit` takes, and the choice between them."""

import torch

from torchkeras.data import Dataset
from torchkeras.distribution import process_group, random_state
from torchkeras.trainers.data_adapters import agreement
from torchkeras.trainers.data_adapters import data_adapter_utils as utils
from torchkeras.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from torchkeras.trainers.data_adapters.data_adapter import DataAdapter
from torchkeras.trainers.data_adapters.dataset_adapter import DatasetAdapter
from torchkeras.trainers.data_adapters.divided_data_adapter import DividedDataAdapter
from torchkeras.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter
from torchkeras.trainers.data_adapters.py_dataset_adapter import PyDataset, PyDatasetAdapter
from torchkeras.trainers.data_adapters.sharded_data_adapter import ShardedDataAdapter
from torchkeras.trainers.data_adapters.sharded_data_loader import (
    ShardedDataLoaderAdapter,
    in_agreed_order,
)
from torchkeras.trainers.data_adapters.torch_data_loader_adapter import (
    TorchDataLoaderAdapter,
    dividing_sampler,
)

__all__ = [
    "ArrayDataAdapter",
    "DataAdapter",
    "DatasetAdapter",
    "DividedDataAdapter",
    "GeneratorDataAdapter",
    "PyDataset",
    "PyDatasetAdapter",
    "ShardedDataAdapter",
    "ShardedDataLoaderAdapter",
    "TorchDataLoaderAdapter",
    "get_data_adapter",
]


def get_data_adapter(
    x,
    y=None,
    sample_weight=None,
    batch_size=None,
    steps_per_epoch=None,
    shuffle=False,
    class_weight=None,
    device=None,
    shard=None,
    divided=False,
):
    """The adapter that reads `x`.

    Arrays and structures of arrays go to `ArrayDataAdapter`; a `keras.data.Dataset`, a torch
    DataLoader, a `PyDataset`, a generator, iterator or other iterable of batches each to its own,
    and there `y`, `sample_weight` and `batch_size` must be None. `shuffle=True`, the default of
    `fit`, means nothing to a Dataset, a DataLoader or a generator.

    Args:
        x: the data, or a `DataAdapter`, which is returned as it is.
        y: structure of arrays or None.
        sample_weight: structure of arrays or None.
        batch_size: int or None.
        steps_per_epoch: int or None, for arrays the number of batches if `batch_size` is None.
        shuffle: bool or `"batch"`.
        class_weight: dict of class index to weight, or None.
        device: torch device of the batches, or None.
        shard: `(number, count)`, which of how many parts of each batch to give; None for all.
        divided: bool, with `shard`, whether the data is such a part already.

    Raises:
        ValueError: unknown kind of data, or an argument that does not go with it; in several
            processes also, in all of them, where they have different numbers of batches of what
            should be the same.

    Example:

    >>> get_data_adapter(np.zeros((100, 2)), np.zeros(100)).num_batches
    4
    """
    arguments = (x, y, sample_weight, batch_size, steps_per_epoch, shuffle, class_weight)
    if shard is None:
        return _adapter(*arguments, device)
    if isinstance(x, torch.utils.data.DataLoader):
        sampler = dividing_sampler(x)
        if sampler is not None and shard[1] < process_group.world_size():
            raise ValueError(
                "Processes that share no rows must all be given the whole data. Received: a "
                f"DataLoader with a {type(sampler).__name__}, which divides it. Leave that out."
            )
        if divided or sampler is not None:
            return DividedDataAdapter(*_read_by_each(arguments, device), sampler)
        if ShardedDataLoaderAdapter.can_read(x):
            _refuse("DataLoader", y, sample_weight, batch_size, shuffle == "batch")
            return _of_one_length(lambda: ShardedDataLoaderAdapter(x, class_weight, device, shard))
        arguments = (in_agreed_order(x), *arguments[1:])
    elif isinstance(x, Dataset) and not divided:
        if DatasetAdapter.has_parts(x):
            return _of_one_length(lambda: _adapter(*arguments, device, shard, agrees=True))
        adapter = _of_one_length(lambda: _adapter(*arguments, None, agrees=True))
        return ShardedDataAdapter(adapter, device, shard)
    elif divided:
        return DividedDataAdapter(*_read_by_each(arguments, device))
    elif not isinstance(x, _BATCHED) and utils.can_convert_arrays(x):
        _check_arrays(y=y, sample_weight=sample_weight)
        return _adapter(*arguments, device, shard)
    with random_state.drawn_alike():  # a generator is asked for its first batch
        adapter = _of_one_length(lambda: _adapter(*arguments, None))
    return ShardedDataAdapter(adapter, device, shard)


def _read_by_each(arguments, device):
    adapter, lengths = agreement.made_in_all(lambda: _adapter(*arguments, None))
    return adapter, device, lengths


def _of_one_length(make):
    """The adapter that `make` gives, of as many batches in all processes."""
    adapter, lengths = agreement.made_in_all(make)
    for rank, length in enumerate(lengths):
        if length != lengths[0]:
            raise ValueError(
                "Every process must be given the same data, and takes its rows of each batch. "
                f"Received: {lengths[0]} batches in process 0 and {length} in process {rank}. "
                f"{agreement.REMEDY}"
            )
    return adapter


_BATCHED = (DataAdapter, PyDataset, torch.utils.data.DataLoader, torch.utils.data.Dataset)


def _adapter(
    x,
    y,
    sample_weight,
    batch_size,
    steps_per_epoch,
    shuffle,
    class_weight,
    device,
    shard=None,
    agrees=False,
):
    if isinstance(x, DataAdapter):
        return x
    if isinstance(x, Dataset):
        _refuse("Dataset", y, sample_weight, batch_size, shuffle == "batch")
        counted = bool(steps_per_epoch)
        return DatasetAdapter(x, class_weight, device, shard, agrees, counted)
    if isinstance(x, torch.utils.data.DataLoader):
        _refuse("DataLoader", y, sample_weight, batch_size, shuffle == "batch")
        return TorchDataLoaderAdapter(x, class_weight, device)
    if isinstance(x, PyDataset):
        _refuse("PyDataset", y, sample_weight, batch_size, shuffle == "batch")
        return PyDatasetAdapter(x, class_weight, shuffle, device, counted=bool(steps_per_epoch))
    if isinstance(x, torch.utils.data.Dataset):
        raise ValueError(
            "A torch Dataset gives single samples; batches were expected. Received: x of type "
            f"{type(x).__name__}. Wrap it: torch.utils.data.DataLoader(x, batch_size=32)."
        )
    if utils.can_convert_arrays(x):
        _check_arrays(y=y, sample_weight=sample_weight)
        return ArrayDataAdapter(
            x,
            y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            steps=steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
            device=device,
            shard=shard,
        )
    if hasattr(x, "__iter__") and not isinstance(
        x, (str, bytes, set, frozenset, dict, list, tuple)
    ):
        kind = "generator" if hasattr(x, "__next__") else type(x).__name__
        _refuse(kind, y, sample_weight, batch_size, shuffle == "batch")
        return GeneratorDataAdapter(x, class_weight, device)
    _check_arrays(x=x)
    raise _unrecognized_error("x", x)


def _refuse(kind, y, sample_weight, batch_size, shuffle):
    given = {"y": y, "sample_weight": sample_weight, "batch_size": batch_size}
    for argument, value in given.items():
        if value is not None:
            raise utils.unsupported_argument_error(argument, kind)
    if shuffle:
        raise utils.unsupported_argument_error("shuffle", kind)


def _check_arrays(**arguments):
    for name, value in arguments.items():
        if not utils.can_convert_arrays(value):
            raise _unrecognized_error(name, value)


def _unrecognized_error(name, value):
    kind = type(value).__name__
    if isinstance(value, (list, tuple, dict)):
        items = value.values() if isinstance(value, dict) else value
        kind += " of " + ", ".join(sorted({type(item).__name__ for item in items}))
    return ValueError(
        f"Unrecognized data type: `{name}` must be an array, tensor, or nested lists and dicts of "
        f"these{' (or a Dataset, DataLoader, PyDataset or generator)' if name == 'x' else ''}. "
        f"Received: {name} of type {kind}. Convert it, e.g. with np.asarray."
    )
