"""A training that is ended at any moment and goes on is bit-equal to one without a disturbance."""

import os
import signal
import sys

import pytest

from tests.crash import trainings

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="processes are forked"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
# Reading by processes starts them anew with each run.
FEW = [name for name in trainings.SOURCES if "process" in name or "workers" in name]


@pytest.mark.slow
@pytest.mark.parametrize("source", trainings.SOURCES)
def test_killed_at_every_step_of_every_kind_of_data(server, tmp_path, source):
    every = 4 if source in FEW else 1
    kills = server.call("trainings", "kill_at_steps", source, "plain", tmp_path, every)
    assert kills >= 3


@pytest.mark.slow
@pytest.mark.parametrize("source", ["arrays", "DataLoader, generator, below a pass"])
@pytest.mark.parametrize("model", [name for name in trainings.MODELS if name != "plain"])
def test_killed_at_every_step_of_every_kind_of_model(server, tmp_path, model, source):
    kills = server.call("trainings", "kill_at_steps", source, model, tmp_path)
    assert kills >= 3


def test_killed_at_a_step(tmp_path):
    assert trainings.kill_at_steps("below a pass", "plain", tmp_path, every=6) == 2


CODES = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 143, "SIGINT": 130}


@pytest.mark.slow
@pytest.mark.parametrize(
    "source, model, freq",
    [
        ("arrays", "plain", 1),
        ("arrays", "steps_per_execution", 1),
        ("arrays", "accumulated gradients, EMA", "epoch"),
        ("PyDataset, threads", "plain", "epoch"),
        ("DataLoader, generator", "schedule", 2),
        ("Dataset", "plain", 1),
    ],
)
@pytest.mark.parametrize("name", CODES)
def test_signal_at_20_random_moments(server, tmp_path, name, source, model, freq):
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    number = getattr(signal, name)
    arguments = (source, model, tmp_path, seed, number, 20, freq, 6)
    found = server.call("trainings", "signal_at_random", *arguments)
    print(found)
    assert found["inside"] >= 12
    assert found["codes"] == [CODES[name]]
