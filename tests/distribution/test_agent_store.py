"""The store of torchrun's agent outlives a restart; what processes find in it does not."""

import concurrent.futures
import datetime

import pytest
import torch.distributed as dist

from torchkeras.distribution import agent_store


@pytest.fixture
def server(monkeypatch):
    timeout = datetime.timedelta(seconds=20)
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timeout)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    return store


def _start(world_size):
    """The stores of the processes of one start, whose connections come in any order."""
    with concurrent.futures.ThreadPoolExecutor(world_size) as pool:
        found = [
            pool.submit(agent_store.connect, rank, world_size, 20.0)
            for rank in reversed(range(world_size))
        ]
        return [future.result(timeout=30) for future in reversed(found)]


def test_a_restart_finds_nothing_of_the_start_before(server):
    first = _start(3)
    first[1].set("address", "of the first start")
    assert first[0].get("address") == first[2].get("address") == b"of the first start"
    second = _start(3)
    assert not second[0].check(["address"])
    second[2].set("address", "of the second")
    assert second[0].get("address") == second[1].get("address") == b"of the second"
    # With fewer processes than before.
    third = _start(2)
    third[0].set("address", "of the third")
    assert third[1].get("address") == b"of the third"


def test_a_process_that_does_not_come_is_named(server):
    with pytest.raises(RuntimeError, match="nothing from 1, 2"):
        agent_store.connect(0, 3, 0.2)


def test_without_torchrun(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    assert not agent_store.is_there()
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    assert agent_store.is_there()
