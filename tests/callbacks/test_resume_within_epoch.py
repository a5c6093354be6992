"""A run that ends at any step and goes on is bit-equal to one that nothing disturbed."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.callbacks import BackupAndRestore, Callback, EarlyStopping, LearningRateScheduler

X = np.linspace(-1, 1, 54).reshape(18, 3).astype("float32")
Y = np.sin(3 * X).sum(1, keepdims=True)
EPOCHS = 3

# Epochs of `steps_per_epoch` batches do not end with a pass: both kinds are met.
pytestmark = pytest.mark.filterwarnings("ignore:The data ran out after")


class Crash(Exception):
    pass


class CrashAt(Callback):
    def __init__(self, step):
        super().__init__()
        self.steps_left = step

    def on_train_batch_begin(self, batch, logs=None):
        if self.steps_left == 0:
            raise Crash
        self.steps_left -= 1


class Trace(Callback):
    """Logs of all batches; its state goes into the backup."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((batch, logs["loss"]))

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


class Shuffled(keras.utils.PyDataset):
    """Shuffles itself on at the end of each epoch, and draws in `__getitem__`."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.order = np.arange(18)

    def __len__(self):
        return 5

    def __getitem__(self, index):
        rows = self.order[index * 4 : index * 4 + 4]
        noise = np.random.normal(size=(len(rows), 3)) if self.workers < 2 else 0.0
        return X[rows] + noise, Y[rows]

    def on_epoch_end(self):
        np.random.shuffle(self.order)

    def state_dict(self):
        return {"order": self.order}

    def load_state_dict(self, state):
        self.order = state["order"].copy()


class BegunAnew(Shuffled):
    """Draws its order where an epoch begins: nothing is kept from epoch to epoch."""

    state_dict = load_state_dict = property()  # neither is there

    def on_epoch_begin(self):
        self.order = np.random.permutation(18)

    def on_epoch_end(self):
        random.random()


class Samples(torch.utils.data.Dataset):
    def __len__(self):
        return 18

    def __getitem__(self, index):
        return torch.tensor(X[index]) + 0.1 * torch.rand(3), Y[index]


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        order = np.random.permutation(18)
        return iter([(X[i], Y[i]) for i in order])


class Counting:
    """An iterator that can tell where it is."""

    def __init__(self):
        self.place = 0

    def __iter__(self):
        return self

    def __next__(self):
        rows = [(self.place * 4 + i) % 18 for i in range(4)]
        self.place += 1
        return X[rows], Y[rows]

    def state_dict(self):
        return {"place": self.place}

    def load_state_dict(self, state):
        self.place = state["place"]


class Stateful(torch.utils.data.DataLoader):
    """A loader that tells where it is, in the way of torchdata's StatefulDataLoader."""

    order, place = None, 0

    def __iter__(self):
        if self.order is None:
            self.order, self.place = np.random.permutation(18), 0
        while self.place < 5:
            rows = self.order[self.place * 4 : self.place * 4 + 4]
            self.place += 1
            yield torch.tensor(X[rows]), torch.tensor(Y[rows])
        self.order = None

    def state_dict(self):
        return {"order": self.order, "place": self.place}

    def load_state_dict(self, state):
        self.order, self.place = state["order"], state["place"]


def loader(dataset=None, **arguments):
    dataset = Samples() if dataset is None else dataset
    return torch.utils.data.DataLoader(dataset, batch_size=4, **arguments)


def weighted():
    sampler = torch.utils.data.WeightedRandomSampler(
        np.arange(1, 19) / 18, 18, generator=torch.Generator().manual_seed(3)
    )
    return loader(sampler=sampler)


def distributed():
    return loader(sampler=torch.utils.data.DistributedSampler(Samples(), 1, 0, shuffle=True))


def dataset(seed=None, cached=False):
    data = keras.data.Dataset.from_tensor_slices((X, Y))
    data = data.cache() if cached else data
    return data.shuffle(18, seed=seed).batch(4)


SOURCES = {
    "arrays": lambda: {"x": X, "y": Y, "batch_size": 4},
    "arrays in order": lambda: {"x": X, "y": Y, "batch_size": 4, "shuffle": False},
    "arrays by batch": lambda: {"x": X, "y": Y, "batch_size": 4, "shuffle": "batch"},
    "float64": lambda: {"x": X.astype("float64"), "y": Y, "batch_size": 4},
    "dicts": lambda: {"x": [X], "y": Y, "batch_size": 4},
    "below a pass": lambda: {"x": X, "y": Y, "batch_size": 4, "steps_per_epoch": 3},
    "above a pass": lambda: {"x": dataset(), "steps_per_epoch": 4},
    "PyDataset": lambda: {"x": Shuffled()},
    "PyDataset in order": lambda: {"x": Shuffled(), "shuffle": False},
    "PyDataset, threads": lambda: {"x": Shuffled(workers=2)},
    "PyDataset begun anew": lambda: {"x": BegunAnew()},
    "PyDataset below a pass": lambda: {"x": Shuffled(), "steps_per_epoch": 2},
    "Dataset": lambda: {"x": dataset()},
    "Dataset with a seed": lambda: {"x": dataset(seed=4)},
    "Dataset cached": lambda: {"x": dataset(cached=True)},
    "DataLoader": lambda: {"x": loader(shuffle=True)},
    "DataLoader, generator": lambda: {
        "x": loader(shuffle=True, generator=torch.Generator().manual_seed(7))
    },
    "DataLoader, generator, below a pass": lambda: {
        "x": loader(shuffle=True, generator=torch.Generator().manual_seed(7)),
        "steps_per_epoch": 3,
    },
    "DataLoader, weighted": lambda: {"x": weighted()},
    "DataLoader, set_epoch": lambda: {"x": distributed()},
    "DataLoader, with a state": lambda: {"x": Stateful(Samples(), batch_size=4)},
    "DataLoader, stream": lambda: {"x": loader(Stream())},
    "iterator with a state": lambda: {"x": Counting(), "steps_per_epoch": 4},
}  # fmt: skip


def make(accumulates=None, metrics=("mae",)):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.25),
            keras.layers.Dropout(0.25, seed=5),
            keras.layers.Dense(1),
        ]
    )
    optimizer = keras.optimizers.Adam(0.05, gradient_accumulation_steps=accumulates)
    model.compile(optimizer, "mse", metrics=list(metrics))
    return model


def run(source, folder=None, crash=None, seed=0, new=make, backup=None, validate=True, **more):
    keras.utils.set_random_seed(seed)
    model, trace = new(), Trace()
    callbacks = [trace, LearningRateScheduler(lambda epoch, rate: rate * 0.9)]
    callbacks += [EarlyStopping("loss", patience=20)]
    if folder is not None:
        callbacks.insert(1, backup or BackupAndRestore(folder, save_freq=1))
    if crash is not None:
        callbacks.append(CrashAt(crash))
    history = model.fit(
        **SOURCES[source](), epochs=EPOCHS, verbose=0, callbacks=callbacks,
        validation_data=(X[:6], Y[:6]) if validate else None, **more,
    )  # fmt: skip
    return model, trace, history


def everything(result):
    model, trace, history = result
    state = [w.numpy() for w in model.weights] + [v.numpy() for v in model.optimizer.variables]
    state += [random.random(), np.random.rand(), torch.rand(())]
    return state, trace.seen, history.epoch, history.history


def assert_same(found, expected):
    for one, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[1:] == expected[1:]


def steps_of(source):
    return len(run(source, validate=False)[1].seen)


def check_at(source, tmp_path, crashes, **arguments):
    expected = everything(run(source, **arguments))
    for crash in crashes:
        folder = tmp_path / str(crash)
        with pytest.raises(Crash):
            run(source, folder, crash=crash, **arguments)
        assert_same(everything(run(source, folder, seed=99, **arguments)), expected)


@pytest.mark.parametrize("source", SOURCES)
def test_goes_on_bit_equal(tmp_path, source):
    # Within the second epoch, at its last step, and at the first step of the third.
    steps = steps_of(source) // EPOCHS
    check_at(source, tmp_path, [steps + 2, 2 * steps])


@pytest.mark.parametrize("source", ["arrays", "PyDataset below a pass", "DataLoader"])
def test_at_every_step(tmp_path, source):
    check_at(source, tmp_path, range(1, steps_of(source)))


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_at_every_step_of_every_source(tmp_path, source):
    check_at(source, tmp_path, range(1, steps_of(source)))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers(tmp_path, workers, monkeypatch):
    monkeypatch.setitem(
        SOURCES, "workers", lambda: {"x": loader(shuffle=True, num_workers=workers)}
    )
    check_at("workers", tmp_path, [7])


def test_accumulated_gradients(tmp_path):
    check_at("arrays", tmp_path, [1, 7, 8], new=lambda: make(accumulates=3))


def test_metrics_that_are_built_by_what_they_see(tmp_path):
    def new():
        metrics = [keras.metrics.R2Score(), keras.metrics.MeanSquaredError()]
        return make(metrics=metrics)

    check_at("arrays", tmp_path, [7], new=new)


def test_groups_of_steps(tmp_path):
    def new():
        model = make()
        model.compile("adam", "mse", metrics=["mae"], steps_per_execution=2)
        return model

    check_at("arrays", tmp_path, [4], new=new)


def test_interrupted_again_and_again(tmp_path):
    expected = everything(run("arrays"))
    for crash, seed in ((3, 0), (0, 5), (4, 6), (5, 7)):
        with pytest.raises(Crash):
            run("arrays", tmp_path / "b", crash=crash, seed=seed)
    assert_same(everything(run("arrays", tmp_path / "b", seed=8)), expected)


def test_after_the_last_batch(tmp_path):
    class CrashInValidation(Callback):
        def on_test_begin(self, logs=None):
            raise Crash

    expected = everything(run("arrays"))
    keras.utils.set_random_seed(0)
    model = make()
    with pytest.raises(Crash):
        model.fit(
            **SOURCES["arrays"](), epochs=EPOCHS, verbose=0, validation_data=(X[:6], Y[:6]),
            callbacks=[
                Trace(), LearningRateScheduler(lambda epoch, rate: rate * 0.9),
                EarlyStopping("loss", patience=20),
                BackupAndRestore(tmp_path / "b", save_freq=5), CrashInValidation(),
            ],
        )  # fmt: skip
    assert_same(everything(run("arrays", tmp_path / "b", seed=9)), expected)


def test_generator_goes_on_with_what_it_gives(tmp_path):
    given = []

    def batches():
        for i in range(100):
            given.append(i)
            yield X[:4], Y[:4]

    def fit(crash=None):
        callbacks = [BackupAndRestore(tmp_path / "b", save_freq=1)]
        callbacks += [] if crash is None else [CrashAt(crash)]
        model = make()
        model.fit(batches(), epochs=3, steps_per_epoch=4, verbose=0, callbacks=callbacks)
        return model

    with pytest.raises(Crash):
        fit(crash=6)
    given.clear()
    assert int(fit().optimizer.iterations) == 12
    assert given == list(range(6))


def test_file_without_a_position_begins_its_epoch_anew(tmp_path, monkeypatch):
    with pytest.raises(Crash):
        run("arrays", tmp_path / "b", crash=7)
    monkeypatch.setattr(keras.callbacks.training_state, "LOOP_VERSION", 0)
    model, trace, _ = run("arrays", tmp_path / "b", seed=9)
    assert int(model.optimizer.iterations) == 7 + 2 * 5


def test_other_metrics_are_an_error(tmp_path):
    with pytest.raises(Crash):
        run("arrays", tmp_path / "b", crash=7)
    with pytest.raises(ValueError, match="with the metrics that it was begun with"):
        run("arrays", tmp_path / "b", new=lambda: make(metrics=("mae", "mse")))


# resume=


def test_resume_is_one_argument(tmp_path):
    with pytest.raises(Crash):
        make().fit(X, Y, epochs=3, verbose=0, callbacks=[CrashAt(1)], resume=tmp_path / "b")
    assert os.listdir(tmp_path / "b") == ["latest.safetensors"]
    assert make().fit(X, Y, epochs=3, verbose=0, resume=str(tmp_path / "b")).epoch == [0, 1, 2]
    assert not (tmp_path / "b").exists()


def test_resume_beside_another_backup_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="resume=.* beside a BackupAndRestore"):
        make().fit(X, Y, callbacks=[BackupAndRestore(tmp_path / "a")], resume=tmp_path / "b")
    with pytest.raises(TypeError, match="path of a folder. Received: resume=True"):
        make().fit(X, Y, resume=True)


# Signals


class SignalAt(Callback):
    def __init__(self, step, number):
        super().__init__()
        self.steps_left, self.number = step, number

    def on_train_batch_begin(self, batch, logs=None):
        self.steps_left -= 1
        if self.steps_left == 0:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("source", ["arrays", "PyDataset", "DataLoader"])
@pytest.mark.parametrize("step", [3, 5, 15])
@pytest.mark.parametrize("save_freq", ["epoch", 100])
def test_a_signal_ends_the_run_after_its_step(tmp_path, source, step, save_freq):
    expected = everything(run(source))
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    keras.utils.set_random_seed(0)
    trace = Trace()
    with pytest.raises(SystemExit) as end:
        make().fit(
            **SOURCES[source](), epochs=EPOCHS, verbose=0, validation_data=(X[:6], Y[:6]),
            callbacks=[
                trace, BackupAndRestore(tmp_path / "b", save_freq=save_freq),
                LearningRateScheduler(lambda epoch, rate: rate * 0.9),
                EarlyStopping("loss", patience=20), SignalAt(step, signal.SIGTERM),
            ],
        )  # fmt: skip
    assert end.value.code == 143 and len(trace.seen) == step
    assert handlers == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    backup = BackupAndRestore(tmp_path / "b", save_freq=save_freq)
    assert_same(everything(run(source, tmp_path / "b", seed=9, backup=backup)), expected)


def test_interrupt_is_a_keyboard_interrupt(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make().fit(X, Y, verbose=0, resume=tmp_path / "b", callbacks=[SignalAt(1, signal.SIGINT)])
    assert (tmp_path / "b" / "latest.safetensors").exists()


def test_a_second_signal_does_not_wait(tmp_path):
    class Twice(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("not reached")

    with pytest.raises(KeyboardInterrupt):
        make().fit(X, Y, verbose=0, resume=tmp_path / "b", callbacks=[Twice()])
    assert not (tmp_path / "b").exists()


def test_handlers_of_the_program_stay(tmp_path):
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        callbacks = [SignalAt(1, signal.SIGTERM)]
        make().fit(X, Y, epochs=2, verbose=0, resume=tmp_path / "b", callbacks=callbacks)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]


def test_in_another_thread_no_signal_is_taken(tmp_path):
    done = []

    def fit():
        done.append(make().fit(X, Y, verbose=0, resume=tmp_path / "b"))

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    assert done


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_real_signals(tmp_path, how):
    script = f"""
        import os, signal, sys
        import numpy as np
        import torchkeras as keras
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
        )
        model.compile("adam", "mse")
        x = np.linspace(0, 1, 60).reshape(20, 3)
        count = 0
        def kill(batch, logs):
            global count
            count += 1
            if count == int(sys.argv[1]):
                os.kill(os.getpid(), signal.{how})
        callbacks = [
            keras.callbacks.BackupAndRestore({str(tmp_path / "b")!r}, save_freq=1),
            keras.callbacks.LambdaCallback(on_train_batch_begin=kill),
        ]
        model.fit(x, x[:, :1], batch_size=4, epochs=3, verbose=0, callbacks=callbacks)
        print([w.tolist() for w in model.get_weights()])
    """

    def start(kill_at):
        command = [sys.executable, "-c", textwrap.dedent(script), str(kill_at)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout

    code, expected = start(-1)
    assert code == 0
    codes = {"SIGKILL": -9, "SIGTERM": 143, "SIGINT": -2}
    assert start(8) == (codes[how], "")
    assert start(3) == (codes[how], "")  # of the second start: once more
    assert start(-1) == (0, expected)
