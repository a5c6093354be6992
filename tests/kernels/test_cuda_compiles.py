"""The CUDA sources compile without a warning; a GPU or a torch with CUDA is not needed for that."""

import subprocess

import pytest

from torchkeras.kernels import build, cache

CSRC = build.source_folder()
NVCC = build.which_nvcc()
SOURCES = build.sources(CSRC, cuda=True)

pytestmark = pytest.mark.skipif(NVCC is None, reason="needs nvcc")


@pytest.fixture(autouse=True)
def warnings_are_errors(monkeypatch):
    monkeypatch.setenv("TORCHKERAS_WERROR", "1")


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""


# The oldest has the fewest instructions; a compilation takes ten seconds.
@pytest.mark.parametrize(
    "capability",
    [
        pytest.param(each, marks=[] if each == min(build.CUDA_CAPABILITIES) else pytest.mark.slow)
        for each in build.CUDA_CAPABILITIES
    ],
    ids="sm_{0[0]}{0[1]}".format,
)
@pytest.mark.parametrize("source", [s for s in SOURCES if s.suffix == ".cu"], ids=lambda s: s.name)
def test_kernels_compile(source, capability, tmp_path):
    run(build.nvcc_command(NVCC, CSRC, source, tmp_path / "out.o", [capability]))


@pytest.mark.parametrize("source", [s for s in SOURCES if s.suffix == ".cpp"], ids=lambda s: s.name)
def test_bindings_compile(source, tmp_path):
    include = build.find_cuda_headers(NVCC)
    compiler = build.find_compiler()
    run(build.cxx_command(compiler, CSRC, source, tmp_path / "out.o", cache.this_torch(), include))


def test_a_warning_would_be_an_error(tmp_path):
    (tmp_path / "unused.cu").write_text("__global__ void f(float* x) { int unused; x[0] = 1; }\n")
    command = build.nvcc_command(NVCC, tmp_path, tmp_path / "unused.cu", tmp_path / "out.o")
    (tmp_path / "build_id.cpp").write_text("int f(int unused) { return 1; }\n")
    with pytest.raises(AssertionError, match="unused"):
        run(command)
    compiler = build.find_compiler()
    source = tmp_path / "build_id.cpp"
    with pytest.raises(AssertionError, match="unused"):
        run(build.cxx_command(compiler, tmp_path, source, tmp_path / "o.o", cache.this_torch()))
