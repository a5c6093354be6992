import json
import struct

import numpy as np
import pytest
import torch
from safetensors import safe_open

import torchkeras as keras
from torchkeras.callbacks.training_state import (
    from_frame,
    load_training_state,
    save_training_state,
    to_frame,
)
from torchkeras.distribution.random_state import set_random_states


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
    save_training_state(path, make(), [], {})
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
    save_training_state(path, model, [], {})
    load_training_state(path, other)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize("metadata", [None, {"training": "{}"}, {"training": "no"}, {"x": "1"}])
def test_other_files_are_errors(tmp_path, metadata):
    header = json.dumps({"__metadata__": metadata} if metadata else {}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ValueError, match="A file of a training run was expected"):
        load_training_state(str(path), make())
