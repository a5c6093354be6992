"""Callbacks and the progress bar beside those of Keras."""

import inspect
import re
import warnings

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from torchkeras import callbacks  # noqa: E402
from torchkeras.utils.progbar import Progbar  # noqa: E402

NAMES = ["Callback", "CallbackList", "History", "LambdaCallback", "ProgbarLogger"]
HOOKS = sorted(name for name in dir(keras.callbacks.Callback) if name.startswith("on_"))
LOGS = {"loss": torch.tensor(0.5), "a": np.float32(0.25), "n": 3, "d": {"inner": 1}, "s": "text"}


@pytest.mark.parametrize("name", NAMES)
def test_public_members(name):
    theirs = getattr(keras.callbacks, name)
    members = {n for n in dir(theirs) if not n.startswith("_")}
    assert members <= set(dir(getattr(callbacks, name)))


@pytest.mark.parametrize("name", NAMES)
def test_constructor_signatures(name):
    ours, theirs = getattr(callbacks, name), getattr(keras.callbacks, name)
    assert inspect.signature(ours) == inspect.signature(theirs)


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_signatures(hook):
    for name in ("Callback", "CallbackList"):
        ours = getattr(getattr(callbacks, name), hook)
        theirs = getattr(getattr(keras.callbacks, name), hook)
        assert inspect.signature(ours) == inspect.signature(theirs)


def recorder(base):
    """A callback of the library `base` that records each hook's name and arguments."""
    calls = []

    def method(name):
        def hook(self, *args, **kwargs):
            calls.append((name, args, kwargs))
            getattr(base, name)(self, *args, **kwargs)

        return hook

    return type("Recorder", (base,), {name: method(name) for name in HOOKS})(), calls


@pytest.fixture(autouse=True)
def ignore_warnings_of_keras():
    # Keras swallows every error while it reads logs, warnings turned into errors included.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def run_fit(library_list):
    library_list.on_train_begin()
    for epoch in range(2):
        library_list.on_epoch_begin(epoch)
        for batch in range(2):
            library_list.on_train_batch_begin(batch)
            library_list.on_train_batch_end(batch, LOGS)
        library_list.on_test_begin()
        library_list.on_test_batch_begin(0)
        library_list.on_test_batch_end(0, LOGS)
        library_list.on_test_end(LOGS)
        library_list.on_epoch_end(epoch, LOGS)
    library_list.on_train_end(LOGS)
    library_list.on_predict_begin()
    library_list.on_predict_batch_begin(0)
    library_list.on_predict_batch_end(0, {"outputs": torch.zeros(2, 3)})
    library_list.on_predict_end()


def test_calls_and_logs_of_every_hook():
    ours, our_calls = recorder(callbacks.Callback)
    theirs, keras_calls = recorder(keras.callbacks.Callback)
    run_fit(callbacks.CallbackList([ours]))
    run_fit(keras.callbacks.CallbackList([theirs]))
    # Keras hands predictions over as NumPy, we as they are.
    texts = [re.sub(r"\s", "", repr(calls)) for calls in (our_calls, keras_calls)]
    assert texts[0].replace("tensor(", "array(") == texts[1].replace(",dtype=float32", "")


def test_history():
    class Model:
        history = None

    ours, theirs = Model(), Model()
    for library, model in ((callbacks, ours), (keras.callbacks, theirs)):
        run_fit(library.CallbackList(add_history=True, model=model))
    assert ours.history.history == theirs.history.history
    assert list(ours.history.history) == list(theirs.history.history)
    assert ours.history.epoch == theirs.history.epoch


def last_line(text):
    plain = re.sub(r"\x1b\[\d+m|[\x08\r]", "", text)
    return plain.strip().splitlines()[-1]


@pytest.mark.parametrize("names", [{}, {"stateful_metrics": ["a"]}, {"stateless_metrics": ["a"]}])
def test_progbar_line(capsys, names):
    lines = []
    for kind in (Progbar, keras.utils.Progbar):
        bar = kind(12, verbose=2, **names)
        bar.update(1, [("a", 1.0), ("b", 2.0)])
        bar.add(5, [("a", 5.0), ("b", -3e-4)])
        bar.update(11, [("c", 1e-6)])
        bar.update(12, finalize=True)
        lines.append(re.sub(r"\d+(us|ms|s)/step", "T/step", last_line(capsys.readouterr().out)))
    assert lines[0] == lines[1]


def test_progbar_signature_starts_like_keras():
    ours = list(inspect.signature(Progbar).parameters.values())
    theirs = list(inspect.signature(keras.utils.Progbar).parameters.values())
    assert ours[: len(theirs)] == theirs


@pytest.mark.parametrize("seconds", [0.0, 2e-6, 5e-4, 0.0036, 0.9, 1.4, 75.0])
def test_time_format(seconds):
    from torchkeras.utils.progbar import _duration

    expected = keras.utils.Progbar(1)._format_time(seconds, "step").strip()
    assert _duration(seconds, "step") == expected
