import math

import numpy as np
import pytest
import torch

from torchkeras.core.variable import Variable
from torchkeras.optimizers import schedules

ALL = [
    schedules.ExponentialDecay(0.1, 10, 0.5),
    schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True),
    schedules.PiecewiseConstantDecay([5, 10], [1.0, 0.5, 0.1]),
    schedules.PolynomialDecay(0.1, 20, end_learning_rate=0.01, power=2.0),
    schedules.PolynomialDecay(0.1, 20, cycle=True),
    schedules.InverseTimeDecay(0.1, 10, 0.5),
    schedules.InverseTimeDecay(0.1, 10, 0.5, staircase=True),
    schedules.CosineDecay(0.1, 20, alpha=0.1),
    schedules.CosineDecay(0.0, 20, warmup_target=0.1, warmup_steps=5),
    schedules.CosineDecay(0.3, 20, warmup_target=0.1),
    schedules.CosineDecayRestarts(0.1, 7, t_mul=1.5, m_mul=0.9, alpha=0.1),
    schedules.CosineDecayRestarts(0.1, 7, t_mul=1.0),
]
IDS = [f"{type(s).__name__}{i}" for i, s in enumerate(ALL)]


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        (ALL[0], 20, 0.025),
        (ALL[0], 5, 0.1 * math.sqrt(0.5)),
        (ALL[1], 19, 0.05),
        (ALL[2], 5, 1.0),
        (ALL[2], 6, 0.5),
        (ALL[2], 11, 0.1),
        (ALL[3], 10, 0.09 * 0.25 + 0.01),
        (ALL[3], 99, 0.01),
        (ALL[4], 30, (0.1 - 0.0001) * 0.25 + 0.0001),
        (ALL[4], 0, 0.1),
        (ALL[5], 20, 0.05),
        (ALL[6], 29, 0.05),
        (ALL[7], 10, 0.1 * (0.9 * 0.5 + 0.1)),
        (ALL[7], 50, 0.01),
        (ALL[8], 2, 0.04),
        (ALL[8], 5, 0.1),
        (ALL[8], 15, 0.05),
        (ALL[8], 25, 0.0),
        (ALL[9], 0, 0.1),
        (ALL[11], 7, 0.1),
    ],
)
def test_values_follow_the_formula(schedule, step, expected):
    assert float(schedule(step)) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("schedule", ALL, ids=IDS)
def test_every_kind_of_step_gives_the_same_float32_tensor(schedule):
    for step in (0, 1, 5, 7, 10, 19, 20, 33):
        expected = schedule(step)
        assert expected.dtype is torch.float32 and expected.shape == ()
        for form in (
            torch.tensor(step, dtype=torch.int32),
            torch.tensor(float(step)),
            Variable(step, dtype="int32"),
        ):
            value = schedule(form)
            assert value.dtype is torch.float32 and value.shape == ()
            torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("schedule", ALL, ids=IDS)
def test_steps_can_be_batched_and_traced(schedule):
    steps = torch.arange(40, dtype=torch.int32)
    expected = torch.stack([schedule(int(s)) for s in steps])
    torch.testing.assert_close(schedule(steps), expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(torch.func.vmap(schedule)(steps), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("growth", [1.5, 2.0, 3.0, 7.0])
def test_every_restart_is_found_exactly(growth):
    schedule = schedules.CosineDecayRestarts(1.0, 64, t_mul=growth)
    step = 0.0
    for period in range(6):
        assert schedule._at(step) == pytest.approx(1.0, abs=1e-7)
        if period:
            assert schedule._at(step - 1) < 0.01
        step += 64 * growth**period


def test_restarts_that_shrink_to_nothing_give_nan_after_their_end():
    schedule = schedules.CosineDecayRestarts(1.0, 10, t_mul=0.5)  # periods sum to 20 steps
    assert math.isnan(schedule(20)) and not math.isnan(schedule(19))


@pytest.mark.parametrize("schedule", ALL, ids=IDS)
def test_config_round_trip(schedule):
    config = schedules.serialize(schedule)
    assert config["module"] == "keras.optimizers.schedules"
    twin = schedules.deserialize(config)
    assert type(twin) is type(schedule) and twin.get_config() == schedule.get_config()


def test_short_config_is_enough():
    twin = schedules.deserialize(
        {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.5, "decay_steps": 4}}
    )
    assert float(twin(0)) == 0.5


def test_variable_as_initial_rate_is_read_once():
    rate = Variable(0.5)
    schedule = schedules.PolynomialDecay(rate, 4)
    rate.assign(0.1)
    assert schedule.get_config()["initial_learning_rate"] == 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda: schedules.ExponentialDecay(0.1, 0, 0.5),
        lambda: schedules.PolynomialDecay(0.1, -1),
        lambda: schedules.InverseTimeDecay(0.1, 0, 0.5),
        lambda: schedules.CosineDecay(0.1, 0),
        lambda: schedules.CosineDecayRestarts(0.1, 0),
    ],
)
def test_steps_must_be_positive(make):
    with pytest.raises(ValueError, match=r"decay_steps` must be > 0. Received: \w*decay_steps=-?"):
        make()


def test_values_must_be_one_more_than_boundaries():
    with pytest.raises(ValueError, match="one entry more than `boundaries`.*length 2"):
        schedules.PiecewiseConstantDecay([1, 2], [1.0, 0.5])


def test_base_class_says_what_to_define():
    schedule = schedules.LearningRateSchedule()
    with pytest.raises(NotImplementedError, match="`__call__"):
        schedule(0)
    with pytest.raises(NotImplementedError, match="get_config"):
        schedule.get_config()


def test_piecewise_values_keep_float64_precision():
    schedule = schedules.PiecewiseConstantDecay([1], [0.1, 0.2])
    np.testing.assert_equal(
        schedule._formula(torch.tensor(5.0).double(), _torch_math()).item(), 0.2
    )


def _torch_math():
    from torchkeras.optimizers.schedules.learning_rate_schedule import _TorchMath

    return _TorchMath
