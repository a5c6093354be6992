"""What single rules promise beside Keras's, in values from their formulas."""

import numpy as np
import pytest
import torch

from torchkeras.core.variable import Variable
from torchkeras.optimizers import Adafactor, Ftrl, Lamb, Muon, ScheduleFreeAdamW

KERNELS = pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "plain"])


def of(cls, kernel):
    if kernel:
        return cls
    rule = {"update_step": lambda self, *args: super(type(self), self).update_step(*args)}
    return type(cls.__name__, (cls,), rule)


@KERNELS
def test_ftrl_at_a_rate_of_0_changes_nothing(kernel):
    v = Variable([1.0, 2.0])
    optimizer = of(Ftrl, kernel)(learning_rate=0.0)
    optimizer.apply([torch.ones(2)], [v])
    assert v.numpy().tolist() == [1.0, 2.0]
    optimizer.learning_rate = 0.1
    optimizer.apply([torch.ones(2)], [v])
    root = 1.1**0.5  # n = 0.1 + 1; z = 1 - (root - sqrt(0.1)) / 0.1 * w
    expected = [-(1 - (root - 0.1**0.5) / 0.1 * w) / (root / 0.1) for w in (1.0, 2.0)]
    np.testing.assert_allclose(v.numpy(), expected, rtol=1e-5)


@KERNELS
def test_adafactor_leaves_rows_and_columns_without_gradients(kernel):
    """There the product of the mean squares is below the least float."""
    gradient = torch.zeros(3, 3)
    gradient[0, 0] = 1.0
    v = Variable(np.ones((3, 3), "float32"))
    of(Adafactor, kernel)(learning_rate=0.1).apply([gradient], [v])
    assert np.isfinite(v.numpy()).all()
    assert (v.numpy().flatten()[1:] == 1).all() and v.numpy()[0, 0] < 1


@KERNELS
@pytest.mark.parametrize(("w", "g"), [([0.0, 0.0], [1.0, 1.0]), ([3.0, 4.0], [0.0, 0.0])])
def test_lamb_counts_the_ratio_with_a_norm_of_0_as_1(kernel, w, g):
    v = Variable(w)
    of(Lamb, kernel)(learning_rate=0.1).apply([torch.tensor(g)], [v])
    expected = np.array(w) - 0.1 * np.array(g)  # Adam's first step is of size 1 or 0
    np.testing.assert_allclose(v.numpy(), expected, rtol=1e-5)


@KERNELS
@pytest.mark.parametrize("shape", [(6, 3), (3, 6), (1, 4)])
def test_muon_moves_by_nearly_equal_singular_values(kernel, shape):
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(shape, generator=generator) for _ in range(2)]
    variables = [Variable(np.zeros(shape, "float32"), name=f"w{i}") for i in range(2)]
    optimizer = of(Muon, kernel)(learning_rate=1.0, weight_decay=None, rms_rate=None)
    optimizer.apply(gradients, variables)
    for variable, gradient in zip(variables, gradients, strict=True):
        values = np.linalg.svd(variable.numpy(), compute_uv=False)
        assert (values > 0.6).all() and (values < 1.3).all()
        left, _, right = np.linalg.svd(gradient.numpy(), full_matrices=False)
        assert -np.trace(left.T @ variable.numpy() @ right.T) > 0.6 * min(shape)


@KERNELS
@pytest.mark.parametrize("beta_1", [0.0, 0.9, 1.0])
def test_schedule_free_weights_are_between_the_point_and_its_average(kernel, beta_1):
    v = Variable([1.0])
    optimizer = of(ScheduleFreeAdamW, kernel)(learning_rate=0.5, beta_1=beta_1, beta_2=0.0)
    points = []
    for _ in range(4):
        optimizer.apply([torch.tensor([2.0])], [v])  # beta_2 = 0: each step is of size 0.5
        points.append(float(optimizer._momentums[0].numpy()[0]))
        expected = (1 - beta_1) * points[-1] + beta_1 * np.mean(points)
        assert abs(v.numpy()[0] - expected) < 1e-5
    np.testing.assert_allclose(points, [0.5, 0.0, -0.5, -1.0], atol=1e-5)


@pytest.mark.parametrize("cls", [Ftrl, Lamb, Adafactor, Muon, ScheduleFreeAdamW])
def test_update_is_differentiable_in_the_learning_rate(cls):
    v = Variable(np.array([[1.0, 2.0], [3.0, 5.0]]))
    optimizer = cls(learning_rate=0.01)
    optimizer.build([v])
    state = [s.value for s in optimizer.variables]
    gradient = torch.tensor([[1.0, -2.0], [0.5, 1.0]], dtype=torch.float64)

    def total(rate):
        values, _ = optimizer.stateless_apply([state[0], rate, *state[2:]], [gradient], [v.value])
        return (values[0] ** 2).sum()

    rate = torch.tensor(0.01, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(total(rate), [rate])
    step = 1e-3  # the factor of weight decay is in float32
    with torch.no_grad():
        expected = (total(rate + step) - total(rate - step)) / (2 * step)
    np.testing.assert_allclose(float(slope), float(expected), rtol=1e-3)
