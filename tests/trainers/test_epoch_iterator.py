import itertools
import multiprocessing
import threading
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from torchkeras.core import config
from torchkeras.trainers.data_adapters import PyDataset
from torchkeras.trainers.epoch_iterator import EpochIterator


class Numbers(PyDataset):
    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.calls = []

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, index):
        return (np.array([index]),)

    def on_epoch_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self):
        self.calls.append("end")


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(6))


def generator(count=None):
    for i in itertools.count() if count is None else range(count):
        yield np.array([i])


def loader(count=6):
    return DataLoader(TensorDataset(torch.arange(count)), batch_size=1)


def epoch(iterator):
    """The values of one epoch; its steps must count from 0."""
    steps, values = [], []
    for step, batch in iterator.enumerate_epoch():
        assert isinstance(batch, tuple)
        steps.append(step)
        values.append(batch[0].item())
    assert steps == list(range(len(steps)))
    return values


FINITE = [
    lambda: EpochIterator(np.arange(6), batch_size=1, steps_per_epoch=STEPS["now"]),
    lambda: EpochIterator(loader(), steps_per_epoch=STEPS["now"]),
    lambda: EpochIterator(Numbers(6), steps_per_epoch=STEPS["now"]),
    lambda: EpochIterator(Numbers(6, workers=2), steps_per_epoch=STEPS["now"]),
    lambda: EpochIterator(
        DataLoader(Stream(), batch_size=1), steps_per_epoch=STEPS["now"]
    ),  # of unknown length
]
IDS = ["array", "loader", "py_dataset", "threads", "stream"]
STEPS = {"now": None}


@pytest.fixture(params=FINITE, ids=IDS)
def finite(request, monkeypatch):
    """Makes an iterator over six batches 0 to 5, given steps_per_epoch."""

    def make(steps):
        monkeypatch.setitem(STEPS, "now", steps)
        return request.param()

    return make


def test_an_epoch_is_a_whole_pass(finite):
    iterator = finite(None)
    assert [epoch(iterator), epoch(iterator)] == [[0, 1, 2, 3, 4, 5]] * 2
    assert iterator.num_batches == 6


def test_epochs_go_on_through_the_pass(finite):
    iterator = finite(2)
    assert iterator.num_batches == iterator.steps_per_epoch == 2
    assert [epoch(iterator) for _ in range(4)] == [[0, 1], [2, 3], [4, 5], [0, 1]]


def test_pass_that_ends_within_an_epoch_ends_it_with_one_warning(finite):
    iterator = finite(4)
    assert epoch(iterator) == [0, 1, 2, 3]
    with pytest.warns(UserWarning, match="ran out after 2 of steps_per_epoch=4"):
        assert epoch(iterator) == [4, 5]
    assert epoch(iterator) == [0, 1, 2, 3]
    assert epoch(iterator) == [4, 5]  # a second warning would be an error here


def test_more_steps_than_data(finite):
    iterator = finite(8)
    with pytest.warns(UserWarning, match="after 6 of steps_per_epoch=8") as record:
        assert epoch(iterator) == [0, 1, 2, 3, 4, 5]
        assert epoch(iterator) == [0, 1, 2, 3, 4, 5]
    assert len(record) == 1
    assert record[0].filename == __file__


def test_reset_starts_from_the_first_batch(finite):
    iterator = finite(2)
    epoch(iterator)
    iterator.reset()
    assert epoch(iterator) == [0, 1]


@pytest.mark.parametrize("steps", [None, 2])
def test_peek_loses_nothing(finite, steps):
    iterator = finite(steps)
    assert [iterator.peek()[0].item() for _ in range(2)] == [0, 0]
    first = list(range(steps or 6))
    assert epoch(iterator) == first
    assert iterator.peek()[0].item() == (steps or 0)
    assert epoch(iterator) == ([2, 3] if steps else first)


def test_peek_at_generators_and_shuffled_arrays():
    iterator = EpochIterator(generator(2))
    assert iterator.peek()[0].item() == 0
    assert epoch(iterator) == [0, 1]
    assert iterator.peek() is None
    iterator = EpochIterator(np.arange(50), batch_size=1, shuffle=True)
    first = iterator.peek()[0].item()
    values = epoch(iterator)
    assert values[0] == first and sorted(values) == list(range(50))


def test_peek_leaves_no_workers_and_reads_after_the_hook():
    class Shifts(Numbers):
        def on_epoch_begin(self):
            self.shift = 100

        def __getitem__(self, index):
            return (np.array([index + getattr(self, "shift", 0)]),)

    iterator = EpochIterator(Shifts(3, workers=2, use_multiprocessing=True))
    iterator.peek()
    assert not multiprocessing.active_children()
    assert epoch(iterator) == [0, 101, 102]


def test_break_then_next_epoch(finite):
    iterator = finite(None)
    for _ in iterator.enumerate_epoch():
        break
    assert epoch(iterator) == [0, 1, 2, 3, 4, 5]


def test_endless_generator_needs_no_restart():
    iterator = EpochIterator(generator(), steps_per_epoch=3)
    assert [epoch(iterator), epoch(iterator)] == [[0, 1, 2], [3, 4, 5]]
    iterator.reset()
    assert epoch(iterator) == [6, 7, 8]
    assert not iterator.exhausted


def test_short_generator_warns_once_with_the_numbers():
    iterator = EpochIterator(generator(5), steps_per_epoch=3)
    assert epoch(iterator) == [0, 1, 2]
    with pytest.warns(UserWarning, match="after 2 of steps_per_epoch=3") as record:
        assert epoch(iterator) == [3, 4]
        assert iterator.exhausted
        assert epoch(iterator) == []
    assert len(record) == 1


def test_generator_that_ends_with_an_epoch():
    iterator = EpochIterator(generator(4), steps_per_epoch=2)
    assert [epoch(iterator), epoch(iterator)] == [[0, 1], [2, 3]]
    with pytest.warns(UserWarning, match="no batch left for an epoch of 2 steps"):
        assert epoch(iterator) == []
    assert iterator.exhausted


def test_generator_without_steps_is_one_epoch():
    iterator = EpochIterator(generator(3))
    assert iterator.num_batches is None
    assert epoch(iterator) == [0, 1, 2]
    assert iterator.num_batches == 3 and iterator.exhausted
    with pytest.warns(UserWarning, match="no batch left for a further epoch"):
        assert epoch(iterator) == []


def test_steps_decide_the_batch_size_of_arrays():
    iterator = EpochIterator(np.zeros(70), steps_per_epoch=7)
    assert [len(x) for _, (x,) in iterator.enumerate_epoch()] == [10] * 7
    assert len(epoch(EpochIterator(np.zeros((7, 1)), steps_per_epoch=7))) == 7


def test_each_pass_over_arrays_is_shuffled_anew():
    iterator = EpochIterator(np.arange(50), batch_size=1, shuffle=True, steps_per_epoch=25)
    first = epoch(iterator) + epoch(iterator)
    second = epoch(iterator) + epoch(iterator)
    assert sorted(first) == sorted(second) == list(range(50)) and first != second


def test_hooks_of_the_dataset():
    dataset = Numbers(3)
    iterator = EpochIterator(dataset)
    epoch(iterator)
    for _ in iterator.enumerate_epoch():
        break
    assert dataset.calls == ["begin", "end"] * 2


@pytest.mark.parametrize("processes", [False, True])
def test_workers_end_with_the_epoch_even_when_it_is_left(processes):
    dataset = Numbers(20, workers=2, use_multiprocessing=processes)
    iterator = EpochIterator(dataset, steps_per_epoch=2)
    with pytest.raises(KeyError, match="stop"):
        for _ in iterator.enumerate_epoch():
            raise KeyError("stop")
    # The loop's generator is gone with the frame; `reset` is for callers that keep it.
    iterator.reset()
    assert not multiprocessing.active_children()
    assert not [t for t in threading.enumerate() if t.name.startswith("PyDataset")]


def test_error_in_the_data_leaves_the_iterator_usable():
    class Fails(Numbers):
        broken = True

        def __getitem__(self, index):
            if index == 1 and self.broken:
                raise OSError("disk")
            return super().__getitem__(index)

    dataset = Fails(3)
    iterator = EpochIterator(dataset)
    with pytest.raises(OSError, match="disk"):
        epoch(iterator)
    dataset.broken = False
    assert epoch(iterator) == [0, 1, 2]


def test_bound_of_a_dry_run_cuts_epochs_but_keeps_the_batch_size():
    config.set_max_steps_per_epoch(2)
    try:
        iterator = EpochIterator(np.zeros(320))
        longer = EpochIterator(np.zeros(320), batch_size=10, steps_per_epoch=5)
        shorter = EpochIterator(np.zeros(320), batch_size=10, steps_per_epoch=1)
    finally:
        config.set_max_steps_per_epoch(None)
    assert [len(x) for _, (x,) in iterator.enumerate_epoch()] == [32, 32]
    assert iterator.num_batches == 2
    assert (longer.num_batches, shorter.num_batches) == (2, 1)


def test_arguments_reach_the_data():
    iterator = EpochIterator(
        np.zeros((4, 2)), np.array([0, 1, 0, 1]), class_weight={1: 2.0}, batch_size=4
    )
    ((step, (x, y, weight)),) = iterator.enumerate_epoch()
    assert step == 0 and weight.tolist() == [1, 2, 1, 2] and not iterator.bare_batches
    iterator = EpochIterator({"a": np.zeros(4)}, device="meta")
    ((_, (x,)),) = iterator.enumerate_epoch()
    assert x["a"].is_meta and iterator.bare_batches


@pytest.mark.parametrize("steps", [0, -1])
def test_steps_below_one_are_an_error(steps):
    with pytest.raises(ValueError, match=f"steps_per_epoch={steps}"):
        EpochIterator(np.zeros(3), steps_per_epoch=steps)


def test_steps_must_be_an_integer():
    with pytest.raises(TypeError, match="steps_per_epoch=2.5 of type float"):
        EpochIterator(np.zeros(3), steps_per_epoch=2.5)


def test_nothing_warns_on_the_way():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for make in (loader, generator, lambda: Numbers(3)):
            iterator = EpochIterator(make(), steps_per_epoch=2, shuffle=True)
            next(iterator.enumerate_epoch())
