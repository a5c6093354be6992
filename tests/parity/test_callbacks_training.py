"""Callbacks that steer, save and log a training, beside those of Keras."""

import inspect
import json
import os
import re
import warnings

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import torchkeras  # noqa: E402
from torchkeras import callbacks  # noqa: E402

NAMES = [
    "BackupAndRestore",
    "CSVLogger",
    "EarlyStopping",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]
X = np.linspace(-1, 1, 48, dtype="float32").reshape(16, 3)
Y = X.sum(1, keepdims=True)


def both(function):
    """What a function of a library gives for ours and for Keras."""
    results = []
    for library in (torchkeras, keras):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.append(function(library))
    return results


def make(library, optimizer=None):
    model = library.Sequential([library.Input((3,)), library.layers.Dense(1)])
    model.set_weights([np.full((3, 1), 0.5, "float32"), np.zeros(1, "float32")])
    model.compile(optimizer or library.optimizers.SGD(0.125), "mse", metrics=["mae"])
    return model


def fit(library, *used, epochs=6, **arguments):
    model = make(library, arguments.pop("optimizer", None))
    arguments = {"validation_data": (X[:8], -Y[:8]), **arguments}
    history = model.fit(
        X, Y, batch_size=4, shuffle=False, epochs=epochs, verbose=0, callbacks=list(used),
        **arguments,
    )  # fmt: skip
    return model, history.history


def all_callbacks():
    return {
        name for name in vars(keras.callbacks) if inspect.isclass(getattr(keras.callbacks, name))
    }


def test_every_callback_of_keras_is_there():
    # Orbax is a checkpoint format of JAX.
    assert all_callbacks() - set(vars(callbacks)) <= {"OrbaxCheckpoint"}


@pytest.mark.parametrize("name", NAMES)
def test_constructor_signatures(name):
    ours, theirs = getattr(callbacks, name), getattr(keras.callbacks, name)
    assert inspect.signature(ours) == inspect.signature(theirs)


@pytest.mark.parametrize("name", NAMES)
def test_public_members(name):
    # `summary` is TensorFlow's module of that name.
    theirs = {n for n in dir(getattr(keras.callbacks, name)) if not n.startswith("_")}
    assert theirs - {"summary"} <= set(dir(getattr(callbacks, name)))


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("BackupAndRestore", "TensorBoard")])
def test_public_attributes(name):
    arguments = {
        "CSVLogger": ["log.csv"],
        "LearningRateScheduler": [float],
        "ModelCheckpoint": ["m.keras"],
    }.get(name, [])
    ours, theirs = both(lambda library: getattr(library.callbacks, name)(*arguments))
    public = {key: value for key, value in vars(theirs).items() if not key.startswith("_")}
    for key, value in public.items():
        assert getattr(ours, key) == value, key


SEQUENCES = [
    [3, 2, 1, 1, 1, 1, 1, 1],
    [3, 4, 2, 3, 2.5, 1, 1, 2, 2, 2],
    [1, 1.1, 0.95, 0.93, 0.7, 0.69, 0.68, 0.9],
    [5, 6, 7, 8, 9, 10],
]


class Fake:
    """The part of a model that the callbacks use."""

    def __init__(self, library, optimizer=None):
        self.optimizer = optimizer or library.optimizers.SGD(1.0)
        self.stop_training = False
        self.weights = []
        self.metrics = []
        self.saved = []

    def get_weights(self):
        return []

    def set_weights(self, weights):
        pass

    def save(self, path, overwrite):
        self.saved.append(os.path.basename(path))

    save_weights = save


def watch(library, callback, values, attributes, batches=0):
    """The attributes of a callback after each epoch with a value in the logs."""
    model = Fake(library)
    callback.set_model(model)
    callback.set_params({"epochs": len(values)})
    callback.on_train_begin()
    found = []
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        for batch in range(batches):
            callback.on_train_batch_end(batch, {"loss": value})
        logs = {"loss": value}
        callback.on_epoch_end(epoch, logs)
        state = {name: getattr(callback, name) for name in attributes}
        rate = float(model.optimizer.learning_rate)
        found.append((state, logs, rate, model.stop_training, list(model.saved)))
        if model.stop_training:
            break
    callback.on_train_end()
    return found


@pytest.mark.parametrize("values", SEQUENCES)
@pytest.mark.parametrize(
    "arguments",
    [
        {"patience": 1},
        {"patience": 2, "min_delta": 0.125},
        {"patience": 1, "mode": "max"},
        {"patience": 2, "baseline": 2.5},
        {"patience": 0, "start_from_epoch": 2},
        {"patience": 3, "baseline": 0.5, "min_delta": -0.25},
    ],
)
def test_early_stopping(values, arguments):
    names = ["best", "wait", "stopped_epoch", "best_epoch"]
    ours, theirs = both(
        lambda library: watch(
            library, library.callbacks.EarlyStopping("loss", **arguments), values, names
        )
    )
    assert ours == theirs


@pytest.mark.parametrize("values", SEQUENCES)
@pytest.mark.parametrize(
    "arguments",
    [
        {"patience": 1, "factor": 0.5},
        {"patience": 2, "factor": 0.25, "min_delta": 0.125},
        {"patience": 1, "factor": 0.5, "mode": "max", "min_lr": 0.1},
        {"patience": 1, "factor": 0.5, "cooldown": 2},
    ],
)
def test_reduce_lr_on_plateau(values, arguments):
    names = ["best", "wait", "cooldown_counter"]
    ours, theirs = both(
        lambda library: watch(
            library, library.callbacks.ReduceLROnPlateau("loss", **arguments), values, names
        )
    )
    assert ours == theirs


@pytest.mark.parametrize("values", SEQUENCES)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"save_best_only": True},
        {"save_best_only": True, "mode": "max", "save_weights_only": True},
        {"save_best_only": True, "initial_value_threshold": 1.5},
        {"save_freq": 3},
        {"save_freq": 7},
    ],
)
def test_model_checkpoint(values, arguments):
    ending = "weights.h5" if arguments.get("save_weights_only") else "keras"
    by_batch = "-{batch}" if "save_freq" in arguments else ""
    path = f"{{epoch:03d}}{by_batch}-{{loss:.3f}}.{ending}"
    ours, theirs = both(
        lambda library: watch(
            library,
            library.callbacks.ModelCheckpoint(path, "loss", **arguments),
            values,
            ["best"],
            batches=4,
        )
    )
    assert ours == theirs
    assert ours[-1][-1] or "initial_value_threshold" in arguments


def test_learning_rate_scheduler():
    def run(library):
        scheduler = library.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7)
        model, history = fit(library, scheduler)
        return [*model.get_weights(), history["learning_rate"], history["loss"]]

    for ours, theirs in zip(*both(run), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_a_whole_training():
    def run(library):
        used = [
            library.callbacks.ReduceLROnPlateau(factor=0.5, patience=1),
            library.callbacks.EarlyStopping(patience=4, restore_best_weights=True),
        ]
        model, history = fit(library, *used, epochs=20)
        return [*model.get_weights(), *(history[name] for name in sorted(history))]

    ours, theirs = both(run)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert 4 < len(ours[-1]) < 20


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("validated", [True, False])
def test_csv_files(tmp_path, separator, validated):
    def run(library):
        path = tmp_path / f"{library.__name__}.csv"
        arguments = {} if validated else {"validation_data": None}
        for append in (False, True):
            log = library.callbacks.CSVLogger(str(path), separator=separator, append=append)
            fit(library, log, epochs=2, **arguments)
        return path.read_bytes().decode()

    ours, theirs = both(run)
    # Digits apart, which differ in the last place, the files are equal byte for byte.
    number = re.compile(r"\d+\.\d+(e-\d+)?")
    assert number.sub("#", ours) == number.sub("#", theirs)
    for one, other in zip(number.finditer(ours), number.finditer(theirs), strict=True):
        assert float(one[0]) == pytest.approx(float(other[0]), rel=1e-5)


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_swap_ema_weights(swap_on_epoch):
    def run(library):
        optimizer = library.optimizers.SGD(0.0625, use_ema=True, ema_momentum=0.75)
        swap = library.callbacks.SwapEMAWeights(swap_on_epoch)
        model, history = fit(library, swap, optimizer=optimizer, epochs=3)
        return [*model.get_weights(), history["loss"], history["val_loss"]]

    for ours, theirs in zip(*both(run), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("raise_error", [True, False])
def test_terminate_on_nan(raise_error):
    def run(library):
        callback = library.callbacks.TerminateOnNaN(raise_error=raise_error)
        model = Fake(library)
        callback.set_model(model)
        found = []
        for loss in (1.0, float("inf"), float("nan"), -float("inf")):
            model.stop_training = False
            try:
                callback.on_train_batch_end(0, {"loss": loss})
                found.append(model.stop_training)
            except RuntimeError:
                found.append("error")
        return found

    ours, theirs = both(run)
    assert ours == theirs
    assert ours[1:] == ["error" if raise_error else True] * 3


def test_bodies_that_remote_monitor_sends(monkeypatch):
    """Keras asks the package `requests`, which need not be here: a stand-in notes what it gets."""
    from keras.src.callbacks import remote_monitor

    sent = {"theirs": [], "ours": []}

    class Requests:
        class exceptions:
            RequestException = OSError

        @staticmethod
        def post(url, data=None, json=None, headers=None):
            sent["theirs"].append((url, data if json is None else json))

    class Answer:
        def close(self):
            pass

    def urlopen(request, timeout):
        body = request.data.decode()
        if request.headers["Content-type"] == "application/json":
            body = json.loads(body)
        else:
            from urllib.parse import parse_qsl

            body = dict(parse_qsl(body))
        sent["ours"].append((request.full_url, body))
        return Answer()

    monkeypatch.setattr(remote_monitor, "requests", Requests)
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    for library in (torchkeras, keras):
        for as_json in (True, False):
            monitor = library.callbacks.RemoteMonitor("http://host:1", send_as_json=as_json)
            monitor.on_epoch_end(2, {"loss": 0.5, "number": np.float64(0.25)})
    assert sent["ours"] == sent["theirs"]


def test_arguments_that_both_refuse():
    for name, arguments in [
        ("ReduceLROnPlateau", {"factor": 1.0}),
        ("ModelCheckpoint", {"filepath": "m.txt"}),
        ("ModelCheckpoint", {"filepath": "m.keras", "save_weights_only": True}),
        ("ModelCheckpoint", {"filepath": "m.keras", "save_freq": "batch"}),
        ("BackupAndRestore", {"backup_dir": ""}),
        ("BackupAndRestore", {"backup_dir": "b", "save_freq": "batch"}),
        ("TensorBoard", {"profile_batch": -1}),
    ]:
        for library in (torchkeras, keras):
            with pytest.raises(ValueError):
                getattr(library.callbacks, name)(**arguments)
