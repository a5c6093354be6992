"""What pip makes of the repository: wheels with kernels and without, an sdist, editable installs.

Each test works on a copy, in an environment whose packages are links to those of this one: torch
is never downloaded.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sysconfig
import tarfile
import venv
import zipfile

import pytest

from torchkeras.kernels import build, cache

REPOSITORY = pathlib.Path(__file__).parents[2]
FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "csrc", "torchkeras")

pytest.importorskip("setuptools", minversion="77")
pytest.importorskip("pip")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (REPOSITORY / "setup.py").exists(), reason="needs the repository"),
    pytest.mark.skipif(
        not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="needs a C++ compiler"
    ),
]


@pytest.fixture
def tree(tmp_path):
    """A copy of what packages are built from."""
    target = tmp_path / "tree"
    target.mkdir()
    for name in FILES:
        source = REPOSITORY / name
        if source.is_dir():
            skipped = shutil.ignore_patterns("__pycache__", "*.so", ".build-*")
            shutil.copytree(source, target / name, ignore=skipped)
        else:
            shutil.copy(source, target / name)
    return target


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    """Those of a user who has set nothing; a cache that starts empty."""
    for name in ("TORCHKERAS_KERNELS", "TORCHKERAS_BUILD_CUDA", "TORCHKERAS_WERROR", "CXX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")


@pytest.fixture
def python(tmp_path):
    """The interpreter of a new environment with all packages of this one, torchkeras excepted."""
    return new_environment(tmp_path / "venv", without=())


def new_environment(folder, without):
    venv.create(folder, with_pip=False, symlinks=True)
    purelib = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    for entry in pathlib.Path(sysconfig.get_path("purelib")).iterdir():
        distribution = re.split(r"[-.]", entry.name)[0]
        if "torchkeras" not in entry.name and distribution not in without:
            os.symlink(entry, pathlib.Path(purelib, entry.name))
    return str(folder / "bin" / "python")


def run(*command, cwd, code=0, timeout=300):
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        timeout=timeout,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def make_wheel(python, source, out, *options, code=0):
    """The path of the wheel and what pip showed."""
    command = [python, "-m", "pip", "wheel", "-v", source, "--no-deps", *options, "-w", out]
    shown = run(*command, cwd=out.parent, code=code)
    return next(out.glob("*.whl"), None), shown


def status(python, cwd, **environment):
    """What an interpreter says of its kernels, as a dict of strings."""
    command = ["env", *(f"{k}={v}" for k, v in environment.items())]
    shown = run(*command, python, "-m", "torchkeras.kernels", "status", cwd=cwd)
    return dict(line.split(": ", 1) for line in shown.splitlines() if re.match(r"\w+: ", line))


def files_of_csrc():
    csrc = REPOSITORY / "csrc"
    return {path.relative_to(csrc).as_posix() for path in csrc.rglob("*") if path.is_file()}


def test_a_wheel_has_kernels_for_every_python_and_their_sources(tree, python, tmp_path):
    wheel, _ = make_wheel(python, tree, tmp_path / "out", "--no-build-isolation")
    assert "-cp310-abi3-" in wheel.name
    with zipfile.ZipFile(wheel) as file:
        packed = {entry.filename: entry for entry in file.infolist()}
        file.extractall(tmp_path / "unpacked")
    library = packed["torchkeras/_C.abi3.so"]
    assert library.compress_size < 500_000
    brought = {n.removeprefix("torchkeras/csrc/") for n in packed if "/csrc/" in n}
    assert brought == files_of_csrc()
    path = tmp_path / "unpacked" / library.filename
    assert build.build_id_of(path) == build.build_id(REPOSITORY / "csrc")
    if shutil.which("readelf"):
        dynamic = run("readelf", "-d", path, cwd=tmp_path)
        assert "libtorch_cpu.so" in dynamic
        assert "RPATH" not in dynamic and "RUNPATH" not in dynamic
        assert not re.search("libtorch_python|libpython|libc10", dynamic)

    # It works where it is unpacked, without a compiler, and as a module.
    facts = status(python, tmp_path / "unpacked", PATH="")
    assert (facts["loaded"], facts["built"], facts["path"]) == ("True", "ahead", str(path))
    run(python, "-c", "import torch, torchkeras._C", cwd=tmp_path / "unpacked")
    assert not (tmp_path / "cache").exists()


def test_an_editable_install_in_isolation_has_kernels(tree, python, tmp_path):
    # pip downloads setuptools for this.
    run(python, "-m", "pip", "install", "-e", tree, "--no-deps", cwd=tmp_path)
    facts = status(python, tmp_path)
    assert (facts["loaded"], facts["built"]) == ("True", "ahead")
    assert facts["path"] == str(tree / "torchkeras" / "_C.abi3.so")
    assert not (tree / "torchkeras" / "csrc").exists()
    # Sources that changed since are compiled at the next use, also where no kernels would do.
    with open(tree / "csrc" / "build_id.cpp", "a") as file:
        file.write("// changed\n")
    facts = status(python, tmp_path)
    assert "compiled from other sources" in facts["reason"]
    shown = run(
        python, "-c", "from torchkeras.kernels import loader; print(loader.load())", cwd=tmp_path
    )
    assert "compiling kernels" in shown and shown.endswith("True\n")
    assert status(python, tmp_path)["built"] == "jit"


def test_an_editable_install_without_isolation_has_kernels(tree, python, tmp_path):
    command = [python, "-m", "pip", "install", "-e", tree, "--no-deps", "--no-build-isolation"]
    run(*command, cwd=tmp_path)
    assert status(python, tmp_path)["built"] == "ahead"


def test_without_torch_a_wheel_is_pure_and_compiles_at_first_use(tree, python, tmp_path):
    bare = new_environment(tmp_path / "bare", without=("torch",))
    wheel, shown = make_wheel(bare, tree, tmp_path / "out", "--no-build-isolation")
    assert wheel.name.endswith("-py3-none-any.whl")
    reason = "torch is not installed; run `pip install torch` first"
    assert f"torchkeras: installed without compiled kernels: {reason}.\n" in shown
    run(python, "-m", "pip", "install", wheel, "--no-deps", "--no-index", cwd=tmp_path)
    shown = run(python, "-m", "torchkeras.kernels", "build", cwd=tmp_path)
    assert shown.count("compiling kernels") == 1
    facts = status(python, tmp_path)
    assert (facts["loaded"], facts["built"]) == ("True", "jit")


@pytest.mark.parametrize(
    "compiler, reason",
    [("/nonexistent", "names '/nonexistent', which is no program"), ("false", "exit code 1")],
)
def test_without_a_working_compiler_there_are_no_kernels(
    tree, python, tmp_path, monkeypatch, compiler, reason
):
    monkeypatch.setenv("CXX", compiler)
    wheel, shown = make_wheel(python, tree, tmp_path / "out", "--no-build-isolation")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert "torchkeras/_C.abi3.so" not in names and "torchkeras/csrc/ops.cpp" in names
    assert shown.count("torchkeras: installed without compiled kernels: ") == 1
    assert reason in shown
    # Where kernels are required, that is an error.
    monkeypatch.setenv("TORCHKERAS_KERNELS", "require")
    wheel, shown = make_wheel(python, tree, tmp_path / "required", "--no-build-isolation", code=1)
    assert wheel is None
    assert "TORCHKERAS_KERNELS is 'require', and" in shown and reason in shown


def test_an_sdist_carries_the_sources_and_builds(tree, python, tmp_path):
    script = f"import setuptools.build_meta as b; print(b.build_sdist({str(tmp_path)!r}))"
    name = run(python, "-c", script, cwd=tree).splitlines()[-1]
    with tarfile.open(tmp_path / name) as file:
        packed = set(file.getnames())
    root = name.removesuffix(".tar.gz")
    assert {f"{root}/csrc/{path}" for path in files_of_csrc()} <= packed
    assert not [path for path in packed if path.endswith((".so", ".pyc"))]
    wheel, _ = make_wheel(python, tmp_path / name, tmp_path / "out", "--no-build-isolation")
    with zipfile.ZipFile(wheel) as file:
        assert "torchkeras/_C.abi3.so" in file.namelist()


def test_off_builds_no_kernels(tree, python, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHKERAS_KERNELS", "off")
    stale = tree / "build/lib/torchkeras/_C_cuda.abi3.so"  # of a build with other settings
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    wheel, _ = make_wheel(python, tree, tmp_path / "out", "--no-build-isolation")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as file:
        assert not [name for name in file.namelist() if name.endswith(".so")]


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_the_sources_compile_without_a_warning(compiler, tmp_path, monkeypatch):
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("TORCHKERAS_WERROR", "1")
    build.compile_library(
        tmp_path / "_C.so",
        cache.this_torch(),
        build.source_folder(),
        python_include=sysconfig.get_path("include"),
    )
