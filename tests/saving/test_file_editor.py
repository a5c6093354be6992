"""KerasFileEditor, beside Keras's on the same files."""

import os

import numpy as np
import pytest
import torch

import torchkeras as keras

h5py = pytest.importorskip("h5py")
Editor = keras.saving.KerasFileEditor


def make_model(lib=keras, **names):
    inner = lib.Sequential([lib.Input((4,)), lib.layers.Dense(5, name="deep")], name="inner")
    layers = [inner, lib.layers.BatchNormalization(name="norm"), lib.layers.Dense(2, name="head")]
    return lib.Sequential([lib.Input((4,)), *layers])


def flat(weights, path=""):
    found = {}
    for key, value in weights.items():
        inner = f"{path}/{key}" if path else key
        found.update(flat(value, inner) if isinstance(value, dict) else {inner: np.asarray(value)})
    return found


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("writer", ["ours", "keras"])
def test_it_finds_what_keras_finds(tmp_path, capsys, writer):
    real = pytest.importorskip("keras")
    path = str(tmp_path / "model.weights.h5")
    (make_model() if writer == "ours" else make_model(real)).save_weights(path)
    mine, theirs = Editor(path), real.saving.KerasFileEditor(path)
    first, second = flat(mine.weights_dict), flat(theirs.weights_dict)
    # Keras's editor loses what is inside of an object with empty `vars`, such as a nested model.
    assert {name for name in first if name not in second} == {
        "layers/sequential/layers/dense/0",
        "layers/sequential/layers/dense/1",
    }
    for name, value in second.items():
        np.testing.assert_array_equal(value, first[name])
    assert mine.object_metadata.get("/layers/dense") == theirs.object_metadata.get("/layers/dense")
    capsys.readouterr()
    mine.summary()
    assert "kernel" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["weights.h5", "weights.safetensors"])
def test_a_file_is_edited_and_fits_the_changed_model(tmp_path, kind, capsys):
    model = make_model()
    path = str(tmp_path / f"model.{kind}")
    model.save_weights(path)
    editor = Editor(path)
    assert editor.compare(model) == {"status": "success", "error_count": 0, "match_count": 8}
    is_h5 = kind == "weights.h5"
    head = "layers/dense" if is_h5 else "head"
    kernel, bias = ("0", "1") if is_h5 else ("kernel", "bias")
    # The head gets another size, and the model one more layer behind it.
    changed = keras.Sequential(
        [*make_model().layers[:2], keras.layers.Dense(3, name="head"), keras.layers.Dense(1)]
    )
    changed.build((None, 4))
    report = editor.compare(changed)
    assert report["status"] == "error" and report["match_count"] == 6
    assert report["error_count"] == 3  # two shapes, and an object that the file lacks
    weights = {kernel: np.ones((5, 3), "float32"), bias: torch.zeros(3)}
    editor.delete_weight(head, bias)
    editor.add_weights(head, weights)
    new = "layers/dense_1" if is_h5 else changed.layers[-1].name
    editor.add_object(new, {kernel: np.full((3, 1), 2.0, "float32"), bias: np.zeros(1, "float32")})
    assert editor.compare(changed)["status"] == "success"
    out = str(tmp_path / f"new.{kind}")
    editor.resave_weights(out)
    changed.load_weights(out)
    x = torch.randn(2, 4)
    hidden = model.layers[1](model.layers[0](x))
    torch.testing.assert_close(changed(x), hidden.sum(1, keepdim=True) * 6)
    assert os.listdir(tmp_path).count(f"model.{kind}") == 1 and len(os.listdir(tmp_path)) == 2
    assert "not in the file" in capsys.readouterr().out


def test_keras_reads_what_was_edited(tmp_path):
    real = pytest.importorskip("keras")
    model, theirs = make_model(), make_model(real)
    path = str(tmp_path / "model.weights.h5")
    model.save_weights(path)
    editor = Editor(path)
    editor.rename_object("layers/dense", "other")
    editor.rename_object("other", "dense")
    editor.save(path)
    theirs.load_weights(path)
    x = np.random.RandomState(0).randn(3, 4).astype("float32")
    np.testing.assert_allclose(model(x).detach(), theirs(x).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weights_format", ["h5", "safetensors"])
def test_a_model_file_shows_its_config_and_makes_nothing(tmp_path, weights_format):
    class Secret(keras.layers.Layer):
        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((4,)), Secret(), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    path = str(tmp_path / "model.keras")
    model.save(path, weights_format=weights_format)
    editor = Editor(path)
    assert editor.config["class_name"] == "Sequential" and "keras_version" in editor.metadata
    ending = "weights.h5" if weights_format == "h5" else "safetensors"
    assert editor.compare(model)["status"] == "success"
    with pytest.raises(ValueError, match=f"ends in .{ending}"):
        editor.save(path)
    editor.save(str(tmp_path / f"new.weights.{ending.removeprefix('weights.')}"))


def test_shared_and_half_weights(tmp_path):
    layer = keras.layers.Dense(4, dtype="bfloat16")
    x = keras.Input((4,))
    model = keras.Model(x, layer(layer(x)))
    for kind in ("weights.h5", "weights.safetensors"):
        path = str(tmp_path / f"model.{kind}")
        model.save_weights(path)
        editor = Editor(path)
        assert editor.compare(model)["status"] == "success"
        editor.save(path)
        before = layer.kernel.value.clone()
        layer.kernel.assign(torch.zeros(4, 4))
        model.load_weights(path)
        assert layer.kernel.value.equal(before)


def test_errors_say_what_to_do(tmp_path):
    path = str(tmp_path / "model.weights.safetensors")
    make_model().save_weights(path)
    editor = Editor(path)
    for wrong, message in [
        (lambda: Editor("model.h5"), r"ends in .weights.h5, .keras or .safetensors"),
        (lambda: editor.delete_object("none"), "no such object. Received: 'none'"),
        (lambda: editor.delete_object("inner/none"), "no such object"),
        (lambda: editor.delete_object("kernel"), "must mean one object.*'kernel', of which"),
        (lambda: editor.rename_object("head", "a/b"), "is no path"),
        (lambda: editor.rename_object("head", "norm"), "is there already"),
        (lambda: editor.add_object("none/new", {}), "no such object. Received: 'none'"),
        (lambda: editor.add_object("new", [1]), "must be a dict of names.*type list"),
        (lambda: editor.delete_weight("head", "gamma"), "has the weights.*weight_name='gamma'"),
        (lambda: editor.add_weights("head/bias", {}), "which is a weight itself"),
    ]:
        with pytest.raises(ValueError, match=message):
            wrong()
    with pytest.raises(FileNotFoundError):
        Editor(str(tmp_path / "none.weights.h5"))


def test_links_out_of_a_file_are_refused(tmp_path):
    path = str(tmp_path / "model.weights.h5")
    with h5py.File(path, "w") as file:
        file["layers"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(ValueError, match="ExternalLink"):
        Editor(path)
