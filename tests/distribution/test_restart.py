"""A job that loses a process goes on where it was; one whose process fails ends, and says why."""

import csv
import importlib.util
import pathlib
import pickle
import random
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).parent


def _module(name):
    spec = importlib.util.spec_from_file_location(f"distribution_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


launch = _module("launch")
EPOCHS, BATCHES = 6, 5


def run(folder, kill_steps, save_freq="epoch", restarts=0, processes=2):
    folder.mkdir(exist_ok=True)
    options = [f"--max-restarts={restarts}", "--monitor-interval=0.1"]
    arguments = [HERE / "restart_script.py", folder, kill_steps, save_freq]
    finished = launch.torchrun(arguments, processes, timeout_s=120, options=options)
    assert finished.returncode == 0, finished.stdout[-8000:]
    starts, found = pickle.loads((folder / "results.pickle").read_bytes())
    assert starts == (0 if kill_steps == "none" else len(kill_steps.split(",")))
    assert not (folder / "backup").exists()
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, run(folder, "none")


def _same(found, expected, names):
    for name in names:
        for ours, theirs in zip(found[name], expected[name], strict=True):
            # A sum of two numbers is the same in any order.
            np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_a_killed_process_changes_nothing(undisturbed, tmp_path):
    step = random.SystemRandom().randrange(EPOCHS * BATCHES)  # another one each time
    print(f"killed before step {step}")
    folder, expected = undisturbed
    found = run(tmp_path, str(step), restarts=1)
    _same(found, expected, expected)
    best, expected_best = (load_file(f / "best.safetensors") for f in (tmp_path, folder))
    assert best.keys() == expected_best.keys()
    assert all(torch.equal(best[name], value) for name, value in expected_best.items())
    with open(tmp_path / "log.csv") as ours, open(folder / "log.csv") as theirs:
        assert list(csv.reader(ours)) == list(csv.reader(theirs))


def test_saved_within_an_epoch(tmp_path):
    """The epoch that was interrupted goes on at its next step."""
    expected = run(tmp_path / "whole", "none", save_freq=3)
    found = run(tmp_path / "killed", "13", save_freq=3, restarts=1)  # saved after 12 steps
    _same(found, expected, expected)


@pytest.mark.slow
def test_at_steps_of_each_kind(undisturbed, tmp_path):
    for step in range(0, EPOCHS * BATCHES, 7):
        found = run(tmp_path / str(step), str(step), restarts=1)
        _same(found, undisturbed[1], undisturbed[1])


@pytest.mark.slow
def test_two_losses_among_three_processes(tmp_path):
    expected = run(tmp_path / "a", "none", processes=3)
    found = run(tmp_path / "b", "7,9", restarts=2, processes=3)
    for name, values in expected.items():
        for ours, theirs in zip(found[name], values, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_process_that_raises_ends_the_job(tmp_path):
    arguments = [HERE / "restart_script.py", tmp_path, "raise", "epoch"]
    begin = time.monotonic()
    finished = launch.torchrun(arguments, 2, timeout_s=50, options=["--monitor-interval=0.1"])
    assert finished.returncode != 0
    assert "ArithmeticError: this process has failed on purpose" in finished.stdout
    assert "Raise" in finished.stdout or "on_train_batch_begin" in finished.stdout
    assert time.monotonic() - begin < 45
    assert not (tmp_path / "results.pickle").exists()
