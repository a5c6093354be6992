"""Readers of every kind of data that `fit` takes, and the choice between them."""

import torch

from torchkeras.trainers.data_adapters import data_adapter_utils as utils
from torchkeras.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from torchkeras.trainers.data_adapters.data_adapter import DataAdapter
from torchkeras.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter
from torchkeras.trainers.data_adapters.py_dataset_adapter import PyDataset, PyDatasetAdapter
from torchkeras.trainers.data_adapters.torch_data_loader_adapter import TorchDataLoaderAdapter

__all__ = [
    "ArrayDataAdapter",
    "DataAdapter",
    "GeneratorDataAdapter",
    "PyDataset",
    "PyDatasetAdapter",
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
):
    """The adapter that reads `x`.

    Arrays and structures of arrays go to `ArrayDataAdapter`; a torch DataLoader, a `PyDataset`,
    a generator, iterator or other iterable of batches each to its own, and there `y`,
    `sample_weight` and `batch_size` must be None. `shuffle=True`, the default of `fit`, means
    nothing to a DataLoader or a generator.

    Args:
        x: the data, or a `DataAdapter`, which is returned as it is.
        y: structure of arrays or None.
        sample_weight: structure of arrays or None.
        batch_size: int or None.
        steps_per_epoch: int or None, for arrays the number of batches if `batch_size` is None.
        shuffle: bool or `"batch"`.
        class_weight: dict of class index to weight, or None.
        device: torch device of the batches, or None.

    Raises:
        ValueError: unknown kind of data, or an argument that does not go with it.

    Example:

    >>> get_data_adapter(np.zeros((100, 2)), np.zeros(100)).num_batches
    4
    """
    if isinstance(x, DataAdapter):
        return x
    if isinstance(x, torch.utils.data.DataLoader):
        _refuse("DataLoader", y, sample_weight, batch_size, shuffle == "batch")
        return TorchDataLoaderAdapter(x, class_weight, device)
    if isinstance(x, PyDataset):
        _refuse("PyDataset", y, sample_weight, batch_size, shuffle == "batch")
        return PyDatasetAdapter(x, class_weight, shuffle, device)
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
        f"these{' (or a DataLoader, PyDataset or generator)' if name == 'x' else ''}. Received: "
        f"{name} of type {kind}. Convert it, e.g. with np.asarray."
    )
