import numpy as np
import pytest

import torchkeras as keras
from torchkeras.callbacks.monitor_callback import MonitorCallback


def watch(monitor, model=None, **arguments):
    callback = MonitorCallback(monitor, **arguments)
    callback.set_model(model)
    return callback


def trained(metrics, **arguments):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=metrics, **arguments)
    model.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)
    return model


@pytest.mark.parametrize("mode, better", [("min", 0.4), ("max", 0.6)])
def test_direction_that_is_given(mode, better):
    callback = watch("anything", mode=mode)
    assert callback._is_improvement(better, 0.5)
    assert not callback._is_improvement(1 - better, 0.5)
    assert not callback._is_improvement(0.5, 0.5)


@pytest.mark.parametrize("sign", [1, -1])
def test_improvement_must_exceed_min_delta(sign):
    lower = watch("loss", mode="min", min_delta=sign * 0.25)
    assert not lower._is_improvement(0.75, 1.0) and lower._is_improvement(0.5, 1.0)
    higher = watch("accuracy", mode="max", min_delta=sign * 0.25)
    assert not higher._is_improvement(0.75, 0.5) and higher._is_improvement(1.0, 0.5)


@pytest.mark.parametrize(
    "metric, name, up",
    [
        ("accuracy", "accuracy", True),
        ("mae", "mae", False),
        (keras.metrics.R2Score(name="fit_quality"), "fit_quality", True),
    ],
)
@pytest.mark.parametrize("prefix", ["", "val_"])
def test_direction_of_a_metric_is_its_own(metric, name, up, prefix):
    callback = watch(prefix + name, trained([metric]))
    assert callback._is_improvement(1.0, 0.0) is up


def test_losses_are_better_when_lower():
    assert watch("val_loss")._is_improvement(0.0, 1.0)
    x = keras.Input((2,))
    first, second = keras.layers.Dense(1, name="a")(x), keras.layers.Dense(1, name="b")(x)
    model = keras.Model(x, [first, second])
    model.compile("sgd", ["mse", "mae"], metrics=[["accuracy"], ["mse"]])
    y = np.zeros((4, 1))
    logs = model.fit(np.zeros((4, 2)), [y, y], verbose=0).history
    for name in logs:
        assert watch(name, model)._is_improvement(0.0, 1.0) is (name != "a_accuracy")


def test_metric_set_as_an_attribute_of_the_model():
    model = trained([])
    model.quality = keras.metrics.BinaryAccuracy(name="quality")
    assert watch("quality", model)._is_improvement(1.0, 0.0)


def test_unknown_direction_is_an_error():
    callback = watch("gain", trained([]))
    with pytest.raises(ValueError, match="monitor='gain' with mode='auto'"):
        callback._is_improvement(1.0, 0.0)


def test_unknown_mode_warns_and_is_auto():
    with pytest.warns(UserWarning, match="mode='lowest'"):
        callback = MonitorCallback("loss", mode="lowest")
    assert callback.mode == "auto"


def test_nan_is_never_better_and_any_number_better_than_it():
    callback = watch("loss", mode="min")
    assert not callback._is_improvement(float("nan"), 1.0)
    assert not callback._is_improvement(float("nan"), float("nan"))
    assert callback._is_improvement(5.0, float("nan"))
