"""torchkeras.random: the distributions, from each kind of seed."""

import math
import types

import numpy as np
import pytest
import torch

from torchkeras import random
from torchkeras.core import config
from torchkeras.core.scopes import StatelessScope, meta_scope
from torchkeras.random import seed_generator

N = 40_000
NEG = float("-inf")

DRAWS = {
    "normal": lambda seed: random.normal((3, 5), 1.0, 2.0, seed=seed),
    "uniform": lambda seed: random.uniform((3, 5), 1.0, 2.0, seed=seed),
    "truncated_normal": lambda seed: random.truncated_normal((3, 5), seed=seed),
    "randint": lambda seed: random.randint((3, 5), 0, 1000, seed=seed),
    "categorical": lambda seed: random.categorical(torch.zeros(3, 40), 5, seed=seed),
    "dropout": lambda seed: random.dropout(torch.ones(3, 50), 0.5, seed=seed),
    "shuffle": lambda seed: random.shuffle(torch.arange(50), seed=seed),
    "gamma": lambda seed: random.gamma((3, 5), 2.0, seed=seed),
    "beta": lambda seed: random.beta((3, 5), 2.0, 3.0, seed=seed),
    "binomial": lambda seed: random.binomial((3, 5), 1000, 0.5, seed=seed),
}


@pytest.fixture(params=["int", "state"])
def seed(request):
    """Both sources of numbers: a torch generator and the state of a SeedGenerator."""
    return 11 if request.param == "int" else random.SeedGenerator(11)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_int_seed_repeats(draw):
    state = torch.get_rng_state()
    assert torch.equal(draw(5), draw(5))
    assert torch.equal(draw(np.int64(5)), draw(5))
    assert not torch.equal(draw(5), draw(6))
    assert draw(-1).shape == draw(5).shape
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_no_seed_follows_manual_seed(draw):
    for make in (lambda: None, random.SeedGenerator):
        seed = make()
        torch.manual_seed(3)
        first, second = draw(seed), draw(seed)
        torch.manual_seed(3)
        assert torch.equal(first, draw(seed))
        assert not torch.equal(first, second)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_seed_generator_is_a_function_of_its_state(draw):
    seed = random.SeedGenerator(5)
    before = torch.get_rng_state()
    first, second = draw(seed), draw(seed)
    assert seed.state.value.tolist() == [5, 2]
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, second)
    seed.state.assign(torch.tensor([5, 1]))
    assert torch.equal(second, draw(seed))


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_unseeded_generator_draws_from_its_state_inside_a_stateless_scope(draw):
    seed = random.SeedGenerator()
    state = torch.tensor([5, 0])
    with StatelessScope([(seed.state, state)]) as scope:
        first = draw(seed)
    assert scope.get_current_value(seed.state).tolist() == [5, 1]
    assert torch.equal(first, draw(random.SeedGenerator(5)))


def test_workers_of_a_data_loader_draw_apart(monkeypatch):
    generators = [random.SeedGenerator(5) for _ in range(2)]
    drawn = []
    for generator, seed in zip(generators, (11, 12), strict=True):
        worker = types.SimpleNamespace(seed=seed)
        monkeypatch.setattr(seed_generator, "get_worker_info", lambda worker=worker: worker)
        drawn += [tuple(generator.next().tolist()) for _ in range(2)]
        assert generator.state.value.tolist() == [5, 0], "not touched: it may be on a device"
    assert len(set(drawn)) == 4
    monkeypatch.undo()
    assert generators[0].next().tolist() == [5, 0]


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_bad_seed_is_an_error(draw):
    for seed in ("a", 1.5):
        with pytest.raises(ValueError, match="`seed` must be .* Received: seed="):
            draw(seed)


@pytest.mark.parametrize("name", ["normal", "uniform", "gamma", "beta", "binomial", "randint"])
def test_shape_inference_runs_on_meta_tensors(name):
    for seed in (None, 3, random.SeedGenerator(3)):
        with meta_scope():
            assert DRAWS[name](seed).device.type == "meta"
    with config.device("meta"):
        assert DRAWS[name](3).shape == (3, 5)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
@pytest.mark.parametrize("batch", [2])
def test_vmap_over_the_state(draw, batch):
    seed = random.SeedGenerator(0)

    def stateless(state):
        with StatelessScope([(seed.state, state)]):
            return draw(seed)

    states = torch.tensor([[5, 0], [6, 1]])
    for state, drawn in zip(states, torch.func.vmap(stateless)(states), strict=True):
        assert torch.equal(drawn, stateless(state))


@pytest.mark.parametrize("draw", [random.uniform, random.normal])
def test_sizes_that_a_trace_leaves_open(draw):
    compiled = torch.compile(lambda x: draw(x.shape), fullgraph=True, dynamic=True, backend="eager")
    for size in (3, 4):
        assert compiled(torch.ones(size, 2)).shape == (size, 2)


@pytest.mark.parametrize("name", ["categorical", "dropout", "shuffle"])
def test_compiles_as_one_graph(name):
    torch._dynamo.reset()
    seed = random.SeedGenerator(5)
    compiled = torch.compile(DRAWS[name], fullgraph=True, backend="eager")
    drawn = [compiled(seed), compiled(seed)]
    again = random.SeedGenerator(5)
    for x in drawn:
        assert torch.equal(x, DRAWS[name](again))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(
    "draw",
    [
        lambda **k: random.normal((4,), 1.0, 2.0, **k),
        lambda **k: random.uniform((4,), 1.0, 2.0, **k),
        lambda **k: random.truncated_normal((4,), **k),
        lambda **k: random.gamma((4,), 2.0, **k),
        lambda **k: random.beta((4,), 2.0, 3.0, **k),
        lambda **k: random.binomial((4,), 10, 0.5, **k),
    ],
)
def test_float_dtypes(draw, dtype, seed):
    x = draw(dtype=dtype, seed=seed)
    assert x.dtype is getattr(torch, dtype) and x.shape == (4,)
    assert torch.isfinite(x).all()
    with pytest.raises(ValueError, match="floating point `dtype`. Received: dtype='int32'"):
        draw(dtype="int32")


def close(x, mean, variance, fourth=3.0):
    """Mean and variance within 5 standard errors; `fourth` is the kurtosis."""
    x = x.double()
    assert x.mean().item() == pytest.approx(mean, abs=5 * math.sqrt(variance / x.numel()))
    error = variance * math.sqrt((fourth - 1) / x.numel())
    assert x.var().item() == pytest.approx(variance, abs=5 * error)


def test_normal(seed):
    x = random.normal((N,), 1.0, 2.0, seed=seed)
    close(x, 1.0, 4.0)
    within = ((x - 1).abs() < 2).double().mean().item()
    assert within == pytest.approx(math.erf(math.sqrt(0.5)), abs=0.01)


def test_normal_with_tensors(seed):
    mean, stddev = torch.tensor([0.0, 100.0]), torch.tensor([[0.0], [1.0]])
    x = random.normal((2, 2), mean, stddev, seed=seed)
    assert x[0].tolist() == [0.0, 100.0]
    assert abs(x[1, 1] - 100) < 10
    with pytest.raises(ValueError, match=r"`mean` must broadcast .*\(3,\)\. Received: mean of"):
        random.normal((3,), mean, seed=seed)


def test_uniform(seed):
    x = random.uniform((N,), -1.0, 3.0, seed=seed)
    close(x, 1.0, 16 / 12, 1.8)
    assert x.min() >= -1 and x.max() < 3
    y = random.uniform((2,), torch.tensor([0.0, 5.0]), [1.0, 6.0], seed=seed)
    assert 0 <= y[0] < 1 and 5 <= y[1] < 6
    assert random.uniform((), seed=seed).shape == ()


def test_uniform_never_gives_maxval(monkeypatch):
    last = 1 - 2.0**-24  # 1 + last rounds to 2 in float32
    monkeypatch.setattr(torch, "rand", lambda shape, **k: torch.full(shape, last))
    assert random.uniform((1,), 1.0, 2.0).tolist() == [1.0]
    assert random.uniform((1,), torch.tensor(1.0), 2.0).tolist() == [1.0]
    for maxval in (1.0, 1.5, 3.0, 1e-3, 1e30):
        assert random.uniform((1,), 0.0, maxval).item() < np.float32(maxval)


def test_truncated_normal(seed):
    x = random.truncated_normal((N,), 1.0, 2.0, seed=seed)
    # Variance of a standard normal cut off at 2, and the kurtosis of that.
    variance = 1 - 4 * math.exp(-2) / (math.sqrt(2 * math.pi) * math.erf(math.sqrt(2)))
    close(x, 1.0, 4 * variance, 2.4)
    assert -3 <= x.min() < -2.9 and 4.9 < x.max() <= 5
    inside = ((x - 1).abs() < 2).double().mean().item()
    assert inside == pytest.approx(math.erf(math.sqrt(0.5)) / math.erf(math.sqrt(2)), abs=0.01)


@pytest.mark.parametrize("draw", [random.normal, random.truncated_normal])
def test_negative_stddev(draw):
    seed = random.SeedGenerator(1)
    for stddev in (-1.0, math.nan):
        with pytest.raises(ValueError, match="`stddev` must be at least 0. Received: stddev="):
            draw((2,), stddev=stddev, seed=seed)
    assert seed.state.value.tolist() == [1, 0]  # an error uses up no numbers


def test_randint(seed):
    x = random.randint((N,), -2, 3, seed=seed)
    assert x.dtype is torch.int32
    counts = torch.bincount(x + 2)
    assert counts.numel() == 5
    assert (counts - N / 5).abs().max() < 5 * math.sqrt(N / 5)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int64", "uint32"])
def test_randint_dtypes(dtype, seed):
    x = random.randint((50,), 0, 100, dtype=dtype, seed=seed)
    assert x.dtype is getattr(torch, dtype)
    assert 0 <= x.long().min() and x.long().max() < 100
    assert random.randint((2,), 0.0, 10.0, dtype=None, seed=seed).dtype is torch.int32
    big = random.randint((500,), 0, 2**63 - 1, dtype="int64", seed=seed)
    assert big.max() > 2**62 > big.min() >= 0


def test_randint_errors():
    for low, high in [(5, 2), (2, 2)]:
        with pytest.raises(ValueError, match="`maxval` must be above .* Received: minval="):
            random.randint((2,), low, high)
    with pytest.raises(ValueError, match="integer `dtype`. Received: dtype='float32'"):
        random.randint((2,), 0, 5, dtype="float32")
    for arguments in [(0, 300, "uint8"), (-1, 5, "uint8"), (0, 2**64, "int64")]:
        with pytest.raises(ValueError, match="must fit into .* Received: minval="):
            random.randint((2,), *arguments)
    for bad in (0.5, "a", math.nan, None):
        with pytest.raises(TypeError, match="`minval` must be a whole number. Received: minval="):
            random.randint((2,), bad, 5)


def test_categorical(seed):
    probabilities = torch.tensor([[0.1, 0.0, 0.6, 0.3], [0.25, 0.25, 0.5, 0.0]])
    x = random.categorical(probabilities.log(), N, seed=seed)
    assert x.shape == (2, N) and x.dtype is torch.int32
    for row, expected in zip(x, probabilities, strict=True):
        shares = torch.bincount(row, minlength=4) / N
        torch.testing.assert_close(shares, expected, atol=5 * 0.5 / math.sqrt(N), rtol=0)
        assert (shares[expected == 0] == 0).all()


def test_categorical_edges(seed):
    x = random.categorical([[NEG, 0.0, NEG]], 4, dtype="int64", seed=seed)
    assert x.tolist() == [[1, 1, 1, 1]] and x.dtype is torch.int64
    assert random.categorical(torch.zeros(3, 2), 0, seed=seed).shape == (3, 0)
    # More classes than float32 can count.
    many = random.categorical(torch.zeros(1, 2**17), 2000, seed=seed)
    assert many.max() > 0.99 * 2**17 and many.unique().numel() > 1900
    for bad in (torch.zeros(3), torch.zeros(2, 2, 2), torch.zeros(2, 0)):
        with pytest.raises(ValueError, match="`logits` should be a 2-D .* Received: logits of"):
            random.categorical(bad, 2)


@pytest.mark.parametrize("kind", ["none", "int", "state"])
def test_dropout(kind):
    torch.manual_seed(1)
    seed = {"none": None, "int": 3, "state": random.SeedGenerator(3)}[kind]
    x = random.dropout(torch.full((N,), 2.0), 0.2, seed=seed)
    kept = x[x != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 2.5))
    assert len(kept) / N == pytest.approx(0.8, abs=5 * 0.4 / math.sqrt(N))


def test_dropout_noise_shape(seed):
    x = torch.ones(3, 4, 500)
    for noise_shape in [(3, 1, 500), (None, 1, None)]:
        dropped = random.dropout(x, 0.5, noise_shape, seed=seed)
        assert torch.equal(dropped, dropped[:, :1].expand_as(x))
        assert 0 < (dropped == 0).double().mean() < 1
        assert not torch.equal(dropped[0], dropped[1])
    assert random.dropout(x, 0.5, (500,), seed=seed).shape == x.shape
    assert random.dropout(x, 0.5, (1, 1, 1)).unique().numel() == 1
    for bad in [(2, 4, 500), (1, 3, 4, 500), (3,)]:
        with pytest.raises(
            ValueError, match="`noise_shape` must broadcast .* Received: noise_shape"
        ):
            random.dropout(x, 0.5, bad, seed=seed)


def test_dropout_edges(seed):
    x = torch.ones(4, dtype=torch.bfloat16)
    assert random.dropout(x, 0, seed=seed) is x
    assert random.dropout(x, 1.0, seed=seed).tolist() == [0.0] * 4
    assert random.dropout(x, 0.5, seed=seed).dtype is torch.bfloat16
    assert random.dropout([1.0, 2.0], 0.5, seed=seed).shape == (2,)
    for rate in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="`rate` must be from 0 to 1. Received: rate="):
            random.dropout(x, rate)
    with pytest.raises(TypeError, match="must be floats. Received: inputs of dtype int32"):
        random.dropout(x.int(), 0.5)


def test_dropout_has_the_gradient_of_its_mask(seed):
    x = torch.full((100,), 3.0, requires_grad=True)
    y = random.dropout(x, 0.25, seed=seed)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, y.detach() / 3)


def test_shuffle_moves_whole_slices(seed):
    x = torch.arange(60).reshape(3, 20)
    rows = random.shuffle(x, seed=seed)
    assert sorted(rows.tolist()) == x.tolist()
    for axis in (1, -1):
        columns = random.shuffle(x, axis=axis, seed=seed)
        assert sorted(columns.T.tolist()) == x.T.tolist()
        assert not torch.equal(columns, x)
    with pytest.raises(ValueError, match="`axis` must be from -2 to 1 .* Received: axis=2"):
        random.shuffle(x, axis=2)


def test_shuffle_is_fair(seed):
    if isinstance(seed, int):
        seed = None
        torch.manual_seed(1)
    counts = {}
    for _ in range(600):
        order = tuple(random.shuffle(torch.arange(3), seed=seed).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert max(abs(count - 100) for count in counts.values()) < 50  # 5 standard deviations


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0, 3.5, 200.0])
def test_gamma(alpha, seed):
    x = random.gamma((N,), alpha, dtype="float64", seed=seed)
    assert (x > 0).all()
    close(x, alpha, alpha, 3 + 6 / alpha)
    # The mean logarithm is the digamma function; it tells small values apart, variance trigamma.
    error = math.sqrt(torch.polygamma(1, torch.tensor(alpha)).item() / N)
    expected = torch.digamma(torch.tensor(alpha, dtype=torch.float64)).item()
    assert x.log().mean().item() == pytest.approx(expected, abs=5 * error)


@pytest.mark.parametrize("a, b", [(0.5, 0.5), (1.0, 3.0), (20.0, 5.0)])
def test_beta(a, b, seed):
    x = random.beta((N,), a, b, seed=seed)
    assert (x >= 0).all() and (x <= 1).all()
    total = a + b
    close(x, a / total, a * b / (total**2 * (total + 1)), 3.0)


def test_beta_of_tiny_parameters_is_no_nan(seed):
    x = random.beta((2000,), 1e-3, 1e-3, seed=seed)
    assert torch.isfinite(x).all()
    assert x.mean().item() == pytest.approx(0.5, abs=0.06)
    assert ((x < 0.01) | (x > 0.99)).double().mean() > 0.97


@pytest.mark.parametrize(
    "n, p",
    [
        (1, 0.3),
        (10, 0.5),
        (30, 0.9),
        (15, 0.6),
        (40, 0.25),
        (1000, 0.5),
        (10**6, 0.001),
        (10**6, 0.9),
    ],
)
def test_binomial(n, p, seed):
    x = random.binomial((N,), n, p, dtype="float64", seed=seed)
    assert torch.equal(x, x.round()) and x.min() >= 0 and x.max() <= n
    q = 1 - p
    close(x, n * p, n * p * q, 3 + (1 - 6 * p * q) / (n * p * q))


@pytest.mark.parametrize("n, p", [(6, 0.35), (25, 0.45), (24, 0.5)])
def test_binomial_probabilities(n, p, seed):
    shares = torch.bincount(random.binomial((N,), n, p, seed=seed).long(), minlength=n + 1) / N
    for k in range(n + 1):
        expected = math.comb(n, k) * p**k * (1 - p) ** (n - k)
        error = math.sqrt(expected * (1 - expected) / N)
        assert shares[k].item() == pytest.approx(expected, abs=5 * error + 1 / N)


def test_binomial_edges(seed):
    x = random.binomial((4,), [0, 5, 5, 1000], [0.5, 0.0, 1.0, 1.0], seed=seed)
    assert x.tolist() == [0.0, 0.0, 5.0, 1000.0]


def test_parameters_broadcast(seed):
    assert random.gamma((2, 3), [1.0, 2.0, 3.0], seed=seed).shape == (2, 3)
    assert random.binomial((2, 3), [[1], [2]], 0.5, seed=seed).shape == (2, 3)
    for call in (
        lambda: random.gamma((2, 3), [1.0, 2.0]),
        lambda: random.beta((3,), np.ones((1, 3)), 1.0),
        lambda: random.binomial((2,), 3, torch.ones(3)),
    ):
        with pytest.raises(ValueError, match="must broadcast to the shape .* Received: "):
            call()


def test_invalid_parameters_are_errors_in_numbers_and_nan_in_tensors(seed):
    for call, name in [
        (lambda v: random.gamma((2,), v(-1.0), seed=seed), "alpha"),
        (lambda v: random.gamma((2,), v(0.0), seed=seed), "alpha"),
        (lambda v: random.beta((2,), 1.0, v(-1.0), seed=seed), "beta"),
        (lambda v: random.binomial((2,), v(-1.0), 0.5, seed=seed), "counts"),
        (lambda v: random.binomial((2,), 3, v(1.5), seed=seed), "probabilities"),
        (lambda v: random.binomial((2,), 3, v(math.nan), seed=seed), "probabilities"),
    ]:
        for wrap in (float, lambda v: [v, 1.0], np.float64):
            with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}="):
                call(wrap)
        assert call(torch.tensor).isnan().all()


@pytest.mark.parametrize("shape", [3, (2, None), (1.5,), "23"])
def test_shapes_of_the_wrong_type(shape):
    for draw in (random.normal, random.uniform, random.truncated_normal):
        with pytest.raises(TypeError, match="`shape` must be a tuple of ints. Received: shape="):
            draw(shape)


def test_shapes():
    assert random.normal([2, 3]).shape == (2, 3)
    assert random.normal(torch.Size([2])).shape == (2,)
    assert random.normal((np.int64(2),)).shape == (2,)
    assert random.normal((0, 3)).shape == (0, 3)
    with pytest.raises(ValueError, match=r"at least 0. Received: shape=\(-1,\)"):
        random.normal((-1,))


def test_default_dtype_is_floatx():
    config.set_floatx("float64")
    try:
        for name in ("normal", "uniform", "truncated_normal", "gamma", "beta", "binomial"):
            assert DRAWS[name](None).dtype is torch.float64
    finally:
        config.set_floatx("float32")
