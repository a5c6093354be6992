"""What a program's own code raises while a backup is brought back leaves the model as it was."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.callbacks import BackupAndRestore, Callback, History

X = np.linspace(-1, 1, 24).reshape(8, 3).astype("float32")
Y = X[:, :1]


class Refused(Exception):
    pass


class Crash(Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch == 1:
            raise Refused


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def make(optimizer=None):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5, seed=3),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer(model) if optimizer else "adam", "mse", metrics=["mae"])
    return model


class Kept(Callback):
    """Has a state; a later run may refuse to take it."""

    refuses = False

    def __init__(self, value=0):
        super().__init__()
        self.value = value

    def state_dict(self):
        return {"value": [self.value]}

    def load_state_dict(self, state):
        (self.value,) = state["value"]
        if self.refuses:
            raise Refused


class Refusing(Kept):
    refuses = True


class Later(Kept):
    pass


Refusing.__name__ = "Kept"  # the state of a Kept is for it


class Raises(Callback):
    """A callback that raises in one of the hooks before the first step."""

    def __init__(self, hook):
        super().__init__()
        setattr(self, hook, self._raise)

    def _raise(self, *arguments, **keywords):
        raise Refused


class Own(torch.optim.SGD):
    """An optimizer of the program's own, which takes no state, but for one of its own."""

    mine = False

    def load_state_dict(self, state):
        super().load_state_dict(state)
        if not Own.mine and state["state"]:
            raise Refused


class Source:
    """Batches that tell where they are, and may refuse to be set there."""

    refuses = False

    def __init__(self):
        self.place = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.place += 1
        return X[:4], Y[:4]

    def state_dict(self):
        return {"place": self.place}

    def load_state_dict(self, state):
        self.place = state["place"]
        if self.refuses and self.place:
            raise Refused


class RefusingSource(Source):
    refuses = True


class BegunBadly(keras.utils.PyDataset):
    refuses = False

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[index * 4 : index * 4 + 4], Y[index * 4 : index * 4 + 4]

    def on_epoch_begin(self):
        if BegunBadly.refuses:
            raise Refused


def state_of(model):
    optimizer = model.optimizer
    inner = getattr(optimizer, "optimizer", None)
    values = [w.numpy().copy() for w in model.weights]
    values += [layer.seed_generator.state.numpy().copy() for layer in model.layers[2:3]]
    if inner is None:
        values += [v.numpy().copy() for v in optimizer.variables]
    else:
        values += [np.array(int(optimizer.iterations))]
        values += [np.array(len(inner.state))]
        values += [g["lr"] for g in inner.param_groups]
    return values


def interrupted(folder, callbacks=(), optimizer=None, x=None, **arguments):
    data = {"x": X, "y": Y, "batch_size": 4} if x is None else {"x": x}
    with pytest.raises(Refused):
        make(optimizer).fit(
            **data, epochs=2, verbose=0, **arguments,
            callbacks=[BackupAndRestore(folder, save_freq=1), *callbacks, Crash()],
        )  # fmt: skip


def check_unchanged(folder, callbacks=(), optimizer=None, x=None, **arguments):
    data = {"x": X, "y": Y, "batch_size": 4} if x is None else {"x": x}
    keras.utils.set_random_seed(5)
    model = make(optimizer)
    model.layers[0].bias.assign([1.0, 2.0, 3.0, 4.0])
    before, numbers = state_of(model), torch.get_rng_state()
    content = (folder / "latest.safetensors").read_bytes()
    with pytest.raises(Refused):
        model.fit(
            **data, epochs=2, verbose=0, **arguments,
            callbacks=[BackupAndRestore(folder, save_freq=1), *callbacks],
        )  # fmt: skip
    after = state_of(model)
    # The optimizer was built by then, which an unfinished `fit` leaves: with zeros.
    for one, other in zip(before, after, strict=False):
        np.testing.assert_array_equal(one, other)
    for value in after[len(before) :]:
        assert not np.any(value)
    assert torch.equal(torch.get_rng_state(), numbers)
    assert (folder / "latest.safetensors").read_bytes() == content
    assert not {"_initial_epoch", "_resumed_loop", "_put_back"} & {
        name for name, value in model.__dict__.items() if value is not None
    }
    return model


def test_callback_that_refuses_its_state(tmp_path):
    interrupted(tmp_path, [Kept(7), Later(8)])
    later, refusing, history = Later(1), Refusing(2), History()
    model = check_unchanged(tmp_path, [later, refusing, history])
    assert (later.value, history.epoch, history.history) == (1, [], {})
    # The same model then takes it.
    kept = Kept()
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[BackupAndRestore(tmp_path), kept])
    assert kept.value == 7 and int(model.optimizer.iterations) == 4


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin"])
def test_callback_that_raises_before_the_first_step(tmp_path, hook):
    interrupted(tmp_path)
    check_unchanged(tmp_path, [Raises(hook)])


def test_interrupt_while_it_is_brought_back(tmp_path):
    interrupted(tmp_path)
    model = make()
    before = state_of(model)

    class Interrupted(Callback):
        def on_train_begin(self, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0, callbacks=[BackupAndRestore(tmp_path), Interrupted()])
    for one, other in zip(before, state_of(model), strict=False):
        np.testing.assert_array_equal(one, other)


def test_optimizer_that_refuses_its_state(tmp_path, monkeypatch):
    def own(model):
        return Own(model.parameters(), lr=0.1, momentum=0.9)

    interrupted(tmp_path, optimizer=own)
    check_unchanged(tmp_path, optimizer=own)
    monkeypatch.setattr(Own, "mine", True)
    model = make(own)
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[BackupAndRestore(tmp_path)])
    assert int(model.optimizer.iterations) == 4


def test_scheduler_that_refuses_its_state(tmp_path):
    class Scheduler(torch.optim.lr_scheduler.StepLR):
        def load_state_dict(self, state):
            super().load_state_dict(state)
            raise Refused

    def scheduled(kind):
        return keras.callbacks.TorchScheduler(lambda optimizer: kind(optimizer, 1, 0.5))

    interrupted(tmp_path, [scheduled(torch.optim.lr_scheduler.StepLR)], optimizer=sgd)
    check_unchanged(tmp_path, [scheduled(Scheduler)], optimizer=sgd)


def test_source_that_refuses_its_state(tmp_path):
    interrupted(tmp_path, x=Source(), steps_per_epoch=3)
    source = RefusingSource()
    check_unchanged(tmp_path, x=source, steps_per_epoch=3)


def test_dataset_that_raises_where_it_begins(tmp_path, monkeypatch):
    interrupted(tmp_path, x=BegunBadly())
    monkeypatch.setattr(BegunBadly, "refuses", True)
    check_unchanged(tmp_path, x=BegunBadly())


def test_metric_that_raises(tmp_path, monkeypatch):
    class Odd(keras.metrics.R2Score):
        def update_state(self, *arguments, **keywords):
            raise Refused

    interrupted(tmp_path)
    model = make()
    model.compile("adam", "mse", metrics=[Odd()])
    before = state_of(model)
    with pytest.raises(Refused):
        model.fit(X, Y, batch_size=4, verbose=0, callbacks=[BackupAndRestore(tmp_path)])
    for one, other in zip(before, state_of(model), strict=False):
        np.testing.assert_array_equal(one, other)


def test_error_after_the_first_step_keeps_what_was_trained(tmp_path):
    interrupted(tmp_path)
    model = make()
    with pytest.raises(Refused):
        model.fit(
            X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[BackupAndRestore(tmp_path), Crash()]
        )
    assert int(model.optimizer.iterations) == 1
