"""Philox in torch operations against known answers and an implementation in NumPy."""

import math

import numpy as np
import pytest
import torch

from torchkeras.random import philox

ONES = 0xFFFFFFFF


def reference(counter, key):
    """Philox4x32-10 on Python integers, as written in the paper."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & ONES, (a >> 32) ^ c[3] ^ k[1], a & ONES]
        k = [(k[0] + 0x9E3779B9) & ONES, (k[1] + 0xBB67AE85) & ONES]
    return c


def numpy_bits(seed, draw, n, stream=0):
    """`random_bits` in NumPy uint64."""
    mask = np.uint64(ONES)
    half = np.uint64(32)
    index = np.arange((n + 3) // 4, dtype=np.uint64)
    c = [index & mask, index >> half]
    c += [np.full_like(index, draw), np.full_like(index, stream)]
    k = [seed & ONES, seed >> 32]
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        k0, k1 = np.uint64(k[0]), np.uint64(k[1])
        c = [(b >> half) ^ c[1] ^ k0, b & mask, (a >> half) ^ c[3] ^ k1, a & mask]
        k = [(k[0] + 0x9E3779B9) & ONES, (k[1] + 0xBB67AE85) & ONES]
    return np.stack(c, -1).reshape(-1)[:n].astype(np.int64)


# The file kat_vectors of the Random123 library, rows "philox4x32 10".
@pytest.mark.parametrize(
    "counter, key, expected",
    [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([ONES] * 4, [ONES] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_known_answers(counter, key, expected):
    expected = [int(word, 16) for word in expected.split()]
    assert reference(counter, key) == expected
    words = philox.philox([torch.tensor(c) for c in counter], [torch.tensor(k) for k in key])
    assert [int(word) for word in words] == expected


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**40 + 7, 2**63 - 1])
@pytest.mark.parametrize("draw, stream", [(0, 0), (5, 3), (ONES, ONES)])
def test_bits_equal_numpy(seed, draw, stream):
    state = torch.tensor([seed, draw])
    bits = philox.random_bits(state, 1001, stream=stream)
    np.testing.assert_array_equal(bits.numpy(), numpy_bits(seed, draw, 1001, stream))


def test_bits_do_not_depend_on_how_many_are_asked_for():
    state = torch.tensor([3, 4])
    # Long enough that it is computed in pieces.
    long = philox.random_bits(state, 4 * philox._BLOCKS_A_PIECE + 1000)
    assert long[-1000:].tolist() == numpy_bits(3, 4, len(long))[-1000:].tolist()
    for n in (0, 1, 5, 1000):
        assert torch.equal(philox.random_bits(state, n), long[:n])


@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3), (2, 0, 3)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_shapes_and_dtypes(shape, dtype):
    state = torch.tensor([3, 4])
    for draw in (philox.uniform, philox.normal):
        x = draw(state, shape, dtype)
        assert x.shape == shape and x.dtype is dtype
    assert philox.integers(state, shape, 0, 5).shape == shape


def test_uniform_is_the_bits_as_a_fraction():
    state, bits = torch.tensor([3, 4]), numpy_bits(3, 4, 2000)
    for dtype, n in [(torch.float32, 24), (torch.float16, 11), (torch.bfloat16, 8)]:
        expected = (bits[:1000] >> (32 - n)) / 2**n
        x = philox.uniform(state, (1000,), dtype)
        assert x.double().tolist() == expected.tolist()
        assert (x < 1).all()
    expected = ((bits[::2] >> 5) * 2**26 + (bits[1::2] >> 6)) / 2**53
    assert philox.uniform(state, (1000,), torch.float64).tolist() == expected.tolist()


def test_uniform_never_reaches_one(monkeypatch):
    monkeypatch.setattr(philox, "random_bits", lambda *a: torch.full((4,), ONES))
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert (philox.uniform(None, (4,), dtype) < 1).all()
    assert (philox.uniform(None, (2,), torch.float64) < 1).all()
    # The largest word makes the smallest radius, the smallest one stays finite.
    assert torch.isfinite(philox.normal(None, (4,))).all()
    monkeypatch.setattr(philox, "random_bits", lambda *a: torch.zeros(4, dtype=torch.int64))
    assert philox.normal(None, (4,)).max() == pytest.approx(math.sqrt(2 * 32 * math.log(2)))


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_normal_is_box_muller(dtype, tolerance):
    state = torch.tensor([3, 4])
    if dtype is torch.float64:
        u = philox.uniform(state, (500, 2), dtype).numpy()
        radius, angle = np.sqrt(-2 * np.log(1 - u[:, 0])), 2 * np.pi * u[:, 1]
    else:
        bits = numpy_bits(3, 4, 1000).reshape(-1, 2)
        radius = np.sqrt(-2 * np.log((bits[:, 0] + 1) / 2**32))
        angle = 2 * np.pi * (bits[:, 1] >> 8) / 2**24
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(-1)
    # Where 1 - u rounds in float32 the radius is nearly 0: an absolute bound of 3e-4 there.
    np.testing.assert_allclose(
        philox.normal(state, (1000,), dtype), expected, rtol=tolerance, atol=30 * tolerance
    )


def test_integers_use_the_whole_range():
    state = torch.tensor([3, 4])
    x = philox.integers(state, (6000,), -2, 4)
    counts = torch.bincount(x + 2, minlength=6)
    assert counts.numel() == 6
    assert (counts - 1000).abs().max() < 5 * math.sqrt(1000)
    assert philox.integers(state, (100,), 0, 2**62).max() > 2**61


def test_streams_draws_and_seeds_are_uncorrelated():
    n = 20_000
    rows = [philox.normal(torch.tensor(s), (n,)) for s in ([1, 0], [1, 1], [2, 0])]
    rows.append(philox.normal(torch.tensor([1, 0]), (n,), stream=1))
    rows = torch.stack([*rows, rows[0].roll(1), rows[0].roll(2)])
    correlation = torch.corrcoef(rows) - torch.eye(len(rows))
    assert correlation.abs().max() < 5 / math.sqrt(n)


def test_state_stays_a_tensor():
    state = torch.tensor([3, 4])
    eager = philox.normal(state, (5,))

    def draw(s):
        return philox.normal(s, (5,))

    torch._dynamo.reset()
    compiled = torch.compile(draw, fullgraph=True, backend="eager")
    assert torch.equal(compiled(state), eager)
    states = torch.tensor([[3, 4], [3, 5]])
    batched = torch.func.vmap(draw)(states)
    assert torch.equal(batched[0], eager)
    assert torch.equal(batched[1], philox.normal(states[1], (5,)))
    assert draw(state.to("meta")).device.type == "meta"
    traced = torch.func.functionalize(draw)(state)
    assert torch.equal(traced, eager)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, from its import
def test_inductor_gives_the_same_bits():
    torch._dynamo.reset()
    state = torch.tensor([2**40 + 7, 5])
    compiled = torch.compile(lambda s: philox.random_bits(s, 1000), fullgraph=True)
    assert torch.equal(compiled(state), philox.random_bits(state, 1000))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_bits():
    state = torch.tensor([2**40 + 7, 5])
    bits = philox.random_bits(state, 10_001, device="cuda")
    assert torch.equal(bits.cpu(), philox.random_bits(state, 10_001))
    x = philox.uniform(state, (1000,), device="cuda").cpu()
    assert torch.equal(x, philox.uniform(state, (1000,)))
