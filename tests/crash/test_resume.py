"""A training that is ended at any moment and goes on is bit-equal to one without a disturbance."""

import contextlib
import os
import signal
import sys

import numpy as np
import pytest

import torchkeras as keras
from tests.crash import trainings
from torchkeras.callbacks import Callback

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="processes are forked"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
# Reading by processes starts them anew with each run.
FEW = [name for name in trainings.SOURCES if "process" in name or "workers" in name]


@pytest.mark.exhaustive
@pytest.mark.parametrize("source", trainings.SOURCES)
def test_killed_at_every_step_of_every_kind_of_data(server, tmp_path, source):
    every = 4 if source in FEW else 1
    kills = server.call("trainings", "kill_at_steps", source, "plain", tmp_path, every)
    assert kills >= 3


@pytest.mark.exhaustive
@pytest.mark.parametrize("source", ["arrays", "DataLoader, generator, below a pass"])
@pytest.mark.parametrize("model", [name for name in trainings.MODELS if name != "plain"])
def test_killed_at_every_step_of_every_kind_of_model(server, tmp_path, model, source):
    kills = server.call("trainings", "kill_at_steps", source, model, tmp_path)
    assert kills >= 3


def test_killed_at_a_step(tmp_path):
    assert trainings.kill_at_steps("below a pass", "plain", tmp_path, every=6) == 2


CODES = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 143, "SIGINT": 130}


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "source, model, freq",
    [
        ("arrays", "plain", 1),
        ("arrays", "steps_per_execution", 1),
        ("arrays", "accumulated gradients, EMA", "epoch"),
        ("PyDataset, threads", "plain", "epoch"),
        ("DataLoader, generator", "schedule", 2),
        ("Dataset", "plain", 1),
    ],
)
@pytest.mark.parametrize("name", CODES)
def test_signal_at_20_random_moments(server, tmp_path, name, source, model, freq):
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    number = getattr(signal, name)
    arguments = (source, model, tmp_path, seed, number, 20, freq, 6)
    found = server.call("trainings", "signal_at_random", *arguments)
    print(found)
    assert found["inside"] >= 12
    assert found["codes"] == [CODES[name]]


class CrashAtEnd(Callback):
    """The last moment of a run: all epochs are trained, and their backup is written."""

    def on_train_end(self, logs=None):
        raise Crash


class Crash(Exception):
    pass


X = np.linspace(-1, 1, 24).reshape(8, 3).astype("float32")


def fit(folder, *callbacks, epochs=6, ema=False, ends=None):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.3, use_ema=ema, ema_momentum=0.5), "mse")
    backup = [keras.callbacks.BackupAndRestore(folder, delete_checkpoint=ends is None)]
    callbacks = [*([CrashAtEnd()] if ends == "crash" else []), *backup, *callbacks]
    history = model.fit(X, X[:, :1], epochs=epochs, verbose=0, callbacks=callbacks)
    return [w.tolist() for w in model.get_weights()], history.epoch, history.history


@pytest.mark.parametrize("ends", ["crash", "order"])
@pytest.mark.parametrize("restores", [False, True])
def test_run_that_had_only_to_end(tmp_path, ends, restores):
    """Averages become weights, and EarlyStopping stops, though no epoch is left."""

    def stop():
        return keras.callbacks.EarlyStopping(
            "loss", patience=2, min_delta=0.5, restore_best_weights=restores
        )

    for ema, callbacks in ((True, lambda: []), (False, lambda: [stop()]), (True, lambda: [stop()])):
        expected = fit(tmp_path / "whole", *callbacks(), ema=ema)
        folder = tmp_path / f"{ema}"
        with pytest.raises(Crash) if ends == "crash" else contextlib.nullcontext():
            fit(folder, *callbacks(), ema=ema, ends=ends)
        assert fit(folder, *callbacks(), ema=ema) == expected
    assert len(expected[1]) < 6  # it was stopped


def test_more_patience_goes_on(tmp_path):
    def stop(patience):
        return keras.callbacks.EarlyStopping("loss", patience=patience, min_delta=0.5)

    first = fit(tmp_path, stop(2), epochs=9, ends="order")[1]
    assert fit(tmp_path, stop(2), epochs=9, ends="order")[1] == first
    assert fit(tmp_path, stop(4), epochs=9, ends="order")[1] == list(range(len(first) + 2))


class SignalAtBegin(Callback):
    def on_train_begin(self, logs=None):
        os.kill(os.getpid(), signal.SIGTERM)


def test_signal_before_the_first_step_of_a_run_that_goes_on(tmp_path):
    expected = fit(tmp_path / "whole")
    for _ in range(3):
        with pytest.raises(SystemExit) as end:
            fit(tmp_path / "b", SignalAtBegin())
        assert end.value.code == 143
    assert fit(tmp_path / "b") == expected
