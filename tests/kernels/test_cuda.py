"""The CUDA kernels on a GPU, against the CPU kernels with the same seed, and plain torch.

What they compute at every shape and address is tested without a GPU in test_cuda_emulation.py;
here are the compiler's code, torch's matrix products, streams, graphs and devices.
"""

import pytest
import torch

import torchkeras as keras
from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import loader
from torchkeras.random.philox import philox

pytestmark = pytest.mark.gpu

DEVICE = "cuda"
# Some units in the last place: two libraries' exp and tanh, sums in another order.
TOLERANCES = {
    torch.float32: 1e-5,
    torch.float64: 1e-12,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}
SHAPES = [(1, 1), (7, 10), (128, 512), (37, 17), (2, 1001), (5000, 3), (300, 4096), (0, 4), (4, 0)]
activations = pytest.mark.parametrize("activation", range(len(codes.PLAIN)))
dtypes = pytest.mark.parametrize("dtype", TOLERANCES)


@pytest.fixture(scope="module")
def ops():
    if not (loader.load() and loader.load_cuda()):
        reasons = keras.kernels.status()
        pytest.skip(
            f"needs the kernels for CPU ({reasons['reason']}) and CUDA "
            f"({reasons['cuda']['reason']}): python -m torchkeras.kernels build"
        )
    return torch.ops.torchkeras


def on_gpu(*tensors):
    return [t if t is None else t.to(DEVICE) for t in tensors]


def close(actual, expected, factor=1):
    assert actual.dtype is expected.dtype and actual.shape == expected.shape
    tolerance = TOLERANCES[expected.dtype] * factor
    torch.testing.assert_close(actual.cpu(), expected, rtol=tolerance, atol=tolerance)


@dtypes
@pytest.mark.parametrize("seed", [[5], [-(2**40) + 3, 7]])
def test_the_mask_is_the_cpu_s(ops, dtype, seed):
    seed = torch.tensor(seed)
    for shape in [*SHAPES, (3, 5, 7), (2**20 + 3,)]:
        x = torch.randn(shape).to(dtype)
        assert torch.equal(
            ops.dropout(*on_gpu(x), 0.3, *on_gpu(seed)).cpu(), ops.dropout(x, 0.3, seed)
        )


@activations
@dtypes
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_values_and_gradients_are_the_cpu_s(ops, activation, dtype, rate):
    seed = torch.tensor([11, 2])
    for shape in SHAPES:
        z, gy = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
        bias = torch.randn(shape[1]).to(dtype)
        y, pre = ops.bias_act_dropout(z, bias, activation, rate, seed)
        gz, gbias = ops.bias_act_dropout_backward(gy, y, pre, activation, rate, seed, True)
        got_y, got_pre = ops.bias_act_dropout(*on_gpu(z, bias), activation, rate, *on_gpu(seed))
        close(got_y, y)
        close(got_pre, pre)
        if rate and activation in (codes.SIGMOID, codes.SOFTPLUS, codes.GELU_TANH):
            assert torch.equal(got_y.cpu() == 0, y == 0)
        got_gz, got_gbias = ops.bias_act_dropout_backward(
            *on_gpu(gy, y, pre), activation, rate, *on_gpu(seed), True
        )
        close(got_gz, gz, 4)
        close(got_gbias, gbias, 4 * max(shape[0], 1) ** 0.5)


@activations
@dtypes
@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("with_bias", [True, False])
def test_dense_is_the_formula_in_float64(ops, activation, dtype, rate, with_bias):
    seed = torch.tensor([7])
    for rows, inner, cols in [(33, 16, 24), (6, 5, 9), (64, 128, 256), (4, 0, 3), (0, 3, 2)]:
        x, kernel = torch.randn(rows, inner).to(dtype), torch.randn(inner, cols).to(dtype)
        kernel = kernel / max(inner, 1) ** 0.5
        bias = torch.randn(cols).to(dtype) if with_bias else None
        gy = torch.randn(rows, cols).to(dtype)
        leaves = [t.double().requires_grad_() for t in (x, kernel, bias) if t is not None]
        z = leaves[0] @ leaves[1] + (leaves[2] if with_bias else 0)
        mask = ops.dropout(torch.ones(rows, cols).double(), rate, seed)
        expected = codes.plain(activation, z.clone()) * mask
        gradients = torch.autograd.grad(expected, leaves, gy.double())
        on = on_gpu(x, kernel, bias, gy, seed)
        y, pre = ops.dense_act_dropout(*on[:3], activation, rate, on[4])
        close(y, expected.detach().to(dtype), 4)
        got = ops.dense_act_dropout_backward(
            on[3], *on[:2], y, pre, activation, rate, on[4], True, True, with_bias
        )
        for actual, wanted in zip(got, gradients, strict=False):
            close(actual, wanted.to(dtype), 20)


@dtypes
@pytest.mark.parametrize("cols", [8, 13, 512])
def test_memory_at_any_address_and_stride(ops, dtype, cols):
    (seed,) = on_gpu(torch.tensor([9]))
    store = torch.randn(2, 41 * cols + 3, device=DEVICE).to(dtype)
    aligned = [t[: 41 * cols].clone().view(41, cols) for t in store[:, 1:]]
    odd = [t[1 : 41 * cols + 1].view(41, cols) for t in store.clone()]
    across = [t.t().contiguous().t() for t in aligned]

    def run(z, gy):
        y, pre = ops.bias_act_dropout(z, None, codes.SILU, 0.5, seed)
        grads = ops.bias_act_dropout_backward(gy, y, pre, codes.SILU, 0.5, seed, True)
        return y, pre, *grads, ops.dropout(z, 0.5, seed)

    expected = run(*aligned)
    for inputs in (odd, across):
        for got, wanted in zip(run(*inputs), expected, strict=True):
            assert torch.equal(got, wanted)


@dtypes
def test_the_bias_gradient_is_the_same_every_time(ops, dtype):
    gy, y = (torch.randn(20_000, 100, device=DEVICE).to(dtype) for _ in range(2))
    none = y.new_empty(0)
    first, *others = (
        ops.bias_act_dropout_backward(gy, y, none, codes.RELU, 0.0, None, True)[1] for _ in range(5)
    )
    assert all(torch.equal(first, other) for other in others)


def test_nan_passes_through_the_product_s_relu(ops):
    x, kernel, bias = torch.randn(64, 32), torch.randn(32, 48), torch.randn(48)
    x[3, 5] = float("nan")
    for dtype in (torch.float32, torch.bfloat16):
        tensors = [t.to(dtype) for t in on_gpu(x, kernel, bias)]
        y, _ = ops.dense_act_dropout(*tensors, codes.RELU, 0.0, None)
        assert y[3].isnan().all()
        assert not y[torch.arange(64) != 3].isnan().any()


def test_nothing_waits_for_the_device(ops):
    x, kernel, bias, gy = on_gpu(*map(torch.randn, [(64, 32), (32, 48), (48,), (64, 48)]))
    seed = torch.randint(2**62, (1,), device=DEVICE)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for activation in (codes.RELU, codes.GELU):
            y, pre = ops.dense_act_dropout(x, kernel, bias, activation, 0.5, seed)
            ops.dense_act_dropout_backward(
                gy, x, kernel, y, pre, activation, 0.5, seed, True, True, True
            )
        ops.dropout(x, 0.5, seed)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_graph_replays_with_the_seed_that_is_there(ops):
    x, kernel, bias, gy = on_gpu(*map(torch.randn, [(64, 32), (32, 48), (48,), (64, 48)]))
    seed = torch.tensor([1], device=DEVICE)

    def step():
        y, pre = ops.dense_act_dropout(x, kernel, bias, codes.GELU, 0.5, seed)
        return y, *ops.dense_act_dropout_backward(
            gy, x, kernel, y, pre, codes.GELU, 0.5, seed, True, True, True
        )

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()  # libraries get ready outside of the capture
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    for number in (5, 6):
        seed.fill_(number)
        graph.replay()
        for got, wanted in zip(captured, step(), strict=True):
            torch.testing.assert_close(got, wanted)
    first = captured[0].clone()
    seed.fill_(5)
    graph.replay()
    assert not torch.equal(captured[0] == 0, first == 0)


def test_the_current_stream_is_used(ops):
    x = torch.zeros(2**20, device=DEVICE)
    seed = torch.tensor([1], device=DEVICE)
    ops.dropout(x, 0.5, seed)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(50_000_000)
        x.fill_(1.0)  # a kernel of another stream would not wait for it
        y = ops.dropout(x, 0.5, seed)
        assert y.sum() > 0


def test_autocast_changes_no_dtype(ops):
    x, kernel, bias = on_gpu(torch.randn(64, 32), torch.randn(32, 48), torch.randn(48))
    for b in (bias, None):
        for activation in (codes.NONE, codes.RELU, codes.GELU):
            expected, _ = ops.dense_act_dropout(x, kernel, b, activation, 0.0, None)
            with torch.autocast("cuda", torch.bfloat16):
                y, _ = ops.dense_act_dropout(x, kernel, b, activation, 0.0, None)
            assert torch.equal(y, expected)


def test_more_elements_than_32_bits_count(ops):
    n = 2**32 + 21
    if torch.cuda.mem_get_info()[0] < 5 * n:
        pytest.skip("needs 20 GB of GPU memory")
    x = torch.ones(n, dtype=torch.float16, device=DEVICE)
    y = ops.dropout(x, 0.5, torch.tensor([3], device=DEVICE))
    last = torch.arange(n // 8 - 4, n // 8 + 1)
    zero = torch.zeros_like(last)
    words = torch.stack(philox((last & 0xFFFFFFFF, last >> 32, zero, zero), (zero + 3, zero)), -1)
    halves = torch.stack([words & 0xFFFF, words >> 16], -1).flatten()
    count = n - 8 * int(last[0])
    assert torch.equal(y[-count:].cpu() != 0, halves[:count] >= 32768)
    kept = sum(int(part.count_nonzero()) for part in y.split(2**28))
    assert abs(kept - n / 2) < 5 * (n / 4) ** 0.5  # five standard deviations


def test_tensors_elsewhere_are_refused(ops):
    x, kernel, seed = torch.ones(2, 3), torch.ones(3, 4), torch.tensor([1])
    (x_gpu,) = on_gpu(x)
    with pytest.raises(RuntimeError, match="`kernel` must be on the device of `x`.*Move"):
        ops.dense_act_dropout(x_gpu, kernel, None, 0, 0.0, None)
    with pytest.raises(RuntimeError, match="`seed` must be on the device of `x`.*Move"):
        ops.dropout(x_gpu, 0.5, seed)
    with pytest.raises(RuntimeError, match="`gy` must be on a GPU.*cpu.*Move"):
        ops.bias_act_dropout_backward(x, x_gpu, x_gpu, codes.NONE, 0.0, None, True)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_device_that_is_not_the_current_one(ops):
    x, seed = torch.randn(33, 17), torch.tensor([1])
    y, _ = ops.bias_act_dropout(x.to("cuda:1"), None, codes.TANH, 0.5, seed.to("cuda:1"))
    assert y.device.index == 1 and torch.cuda.current_device() == 0
    close(y, ops.bias_act_dropout(x, None, codes.TANH, 0.5, seed)[0])
