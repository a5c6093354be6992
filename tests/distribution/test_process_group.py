"""One process: every function is there, does nothing, and costs next to nothing."""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.distribution import process_group, random_state, state_reduction
from torchkeras.distribution.one_process import OneProcess
from torchkeras.distribution.share import Share
from torchkeras.trainers.data_adapters import get_data_adapter
from torchkeras.trainers.predictions import _order


@pytest.fixture
def job(monkeypatch):
    """The environment of a torchrun with 4 processes, of which this is number 2."""
    for name, value in {"RANK": 2, "WORLD_SIZE": 4, "LOCAL_RANK": 2}.items():
        monkeypatch.setenv(name, str(value))


def test_single_process_has_no_group():
    assert not process_group.ensure_initialized() and not process_group.is_active()
    keras.distribution.initialize()
    assert not torch.distributed.is_initialized()
    assert (process_group.rank(), process_group.world_size()) == (0, 1)
    assert process_group.is_chief()
    tensor = torch.ones(2)
    assert process_group.all_reduce_([tensor])[0] is tensor
    assert process_group.broadcast_object("x") == "x"
    assert process_group.all_gather_object(1) == [1]
    process_group.barrier()


def test_questions_cost_less_than_a_microsecond():
    start = time.perf_counter()
    for _ in range(10_000):
        process_group.is_active()
    assert (time.perf_counter() - start) / 10_000 < 1e-6


def test_import_does_not_ask_torch_distributed_for_a_group():
    code = "import torchkeras, torch.distributed as d; assert not d.is_initialized()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_environment_tells_the_rank_before_there_is_a_group(job):
    assert process_group.started_together()
    assert process_group.rank() == 2 and not process_group.is_chief()
    assert process_group.local_rank() == 2
    assert keras.distribution.list_devices("cpu") == ["cpu:0", "cpu:1", "cpu:2", "cpu:3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("localhost:1", 2, None), "no process_id"),
        (("localhost:1", 2, 2), "process_id=2, num_processes=2"),
        (("a:1,b:1,c:1", 2, 0), "3 addresses"),
    ],
)
def test_initialize_checks_its_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras.distribution.initialize(*arguments)


def test_initialize_reads_keras_names(monkeypatch):
    monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", "10.0.0.1:1234,10.0.0.2:2345")
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    assert process_group._job(None, None, 1) == ("tcp://10.0.0.1:1234", 2, 1)


def test_reduction_refuses_unknown_operations(monkeypatch):
    monkeypatch.setattr(process_group._State, "active", True)
    with pytest.raises(ValueError, match="op='product'"):
        process_group.all_reduce_([torch.ones(1)], "product")


@pytest.mark.parametrize("total", [0, 1, 2, 5, 6, 7, 100])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_shares_make_up_the_batch(total, world_size):
    shares = [Share.of(total, rank, world_size) for rank in range(world_size)]
    rows = [i for s in shares for i in range(s.start, s.start + s.rows)]
    assert rows == list(range(total))
    assert max(s.rows for s in shares) - min(s.rows for s in shares) <= 1
    assert {s.is_even for s in shares} == {total % world_size == 0}
    if total:
        assert sum(s.weight for s in shares) == pytest.approx(1)
        assert all(s.span == (0, 1) for s in shares if s.is_ghost)


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
@pytest.mark.parametrize("as_dataset", [False, True])
def test_parts_of_batches_make_up_the_batches(shuffle, as_dataset):
    x, y = np.arange(23.0), np.arange(23)

    def batches(**arguments):
        torch.manual_seed(1)
        if as_dataset:
            rows = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
            data = torch.utils.data.DataLoader(rows, batch_size=5, shuffle=bool(shuffle))
            adapter = get_data_adapter(data, **arguments)
        else:
            adapter = get_data_adapter(x, y, batch_size=5, shuffle=shuffle, **arguments)
        for batch in adapter.batches():
            yield batch, adapter.share

    whole = [batch for batch, _ in batches()]
    parts = [list(batches(shard=(rank, 3))) for rank in range(3)]
    for number, expected in enumerate(whole):
        shares = [part[number][1] for part in parts]
        assert sum(share.rows for share in shares) == len(expected[0])
        for leaf, value in enumerate(expected):
            found = [part[number][0][leaf] for part in parts]
            kept = [t[: s.rows] for t, s in zip(found, shares, strict=True)]
            torch.testing.assert_close(torch.cat(kept), value)


def test_predictions_come_back_in_order():
    shares = [[Share.of(total, rank, 3) for total in (7, 7, 2)] for rank in range(3)]
    counts = np.array([[share.rows for share in rank] for rank in shares])
    starts = [0, 7, 14]
    rows = [
        start + share.start + i
        for rank in shares
        for start, share in zip(starts, rank, strict=True)
        for i in range(share.rows)
    ]
    assert np.array(rows)[_order(counts)].tolist() == list(range(16))


def test_mixed_seeds_differ():
    seeds = {random_state.mixed_seed(seed, rank) for seed in range(50) for rank in range(50)}
    assert len(seeds) > 2490 and all(0 <= seed < 2**63 for seed in seeds)


def test_random_states_of_another_number_of_processes():
    torch.manual_seed(3)
    states = [random_state.get_random_states() for _ in range(2)]
    expected = torch.rand(3)
    random_state.set_random_states(states)
    torch.testing.assert_close(torch.rand(3), expected)


def test_metrics_reduced_for_a_look_keep_their_state():
    metric = keras.metrics.Mean()
    metric.update_state([1.0, 3.0])
    with state_reduction.metrics_reduced(metric.variables):
        metric.update_state([100.0])
    assert float(metric.result()) == 2.0


def test_data_parallel_in_one_process_is_nothing_at_all():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with keras.distribution.DataParallel().scope() as chosen:
        assert keras.distribution.distribution() is chosen
        model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    assert type(model._replica) is OneProcess and keras.distribution.distribution() is None


def test_set_distribution_refuses_anything_else():
    with pytest.raises(TypeError, match="DataParallel"):
        keras.distribution.set_distribution("data_parallel")
