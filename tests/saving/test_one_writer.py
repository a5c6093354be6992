"""One process of a job writes a file: seen with processes that are only pretended."""

import datetime

import pytest
import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d

from torchkeras.distribution import process_group
from torchkeras.saving import one_writer as module
from torchkeras.saving.one_writer import one_writer, without_others


@pytest.fixture
def become(monkeypatch):
    """A function that makes this the process of a number, in a job with one store.

    It has come to its place after a number of messages of all processes.
    """
    store = dist.HashStore()
    monkeypatch.setattr(distributed_c10d, "_get_default_store", lambda: store)
    monkeypatch.setattr(process_group._State, "active", True)
    states = {}

    def become(rank, messages=0):
        states[process_group._State.rank] = vars(module._State).copy()
        monkeypatch.setattr(process_group._State, "rank", rank)
        monkeypatch.setattr(process_group._State, "messages", messages)
        state = states.get(rank, {"messages": None, "saves": {}})
        monkeypatch.setattr(module._State, "messages", state["messages"])
        monkeypatch.setattr(module._State, "saves", state["saves"])

    states[0] = {"messages": None, "saves": {}}
    monkeypatch.setattr(process_group._State, "rank", -1)
    store.set_timeout(datetime.timedelta(seconds=0.2))
    return become


def _save(path, action=lambda: None):
    with one_writer(path) as writes:
        if writes:
            action()
        return writes


def test_the_first_process_writes_and_waits_for_nobody(become):
    become(0)
    assert _save("a") and _save("a") and _save("b")
    become(1)
    assert not _save("b") and not _save("a") and not _save("a")


def test_each_save_is_waited_for(become):
    become(0)
    _save("a")
    become(1)
    _save("a")
    with pytest.raises(RuntimeError, match="Process 0 writes a file .* filepath='a' in process 1"):
        _save("a")


def test_a_save_of_the_first_alone_is_not_that_of_all(become):
    become(0, messages=3)
    _save("a")
    become(1, messages=5)
    with pytest.raises(RuntimeError, match="nothing was heard of it"):  # it has not come yet
        _save("a")
    become(0, messages=5)
    _save("a")
    become(0, messages=6)  # and once more, far ahead of the others
    _save("a")
    become(2, messages=5)
    assert not _save("a")
    become(2, messages=8)
    with pytest.raises(RuntimeError, match="nothing was heard of it"):
        _save("a")


def test_saves_of_the_first_and_of_all_without_a_message_between_are_told(become):
    become(0, messages=3)
    assert _save("a") and _save("a")
    become(1, messages=3)
    assert not _save("a")  # the first of the two, or the second: nobody knows
    become(0, messages=4)
    _save("b")
    become(1, messages=4)
    with pytest.raises(RuntimeError, match="filepath='a', saved more often .*barrier"):
        _save("b")


def test_messages_of_all_are_counted(monkeypatch):
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    monkeypatch.setattr(process_group._State, "active", True)
    monkeypatch.setattr(process_group._State, "messages", 0)
    try:
        process_group.barrier()
        process_group.broadcast_([torch.ones(1)])
        process_group.broadcast_object(1)
        process_group.all_gather_object(1)
        process_group.all_gather(torch.ones(1))
    finally:
        dist.destroy_process_group()
    assert process_group.message_count() == 5


def test_a_write_that_fails_is_an_error_in_all(become):
    def fail():
        raise OSError("no space")

    become(0)
    with pytest.raises(OSError, match="no space"):
        _save("a", fail)
    become(1)
    with pytest.raises(RuntimeError, match="OSError: no space"):
        _save("a")


def test_without_others_nothing_is_told(become):
    become(0)
    with without_others():
        assert _save("a")
    assert module._State.saves == {}
    become(1)
    with without_others():
        assert not _save("a")
