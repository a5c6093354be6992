import contextlib
import gc
import os
import time
import weakref

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.core.scopes import SCOPE

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype("float32")
Y = (X.sum(-1, keepdims=True) + 0.5).astype("float32")
LABELS = RNG.integers(0, 3, 20)


class Recorder(keras.Sequential):
    """Notes the first feature of each sample it is trained and tested on."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.__dict__.update(trained=[], tested=[], batches=[])

    def train_step(self, data):
        x = data[0] if isinstance(data, tuple) else data
        self.trained.append(x[:, 0].tolist())
        self.batches.append(data)
        return super().train_step(data)

    def test_step(self, data):
        self.tested.append(data[0][:, 0].tolist())
        return super().test_step(data)


def linear(cls=keras.Sequential, units=1, **arguments):
    model = cls([keras.Input((3,)), keras.layers.Dense(units)])
    model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})
    return model


def classifier(**arguments):
    layers = [keras.Input((3,)), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential(layers)
    loss = "sparse_categorical_crossentropy"
    model.compile(**{"optimizer": "sgd", "loss": loss, "metrics": ["accuracy"], **arguments})
    return model


def weights_of(model):
    return [weight.copy() for weight in model.get_weights()]


def assert_same_weights(model, weights):
    for now, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, before)


def flat(batches):
    return [value for batch in batches for value in batch]


def assert_at_rest(model):
    """Nothing of a loop is left behind."""
    assert not any(module.training for module in model.modules())
    assert model._running is None and torch.is_grad_enabled()
    assert (SCOPE.depth, SCOPE.stateless, SCOPE.meta, SCOPE.autocast) == (0, None, False, None)


# What is trained


def test_one_step_of_sgd_is_the_formula():
    model = linear(optimizer=keras.optimizers.SGD(0.1))
    kernel, bias = weights_of(model)
    error = X @ kernel + bias - Y
    history = model.fit(X, Y, batch_size=20, verbose=0)
    assert history.history["loss"] == [pytest.approx((error**2).mean(), rel=1e-5)]
    expected = kernel - 0.1 * 2 * X.T @ error / 20
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5, atol=1e-7)


def test_epoch_loss_is_the_mean_over_samples():
    model = linear(optimizer=keras.optimizers.SGD(0.0), metrics=["mae"])
    error = model.predict(X, verbose=0) - Y
    history = model.fit(X, Y, batch_size=17, verbose=0).history  # batches of 17 and 3
    assert history["loss"] == [pytest.approx((error**2).mean(), rel=1e-5)]
    assert history["mae"] == [pytest.approx(np.abs(error).mean(), rel=1e-5)]


def test_training_learns():
    model = linear(optimizer=keras.optimizers.Adam(0.05))
    losses = model.fit(X, Y, epochs=150, verbose=0).history["loss"]
    assert len(losses) == 150 and losses[-1] < 1e-3 * losses[0]
    assert all(isinstance(loss, float) for loss in losses)


@pytest.mark.parametrize("shuffle", [True, False, "batch"])
def test_every_sample_once_an_epoch(shuffle):
    model = linear(Recorder)
    model.fit(X, Y, batch_size=8, epochs=2, shuffle=shuffle, verbose=0)
    assert [len(batch) for batch in model.trained] == [8, 8, 4] * 2
    first, second = flat(model.trained[:3]), flat(model.trained[3:])
    assert sorted(first) == sorted(second) == sorted(X[:, 0].tolist())
    if shuffle is True:
        assert first != second and first != X[:, 0].tolist()
    elif shuffle == "batch":
        assert sorted(model.trained[0]) == sorted(X[:8, 0].tolist()) and first != second
    else:
        assert first == second == X[:, 0].tolist()


def test_a_seed_fixes_the_training():
    def run():
        keras.utils.set_random_seed(4)
        model = linear()
        model.fit(X, Y, epochs=2, verbose=0)
        return weights_of(model)

    first, second = run(), run()
    np.testing.assert_array_equal(first[0], second[0])


# Validation


@pytest.mark.parametrize("shuffle", [True, False])
def test_validation_split_is_the_last_part_and_never_trained_on(shuffle):
    model = linear(Recorder)
    history = model.fit(
        X, Y, batch_size=4, epochs=3, shuffle=shuffle, validation_split=0.3, verbose=0
    )
    held_out = X[14:, 0].tolist()
    assert sorted(set(flat(model.trained))) == sorted(X[:14, 0].tolist())
    assert not set(flat(model.trained)) & set(held_out)
    assert flat(model.tested) == held_out * 3  # in order, the same each epoch
    assert len(history.history["val_loss"]) == 3


@pytest.mark.parametrize("kind", ["tensor", "list", "dict"])
def test_validation_split_of_other_arrays(kind):
    x = {"tensor": torch.tensor(X), "list": X.tolist(), "dict": {"a": X}}[kind]
    inputs = keras.Input((3,), name="a")
    model = keras.Model({"a": inputs} if kind == "dict" else inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    y = torch.tensor(Y) if kind == "tensor" else Y
    logs = model.fit(x, y, validation_split=0.5, verbose=0).history
    rest = {"a": X[10:]} if kind == "dict" else X[10:]
    assert logs["val_loss"] == [pytest.approx(model.evaluate(rest, Y[10:], verbose=0), rel=1e-5)]


def test_validation_is_evaluation():
    weights = RNG.uniform(size=9)
    model = linear(metrics=["mae"], weighted_metrics=["mse"])
    history = model.fit(
        X, Y, validation_data=(X[:9], Y[:9], weights), validation_batch_size=4, verbose=0
    ).history
    logs = model.evaluate(X[:9], Y[:9], sample_weight=weights, verbose=0, return_dict=True)
    assert {f"val_{k}": [pytest.approx(v, rel=1e-5)] for k, v in logs.items()} == {
        k: v for k, v in history.items() if k.startswith("val_")
    }
    assert {k.removeprefix("val_") for k in history} == set(logs)


def test_validation_steps_take_the_same_samples_each_time():
    model = linear(Recorder)
    model.fit(
        X,
        Y,
        epochs=3,
        validation_data=(X, Y),
        validation_steps=2,
        validation_batch_size=3,
        verbose=0,
    )
    assert flat(model.tested) == X[:6, 0].tolist() * 3


@pytest.mark.parametrize(
    ("freq", "epochs"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3]), ([1, 5], [0, 4]), ({2}, [1])]
)
def test_validation_freq(freq, epochs):
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(epoch) if "val_loss" in logs else None
    )
    model = linear()
    history = model.fit(
        X, Y, epochs=5, validation_split=0.2, validation_freq=freq, callbacks=[watch], verbose=0
    )
    assert seen == epochs and len(history.history["val_loss"]) == len(epochs)


def test_training_goes_on_in_training_mode_after_validation():
    modes = []

    class Spy(keras.layers.Layer):
        def call(self, x):
            modes.append((self.training, torch.is_grad_enabled()))
            return x

    model = keras.Sequential([keras.Input((3,)), Spy(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    modes.clear()
    model.fit(X, Y, epochs=2, batch_size=10, validation_data=(X, Y), verbose=0)
    epoch = [(True, True)] * 2 + [(False, False)] * 2
    assert modes == epoch * 2
    assert_at_rest(model)


# Data of every kind


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return X[4 * index : 4 * index + 4], Y[4 * index : 4 * index + 4]


def generator(weights=False):
    for start in range(0, 20, 4):
        rows = slice(start, start + 4)
        yield (X[rows], Y[rows], np.ones(4)) if weights else (X[rows], Y[rows])


def loader(**arguments):
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(data, batch_size=4, **arguments)


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize(
    "source",
    [
        lambda: {"x": X, "y": Y},
        lambda: {"x": X.tolist(), "y": Y.tolist()},
        lambda: {"x": torch.tensor(X), "y": torch.tensor(Y)},
        lambda: {"x": torch.tensor(X).double(), "y": torch.tensor(Y).double()},
        lambda: {"x": X.astype("float64"), "y": Y.astype("float64")},
        lambda: {"x": X, "y": Y, "sample_weight": np.ones(20)},
        lambda: {"x": generator()},
        lambda: {"x": generator(weights=True)},
        lambda: {"x": Batches()},
        lambda: {"x": loader()},
        lambda: {"x": iter([[torch.tensor(x), torch.tensor(y)] for x, y in generator()])},
    ],
)
def test_sources_of_data(source, built):
    def run(data, **arguments):
        keras.utils.set_random_seed(0)
        layers = [keras.Input((3,))] if built else []
        model = keras.Sequential([*layers, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(**data, shuffle=False, verbose=0, **arguments)
        return weights_of(model)

    data = source()
    batch_size = 4 if "y" in data else None
    expected = run({"x": X, "y": Y}, batch_size=4)
    for ours, theirs in zip(run(data, batch_size=batch_size), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_integer_inputs():
    model = linear()
    assert len(model.fit(np.ones((4, 3), "int64"), np.ones((4, 1)), verbose=0).history["loss"])


def test_dataset_is_told_of_epochs():
    calls = []

    class Told(Batches):
        def on_epoch_begin(self):
            calls.append("begin")

        def on_epoch_end(self):
            calls.append("end")

    layers = [keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    model.fit(Told(), epochs=2, verbose=0)
    assert calls == ["begin", "end"] * 2


@pytest.mark.parametrize("fail", [False, True])
def test_workers_end_with_fit(fail):
    def stop(batch, logs):
        if fail:
            raise RuntimeError("stop")

    model = linear()
    data = loader(num_workers=1)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
    before = set(os.listdir("/proc/self/task"))
    if fail:
        # Who keeps the error keeps the frames of the loop alive, but no workers.
        with pytest.raises(RuntimeError, match="stop") as caught:
            model.fit(data, verbose=0, callbacks=[callback], steps_per_epoch=3)
        assert caught.value.__traceback__ is not None
    else:
        model.fit(data, verbose=0, callbacks=[callback], steps_per_epoch=3)
    assert not torch.multiprocessing.active_children()
    patience = time.monotonic() + 5  # a thread that has been told to end takes its time
    while set(os.listdir("/proc/self/task")) - before and time.monotonic() < patience:
        time.sleep(0.01)
    assert not set(os.listdir("/proc/self/task")) - before


def test_steps_per_epoch_goes_through_the_data():
    model = linear(Recorder)
    model.fit(generator(), steps_per_epoch=2, epochs=2, verbose=0)
    assert flat(model.trained) == X[:16, 0].tolist()
    model = linear(Recorder)
    model.fit(X, Y, steps_per_epoch=4, shuffle=False, verbose=0)
    assert [len(batch) for batch in model.trained] == [5] * 4


def test_a_generator_that_ends_early():
    model = linear()
    with pytest.warns(UserWarning, match="no batch left"):
        history = model.fit(generator(), epochs=3, verbose=0)
    assert len(history.history["loss"]) == 1 and history.epoch == [0, 1, 2]


# Weights of samples and classes


def test_sample_weight_of_zero_leaves_samples_out():
    results = []
    for rows, weight in ((slice(0, 10), None), (slice(0, 20), np.repeat([2.0, 0.0], 10))):
        keras.utils.set_random_seed(0)
        model = linear()
        model.fit(X[rows], Y[rows], sample_weight=weight, batch_size=20, verbose=0)
        results.append(weights_of(model))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)


def test_class_weight_is_sample_weight():
    results = []
    weight = {0: 0.5, 2: 4.0}
    for arguments in (
        {"class_weight": weight},
        {"sample_weight": np.array([weight.get(label, 1.0) for label in LABELS])},
    ):
        keras.utils.set_random_seed(0)
        model = classifier()
        history = model.fit(X, LABELS, epochs=2, shuffle=False, verbose=0, **arguments)
        results.append((history.history["loss"], *weights_of(model)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-6)


# Epochs, steps, callbacks


def test_epochs_and_initial_epoch():
    model = linear()
    history = model.fit(X, Y, epochs=5, initial_epoch=2, verbose=0)
    assert history.epoch == [2, 3, 4] and len(history.history["loss"]) == 3
    before = weights_of(model)
    for arguments in ({"epochs": 0}, {"epochs": 3, "initial_epoch": 3}):
        history = model.fit(X, Y, verbose=0, **arguments)
        assert history.epoch == [] and history.history == {}
        assert_same_weights(model, before)


def test_epochs_of_zero_leave_averages_alone():
    model = linear(optimizer=keras.optimizers.SGD(use_ema=True))
    before = weights_of(model)
    model.fit(X, Y, epochs=0, verbose=0)
    assert_same_weights(model, before)


def test_moving_averages_are_put_in_at_the_end():
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(model.layers[0], "trainable", epoch < 1),
        on_train_batch_end=lambda batch, logs: seen.append(weights_of(model)[0]),
    )
    layers = [keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    model.fit(X, Y, epochs=2, batch_size=20, verbose=0, callbacks=[watch])
    assert len(seen) == 2
    average = model.optimizer._model_variables_moving_average[0]
    np.testing.assert_allclose(model.get_weights()[0], average.numpy())


@pytest.mark.parametrize(("size", "ends"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3, 5]), (9, [8])])
def test_steps_per_execution(size, ends):
    calls = {"train": [], "test": [], "predict": []}

    def note(kind):
        return {
            f"on_{kind}_batch_begin": lambda batch, logs: calls[kind].append(("begin", batch)),
            f"on_{kind}_batch_end": lambda batch, logs: calls[kind].append(("end", batch)),
        }

    class Watch(keras.callbacks.Callback):
        pass

    watch = Watch()
    for kind in calls:
        for name, function in note(kind).items():
            setattr(watch, name, function)
    model = linear(steps_per_execution=size)
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=[watch])
    model.evaluate(X, Y, batch_size=4, verbose=0, callbacks=[watch])
    model.predict(X, batch_size=4, verbose=0, callbacks=[watch])
    begins = [0, *[end + 1 for end in ends[:-1]]]
    expected = [
        call
        for pair in zip(begins, ends, strict=True)
        for call in zip(("begin", "end"), pair, strict=True)
    ]
    assert calls == {"train": expected, "test": expected, "predict": expected}


@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_stop_training_from_a_batch(steps_per_execution):
    def stop(batch, logs):
        model.stop_training = True

    model = linear(Recorder, steps_per_execution=steps_per_execution)
    ends = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=stop, on_train_end=lambda logs: ends.append(sorted(logs))
    )
    history = model.fit(
        X, Y, batch_size=4, epochs=3, verbose=0, callbacks=[callback], validation_data=(X, Y)
    )
    assert len(model.trained) == steps_per_execution and history.epoch == [0]
    assert ends == [["loss", "val_loss"]]
    model.trained.clear()
    model.fit(X, Y, batch_size=4, verbose=0)  # the flag is cleared
    assert len(model.trained) == 5


def test_stop_training_from_an_epoch():
    model = linear()
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 1)
    )
    assert model.fit(X, Y, epochs=5, verbose=0, callbacks=[callback]).epoch == [0, 1]


def test_learning_rate_from_a_callback():
    model = linear()
    seen = []

    def set_rate(epoch, logs):
        model.optimizer.learning_rate = 0.0 if epoch else 0.1
        seen.append(weights_of(model))

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=set_rate)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[callback])
    assert not np.array_equal(seen[0][0], seen[1][0])
    np.testing.assert_array_equal(seen[1][0], seen[2][0])
    assert_same_weights(model, seen[2])


@pytest.mark.filterwarnings("error")
def test_a_layer_frozen_and_thawed_by_a_callback():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    seen = []

    def freeze(epoch, logs):
        model.layers[0].trainable = epoch != 1
        seen.append(weights_of(model))

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=freeze)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[callback])
    seen.append(weights_of(model))
    changed = [
        [not np.array_equal(a[i], b[i]) for i in (0, 2)]
        for a, b in zip(seen, seen[1:], strict=False)
    ]
    assert changed == [[True, True], [False, True], [True, True]]


def test_weights_loaded_by_a_callback():
    model = linear(optimizer=keras.optimizers.SGD(0.1))
    start = weights_of(model)
    callback = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: model.set_weights(start)
    )
    losses = model.fit(X, Y, epochs=3, shuffle=False, verbose=0, callbacks=[callback]).history
    assert losses["loss"] == [losses["loss"][0]] * 3


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_train_batch_end"])
@pytest.mark.parametrize("inner", ["evaluate", "predict", "test_on_batch", "fit"])
def test_loops_inside_callbacks(hook, inner):
    modes = []

    class Spy(keras.layers.Layer):
        def call(self, x):
            modes.append((self.training, torch.is_grad_enabled()))
            return x

    model = keras.Sequential([keras.Input((3,)), Spy(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    other = linear()

    def run(number, logs):
        if inner == "fit":
            other.fit(X, Y, verbose=0)
            model.train_on_batch(X, Y)
        else:
            arguments = (X,) if inner == "predict" else (X, Y)
            more = {} if inner == "test_on_batch" else {"verbose": 0}
            getattr(model, inner)(*arguments, **more)
        assert model.training is True or hook == "on_epoch_begin"

    callback = keras.callbacks.LambdaCallback(**{hook: run})
    modes.clear()
    model.fit(X, Y, batch_size=5, epochs=2, verbose=0, callbacks=[callback])
    trained = [mode for mode in modes if mode[0]]
    extra = len(trained) - 8
    assert extra == (0 if inner != "fit" else 8 if hook == "on_train_batch_end" else 2)
    assert all(grad for _, grad in trained)
    assert all(not grad for training, grad in modes if not training)
    assert_at_rest(model)


def test_logs_of_validation_are_not_lost_by_an_evaluation_in_a_callback():
    model = linear(optimizer=keras.optimizers.SGD(0.0), metrics=["mae"])
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: model.evaluate(X[:3], Y[:3], verbose=0)
    )
    history = model.fit(X, Y, verbose=0, callbacks=[callback]).history
    assert history["loss"] == [pytest.approx(model.evaluate(X, Y, verbose=0)[0], rel=1e-5)]


def test_order_of_hooks():
    calls = []

    class Watch(keras.callbacks.Callback):
        pass

    watch = Watch()
    for name in dir(keras.callbacks.Callback):
        if name.startswith("on_") and "batch_begin" not in name and name != "on_batch_end":
            setattr(watch, name, lambda *args, name=name, logs=None: calls.append(name))
    linear().fit(X, Y, validation_data=(X, Y), verbose=0, callbacks=[watch])
    assert calls == [
        "on_train_begin", "on_epoch_begin", "on_train_batch_end", "on_test_begin",
        "on_test_batch_end", "on_test_end", "on_epoch_end", "on_train_end",
    ]  # fmt: skip


# Modes and failures


def test_dropout_is_on_in_training_only():
    model = keras.Sequential([keras.Input((50,)), keras.layers.Dropout(0.5)])
    seen = {True: [], False: []}
    model.layers[0].register_forward_hook(
        lambda layer, args, out: seen[layer.training].append(float((out == 0).float().mean()))
    )
    head = keras.Sequential([model, keras.layers.Dense(1)])
    head.compile("sgd", "mse")
    head.build((None, 50))
    seen[False].clear()
    ones = np.ones((20, 50), "float32")
    head.fit(ones, Y, validation_data=(ones, Y), verbose=0)
    head.predict(ones, verbose=0)
    assert all(0.3 < share < 0.7 for share in seen[True]) and seen[True]
    assert set(seen[False]) == {0.0}
    assert_at_rest(head)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize(
    "hook",
    ["on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end",
     "on_test_begin", "on_test_batch_end", "on_epoch_end", "on_train_end"],
)  # fmt: skip
def test_an_error_in_a_callback(hook, error):
    class Failing(keras.callbacks.Callback):
        pass

    def fail(*args, logs=None):
        raise error("failed")

    callback = Failing()
    setattr(callback, hook, fail)
    model = linear()
    with pytest.raises(error, match="failed"):
        model.fit(X, Y, validation_data=(X, Y), verbose=0, callbacks=[callback])
    assert_at_rest(model)
    assert len(model.fit(X, Y, epochs=2, verbose=0).history["loss"]) == 2


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("training", [True, False])
def test_an_error_in_the_model(error, training):
    class Failing(keras.layers.Layer):
        on = False

        def call(self, x, training=None):
            if self.on and training is wanted:
                raise error("failed")
            return x

    wanted = training
    inputs = keras.Input((3,))
    layer = Failing()
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    before, steps = weights_of(model), int(model.optimizer.iterations)
    layer.on = True
    with pytest.raises(error, match="failed"):
        model.fit(X, Y, batch_size=20, validation_data=(X, Y), verbose=0)
    assert_at_rest(model)
    if training:
        assert_same_weights(model, before)
        assert int(model.optimizer.iterations) == steps
    layer.on = False
    assert model.fit(X, Y, verbose=0).history["loss"]


def test_a_metric_that_fails_changes_no_weight():
    def failing(y_true, y_pred):
        raise RuntimeError("failed")

    model = linear(metrics=[failing])
    before = weights_of(model)
    with pytest.raises(RuntimeError, match="failed"):
        model.fit(X, Y, verbose=0)
    assert_same_weights(model, before)
    assert int(model.optimizer.iterations) == 0
    assert_at_rest(model)


def test_fit_under_no_grad():
    model = linear()
    before = weights_of(model)
    with torch.no_grad():
        model.fit(X, Y, verbose=0)
        assert not torch.is_grad_enabled()
    assert not np.array_equal(model.get_weights()[0], before[0])


def test_no_trainable_weights():
    model = linear()
    model.trainable = False
    before = weights_of(model)
    with pytest.warns(UserWarning, match="has no trainable weights") as warned:
        history = model.fit(X, Y, verbose=0)
    assert {warning.filename for warning in warned} == {__file__}  # the line that calls `fit`
    assert len(history.history["loss"]) == 1
    assert_same_weights(model, before)


# Memory and waiting for the device


def _live_tensors():
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("kind", ["fit", "train_on_batch", "predict", "predict_on_batch"])
def test_no_batch_or_graph_is_kept(kind):
    outputs = []
    model = classifier(weighted_metrics=["sparse_categorical_crossentropy"])
    model.layers[0].register_forward_hook(
        lambda layer, args, out: outputs.append((weakref.ref(args[0]), weakref.ref(out)))
    )

    def run(steps):
        if kind == "fit":
            model.fit(((X, LABELS) for _ in range(steps)), verbose=0)
        elif kind == "predict":
            model.predict((X for _ in range(steps)), verbose=0)
        else:
            for _ in range(steps):
                arguments = (X,) if kind == "predict_on_batch" else (X, LABELS)
                getattr(model, kind)(*arguments)

    run(20)
    before = _live_tensors()
    run(300)
    assert _live_tensors() <= before
    assert len(outputs) >= 320
    assert not any(ref() is not None for pair in outputs for ref in pair)


def test_a_model_is_freed():
    model = classifier()
    model.fit(X, LABELS, validation_split=0.2, verbose=0)
    model.predict(X, verbose=0)
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


_READS = ["item", "tolist", "numpy", "cpu", "__float__", "__bool__", "__int__", "__array__"]


def _count_reads(monkeypatch, function):
    """How often values of tensors are read; reads of the optimizer's CPU counters apart."""
    counts = {}
    own = {}

    def counting(name, original):
        def method(self, *args, **kwargs):
            kind = own if id(self) in counters else counts
            kind[name] = kind.get(name, 0) + 1
            return original(self, *args, **kwargs)

        return method

    counters = function(None)
    with monkeypatch.context() as patch:
        for name in _READS:
            patch.setattr(torch.Tensor, name, counting(name, getattr(torch.Tensor, name)))
        function(counters)
    return sum(counts.values()), sum(own.values())


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop", "adamw"])
def test_no_step_waits_for_the_device(monkeypatch, optimizer):
    model = classifier(optimizer=optimizer, weighted_metrics=["sparse_categorical_accuracy"])
    x, y = torch.tensor(X), torch.tensor(LABELS)

    def reads(steps):
        def run(counters):
            if counters is None:
                model.fit(x, y, batch_size=4, verbose=0)
                own = [v.value for v in model.optimizer.variables if v.value.dim() == 0]
                assert all(tensor.device.type == "cpu" for tensor in own)
                return {id(tensor) for tensor in own}
            data = ((x[:4], y[:4]) for _ in range(steps))
            model.fit(data, verbose=0)

        return _count_reads(monkeypatch, run)

    few, few_own = reads(3)
    many, many_own = reads(53)
    assert many - few == 0
    assert (many_own - few_own) / 50 <= 3


# Refused arguments and data


def two_outputs(**arguments):
    inputs = keras.Input((3,))
    a = keras.layers.Dense(3, activation="softmax", name="a")(inputs)
    model = keras.Model(inputs, [a, keras.layers.Dense(1, name="b")(inputs)])
    losses = ["sparse_categorical_crossentropy", "mse"]
    model.compile(**{"optimizer": "adam", "loss": losses, **arguments})
    return model


def two_inputs():
    a, b = keras.Input((3,), name="a"), keras.Input((1,), name="b")
    model = keras.Model([a, b], keras.layers.Dense(1)(keras.layers.Concatenate()([a, b])))
    model.compile("adam", "mse")
    return model


def not_compiled():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


BOTH = [LABELS, Y]
REFUSED = {
    "not compiled": (not_compiled, {"x": X, "y": Y}, ValueError, "must be compiled before `fit`"),
    "features": (linear, {"x": X[:, :2], "y": Y}, ValueError, r"Received: x of shape \(20, 2\)"),
    "rank": (linear, {"x": X[:, 0], "y": Y}, ValueError, "rank 2"),
    "strings": (linear, {"x": ["a"] * 20, "y": Y}, ValueError, r"Received: shape \(20,\)"),
    "no x": (linear, {}, ValueError, "x=None"),
    "an object": (linear, {"x": object()}, ValueError, "Unrecognized data type"),
    "targets": (
        lambda: linear(units=2), {"x": X, "y": X}, ValueError, r"y_true of shape \(20, 3\)"
    ),
    "no targets": (linear, {"x": X}, ValueError, "Received: 0 in `y`"),
    "input missing": (two_inputs, {"x": [X], "y": Y}, ValueError, r"expects 2 input\(s\)"),
    "input extra": (two_inputs, {"x": [X, Y, Y], "y": Y}, ValueError, r"expects 2 input\(s\)"),
    "one array": (two_inputs, {"x": X, "y": Y}, ValueError, r"expects 2 input\(s\)"),
    "input name": (two_inputs, {"x": {"a": X, "c": Y}, "y": Y}, ValueError, r"missing: \['b'\]"),
    "target missing": (two_outputs, {"x": X, "y": [LABELS]}, ValueError, "Received: 1 in `y`"),
    "target extra": (two_outputs, {"x": X, "y": [*BOTH, Y]}, ValueError, "Received: 3 in `y`"),
    "target name": (two_outputs, {"x": X, "y": {"a": LABELS, "c": Y}}, ValueError, "unknown keys"),
    "target unnamed": (two_outputs, {"x": X, "y": {"a": LABELS}}, ValueError, "output 'b'"),
    "loss name": (
        lambda: two_outputs(loss={"a": "mse", "z": "mse"}),
        {"x": X, "y": BOTH},
        ValueError,
        r"`loss` must be names.*\['z'\]",
    ),
    "metric name": (
        lambda: two_outputs(metrics={"a": ["acc"], "z": ["mae"]}),
        {"x": X, "y": BOTH},
        ValueError,
        r"`metrics` must be names.*\['z'\]",
    ),
    "losses": (lambda: two_outputs(loss=["mse"]), {"x": X, "y": BOTH}, ValueError, "1 entries"),
    "metrics": (
        lambda: two_outputs(metrics=["mae"]), {"x": X, "y": BOTH}, ValueError, "1 entries"
    ),
    "loss weights": (
        lambda: two_outputs(loss_weights=[1.0]), {"x": X, "y": BOTH}, ValueError, "loss_weights"
    ),
    "no loss": (lambda: linear(loss=None), {"x": X, "y": Y}, ValueError, "no loss to compute"),
    "lengths": (linear, {"x": X, "y": Y[:19]}, ValueError, "x: 20, y: 19"),
    "no samples": (linear, {"x": X[:0], "y": Y[:0]}, ValueError, "at least one sample"),
    "empty generator": (linear, {"x": iter([])}, ValueError, "at least one batch"),
    "batch of four": (linear, {"x": iter([(X, Y, Y, Y)])}, ValueError, "tuple of 4 items"),
    "label": (classifier, {"x": X, "y": LABELS + 1}, ValueError, "y_true from 1 to 3"),
    "negative label": (classifier, {"x": X, "y": LABELS - 1}, ValueError, "y_true from -1 to 1"),
    "split": (linear, {"x": X, "y": Y, "validation_split": 1.0}, ValueError, "split=1.0"),
    "split below": (linear, {"x": X, "y": Y, "validation_split": -0.1}, ValueError, "split=-0.1"),
    "split of none": (linear, {"x": X, "y": Y, "validation_split": 0.99}, ValueError, "at least"),
    "split by name": (linear, {"x": X, "y": Y, "validation_split": "0.1"}, TypeError, "str"),
    "split of batches": (linear, {"x": Batches(), "validation_split": 0.1}, ValueError, "arrays"),
    "validation": (
        linear, {"x": X, "y": Y, "validation_data": (X, Y[:3])}, ValueError, "y: 3"
    ),
    "validation of four": (
        linear, {"x": X, "y": Y, "validation_data": (X, Y, Y, Y)}, ValueError, "4 items"
    ),
    "freq": (
        linear, {"x": X, "y": Y, "validation_freq": 0}, ValueError, "validation_freq=0"
    ),
    "batch size": (linear, {"x": X, "y": Y, "batch_size": 0}, ValueError, "batch_size=0"),
    "epochs": (linear, {"x": X, "y": Y, "epochs": -1}, ValueError, "epochs=-1"),
    "epochs by name": (linear, {"x": X, "y": Y, "epochs": "3"}, TypeError, "type str"),
    "steps": (linear, {"x": X, "y": Y, "steps_per_epoch": 0}, ValueError, "steps_per_epoch=0"),
    "weights": (linear, {"x": X, "y": Y, "sample_weight": np.ones(9)}, ValueError, "weight: 9"),
    "weights' shape": (
        linear, {"x": X, "y": Y, "sample_weight": X}, ValueError, r"weights of shape \(20, 3\)"
    ),
    "two weights": (
        linear,
        {"x": X, "y": Y, "sample_weight": np.ones(20), "class_weight": {0: 1.0}},
        ValueError,
        "Received: both",
    ),
    "class weight": (classifier, {"x": X, "y": LABELS, "class_weight": [1]}, TypeError, "dict"),
    "callback": (linear, {"x": X, "y": Y, "callbacks": [5]}, TypeError, "Callback instances"),
    "shuffle": (linear, {"x": X, "y": Y, "shuffle": "all"}, ValueError, "shuffle='all'"),
    "verbose": (linear, {"x": X, "y": Y, "verbose": "loud"}, ValueError, "verbose='loud'"),
    "y beside batches": (linear, {"x": Batches(), "y": Y}, ValueError, "leave `y` out"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "arguments", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_fit_refuses(build, arguments, error, words):
    model = build()
    before = weights_of(model)
    with pytest.raises(error, match=f"(?s){words}") as caught:
        model.fit(**{"verbose": 0, "batch_size": None, **arguments})
    message = str(caught.value)
    assert "Received" in message and message.rstrip().endswith(".")
    assert_same_weights(model, before)
    assert model.optimizer is None or int(model.optimizer.iterations) == 0
    assert_at_rest(model)


def test_a_refused_fit_does_not_build_the_model():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    for arguments in ({"y": Y[:3]}, {"y": Y, "batch_size": 0}, {"y": Y, "validation_split": 2}):
        with pytest.raises(ValueError):
            model.fit(X, verbose=0, **arguments)
        assert not model.built and model.weights == [] and not model.optimizer.built
    model.fit(X, Y, verbose=0)
    assert model.built


class _Nothing(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


def test_data_that_yields_nothing_is_an_error():
    empty = torch.utils.data.DataLoader(_Nothing(), batch_size=2)
    for arguments in ({}, {"steps_per_epoch": 2, "epochs": 2}):
        model = linear()
        with pytest.warns() if arguments else contextlib.nullcontext():
            with pytest.raises(ValueError, match="`fit` needs at least one batch"):
                model.fit(empty, verbose=0, **arguments)
    with pytest.raises(ValueError, match="validation of `fit` needs at least one batch"):
        linear().fit(X, Y, validation_data=empty, verbose=0)
    with pytest.raises(ValueError, match="`evaluate` needs at least one batch"):
        linear().evaluate(empty, verbose=0)
    with pytest.raises(ValueError, match="`predict` needs at least one batch"):
        linear().predict(empty, verbose=0)


def test_a_metric_called_loss_does_not_hide_the_loss():
    model = linear(metrics=[keras.metrics.MeanAbsoluteError(name="loss")])
    error = X @ model.get_weights()[0] + model.get_weights()[1] - Y
    found = model.evaluate(X, Y, verbose=0, return_dict=True)
    expected = {"loss": (error**2).mean(), "loss_1": np.abs(error).mean()}
    assert found == pytest.approx(expected, rel=1e-5)
    history = model.fit(X, Y, verbose=0, validation_data=(X, Y)).history
    assert sorted(history) == ["loss", "loss_1", "val_loss", "val_loss_1"]
    assert model.train_on_batch(X, Y, return_dict=True).keys() == expected.keys()


def test_a_metric_called_like_the_loss_of_an_output_does_not_hide_it():
    x = keras.Input((1,))
    model = keras.Model(x, [keras.layers.Identity(name=name)(x) for name in "ab"])
    model.compile(loss="mse", metrics=[[keras.metrics.MeanAbsoluteError(name="loss")], None])
    x, y = np.full((2, 1), 3.0), np.zeros((2, 1))
    found = model.evaluate(x, [y, y], verbose=0, return_dict=True)
    assert found == {"loss": 18.0, "a_loss": 9.0, "a_loss_1": 3.0, "b_loss": 9.0}


def test_a_metric_of_a_layer_called_loss_does_not_hide_it():
    class Watched(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seen = keras.metrics.Mean(name="loss")

        def call(self, x):
            self.seen.update_state(x.detach().abs().sum() * 0 + 7)
            return x

    model = keras.Sequential([Watched()])
    model.compile(loss="mse")
    found = model.evaluate(np.full((2, 1), 3.0), np.zeros((2, 1)), verbose=0, return_dict=True)
    assert found == {"loss": 9.0, "loss_1": 7.0}


class _WithoutLength(keras.utils.PyDataset):
    def __getitem__(self, index):
        return X[:4] + index, Y[:4]


class _Endless(_WithoutLength):
    num_batches = None


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", [_WithoutLength, _Endless])
def test_a_dataset_without_a_length_is_read_in_counted_steps(kind, workers):
    model = linear(Recorder)
    model.fit(kind(workers=workers), steps_per_epoch=2, epochs=2, verbose=0)
    firsts = [batch[0] - X[0, 0] for batch in model.trained]
    assert firsts == pytest.approx([0, 1, 2, 3])
    assert model.predict(kind(workers=workers), steps=3, verbose=0).shape == (12, 1)
    assert np.isfinite(model.evaluate(kind(workers=workers), steps=2, verbose=0))
    history = model.fit(
        X, Y, verbose=0, validation_data=kind(workers=workers), validation_steps=2
    ).history
    assert "val_loss" in history


def test_a_dataset_without_a_length_needs_steps():
    for call in (linear().fit, linear().evaluate, linear().predict):
        with pytest.raises(NotImplementedError, match="`steps_per_epoch`"):
            call(_WithoutLength(), verbose=0)
