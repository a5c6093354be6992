"""Finding, compiling and loading the kernels, with a library that is compiled in no time."""

import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
import types
import warnings

import pytest
import torch

from torchkeras.kernels import build, cache, loader
from torchkeras.kernels.__main__ import main

REPOSITORY = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not any(map(shutil.which, ("g++", "c++", "clang++"))),
    reason="needs a C++ compiler",
)


@pytest.fixture
def csrc(tmp_path):
    """Sources of a library without ops."""
    folder = tmp_path / "csrc"
    folder.mkdir()
    shutil.copy(build.source_folder() / "build_id.cpp", folder)
    # A text of its own: two tests never load the same file.
    (folder / "ops.cpp").write_text(f'extern "C" const char* toy() {{ return "{tmp_path}"; }}\n')
    return folder


@pytest.fixture
def new_library(tmp_path, csrc, monkeypatch):
    """`new_library()` puts a library of these sources, not loaded yet, in place of ours."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCHKERAS_KERNELS", "auto")
    (tmp_path / "package").mkdir()

    def new(name="_cpu", **arguments):
        arguments = {"package": tmp_path / "package", "csrc": csrc, **arguments}
        library = loader._Library("_C", **arguments)
        monkeypatch.setattr(loader, name, library)
        return library

    return new


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """`compiler(script)` makes a shell script the compiler; `"$@"` are its arguments."""

    def make(script):
        path = tmp_path / "compiler"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("CXX", str(path))

    return make


def real_compiler():
    return next(filter(None, map(shutil.which, ("g++", "c++", "clang++"))))


def compile_ahead(library, csrc):
    path = library.package / "_C.abi3.so"
    build.compile_library(path, cache.this_torch(), csrc)
    return path


# Modes


def test_off_looks_for_nothing(new_library, csrc, monkeypatch):
    library = new_library()
    compile_ahead(library, csrc)
    monkeypatch.setenv("TORCHKERAS_KERNELS", "off")
    assert loader.load() is False
    assert (library.path, library.reason) == (None, "TORCHKERAS_KERNELS=off")
    assert loader.status()["mode"] == "off"


def test_an_unknown_mode_is_an_error(new_library, monkeypatch):
    new_library()
    monkeypatch.setenv("TORCHKERAS_KERNELS", "on")
    for function in (loader.load, loader.status, loader.mode):
        with pytest.raises(ValueError, match="'auto', 'require' or 'off'. Received: 'on'. Unset"):
            function()


def test_an_empty_variable_is_auto(monkeypatch):
    monkeypatch.setenv("TORCHKERAS_KERNELS", "")
    assert loader.mode() == "auto"


def test_require_is_an_error_at_every_call(new_library, compiler, monkeypatch):
    new_library()
    compiler("echo no luck: error; exit 3")
    monkeypatch.setenv("TORCHKERAS_KERNELS", "require")
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"'require'.*exit code 3.: no luck: error"):
            loader.load()
    assert "no luck" in loader.status()["reason"]


# Places


def test_the_library_of_the_installation_comes_first(new_library, csrc, tmp_path, capfd):
    library = new_library()
    path = compile_ahead(library, csrc)
    assert loader.load() is True
    assert (library.path, library.built, library.reason) == (str(path), "ahead", None)
    assert not (tmp_path / "cache").exists()
    assert capfd.readouterr().err == ""


def test_first_use_compiles_and_the_next_process_finds_it(new_library, monkeypatch, capfd):
    library = new_library()
    assert loader.load() is True
    assert library.built == "jit"
    assert capfd.readouterr().err.count("\n") == 1  # one line says what takes so long
    monkeypatch.setenv("PATH", "")  # no compiler is asked
    again = new_library()
    assert loader.load() is True
    assert (again.path, again.built) == (library.path, "jit")
    assert capfd.readouterr().err == ""


def test_status_compiles_nothing_and_a_later_load_does(new_library):
    library = new_library()
    facts = loader.status()
    assert (facts["loaded"], facts["reason"]) == (False, "not compiled yet")
    assert loader.load() is True
    assert library.reason is None


def test_a_library_of_other_sources_is_replaced_by_a_new_one(new_library, csrc):
    library = new_library()
    compile_ahead(library, csrc)
    (csrc / "ops.cpp").write_text('extern "C" int toy() { return 2; }\n')
    assert loader.load() is True
    assert library.built == "jit"


def test_a_library_of_other_sources_is_reported_if_there_is_no_new_one(
    new_library, csrc, monkeypatch
):
    library = new_library()
    path = compile_ahead(library, csrc)
    (csrc / "ops.cpp").write_text('extern "C" int toy() { return 2; }\n')
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.warns(RuntimeWarning, match="compiled from other sources; there is no C"):
        assert loader.load() is False
    assert str(path) in library.reason


@pytest.mark.parametrize("content", ["garbage", "an id and garbage"])
def test_a_file_that_is_no_library_is_passed_over(new_library, csrc, content):
    library = new_library()
    if content != "garbage":
        content = f"torchkeras-build-id={build.build_id(csrc)};"
    wrong = library.package / "_C.abi3.so"
    cached = cache.cached_path(csrc, "_C")
    cached.parent.mkdir(parents=True)
    for path in (wrong, cached):
        path.write_text(content)
        path.chmod(0o755)
    assert loader.load() is True
    assert library.path == str(cached)


def test_a_library_without_an_op_is_not_used(new_library, compiler):
    library = new_library(ops=("no_such_op",))
    with pytest.warns(RuntimeWarning, match="has no op named no_such_op"):
        assert loader.load() is False
    assert library.loaded is False


def test_without_sources_the_library_of_the_installation_is_used(new_library, csrc, monkeypatch):
    library = new_library()
    compile_ahead(library, csrc)
    library.csrc = None
    assert loader.load() is True
    library = new_library()
    library.csrc = None
    (library.package / "_C.abi3.so").unlink()
    with pytest.warns(RuntimeWarning, match="sources are not installed"):
        assert loader.load() is False


@pytest.mark.parametrize("version", [loader.VERSION, loader.VERSION + 1])
def test_without_sources_the_ops_say_their_version(new_library, csrc, monkeypatch, version):
    library = new_library(ops=("version",))
    compile_ahead(library, csrc)
    library.csrc = None
    monkeypatch.setattr(torch.ops, "torchkeras", types.SimpleNamespace(version=lambda: version))
    if version == loader.VERSION:
        assert loader.load() is True
    else:
        with pytest.warns(RuntimeWarning, match=rf"ops of version {version}, not"):
            assert loader.load() is False


# Compilers


def test_a_machine_without_a_compiler_is_silent(new_library, monkeypatch):
    library = new_library()
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    assert loader.load() is False  # warnings are errors here
    assert "no C++ compiler; install g++" in library.reason
    new_library()
    monkeypatch.setenv("TORCHKERAS_KERNELS", "require")
    with pytest.raises(RuntimeError, match="no C.. compiler; install g"):
        loader.load()


def test_a_broken_compiler_is_one_warning(new_library, compiler):
    new_library()
    compiler("echo first line; echo file.cpp:7: error: no such thing; echo last; exit 1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [loader.load() for _ in range(3)] == [False] * 3
        loader.status()
    assert [w.category for w in caught] == [RuntimeWarning]
    text = str(caught[0].message)
    assert "file.cpp:7: error: no such thing. Plain torch" in text
    assert "TORCHKERAS_KERNELS=off" in text
    assert caught[0].filename == __file__


def test_a_warning_made_an_error_leaves_plain_torch(new_library, compiler):
    new_library()
    compiler("exit 1")
    with pytest.raises(RuntimeWarning, match="no message"):
        loader.load()
    assert loader.load() is False


def test_sources_that_do_not_compile_are_reported_with_their_line(new_library, csrc):
    (csrc / "ops.cpp").write_text("int f() {\n  return nothing;\n}\n")
    new_library()
    with pytest.warns(RuntimeWarning, match=r"ops.cpp:2:\d+: error: .*nothing"):
        loader.load()


def test_a_compiler_that_is_no_program_is_named(new_library, monkeypatch):
    new_library()
    monkeypatch.setenv("CXX", "/nonexistent -m64")
    with pytest.warns(RuntimeWarning, match="CXX names '/nonexistent', which is no program"):
        assert loader.load() is False


def test_a_compiler_may_have_arguments(new_library, monkeypatch):
    new_library()
    monkeypatch.setenv("CXX", f"{real_compiler()} -DANYTHING")
    assert loader.load() is True


def is_running(process):
    try:
        state = pathlib.Path("/proc", process, "stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"  # a dead one may wait to be reaped


def test_a_compiler_that_hangs_is_stopped_with_its_children(csrc, compiler, tmp_path):
    compiler(f"sleep 60 & echo $! >> {tmp_path}/children; wait")
    start = time.monotonic()
    with pytest.raises(build.BuildError, match="did not finish in time"):
        build.compile_library(tmp_path / "x.so", cache.this_torch(), csrc, timeout=1)
    assert time.monotonic() - start < 20
    children = (tmp_path / "children").read_text().split()
    assert children
    deadline = time.monotonic() + 10  # a killed process dies when it is next scheduled
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_running, children))
    assert not (tmp_path / "x.so").exists()
    assert not list(tmp_path.glob(".build-*"))


# Cache


def test_the_cache_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "torchkeras"
    monkeypatch.setenv("HOME", "/home/somebody")
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache.cache_folder() == pathlib.Path("/home/somebody/.cache/torchkeras")


def test_without_a_home_folder_no_code_is_looked_for_where_the_process_runs(
    new_library, csrc, monkeypatch, tmp_path
):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    # As where the user id is in no password file: the path stays what it is.
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~/.cache/torchkeras").mkdir(parents=True)
    with pytest.raises(build.BuildError, match=r"absolute path.*'~/.cache'; set XDG_CACHE_HOME"):
        cache.cache_folder()
    library = new_library()
    with pytest.warns(RuntimeWarning, match="set XDG_CACHE_HOME") as warned:
        assert loader.load() is False
        assert loader.load() is False
    assert len(warned) == 1
    assert "XDG_CACHE_HOME" in library.reason


def test_a_cache_that_cannot_be_written_is_reported(new_library, monkeypatch, tmp_path):
    new_library()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match=r"cannot be written \(.*; set XDG_CACHE_HOME to"):
        assert loader.load() is False


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_cache_is_reported(new_library, tmp_path):
    new_library()
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.warns(RuntimeWarning, match=r"cannot be written \(Permission denied\)"):
        assert loader.load() is False


def test_a_read_only_cache_that_has_the_library_is_used(new_library, csrc, tmp_path):
    path = cache.compile_into_cache(csrc, new_library().name)
    for folder in (path.parent, path.parents[1], path.parents[2]):
        folder.chmod(0o500)
    assert loader.load() is True


def test_what_a_killed_compilation_has_left_goes_with_the_next(csrc, new_library):
    name = new_library().name
    folder = cache.cached_path(csrc, name).parent
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o700)
    for left in (f".build-{name}-x", ".build-another-x"):  # the other one's has a lock of its own
        (folder / left).mkdir()
        (folder / left / "0-dense.cpp.o").touch()
    path = cache.compile_into_cache(csrc, name)
    assert path.exists()
    assert [p.name for p in folder.glob(".build-*")] == [".build-another-x"]


def test_nothing_is_run_that_others_could_have_written(new_library, csrc, tmp_path):
    path = cache.compile_into_cache(csrc, new_library().name)
    for part in (path, path.parent, path.parents[1]):
        mode = part.stat().st_mode
        part.chmod(mode | 0o020)
        new_library()
        with pytest.warns(RuntimeWarning, match="others can write it, so no code from it is run"):
            assert loader.load() is False
        part.chmod(mode)
    new_library()
    assert loader.load() is True


def test_a_lax_umask_does_not_lock_us_out(new_library, csrc):
    new_library()
    before = os.umask(0)
    try:
        path = cache.compile_into_cache(csrc, "_C")
    finally:
        os.umask(before)
    assert path.parents[1].stat().st_mode & 0o777 == 0o700
    assert loader.load() is True


def test_the_key_changes_with_all_the_code_depends_on(csrc, monkeypatch):
    here = build.Torch("", "2.10.0", None)
    keys = [build.cache_key(csrc, here), build.cache_key(csrc, here._replace(version="2.13.0"))]
    keys.append(build.cache_key(csrc, here, cuda=True))
    with monkeypatch.context() as patch:
        patch.setattr(build.platform, "machine", lambda: "aarch64x")
        keys.append(build.cache_key(csrc, here))
    for command in ("g++", "g++ -march=native"):
        with monkeypatch.context() as patch:
            patch.setenv("CXX", command)
            keys.append(build.cache_key(csrc, here))
            keys.append(build.cache_key(csrc, here, cuda=True))
    with monkeypatch.context() as patch:
        patch.setattr(build, "CXX_FLAGS", [*build.CXX_FLAGS, "-O2"])
        keys.append(build.cache_key(csrc, here))
    with monkeypatch.context() as patch:
        patch.setenv("TORCHKERAS_WERROR", "1" if not build._is_strict() else "0")
        keys.append(build.cache_key(csrc, here))
    (csrc / "header.h").write_text("")
    keys.append(build.cache_key(csrc, here))
    assert len(set(keys)) == len(keys)
    assert build.cache_key(csrc, here) == build.cache_key(csrc, here)


def test_another_torch_compiles_anew(new_library, monkeypatch):
    first = new_library()
    assert loader.load()
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    second = new_library()
    assert loader.load()
    assert first.path != second.path


# Several at once


def test_threads_compile_once(new_library, compiler, tmp_path, capfd):
    new_library()
    compiler(f'echo >> {tmp_path}/runs; sleep 0.2; exec {real_compiler()} "$@"')
    results = []
    threads = [threading.Thread(target=lambda: results.append(loader.load())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [True] * 4
    assert len((tmp_path / "runs").read_text()) == 3  # two sources, one link


def test_processes_compile_once(new_library, csrc, compiler, tmp_path):
    new_library()  # for its environment
    # Both ask at the same time: they wait for the file `go`, which comes when both are ready.
    script = f"""
import pathlib, sys, time
from torchkeras.kernels import loader
loader._cpu = loader._Library("_C", package={str(tmp_path / "package")!r}, csrc={str(csrc)!r})
pathlib.Path({str(tmp_path)!r}, f"ready{{sys.argv[1]}}").touch()
while not pathlib.Path({str(tmp_path)!r}, "go").exists():
    time.sleep(0.01)
print(loader.load(), loader._cpu.path)
"""
    compiler(f'echo >> {tmp_path}/runs; sleep 1; exec {real_compiler()} "$@"')
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, str(i)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        for i in range(2)
    ]
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("ready*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        (tmp_path / "go").touch()
        shown = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert {out.strip() for out, _ in shown} == {f"True {cache.cached_path(csrc, '_C')}"}, shown
    assert sorted(err.count("compiling kernels") for _, err in shown) == [0, 1]
    assert len((tmp_path / "runs").read_text()) == 3


def test_who_waited_for_a_failure_does_not_repeat_it(new_library, csrc, compiler, tmp_path):
    new_library()
    compiler(f"echo >> {tmp_path}/runs; sleep 0.5; echo error: $PPID; exit 1")
    failures = []

    def compile_and_fail():
        with pytest.raises(build.BuildError, match="exit code 1") as caught:
            cache.compile_into_cache(csrc, "_C", timeout=60)
        failures.append(str(caught.value))

    threads = [threading.Thread(target=compile_and_fail) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(failures) == 3 and len(set(failures)) == 1
    assert len((tmp_path / "runs").read_text()) == 2  # two sources, once
    # One that did not wait tries for itself, and leaves its own reason.
    compile_and_fail()
    assert len((tmp_path / "runs").read_text()) == 4
    assert cache.cached_path(csrc, "_C").with_suffix(".lock").read_text() == failures[-1]


def test_the_wait_for_another_process_ends(new_library, csrc):
    new_library()
    path = cache.cached_path(csrc, "_C")
    path.parent.mkdir(parents=True)
    with open(path.with_suffix(".lock"), "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(build.BuildError, match="another process has held .*_C.lock for 0.3"):
            cache.compile_into_cache(csrc, "_C", timeout=0.3)


# Moments


def test_import_decides_nothing_and_a_forked_child_can_load():
    script = """
import os, sys, torchkeras
from torchkeras.kernels import loader
assert loader._cpu.loaded is None and "torchkeras.kernels.__main__" not in sys.modules
with loader._lock:  # as if another thread were compiling
    child = os.fork()
    if child == 0:
        os._exit(7 if loader.load() is False else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=REPOSITORY,
        env={**os.environ, "TORCHKERAS_KERNELS": "off"},
    )
    assert done.stdout == "7\n", done.stderr


def test_nothing_is_decided_while_torch_compile_traces(new_library, compiler):
    library = new_library()
    compiler("exit 1")

    @torch.compile(backend="eager", fullgraph=True)
    def f(x):
        return x + 1 if loader.load() else x + 2

    assert f(torch.zeros(1)) == 2
    assert library.loaded is None
    library.loaded = True  # as after a call of load() between
    assert f(torch.zeros(1)) == 1


# CUDA


def test_cuda_kernels_need_a_device(new_library, monkeypatch):
    new_library()
    library = new_library("_cuda", cuda=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert loader.load_cuda() is False
    assert library.reason == "there is no CUDA device"


def test_cuda_kernels_are_compiled_on_request_only(new_library, monkeypatch):
    new_library()
    library = new_library("_cuda", cuda=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert loader.load_cuda() is False  # and silent: warnings are errors here
    assert library.reason == "not compiled yet; run `python -m torchkeras.kernels build --cuda`"


def test_cuda_kernels_need_those_for_the_cpu(new_library, compiler):
    new_library()
    new_library("_cuda", cuda=True)
    compiler("exit 1")
    with pytest.warns(RuntimeWarning):
        assert loader.load_cuda() is False
    assert loader.status()["cuda"]["reason"] == "they need the CPU kernels"


def test_nvcc_must_be_there_and_of_torchs_major_version(tmp_path, monkeypatch):
    with pytest.raises(build.NoCompilerError, match="torch 2.13.0 is built without CUDA"):
        build.find_nvcc(build.Torch("", "2.13.0", None))
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text("#!/bin/sh\necho Cuda compilation tools, release 12.8, V12.8.93\n")
    nvcc.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert build.find_nvcc(build.Torch("", "2.13.0", "12.6")) == str(nvcc)
    with pytest.raises(build.NoCompilerError, match="of CUDA 12.8, torch 2.13.0 of CUDA 13.0"):
        build.find_nvcc(build.Torch("", "2.13.0", "13.0"))


def test_a_gpu_that_nvcc_does_not_know_gets_what_its_driver_can_translate(tmp_path):
    nvcc = tmp_path / "nvcc"
    nvcc.write_text("#!/bin/sh\necho compute_80; echo compute_90; echo compute_100\n")
    nvcc.chmod(0o755)
    wanted = [(7, 0), (8, 0), (8, 6), (12, 0)]
    found = build.known_capabilities(str(nvcc), wanted)
    assert found == [(8, 0), (10, 0)]
    command = build.nvcc_command(str(nvcc), tmp_path, "x.cu", "x.o", found)
    assert "-gencode=arch=compute_100,code=compute_100" in command
    nvcc.write_text("#!/bin/sh\n")  # says nothing: its own error will
    assert build.known_capabilities(str(nvcc), wanted) == wanted


def test_a_library_that_does_not_run_is_reported_and_not_used(new_library, csrc):
    def prepare():
        raise RuntimeError("no kernel image is available\nCUDA error")

    library = new_library(prepare=prepare)
    with pytest.warns(RuntimeWarning, match=r"does not run here \(no kernel image is available\)"):
        assert loader.load() is False
    assert "no kernel image" in library.reason


@pytest.mark.gpu
@pytest.mark.slow
def test_cuda_kernels_are_built_and_loaded_on_request(tmp_path):
    try:
        build.find_nvcc(cache.this_torch())
    except build.NoCompilerError as error:
        pytest.skip(str(error))
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "TORCHKERAS_KERNELS": "auto"}
    for words in (["build", "--cuda"], ["status"]):
        command = [sys.executable, "-m", "torchkeras.kernels", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=600, cwd=REPOSITORY, env=environment
        )
        assert done.returncode == 0, done.stderr
    assert "cuda:\n  loaded: True\n" in done.stdout


# Command line


def test_the_command_line_builds_and_says_where(new_library, csrc, monkeypatch, capsys):
    library = new_library()
    monkeypatch.setattr(build, "source_folder", lambda: csrc)
    assert main(["build"]) == 0
    path = cache.cached_path(csrc, "_C")
    assert capsys.readouterr().out == f"CPU kernels: {path}\n"
    assert library.loaded is None and loader.load() is True
    monkeypatch.setattr(loader, "status", lambda: {"loaded": True, "path": path})
    assert main(["build"]) == 0
    assert capsys.readouterr().out == f"CPU kernels: {path}, compiled already\n"


def test_the_command_line_reports_a_failure(new_library, compiler, monkeypatch, csrc, capsys):
    new_library()
    compiler("echo where; echo error: what; echo why; exit 1")
    monkeypatch.setattr(build, "source_folder", lambda: csrc)
    assert main(["build"]) == 1
    shown = capsys.readouterr().err
    assert "where\nerror: what\nwhy\nCPU kernels: cannot be had: " in shown
    assert "exit code 1): error: what\n" in shown


def test_a_library_that_does_not_link_is_reported_by_name(csrc, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", f"{real_compiler()} -lno_such_library")
    with pytest.raises(build.BuildError, match="no_such_library"):
        build.compile_library(tmp_path / "x.so", cache.this_torch(), csrc)


def test_the_command_line_shows_the_status(new_library, monkeypatch, capsys):
    new_library()
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mode: auto"
    assert "reason: not compiled yet" in lines
