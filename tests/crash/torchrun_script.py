"""A training in two processes, as torchrun starts it: run by test_torchrun.py.

`python torchrun_script.py FOLDER SAVE_FREQ`: each process leaves its number in `FOLDER/pids` when
its training begins; each step takes some time, so that there is a moment to kill it.
"""

import os
import pathlib
import pickle
import sys
import time

import numpy as np

import torchkeras as keras
from torchkeras import callbacks, layers
from torchkeras.distribution import process_group


class Begun(callbacks.Callback):
    """Tells that `fit` runs, and lets a step take its time."""

    def __init__(self, path, seconds):
        super().__init__()
        self.path, self.seconds = path, seconds

    def on_train_begin(self, logs=None):
        self.path.mkdir(exist_ok=True)
        start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        (self.path / f"{start}-{os.environ['RANK']}").write_text(str(os.getpid()))

    def on_train_batch_begin(self, batch, logs=None):
        time.sleep(self.seconds)


def main(folder, save_freq, seconds):
    folder = pathlib.Path(folder)
    keras.utils.set_random_seed(1)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(48, 5)).astype("float32")
    y = (x @ draw.normal(size=(5, 2))).astype("float32")
    inputs = keras.Input((5,))
    hidden = layers.Dropout(0.4)(layers.Dense(8, activation="tanh")(inputs))
    hidden = layers.Dropout(0.2, seed=3)(layers.BatchNormalization()(hidden))
    model = keras.Model(inputs, layers.Dense(2)(hidden))
    model.compile(keras.optimizers.Adam(0.02, use_ema=True), "mse", metrics=["mae"])
    backup = callbacks.BackupAndRestore(
        folder / "backup", save_freq=save_freq if save_freq == "epoch" else int(save_freq)
    )
    log = callbacks.CSVLogger(folder / "log.csv", append=True)
    begun = Begun(folder / "pids", float(seconds))
    history = model.fit(
        x, y, batch_size=10, epochs=8, verbose=0, callbacks=[backup, log, begun],
        validation_data=(x[:11], y[:11]),
    )  # fmt: skip
    found = {
        "weights": model.get_weights(),
        "optimizer": [v.numpy() for v in model.optimizer.variables],
        "logs": [np.array(history.history[name]) for name in sorted(history.history)],
        "epochs": [np.array(history.epoch)],
    }
    everyone = process_group.all_gather_object(found)
    for name, values in found.items():
        for other in everyone:
            for ours, theirs in zip(values, other[name], strict=True):
                np.testing.assert_array_equal(ours, theirs, err_msg=name)
    if process_group.is_chief():
        start = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
        (folder / "results.pickle").write_bytes(pickle.dumps((start, found)))


if __name__ == "__main__":
    main(*sys.argv[1:])
