"""Trainings that end at some moment, and go on in another process.

What they are trained on, and what is compared, is that of the tests of the callback, where an
exception ends a run. Here it is a signal, from inside at a step, or from outside at any time.
"""

import hashlib
import importlib.util
import json
import os
import pathlib
import random
import signal
import time
import warnings

import numpy as np
import torch

import torchkeras as keras
from tests.crash.forks import Child, sleep_exactly
from torchkeras.callbacks import BackupAndRestore, Callback

_PATH = pathlib.Path(__file__).parents[1] / "callbacks" / "test_resume_within_epoch.py"


def _module():
    spec = importlib.util.spec_from_file_location("crash_resume", _PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


resume = _module()


class KillAt(Callback):
    """Kills this process before a step, counted from 0 in this process."""

    def __init__(self, step):
        super().__init__()
        self.steps_left = step

    def on_train_batch_begin(self, batch, logs=None):
        if self.steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps_left -= 1


resume.CrashAt = KillAt


# Models


def plain():
    return resume.make()


def _compiled(optimizer, **arguments):
    model = resume.make()
    model.compile(optimizer, "mse", metrics=["mae"], **arguments)
    return model


def ema():
    optimizer = keras.optimizers.Adam(
        0.05, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=4
    )
    return _compiled(optimizer)


def accumulating():
    return resume.make(accumulates=3)


def accumulating_ema():
    optimizer = keras.optimizers.SGD(
        0.05, momentum=0.9, gradient_accumulation_steps=2, use_ema=True, ema_momentum=0.8
    )
    return _compiled(optimizer)


def scheduled():
    schedule = keras.optimizers.schedules.CosineDecay(0.05, 12, warmup_target=0.1, warmup_steps=3)
    return _compiled(keras.optimizers.AdamW(schedule))


def grouped():
    return _compiled("adam", steps_per_execution=2)


def eager():
    return _compiled("rmsprop", jit_compile=False)


def eager_steps():
    return _compiled("adam", run_eagerly=True)


def of_torch():
    model = resume.make()
    model.compile(torch.optim.AdamW(model.parameters(), lr=0.02), "mse", metrics=["mae"])
    return model


def scaled():
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.05), initial_scale=8.0, dynamic_growth_steps=3
    )
    return _compiled(optimizer)


def measured():
    return resume.make(metrics=[keras.metrics.R2Score(), keras.metrics.MeanSquaredError()])


MODELS = {
    "plain": plain,
    "EMA": ema,
    "accumulated gradients": accumulating,
    "accumulated gradients, EMA": accumulating_ema,
    "schedule": scheduled,
    "steps_per_execution": grouped,
    "jit_compile=False": eager,
    "run_eagerly": eager_steps,
    "torch optimizer": of_torch,
    "loss scale": scaled,
    "metrics built by what they see": measured,
}


class Slow(resume.Samples):
    """Samples that take their time, so that a signal comes while workers read ahead."""

    def __getitem__(self, index):
        time.sleep(0.0005)
        return super().__getitem__(index)


class Noisy(resume.Shuffled):
    """Draws in `__getitem__`, wherever that runs."""

    def __getitem__(self, index):
        rows = self.order[index * 4 : index * 4 + 4]
        noise = np.random.normal(size=(len(rows), 3)) + random.random() + torch.rand(3).numpy()
        return resume.X[rows] + 0.1 * noise, resume.Y[rows]


SOURCES = {
    **resume.SOURCES,
    "PyDataset, processes": lambda: {"x": Noisy(workers=2, use_multiprocessing=True)},
    "PyDataset, one process": lambda: {"x": Noisy(workers=1, use_multiprocessing=True)},
    "DataLoader, workers": lambda: {"x": resume.loader(shuffle=True, num_workers=2)},
    "DataLoader, workers and generator": lambda: {
        "x": resume.loader(
            Slow(), shuffle=True, num_workers=1, generator=torch.Generator().manual_seed(7)
        )
    },
}  # fmt: skip
resume.SOURCES = SOURCES


def train(source, model="plain", folder=None, kill=None, seed=0, told=None, freq=1, epochs=None):
    """Train; returns a digest of all that must be equal, the steps, and the logs."""
    if epochs:
        resume.EPOCHS = epochs
    backup = None
    if folder is not None:
        backup = BackupAndRestore(folder, save_freq=freq)
    if told is not None:

        class Tell(KillAt):
            def __init__(self, step):
                super().__init__(-1)

            def on_train_begin(self, logs=None):
                os.write(told, b"b")

        resume.CrashAt, kill = Tell, 0
    if model == "schedule":  # an optimizer with one takes no other rate

        class Nothing(Callback):
            def __init__(self, function):
                super().__init__()

        resume.LearningRateScheduler = Nothing
    result = resume.run(source, folder, crash=kill, seed=seed, new=MODELS[model], backup=backup)
    if told is not None:
        os.write(told, b"e")
    state, seen, epochs, history = resume.everything(result)
    digest = hashlib.sha256()
    for value in state:
        digest.update(np.asarray(value).tobytes())
    return [digest.hexdigest(), repr((seen, epochs, history)), len(seen)]


def _child(**arguments):
    def function(writer):
        if arguments.pop("tells", False):
            arguments["told"] = writer
        warnings.filterwarnings("ignore", message="The data ran out after")
        return train(**arguments)

    return Child(function)


def _ended(child):
    code, text = child.wait()
    assert code == 0, f"exit code {code}: {text}"
    return json.loads(text[text.index("[") :])


def kill_at_steps(source, model, folder, every=1):
    """Kill before each step, and go on; returns the number of kills."""
    expected = _ended(_child(source=source, model=model))
    steps = range(1, expected[2], every)
    for step in steps:
        place = os.path.join(folder, str(step))
        code, text = _child(source=source, model=model, folder=place, kill=step).wait()
        # With several steps an execution there may be none that begins there.
        assert code == -signal.SIGKILL, (code, text)
        found = _ended(_child(source=source, model=model, folder=place, seed=90 + step))
        assert found == expected, f"killed before step {step}: {found} for {expected}"
        assert not os.path.exists(place)
    return len(steps)


def _seed(folder, seed):
    """A seed of its own for a run that goes on, and so does not depend on it."""
    return seed if os.path.exists(os.path.join(folder, "latest.safetensors")) else 0


def signal_at_random(source, model, folder, seed, number, count, freq=1, epochs=20):
    """Send a signal at random moments and go on, until all of them were sent.

    Returns:
        dict: `sent`; `inside`, those that came while `fit` ran; `codes`, how the programs ended.
    """
    draw = random.Random(seed)
    common = {"source": source, "model": model, "epochs": epochs}
    expected = _ended(_child(**common))
    durations = []
    for run in range(2):
        child = _child(**common, folder=os.path.join(folder, f"whole {run}"), tells=True, freq=freq)
        child.wait_for_byte()
        begin = time.perf_counter()
        child.wait_for_byte()
        durations.append(time.perf_counter() - begin)
        assert _ended(child) == expected
    duration, inside, codes = min(durations), 0, set()
    for run in range(count):
        place = os.path.join(folder, str(run))
        arguments = {**common, "folder": place, "freq": freq}
        child = _child(**arguments, tells=True)
        child.wait_for_byte()
        sleep_exactly(duration * 1.02 * (run + draw.random()) / count)
        child.kill(number)
        code, text = child.wait()
        if text.startswith("be"):
            continue  # it had ended before
        if number != signal.SIGKILL and not os.path.exists(place):
            continue  # in the last moment of `fit`, after the backup was deleted
        inside += 1
        codes.add(code)
        if number != signal.SIGKILL:
            assert os.listdir(place) == ["latest.safetensors"], (run, os.listdir(place), text)
        # Killed once more while it goes on, and again.
        for more in range(2):
            child = _child(**arguments, seed=_seed(place, 50 + more), tells=True)
            child.wait_for_byte()
            sleep_exactly(duration * draw.random() * 0.3)
            child.kill(number)
            code, text = child.wait()
            if text.startswith("be"):
                break
            if os.path.exists(place):
                codes.add(code)
        if text.startswith("be"):
            found = json.loads(text[2:])
        else:
            found = _ended(_child(**arguments, seed=_seed(place, 70)))
        assert found == expected, f"run {run}: {found} for {expected}"
        assert not os.path.exists(place), os.listdir(place)
    return {"sent": count, "inside": inside, "codes": sorted(codes)}
