"""Learning-rate schedules against real Keras."""

import inspect

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from torchkeras.optimizers import schedules  # noqa: E402

# Raised inside Keras, by NumPy 2, when it reads its own Variables.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CASES = [
    ("ExponentialDecay", (0.1, 10, 0.7), {}),
    ("ExponentialDecay", (0.1, 10, 0.7), {"staircase": True}),
    ("PiecewiseConstantDecay", ([5, 20], [1.0, 0.5, 0.1]), {}),
    ("PolynomialDecay", (0.1, 30), {"end_learning_rate": 0.01}),
    ("PolynomialDecay", (0.1, 30), {"power": 2.0}),
    ("PolynomialDecay", (0.1, 16), {"power": 0.5, "cycle": True}),
    ("InverseTimeDecay", (0.1, 10, 0.5), {}),
    ("InverseTimeDecay", (0.1, 10, 0.5), {"staircase": True}),
    ("CosineDecay", (0.1, 30), {}),
    ("CosineDecay", (0.1, 30), {"alpha": 0.1}),
    ("CosineDecay", (0.0, 30), {"warmup_target": 0.1, "warmup_steps": 10}),
    ("CosineDecay", (0.1, 30), {"warmup_target": 0.2}),
    ("CosineDecayRestarts", (0.1, 8), {}),
    ("CosineDecayRestarts", (0.1, 8), {"t_mul": 1.0, "m_mul": 0.9}),
    ("CosineDecayRestarts", (0.1, 8), {"t_mul": 1.5, "m_mul": 0.9, "alpha": 0.1}),
]


def make_pair(name, args, kwargs):
    return [getattr(m, name)(*args, **kwargs) for m in (keras.optimizers.schedules, schedules)]


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=str)
def test_values_are_those_of_keras(name, args, kwargs):
    theirs, ours = make_pair(name, args, kwargs)
    # At this restart Keras's float32 logarithm is a step late; ours is exact.
    steps = [step for step in range(120) if not (kwargs.get("t_mul") == 1.5 and step == 20)]
    expected = np.array([float(theirs(step)) for step in steps])
    np.testing.assert_allclose([float(ours(s)) for s in steps], expected, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose([ours._at(step) for step in steps], expected, rtol=2e-6, atol=1e-7)
    counters = [torch.tensor(step, dtype=torch.int32) for step in steps]
    np.testing.assert_allclose(
        [float(ours(step)) for step in counters], expected, rtol=2e-6, atol=1e-7
    )


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=str)
def test_configs_are_those_of_keras(name, args, kwargs):
    theirs, ours = make_pair(name, args, kwargs)
    config = keras.optimizers.schedules.serialize(theirs)
    assert schedules.serialize(ours) == config
    assert schedules.deserialize(config).get_config() == theirs.get_config()


@pytest.mark.parametrize("name", sorted({case[0] for case in CASES}))
def test_signatures_are_those_of_keras(name):
    theirs, ours = getattr(keras.optimizers.schedules, name), getattr(schedules, name)
    assert str(inspect.signature(ours.__init__)) == str(inspect.signature(theirs.__init__))


def halving_of(library):
    class Halving(library.optimizers.schedules.LearningRateSchedule):
        def __init__(self, first):
            self.first = first

        def __call__(self, step):
            return self.first * 0.5 ** library.ops.cast(step, "float32")

        def get_config(self):
            return {"first": self.first}

    return Halving


def test_a_schedule_of_ones_own_is_followed_alike():
    import torchkeras

    rates = []
    for library in (keras, torchkeras):
        cls = halving_of(library)
        optimizer = library.optimizers.SGD(cls(0.4))
        v, seen = library.Variable(1.0), []
        for _ in range(4):
            seen.append(float(optimizer.learning_rate))
            optimizer.apply([torch.tensor(1.0)], [v])
        config = library.optimizers.schedules.serialize(cls(0.4))
        again = library.optimizers.schedules.deserialize(config, {"Halving": cls})
        assert type(again) is cls and again.get_config() == {"first": 0.4}
        rates.append([*seen, float(v.value.detach())])
    np.testing.assert_allclose(rates[1], rates[0], rtol=1e-6)
