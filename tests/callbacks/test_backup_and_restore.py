import functools
import os
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.callbacks import (
    BackupAndRestore,
    Callback,
    CallbackList,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
)

X = torch.linspace(-1, 1, 120).reshape(40, 3)
Y = torch.sin(3 * X).sum(1, keepdim=True)


class Crash(Exception):
    pass


def crash_at(epoch):
    def crash(now, logs):
        if now == epoch:
            raise Crash

    return LambdaCallback(on_epoch_begin=crash)


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.05),
    "sgd_ema": lambda: keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True),
    "schedule": lambda: keras.optimizers.Adam(
        keras.optimizers.schedules.ExponentialDecay(0.1, 20, 0.5)
    ),
    "accumulated": lambda: keras.optimizers.Adam(0.05, gradient_accumulation_steps=3),
    "torch": lambda: functools.partial(torch.optim.AdamW, lr=0.05, amsgrad=True),
}


def make(optimizer="adam"):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.Dropout(0.25),
            keras.layers.Dropout(0.25, seed=5),
            keras.layers.Dense(1),
        ]
    )
    model.compile(OPTIMIZERS[optimizer](), "mse", metrics=["mae"])
    return model


def run(backup, *others, model="adam", seed=0, epochs=7, **arguments):
    keras.utils.set_random_seed(seed)
    if isinstance(model, str):
        model = make(model)
    elif not isinstance(model, keras.Model):
        model = model()
    callbacks = [*others[:1], *([backup] if backup else []), *others[1:]]
    history = model.fit(
        X, Y, batch_size=8, epochs=epochs, validation_split=0.2, verbose=0, callbacks=callbacks,
        **arguments,
    )  # fmt: skip
    return model, history


def weights_of(model):
    return [w.copy() for w in model.get_weights()]


def all_state(model):
    optimizer = model.optimizer
    state = [w.numpy() for w in model.weights] + [int(optimizer.iterations)]
    state += [v.numpy() for v in optimizer.variables]
    if hasattr(optimizer, "state_dict"):
        for values in optimizer.state_dict()["state"].values():
            state += [v.numpy() for v in values.values()]
    state += [g.state.numpy() for m in model.modules() for g in getattr(m, "_seed_generators", ())]
    state += [random.random(), np.random.rand(), torch.rand(())]
    return state


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def rate_callbacks(optimizer):
    if optimizer == "schedule":
        return []
    return [
        LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        ReduceLROnPlateau("loss", factor=0.5, patience=2, min_delta=10.0, cooldown=1),
    ]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("crash_epoch", [1, 3, 5])
def test_continued_run_ends_bit_equal(tmp_path, optimizer, crash_epoch):
    whole, whole_history = run(None, *rate_callbacks(optimizer), model=optimizer)
    expected = all_state(whole)

    folder = tmp_path / "backup"
    with pytest.raises(Crash):
        run(
            BackupAndRestore(folder), *rate_callbacks(optimizer), crash_at(crash_epoch),
            model=optimizer,
        )  # fmt: skip
    # The second program has other weights, seeds and random numbers until it restores.
    model, history = run(
        BackupAndRestore(folder), *rate_callbacks(optimizer), model=optimizer, seed=99
    )
    assert_same(all_state(model), expected)
    assert history.history == whole_history.history
    assert history.epoch == whole_history.epoch
    assert not folder.exists()


@pytest.mark.parametrize("crash_epoch", [1, 5])
def test_early_stopping_goes_on_waiting(tmp_path, crash_epoch):
    def stop():  # the first epoch is the best, the sixth the last
        return EarlyStopping(patience=5, min_delta=10.0, restore_best_weights=True)

    expected, whole_history = run(None, stop(), epochs=20)
    with pytest.raises(Crash):
        run(BackupAndRestore(tmp_path / "b"), stop(), crash_at(crash_epoch), epochs=20)
    model, history = run(BackupAndRestore(tmp_path / "b"), stop(), epochs=20, seed=99)
    assert history.epoch == whole_history.epoch == [0, 1, 2, 3, 4, 5]
    assert_same(model.get_weights(), expected.get_weights())


def test_model_that_fit_builds(tmp_path):
    # The first batch builds it: reading that batch draws an order before the state is restored.
    def new():
        model = keras.Sequential([keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    expected = all_state(run(None, model=new)[0])
    with pytest.raises(Crash):
        run(BackupAndRestore(tmp_path / "b"), crash_at(3), model=new)
    model, _ = run(BackupAndRestore(tmp_path / "b"), model=new, seed=99)
    assert_same(all_state(model), expected)


@pytest.mark.gpu
def test_generators_of_devices_go_on(tmp_path):
    with keras.device("cuda"):
        expected = all_state(run(None, *rate_callbacks("adam"))[0])
        expected.append(torch.rand((), device="cuda").item())
        with pytest.raises(Crash):
            run(BackupAndRestore(tmp_path / "b"), *rate_callbacks("adam"), crash_at(3))
        model, _ = run(BackupAndRestore(tmp_path / "b"), *rate_callbacks("adam"), seed=99)
        state = all_state(model)
        state.append(torch.rand((), device="cuda").item())
    assert_same(state, expected)


def test_data_loader(tmp_path):
    data = torch.utils.data.TensorDataset(X, Y)

    def fit(*callbacks, seed=0):
        keras.utils.set_random_seed(seed)
        model = make()
        loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
        model.fit(loader, epochs=5, verbose=0, callbacks=list(callbacks))
        return model

    expected = all_state(fit())
    with pytest.raises(Crash):
        fit(BackupAndRestore(tmp_path / "b"), crash_at(3))
    assert_same(all_state(fit(BackupAndRestore(tmp_path / "b"), seed=9)), expected)


def test_the_runs_of_that_test_are_not_trivial():
    _, history = run(None, *rate_callbacks("adam"))
    rates = history.history["learning_rate"]
    assert any(after < before * 0.8 for before, after in zip(rates, rates[1:], strict=False))
    first, second = run(None)[0], run(None, seed=1)[0]
    assert not np.array_equal(first.get_weights()[0], second.get_weights()[0])


@pytest.mark.parametrize("place", ["first", "last"])
def test_state_of_the_other_callbacks_wherever_they_stand(tmp_path, place):
    def others():
        save = ModelCheckpoint(tmp_path / "m.safetensors", save_best_only=True)
        stop = EarlyStopping(patience=5, restore_best_weights=True)
        return [stop, save] if place == "first" else [save, stop]

    with pytest.raises(Crash):
        run(BackupAndRestore(tmp_path / "b"), *(first := others()), crash_at(3))
    second = others()
    run(BackupAndRestore(tmp_path / "b"), *second, epochs=3, seed=9)  # nothing left to train
    for before, after in zip(first, second, strict=True):
        assert before.best is not None and after.best == before.best
        if isinstance(before, EarlyStopping):
            assert (after.wait, after.best_epoch) == (before.wait, before.best_epoch)
            assert_same(after.best_weights, before.best_weights)


def test_own_callbacks_take_part_with_a_state_dict(tmp_path):
    class Count(Callback):
        count = 0

        def on_epoch_end(self, epoch, logs=None):
            self.count += 1

        def state_dict(self):
            return {"count": self.count, "more": (np.arange(3), [None, "text", float("inf")])}

        def load_state_dict(self, state):
            assert state["more"][0].tolist() == [0, 1, 2]
            assert state["more"][1] == [None, "text", float("inf")]
            self.count = state["count"]

    with pytest.raises(Crash):
        run(BackupAndRestore(tmp_path / "b"), Count(), crash_at(3))
    count = Count()
    run(BackupAndRestore(tmp_path / "b"), count)
    assert count.count == 7


def test_state_that_cannot_be_kept_is_an_error(tmp_path):
    class Odd(Callback):
        def state_dict(self):
            return {"odd": object()}

        def load_state_dict(self, state):
            pass

    with pytest.raises(TypeError, match="numbers, strings, arrays.*type object"):
        run(BackupAndRestore(tmp_path / "b"), Odd())


def test_two_backups_of_one_kind_keep_apart(tmp_path):
    def others():
        return [EarlyStopping("loss", patience=9), EarlyStopping("val_mae", patience=9)]

    with pytest.raises(Crash):
        run(BackupAndRestore(tmp_path / "b"), *(first := others()), crash_at(2))
    second = others()
    run(BackupAndRestore(tmp_path / "b"), *second, epochs=2)
    assert [c.best for c in second] == [c.best for c in first]
    assert first[0].best != first[1].best


def test_files_are_deleted_at_the_end_and_others_are_not(tmp_path):
    run(BackupAndRestore(tmp_path / "a"))
    assert not (tmp_path / "a").exists()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    run(BackupAndRestore(tmp_path / "b", double_checkpoint=True))
    assert os.listdir(tmp_path / "b") == ["notes.txt"]


def test_files_that_stay_continue_a_longer_run(tmp_path):
    run(BackupAndRestore(tmp_path, delete_checkpoint=False), epochs=3)
    assert os.listdir(tmp_path) == ["latest.safetensors"]
    trained = []
    note = LambdaCallback(on_epoch_begin=lambda epoch, logs: trained.append(epoch))
    _, history = run(BackupAndRestore(tmp_path, delete_checkpoint=False), note, epochs=5)
    assert trained == [3, 4] and history.epoch == [0, 1, 2, 3, 4]


def test_a_second_fit_is_not_affected(tmp_path):
    with pytest.raises(Crash):
        run(BackupAndRestore(tmp_path / "b"), crash_at(3))
    model, _ = run(BackupAndRestore(tmp_path / "b"))
    assert model.fit(X, Y, epochs=2, verbose=0).epoch == [0, 1]


def test_damaged_file_and_its_predecessor(tmp_path):
    with pytest.raises(Crash):
        run(BackupAndRestore(tmp_path, double_checkpoint=True), crash_at(3))
    assert sorted(os.listdir(tmp_path)) == ["latest.safetensors", "latest.safetensors.bkp"]
    latest = tmp_path / "latest.safetensors"
    latest.write_bytes(latest.read_bytes()[:-100])
    expected = all_state(run(None)[0])
    with pytest.warns(UserWarning, match="cannot be read as one"):
        model, history = run(BackupAndRestore(tmp_path, double_checkpoint=True), seed=4)
    assert history.epoch == list(range(7))
    assert_same(all_state(model), expected)


def test_predecessor_alone_is_used(tmp_path):
    with pytest.raises(Crash):
        run(BackupAndRestore(tmp_path, double_checkpoint=True), crash_at(3))
    os.remove(tmp_path / "latest.safetensors")
    trained = []
    note = LambdaCallback(on_epoch_begin=lambda epoch, logs: trained.append(epoch))
    run(BackupAndRestore(tmp_path), note)
    assert trained == [2, 3, 4, 5, 6]


def test_damaged_file_without_predecessor_is_an_error(tmp_path):
    (tmp_path / "latest.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(ValueError, match="cannot be read as one"):
        run(BackupAndRestore(tmp_path))


def test_failed_save_keeps_the_last_state(tmp_path, monkeypatch):
    with pytest.raises(Crash):
        run(BackupAndRestore(tmp_path), crash_at(2))
    before = (tmp_path / "latest.safetensors").read_bytes()

    def broken_replace(*args):
        raise OSError("broken")

    monkeypatch.setattr(os, "replace", broken_replace)
    with pytest.raises(OSError, match="broken"):
        run(BackupAndRestore(tmp_path))
    assert os.listdir(tmp_path) == ["latest.safetensors"]
    assert (tmp_path / "latest.safetensors").read_bytes() == before


def test_another_model_is_an_error_and_stays_as_it_is(tmp_path):
    with pytest.raises(Crash):
        run(BackupAndRestore(tmp_path), crash_at(2))
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    other.compile("adam", "mse")
    before = weights_of(other)
    with pytest.raises(ValueError, match="only with the model that it was begun with"):
        run(BackupAndRestore(tmp_path), model=other)
    assert_same(other.get_weights(), before)


def test_another_optimizer_is_an_error(tmp_path):
    with pytest.raises(Crash):
        run(BackupAndRestore(tmp_path), crash_at(2))
    with pytest.raises(ValueError, match="same kind of optimizer"):
        run(BackupAndRestore(tmp_path), model="torch")


def test_unbuilt_model_is_an_error(tmp_path):
    backup = BackupAndRestore(tmp_path)
    backup.set_model(keras.Sequential([keras.layers.Dense(1)]))
    with pytest.raises(ValueError, match="built before `fit`"):
        backup.on_train_begin()


def test_within_an_epoch(tmp_path):
    # 4 batches an epoch; saves after batches 3, 6, 9 of all: the last is the first of epoch 2.
    def crash(batch, logs):
        if batch == 2 and model.optimizer.iterations > 10:
            raise Crash

    model = make()
    weights = []
    with pytest.raises(Crash):
        run(
            BackupAndRestore(tmp_path / "b", save_freq=3),
            LambdaCallback(
                on_train_batch_end=lambda batch, logs: weights.append(weights_of(model))
            ),
            LambdaCallback(on_train_batch_end=crash),
            model=model,
        )
    assert len(weights) == 11
    seen = []
    fresh = make()
    note = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append((epoch, weights_of(fresh)))
    )
    run(BackupAndRestore(tmp_path / "b", save_freq=3), note, model=fresh)
    assert [epoch for epoch, _ in seen] == [2, 3, 4, 5, 6]
    assert_same(seen[0][1], weights[8])
    assert int(fresh.optimizer.iterations) == 7 * 4


def test_no_batch_hook_unless_needed(tmp_path):
    assert not CallbackList([BackupAndRestore(tmp_path)]).wants_train_batch_end
    assert CallbackList([BackupAndRestore(tmp_path, save_freq=2)]).wants_train_batch_end


def test_hooks_called_by_hand_save_and_restore(tmp_path):
    model, again = make(), make()
    x, y = X[:4], Y[:4]
    model.train_on_batch(x, y)
    save = BackupAndRestore(tmp_path)
    save.set_model(model)
    save.on_epoch_end(4)
    restore = BackupAndRestore(tmp_path)
    restore.set_model(again)
    restore.on_train_begin()
    assert again._initial_epoch == 5
    assert_same(again.get_weights(), model.get_weights())


@pytest.mark.parametrize("arguments", [{"backup_dir": ""}, {"backup_dir": "b", "save_freq": 0.5}])
def test_arguments_are_checked(arguments):
    with pytest.raises(ValueError, match="Received: "):
        BackupAndRestore(**arguments)


@pytest.mark.slow
def test_killed_process(tmp_path):
    script = f"""
        import os, sys
        import numpy as np
        import torchkeras as keras
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
        )
        model.compile("adam", "mse")
        x = np.linspace(0, 1, 60).reshape(20, 3)
        callbacks = [
            keras.callbacks.BackupAndRestore({str(tmp_path / "b")!r}, double_checkpoint=True),
            keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda epoch, logs: epoch != int(sys.argv[1]) or os._exit(9)
            ),
        ]
        model.fit(x, x[:, :1], batch_size=4, epochs=6, verbose=0, callbacks=callbacks)
        print([w.tolist() for w in model.get_weights()])
    """

    def start(kill_at):
        command = [sys.executable, "-c", textwrap.dedent(script), str(kill_at)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout

    code, expected = start(-1)
    assert code == 0
    assert start(3) == (9, "")
    assert start(-1) == (0, expected)


class Stop(Exception):
    pass


def fit_in(folder, crashes=False, **arguments):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((4, 3), "float32")
    backup = BackupAndRestore(folder, **arguments)

    def crash(epoch, logs):
        if crashes and epoch == 1:
            raise Stop

    look = keras.callbacks.LambdaCallback(on_epoch_begin=crash)
    model.fit(x, x[:, :1], epochs=3, verbose=0, callbacks=[backup, look])


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("there", ["", "runs", "runs/1"])
def test_folders_that_the_callback_made_go_with_the_backup(tmp_path, there, crashes):
    folder = tmp_path / "runs" / "1" / "backup"
    (tmp_path / there).mkdir(parents=True, exist_ok=True)
    if crashes:
        with pytest.raises(Stop):
            fit_in(folder, crashes=True)
        assert (folder / "latest.safetensors").exists()
    fit_in(folder)  # a run that goes on knows what the one before has made
    assert not folder.exists()
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == [name for name in ("runs", "runs/1") if there.startswith(name)]


def test_folders_with_something_else_stay(tmp_path):
    fit_in(tmp_path / "runs" / "1", double_checkpoint=True, delete_checkpoint=False)
    assert sorted(os.listdir(tmp_path / "runs" / "1")) == [
        "latest.safetensors",
        "latest.safetensors.bkp",
    ]
    (tmp_path / "runs" / "mine").touch()
    fit_in(tmp_path / "runs" / "1")
    assert os.listdir(tmp_path / "runs") == ["mine"]


def test_what_a_killed_run_has_left_goes_with_the_backup(tmp_path):
    fit_in(tmp_path / "b", delete_checkpoint=False)
    left = tmp_path / "b" / ".latest.safetensors.0123.torchkeras-tmp"
    left.mkdir()
    (left / ".lock").touch()
    fit_in(tmp_path / "b")  # no epoch is left, so nothing is written
    assert os.listdir(tmp_path) == []


def test_a_backup_keeps_its_permissions(tmp_path):
    fit_in(tmp_path, delete_checkpoint=False)
    (tmp_path / "latest.safetensors").chmod(0o600)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((4, 3), "float32")
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    model.fit(x, x[:, :1], epochs=5, verbose=0, callbacks=[backup])
    assert (tmp_path / "latest.safetensors").stat().st_mode & 0o777 == 0o600
