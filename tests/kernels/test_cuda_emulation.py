"""The CUDA sources, compiled as plain C++ and run on the CPU: index arithmetic and formulas.

`TK_CPU_EMULATE` turns a launch into loops over blocks and threads. The bindings are compiled with
them, as CPU ops in a namespace of their own, so checks, memory and gradients are tested as well.
What remains for a GPU is in test_cuda.py.
"""

import ctypes
import os
import pathlib
import shutil
import subprocess
import types

import pytest
import torch
import torch.nn.functional as F

from torchkeras.random.philox import random_bits

CSRC = pathlib.Path(__file__).parents[2] / "csrc"
TORCH = pathlib.Path(torch.__file__).parent

# The names that differ between a GPU and a CPU, after torch's headers and before ours.
SOURCE = """
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cuda.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <algorithm>
#include <string>
#include <tuple>
#include <vector>
namespace torch::stable::accelerator {
struct NoGuard { explicit NoGuard(int32_t) {} };
}
static AOTITorchError no_stream(int32_t, void** stream) { *stream = nullptr; return 0; }
#define DeviceGuard NoGuard
#define is_cuda is_cpu
#define aoti_torch_device_type_cuda aoti_torch_device_type_cpu
#define aoti_torch_get_current_cuda_stream no_stream
#define aoti_torch_cuda_mm_out aoti_torch_cpu_mm_out
#define aoti_torch_cuda_addmm_out aoti_torch_cpu_addmm_out
#define aoti_torch_cuda__addmm_activation aoti_torch_cpu__addmm_activation
#define torchkeras torchkeras_emulated
#define CUDA CPU
#include "cuda/epilogue.cu"
#include "cuda/bindings.cpp"
STABLE_TORCH_LIBRARY(torchkeras, m) {SCHEMAS}

// How many chunks the threads of a grid visit in all; -1 if one meets columns that are not its own.
extern "C" int64_t visited(int64_t elements, int64_t cols, int64_t least, int64_t blocks) {
  using namespace torchkeras::cuda;
  const Grid g = make_grid(elements, cols, least, blocks);
  int64_t sum = 0;
  for (int64_t strip = 0; strip < g.strips; ++strip) {
    for (int64_t tile = 0; tile < g.tiles; ++tile) {
      for (int thread = 0; thread < kThreads; ++thread) {
        const int64_t first = g.first(tile, strip, thread);
        if (first >= g.chunks) continue;
        const int64_t visits = (g.chunks - 1 - first) / g.step() + 1;
        const int64_t last = first + (visits - 1) * g.step();
        const int64_t column = kChunk * g.place(tile, thread) % cols;
        if (kChunk * first % cols != column || kChunk * last % cols != column) return -1;
        if (g.count(last) < 1 || (last < g.chunks - 1 && g.count(last) != kChunk)) return -1;
        sum += visits;
      }
    }
  }
  return sum;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    text = (CSRC / "ops.cpp").read_text()
    start = text.index("STABLE_TORCH_LIBRARY(torchkeras, m) {")
    schemas = text[text.index("{", start) + 1 : text.index("\n}", start)]
    folder = tmp_path_factory.mktemp("emulation")
    source, output = folder / "emulation.cpp", folder / "emulation.so"
    source.write_text(SOURCE.replace("SCHEMAS", schemas))
    command = [compiler, "-std=c++20", "-O1", "-fPIC", "-shared"]
    command += ["-DTORCH_TARGET_VERSION=0x020a000000000000", "-DTK_CPU_EMULATE"]
    command += os.environ.get("TK_EMULATION_FLAGS", "").split()
    command += ["-I", str(CSRC), "-isystem", str(TORCH / "include"), str(source), "-o", str(output)]
    command += ["-L", str(TORCH / "lib"), "-ltorch_cpu"]
    subprocess.run(command, check=True, timeout=300)
    torch.ops.load_library(output)
    return output


@pytest.fixture
def ops(library):
    return torch.ops.torchkeras_emulated


ACTIVATIONS = {
    0: lambda x: x,
    1: torch.relu,
    2: torch.sigmoid,
    3: torch.tanh,
    4: F.gelu,
    5: lambda x: F.gelu(x, approximate="tanh"),
    6: F.silu,
    7: F.softplus,
    8: F.elu,
    9: lambda x: F.leaky_relu(x, 0.2),
}
KEEP_THE_SUM = {4, 5, 6}
# Some units in the last place: y is rounded, and the gradient computed from a rounded y or sum.
TOLERANCES = {
    torch.float32: 2e-6,
    torch.float64: 1e-12,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}
# Rows and lines of every kind: chunks that end within rows, blocks wider than a line, several
# tiles, fewer chunks than threads, one column, one row, nothing at all.
SHAPES = [
    (1, 1),
    (3, 5),
    (7, 10),
    (4, 8),
    (37, 17),
    (130, 100),
    (2, 1001),
    (1, 2500),
    (300, 3),
    (9000, 2),
    (2100, 1),
    (70, 520),
    (260, 576),
    (0, 4),
    (4, 0),
]
activations = pytest.mark.parametrize("activation", ACTIVATIONS)
dtypes = pytest.mark.parametrize("dtype", TOLERANCES)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def mask_of(seed, shape, rate):
    """The factor of each element, by the Philox of plain torch."""
    n = shape[0] * shape[1]
    state = seed if seed.numel() == 2 else torch.cat([seed.view(1), seed.new_zeros(1)])
    words = random_bits(state, (n + 1) // 2)
    halves = torch.stack([words & 0xFFFF, words >> 16], -1).flatten()[:n]
    scale = 1 / (1 - rate) if rate < 1 else 0
    return (halves >= round(rate * 65536)).double().view(shape) * scale


def close(actual, expected, dtype, factor=1):
    tolerance = TOLERANCES[dtype] * factor
    torch.testing.assert_close(actual.double(), expected, rtol=tolerance, atol=tolerance)


def reference(z, bias, activation, mask, gy):
    """y, gz and gbias in float64, by autograd."""
    z, gy = z.double().requires_grad_(), gy.double()
    bias = z.new_zeros(z.shape[1]) if bias is None else bias.double()
    bias = bias.detach().requires_grad_()
    y = ACTIVATIONS[activation](z + bias) * mask
    return [y.detach(), *torch.autograd.grad(y, (z, bias), gy)]


@pytest.mark.parametrize("blocks", [1, 8, 528])
@pytest.mark.parametrize("least", [1, 4])
def test_each_chunk_is_visited_once_by_a_thread_of_its_columns(library, blocks, least):
    visited = ctypes.CDLL(str(library)).visited
    visited.restype, visited.argtypes = ctypes.c_int64, [ctypes.c_int64] * 4
    sizes = [(rows, cols) for rows in (1, 2, 3, 5, 9, 64, 1000) for cols in range(1, 70)]
    sizes += [(3, 4096), (5, 5001), (1, 1_000_003), (2**20, 4096), (2**22 + 1, 1001), (2**32, 3)]
    for rows, cols in sizes:
        expected = -(-rows * cols // 8)
        assert visited(rows * cols, cols, least, blocks) == expected, (rows, cols)


@pytest.mark.parametrize("seed", [[5], [-(2**40) + 3, 7], [0, 2**33 + 1]])
@dtypes
def test_the_mask_is_that_of_philox(ops, seed, dtype):
    seed = torch.tensor(seed)
    for shape in SHAPES:
        expected = mask_of(seed, shape, 0.3) != 0
        y = ops.dropout(torch.ones(shape, dtype=dtype), 0.3, seed)
        assert torch.equal(y != 0, expected)
        assert torch.equal(y[expected], torch.full_like(y[expected], 1 / 0.7))
        y, _ = ops.bias_act_dropout(
            torch.zeros(shape, dtype=dtype), torch.ones(shape[1], dtype=dtype), 0, 0.3, seed
        )
        assert torch.equal(y != 0, expected)


@activations
@dtypes
def test_values_and_gradients(ops, activation, dtype):
    seed = torch.tensor([11, 2])
    for i, shape in enumerate(SHAPES):
        rate = (0.0, 0.4)[i % 2] if i < 12 else 0.25
        z, gy = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
        bias = torch.randn(shape[1]).to(dtype)
        y, pre = ops.bias_act_dropout(z, bias, activation, rate, seed)
        assert y.dtype is pre.dtype is dtype
        assert pre.shape == (shape if activation in KEEP_THE_SUM else (0,))
        mask = mask_of(seed, shape, rate) if rate else 1
        expected, gz, gbias = reference(z, bias, activation, mask, gy)
        close(y, expected, dtype)
        if activation in KEEP_THE_SUM:
            close(pre, z.double() + bias.double(), dtype)
        got_gz, got_gbias = ops.bias_act_dropout_backward(gy, y, pre, activation, rate, seed, True)
        close(got_gz, gz, dtype, 4)
        # Errors of single gradients add up like a random walk.
        close(got_gbias, gbias, dtype, 4 * max(shape[0], 1) ** 0.5)
        without, none = ops.bias_act_dropout_backward(gy, y, pre, activation, rate, seed, False)
        assert torch.equal(without, got_gz)
        assert none.shape == (0,)


@dtypes
@pytest.mark.parametrize("bias", [True, False])
def test_the_geometry_changes_no_value(ops, dtype, bias, monkeypatch):
    results = []
    z, gy = torch.randn(515, 100).to(dtype), torch.randn(515, 100).to(dtype)
    b = torch.randn(100).to(dtype) if bias else None
    seed = torch.tensor([3])
    for count in ("1", "3", "132"):
        monkeypatch.setenv("TK_MULTIPROCESSORS", count)
        y, pre = ops.bias_act_dropout(z, b, 6, 0.2, seed)
        gz, gbias = ops.bias_act_dropout_backward(gy, y, pre, 6, 0.2, seed, bias)
        results.append((y, pre, gz))
        if bias:
            close(gbias, gz.double().sum(0), dtype, 20)
    for others in zip(*results, strict=True):
        assert all(torch.equal(other, others[0]) for other in others)


@dtypes
@pytest.mark.parametrize("cols", [8, 13])
@pytest.mark.parametrize("activation", [3, 5])
def test_memory_at_any_address_and_stride(ops, dtype, cols, activation):
    seed = torch.tensor([9])
    store = torch.randn(2, 41 * cols + 3).to(dtype)
    aligned = [t[: 41 * cols].clone().view(41, cols) for t in store[:, 1:]]
    across = [t.t().contiguous().t() for t in aligned]

    def displaced(t):
        moved = torch.cat([t.new_zeros(1), t.flatten()])[1:].view(t.shape)
        assert moved.data_ptr() % 16
        return moved

    odd = [displaced(t) for t in aligned]

    def run(z, gy, move=lambda t: t):
        y, pre = ops.bias_act_dropout(z, None, activation, 0.5, seed)
        kept = [move(t) if t.numel() else t for t in (y, pre)]
        grads = ops.bias_act_dropout_backward(gy, *kept, activation, 0.5, seed, True)
        return y, pre, *grads, ops.dropout(z, 0.5, seed)

    expected = run(*aligned)
    for inputs in (odd, across, (*aligned, displaced)):
        for got, wanted in zip(run(*inputs), expected, strict=True):
            assert torch.equal(got, wanted)
            assert got.is_contiguous()
    one = torch.ones((), dtype=dtype).expand(41, cols)  # the gradient of a sum
    y, pre = ops.bias_act_dropout(aligned[0], None, 0, 0.5, seed)
    gz, _ = ops.bias_act_dropout_backward(one, y, pre, 0, 0.5, seed, False)
    assert torch.equal(gz, ops.dropout(one, 0.5, seed))


@activations
def test_dropped_values_and_their_gradients_are_zero_whatever_they_were(ops, activation):
    seed = torch.tensor([4])
    z = torch.tensor([[float("inf"), float("-inf"), float("nan")]]).repeat(11, 7)
    gy = z.flip(1).contiguous()
    dropped = mask_of(seed, z.shape, 0.5) == 0
    y, pre = ops.bias_act_dropout(z, None, activation, 0.5, seed)
    gz, _ = ops.bias_act_dropout_backward(gy, y, pre, activation, 0.5, seed, False)
    assert torch.equal(y[dropped], torch.zeros_like(y[dropped]))
    assert torch.equal(gz[dropped], torch.zeros_like(gz[dropped]))
    assert y[~dropped & z.isnan()].isnan().all()


def test_rate_one_is_zeros_and_no_seed_is_no_dropout(ops):
    x, gy, seed = torch.randn(5, 9), torch.randn(5, 9), torch.tensor([1, 2])
    assert torch.equal(ops.dropout(x, 1.0, seed), torch.zeros(5, 9))
    for activation in ACTIVATIONS:
        y, pre = ops.bias_act_dropout(x, None, activation, 1.0, seed)
        assert torch.equal(y, torch.zeros(5, 9))
        gz, _ = ops.bias_act_dropout_backward(gy, y, pre, activation, 1.0, seed, True)
        assert torch.equal(gz, torch.zeros(5, 9))
    for y in (ops.dropout(x, 0.0, seed), ops.bias_act_dropout(x, None, 0, 0.5, None)[0]):
        assert torch.equal(y, x)
        assert y.data_ptr() != x.data_ptr()


@activations
@dtypes
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_dense(ops, activation, dtype, bias, rate):
    seed = torch.tensor([7]) if rate else None
    for rows, inner, cols in [(6, 5, 9), (33, 16, 24), (1, 3, 1), (4, 0, 3), (0, 3, 2), (3, 2, 0)]:
        x, kernel = torch.randn(rows, inner).to(dtype), torch.randn(inner, cols).to(dtype)
        b = torch.randn(cols).to(dtype) if bias else None
        gy = torch.randn(rows, cols).to(dtype)
        y, pre = ops.dense_act_dropout(x, kernel, b, activation, rate, seed)
        mask = mask_of(seed, (rows, cols), rate) if rate else 1
        leaves = [t.double().requires_grad_() for t in (x, kernel)]
        z = leaves[0] @ leaves[1]
        expected, gz, gbias = reference(z.detach(), b, activation, mask, gy)
        gx, gkernel = torch.autograd.grad(z, leaves, gz)
        close(y, expected, dtype, 6)
        got = ops.dense_act_dropout_backward(
            gy, x, kernel, y, pre, activation, rate, seed, True, True, bias
        )
        wanted = [gx, gkernel, gbias if bias else torch.zeros(0).double()]
        for a, e in zip(got, wanted, strict=True):
            assert a.dtype is dtype and a.shape == e.shape
            close(a, e, dtype, 40)
        for needs in [
            (True, False, False),
            (False, True, False),
            (False, False, bias),
            (False,) * 3,
        ]:
            parts = ops.dense_act_dropout_backward(
                gy, x, kernel, y, pre, activation, rate, seed, *needs
            )
            for part, whole, needed in zip(parts, got, needs, strict=True):
                assert torch.equal(part, whole) if needed else part.shape == (0,)


def test_no_output_shares_memory_with_another_tensor(ops):
    x, kernel, bias = torch.randn(6, 5), torch.randn(5, 8), torch.randn(8)
    seed, gy = torch.tensor([7]), torch.randn(6, 8)
    for activation in ACTIVATIONS:
        for b in (bias, None):
            for s in (seed, None):
                y, pre = ops.dense_act_dropout(x, kernel, b, activation, 0.5, s)
                grads = ops.dense_act_dropout_backward(
                    gy, x, kernel, y, pre, activation, 0.5, s, True, True, True
                )
                gz, gb = ops.bias_act_dropout_backward(gy, y, pre, activation, 0.5, s, True)
                tensors = [x, kernel, bias, gy, y, pre, *grads, gz, gb]
                pointers = [t.data_ptr() for t in tensors if t.numel()]
                assert len(set(pointers)) == len(pointers)


def test_autocast_does_not_reach_the_product(ops):
    x, kernel, bias = torch.randn(6, 5), torch.randn(5, 8), torch.randn(8)
    for b in (bias, None):
        for activation in (0, 1, 4):
            expected, _ = ops.dense_act_dropout(x, kernel, b, activation, 0.0, None)
            with torch.autocast("cpu", torch.bfloat16):
                y, _ = ops.dense_act_dropout(x, kernel, b, activation, 0.0, None)
            assert torch.equal(y, expected)


def test_errors_name_what_is_wrong(ops):
    x, kernel, bias, seed = torch.ones(2, 3), torch.ones(3, 4), torch.ones(4), torch.tensor([1])
    call = ops.dense_act_dropout
    t = types.SimpleNamespace(y=torch.ones(2, 4), none=torch.ones(0))
    wrong = [
        (lambda: call(x.long(), kernel, None, 0, 0.0, None), "`x` must be float32.*Long.*Cast"),
        (lambda: call(x[0], kernel, None, 0, 0.0, None), r"`x` must have rank 2.*\(3\).*Flatten"),
        (
            lambda: call(x, kernel.double(), None, 0, 0.0, None),
            "`kernel` must have the dtype.*Cast",
        ),
        (lambda: call(x, kernel.t(), None, 0, 0.0, None), r"`kernel`.*\(3, 3\).*\(4, 3\).*Check"),
        (lambda: call(x, kernel, bias[1:], 0, 0.0, None), r"`bias`.*\(4\).*\(3\).*Check"),
        (lambda: call(x, kernel, bias, 10, 0.0, None), "`activation` must be from 0 to 9.*10"),
        (lambda: call(x, kernel, bias, 0, 1.5, seed), "`rate` must be from 0 to 1.*1.5"),
        (lambda: call(x, kernel, bias, 0, 0.5, seed.int()), "`seed` must be an int64.*Int.*Draw"),
        (lambda: ops.dropout(x, 0.5, torch.arange(3)), "`seed` must be an int64.*of 3 elements"),
        (lambda: ops.bias_act_dropout_backward(t.y, t.none, t.none, 4, 0.0, None, True), "`pre`"),
        (lambda: ops.bias_act_dropout_backward(t.y, t.none, t.none, 1, 0.0, None, True), "`y`"),
    ]
    for run, message in wrong:
        with pytest.raises((RuntimeError, NotImplementedError), match=message):
            run()


# As on a CPU: a value that was stored with the dropout's scale may come back beyond its limit.
@pytest.mark.parametrize("activation", [2, 3, 8], ids=["sigmoid", "tanh", "elu"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_slope_of_a_saturated_unit_is_not_below_zero(activation, dtype, ops):
    z = torch.full((4, 1024), -40.0 if activation == 8 else 40.0, dtype=dtype)
    for rate in (0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9):
        arguments = activation, rate, torch.tensor([7])
        y, pre = ops.bias_act_dropout(z, None, *arguments)
        slopes, _ = ops.bias_act_dropout_backward(torch.ones_like(y), y, pre, *arguments, False)
        assert slopes.min() >= 0
