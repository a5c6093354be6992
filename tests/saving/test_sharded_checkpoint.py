"""Checkpoints written in parts: whole or absent, for any number of processes, and as one file."""

import importlib.util
import json
import pathlib
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import torchkeras as keras
from tests.saved_files import write_index
from torchkeras.distribution import consolidate, load_sharded, save_sharded
from torchkeras.saving import atomic, sharded_index, sharded_save
from torchkeras.saving.checksums import checksum_of_file
from torchkeras.saving.sharded_index import covers_once

SCRIPTS = pathlib.Path(__file__).parents[1] / "distribution"
NAMES = [
    "files_of_the_whole",
    "checkpoint_of_callback",
    "saved_in_parts",
    "torch_optimizer_in_parts",
    "failed_save",
    "failed_load",
    "time_limits",
    "first_alone_then_all",
    "left_pending",
]


def _module(name):
    spec = importlib.util.spec_from_file_location(f"checkpoint_{name}", SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


launch, scenarios = _module("launch"), _module("sharded_scenarios")


def _run(names, processes, folder):
    path = folder / f"results_{processes}"
    arguments = [SCRIPTS / "sharded_scenarios.py", path, folder, *names]
    finished = launch.torchrun(arguments, processes, timeout_s=100)
    assert finished.returncode == 0, finished.stdout[-8000:]
    return pickle.loads(path.read_bytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sharded")


@pytest.fixture(scope="module")
def saved(folder):
    """What two processes had when they saved, and what they came to."""
    return _run(NAMES, 2, folder)


def _assert_equal(found, expected, tolerance=0.0):
    assert found.keys() >= expected.keys() and expected
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, tolerance, tolerance, err_msg=key)


def _at_save(found):
    return {k: v for k, v in found.items() if k.startswith(("weight_", "optimizer_"))}


@pytest.mark.parametrize("processes", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_another_number_of_processes_goes_on(processes, saved, folder):
    names = ["loaded_in_parts"]
    if processes == 1:
        found = scenarios.run(names[0], folder)
    else:
        found = _run(names, processes, folder)[names[0]]
    assert found["step"] == 2
    expected = saved["saved_in_parts"]
    _assert_equal(found, _at_save(expected))
    _assert_equal(found, {k: v for k, v in expected.items() if k[:6] == "after_"}, 1e-5)


def test_a_later_save_takes_the_place(saved, folder):
    model = scenarios.classifier()
    assert load_sharded(model, folder / "again") == {"step": 3}
    found = {f"after_{k}": v for k, v in scenarios.outcome(model).items()}
    expected = saved["saved_in_parts"]
    _assert_equal(found, {k: v for k, v in expected.items() if k.startswith("after_weight")})
    assert len(list((folder / "again").iterdir())) == 2


def test_consolidated_is_an_ordinary_file(saved, folder):
    path = folder / "one.safetensors"
    consolidate(folder / "parts", path)
    model = keras.saving.load_model(path)
    found = {**scenarios.outcome(model), **scenarios.state_of(model)}
    _assert_equal(found, _at_save(saved["saved_in_parts"]))


@pytest.mark.parametrize("name", ["whole.safetensors", "whole.keras"])
def test_whole_files_of_divided_models(name, saved, folder):
    expected = saved["files_of_the_whole"]
    model = keras.saving.load_model(folder / name)
    weights = {f"loaded_{k}": v for k, v in scenarios.outcome(model).items()}
    _assert_equal(weights, {k: v for k, v in expected.items() if k.startswith("loaded_")})
    model.fit(scenarios.X[:1], scenarios.LABELS[:1], verbose=0)  # it is an ordinary model
    again = scenarios.classifier()
    again.load_weights(folder / "whole_weights.safetensors")
    found = {f"loaded_{k}": v for k, v in scenarios.outcome(again).items()}
    _assert_equal(found, weights)


def test_model_checkpoint_writes_one_file(saved, folder):
    model = keras.saving.load_model(folder / "epoch_2.safetensors")
    _assert_equal(scenarios.outcome(model), saved["checkpoint_of_callback"])
    assert int(model.optimizer.iterations) == 30


def test_failed_and_torch_saves_agree_in_all_processes(saved):
    assert saved["failed_save"] and saved["torch_optimizer_in_parts"]


def test_a_load_that_fails_in_one_process_changes_nothing_in_any(saved):
    assert saved["failed_load"]


def test_groups_wait_as_long_as_the_job_says(saved):
    assert saved["time_limits"]["seconds"] == 60  # as launch.py says, and not torch's 1800


def test_a_save_of_the_first_process_is_not_taken_for_that_of_all(saved):
    found = saved["first_alone_then_all"]  # which are alike in all processes
    assert (found["saved_1.0"] == 1).all() and (found["saved_2.0"] == 2).all()


def test_what_is_pending_at_the_end_is_written(saved, folder):
    model = scenarios.classifier()
    assert load_sharded(model, folder / "pending") == {"step": 5}
    _assert_equal({**scenarios.outcome(model), **scenarios.state_of(model)}, saved["left_pending"])


def test_a_killed_save_leaves_the_one_before(tmp_path):
    arguments = [SCRIPTS / "sharded_scenarios.py", tmp_path / "results", tmp_path, "killed_save"]
    finished = launch.torchrun(arguments, 2, timeout_s=100)
    assert finished.returncode != 0 and "exitcode  : 17" in finished.stdout
    unfinished = [p for p in (tmp_path / "killed").iterdir() if p.name.startswith("save-")]
    assert len(unfinished) == 2
    model = scenarios.classifier()
    assert load_sharded(model, tmp_path / "killed") == {"step": 1}
    expected = pickle.loads((tmp_path / "killed.pickle").read_bytes())
    _assert_equal({**scenarios.outcome(model), **scenarios.state_of(model)}, expected)


# One process


@pytest.fixture
def model():
    model = scenarios.classifier()
    model.fit(scenarios.X, scenarios.LABELS, verbose=0)
    return model


@pytest.mark.parametrize("asynchronous", [False, True])
def test_one_process_saves_and_loads(asynchronous, model, tmp_path):
    expected = {**scenarios.outcome(model), **scenarios.state_of(model)}
    pending = save_sharded(model, tmp_path, 4, asynchronous)
    model.fit(scenarios.X, scenarios.LABELS, verbose=0)
    assert (pending is not None) is asynchronous
    assert load_sharded(model, tmp_path) == {"step": 4}  # which waits for what is pending
    _assert_equal({**scenarios.outcome(model), **scenarios.state_of(model)}, expected)


def test_seeds_come_back(tmp_path):
    def build():
        stack = [keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.5, seed=3)]
        return keras.Sequential(stack)

    model, x = build(), np.ones((8, 3), "float32")
    model(x, training=True)
    save_sharded(model, tmp_path)
    expected, again = model(x, training=True), build()
    load_sharded(again, tmp_path)
    assert (again(x, training=True) == expected).all()


def test_an_unfinished_save_is_refused(model, tmp_path, monkeypatch):
    def fail(folder, description, files):
        raise KeyboardInterrupt("killed before the end")

    monkeypatch.setattr(sharded_save, "commit", fail)
    with pytest.raises(RuntimeError, match="killed before the end"):
        save_sharded(model, tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError, match="no folder, or has no"):
        load_sharded(model, tmp_path)
    (tmp_path / "save-0").mkdir()  # as a process that was killed leaves it
    with pytest.raises(FileNotFoundError, match="did not come to its end"):
        load_sharded(model, tmp_path)


def test_a_failure_after_the_index_keeps_the_data_it_names(model, tmp_path, monkeypatch):
    commit = sharded_save.commit

    def fail(*arguments):
        commit(*arguments)
        raise OSError("cannot flush")

    monkeypatch.setattr(sharded_save, "commit", fail)
    with pytest.raises(RuntimeError, match="cannot flush"):
        save_sharded(model, tmp_path, step=8)
    assert load_sharded(model, tmp_path) == {"step": 8}


def test_failed_asynchronous_save_is_told(model, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sharded_save, "commit", lambda *arguments: 1 / 0)
        pending = save_sharded(model, tmp_path, asynchronous=True)
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            pending.wait()
        for later in (save_sharded, load_sharded):
            save_sharded(model, tmp_path, asynchronous=True)
            with pytest.raises(RuntimeError, match="ZeroDivisionError"):
                later(model, tmp_path)
    save_sharded(model, tmp_path)
    assert load_sharded(model, tmp_path) == {"step": None}


def test_failed_last_save_is_told_at_the_end_of_the_program(tmp_path):
    (tmp_path / "file").touch()
    code = (
        "import sys, torchkeras as keras\n"
        "model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
        "keras.distribution.save_sharded(model, sys.argv[1], asynchronous=True)\n"
    )
    arguments = [sys.executable, "-c", code, tmp_path / "file" / "parts"]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert "[rank 0] the last asynchronous save failed" in ended.stderr
    assert f"'{tmp_path}/file/parts': NotADirectoryError" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_files_that_process_0_does_not_see_are_refused(model, tmp_path, monkeypatch):
    (tmp_path / "one").write_bytes(b"123")
    seen = sharded_save._check_seen
    seen(tmp_path, [{"one": 3}, {}])
    with pytest.raises(RuntimeError, match="all processes see.*4 bytes in process 1, and 3 bytes"):
        seen(tmp_path, [{}, {"one": 4}])
    with pytest.raises(RuntimeError, match="all processes see.*2 bytes in process 2, and nothing"):
        seen(tmp_path, [{"one": 3}, {}, {"two": 2}])
    save_sharded(model, tmp_path, step=1)
    monkeypatch.setattr(sharded_save.PendingSave, "_write_parts", lambda *_: {"two": 2})
    with pytest.raises(RuntimeError, match="all processes see.*two"):
        save_sharded(model, tmp_path, step=2)
    assert load_sharded(model, tmp_path) == {"step": 1}


def test_names_are_flushed_before_the_index_tells_of_them(model, tmp_path, monkeypatch):
    flushed, flush_folder = [], atomic.flush_folder

    def flush(folder):
        flushed.append((folder, (tmp_path / "checkpoint.json").exists()))
        flush_folder(folder)

    monkeypatch.setattr(atomic, "flush_folder", flush)
    save_sharded(model, tmp_path)
    data = json.loads((tmp_path / "checkpoint.json").read_text())["data"]
    assert flushed[:2] == [(str(tmp_path / data), False), (str(tmp_path), False)]


def test_damaged_checkpoints_are_refused(model, tmp_path):
    before = scenarios.outcome(model)
    save_sharded(model, tmp_path)
    index = json.loads((tmp_path / "checkpoint.json").read_text())
    (name,) = index["files"]
    part = tmp_path / index["data"] / name
    whole = part.read_bytes()
    part.write_bytes(whole[:-5])
    with pytest.raises(ValueError, match="of another size"):
        load_sharded(model, tmp_path)
    part.write_bytes(b"\xff" * len(whole))
    with pytest.raises(ValueError):
        load_sharded(model, tmp_path)
    part.unlink()
    with pytest.raises(ValueError, match="which lacks"):
        load_sharded(model, tmp_path)
    for text in ('{"data": "../elsewhere", "format": 1}', "[]", "{", "{}", '{"format": 9}'):
        (tmp_path / "checkpoint.json").write_text(text)
        with pytest.raises(ValueError):
            load_sharded(model, tmp_path)
    index["data"] = "save-/../../elsewhere"
    (tmp_path / "checkpoint.json").write_text(json.dumps(index))
    with pytest.raises(ValueError):
        load_sharded(model, tmp_path)
    _assert_equal(scenarios.outcome(model), before)


def test_a_changed_bit_is_an_error_and_changes_nothing(model, tmp_path):
    save_sharded(model, tmp_path)
    other = scenarios.classifier()
    before = {**scenarios.outcome(other), **scenarios.state_of(other)}
    index = json.loads((tmp_path / "checkpoint.json").read_text())
    (name,) = index["files"]
    rng = random.Random(3)
    for path in (tmp_path / index["data"] / name, tmp_path / "checkpoint.json"):
        whole = path.read_bytes()
        for _ in range(40):
            bit = rng.randrange(8 * len(whole))
            changed = bytearray(whole)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            with pytest.raises(ValueError):
                load_sharded(other, tmp_path)
        path.write_bytes(whole)
    _assert_equal({**scenarios.outcome(other), **scenarios.state_of(other)}, before)
    load_sharded(other, tmp_path)
    _assert_equal(scenarios.outcome(other), scenarios.outcome(model))


def test_a_damaged_tensor_is_named(model, tmp_path):
    save_sharded(model, tmp_path)
    index = json.loads((tmp_path / "checkpoint.json").read_text())
    (name,) = index["files"]
    path = tmp_path / index["data"] / name
    content = bytearray(path.read_bytes())
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    start = len(content) - max(e["data_offsets"][1] for n, e in header.items() if n[0] != "_")
    content[start + header["optimizer/3"]["data_offsets"][0]] ^= 1
    path.write_bytes(content)
    for load in (
        lambda: load_sharded(model, tmp_path),
        lambda: consolidate(tmp_path, tmp_path / "whole.safetensors"),
    ):
        with pytest.raises(ValueError, match="'optimizer/3' has other bytes.*damaged"):
            load()
    assert not (tmp_path / "whole.safetensors").exists()


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("after", [0, 5, 12])
def test_a_disk_error_while_reading_changes_nothing(model, tmp_path, monkeypatch, after, built):
    from torch.distributed import checkpoint as dcp

    save_sharded(model, tmp_path)
    other = scenarios.classifier()
    if built:
        other.fit(scenarios.X, scenarios.LABELS, verbose=0)
    before = {**scenarios.outcome(other), **(scenarios.state_of(other) if built else {})}
    read, count = dcp.HuggingFaceStorageReader._process_read_request, []

    def fail(self, *arguments):
        if len(count) == after:
            raise OSError(5, "Input/output error")
        count.append(1)
        read(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output"):
        patch.setattr(dcp.HuggingFaceStorageReader, "_process_read_request", fail)
        load_sharded(other, tmp_path)
    assert len(count) == after and other.optimizer.built is built
    now = {**scenarios.outcome(other), **(scenarios.state_of(other) if built else {})}
    _assert_equal(now, before)
    load_sharded(other, tmp_path)
    _assert_equal(scenarios.outcome(other), scenarios.outcome(model))


def test_a_disk_error_while_comparing_changes_nothing(model, tmp_path, monkeypatch):
    save_sharded(model, tmp_path)
    other = scenarios.classifier()
    before = scenarios.outcome(other)

    def fail(file, size, count=[]):  # noqa: B006
        count.append(size)
        if len(count) == 4:
            raise OSError(5, "Input/output error")
        return checksum_of_file(file, size)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output"):
        patch.setattr(sharded_index, "checksum_of_file", fail)
        load_sharded(other, tmp_path)
    _assert_equal(scenarios.outcome(other), before)
    assert not other.optimizer.built


def test_the_index_of_an_earlier_version_is_read(model, tmp_path):
    save_sharded(model, tmp_path, step=2)
    index = json.loads((tmp_path / "checkpoint.json").read_text())
    write_index(tmp_path / "checkpoint.json", index)
    assert load_sharded(scenarios.classifier(), tmp_path) == {"step": 2}


def test_another_model_is_refused(model, tmp_path):
    save_sharded(model, tmp_path)
    other = keras.Sequential([keras.Input((5,)), keras.layers.Dense(7, name="dense")])
    with pytest.raises(ValueError, match="weights in"):
        load_sharded(other, tmp_path)
    with pytest.raises(ValueError, match="end in '.safetensors'"):
        consolidate(tmp_path, tmp_path / "one.keras")


def test_model_that_cannot_be_described_is_refused(tmp_path):
    class Opaque(keras.layers.Layer):
        def __init__(self, thing):
            super().__init__()

        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((3,)), Opaque(object())])
    with pytest.raises(NotImplementedError):
        save_sharded(model, tmp_path / "opaque")
    assert not (tmp_path / "opaque").exists()


def test_weights_alone_into_a_model_without_an_optimizer(model, tmp_path):
    save_sharded(model, tmp_path)
    again = keras.models.clone_model(model)
    load_sharded(again, tmp_path)
    _assert_equal(scenarios.outcome(again), scenarios.outcome(model))


def _rewrite(folder, name, parts):
    """Replace a tensor of a checkpoint of one process by `[(offsets, tensor), ...]`."""
    index = json.loads((folder / "checkpoint.json").read_text())
    (first,) = index["files"]
    path = folder / index["data"] / first
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        metadata = dict(file.metadata())
    for number, (offsets, tensor) in enumerate(parts):
        places = json.loads(metadata["DCP_SHARDING_INFO"])
        places[name] = {"saved_offsets": list(offsets)}
        found = {**(tensors if number == 0 else {}), name: tensor}
        path = folder / index["data"] / f"part-{number}.safetensors" if number else path
        save_file(found, path, {**metadata, "DCP_SHARDING_INFO": json.dumps(places)})
        index["files"][path.name] = path.stat().st_size
    write_index(folder / "checkpoint.json", index)


PARTS = {
    "hole before": [((2, 0), (3, 7))],
    "hole between": [((0, 0), (2, 7)), ((3, 0), (2, 7))],
    "corner": [((0, 0), (5, 2)), ((0, 2), (4, 5))],
    "twice": [((0, 0), (5, 7)), ((4, 0), (1, 7))],
    "hole of the size of what is there twice": [
        ((0, 0), (3, 7)),
        ((2, 0), (1, 7)),
        ((4, 0), (1, 7)),
    ],
    "beyond the axes": [((0, 0), (5, 7)), ((0,), (7,))],
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_that_do_not_hold_each_element_once_are_refused(name, model, tmp_path):
    # What no part holds would be whatever was in memory, and come into the file.
    save_sharded(model, tmp_path)
    parts = [(offsets, torch.ones(shape)) for offsets, shape in PARTS[name]]
    _rewrite(tmp_path, "dense.kernel", parts)
    told = "each of its elements once.*'dense.kernel'|which cannot be read as one"
    with pytest.raises(ValueError, match=told):
        consolidate(tmp_path, tmp_path / "one.safetensors")
    assert not (tmp_path / "one.safetensors").exists()
    with pytest.raises(ValueError, match=told):
        load_sharded(model, tmp_path)


def test_parts_that_hold_each_element_once_make_a_whole(model, tmp_path):
    save_sharded(model, tmp_path)
    expected = model.get_weights()
    kernel = torch.arange(35.0).view(5, 7)
    boxes = [((0, 0), (2, 7)), ((2, 0), (3, 1)), ((2, 1), (3, 6))]
    parts = [
        ((a, b), kernel[a : a + height, b : b + width].contiguous())
        for (a, b), (height, width) in boxes
    ]
    _rewrite(tmp_path, "dense.kernel", parts)
    consolidate(tmp_path, tmp_path / "one.safetensors")
    found = keras.saving.load_model(tmp_path / "one.safetensors").get_weights()
    np.testing.assert_array_equal(found[0], kernel)
    np.testing.assert_array_equal(found[1], expected[1])


def test_boxes_cover_a_tensor_as_counted_element_by_element():
    draw = random.Random(0)
    outcomes = set()
    for _ in range(2000):
        shape = tuple(draw.randint(0, 3) for _ in range(draw.randint(0, 3)))
        boxes = [((0,) * len(shape), shape)]
        for _ in range(draw.randint(0, 3) if shape else 0):
            i, axis = draw.randrange(len(boxes)), draw.randrange(len(shape))
            offsets, sizes = boxes[i]
            cut = draw.randint(0, sizes[axis])
            lower, upper, second = list(sizes), list(sizes), list(offsets)
            lower[axis], upper[axis], second[axis] = cut, sizes[axis] - cut, offsets[axis] + cut
            boxes[i : i + 1] = [(offsets, tuple(lower)), (tuple(second), tuple(upper))]
        if shape and draw.random() < 0.5:
            changed = [list(x) for x in draw.choice(boxes)]
            changed[draw.randrange(2)][draw.randrange(len(shape))] = draw.randint(0, 3)
            boxes[draw.randrange(len(boxes))] = tuple(map(tuple, changed))
        counts = np.zeros((7,) * len(shape), int)
        for offsets, sizes in boxes:
            counts[tuple(slice(a, a + n) for a, n in zip(offsets, sizes, strict=True))] += 1
        expected = np.zeros_like(counts)
        expected[tuple(map(slice, shape))] = 1
        # An empty box has no elements to count.
        inside = all(
            a + n <= size for o, s in boxes for a, n, size in zip(o, s, shape, strict=True)
        )
        outcome = bool((counts == expected).all()) and inside
        assert covers_once(shape, boxes) == outcome, (shape, boxes)
        outcomes.add(outcome)
    assert outcomes == {True, False}
