"""torchkeras.constraints."""

import numpy as np
import pytest
import torch

from torchkeras import constraints
from torchkeras.core.variable import Variable

W = torch.tensor(np.random.default_rng(1).normal(size=(3, 4, 5)).astype("float32"))
AXES = [0, -1, [0, 1], (1, 2), None]


def norms(w, axis):
    axis = tuple(axis) if isinstance(axis, list) else axis
    return np.sqrt(np.square(np.asarray(w)).sum(axis=axis, keepdims=True))


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("wrap", [lambda w: w, Variable])
def test_norms_after_each_constraint(axis, wrap):
    before = norms(W, axis)
    middle = float(np.median(before))
    for constraint, expected in [
        (constraints.MaxNorm(middle, axis), np.minimum(before, middle)),
        (constraints.UnitNorm(axis), np.ones_like(before)),
        (
            constraints.MinMaxNorm(middle, middle + 0.1, 1.0, axis),
            before.clip(middle, middle + 0.1),
        ),
        (
            constraints.MinMaxNorm(0.1, 0.2, 0.25, axis),
            0.25 * before.clip(0.1, 0.2) + 0.75 * before,
        ),
    ]:
        after = constraint(wrap(W)).detach().numpy()
        np.testing.assert_allclose(norms(after, axis), expected, rtol=1e-5)
        # The direction stays.
        np.testing.assert_allclose(after / expected, W.numpy() / before, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_zeros_stay_zero(dtype):
    zeros = torch.zeros(3, 2, dtype=dtype)
    for constraint in map(constraints.get, ["max_norm", "unit_norm", "min_max_norm", "non_neg"]):
        assert torch.equal(constraint(zeros), zeros)
    assert torch.equal(constraints.MinMaxNorm(1.0, 2.0)(zeros), zeros)


def test_non_neg():
    assert torch.equal(constraints.NonNeg()(W), torch.where(W > 0, W, 0.0))
    assert constraints.NonNeg()([-1, 2]).tolist() == [0, 2]


def test_base_class_changes_nothing():
    assert constraints.Constraint()(W) is W
    assert constraints.Constraint().get_config() == {}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_stays(dtype):
    for name in ["max_norm", "unit_norm", "min_max_norm", "non_neg"]:
        assert constraints.get(name)(W.to(dtype)).dtype is dtype


def test_bad_arguments():
    with pytest.raises(ValueError, match="`max_value` must .* Received: max_value=-1"):
        constraints.MaxNorm(-1)
    for arguments in ({"min_value": -0.1}, {"min_value": 2.0}, {"max_value": -1.0}):
        with pytest.raises(ValueError, match="`min_value` must .* Received: min_value="):
            constraints.MinMaxNorm(**arguments)


@pytest.mark.parametrize(
    "constraint",
    [
        constraints.MaxNorm(3.0, [0, 1]),
        constraints.NonNeg(),
        constraints.UnitNorm(1),
        constraints.MinMaxNorm(0.5, 2.0, 0.7, 1),
        constraints.Constraint(),
    ],
)
def test_config_round_trip(constraint):
    full = constraints.serialize(constraint)
    assert full["module"] == "keras.constraints" and full["registered_name"] is None
    again = constraints.deserialize(full)
    assert type(again) is type(constraint)
    assert again.get_config() == constraint.get_config() == vars(constraint)


def test_get():
    for name in ("max_norm", "MaxNorm", constraints.max_norm, constraints.MaxNorm(3)):
        assert type(constraints.get(name)) is constraints.MaxNorm
    assert constraints.min_max_norm is constraints.MinMaxNorm
    assert constraints.non_neg is constraints.NonNeg
    assert constraints.unit_norm is constraints.UnitNorm
    assert constraints.get({"class_name": "unit_norm", "config": {"axis": 1}}).axis == 1
    assert constraints.get(None) is None
    assert constraints.get(torch.relu) is torch.relu
    for bad in ("max", 2, {"class_name": "Nope", "config": {}}):
        with pytest.raises(ValueError, match="Received"):
            constraints.get(bad)
