import numpy as np
import pytest

import torchkeras as keras
from torchkeras.callbacks import Callback, EarlyStopping, ModelCheckpoint, SwapEMAWeights

X = np.ones((4, 1), "float32")


def make(**arguments):
    """One weight w = 1, loss w^2, rate 0.25, so that a step halves w."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    arguments = {"use_ema": True, "ema_momentum": 0.5, **arguments}
    model.compile(keras.optimizers.SGD(0.25, **arguments), "mse")
    model.set_weights([np.ones((1, 1))])
    return model


def expected(steps):
    """(w, average) after a number of steps."""
    w, average = 1.0, 1.0
    for step in range(steps):
        w = w / 2
        average = w if step == 0 else 0.5 * average + 0.5 * w
    return w, average


class Watch(Callback):
    """Notes the weight in the hooks named."""

    def __init__(self, *hooks):
        super().__init__()
        self.seen = []
        for hook in hooks:
            setattr(self, hook, self.note)

    def note(self, *args, **kwargs):
        self.seen.append(self.model.get_weights()[0].item())


def test_averages_are_those_of_the_formula():
    model = make()
    model.fit(X, 0 * X, epochs=3, verbose=0)
    assert model.get_weights()[0].item() == expected(3)[1]  # `fit` ends with the averages


def test_validation_uses_averages_and_training_the_weights():
    model = make()
    during, after = Watch("on_test_batch_end"), Watch("on_epoch_end")
    callbacks = [SwapEMAWeights(), during, after]
    history = model.fit(
        X, 0 * X, epochs=3, verbose=0, validation_data=(X, 0 * X), callbacks=callbacks
    ).history
    assert during.seen == [expected(n)[1] for n in (1, 2, 3)]
    assert after.seen == [expected(n)[0] for n in (1, 2, 3)]
    assert history["val_loss"] == [expected(n)[1] ** 2 for n in (1, 2, 3)]


@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_evaluate_and_predict_leave_the_weights(method):
    model = make()
    model.train_on_batch(X, 0 * X)
    model.train_on_batch(X, 0 * X)
    w, average = expected(2)
    arguments = (X, 0 * X) if method == "evaluate" else (X,)
    result = getattr(model, method)(*arguments, verbose=0, callbacks=[SwapEMAWeights()])
    assert np.max(result) == (average**2 if method == "evaluate" else average)
    assert model.get_weights()[0].item() == w
    assert model.optimizer._model_variables_moving_average[0].numpy().item() == average


def test_checkpoints_hold_averages(tmp_path):
    model = make()
    save = ModelCheckpoint(tmp_path / "{epoch}.safetensors", save_weights_only=True)
    model.fit(X, 0 * X, epochs=3, verbose=0, callbacks=[SwapEMAWeights(swap_on_epoch=True), save])
    for epoch in (1, 2, 3):
        model.load_weights(tmp_path / f"{epoch}.safetensors")
        assert model.get_weights()[0].item() == expected(epoch)[1]


@pytest.mark.parametrize("validation", [None, (X, 0 * X)])
def test_training_is_the_same_with_swaps_at_epochs(validation):
    model = make()
    watch = Watch("on_train_batch_begin")
    model.fit(
        X, 0 * X, epochs=4, verbose=0, validation_data=validation,
        callbacks=[SwapEMAWeights(swap_on_epoch=True), watch],
    )  # fmt: skip
    assert watch.seen == [expected(n)[0] for n in range(4)]
    assert model.get_weights()[0].item() == expected(4)[1]


def test_training_that_stops_early_ends_with_the_averages():
    model = make()
    stop = EarlyStopping("loss", min_delta=1e6, patience=1)
    callbacks = [SwapEMAWeights(swap_on_epoch=True), stop]
    history = model.fit(X, 0 * X, epochs=9, verbose=0, callbacks=callbacks)
    assert history.epoch == [0, 1]
    assert model.get_weights()[0].item() == expected(2)[1]


@pytest.mark.parametrize("optimizer", ["sgd", lambda params: __import__("torch").optim.SGD(params)])
def test_optimizer_without_averages_is_an_error(optimizer):
    model = make()
    model.compile(optimizer, "mse")
    with pytest.raises(ValueError, match="use_ema=True"):
        model.evaluate(X, X, verbose=0, callbacks=[SwapEMAWeights()])


def test_before_the_first_step_there_is_nothing_to_swap():
    model = make()
    assert model.evaluate(X, 0 * X, verbose=0, callbacks=[SwapEMAWeights()]) == 1.0
    assert model.get_weights()[0].item() == 1.0
