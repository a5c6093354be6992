"""Loops of several threads, and what mode they leave behind."""

import threading

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers

X = np.ones((8, 16), "float32")


class Meeting(layers.Layer):
    """Waits in its call for what a test says, and keeps the modes it ran in."""

    def __init__(self, meet):
        super().__init__()
        self.meet, self.seen = [meet], []

    def call(self, x):
        self.meet[0]()
        self.seen.append(self.training)
        return x


def make(meet=lambda: None):
    model = keras.Sequential([keras.Input((16,)), layers.Dropout(0.5), Meeting(lambda: None)])
    model.layers[-1].meet[0] = meet
    model.layers[-1].seen.clear()
    return model


def in_threads(*functions):
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors


@pytest.mark.parametrize("mode_before", [False, True])
def test_predictions_of_threads_overlap_in_any_order(mode_before):
    # The first to begin ends first, while the second still runs.
    second_is_in, first_is_out = threading.Event(), threading.Event()
    model = make()
    (model.train if mode_before else model.eval)()

    def meet():
        if threading.current_thread().name == "second":
            second_is_in.set()
            assert first_is_out.wait(30)
        else:
            assert second_is_in.wait(30)

    model.layers[-1].meet[0] = meet
    results = {}

    def first():
        results["first"] = model.predict(X, verbose=0)
        first_is_out.set()

    def second():
        threading.current_thread().name = "second"
        results["second"] = model.predict(X, verbose=0)

    in_threads(first, second)
    for result in results.values():
        np.testing.assert_array_equal(result, X)
    assert model.layers[-1].seen == [False, False]
    assert all(part.training is mode_before for part in model.modules())
    assert model._running is None and model._loop_mode is None


def test_fit_after_predictions_of_threads_trains_and_ends_in_inference():
    barrier = threading.Barrier(3)
    model = keras.Sequential([keras.Input((16,)), layers.Dense(16), layers.Dropout(0.5)])
    model.compile("sgd", "mse")

    class Wait(keras.callbacks.Callback):
        def on_predict_begin(self, logs=None):
            barrier.wait(30)

        def on_predict_end(self, logs=None):
            barrier.wait(30)

    for _ in range(3):
        in_threads(*[lambda: model.predict(X, verbose=0, callbacks=[Wait()])] * 3)
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(model.training)
    )
    model.fit(X, X, verbose=0, callbacks=[watch])
    assert seen == [True] and not any(part.training for part in model.modules())


def test_threads_build_a_new_model_once():
    barrier = threading.Barrier(4)
    model = keras.Sequential([layers.Dense(16, kernel_initializer="ones"), layers.Dense(1)])
    results = []

    def predict():
        barrier.wait(30)
        results.append(model.predict(X, verbose=0))

    in_threads(*[predict] * 4)
    assert len(model.weights) == 4
    for result in results:
        np.testing.assert_array_equal(result, results[0])


def test_loops_of_one_thread_are_nested():
    model = keras.Sequential([keras.Input((16,)), layers.Dense(16), layers.Dropout(0.5)])
    model.compile("sgd", "mse")
    seen = []

    class Inner(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(model.training)
            model.predict(X, verbose=0, callbacks=[Deeper()])
            seen.append(model.training)

    class Deeper(keras.callbacks.Callback):
        def on_predict_batch_begin(self, batch, logs=None):
            model.evaluate(X, X, verbose=0)
            seen.append(model.training)

    model.fit(X, X, batch_size=4, verbose=0, callbacks=[Inner()])
    assert seen == [True, False, True] * 2
    assert not model.training and model._loop_mode is None and model._running is None


def test_a_failing_loop_of_one_thread_leaves_the_others_alone():
    fails, is_out = threading.Event(), threading.Event()

    def meet():
        if threading.current_thread().name == "failing":
            fails.set()
            raise RuntimeError("no")
        assert fails.wait(30) and is_out.wait(30)

    model = make(meet).train()

    def failing():
        threading.current_thread().name = "failing"
        with pytest.raises(RuntimeError, match="no"):
            model.predict(X, verbose=0)
        is_out.set()

    def other():
        np.testing.assert_array_equal(model.predict(X, verbose=0), X)

    in_threads(failing, other)
    assert model.training and model._loop_mode is None
    assert torch.is_grad_enabled()
