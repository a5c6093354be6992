import functools

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

import torchkeras as keras
from torchkeras.callbacks import BackupAndRestore, Callback, TorchScheduler

X = np.linspace(-1, 1, 48, dtype="float32").reshape(16, 3)
Y = X.sum(1, keepdims=True)

SCHEDULERS = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda n: 1 / (n + 1)),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.3, total_steps=40),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=3), lr_scheduler.ExponentialLR(o, 0.8)], [3]
    ),
}
MAKE = functools.partial(torch.optim.SGD, lr=0.2, momentum=0.9)


def make_model():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def fit(model, *callbacks, epochs=5, **options):
    return model.fit(
        X, Y, batch_size=4, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **options
    ).history


def by_hand(scheduler, every, epochs=5):
    """The same training as a loop of PyTorch; returns the weights and the rates of epochs."""
    model = make_model()
    optimizer = MAKE(model.parameters())
    scheduler, rates = SCHEDULERS[scheduler](optimizer), []
    for _ in range(epochs):
        for start in range(0, 16, 4):
            optimizer.zero_grad()
            x, y = torch.as_tensor(X[start : start + 4]), torch.as_tensor(Y[start : start + 4])
            ((model(x) - y) ** 2).mean().backward()
            optimizer.step()
            if every == "batch":
                scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
        if every == "epoch":
            scheduler.step()
    return [w.numpy() for w in model.weights], rates


def assert_same(model, weights):
    for ours, expected in zip(model.weights, weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("made", ["before", "by a function"])
@pytest.mark.parametrize("every", ["epoch", "batch"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_training_is_that_of_a_loop_in_pytorch(name, every, made):
    model = make_model()
    optimizer, scheduler = MAKE, SCHEDULERS[name]
    if made == "before":
        optimizer = MAKE(model.parameters())
        scheduler = scheduler(optimizer)
    model.compile(optimizer, "mse")
    history = fit(model, TorchScheduler(scheduler, every))
    weights, rates = by_hand(name, every)
    assert_same(model, weights)
    shown = history["learning_rate"]
    # Every batch: the rate after the epoch's last step, which a loop would see after its own.
    np.testing.assert_allclose(shown, rates, rtol=1e-6)


def test_a_second_fit_goes_on():
    model, callback = make_model(), TorchScheduler(SCHEDULERS["ExponentialLR"])
    model.compile(MAKE, "mse")
    rates = [fit(model, callback, epochs=2)["learning_rate"] for _ in range(2)]
    np.testing.assert_allclose(np.ravel(rates), 0.2 * 0.9 ** np.arange(4))


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("name", ["StepLR", "SequentialLR", "OneCycleLR"])
def test_a_backup_holds_the_schedulers_state(name, order, tmp_path):
    class Stop(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise KeyboardInterrupt

    def start(*callbacks):
        model = make_model()
        model.compile(MAKE, "mse")
        pair = [BackupAndRestore(tmp_path / "backup"), TorchScheduler(SCHEDULERS[name])]
        return model, fit(model, *pair[::order], *callbacks)

    with pytest.raises(KeyboardInterrupt):
        start(Stop())
    model, _ = start()
    assert_same(model, by_hand(name, "epoch")[0])


def test_plateau_is_stepped_by_a_log():
    model = make_model()
    optimizer = MAKE(model.parameters())
    model.compile(optimizer, "mse")
    plateau = lr_scheduler.ReduceLROnPlateau(
        optimizer, patience=0, threshold=1e9, threshold_mode="abs"
    )
    with pytest.raises(ValueError, match="by the log 'val_loss'"):
        fit(model, TorchScheduler(plateau))
    rates = fit(model, TorchScheduler(plateau), epochs=3, validation_data=(X, Y))["learning_rate"]
    np.testing.assert_allclose(rates, [0.2, 0.2, 0.02])
    lower = TorchScheduler(plateau, monitor="loss")
    assert fit(model, lower, epochs=1)["learning_rate"][0] < 0.02


def test_a_model_that_the_first_batch_builds_is_scheduled_from_the_start():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(MAKE, "mse")
    schedule = TorchScheduler(lambda o: lr_scheduler.LinearLR(o, 0.5, total_iters=2))
    assert np.allclose(fit(model, schedule, epochs=3)["learning_rate"], [0.1, 0.15, 0.2])


def test_scheduler_must_be_of_the_models_optimizer():
    model = make_model()
    model.compile(MAKE, "mse")
    other = SCHEDULERS["StepLR"](MAKE(make_model().parameters()))
    with pytest.raises(ValueError, match="Give both the same"):
        fit(model, TorchScheduler(other))


def test_what_it_cannot_work_with_is_told():
    model = make_model()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="compiled with an optimizer of torch"):
        fit(model, TorchScheduler(SCHEDULERS["StepLR"]))
    with pytest.raises(ValueError, match="every='step'"):
        TorchScheduler(SCHEDULERS["StepLR"], every="step")


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, "sgd"])
def test_learning_rate_scheduler_sets_rates_of_either_kind(optimizer):
    model = make_model()
    optimizer = optimizer if isinstance(optimizer, str) else optimizer(model.parameters(), lr=0.2)
    model.compile(optimizer, "mse")
    halve = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / 2**epoch)
    assert np.allclose(fit(model, halve, epochs=3)["learning_rate"], [0.1, 0.05, 0.025])
