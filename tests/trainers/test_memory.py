"""Memory that `fit`, `evaluate` and `predict` take, seen from outside: `benchmarks/memory.py`."""

import json
import pathlib
import subprocess
import sys

import pytest

from tests.processes import REPOSITORY

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(
        not pathlib.Path("/proc/self/status").exists(), reason="asks the kernel of Linux"
    ),
]


def measured(folder, *arguments):
    """What the benchmark finds, by part, line and library."""
    path = folder / "found.json"
    command = [sys.executable, "benchmarks/memory.py", *arguments, "--json", str(path)]
    done = subprocess.run(
        [*command, "--folder", str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())["results"]


# Of 10 GB of features the labels alone are 21 MB, and their order 10. The program takes 160 MB.
OPTIONS = ["data", "--libraries", "torchkeras", "--steps", "20"]


def test_ten_gigabytes_in_a_file(tmp_path):
    found = measured(tmp_path, *OPTIONS, "--gigabytes", "10")["data"]
    assert len(found) == 7
    for task, libraries in found.items():
        memory = libraries["torchkeras"]
        assert memory["rows"] == 2621440
        assert memory["peak_RssAnon_mb"] < 400, task
        assert memory["peak_RssAnon_mb"] - memory["before_mb"] < 150, task


@pytest.mark.parametrize(
    ("dtype", "form", "task"),
    [
        ("float64", "view", "fit shuffled"),
        ("float16", "", "fit in order"),
        ("uint16", "", "fit shuffled"),
        (">f4", "", "fit in order"),
        ("float32", "reversed", "fit shuffled"),
    ],
)
def test_files_that_torch_cannot_view(tmp_path, dtype, form, task):
    options = ["--gigabytes", "0.6", "--dtype", dtype, "--form", form, "--tasks", task]
    memory = measured(tmp_path, *OPTIONS, *options)["data"][task]["torchkeras"]
    assert memory["peak_RssAnon_mb"] - memory["before_mb"] < 150


def test_many_small_rows(tmp_path):
    """Class weights and the order take 4 bytes a sample each; what is in between stays small."""
    options = ["--gigabytes", "1", "--columns", "8", "--tasks", "fit, class_weight"]
    memory = measured(tmp_path, *OPTIONS, *options)["data"]["fit, class_weight"]["torchkeras"]
    samples_mb = memory["rows"] / 2**20
    assert memory["peak_RssAnon_mb"] - memory["before_mb"] < 3 * 4 * samples_mb + 150


@pytest.mark.parametrize("kind", ["MLP", "CNN"])
def test_a_step_takes_no_more_than_that_of_a_loop_by_hand(tmp_path, kind):
    libraries = ["--libraries", "hand-written loop", "torchkeras"]
    tasks = ["--tasks", kind, f"{kind}, jit_compile"]
    found = measured(tmp_path, "steps", *libraries, *tasks)["steps"]
    by_hand = found[kind]["hand-written loop"]["taken_mb"]
    # Activations of 24 or 32 MB, of which none more may live; threads and small blocks aside.
    for task, results in found.items():
        assert results["torchkeras"]["taken_mb"] < by_hand + 12, task
