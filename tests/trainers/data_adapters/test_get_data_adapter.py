import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from torchkeras.trainers.data_adapters import (
    ArrayDataAdapter,
    GeneratorDataAdapter,
    PyDataset,
    PyDatasetAdapter,
    TorchDataLoaderAdapter,
    get_data_adapter,
)


class Dataset(PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return np.zeros((2, 1)), np.zeros(2)


class Iterable:
    def __iter__(self):
        return generator()


class Stream(IterableDataset):
    def __iter__(self):
        return generator()


def generator():
    yield np.zeros((2, 1)), np.zeros(2)


def loader():
    return DataLoader(TensorDataset(torch.zeros(4)), batch_size=2)


@pytest.mark.parametrize(
    "x, kind",
    [
        (np.zeros(3), ArrayDataAdapter),
        (torch.zeros(3), ArrayDataAdapter),
        ([1, 2, 3], ArrayDataAdapter),
        ({"a": [np.zeros(3), (1, 2, 3)]}, ArrayDataAdapter),
        (loader(), TorchDataLoaderAdapter),
        (Dataset(), PyDatasetAdapter),
        (generator(), GeneratorDataAdapter),
        (iter([np.zeros(3)]), GeneratorDataAdapter),
        (Iterable(), GeneratorDataAdapter),
    ],
    ids=lambda value: type(value).__name__,
)
def test_choice(x, kind):
    assert type(get_data_adapter(x)) is kind


def test_an_adapter_is_kept():
    adapter = ArrayDataAdapter(np.zeros(3))
    assert get_data_adapter(adapter) is adapter


SOURCES = [
    (loader, "DataLoader"),
    (Dataset, "PyDataset"),
    (generator, "generator"),
    (Iterable, "Iterable"),
]


@pytest.mark.parametrize("make, name", SOURCES)
@pytest.mark.parametrize(
    "argument, value",
    [
        ("y", np.zeros(2)),
        ("sample_weight", np.zeros(2)),
        ("batch_size", 32),
        ("shuffle", "batch"),
    ],
)
def test_arguments_that_the_source_decides_are_errors(make, name, argument, value):
    with pytest.raises(ValueError, match=f"A {name} given as `x`.*Received: `{argument}` beside"):
        get_data_adapter(make(), **{argument: value})


@pytest.mark.parametrize("make, name", SOURCES)
def test_default_shuffle_of_fit_is_accepted(make, name):
    assert next(iter(get_data_adapter(make(), shuffle=True).batches()))


@pytest.mark.parametrize("x", [TensorDataset(torch.zeros(4)), Stream()])
def test_torch_dataset_must_be_in_a_loader(x):
    with pytest.raises(ValueError, match=r"Wrap it: torch.utils.data.DataLoader\(x"):
        get_data_adapter(x)


@pytest.mark.parametrize(
    "x, name",
    [
        ("text", "str"),
        ({1, 2}, "set"),
        (object(), "object"),
        (3, "int"),
        ({"a": iter([1])}, "dict of list_iterator"),
        ([np.zeros(2), object()], "list of ndarray, object"),
    ],
)
def test_unrecognized_x(x, name):
    with pytest.raises(ValueError, match=f"`x` must be an array.*Received: x of type {name}"):
        get_data_adapter(x)


def test_unrecognized_y():
    with pytest.raises(ValueError, match="Received: y of type object"):
        get_data_adapter(np.zeros(3), y=object())
