"""What random masks owe to statistics: five standard deviations, from millions of elements."""

import math

import pytest
import torch

import torchkeras as keras
from tests.kernels.support import needs_ops
from torchkeras.kernels import compiled, dropout

N = 2_000_000
GENERATORS = {"default": lambda: None, "seeded": lambda: keras.random.SeedGenerator(3)}
generators = pytest.mark.parametrize("kind", GENERATORS)


def _keep(rate, kind, shape=(N,)):
    return dropout(torch.ones(shape), rate, GENERATORS[kind]()) != 0


def _deviations(count, n, p):
    return abs(int(count) - n * p) / math.sqrt(n * p * (1 - p))


@generators
@pytest.mark.parametrize("rate", [0.001, 1 / 128, 0.1, 0.5, 0.9, 127 / 128, 0.999])
def test_the_fraction_kept(kind, rate):
    assert _deviations(_keep(rate, kind).sum(), N, 1 - rate) < 5


@generators
@pytest.mark.parametrize("axis", [0, 1])
def test_rows_and_columns_are_kept_alike(kind, axis):
    keep = _keep(0.3, kind, (1400, 1400))
    counts = keep.sum(axis).double()
    n = 1400
    chi_square = float(((counts - n * 0.7) ** 2 / (n * 0.7 * 0.3)).sum())
    assert abs(chi_square - n) / math.sqrt(2 * n) < 5


@generators
@pytest.mark.parametrize("lag", [1, 2, 3, 7, 8, 9, 16, 64, 127, 128, 129, 1023, 1024, 1025, 4096])
def test_elements_at_any_distance_are_independent(kind, lag):
    x = _keep(0.5, kind).float() * 2 - 1
    assert abs(float((x[lag:].double() * x[:-lag]).sum())) / math.sqrt(N - lag) < 5


@generators
@pytest.mark.parametrize("size", [8, 64, 128, 1024, 32768])
def test_neighbours_across_the_edge_of_a_piece_are_independent(kind, size):
    keep = _keep(0.5, kind)
    last = torch.arange(size - 1, N - 1, size)
    both = (keep[last] & keep[last + 1]).sum()
    assert _deviations(both, len(last), 0.25) < 5


@generators
def test_runs_are_as_long_as_chance_makes_them(kind):
    keep = _keep(0.5, kind)
    changes = (keep[1:] != keep[:-1]).nonzero().flatten()
    lengths = changes.diff()
    for length in range(1, 11):
        count = (lengths == length).sum()
        assert _deviations(count, len(lengths), 0.5**length) < 5


@generators
def test_positions_in_a_block_are_kept_alike(kind):
    keep = _keep(0.1, kind).view(-1, 8)
    for position in range(8):
        assert _deviations(keep[:, position].sum(), N // 8, 0.9) < 5


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_seeds_and_draws_are_independent_of_each_other(rate):
    generators = [keras.random.SeedGenerator(seed) for seed in (0, 0, 1, 2**31, 2**32)]
    dropout(torch.ones(1), rate, generators[1])  # the second draw of seed 0
    x = torch.ones(N // 4)
    masks = [(dropout(x, rate, g) != 0).double() - (1 - rate) for g in generators]
    for i, a in enumerate(masks):
        for b in masks[:i]:
            z = float((a * b).sum()) / (math.sqrt(len(a)) * rate * (1 - rate))
            assert abs(z) < 5


@generators
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_mean_is_preserved(kind, dtype):
    x = torch.ones(N, dtype=dtype)
    y = dropout(x, 0.1, GENERATORS[kind]()).double()
    # The scale is 1 / 0.9 as the dtype has it.
    scale = float(torch.tensor(1 / 0.9, dtype=dtype))
    deviation = scale * math.sqrt(0.9 * 0.1 / N)
    assert abs(float(y.mean()) - 0.9 * scale) < 5 * deviation


@needs_ops
@pytest.mark.parametrize("rate", [1 / 128, 0.3, 1 / 3, 0.99])
def test_the_rate_is_met_to_17_bits(rate):
    # All 65536 values of the 16 bits, as often as they must come: from the threshold itself.
    threshold = int(rate * 65536 + 0.5)
    assert abs(threshold / 65536 - rate) <= 2**-17
    seed = torch.tensor([5])
    y = compiled.dropout(torch.ones(N), rate, seed)
    below, above = (
        compiled.dropout(torch.ones(N), t / 65536, seed) for t in (threshold, threshold + 1)
    )
    assert torch.equal(y != 0, below != 0)
    lost = ((y != 0) & (above == 0)).sum()  # one value of 65536
    assert ((above != 0) & (y == 0)).sum() == 0
    assert 0 < lost and _deviations(lost, N, 1 / 65536) < 5
