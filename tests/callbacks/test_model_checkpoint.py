import os

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.callbacks import CallbackList, LambdaCallback, ModelCheckpoint

X = torch.linspace(-1, 1, 48).reshape(16, 3)
Y = X.sum(1, keepdim=True)


def make(**arguments):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)], name="m")
    model.compile(keras.optimizers.SGD(0.05), "mse", **arguments)
    return model


def fit(model, *callbacks, epochs=3, **arguments):
    arguments = {"batch_size": 4, "verbose": 0, **arguments}
    return model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **arguments)


class FakeModel:
    """Notes what it was asked to save; its saves may fail."""

    stop_training = False
    fails = False
    metrics = ()

    def __init__(self):
        self.saved = []

    def save(self, path, overwrite):
        assert overwrite
        if self.fails:
            raise OSError("disk full")
        self.saved.append(os.path.basename(path))


def feed(callback, values, model=None):
    """The files saved when the logs hold these values, an epoch each."""
    model = model or FakeModel()
    callback.set_model(model)
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"val_loss": value})
    return model.saved


@pytest.mark.parametrize("ending", [".keras", ".safetensors"])
def test_endings_of_models(ending):
    ModelCheckpoint(f"model{ending}")
    with pytest.raises(ValueError, match="filepath='model.txt'"):
        ModelCheckpoint("model.txt")


def test_endings_of_weights():
    ModelCheckpoint("m.weights.h5", save_weights_only=True)
    ModelCheckpoint("m.safetensors", save_weights_only=True)
    for path in ("m.keras", "m.h5"):
        with pytest.raises(ValueError, match=f"filepath='{path}'"):
            ModelCheckpoint(path, save_weights_only=True)


@pytest.mark.parametrize("save_freq", [0, -1, True, 1.5, "batch", None])
def test_save_freq_is_checked(save_freq):
    with pytest.raises(ValueError, match="save_freq="):
        ModelCheckpoint("m.keras", save_freq=save_freq)


def test_every_epoch_with_fields_in_the_name(tmp_path):
    history = fit(
        make(), ModelCheckpoint(tmp_path / "new" / "{epoch:02d}-{val_loss:.4f}.safetensors"),
        validation_split=0.25,
    ).history  # fmt: skip
    names = [f"{n + 1:02d}-{v:.4f}.safetensors" for n, v in enumerate(history["val_loss"])]
    assert sorted(os.listdir(tmp_path / "new")) == names


def test_saved_model_is_that_of_its_epoch(tmp_path):
    model, weights = make(metrics=["mae"]), []
    note = LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append([w.copy() for w in model.get_weights()])
    )
    fit(model, ModelCheckpoint(tmp_path / "{epoch}.safetensors"), note)
    for epoch, expected in enumerate(weights):
        loaded = keras.models.load_model(tmp_path / f"{epoch + 1}.safetensors")
        for ours, theirs in zip(loaded.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert int(loaded.optimizer.iterations) == 4 * (epoch + 1)


@pytest.mark.parametrize("weights_only", [False, True])
def test_best_checkpoint_has_the_weights_of_the_best_epoch(tmp_path, weights_only):
    model, weights = make(), []
    path = tmp_path / "best.safetensors"
    grow = keras.callbacks.LearningRateScheduler(lambda epoch, lr: 0.05 if epoch < 4 else lr * 5)
    note = LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append([w.copy() for w in model.get_weights()])
    )
    save = ModelCheckpoint(path, save_best_only=True, save_weights_only=weights_only)
    history = fit(model, grow, save, note, epochs=9, validation_split=0.25).history["val_loss"]
    best = int(np.argmin(history))
    assert 0 < best < 8 and save.best == history[best]
    fresh = make()
    if weights_only:
        fresh.load_weights(path)
    else:
        fresh = keras.models.load_model(path)
    for ours, theirs in zip(fresh.get_weights(), weights[best], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_best_only():
    path = "{epoch}.keras"
    assert feed(ModelCheckpoint(path, save_best_only=True), [3, 4, 2, 2, 1]) == [
        "1.keras", "3.keras", "5.keras",
    ]  # fmt: skip
    highest = ModelCheckpoint(path, save_best_only=True, mode="max")
    assert feed(highest, [3, 4, 2, 5]) == ["1.keras", "2.keras", "4.keras"]
    threshold = ModelCheckpoint(path, save_best_only=True, initial_value_threshold=2.5)
    assert feed(threshold, [3, 2, 4]) == ["2.keras"]


def test_best_survives_a_second_training():
    save = ModelCheckpoint("{epoch}.keras", save_best_only=True)
    assert feed(save, [3, 2]) == ["1.keras", "2.keras"]
    assert feed(save, [2.5, 1]) == ["2.keras"]


def test_failed_save_raises_and_is_not_the_best():
    save, model = ModelCheckpoint("{epoch}.keras", save_best_only=True), FakeModel()
    feed(save, [3], model)
    model.fails = True
    with pytest.raises(OSError, match="disk full"):
        feed(save, [1], model)
    assert save.best == 3
    model.fails = False
    assert feed(save, [2], model) == ["1.keras", "1.keras"]


def test_failed_save_leaves_the_file_before_it(tmp_path, monkeypatch):
    path, model = tmp_path / "best.safetensors", make()
    save = ModelCheckpoint(path, save_best_only=True, monitor="loss")
    fit(model, save, epochs=1)
    before = path.read_bytes()

    def broken_replace(*args):
        raise OSError("broken")

    monkeypatch.setattr(os, "replace", broken_replace)
    with pytest.raises(OSError, match="broken"):
        fit(model, save)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_path_of_a_folder_is_an_error(tmp_path):
    (tmp_path / "x.safetensors").mkdir()
    with pytest.raises(OSError, match="folder"):
        fit(make(), ModelCheckpoint(tmp_path / "x.safetensors"))


def test_unknown_field_is_an_error():
    with pytest.raises(KeyError, match="names in the logs.*Received: 'acc'"):
        feed(ModelCheckpoint("{acc}.keras"), [1])


def test_missing_value_warns_and_saves():
    save = ModelCheckpoint("{epoch}.keras", save_best_only=True, monitor="loss")
    with pytest.warns(UserWarning, match="'loss', which the logs lack"):
        assert feed(save, [1]) == ["1.keras"]


def test_value_that_is_no_number_warns_and_saves():
    save = ModelCheckpoint("{epoch}.keras", save_best_only=True)
    with pytest.warns(UserWarning, match=r"of shape \(2,\)"):
        assert feed(save, [np.zeros(2)]) == ["1.keras"]


def test_unknown_direction_matters_for_the_best_only():
    feed(ModelCheckpoint("m.keras", monitor="gain"), [1])
    with pytest.raises(ValueError, match="monitor='gain'"):
        feed(ModelCheckpoint("m.keras", monitor="gain", save_best_only=True), [1])


def test_every_so_many_batches(tmp_path):
    # 4 batches an epoch, counted through epochs.
    fit(make(), ModelCheckpoint(tmp_path / "{epoch}-{batch}.safetensors", save_freq=3))
    found = sorted(name.split(".")[0] for name in os.listdir(tmp_path))
    assert found == ["1-3", "2-2", "3-1", "3-4"]


def test_groups_of_steps(tmp_path):
    model = make(steps_per_execution=2)
    fit(model, ModelCheckpoint(tmp_path / "{epoch}-{batch}.safetensors", save_freq=3))
    found = sorted(name.split(".")[0] for name in os.listdir(tmp_path))
    assert found == ["1-4", "2-4", "3-4"]


def test_best_only_by_batches(tmp_path):
    values = iter([3.0, 2.0, 4.0, 1.0])
    save = ModelCheckpoint("{batch}.keras", monitor="loss", save_best_only=True, save_freq=1)
    model = FakeModel()
    hooks = CallbackList([save], model=model)
    hooks.on_epoch_begin(0)
    for batch in range(4):
        hooks.on_train_batch_end(batch, {"loss": torch.tensor(next(values))})
    assert model.saved == ["1.keras", "2.keras", "4.keras"]


def test_no_batch_hook_unless_needed():
    assert not CallbackList([ModelCheckpoint("m.keras")]).wants_train_batch_end
    assert CallbackList([ModelCheckpoint("m.keras", save_freq=9)]).wants_train_batch_end

    class Own(ModelCheckpoint):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)

    assert CallbackList([Own("m.keras")]).wants_train_batch_end


def test_logs_are_read_only_for_a_save():
    reads = []

    def logs():
        reads.append(1)
        return {"loss": torch.tensor(1.0)}

    hooks = CallbackList([ModelCheckpoint("m.keras", save_freq=3)], model=FakeModel())
    hooks.on_epoch_begin(0)
    for batch in range(6):
        hooks.on_train_batch_end(batch, logs)
    assert len(reads) == 2


def test_messages(capsys):
    feed(ModelCheckpoint("m.keras", save_best_only=True, verbose=1), [2, 1, 3])
    told = capsys.readouterr().out
    assert "Epoch 1: val_loss is 2.00000 after None, saving to m.keras" in told
    assert "Epoch 2: val_loss is 1.00000 after 2.00000, saving to m.keras" in told
    assert "Epoch 3: val_loss is no better than 1.00000" in told
    feed(ModelCheckpoint("m.keras"), [2])
    assert capsys.readouterr().out == ""


def test_keras_endings_are_passed_on(tmp_path):
    # The model decides about the format, not the callback.
    model, asked = make(), []
    model.__dict__["save"] = lambda path, overwrite: asked.append(("model", path))
    model.__dict__["save_weights"] = lambda path, overwrite: asked.append(("weights", path))
    fit(
        model,
        ModelCheckpoint(tmp_path / "m.keras"),
        ModelCheckpoint(tmp_path / "m.weights.h5", save_weights_only=True),
        epochs=1,
    )
    assert asked == [
        ("model", str(tmp_path / "m.keras")),
        ("weights", str(tmp_path / "m.weights.h5")),
    ]


@pytest.mark.parametrize("ending", ["keras", "safetensors", "weights.h5"])
def test_each_format_holds_the_best_epoch(tmp_path, ending):
    weights_only = ending == "weights.h5"
    if weights_only:
        pytest.importorskip("h5py")
    model, path = make(), tmp_path / f"best.{ending}"
    save = ModelCheckpoint(path, "loss", save_best_only=True, save_weights_only=weights_only)
    grow = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.05 if epoch < 2 else 5.0)
    stop = keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
    history = fit(model, grow, save, stop, epochs=4, shuffle=False).history["loss"]
    assert int(np.argmin(history)) == 1
    if weights_only:
        loaded = make()
        loaded.load_weights(path)
    else:
        loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
