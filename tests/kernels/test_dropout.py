import math

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import torchkeras as keras
from tests.kernels.support import kept, needs_ops, scales
from torchkeras.kernels import compiled, dropout
from torchkeras.kernels.dropout import _Dropout, concrete_noise_shape

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


SHAPES = [(), (0,), (1,), (0, 3), (511,), (512,), (513,), (16383,), (16384,), (130, 129)]
SHAPES += [(7, 8, 9, 40), (1,) * 17 + (600,)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_seeded_masks_and_gradients_are_those_of_philox(shape, dtype):
    x = torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_()
    gy = torch.randn(shape, dtype=torch.float64).to(dtype)
    y = dropout(x, 0.25, keras.random.SeedGenerator(9))
    y.backward(gy)
    factor = scales(shape, 0.25, 9)
    tolerance = dict(rtol=torch.finfo(dtype).eps, atol=0)
    torch.testing.assert_close(y.detach(), (x.detach() * factor).to(dtype), **tolerance)
    torch.testing.assert_close(x.grad, (gy * factor).to(dtype), **tolerance)


LAYOUTS = {
    "transposed": lambda: torch.randn(150, 130).t(),
    "channels last": lambda: torch.randn(8, 6, 20, 21).to(memory_format=torch.channels_last),
    "channels last 3d": lambda: torch.randn(2, 6, 9, 9, 9).to(memory_format=torch.channels_last_3d),
    "every second": lambda: torch.randn(300, 300)[::2, ::2],
    "expanded": lambda: torch.randn(150, 1).expand(150, 200),
    "with an offset": lambda: torch.randn(20_001)[1:],
    "sizes of 1": lambda: torch.randn(1, 200, 1, 150).permute(0, 3, 2, 1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("large", [True, False])
def test_a_seeded_mask_follows_the_indices_whatever_the_layout(layout, large):
    x = LAYOUTS[layout]()
    if not large:
        x = x[tuple(slice(n // 2 + 1) for n in x.shape)]
    x = x.detach().requires_grad_()
    gy = torch.randn_like(x)
    y = dropout(x, 0.5, keras.random.SeedGenerator(9))
    factor = scales(x.shape, 0.5, 9).float()
    assert torch.equal(y, x * factor)
    assert torch.equal(torch.autograd.grad(y, x, gy)[0], gy * factor)


@generators
@pytest.mark.parametrize("layout", ["transposed", "channels last", "channels last 3d"])
def test_the_result_keeps_the_layout(kind, layout):
    x = LAYOUTS[layout]()
    for like in (x, x.double(), x.clone().requires_grad_()):
        y = dropout(like, 0.5, GENERATORS[kind]())
        assert y.stride() == like.stride()
        assert torch.equal(y[y != 0], (2 * like)[y != 0])
        assert 0.4 < (y != 0).double().mean() < 0.6


@pytest.mark.parametrize("n", [100, 5000, 40_000])
def test_dropped_infinities_are_zero_or_nan_and_kept_ones_stay(n):
    x = torch.full((n,), math.inf)
    y = dropout(x, 0.5, keras.random.SeedGenerator(9))
    keep = kept((n,), 0.5, 9)
    assert (y[keep] == math.inf).all()
    assert torch.logical_or(y[~keep] == 0, y[~keep].isnan()).all()


@needs_ops
def test_the_op_drops_infinity_and_nan_to_zero():
    keep = kept((2000,), 0.5, 9)
    for value in (math.inf, -math.inf, math.nan):
        x = torch.full((2000,), value, requires_grad=True)
        y = _Dropout.apply(x, 0.5, torch.tensor([9]))
        torch.testing.assert_close(y, torch.where(keep, value, 0.0), equal_nan=True)
        (gx,) = torch.autograd.grad(y, x, torch.full((2000,), value))
        torch.testing.assert_close(gx, torch.where(keep, value, 0.0), equal_nan=True)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("n", [12, 17_000])
def test_gradcheck_first_and_second_order(rate, n):
    x = torch.randn(n, dtype=torch.float64, requires_grad=True)

    def run(x):
        return dropout(x, rate, keras.random.SeedGenerator(9)) ** 2

    assert torch.autograd.gradcheck(run, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, x, fast_mode=True)


@needs_ops
def test_gradcheck_of_the_op():
    x = torch.randn(20, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: _Dropout.apply(x, 0.3, torch.tensor([9])) ** 2, x)
    assert torch.autograd.gradgradcheck(lambda x: _Dropout.apply(x, 0.3, torch.tensor([9])) ** 2, x)


def test_an_expanded_gradient():
    x = torch.randn(200, 200, requires_grad=True)
    dropout(x, 0.5, keras.random.SeedGenerator(9)).sum().backward()
    assert torch.equal(x.grad, scales((200, 200), 0.5, 9).float())


@needs_ops
@pytest.mark.parametrize(
    ("rate", "fuses"),
    [(0, False), (1, False), (1 / 128, True), (0.0078, False), (127 / 128, True), (0.993, False)],
)
def test_rates_that_16_bits_do_not_meet_take_more(rate, fuses, monkeypatch):
    calls, op = [], compiled.dropout
    monkeypatch.setattr(compiled, "dropout", lambda *a: calls.append(a) or op(*a))
    y = dropout(torch.ones(100_000), rate)
    assert bool(calls) is fuses
    assert abs(int((y == 0).sum()) - 100_000 * rate) <= 5 * math.sqrt(100_000 * rate * (1 - rate))


@generators
def test_a_saved_state_brings_the_mask_back(kind):
    generator, x = GENERATORS[kind](), torch.ones(5000)
    dropout(x, 0.5, generator)
    state = torch.get_rng_state()
    own = None if generator is None else generator.state.value.clone()
    first = dropout(x, 0.5, generator)
    assert not torch.equal(dropout(x, 0.5, generator), first)
    torch.set_rng_state(state)
    if own is not None:
        generator.state.assign(own)
    assert torch.equal(dropout(x, 0.5, generator), first)


def test_two_layers_draw_differently_and_two_of_one_seed_alike():
    x = torch.ones(5000)
    masks = [keras.layers.Dropout(0.5, seed=s)(x, training=True) for s in (None, None, 1, 1, 2)]
    assert not torch.equal(masks[0], masks[1])
    assert torch.equal(masks[2], masks[3])
    assert not torch.equal(masks[3], masks[4])


@needs_ops
@pytest.mark.parametrize("n", [5000, 50_000])
def test_no_mask_is_kept_for_large_tensors(n):
    saved = []
    x = torch.ones(n, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        dropout(x, 0.5)
    size = sum(t.untyped_storage().nbytes() for t in saved)
    assert size <= (4 * n if n < 16384 else 16)


ERRORS = {
    "dtype": (dict(x=torch.ones(3, dtype=torch.int64)), "`x` must be float32, float64"),
    "rate": (dict(rate=1.01), "`rate` must be from 0 to 1"),
    "rate nan": (dict(rate=math.nan), "`rate` must be from 0 to 1"),
    "seed dtype": (dict(seed=torch.tensor([1], dtype=torch.int32)), "`seed` must be an int64"),
    "seed size": (dict(seed=torch.ones(3, dtype=torch.int64)), "`seed` must be an int64"),
    "device": (dict(seed=torch.ones(1, dtype=torch.int64, device="meta")), "device of `x`, cpu"),
}


@needs_ops
@pytest.mark.parametrize("case", ERRORS)
def test_wrong_arguments_of_the_op_are_errors(case):
    changed, message = ERRORS[case]
    arguments = dict(x=torch.ones(3), rate=0.5, seed=torch.tensor([1]))
    compiled.dropout(*arguments.values())
    with pytest.raises(RuntimeError, match=message):
        compiled.dropout(*(arguments | changed).values())


@needs_ops
def test_the_op_at_rate_zero_and_one():
    x = torch.randn(3000)
    y = compiled.dropout(x, 0.0, torch.tensor([1]))
    assert torch.equal(y, x) and y.data_ptr() != x.data_ptr()
    assert torch.equal(compiled.dropout(x, 1.0, torch.tensor([1])), torch.zeros(3000))


@pytest.mark.gpu
def test_cuda_draws_follow_manual_seed_and_the_state():
    x = torch.ones(1000, device="cuda")
    torch.manual_seed(1)
    first = dropout(x, 0.5)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, 0.5), first)
    on_gpu = dropout(x, 0.5, keras.random.SeedGenerator(3))
    assert torch.equal(on_gpu.cpu(), dropout(x.cpu(), 0.5, keras.random.SeedGenerator(3)))
