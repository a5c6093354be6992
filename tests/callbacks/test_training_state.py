import json
import struct

import numpy as np
import pytest
import torch
from safetensors import safe_open

import torchkeras as keras
from tests.processes import run_python
from torchkeras.callbacks import training_state
from torchkeras.callbacks.training_state import (
    from_frame,
    load_training_state,
    save_training_state,
    to_frame,
)
from torchkeras.distribution.random_state import get_random_states, set_random_states


def make():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 2**80, 0.1, float("inf"), "text", (1, [2, {"a": (), 3: None}]), {}],
)
def test_frames_keep_plain_values_exactly(value):
    arrays = []
    frame = json.loads(json.dumps(to_frame(value, arrays)))
    assert from_frame(frame, arrays) == value and arrays == []


def test_frames_keep_arrays_and_tensors():
    value = {"a": np.arange(3, dtype="uint32"), "t": torch.ones(2, dtype=torch.bfloat16)}
    arrays = []
    back = from_frame(json.loads(json.dumps(to_frame(value, arrays))), arrays)
    assert back["a"].dtype == np.uint32 and back["a"].tolist() == [0, 1, 2]
    assert back["t"].dtype == torch.bfloat16 and torch.equal(back["t"], value["t"])
    assert to_frame(np.float32(0.5), []) == 0.5


def test_file_is_safetensors_and_json(tmp_path):
    path = str(tmp_path / "state.safetensors")
    save_training_state(path, make(), [], {"epoch": 1})
    with safe_open(path, framework="np") as file:
        assert json.loads(file.metadata()["training"])["progress"] == {"epoch": 1}
        assert {name.partition("/")[0] for name in file.keys()} == {
            "weights",
            "optimizer",
            "arrays",
        }


def test_random_numbers_go_on(tmp_path):
    import random

    path = str(tmp_path / "state.safetensors")
    np.random.randn()  # one of a pair: NumPy keeps the other one
    random.gauss(0, 1)
    save_training_state(path, make(), [], {"epoch": 0})
    expected = [random.gauss(0, 1), random.random(), np.random.randn(), float(torch.rand(()))]
    keras.utils.set_random_seed(5)
    _, _, states = load_training_state(path, make())
    set_random_states(states)
    assert [
        random.gauss(0, 1),
        random.random(),
        np.random.randn(),
        float(torch.rand(())),
    ] == expected


def test_tied_weights(tmp_path):
    model, other = make(), make()
    for each in (model, other):
        each.layers[-1].twin = each.layers[-1].kernel.value
    path = str(tmp_path / "state.safetensors")
    save_training_state(path, model, [], {"epoch": 0})
    load_training_state(path, other)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize("metadata", [None, {"training": "{}"}, {"training": "no"}, {"x": "1"}])
def test_other_files_are_errors(tmp_path, metadata):
    header = json.dumps({"__metadata__": metadata} if metadata else {}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ValueError, match="A file of a training run was expected"):
        load_training_state(str(path), make())


RESTORE = """
import random
import sys

import numpy as np
import torch
import torchkeras as keras
from torchkeras.callbacks.training_state import load_training_state
from torchkeras.distribution.random_state import set_random_states

model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
model.compile("adam", "mse")
for path in sys.argv[1:]:
    print(path, file=sys.stderr, flush=True)
    before = model.get_weights()
    try:
        _, _, states = load_training_state(path, model)
    except ValueError as error:
        print(error)
        assert all(map(np.array_equal, before, model.get_weights()))
        continue
    set_random_states(states)
    np.random.rand(2000), random.random(), random.gauss(0, 1), torch.rand(2000)
"""


def _torch_state(left, place):
    state = torch.Generator().manual_seed(0).get_state()
    state.numpy().data[8:24] = struct.pack("<iiQ", left, 1, place)
    return state


def _numpy_state(**changes):
    state = np.random.RandomState(0).get_state(legacy=False)
    inner = {**state["state"], **{k: v for k, v in changes.items() if k in state["state"]}}
    outer = {k: v for k, v in changes.items() if k not in inner}
    return {**state, "state": inner, **outer}


HOSTILE = {
    "numpy pos": {"numpy": _numpy_state(pos=2**30)},
    "numpy negative pos": {"numpy": _numpy_state(pos=-1)},
    "numpy key": {"numpy": _numpy_state(key=np.zeros(3, "uint32"))},
    "numpy dtype": {"numpy": _numpy_state(key=np.zeros(624, "uint8"))},
    "numpy kind": {"numpy": _numpy_state(bit_generator="Philox")},
    "numpy gauss": {"numpy": _numpy_state(gauss="1")},
    "numpy absent": {"numpy": None},
    "python index": {"python": (3, (*[1] * 624, 2**30), None)},
    "python length": {"python": (3, (1, 2, 3), None)},
    "python gauss": {"python": (3, (*[1] * 624, 624), "x")},
    "python absent": {"python": 7},
    "torch place": {"cpu": _torch_state(624, 624)},
    "torch far place": {"cpu": _torch_state(1, 2**30)},
    "torch left": {"cpu": _torch_state(2**30, 1)},
    "torch length": {"cpu": torch.zeros(8, dtype=torch.uint8)},
    "torch dtype": {"cpu": torch.zeros(5056)},
    "torch devices": {"devices": [1]},
}


def test_random_states_that_point_outside_are_refused_before_anything_is_set(tmp_path, monkeypatch):
    own, paths = get_random_states(), []
    for name, changes in HOSTILE.items():
        monkeypatch.setattr(
            training_state, "gather_random_states", lambda c=changes: [{**own, **c}]
        )
        paths.append(tmp_path / f"{name}.safetensors")
        save_training_state(str(paths[-1]), make(), [], {"epoch": 0})
    monkeypatch.undo()
    whole = tmp_path / "whole.safetensors"
    save_training_state(str(whole), make(), [], {"epoch": 0})
    told = run_python(RESTORE, whole, *paths).splitlines()
    assert len(told) == len(paths)
    for text, path in zip(told, paths, strict=True):
        assert "A file of a training run was expected" in text and str(path) in text
        assert "generator was expected" in text or "generators were expected" in text
