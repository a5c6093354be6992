"""Initializers that draw random numbers."""

import math

import numpy as np
import pytest
import torch

from torchkeras import initializers, random
from torchkeras.initializers.random_initializers import _STDDEV_AFTER_CUT, compute_fans

RANDOM = [
    initializers.GlorotNormal,
    initializers.GlorotUniform,
    initializers.HeNormal,
    initializers.HeUniform,
    initializers.LecunNormal,
    initializers.LecunUniform,
    initializers.Orthogonal,
    initializers.RandomNormal,
    initializers.RandomUniform,
    initializers.TruncatedNormal,
    initializers.VarianceScaling,
]
SHAPE = 200, 300


@pytest.mark.parametrize("cls", RANDOM)
def test_int_seed_repeats_and_seed_generator_moves_on(cls):
    assert torch.equal(cls(seed=3)((5, 4)), cls(seed=3)((5, 4)))
    assert not torch.equal(cls(seed=3)((5, 4)), cls(seed=4)((5, 4)))
    moving = cls(seed=random.SeedGenerator(3))
    first = moving((5, 4))
    assert not torch.equal(first, moving((5, 4)))
    assert torch.equal(first, cls(seed=random.SeedGenerator(3))((5, 4)))


@pytest.mark.parametrize("cls", RANDOM)
def test_without_seed_an_instance_repeats_and_manual_seed_decides(cls):
    torch.manual_seed(1)
    one, other = cls(), cls()
    assert torch.equal(one((5, 4)), one((5, 4)))
    assert not torch.equal(one((5, 4)), other((5, 4)))
    assert not torch.equal(one((5, 4)), one.clone()((5, 4)))
    torch.manual_seed(1)
    assert torch.equal(one((5, 4)), cls()((5, 4)))
    assert one.get_config()["seed"] is None
    assert isinstance(one.seed, int)


def test_calling_leaves_the_default_generator_alone():
    initializer = initializers.GlorotUniform()
    before = torch.get_rng_state()
    initializer((5, 4))
    assert torch.equal(before, torch.get_rng_state())


def test_seed_generator_in_the_config():
    first = initializers.RandomNormal(seed=random.SeedGenerator(7))
    config = first.get_config()
    assert config["seed"]["module"] == "keras.random"
    again = initializers.RandomNormal.from_config(config)
    assert isinstance(again.seed, random.SeedGenerator)
    assert torch.equal(first((3,)), again((3,)))
    assert initializers.RandomNormal(seed=np.int64(5)).get_config()["seed"] == 5


@pytest.mark.parametrize("seed", ["a", 1.5, [1]])
def test_bad_seed(seed):
    with pytest.raises(ValueError, match="`seed` must be .* Received: seed="):
        initializers.GlorotUniform(seed=seed)


def test_named_distributions_have_their_parameters():
    x = initializers.RandomNormal(2.0, 0.5, seed=1)(SHAPE)
    assert x.mean().item() == pytest.approx(2.0, abs=0.01)
    assert x.std().item() == pytest.approx(0.5, rel=0.01)
    x = initializers.RandomUniform(-1.0, 3.0, seed=1)(SHAPE)
    assert -1 <= x.min() < -0.99 and 2.99 < x.max() < 3
    assert x.mean().item() == pytest.approx(1.0, abs=0.02)
    x = initializers.TruncatedNormal(1.0, 0.5, seed=1)(SHAPE)
    assert 0 <= x.min() < 0.01 and 1.99 < x.max() <= 2
    assert x.std().item() == pytest.approx(0.5 * 0.8796, rel=0.01)


def test_stddev_after_the_cut_is_that_of_the_density():
    # Variance by the trapezoid rule over the density on [-2, 2].
    x = np.linspace(-2, 2, 200_001)
    density = np.exp(-(x**2) / 2)
    variance = (density * x**2).sum() / density.sum()
    assert pytest.approx(math.sqrt(variance), rel=1e-5) == _STDDEV_AFTER_CUT


@pytest.mark.parametrize(
    "cls, variance, bounded",
    [
        (initializers.GlorotUniform, 2 / 500, True),
        (initializers.GlorotNormal, 2 / 500, False),
        (initializers.LecunUniform, 1 / 200, True),
        (initializers.LecunNormal, 1 / 200, False),
        (initializers.HeUniform, 2 / 200, True),
        (initializers.HeNormal, 2 / 200, False),
    ],
)
def test_variance_of_the_named_scalings(cls, variance, bounded):
    x = cls(seed=1)(SHAPE).double()
    assert x.var().item() == pytest.approx(variance, rel=0.02)
    assert x.mean().item() == pytest.approx(0, abs=4 * math.sqrt(variance / x.numel()))
    limit = math.sqrt(3 * variance) if bounded else 2 * math.sqrt(variance) / _STDDEV_AFTER_CUT
    assert 0.98 * limit < x.abs().max() <= limit * (1 + 1e-6)
    assert list(cls().get_config()) == ["seed", "input_axes", "output_axes"]


@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal", "untruncated_normal"])
@pytest.mark.parametrize("mode, n", [("fan_in", 200), ("fan_out", 300), ("fan_avg", 250)])
def test_variance_scaling_modes(mode, n, distribution):
    x = initializers.VarianceScaling(3.0, mode, distribution, seed=1)(SHAPE)
    assert x.var().item() == pytest.approx(3 / n, rel=0.02)
    if distribution == "untruncated_normal":
        assert x.abs().max() > 3 * math.sqrt(3 / n)


def test_variance_scaling_of_axes():
    x = initializers.VarianceScaling(seed=1, input_axes=[0], output_axes=[1, 2])((400, 10, 10))
    assert x.var().item() == pytest.approx(1 / 400, rel=0.03)
    with pytest.raises(ValueError, match=r"`output_axes` must .* Received: output_axes=\[5\]"):
        initializers.HeNormal(input_axes=[0], output_axes=[5])((4, 4))


@pytest.mark.parametrize(
    "shape, fans",
    [
        ((), (1, 1)),
        ((5,), (5, 5)),
        ((5, 7), (5, 7)),
        ((3, 5, 7), (15, 21)),
        ((3, 3, 5, 7), (45, 63)),
        ((0, 7), (0, 7)),
    ],
)
def test_fans(shape, fans):
    assert compute_fans(shape) == fans
    assert initializers.VarianceScaling(mode="fan_avg")(shape).shape == shape


def test_fans_of_axes():
    assert compute_fans((4, 5, 6), [0], [1, 2]) == (4, 30)
    assert compute_fans((4, 5, 6), [0], None) == (20, 24)
    assert compute_fans((4, 5, 6), [], [-1]) == (1, 6)


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"scale": 0.0}, "scale"),
        ({"scale": -1}, "scale"),
        ({"mode": "fan"}, "mode"),
        ({"distribution": "gamma"}, "distribution"),
        ({"distribution": None}, "distribution"),
    ],
)
def test_variance_scaling_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must .* Received: {name}="):
        initializers.VarianceScaling(**arguments)


def test_normal_is_the_truncated_one():
    assert initializers.VarianceScaling(distribution="Normal").distribution == "truncated_normal"


@pytest.mark.parametrize("cls", [initializers.RandomNormal, initializers.TruncatedNormal])
def test_negative_stddev(cls):
    for stddev in (-0.1, math.nan):
        with pytest.raises(ValueError, match="`stddev` must be at least 0. Received: stddev="):
            cls(stddev=stddev)


@pytest.mark.parametrize("cls", RANDOM)
def test_integer_dtype_is_an_error(cls):
    with pytest.raises(ValueError, match="floating point `dtype`. Received: dtype='?(torch.)?int"):
        cls()((3, 3), dtype="int32")


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (3, 3, 2, 4), (2, 2, 20)])
@pytest.mark.parametrize("dtype, atol", [("float32", 1e-5), ("float64", 1e-12), ("bfloat16", 2e-2)])
def test_orthogonal_has_orthonormal_columns_or_rows(shape, dtype, atol):
    q = initializers.Orthogonal(gain=2.0, seed=1)(shape, dtype).double().reshape(-1, shape[-1]) / 2
    product = q @ q.T if q.shape[0] < q.shape[1] else q.T @ q
    torch.testing.assert_close(product, torch.eye(len(product)).double(), atol=atol, rtol=0)


def test_orthogonal_signs_are_uniform():
    # Without the sign fix the diagonal of a QR factor has one preferred sign.
    matrices = [initializers.Orthogonal(seed=seed)((2, 2)) for seed in range(400)]
    positive = sum(bool(q[0, 0] > 0) for q in matrices)
    rotations = sum(bool(torch.linalg.det(q) > 0) for q in matrices)
    assert 150 < positive < 250  # 5 standard deviations
    assert 150 < rotations < 250


def test_orthogonal_needs_rank_two():
    with pytest.raises(ValueError, match=r"two-dimensional\. Received: shape=\(3,\) of rank 1"):
        initializers.Orthogonal()((3,))
    assert initializers.Orthogonal()((0, 3)).shape == (0, 3)
