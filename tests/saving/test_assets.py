"""Assets of layers in model files: a vocabulary survives, and a hostile one does no harm."""

import os
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import torchkeras as keras
from tests.saved_files import without_checksums
from torchkeras import layers
from torchkeras.layers.preprocessing.adaptable_layer import AdaptableLayer


@keras.saving.register_keras_serializable("test_assets")
class Words(AdaptableLayer):
    takes_text = True
    keeps_shape = True

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "int64", **kwargs})
        self.words = []

    def reset_state(self):
        self._seen = set()

    def update_state(self, batch):
        self._seen.update(batch.ravel().tolist())

    def finalize_state(self):
        self.words = sorted(self._seen)

    def call(self, inputs):
        places = {word: place for place, word in enumerate(self.words, 1)}
        found = [places.get(word, 0) for word in inputs.ravel().tolist()]
        return torch.tensor(found).reshape(inputs.shape)

    def get_assets(self):
        return {"vocabulary.txt": "\n".join(self.words).encode()} if self.words else {}

    def set_assets(self, assets):
        self.words = assets["vocabulary.txt"].decode().split("\n")


DATA = np.array(["ä", "b", "c d"])


def text_model(kind="functional"):
    words = Words(name="words")
    words.adapt(DATA)
    inputs = keras.Input((1,), dtype="string", name="text")
    model = keras.Model(inputs, layers.Dense(2, name="head")(words(inputs)))
    if kind == "nested":
        outer = keras.Input((1,), dtype="string")
        model = keras.Model(outer, model(outer))
    if kind == "sequential":
        model = keras.Sequential([inputs, words, layers.Dense(2, name="head")])
    return model


FORMATS = [("m.safetensors", {}), ("m.keras", {}), ("m.keras", {"weights_format": "h5"})]


@pytest.mark.parametrize("kind", ["functional", "nested", "sequential"])
@pytest.mark.parametrize("name, options", FORMATS)
def test_a_vocabulary_survives(tmp_path, name, options, kind):
    model, path = text_model(kind), tmp_path / name
    model.save(path, **options)
    again = keras.models.load_model(path)
    x = [["c d"], ["ä"], ["?"], ["b"]]
    assert torch.equal(again(x), model(x))
    twice = tmp_path / f"again-{name}"
    again.save(twice, **options)  # what was loaded is saved too
    assert torch.equal(keras.models.load_model(twice)(x), model(x))


def test_where_assets_stand(tmp_path):
    model = text_model()
    model.save(tmp_path / "m.keras", weights_format="h5")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert archive.read("assets/layers/words/vocabulary.txt") == "b\nc d\nä".encode()
    model.save(tmp_path / "m.safetensors")
    stored = load_file(tmp_path / "m.safetensors")
    assert bytes(stored["assets/words/vocabulary.txt"].tolist()) == "b\nc d\nä".encode()
    model.save_weights(tmp_path / "w.safetensors")
    assert set(load_file(tmp_path / "w.safetensors")) == {"head.kernel", "head.bias"}
    model.load_weights(tmp_path / "m.safetensors")  # assets are no weights
    unadapted = Words(name="words")
    assert not unadapted.get_assets()


def test_an_archive_of_keras_with_assets(tmp_path, monkeypatch):
    """Real Keras writes `assets/<path>/<file>`, and reads what we write."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    real = pytest.importorskip("keras")

    @real.saving.register_keras_serializable("test_assets")
    class Words(real.layers.Layer):  # of the same registered name
        def call(self, x):
            return x

        def save_assets(self, folder):
            with open(os.path.join(folder, "vocabulary.txt"), "w") as file:
                file.write("\n".join(self.words))

        def load_assets(self, folder):
            with open(os.path.join(folder, "vocabulary.txt")) as file:
                self.words = file.read().split("\n")

    x = real.Input((1,))
    theirs = Words(name="words")
    theirs.words = ["x", "y"]
    model = real.Model(x, theirs(x))
    model.save(tmp_path / "theirs.keras")
    loaded = keras.models.load_model(tmp_path / "theirs.keras")
    assert loaded.get_layer("words").words == ["x", "y"]
    loaded.save(tmp_path / "ours.keras", weights_format="h5")
    back = real.models.load_model(tmp_path / "ours.keras")
    assert back.get_layer("words").words == ["x", "y"]


def _rewritten(tmp_path, change):
    """A saved archive with other members."""
    text_model().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return tmp_path / "m.keras"


@pytest.mark.parametrize(
    "name",
    [
        "assets/../../evil.txt",
        "assets/layers/words/../x",
        "assets//etc/passwd",
        "/assets/x",
        "assets/layers/words/.hidden",
        "assets\\layers\\x",
        "assets",
        "assets/",
        "assets/layers/nobody/vocabulary.txt",
        "assets/layers/head/vocabulary.txt",
        "other/x",
    ],
)
def test_members_that_are_no_assets_of_the_model_are_refused(tmp_path, name):
    path = _rewritten(tmp_path, lambda members: members.update({name: b"a"}))
    with pytest.raises(ValueError, match="Received"):
        keras.models.load_model(path)
    assert sorted(os.listdir(tmp_path)) == ["m.keras"]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\xff" * 1000])
def test_assets_that_their_layer_cannot_read(tmp_path, data):
    key = "assets/layers/words/vocabulary.txt"
    path = _rewritten(tmp_path, lambda members: members.update({key: data}))
    with pytest.raises(ValueError, match="'words' refuses .UnicodeDecodeError"):
        keras.models.load_model(path)


def test_an_asset_that_grows_beyond_measure_is_refused(tmp_path):
    text_model().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/layers/words/zeros.txt", b"0" * 2**27)
    with pytest.raises(ValueError, match="grows from"):
        keras.models.load_model(tmp_path / "m.keras")


@pytest.mark.parametrize(
    "key, tensor",
    [
        ("assets/words/vocabulary.txt", torch.ones(3)),
        ("assets/words/vocabulary.txt", torch.ones(2, 2, dtype=torch.uint8)),
        ("assets/nobody/vocabulary.txt", torch.ones(2, dtype=torch.uint8)),
        ("assets/head/x.txt", torch.ones(2, dtype=torch.uint8)),
    ],
)
def test_tensors_that_are_no_assets_of_the_model_are_refused(tmp_path, key, tensor):
    path = tmp_path / "m.safetensors"
    text_model().save(path)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = without_checksums(file.metadata())
    save_file({**load_file(path), key: tensor}, path, metadata=metadata)
    with pytest.raises(ValueError, match="Received"):
        keras.models.load_model(path)


@pytest.mark.parametrize("assets", [{"../x": b""}, {"a/b": b""}, {1: b""}, {"a.txt": "text"}])
def test_a_layer_must_give_bytes_under_plain_names(tmp_path, assets):
    model = text_model()
    model.get_layer("words").get_assets = lambda: assets
    with pytest.raises(ValueError, match="'words' must"):
        model.save(tmp_path / "m.safetensors")
    assert not os.listdir(tmp_path)
