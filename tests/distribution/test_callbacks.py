"""Callbacks in two processes: no hang, one set of files, and decisions that all share."""

import collections
import csv
import importlib.util
import pathlib
import pickle

import numpy as np
import pytest

HERE = pathlib.Path(__file__).parent


def _module(name):
    spec = importlib.util.spec_from_file_location(f"distribution_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


launch = _module("launch")
scenarios = _module("callback_scenarios")
NAMES = [scenario.__name__ for scenario in scenarios.SCENARIOS]
PROCESSES = 2
# Its files lie in the folder of process 0, which the others know by its whole name.
WHOLE_PATHS = "saved_by_the_program"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What one process has done in `alone`, and each of two in `rank_0` and `rank_1`."""
    folder = tmp_path_factory.mktemp("callbacks")
    finished = launch.torchrun([HERE / "callback_scenarios.py", folder], PROCESSES, timeout_s=150)
    assert finished.returncode == 0, finished.stdout[-8000:]
    (folder / "alone.pickle").write_bytes(pickle.dumps(scenarios.run(folder / "alone")))
    return folder


@pytest.fixture(scope="module")
def results(folder):
    names = ["alone", *(f"rank_{rank}" for rank in range(PROCESSES))]
    return {name: pickle.loads((folder / f"{name}.pickle").read_bytes()) for name in names}


@pytest.mark.parametrize("name", NAMES)
def test_all_processes_decide_alike(name, results):
    first, other = results["rank_0"][name][0], results["rank_1"][name][0]
    assert first.keys() == other.keys() and first
    for key, value in first.items():
        np.testing.assert_array_equal(other[key], value, err_msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_results_are_those_of_one_process(name, results):
    expected, found = results["alone"][name][0], results["rank_0"][name][0]
    assert found.keys() >= expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-4, atol=1e-5, err_msg=str(key))


def _files(folder):
    """Kinds of files and how often: TensorBoard's have times and process numbers in their names."""
    found = collections.Counter()
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if "tfevents" in name or "pt.trace" in name:
            name = f"{path.parent.relative_to(folder)}/{'events' if 'events' in name else 'trace'}"
        found[name] += path.is_file()
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_first_process_writes_what_one_would_and_the_others_nothing(name, folder):
    assert _files(folder / "rank_1" / name) == {}
    assert _files(folder / "rank_0" / name) == _files(folder / "alone" / name)


def test_there_are_files_to_compare(folder):
    found = _files(folder / "rank_0" / "all_of_keras")
    assert found["board/train/events"] and found["board/train/trace"]
    assert found["log.csv"] and found["best.safetensors"] and found["backup/latest.safetensors"]
    assert len([name for name in found if name.startswith("each/")]) == 3
    assert len([name for name in found if name.startswith("batches/")]) == 4


@pytest.mark.parametrize("name", NAMES)
def test_only_the_first_process_prints(name, results):
    assert results["rank_1"][name][1] == ""
    assert bool(results["rank_0"][name][1]) == bool(results["alone"][name][1])


def test_who_stops_is_told(results):
    printed = results["rank_0"]["nan_in_one_process"][1]
    assert printed.count("training ends") == 1 and "nan" in printed
    assert "Total params" in results["rank_0"]["saved_by_the_program"][1]


def test_stopped_where_one_process_says(results):
    found = {k: int(v) for k, v in results["rank_0"]["stopped_by_one"][0].items()}
    for who in ("first", "last"):
        assert found[f"{who}_epoch_end"] == 12 and found[f"{who}_batch_end"] == 3
        assert found[f"{who}_epoch_begin"] == 7 and found[f"{who}_batch_begin"] == 4
        assert found[f"{who}_in_validation"] == 6


def test_values_in_files_are_those_of_all_processes(folder):
    tables = []
    for name in ("alone", "rank_0"):
        with open(folder / name / "all_of_keras" / "log.csv") as file:
            header, *rows = csv.reader(file)
        tables.append((header, np.array(rows, dtype=float)))
    assert tables[0][0] == tables[1][0] and "val_mae" in tables[0][0]
    np.testing.assert_allclose(tables[1][1], tables[0][1], rtol=1e-5)


def test_tensorboard_has_values_of_all_processes(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = []
    for name in ("alone", "rank_0"):
        values = {}
        for run in ("train", "validation"):
            events = accumulator.EventAccumulator(
                str(folder / name / "all_of_keras" / "board" / run)
            ).Reload()
            for tag in events.Tags()["scalars"]:
                if "per_second" not in tag:
                    values[run, tag] = [(e.step, e.value) for e in events.Scalars(tag)]
        found.append(values)
    alone, together = found
    assert alone.keys() == together.keys() and ("train", "batch_loss") in alone
    for tag, values in alone.items():
        np.testing.assert_allclose(together[tag], values, rtol=1e-4, err_msg=str(tag))
