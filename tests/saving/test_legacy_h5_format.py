"""The weights in `.h5` files of Keras 2, written here by hand."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.saving import h5_reader

h5py = pytest.importorskip("h5py")


def make_model(units=2, last="last"):
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(units, name="first"),
            layers.Flatten(),
            layers.BatchNormalization(name=last),
        ]
    )


VALUES = {
    "first": [np.arange(6.0).reshape(3, 2), np.array([7.0, 8.0])],
    "flatten": [],
    "last": [np.full(2, value) for value in (1.0, 2.0, 3.0, 4.0)],
}


def write(path, values=VALUES, root="", kind="fixed", in_parts=False):
    """A file as Keras 2 writes it; `root` is a group, `kind` that of strings."""

    def names(group, attribute, found):
        found = np.array([name.encode() for name in found]) if kind == "fixed" else list(found)
        if in_parts:
            for number, part in enumerate(np.array_split(found, 2)):
                group.attrs[f"{attribute}{number}"] = part
        else:
            group.attrs[attribute] = found

    with h5py.File(path, "w") as file:
        top = file.require_group(root) if root else file
        names(top, "layer_names", values)
        for layer, arrays in values.items():
            group = top.create_group(layer)
            paths = [f"{layer}_1/weight_{number}:0" for number in range(len(arrays))]
            names(group, "weight_names", paths)
            for name, array in zip(paths, arrays, strict=True):
                group.create_dataset(name, data=array.astype("float32"))
    return path


def held(model):
    return [value.tolist() for value in model.get_weights()]


EXPECTED = [array.tolist() for arrays in VALUES.values() for array in arrays]


@pytest.mark.parametrize(
    "options",
    [{}, {"kind": "any length"}, {"root": "model_weights"}, {"in_parts": True}],
    ids=["fixed", "any_length", "whole_model", "in_parts"],
)
@pytest.mark.parametrize("ending", ["h5", "hdf5"])
def test_weights_are_taken_in_their_order(tmp_path, options, ending):
    model = make_model(last="of_another_name")
    model.load_weights(write(tmp_path / f"m.{ending}", **options))
    assert held(model) == EXPECTED
    assert model.layers[-1].moving_variance.numpy().tolist() == [4.0, 4.0]


def test_by_name_the_others_keep_their_own(tmp_path):
    path = write(tmp_path / "m.h5")
    model = make_model(last="of_another_name")
    before = held(model)
    model.load_weights(path, by_name=True)
    assert held(model) == [*EXPECTED[:2], *before[2:]]


def test_own_weights_of_a_model(tmp_path):
    class Scaled(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2, name="first")

        def build(self, input_shape):
            self.dense.build(input_shape)
            self.scale = self.add_weight(shape=(2,), name="scale")

        def call(self, x):
            return self.dense(x) * self.scale.value

    model = Scaled()
    model(torch.ones(1, 3))
    values = {"first": VALUES["first"], "top_level_model_weights": [np.array([5.0, 6.0])]}
    path = write(tmp_path / "m.h5", values)
    with h5py.File(path, "r+") as file:  # it is no layer
        file.attrs["layer_names"] = np.array([b"first"])
    model.load_weights(path)
    assert model.scale.numpy().tolist() == [5.0, 6.0]


def test_all_or_none(tmp_path):
    path = write(tmp_path / "m.h5", {**VALUES, "last": [*VALUES["last"][:3], np.ones(5)]})
    model = make_model()
    before = held(model)
    with pytest.raises(ValueError, match=r"of another shape: last/last_1/weight_3:0 \(for last\)"):
        model.load_weights(path)
    assert held(model) == before
    with pytest.warns(UserWarning, match="They were skipped"):
        model.load_weights(path, skip_mismatch=True)
    assert held(model) == [*EXPECTED[:5], before[5]]


@pytest.mark.parametrize(
    "values, message",
    [
        ({"first": VALUES["first"]}, "has 2 layers with weights. Received: 1"),
        ({**VALUES, "last": VALUES["last"][:3]}, "missing: .*moving_variance"),
        ({**VALUES, "first": [*VALUES["first"], np.ones(1)]}, "unknown: first/first_1/weight_2:0"),
    ],
)
def test_another_architecture_is_refused(tmp_path, values, message):
    with pytest.raises(ValueError, match=message):
        make_model().load_weights(write(tmp_path / "m.h5", values))


def _without(name):
    def change(file):
        del file[name]

    return change


def _names(value):
    def change(file):
        file.attrs["layer_names"] = value

    return change


@pytest.mark.parametrize(
    "change, message",
    [
        (_without("first"), "lacks the layer 'first'"),
        (_without("first/first_1/weight_1:0"), "lacks the weight 'first_1/weight_1:0'"),
        (_names(np.arange(3)), "not of names"),
        (lambda file: file.attrs.__delitem__("layer_names"), "does not say which layers"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, message):
    path = write(tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ValueError, match=message):
        make_model().load_weights(path)


def test_many_names_that_are_one_long_string_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "m.h5", kind="any length")
    with h5py.File(path, "r+") as file:
        file.attrs["layer_names"] = ["x" * 100_000] * 10
    monkeypatch.setattr(h5_reader, "_MAX_NAMES_BYTES", 900_000)
    with pytest.raises(ValueError, match="more names than a file of Keras has"):
        make_model().load_weights(path)


def test_by_name_is_for_these_files(tmp_path):
    model = make_model()
    model.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match="`by_name` is for files of Keras 2"):
        model.load_weights(tmp_path / "m.weights.h5", by_name=True)
    with pytest.raises(ValueError, match="works with files that end in"):
        model.save_weights(tmp_path / "m.h5")
