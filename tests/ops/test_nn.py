"""Normalization, one-hot codes, softmax: formulas and properties."""

import pytest
import torch

from torchkeras import ops

X = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("axis", [0, -1, (0, 2), None])
def test_softmax_sums_to_one_and_ignores_a_shift(axis):
    y = ops.softmax(X, axis=axis)
    sums = ops.sum(y, axis=axis)
    torch.testing.assert_close(sums, torch.ones(sums.shape))
    torch.testing.assert_close(ops.softmax(X + 1000.0, axis=axis), y, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(ops.log_softmax(X, axis=axis), torch.log(y))


def test_softmax_over_a_single_class_warns():
    with pytest.warns(UserWarning, match="size 1"):
        ops.softmax(torch.ones(3, 1))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sparsemax_solves_its_optimality_condition(axis):
    y = ops.sparsemax(X, axis=axis)
    torch.testing.assert_close(y.sum(axis), torch.ones(y.sum(axis).shape))
    # On the support, x - y is one threshold; elsewhere x is below it.
    threshold = torch.where(y > 0, X - y, float("-inf")).amax(axis, keepdim=True)
    torch.testing.assert_close(y, torch.relu(X - threshold))


@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
def test_one_hot(axis):
    labels = torch.tensor([[0, 2, -1], [1, 5, 2]])
    codes = ops.one_hot(labels, 3, axis=axis)
    codes = codes.movedim(axis, -1)
    for index, label in zip(torch.cartesian_prod(*map(torch.arange, (2, 3))), labels.flatten(),
                            strict=True):  # fmt: skip
        expected = [float(label == i) for i in range(3)]
        assert codes[tuple(index)].tolist() == expected
    with pytest.raises(ValueError, match="sparse=True"):
        ops.one_hot(labels, 3, sparse=True)


def test_multi_hot():
    assert ops.multi_hot(torch.tensor([0, 2, 2]), 4).tolist() == [1, 0, 1, 0]
    with pytest.raises(ValueError, match="num_classes"):
        ops.multi_hot(torch.tensor([0]))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_normalize_gives_norm_one(order):
    norm = ops.normalize(X, axis=1, order=order).abs().pow(order).sum(1)
    torch.testing.assert_close(norm, torch.ones(4, 6))


def test_normalize_of_zero_has_a_finite_gradient():
    x = torch.zeros(3, requires_grad=True)
    ops.normalize(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    with pytest.raises(ValueError, match="order=0"):
        ops.normalize(x, order=0)


def test_moments_are_exact_far_from_zero():
    x = torch.tensor([10000.0, 10001.0, 10002.0])  # mean(x^2) - mean(x)^2 would be off by 1
    mean, variance = ops.moments(x, axes=0)
    assert mean.item() == 10001 and abs(variance.item() - 2 / 3) < 1e-6
    mean, variance = ops.moments(X, axes=(0, 2), keepdims=True)
    assert mean.shape == variance.shape == (1, 5, 1)
    with pytest.raises(NotImplementedError, match="synchronized=True"):
        ops.moments(X, 0, synchronized=True)


def test_moments_in_half_precision_stay_finite():
    mean, variance = ops.moments(torch.tensor([-60000.0, 60000.0]).half(), axes=0)
    assert mean.item() == 0 and variance.item() == torch.finfo(torch.float16).max


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), (0, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layer_and_rms_normalization(axis, dtype):
    x = X.to(dtype)
    axes = (axis,) if isinstance(axis, int) else axis
    sizes = [X.shape[a] for a in axes]
    gamma = torch.rand(sizes, generator=torch.Generator().manual_seed(1))
    broadcast = [X.shape[i] if i - 3 in axes or i in axes else 1 for i in range(3)]
    wide = x.float()
    mean = wide.mean(axes, keepdim=True)
    variance = (wide - mean).square().mean(axes, keepdim=True)
    expected = (wide - mean) / torch.sqrt(variance + 1e-3) * gamma.reshape(broadcast) + 1
    ours = ops.layer_normalization(x, gamma, torch.ones(sizes), axis=axis, epsilon=1e-3)
    torch.testing.assert_close(ours, expected.to(dtype))
    square = wide.square().mean(axes, keepdim=True)
    expected = wide / torch.sqrt(square + 1e-3) * gamma.reshape(broadcast)
    ours = ops.rms_normalization(x, gamma, axis=axis, epsilon=1e-3)
    torch.testing.assert_close(ours, expected.to(dtype))


def test_psnr():
    x = torch.zeros(10)
    torch.testing.assert_close(ops.psnr(x, x + 0.1, max_val=1.0), torch.tensor(20.0))
    with pytest.raises(ValueError, match="one shape"):
        ops.psnr(x, x[:3], max_val=1.0)


@pytest.mark.parametrize("name", ["elu", "gelu", "silu", "softplus", "softsign", "softmax"])
def test_integers_become_floats(name):
    x = torch.tensor([[-2, 3]])
    torch.testing.assert_close(getattr(ops, name)(x), getattr(ops, name)(x.float()))
