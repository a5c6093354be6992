"""What holds for every callback: any data, every loop, copies."""

import copy
import pickle

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import callbacks
from torchkeras.callbacks import CallbackList

X = np.linspace(-1, 1, 48, dtype="float32").reshape(16, 3)
Y = X.sum(1, keepdims=True)


def halve(epoch, rate):
    return rate / 2


KINDS = {
    "BackupAndRestore": lambda f: callbacks.BackupAndRestore(f / "backup"),
    "BackupAndRestore_batches": lambda f: callbacks.BackupAndRestore(f / "backup", save_freq=3),
    "CSVLogger": lambda f: callbacks.CSVLogger(f / "log.csv"),
    "EarlyStopping": lambda f: callbacks.EarlyStopping("loss", restore_best_weights=True),
    "LearningRateScheduler": lambda f: callbacks.LearningRateScheduler(halve),
    "ModelCheckpoint": lambda f: callbacks.ModelCheckpoint(f / "m.safetensors"),
    "ModelCheckpoint_batches": lambda f: callbacks.ModelCheckpoint(
        f / "{epoch}-{batch}-{loss}.safetensors",
        save_freq=2,
        monitor="loss",
        save_best_only=True,
    ),
    "ReduceLROnPlateau": lambda f: callbacks.ReduceLROnPlateau("loss"),
    "RemoteMonitor": lambda f: callbacks.RemoteMonitor("http://127.0.0.1:9"),
    "SwapEMAWeights": lambda f: callbacks.SwapEMAWeights(swap_on_epoch=True),
    "TensorBoard": lambda f: callbacks.TensorBoard(f / "logs", update_freq=2, profile_batch=2),
    "TerminateOnNaN": lambda f: callbacks.TerminateOnNaN(),
}
# Those for which a training goes on as without them.
HARMLESS = [kind for kind in KINDS if kind not in ("LearningRateScheduler", "EarlyStopping")]


def make():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05, use_ema=True), "mse", metrics=["mae"])
    return model


def batches():
    while True:
        for start in range(0, 16, 4):
            yield X[start : start + 4], Y[start : start + 4]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def callback(kind, tmp_path, monkeypatch):
    # No server is asked.
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: open("/dev/null"))
    return KINDS[kind](tmp_path)


def test_every_public_callback_is_here():
    others = {
        "Callback", "CallbackList", "History", "LambdaCallback", "ProgbarLogger",
        "TorchScheduler",  # for optimizers of torch: test_torch_scheduler.py
    }  # fmt: skip
    public = {name for name in vars(callbacks) if isinstance(getattr(callbacks, name), type)}
    assert public - others == {kind.partition("_")[0] for kind in KINDS}


def test_generator_gives_what_arrays_give(kind, callback, tmp_path):
    model, other = make(), make()
    history = model.fit(
        batches(), steps_per_epoch=4, epochs=3, verbose=0, callbacks=[callback],
        validation_data=batches(), validation_steps=4,
    )  # fmt: skip
    callback = KINDS[kind](tmp_path / "second")
    (tmp_path / "second").mkdir()
    expected = other.fit(
        X, Y, batch_size=4, shuffle=False, epochs=3, verbose=0, callbacks=[callback],
        validation_data=(X, Y), validation_batch_size=4,
    )  # fmt: skip
    assert history.history == expected.history
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_callbacks_that_watch_do_not_change_the_training(kind, callback):
    if kind not in HARMLESS:
        pytest.skip("it is there to change the training")
    model = make()
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=[callback])
    other = make()  # it also seeds the order of the samples
    other.fit(X, Y, batch_size=4, epochs=3, verbose=0)
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_evaluate_and_predict_leave_the_model_as_it_is(callback):
    model = make()
    model.train_on_batch(X, Y)
    before = [w.copy() for w in model.get_weights()]
    model.evaluate(X, Y, verbose=0, callbacks=[callback])
    assert model.predict(X, verbose=0, callbacks=[callback]).shape == (16, 1)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert int(model.optimizer.iterations) == 1


def test_pickle_and_deepcopy(kind, callback):
    for clone in (pickle.loads(pickle.dumps(callback)), copy.deepcopy(callback)):
        assert type(clone) is type(callback)
        model = make()
        model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[clone])
        clone.set_model(None)
        assert pickle.loads(pickle.dumps(clone)).__dict__.keys() == clone.__dict__.keys()


def test_logs_of_batches_are_floats_for_none(callback):
    # A callback that reads tensors itself spares the others a wait for the device.
    hooks = CallbackList([callback], model=make())
    assert not any(hooks._reads_floats.values())


def test_only_what_works_by_batch_has_batch_hooks(kind, callback):
    hooks = CallbackList([callback], model=make())
    by_batch = kind.endswith("_batches") or kind in ("TensorBoard", "TerminateOnNaN")
    assert hooks.wants_train_batch_end is by_batch
    assert hooks.wants_train_batch_begin is (kind == "TensorBoard")
    assert hooks.wants_test_batch_begin is (kind == "TensorBoard")
    assert not (hooks.wants_test_batch_end or hooks.wants_predict_batch_end)


def test_two_in_one_training(kind, callback, tmp_path):
    (tmp_path / "second").mkdir()
    second = KINDS[kind](tmp_path / "second")
    if kind == "SwapEMAWeights":
        pytest.skip("one swaps the weights that the other has swapped")
    if kind == "TensorBoard":
        second._start_batch = 0  # one profiler at a time
    history = make().fit(X, Y, epochs=2, verbose=0, callbacks=[callback, [second]])
    assert len(history.epoch) == 2 and torch.is_grad_enabled()
