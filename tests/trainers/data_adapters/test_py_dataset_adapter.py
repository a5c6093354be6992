import multiprocessing
import os
import random
import threading
import time

import numpy as np
import pytest
import torch

from torchkeras.trainers.data_adapters.py_dataset_adapter import PyDataset, PyDatasetAdapter

WORKERS = [
    {},
    {"workers": 0},
    {"workers": 2},
    {"workers": 1, "use_multiprocessing": True},
    {"workers": 2, "use_multiprocessing": True},
]
IDS = ["main", "none", "threads", "process", "processes"]


class Numbers(PyDataset):
    def __init__(self, count=6, delay_s=0.0, fail_at=None, **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.delay_s = delay_s
        self.fail_at = fail_at
        self.offset = 0

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, index):
        if index == self.fail_at:
            raise KeyError(f"batch {index} is missing")
        time.sleep(self.delay_s * (3 - index % 3))  # later batches are ready first
        return np.array([index + self.offset]), np.array([os.getpid()])

    def on_epoch_end(self):
        self.offset += 100


def values(batches):
    return [batch[0].item() for batch in batches]


def no_workers_left():
    return not multiprocessing.active_children() and not any(
        thread.name.startswith("PyDataset") for thread in threading.enumerate()
    )


@pytest.mark.parametrize("workers", WORKERS, ids=IDS)
def test_batches_come_in_order_and_workers_end(workers):
    adapter = PyDatasetAdapter(Numbers(delay_s=0.003, **workers))
    batches = list(adapter.batches())
    assert values(batches) == [0, 1, 2, 3, 4, 5]
    assert all(isinstance(b, tuple) and isinstance(b[0], torch.Tensor) for b in batches)
    in_processes = workers.get("use_multiprocessing", False)
    assert ({b[1].item() for b in batches} == {os.getpid()}) != in_processes
    assert no_workers_left()


@pytest.mark.parametrize("workers", WORKERS, ids=IDS)
def test_errors_reach_the_reader_and_workers_end(workers):
    adapter = PyDatasetAdapter(Numbers(fail_at=2, **workers))
    seen = []
    with pytest.raises(KeyError, match="batch 2 is missing"):
        for batch in adapter.batches():
            seen.append(batch[0].item())
    assert seen == [0, 1]
    assert no_workers_left()


@pytest.mark.parametrize("workers", WORKERS, ids=IDS)
def test_pass_goes_on_after_an_epoch_with_the_changed_dataset(workers):
    adapter = PyDatasetAdapter(Numbers(**workers))
    batches = adapter.batches()
    assert values([next(batches), next(batches)]) == [0, 1]
    adapter.on_epoch_end()
    assert no_workers_left()
    assert values(batches) == [102, 103, 104, 105]
    assert no_workers_left()


@pytest.mark.parametrize("workers", WORKERS, ids=IDS)
def test_endless_dataset(workers):
    adapter = PyDatasetAdapter(Numbers(count=None, **workers))
    assert adapter.num_batches is None
    batches = adapter.batches()
    assert values(next(batches) for _ in range(25)) == list(range(25))
    adapter.close()
    assert no_workers_left()


@pytest.mark.parametrize("workers", WORKERS[::2], ids=IDS[::2])
def test_shuffle_is_fixed_by_the_seed(workers):
    adapter = PyDatasetAdapter(Numbers(count=20, **workers), shuffle=True)
    torch.manual_seed(5)
    first = values(adapter.batches())
    torch.manual_seed(5)
    assert first == torch.randperm(20).tolist() != list(range(20))


def test_threads_read_ahead_up_to_the_queue_size():
    class Counted(Numbers):
        read = 0

        def __getitem__(self, index):
            Counted.read += 1
            return super().__getitem__(index)

    adapter = PyDatasetAdapter(Counted(count=50, workers=2, max_queue_size=4))
    batches = adapter.batches()
    next(batches)
    deadline = time.monotonic() + 20
    while Counted.read < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert Counted.read == 5  # the one given out and four ahead
    adapter.close()


def test_threads_read_at_the_same_time():
    barrier = threading.Barrier(3, timeout=20)

    class Meets(Numbers):
        def __getitem__(self, index):
            barrier.wait()
            return np.array([index])

    assert values(PyDatasetAdapter(Meets(count=6, workers=3)).batches()) == list(range(6))


@pytest.mark.parametrize(
    "item, length, bare",
    [
        (np.zeros(2), 1, True),
        ({"a": np.zeros(2)}, 1, True),
        (torch.zeros(2), 1, True),
        ([np.zeros(2), np.zeros(2)], 2, False),
        ((np.zeros(2), {"b": np.zeros(2)}, None), 3, False),
    ],
)
def test_kinds_of_batches(item, length, bare):
    class One(PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return item

    adapter = PyDatasetAdapter(One())
    (batch,) = adapter.batches()
    assert isinstance(batch, tuple) and len(batch) == length and adapter.bare_batches == bare


def test_class_weight_and_device():
    class Labels(PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return np.zeros((2, 1)), np.array([0, 1])

    ((_, _, weight),) = PyDatasetAdapter(Labels(), class_weight={1: 2.0}).batches()
    assert weight.tolist() == [1.0, 2.0]
    ((x, y),) = PyDatasetAdapter(Labels(), device="meta").batches()
    assert x.is_meta and y.is_meta


def test_hooks_are_called():
    calls = []

    class Hooked(Numbers):
        def on_epoch_begin(self):
            calls.append("begin")

        def on_epoch_end(self):
            calls.append("end")

    adapter = PyDatasetAdapter(Hooked())
    adapter.on_epoch_begin()
    adapter.on_epoch_end()
    assert calls == ["begin", "end"]


def test_dataset_iterates_over_its_batches():
    assert [x.item() for x, _ in Numbers(count=3)] == [0, 1, 2]
    endless = iter(Numbers(count=None))
    assert [next(endless)[0].item() for _ in range(4)] == [0, 1, 2, 3]


def test_settings():
    dataset = Numbers(workers=3, use_multiprocessing=True, max_queue_size=7)
    assert (dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size) == (3, True, 7)
    dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size = 0, False, 1
    assert (dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size) == (0, False, 1)


def test_constructor_without_super_warns_once_for_each_setting():
    class Bare(PyDataset):
        def __init__(self):
            pass

    dataset = Bare()
    with pytest.warns(UserWarning, match="should call `super"):
        assert dataset.workers == 1
    assert dataset.workers == 1


def test_missing_methods_are_errors():
    with pytest.raises(NotImplementedError, match="__getitem__"):
        PyDataset()[0]
    with pytest.raises(NotImplementedError, match="__len__"):
        _ = PyDataset().num_batches


def test_empty_dataset_is_an_error():
    with pytest.raises(ValueError, match="Received: a Numbers of length 0"):
        PyDatasetAdapter(Numbers(count=0))


class Draws(PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return np.array([random.random(), np.random.rand(), float(torch.rand(()))])


def test_what_processes_draw_depends_on_the_pass_and_the_batch_alone():
    def read(workers, begin=0):
        torch.manual_seed(3)
        adapter = PyDatasetAdapter(Draws(workers=workers, use_multiprocessing=True))
        found = list(adapter.resumed(begin, None) if begin else adapter.batches())
        return torch.stack([batch for (batch,) in found]), torch.rand(())

    (whole, after), (rest, later) = read(2), read(1, begin=4)
    assert torch.equal(whole[4:], rest) and torch.equal(after, later)
    assert len(whole.unique()) == 18  # no two batches draw the same
