"""torchkeras.regularizers."""

import math

import numpy as np
import pytest
import torch

from torchkeras import regularizers
from torchkeras.core.variable import Variable

X = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])


@pytest.mark.parametrize("wrap", [torch.clone, Variable, torch.Tensor.tolist, torch.Tensor.numpy])
def test_penalties(wrap):
    x = wrap(X)
    absolute, squares = 7.5, 1 + 4 + 0.25 + 9 + 1
    for regularizer, expected in [
        (regularizers.L1(0.1), 0.1 * absolute),
        (regularizers.L2(0.1), 0.1 * squares),
        (regularizers.L1L2(0.1, 0.2), 0.1 * absolute + 0.2 * squares),
        (regularizers.L1L2(l1=0.1), 0.1 * absolute),
        (regularizers.L1L2(l2=0.2), 0.2 * squares),
        (regularizers.L1L2(), 0.0),
    ]:
        assert regularizer(x).item() == pytest.approx(expected)
    assert regularizers.Regularizer()(x) == 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_result_is_a_scalar_of_the_inputs_dtype(dtype):
    names = ["l1", "l2", "l1_l2", "orthogonal_regularizer"]
    for regularizer in map(regularizers.get, names):
        value = regularizer(X.to(dtype))
        assert value.shape == () and value.dtype is dtype


def test_gradients():
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(regularizers.L1L2(0.1, 0.2)(x), x)
    torch.testing.assert_close(gradient, 0.1 * X.sign() + 0.4 * X)


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonal_is_the_mean_cosine_of_pairs(mode):
    rows = X.numpy() if mode == "rows" else X.numpy().T
    cosines = [
        abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
        for i, a in enumerate(rows)
        for b in rows[:i]
    ]
    penalty = regularizers.OrthogonalRegularizer(0.3, mode)(X)
    assert float(penalty) == pytest.approx(0.3 * np.mean(cosines), rel=1e-5)


def test_orthogonal_of_zero_and_single_rows():
    regularizer = regularizers.OrthogonalRegularizer(0.3)
    assert float(regularizer(torch.ones(1, 4))) == 0
    x = torch.zeros(3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(regularizer(x), x)
    assert torch.equal(gradient, torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"rank 2. Received: inputs.shape=\(3,\)"):
        regularizer(torch.ones(3))


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "0.1", [0.1]])
def test_bad_factors(value):
    for make, name in [
        (lambda v: regularizers.L1(v), "l1"),
        (lambda v: regularizers.L2(v), "l2"),
        (lambda v: regularizers.L1L2(l2=v), "l2"),
        (lambda v: regularizers.OrthogonalRegularizer(v), "factor"),
    ]:
        with pytest.raises(
            ValueError, match=f"`{name}` must .*non-negative float. Received: {name}="
        ):
            make(value)


def test_bad_mode():
    with pytest.raises(ValueError, match="`mode` must .* Received: mode='diagonal'"):
        regularizers.OrthogonalRegularizer(mode="diagonal")


@pytest.mark.parametrize(
    "regularizer, config",
    [
        (regularizers.L1(0.1), {"l1": 0.1}),
        (regularizers.L2(1), {"l2": 1.0}),
        (regularizers.L1L2(None, 0.2), {"l1": 0.0, "l2": 0.2}),
        (regularizers.L1(None), {"l1": 0.01}),
        (regularizers.OrthogonalRegularizer(0.1, "columns"), {"factor": 0.1, "mode": "columns"}),
    ],
)
def test_configs(regularizer, config):
    assert regularizer.get_config() == config
    full = regularizers.serialize(regularizer)
    assert full["module"] == "keras.regularizers" and full["registered_name"] is None
    again = regularizers.deserialize(full)
    assert type(again) is type(regularizer) and again.get_config() == config


def test_base_class_has_no_config():
    with pytest.raises(NotImplementedError, match="Received: Regularizer"):
        regularizers.Regularizer().get_config()


def test_get():
    for name in ("l1_l2", "l1l2", "L1L2", regularizers.l1_l2, regularizers.L1L2(1.0)):
        assert type(regularizers.get(name)) is regularizers.L1L2
    assert type(regularizers.get("orthogonal_regularizer")) is regularizers.OrthogonalRegularizer
    config = {"class_name": "l2", "config": {"l2": 0.5}}
    assert regularizers.get(config).l2 == 0.5
    assert regularizers.get(None) is None
    assert regularizers.get(torch.sum) is torch.sum
    for bad in ("l3", 0.1, {"class_name": "Nope", "config": {}}):
        with pytest.raises(ValueError, match="Received"):
            regularizers.get(bad)
