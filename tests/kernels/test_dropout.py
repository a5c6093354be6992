import math

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import torchkeras as keras
from torchkeras.kernels import dropout
from torchkeras.kernels.dropout import concrete_noise_shape

GENERATORS = {"default": lambda: None, "seeded": lambda: keras.random.SeedGenerator(3)}
generators = pytest.mark.parametrize("kind", GENERATORS)


@generators
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_values_are_zero_or_scaled_and_as_many_as_the_rate_says(kind, rate, dtype):
    n = 100_000
    y = dropout(torch.ones(n, dtype=dtype), rate, GENERATORS[kind]())
    assert y.dtype is dtype
    kept = y != 0
    scale = torch.tensor(1 / (1 - rate), dtype=dtype)
    torch.testing.assert_close(y[kept], scale.expand(int(kept.sum())))
    # Five standard deviations of the binomial distribution.
    assert abs(int(kept.sum()) - n * (1 - rate)) < 5 * math.sqrt(n * rate * (1 - rate))


def test_a_small_rate_is_not_rounded_to_the_bits_of_a_half_type():
    # bfloat16 random numbers would come in steps of 1/256 and drop 0.4 % instead.
    n = 1_000_000
    dropped = int((dropout(torch.ones(n, dtype=torch.bfloat16), 0.001) == 0).sum())
    assert abs(dropped - 1000) < 5 * math.sqrt(1000)


def test_rate_zero_is_the_input_and_rate_one_is_zeros():
    x = torch.randn(3, 4)
    assert dropout(x, 0) is x
    assert torch.equal(dropout(x, 1), torch.zeros(3, 4))
    assert torch.equal(dropout(torch.tensor([math.inf, math.nan]), 1.0), torch.zeros(2))


@generators
def test_gradient_is_the_mask_times_the_scale(kind):
    x = torch.randn(50, 20, requires_grad=True)
    y = dropout(x, 0.25, GENERATORS[kind]())
    g = torch.randn(50, 20)
    y.backward(g)
    mask = torch.where(y == 0, 0.0, 1 / 0.75)
    torch.testing.assert_close(x.grad, g * mask)


@generators
def test_noise_shape_shares_the_mask_along_axes_of_one(kind):
    y = dropout(torch.ones(8, 5, 6), 0.5, GENERATORS[kind](), noise_shape=(None, 1, None))
    assert torch.equal(y, y[:, :1].expand(8, 5, 6))
    assert set(y.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("noise_shape", [(2, 3, 4, 1), (5, 1, 1), (2, 1)])
def test_noise_shape_that_does_not_broadcast_is_an_error(noise_shape):
    with pytest.raises(ValueError, match="noise_shape.*Received"):
        dropout(torch.ones(2, 3, 4), 0.5, noise_shape=noise_shape)


def test_noise_shape_of_lower_rank_belongs_to_the_last_axes():
    assert concrete_noise_shape(torch.ones(2, 3, 4), (1, None)) == (1, 4)


def test_default_generator_obeys_manual_seed_and_moves_on():
    x = torch.ones(100)
    torch.manual_seed(1)
    first, second = dropout(x, 0.5), dropout(x, 0.5)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, 0.5), first)
    assert not torch.equal(first, second)


def test_seeded_draws_ignore_the_default_generator_and_leave_it_alone():
    x = torch.ones(100)
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        generator = keras.random.SeedGenerator(7)
        runs.append([dropout(x, 0.5, generator), dropout(x, 0.5, generator)])
        assert torch.equal(torch.get_rng_state(), before)
        assert generator.state.value.tolist() == [7, 2]
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(*runs[0])


def test_draws_inside_a_stateless_scope_come_from_the_state():
    x, generator = torch.ones(100), keras.random.SeedGenerator()
    state = torch.tensor([5, 0])
    results = []
    for _ in range(2):
        with keras.StatelessScope([(generator.state, state)]) as scope:
            results.append(dropout(x, 0.5, generator))
        assert scope.get_current_value(generator.state).tolist() == [5, 1]
    assert torch.equal(*results)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoint_recomputes_the_same_mask(reentrant):
    x = torch.randn(64, 64, requires_grad=True)

    def run(x):
        # sin saves its input, so its gradient shows which mask the recomputation drew.
        return dropout(x, 0.5).sin()

    torch.manual_seed(3)
    y = checkpoint(run, x, use_reentrant=reentrant)
    dropout(torch.ones(10), 0.5)  # moves the generator between forward and backward
    y.sum().backward()
    torch.manual_seed(3)
    plain = x.detach().clone().requires_grad_()
    expected = run(plain)
    expected.sum().backward()
    assert torch.equal(y, expected)
    assert torch.equal(x.grad, plain.grad)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoint_recomputes_the_same_seeded_mask(reentrant):
    x, generator = torch.randn(64, 64, requires_grad=True), keras.random.SeedGenerator(3)
    y = checkpoint(lambda x: dropout(x, 0.5, generator).sin(), x, use_reentrant=reentrant)
    y.sum().backward()
    assert torch.equal(x.grad != 0, y != 0)


@generators
def test_compile_fullgraph(kind):
    generator = GENERATORS[kind]()
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda x: dropout(x, 0.5, generator), fullgraph=True, backend="aot_eager"
    )
    x = torch.ones(1000, requires_grad=True)
    first, second = compiled(x), compiled(x)
    assert set(first.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(first, second)
    first.sum().backward()
    assert torch.equal(x.grad, first)


def test_compiled_seeded_draws_equal_eager_ones():
    x, results = torch.ones(1000), []
    for wrap in (lambda f: f, lambda f: torch.compile(f, fullgraph=True, backend="aot_eager")):
        torch._dynamo.reset()
        generator = keras.random.SeedGenerator(3)
        run = wrap(lambda x, generator=generator: dropout(x, 0.5, generator))
        results.append([run(x), run(x)])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("randomness", "equal"), [("same", True), ("different", False)])
def test_vmap_follows_its_randomness(randomness, equal):
    y = torch.func.vmap(lambda x: dropout(x, 0.5), randomness=randomness)(torch.ones(2, 1000))
    assert torch.equal(y[0], y[1]) is equal
    assert set(y.unique().tolist()) == {0.0, 2.0}


def test_grad_transform():
    torch.manual_seed(0)
    expected = dropout(torch.ones(100), 0.5)
    torch.manual_seed(0)
    grad = torch.func.grad(lambda x: dropout(x, 0.5).sum())(torch.ones(100))
    assert torch.equal(grad, expected)


def test_meta_tensors_draw_nothing():
    before = torch.get_rng_state()
    assert dropout(torch.ones(2, 3, device="meta"), 0.5).shape == (2, 3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
def test_cuda_draws_follow_manual_seed_and_the_state():
    x = torch.ones(1000, device="cuda")
    torch.manual_seed(1)
    first = dropout(x, 0.5)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, 0.5), first)
    on_gpu = dropout(x, 0.5, keras.random.SeedGenerator(3))
    assert torch.equal(on_gpu.cpu(), dropout(x.cpu(), 0.5, keras.random.SeedGenerator(3)))
