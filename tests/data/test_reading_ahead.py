"""Threads and processes that read ahead: order, errors, ends, and random numbers."""

import threading
import time

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.data import Dataset, reading_ahead
from torchkeras.data.sources import Source
from torchkeras.data.stages import SourceStage


class Slow(Source):
    """Numbers that take their time, and notes who has read them."""

    def __init__(self, length, broken=None):
        self.length = length
        self.broken = broken
        self.threads, self.read = set(), []

    def __getitem__(self, index):
        time.sleep(0.002 if index % 2 else 0.0)
        self.threads.add(threading.current_thread().name)
        self.read.append(index)
        if index == self.broken:
            raise OSError(f"broken: {index}")
        return torch.tensor(index)


@pytest.fixture(autouse=True)
def four_threads(monkeypatch):
    monkeypatch.setattr("torchkeras.data.reading_ahead.threads_for_reading", lambda: 4)


def numbers(dataset):
    return [int(x) for x in dataset]


def test_threads_read_and_the_order_stays():
    source = Slow(20)
    dataset = Dataset(SourceStage(source)).prefetch()
    assert numbers(dataset) == list(range(20))
    assert all(name.startswith("torchkeras_data") for name in source.threads)


@pytest.mark.parametrize(
    "steps",
    [
        lambda d: d.take(6),
        lambda d: d.skip(2).take(6),
        lambda d: d.map(lambda x: x),
        lambda d: d.map(lambda x: x).take(6),
        lambda d: d.shuffle(20, seed=1),
        lambda d: d.batch(1),
        lambda d: d.enumerate().map(lambda i, x: x),
        lambda d: d.repeat(2),
        lambda d: d.cache(),
        lambda d: d.cache().shuffle(20, seed=1).batch(1).prefetch(),
        lambda d: d.map(lambda x: x).shuffle(20, seed=1),
        lambda d: d.shard(2, 0),
        lambda d: Dataset.zip(d, Dataset.range(9)).map(lambda x, i: x),
        lambda d: d.concatenate(Dataset.range(2)),
    ],
)
def test_threads_read_for_the_steps_behind_them(steps):
    source = Slow(20)
    numbers(steps(Dataset(SourceStage(source)).prefetch()))
    assert any(name.startswith("torchkeras_data") for name in source.threads)


def test_functions_of_the_user_stay_in_the_thread_that_asks():
    threads = set()

    def note(x):
        threads.add(threading.current_thread())
        return x

    numbers(Dataset.range(9).prefetch().map(note).prefetch())
    assert threads == {threading.current_thread()}


def test_no_more_is_read_ahead_than_asked_for():
    source = Slow(50)
    iterator = iter(Dataset(SourceStage(source)).prefetch(3))
    next(iterator)
    time.sleep(0.1)
    assert sorted(source.read) == [0, 1, 2, 3]
    iterator.close()
    assert len(source.read) == 4
    assert not [t for t in threading.enumerate() if t.name.startswith("torchkeras_data")]


def test_an_error_in_a_thread_comes_in_its_place():
    iterator = iter(Dataset(SourceStage(Slow(20, broken=5))).prefetch())
    assert [int(next(iterator)) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(OSError, match="broken: 5"):
        next(iterator)


def noisy(x):
    return x, torch.rand(2), torch.from_numpy(np.random.rand(2))


@pytest.mark.slow
def test_processes_give_the_same_whatever_their_number():
    runs = []
    for workers in (1, 2):
        keras.utils.set_random_seed(5)
        dataset = Dataset.range(7).map(noisy).batch(2).prefetch(4, num_workers=workers)
        runs.append([[torch.cat([x.double() for x in b[1:]]) for b in dataset] for _ in range(2)])
    for one, other in zip(*runs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(runs[0][0][0], runs[0][1][0])  # each pass draws anew
    assert len({float(batch.sum()) for batch in runs[0][0]}) == 4  # and each element


def broken(x):
    if x == 2:
        raise KeyError("two")
    return x


def test_processes_read_in_order_and_pass_on_errors():
    dataset = Dataset.range(5).map(broken).prefetch(2, num_workers=1)
    read = []
    with pytest.raises(KeyError, match="two"):
        read.extend(int(x) for x in iter(dataset))
    stream = Dataset.from_generator(lambda: iter(range(4))).prefetch(2, num_workers=3)
    assert numbers(stream) == [0, 1, 2, 3]
    assert numbers(stream.take(2)) == [0, 1]


def test_the_cores_are_shared_by_the_processes_of_a_machine(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(reading_ahead.os, "sched_getaffinity", lambda pid: range(6), raising=False)
    for processes, expected in (("1", 6), ("4", 1), ("99", 1), ("none", 6)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert reading_ahead.threads_for_reading() == expected
    monkeypatch.setattr(reading_ahead.os, "sched_getaffinity", lambda pid: range(64), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert reading_ahead.threads_for_reading() == 8
