"""A training that loses a process, as torchrun starts it: run by test_restart.py.

`python restart_script.py FOLDER KILL_STEPS SAVE_FREQ` ends at the steps given, a comma between
them, one for each start of the job: by SIGKILL in the last process. `raise` ends it by an error.
"""

import os
import pathlib
import pickle
import signal
import sys

import numpy as np

import torchkeras as keras
from torchkeras import callbacks, layers
from torchkeras.distribution import process_group

EPOCHS, BATCHES = 6, 5


class Lose(callbacks.Callback):
    """Ends this process before a step; steps are counted from the start of the process."""

    def __init__(self, step):
        super().__init__()
        self.step, self.steps = step, 0

    def on_train_batch_begin(self, batch, logs=None):
        if self.steps == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps += 1


class Raise(callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch == 2:
            raise ArithmeticError("this process has failed on purpose")


def make():
    inputs = keras.Input((5,))
    hidden = layers.Dense(8, activation="tanh")(inputs)
    hidden = layers.Dropout(0.4)(hidden)
    hidden = layers.BatchNormalization()(hidden)
    hidden = layers.Dropout(0.2, seed=3)(hidden)
    model = keras.Model(inputs, layers.Dense(2)(hidden))
    optimizer = keras.optimizers.Adam(0.02, gradient_accumulation_steps=2)
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def train(folder, save_freq, *extra):
    random = np.random.default_rng(0)
    x = random.normal(size=(48, 5)).astype("float32")
    y = (x @ random.normal(size=(5, 2))).astype("float32")
    model = make()
    history = model.fit(
        x,
        y,
        batch_size=10,
        epochs=EPOCHS,
        verbose=0,
        validation_data=(x[:11], y[:11]),
        callbacks=[
            callbacks.BackupAndRestore(f"{folder}/backup", save_freq=save_freq),
            callbacks.ModelCheckpoint(f"{folder}/best.safetensors", save_best_only=True),
            callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.3),
            callbacks.EarlyStopping(patience=20, restore_best_weights=True),
            callbacks.CSVLogger(f"{folder}/log.csv", append=True),
            *extra,
        ],
    )
    return {
        "weights": model.get_weights(),
        "predicted": [model.predict(x, verbose=0)],
        "logs": [np.array(history.history[name]) for name in sorted(history.history)],
        "epochs": [np.array(history.epoch)],
        "iterations": [np.array(int(model.optimizer.iterations))],
    }


def main(folder, kill_steps, save_freq):
    folder = pathlib.Path(folder)
    save_freq = save_freq if save_freq == "epoch" else int(save_freq)
    steps = [] if kill_steps in ("none", "raise") else [int(s) for s in kill_steps.split(",")]
    extra = []
    start = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
    rank = int(os.environ["RANK"])
    if rank == int(os.environ["WORLD_SIZE"]) - 1:
        extra += [Raise()] if kill_steps == "raise" else []
        extra += [Lose(steps[start])] if start < len(steps) else []
    keras.utils.set_random_seed(1)
    found = train(folder, save_freq, *extra)
    everyone = process_group.all_gather_object(found)
    for name, values in found.items():
        for other in everyone:
            for ours, theirs in zip(values, other[name], strict=True):
                np.testing.assert_array_equal(ours, theirs, err_msg=name)
    if rank == 0:
        (folder / "results.pickle").write_bytes(pickle.dumps((start, found)))


if __name__ == "__main__":
    main(*sys.argv[1:])
