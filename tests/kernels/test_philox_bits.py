"""The mask of a dropout is the same function of its seed wherever and however it is computed."""

import concurrent.futures
import ctypes
import json
import pathlib
import platform
import shutil
import subprocess

import pytest
import torch

from tests.kernels.support import kept, needs_ops
from tests.processes import run_python
from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import compiled
from torchkeras.random.philox import philox

SEEDS = [(0, 0), (7, 0), (-1, 3), (2**63 - 1, 2**32 - 1), (-(2**63), 1), (2**32, 2**31)]


@needs_ops
@pytest.mark.parametrize(("seed", "draw"), SEEDS)
def test_the_op_draws_the_bits_of_philox(seed, draw):
    expected = kept((5000,), 0.5, seed, draw)
    for n in (1, 7, 8, 9, 1023, 1024, 1025, 5000):
        y = compiled.dropout(torch.ones(n), 0.5, torch.tensor([seed, draw]))
        assert torch.equal(y != 0, expected[:n])


@needs_ops
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_bits_do_not_depend_on_the_dtype(dtype, rate):
    y = compiled.dropout(torch.ones(3000, dtype=dtype), rate, torch.tensor([7]))
    assert torch.equal(y != 0, kept((3000,), rate, 7))
    assert torch.equal(y.unique(), torch.tensor([0.0, 1 / (1 - rate)], dtype=dtype))


@needs_ops
@pytest.mark.parametrize("cols", [1, 3, 8, 100, 511, 512, 513, 1000, 1024, 1025, 3000])
@pytest.mark.parametrize("code", [codes.NONE, codes.SOFTPLUS])
def test_the_bits_follow_the_flat_index_with_a_bias_and_without(cols, code):
    rows = 4000 // cols + 2
    z, seed = torch.ones(rows, cols), torch.tensor([7, 5])
    expected = kept((rows, cols), 0.3, 7, 5)
    for bias in (None, torch.ones(cols)):
        y, pre = compiled.bias_act_dropout(z, bias, code, 0.3, seed)
        assert torch.equal(y != 0, expected)
        for need_bias in (False, True):
            gz, _ = compiled.bias_act_dropout_backward(z, y, pre, code, 0.3, seed, need_bias)
            assert torch.equal(gz != 0, expected)
        kernel = torch.ones(2, cols)
        y, _ = compiled.dense_act_dropout(torch.ones(rows, 2), kernel, bias, code, 0.3, seed)
        assert torch.equal(y != 0, expected)


@needs_ops
def test_a_seed_without_a_draw_is_draw_zero():
    x = torch.ones(1000)
    a, b = (compiled.dropout(x, 0.5, torch.tensor(s)) for s in ([7], [7, 0]))
    assert torch.equal(a, b)


MASKS = """
import hashlib, json, torch
import torchkeras as keras
from torchkeras.kernels import activation_codes as codes, dense, dropout

def generator():
    return keras.random.SeedGenerator(2**62 + 12345)

def masks():
    x = torch.randn(3, 5, 7, 40).to(memory_format=torch.channels_last)
    yield dropout(torch.ones(100), 0.5, generator())
    yield dropout(torch.ones(30001), 0.1, generator())
    yield dropout(torch.ones(700, 30).t(), 0.5, generator())
    yield dropout(torch.ones_like(x), 0.5, generator())
    yield dropout(torch.ones(60, 100)[:, ::2], 0.5, generator())
    yield dropout(torch.ones(5000), 0.001, generator())
    yield dropout(torch.ones(5000, dtype=torch.bfloat16), 0.3, generator())
    yield dropout(torch.ones(600, 30), 0.5, generator(), (None, 1))
    yield dense(torch.ones(70, 130), torch.ones(130, 150), None, codes.TANH, 0.3, generator())
    yield dense(torch.ones(70, 130), torch.ones(130, 9), None, codes.NONE, 0.3, generator())
    yield dense(torch.ones(7, 13), torch.ones(13, 9), None, codes.NONE, 0.3, generator())

digests = [hashlib.sha256((y != 0).contiguous().numpy().tobytes()).hexdigest() for y in masks()]
print(json.dumps(digests))
"""


def test_seeded_masks_are_those_of_plain_torch():
    here = {}
    exec(MASKS.replace("print(", "found = ("), here)
    assert json.loads(here["found"]) == json.loads(run_python(MASKS, TORCHKERAS_KERNELS="off"))


# Prints the instruction set, a digest of masks, and the worst errors of everything else.
EVERYTHING = """
import hashlib, json, torch
from tests.kernels.support import ACTIVATIONS, formula
from torchkeras.kernels import activation_codes as codes, compiled, loader
loader.load()
digest, worst = hashlib.sha256(), {}

def note(what, y, true):
    worst[what] = max(float((y - true).abs().max()), worst.get(what, 0.0))

for n in (1, 9, 1025, 100_001):
    for seed in ([7, 0], [-(2**60), 2**32 - 1]):
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
            y = compiled.dropout(torch.ones(n, dtype=dtype), 0.3, torch.tensor(seed))
            digest.update((y != 0).numpy().tobytes())
g = torch.Generator().manual_seed(1)
bias, seed = torch.randn(200, generator=g), torch.tensor([7])
keep = compiled.dropout(torch.ones(100, 200).double(), 0.3, seed)
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    z, b = (torch.randn(100, 200, generator=g) * 3).to(dtype), bias.to(dtype)
    for name, code in ACTIVATIONS.items():
        for rate, scale in ((0.0, 1.0), (0.3, keep)):
            y, pre = compiled.bias_act_dropout(z, b, code, rate, seed)
            kept = y if codes.needs_value(code) else pre
            gz, gb = compiled.bias_act_dropout_backward(
                torch.ones_like(z), kept, kept, code, rate, seed, True)
            exact = (z.double() + b.double()).requires_grad_()
            true = formula(name, exact) * scale
            (slope,) = torch.autograd.grad(true, exact, torch.ones_like(true))
            note(str(dtype), y, true.detach())
            note(str(dtype), gz, slope)
            note(str(dtype), gb / 100, slope.mean(0))
for cols in range(1, 17):
    x, k = torch.randn(50, 700, generator=g), torch.randn(700, cols, generator=g)
    y, _ = compiled.dense_act_dropout(x, k, None, codes.NONE, 0.0, None)
    note("narrow", y / 100, x.double() @ k.double() / 100)
    gy, none = torch.randn(50, cols, generator=g), torch.empty(0)
    _, gk, _ = compiled.dense_act_dropout_backward(
        gy, x, k, none, none, codes.NONE, 0.0, None, False, True, False)
    note("narrow", gk / 30, x.double().t() @ gy.double() / 30)
print(json.dumps([loader.status()["isa"], digest.hexdigest(), worst]))
"""

# float32: some units of values up to 24. Half types: half a unit of such values; a gradient
# comes from the rounded value.
WORST = {"torch.float32": 5e-6, "torch.bfloat16": 0.07, "torch.float16": 0.01, "narrow": 1e-6}
ISAS = ["base", "avx2", "avx512"]


@pytest.fixture(scope="module")
def by_isa():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda isa: run_python(EVERYTHING, TORCHKERAS_ISA=isa), ISAS)
        return dict(zip(ISAS, map(json.loads, runs), strict=True))


@needs_ops
@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_draws_the_same_and_computes_right(isa, by_isa):
    used, digest, worst = by_isa[isa]
    if used != isa:
        pytest.skip(f"this CPU has no {isa}")
    assert digest == by_isa["base"][1]
    assert worst.keys() == WORST.keys()
    for what, error in worst.items():
        assert error < WORST[what], what


@needs_ops
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_number_of_threads_draws_the_same(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        y = compiled.dropout(torch.ones(300_001), 0.3, torch.tensor([7, 1]))
        z, _ = compiled.bias_act_dropout(
            torch.ones(301, 1000), torch.ones(1000), codes.NONE, 0.3, torch.tensor([7, 1])
        )
    finally:
        torch.set_num_threads(before)
    expected = kept((301_000,), 0.3, 7, 1)
    assert torch.equal(y != 0, expected[:300_001])
    assert torch.equal(z.flatten() != 0, expected)


# Index arithmetic beyond 2^31 and 2^35 elements: a kernel is run on one tile of an imaginary
# tensor, with pointers from which the tile's offset leads into a small buffer.
HARNESS = """
#include "cpu/kernels_base.cpp"
using namespace torchkeras;

static const Kernels* table(int isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (isa == 2) return avx512 ? &kAvx512Kernels : nullptr;
  if (isa == 1) return avx2 ? &kAvx2Kernels : nullptr;
#endif
  return isa == 0 ? &kBaseKernels : nullptr;
}

extern "C" int has(int isa) { return table(isa) != nullptr; }
extern "C" int64_t count(int64_t rows, int64_t cols) { return tiles(rows, cols); }
extern "C" void where(int64_t rows, int64_t cols, int64_t index, int64_t* out) {
  const Epilogue e = {DType::kFloat32, Activation::kNone, no_dropout(), rows, cols};
  const Tile tile(e, index);
  out[0] = tile.first;
  out[1] = tile.n;
  out[2] = tile.column;
}

template <class T>
static const void* minus(T* buffer, int64_t elements) {
  return reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(buffer) -
                                       static_cast<uintptr_t>(elements) * sizeof(T));
}

// Forward and backward of one tile; `z`, `y` and `gz` have room for it alone.
extern "C" void run(int isa, int64_t rows, int64_t cols, int64_t index, int64_t first, float* z,
                    const float* bias, float* y, float* gz, float* sums) {
  const Epilogue e = {DType::kFloat32, Activation::kNone, make_dropout(0.5, 7, 3), rows, cols};
  void* to = const_cast<void*>(minus(y, first));
  table(isa)->forward(e, minus(z, first), bias, to, nullptr, index, index + 1);
  to = const_cast<void*>(minus(gz, first));
  table(isa)->backward(e, minus(z, first), nullptr, nullptr, to, sums, index, index + 1);
}
"""


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    """The torch-free kernels as a library for ctypes."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    folder = tmp_path_factory.mktemp("harness")
    csrc = pathlib.Path(__file__).parents[2] / "csrc"
    (folder / "harness.cpp").write_text(HARNESS)
    sources = [folder / "harness.cpp"]
    if platform.machine() in ("x86_64", "AMD64"):
        sources += [csrc / "cpu" / "kernels_avx2.cpp", csrc / "cpu" / "kernels_avx512.cpp"]
    runs = []
    for source in sources:
        command = [compiler, "-O1", "-std=c++17", "-fPIC", f"-I{csrc}", "-c", str(source)]
        runs.append(subprocess.Popen([*command, "-o", str(folder / f"{source.stem}.o")]))
    assert [run.wait(timeout=120) for run in runs] == [0] * len(runs)
    library = folder / "harness.so"
    objects = [str(folder / f"{source.stem}.o") for source in sources]
    subprocess.run([compiler, "-shared", "-o", str(library), *objects], check=True, timeout=60)
    loaded = ctypes.CDLL(str(library))
    i64, pointer = ctypes.c_int64, ctypes.c_void_p
    loaded.count.argtypes, loaded.count.restype = [i64, i64], i64
    loaded.where.argtypes, loaded.where.restype = [i64, i64, i64, pointer], None
    loaded.run.argtypes, loaded.run.restype = [ctypes.c_int, *[i64] * 4, *[pointer] * 5], None
    return loaded


HUGE = [
    (2**31 + 5, 1),
    (2**33 + 3, 7),
    (2**23 + 1, 511),
    (2**22 + 1, 1023),
    (2**22 + 1, 1025),
    (3, 2**34 + 11),
    (1, 2**36 + 77),
    (200_000, 200_000),
]


def _places(tiles):
    """Tiles at both ends and around the indices where 32 bits would not do."""
    middle = [tiles // 2, tiles * 2 // 3, tiles - 2]
    return sorted({i for i in [0, 1, 2**21, 2**21 + 1, 2**31 + 1, *middle] if 0 <= i < tiles - 1})


@pytest.mark.parametrize(("rows", "cols"), HUGE)
def test_tiles_of_huge_tensors_follow_each_other(rows, cols, harness):
    tiles = harness.count(rows, cols)
    found = torch.zeros(3, dtype=torch.int64)

    def where(index):
        harness.where(rows, cols, index, found.data_ptr())
        return found.tolist()

    assert where(0)[0] == 0
    first, n, _ = where(tiles - 1)
    assert first + n == rows * cols
    for index in _places(tiles):
        first, n, column = where(index)
        assert 0 < n <= 1024
        assert column == first % cols
        assert first + n == where(index + 1)[0]


def _kept_from(first, n):
    """Which of the elements from `first` on are kept at rate 0.5, seed 7, draw 3."""
    blocks = torch.arange(first // 8, (first + n - 1) // 8 + 1)
    counter = (blocks & 0xFFFFFFFF, blocks >> 32, torch.tensor(3), torch.tensor(0))
    words = torch.stack(philox(counter, (torch.tensor(7), torch.tensor(0))), -1).flatten()
    halves = torch.stack([words & 0xFFFF, words >> 16], -1).flatten()
    return halves[first % 8 :][:n] >= 32768


@pytest.mark.parametrize("isa", [0, 1, 2], ids=["base", "avx2", "avx512"])
@pytest.mark.parametrize(("rows", "cols"), HUGE)
def test_kernels_at_huge_offsets(rows, cols, isa, harness):
    if not harness.has(isa):
        pytest.skip("this CPU has no such instructions")
    tiles = harness.count(rows, cols)
    found = torch.zeros(3, dtype=torch.int64)
    # The bias of a wide row is as long as the row.
    bias = torch.arange(cols if cols <= 2**20 else 1, dtype=torch.float32)
    for index in [*_places(tiles), tiles - 1]:
        harness.where(rows, cols, index, found.data_ptr())
        first, n, column = found.tolist()
        z, y, gz = torch.rand(n) + 1, torch.full((n + 1,), -5.0), torch.full((n + 1,), -5.0)
        has_bias = cols <= 2**20
        added = bias[torch.arange(column, column + n) % cols] if has_bias else 0
        sums = torch.zeros(cols) if has_bias else None
        harness.run(
            isa,
            rows,
            cols,
            index,
            first,
            z.data_ptr(),
            bias.data_ptr() if has_bias else None,
            y.data_ptr(),
            gz.data_ptr(),
            sums.data_ptr() if has_bias else None,
        )
        factor = _kept_from(first, n) * 2.0
        assert y[n] == gz[n] == -5.0  # nothing written behind the tile
        assert torch.equal(y[:n], (z + added) * factor)
        assert torch.equal(gz[:n], z * factor)
        if has_bias:
            columns = torch.arange(column, column + n) % cols
            expected = torch.zeros(cols).index_add_(0, columns, z * factor)
            torch.testing.assert_close(sums, expected)


@pytest.mark.slow
@needs_ops
def test_dropout_of_more_than_2_31_elements():
    n = 2**31 + 10_000
    memory = pathlib.Path("/proc/meminfo")
    free = int(memory.read_text().split("MemAvailable:")[1].split()[0]) if memory.exists() else 0
    if free * 1024 < 6 * n:
        pytest.skip("needs 13 GB of memory")
    x = torch.ones((), dtype=torch.float16).expand(n).contiguous()
    y = compiled.dropout(x, 0.5, torch.tensor([7, 3]))
    assert torch.equal(y[-20_000:] != 0, _kept_from(n - 20_000, 20_000))
    assert torch.equal(y[:20_000] != 0, _kept_from(0, 20_000))
