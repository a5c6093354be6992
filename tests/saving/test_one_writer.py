"""One process of a job writes a file: seen with processes that are only pretended."""

import datetime

import pytest
import torch.distributed as dist
from torch.distributed import distributed_c10d

from torchkeras.distribution import process_group
from torchkeras.saving import one_writer as module
from torchkeras.saving.one_writer import one_writer, without_others


@pytest.fixture
def become(monkeypatch):
    """A function that makes this the process of a number, in a job with one store."""
    store = dist.HashStore()
    monkeypatch.setattr(distributed_c10d, "_get_default_store", lambda: store)
    monkeypatch.setattr(process_group._State, "active", True)
    saves = {}

    def become(rank):
        monkeypatch.setattr(process_group._State, "rank", rank)
        monkeypatch.setattr(module._State, "saves", saves.setdefault(rank, {}))

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
