"""What callbacks do in one process and in several: run by test_callbacks.py.

Each scenario is called in a folder of its own, which it fills through relative paths: so the
folder of a process shows what this process has written. It returns a dict of what must be the same
in all processes.
"""

import contextlib
import http.server
import io
import os
import pathlib
import pickle
import sys
import threading
import warnings

import numpy as np
import torch

import torchkeras as keras
from torchkeras import callbacks, layers
from torchkeras.distribution import process_group

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype("float32")
Y = (X @ RNG.normal(size=(5, 2)) + 0.1).astype("float32")


def regressor(optimizer=None):
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(6, activation="tanh"), layers.Dense(2)]
    )
    model.compile(optimizer or keras.optimizers.SGD(0.05), "mse", metrics=["mae"])
    return model


def train(model, *used, epochs=3, **arguments):
    arguments = {"batch_size": 10, "verbose": 0, "validation_data": (X[:21], Y[:21]), **arguments}
    return model.fit(X, Y, epochs=epochs, callbacks=list(used), **arguments)


def outcome(model, history=None, **more):
    found = {f"weight_{i}": w for i, w in enumerate(model.get_weights())}
    if history is not None:
        found.update({k: np.array(v) for k, v in history.history.items()})
    return {**found, **{k: np.asarray(v) for k, v in more.items()}}


def is_last():
    return process_group.rank() == process_group.world_size() - 1


# Files


def all_of_keras():
    """Every callback of Keras's list in one `fit`."""
    model = regressor(keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9))
    monitor = callbacks.RemoteMonitor("http://127.0.0.1:9")
    with _server() as (address, posts):
        monitor.root = address
        history = train(
            model,
            callbacks.LearningRateScheduler(lambda epoch, rate: 0.9 * rate, verbose=1),
            callbacks.SwapEMAWeights(swap_on_epoch=True),
            callbacks.ModelCheckpoint("each/{epoch}-{val_loss:.3f}.keras", verbose=1),
            callbacks.ModelCheckpoint("best.safetensors", save_best_only=True),
            callbacks.ModelCheckpoint(
                "batches/{epoch}-{batch}-{loss:.3f}.safetensors",
                save_freq=4,
                save_weights_only=True,
            ),
            callbacks.CSVLogger("log.csv"),
            callbacks.TensorBoard(
                "board",
                histogram_freq=1,
                write_images=True,
                write_steps_per_second=True,
                update_freq=2,
                profile_batch=(2, 3),
            ),
            callbacks.BackupAndRestore("backup", save_freq=5, delete_checkpoint=False),
            callbacks.EarlyStopping(patience=5, restore_best_weights=True, verbose=1),
            callbacks.ReduceLROnPlateau(min_delta=10.0, patience=1, verbose=1),
            callbacks.TerminateOnNaN(),
            callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(end="")),
            callbacks.ProgbarLogger(),
            callbacks.History(),
            monitor,
            verbose=2,
        )
    # As many posts as epochs, all of them from the process that writes.
    return outcome(model, history, posts=sum(process_group.all_gather_object(len(posts))))


@contextlib.contextmanager
def _server():
    posts = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            posts.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", posts
        finally:
            server.shutdown()
            thread.join()


def saved_by_the_program():
    """`save` in all processes, in the first one only, in a callback of one's own, and in vain."""
    found = {}

    class Save(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(path)
            found[f"loaded_{epoch}"] = keras.saving.load_model(path).get_weights()[0]

    model = regressor()
    folder = process_group.broadcast_object(os.getcwd())  # one that all can read
    path = f"{folder}/model.safetensors"
    train(model, Save(), epochs=2)
    if process_group.is_chief():
        model.save("first_only.keras")
    for value in (1.0, 2.0, 3.0):
        model.layers[-1].bias.assign(np.full(2, value, "float32"))
        model.save_weights(path)
        other = regressor()
        other.load_weights(path)
        process_group.barrier()  # process 0 does not wait for readers before it writes anew
        found[f"bias_{value}"] = other.get_weights()[-1]
    for broken in ("missing/folder.keras", path):
        try:
            model.save(broken, overwrite=False)
        except (OSError, RuntimeError) as error:
            found[broken == path] = np.array("Error" in f"{type(error).__name__}: {error}")
    model.summary()
    return found


# Decisions


def early_stopping():
    model = regressor()
    stop = callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    upside_down = (X[:21], -Y[:21])
    history = train(model, stop, epochs=9, validation_data=upside_down)
    return outcome(model, history, best=stop.best, epoch=stop.best_epoch, at=stop.stopped_epoch)


def learning_rates():
    found = {}
    model = regressor()
    plateau = callbacks.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=0.5, verbose=1)
    found["plateau"] = train(model, plateau, epochs=5).history["learning_rate"]
    # A schedule that depends on the process: that of process 0 counts.
    schedule = callbacks.LearningRateScheduler(
        lambda epoch: 0.1 / (1 + epoch) + process_group.rank()
    )
    found["schedule"] = train(model, schedule).history["learning_rate"]
    # Of groups, too.
    groups = [{"params": [p], "lr": 10.0**-i} for i, p in enumerate(model.parameters(), 1)]
    model.compile(torch.optim.SGD(groups), "mse")
    train(model, schedule)
    found["groups"] = model.optimizer.learning_rates
    return outcome(model, **found)


def averages():
    """Validated with the averages of the weights, which stay in the model in the end."""
    model = regressor(keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.5))
    swap = callbacks.SwapEMAWeights()
    history = train(model, swap)
    evaluated = model.evaluate(X, Y, verbose=0, callbacks=[swap])
    return outcome(model, history, evaluated=evaluated)


def nan_in_one_process():
    """The rows of the last process have a nan: all end at that batch, and say so once."""
    seen = []

    class Count(callbacks.Callback):
        _supports_device_logs = True

        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    x = X.copy()
    x[39] = np.nan  # last row of the fourth batch
    model = regressor()
    arguments = {"batch_size": 10, "verbose": 0, "shuffle": False, "epochs": 3}
    model.fit(x, Y, callbacks=[callbacks.TerminateOnNaN(), Count()], **arguments)
    return {"seen": np.array(seen), "stop": np.array(model.stop_training)}


def stopped_by_one():
    """A callback that stops in one process only, at each place where it may."""
    found = {}

    def run(name, chosen, **hooks):
        model, seen = regressor(), []
        steps = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))

        def stop_at(place):
            def stop(number, logs):
                if number == place and chosen():
                    model.stop_training = True

            return stop

        stops = {hook: stop_at(place) for hook, place in hooks.items()}
        stop = callbacks.LambdaCallback(**stops)
        if "epoch" in name:  # without any hook of batches, processes talk less
            train(model, stop, epochs=4)
        else:
            train(model, stop, steps, epochs=4)
        found[name] = np.array(int(model.optimizer.iterations))
        assert "epoch" in name or len(seen) == found[name]

    for who, chosen in (("first", process_group.is_chief), ("last", is_last)):
        run(f"{who}_epoch_end", chosen, on_epoch_end=1)
        run(f"{who}_epoch_begin", chosen, on_epoch_begin=1)
        run(f"{who}_batch_end", chosen, on_train_batch_end=2)
        run(f"{who}_batch_begin", chosen, on_train_batch_begin=3)
        run(f"{who}_in_validation", chosen, on_test_batch_end=0)
    return found


def in_one_process_only():
    """Callbacks that only one process has, as in programs written for other libraries."""
    losses = []

    class Watch(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            losses.append(logs["loss"])

        def on_test_batch_end(self, batch, logs=None):
            losses.append(logs["loss"])

        def on_predict_batch_end(self, batch, logs=None):
            losses.append(float(np.sum(logs["outputs"].shape[0])))

    model = regressor()
    own = [
        Watch(),
        callbacks.ModelCheckpoint("{epoch}.safetensors", "loss", save_best_only=True, save_freq=4),
        callbacks.CSVLogger("log.csv"),
        callbacks.TensorBoard("board", update_freq=2),
    ]
    history = train(model, *(own if process_group.is_chief() else []), epochs=2)
    watch = [Watch()] if process_group.is_chief() else None
    model.evaluate(X, Y, batch_size=10, verbose=0, callbacks=watch)
    model.predict(X, batch_size=10, verbose=0, callbacks=watch)
    return outcome(model, history, losses=process_group.broadcast_object(losses[:-6]))


def values_by_batch():
    """What is written and decided by batch is of all rows, where no callback reads each of them."""
    written = []

    class Board(callbacks.TensorBoard):
        def _add_scalar(self, writer, name, value, step):
            written.append(float(value) if name == "batch_loss" else 0.0)

    train(regressor(), Board("board", update_freq=2, write_graph=False), epochs=2)
    best = callbacks.ModelCheckpoint("best.safetensors", "loss", save_best_only=True, save_freq=4)
    model = regressor()
    history = train(model, best, epochs=2)
    written = process_group.broadcast_object(written)
    return outcome(model, history, best=best.best, written=written)


def divided_weights():
    """Weights that come together to be written, and a run that goes on from a file of them."""

    def run(epochs, *more):
        keras.utils.set_random_seed(7)
        model = regressor(keras.optimizers.Adam(0.01, use_ema=True))
        used = [
            callbacks.BackupAndRestore("backup", delete_checkpoint=False),
            callbacks.ModelCheckpoint("{epoch}-{val_loss:.2f}.keras"),
            callbacks.ModelCheckpoint("best.safetensors", save_best_only=True),
            callbacks.SwapEMAWeights(),
            callbacks.TensorBoard("board", histogram_freq=1, update_freq=2, write_graph=False),
            callbacks.CSVLogger("log.csv", append=True),
            *more,
        ]
        return model, train(model, *used, epochs=epochs)

    with keras.distribution.FullyShard().scope():
        model, _ = run(2)
        model.save("after_two.safetensors")
        stop = callbacks.EarlyStopping("mae", patience=1, mode="max", restore_best_weights=True)
        model, history = run(6, stop)  # goes on at the third
        weights = model.get_weights()
    return {
        "epochs": np.array(history.epoch),
        **{f"{i}": np.array(w) for i, w in enumerate(weights)},
    }


SCENARIOS = [
    all_of_keras,
    saved_by_the_program,
    early_stopping,
    learning_rates,
    averages,
    nan_in_one_process,
    stopped_by_one,
    in_one_process_only,
    values_by_batch,
    divided_weights,
]


def run(folder):
    """Call all scenarios, each in its folder; returns `{name: (result, printed)}`."""
    results = {}
    for scenario in SCENARIOS:
        name = scenario.__name__
        place = pathlib.Path(folder, name)
        place.mkdir(parents=True)
        printed = io.StringIO()
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(7)
        with contextlib.chdir(place) if hasattr(contextlib, "chdir") else _chdir(place):
            with contextlib.redirect_stdout(printed), warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", message=".*not compiled.*")
                results[name] = scenario(), printed.getvalue()
    return results


@contextlib.contextmanager
def _chdir(place):
    before = os.getcwd()
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    process_group.initialize()
    own_folder = pathlib.Path(sys.argv[1], f"rank_{process_group.rank()}")
    own_results = run(own_folder)
    pathlib.Path(f"{own_folder}.pickle").write_bytes(pickle.dumps(own_results))
