import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    TensorDataset,
)

from torchkeras.trainers.data_adapters.torch_data_loader_adapter import (
    TorchDataLoaderAdapter,
    dividing_sampler,
)


def make_loader(count=5, batch_size=2, **arguments):
    data = TensorDataset(torch.arange(count, dtype=torch.float64), torch.arange(count))
    return DataLoader(data, batch_size=batch_size, **arguments)


class Items(torch.utils.data.Dataset):
    def __init__(self, item):
        self._item = item

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self._item(index)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


def test_batches_are_tuples_of_untouched_tensors():
    batches = list(TorchDataLoaderAdapter(make_loader()).batches())
    assert [type(b) for b in batches] == [tuple] * 3
    assert [b[0].tolist() for b in batches] == [[0, 1], [2, 3], [4]]
    assert batches[0][0].dtype is torch.float64


@pytest.mark.parametrize(
    "item, bare",
    [
        (lambda i: float(i), True),
        (lambda i: {"ids": i, "name": "s"}, True),
        (lambda i: (float(i), {"a": i}), False),
        (lambda i: [i], False),
    ],
    ids=["tensor", "dict", "tuple", "list"],
)
def test_kinds_of_batches(item, bare):
    loader = DataLoader(Items(item), batch_size=3)
    adapter = TorchDataLoaderAdapter(loader)
    (batch,) = adapter.batches()
    (expected,) = loader
    assert isinstance(batch, tuple)
    assert adapter.bare_batches == bare
    assert str(batch[0] if bare else list(batch)) == str(expected)


def test_a_batch_of_four_is_for_a_step_of_ones_own():
    adapter = TorchDataLoaderAdapter(DataLoader(Items(lambda i: (i, i, i, i))))
    assert len(next(adapter.batches())) == 4
    adapter = TorchDataLoaderAdapter(DataLoader(Items(lambda i: (i, i, i, i))), {0: 1.0})
    with pytest.raises(ValueError, match="a tuple of 4 items"):
        next(adapter.batches())


def test_sizes():
    for loader, sizes in ((make_loader(), [2, 2, 1]), (make_loader(drop_last=True), [2, 2])):
        adapter = TorchDataLoaderAdapter(loader)
        assert [len(batch[0]) for batch in adapter.batches()] == sizes
        assert adapter.num_batches == len(sizes)
    adapter = TorchDataLoaderAdapter(DataLoader(Stream(), batch_size=2))
    assert adapter.num_batches is None
    assert [b[0].tolist() for b in adapter.batches()] == [[0, 1], [2]]


def test_batches_move_to_the_device():
    adapter = TorchDataLoaderAdapter(
        DataLoader(Items(lambda i: ({"a": i, "name": "s"}, i)), batch_size=3), device="meta"
    )
    ((x, y),) = adapter.batches()
    assert x["a"].is_meta and y.is_meta and x["name"] == ["s"] * 3


def test_class_weight_is_added():
    adapter = TorchDataLoaderAdapter(make_loader(3, 3), class_weight={2: 5.0})
    ((_, _, weight),) = adapter.batches()
    assert weight.tolist() == [1.0, 1.0, 5.0]


def test_sampler_is_told_the_pass():
    class Sampler:
        def __init__(self):
            self.epochs = []

        def set_epoch(self, epoch):
            self.epochs.append(epoch)

        def __iter__(self):
            return iter([0])

        def __len__(self):
            return 1

    sampler = Sampler()
    adapter = TorchDataLoaderAdapter(make_loader(sampler=sampler))
    for _ in range(2):
        list(adapter.batches())
    assert sampler.epochs == [0, 1]


def test_workers_of_the_loader_are_used():
    adapter = TorchDataLoaderAdapter(make_loader(4, 2, num_workers=1))
    assert [b[0].tolist() for b in adapter.batches()] == [[0, 1], [2, 3]]


def test_other_objects_are_an_error():
    with pytest.raises(ValueError, match="Received: a ndarray"):
        TorchDataLoaderAdapter(np.zeros(3))


def test_a_sampler_inside_a_batch_sampler_is_told_the_pass():
    data = TensorDataset(torch.arange(20))
    sampler = DistributedSampler(data, num_replicas=2, rank=0, shuffle=True)
    adapter = TorchDataLoaderAdapter(
        DataLoader(data, batch_sampler=BatchSampler(sampler, 10, False))
    )
    first, second = (next(adapter.batches())[0].tolist() for _ in range(2))
    assert first != second and sampler.epoch == 1


@pytest.mark.parametrize(
    ("attributes", "divides"),
    [
        ({"num_replicas": 2, "rank": 0}, True),
        ({"num_replicas": np.int64(3), "rank": np.int64(2)}, True),
        ({"num_replicas": 1, "rank": 0}, False),
        ({"num_replicas": 2}, False),
        ({"num_replicas": None, "rank": None}, False),
    ],
)
def test_samplers_that_divide(attributes, divides):
    sampler = torch.utils.data.SequentialSampler(range(5))
    vars(sampler).update(attributes)
    expected = sampler if divides else None
    assert dividing_sampler(DataLoader(range(5), sampler=sampler)) is expected
    assert dividing_sampler(DataLoader(range(5), sampler=sampler, batch_size=None)) is expected
    batches = BatchSampler(sampler, 2, False)
    assert dividing_sampler(DataLoader(range(5), batch_sampler=batches)) is expected
