"""Compile csrc into a shared library: the one list of sources, flags and commands.

`setup.py` runs this file by its path, before torchkeras can be imported, so it imports the
standard library alone.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

# No -march: the kernels choose an instruction set at run time. The target version restricts
# torch's headers to what torch 2.10 has, so that a library outlives an upgrade of torch.
CXX_FLAGS = ["-O3", "-g0", "-std=c++17", "-fPIC", "-fvisibility=hidden", "-DNDEBUG"]
# What keeps a compiler from vectorizing choices between two numbers: traps nobody has enabled.
CXX_FLAGS += ["-fno-math-errno", "-fno-trapping-math"]
TORCH_FLAGS = ["-DTORCH_TARGET_VERSION=0x020a000000000000"]
NVCC_FLAGS = ["-O3", "-std=c++17", "-DNDEBUG", "-Xcompiler=-fPIC,-fvisibility=hidden"]
# What a library for CUDA is compiled for where no device is at hand to ask.
CUDA_CAPABILITIES = ((7, 5), (8, 0), (9, 0))

_SUFFIXES = {".cpp", ".h", ".inl", ".cu", ".cuh"}
_BUILD_ID = re.compile(rb"torchkeras-build-id=([0-9a-f]{16});")


class BuildError(Exception):
    """The kernels cannot be compiled; the message says why and what to do.

    Args:
        message: string.
        output: string, all that a compiler showed.
    """

    def __init__(self, message, output=""):
        super().__init__(message)
        self.output = output


class NoCompilerError(BuildError):
    """This machine has no compiler for them."""


class Torch(NamedTuple):
    """The torch to compile for: its folder, its version, its CUDA version or None.

    Example:

    >>> from torchkeras.kernels.build import Torch
    >>> Torch("/site-packages/torch", "2.13.0+cpu", None).version
    '2.13.0+cpu'
    """

    folder: str
    version: str
    cuda: str | None


def source_folder():
    """Path of csrc: inside an installed package, else beside the package; None without.

    Example:

    >>> from torchkeras.kernels.build import source_folder
    >>> (source_folder() / "build_id.cpp").is_file()
    True
    """
    package = pathlib.Path(__file__).resolve().parents[1]
    for folder in (package / "csrc", package.parent / "csrc"):
        if (folder / "build_id.cpp").is_file():
            return folder
    return None


def sources(folder, cuda=False):
    """Paths of the files to compile, sorted; `module.cpp` is left to `setup.py`.

    Only that file needs Python's headers, which a machine with a compiler may lack.

    Args:
        folder: path of csrc.
        cuda: bool, the CUDA library's files instead of the CPU library's.

    Example:

    >>> from torchkeras.kernels.build import source_folder, sources
    >>> "build_id.cpp" in [path.name for path in sources(source_folder())]
    True
    """
    folder = pathlib.Path(folder)
    if cuda:
        found = {*folder.glob("cuda/*.cu"), *folder.glob("cuda/*.cpp"), folder / "build_id.cpp"}
    else:
        found = {*folder.glob("*.cpp"), *folder.glob("cpu/*.cpp")} - {folder / "module.cpp"}
    return sorted(found)


def build_id(folder):
    """16 hexadecimal digits of a digest of every source in csrc, the CUDA files included.

    Args:
        folder: path of csrc.

    Example:

    >>> from torchkeras.kernels.build import build_id, source_folder
    >>> len(build_id(source_folder()))
    16
    """
    folder = pathlib.Path(folder)
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def build_id_of(library):
    """The build id that a library carries, read from the file without loading it; None without.

    Args:
        library: path of a file.

    Raises:
        OSError: the file cannot be read.

    Example:

    >>> from torchkeras.kernels.build import build_id_of
    >>> build_id_of(__file__) is None
    True
    """
    found = _BUILD_ID.search(pathlib.Path(library).read_bytes())
    return found.group(1).decode() if found else None


def cache_key(folder, torch, cuda=False):
    """Name of a library's folder in the cache: it changes with all that its code depends on.

    Args:
        folder: path of csrc.
        torch: Torch.
        cuda: bool, as in `sources`.

    Example:

    >>> from torchkeras.kernels.build import Torch, cache_key, source_folder
    >>> old, new = (Torch("", version, None) for version in ("2.10.0", "2.13.0"))
    >>> cache_key(source_folder(), old) == cache_key(source_folder(), new)
    False
    """
    parts = [build_id(folder), torch.version, sys.platform, platform.machine()]
    # As it is given: the library is found where the compiler it was made with is not.
    parts += ["CXX", *shlex.split(os.environ.get("CXX", ""))]
    parts += [*_cxx_flags(), *(NVCC_FLAGS if cuda else ())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def find_compiler():
    """Command of the C++ compiler: `$CXX`, else g++, c++ or clang++, as a list of words.

    Raises:
        BuildError: `$CXX` names no program.
        NoCompilerError: there is none.
    """
    if sys.platform == "win32":
        raise NoCompilerError("the kernels are not compiled on Windows")
    if os.environ.get("CXX"):
        command = shlex.split(os.environ["CXX"])
        if not shutil.which(command[0]):
            raise BuildError(
                f"the environment variable CXX names {command[0]!r}, which is no program; unset "
                "it, or set it to a C++ compiler"
            )
        return command
    for name in ("g++", "c++", "clang++"):
        if shutil.which(name):
            return [name]
    raise NoCompilerError("there is no C++ compiler; install g++ or clang++, or set CXX to one")


def which_nvcc():
    """Path of nvcc: in `$CUDA_HOME` or `$CUDA_PATH`, on the PATH, or in /usr/local/cuda; or None.

    Example:

    >>> from torchkeras.kernels.build import which_nvcc
    >>> which_nvcc() is None or "nvcc" in which_nvcc()
    True
    """
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    candidates = [os.path.join(home, "bin", "nvcc") for home in homes if home]
    candidates += ["nvcc", "/usr/local/cuda/bin/nvcc"]
    return next(filter(None, map(shutil.which, candidates)), None)


def find_nvcc(torch):
    """Path of the nvcc to compile with; as `which_nvcc`, but none is an error.

    Args:
        torch: Torch. Its CUDA must have nvcc's major version: the driver that suits the one may
            refuse the other's code.

    Raises:
        NoCompilerError: torch has no CUDA, or there is no such nvcc.
    """
    if torch.cuda is None:
        raise NoCompilerError(f"torch {torch.version} is built without CUDA")
    nvcc = which_nvcc()
    if nvcc is None:
        raise NoCompilerError(
            f"there is no nvcc; install the CUDA toolkit {torch.cuda}, or set CUDA_HOME to it"
        )
    version = _nvcc_version(nvcc)
    if version.split(".")[0] != torch.cuda.split(".")[0]:
        raise NoCompilerError(
            f"{nvcc} is of CUDA {version}, torch {torch.version} of CUDA {torch.cuda}; set "
            "CUDA_HOME to a toolkit of the same major version"
        )
    return nvcc


def find_cuda_headers(nvcc):
    """Path of the CUDA toolkit's headers: beside nvcc, in `$CUDA_HOME`, or in /usr/local/cuda.

    Args:
        nvcc: path of nvcc, which may be a script that lies elsewhere.

    Raises:
        NoCompilerError: there are none.
    """
    homes = [pathlib.Path(nvcc).resolve().parents[1], os.environ.get("CUDA_HOME")]
    for home in filter(None, [*homes, os.environ.get("CUDA_PATH"), "/usr/local/cuda"]):
        include = pathlib.Path(home, "include")
        if (include / "cuda_runtime_api.h").is_file():
            return include
    raise NoCompilerError("there are no headers of CUDA; set CUDA_HOME to a complete toolkit")


def known_capabilities(nvcc, wanted):
    """Those of `wanted` that nvcc compiles for, and the newest it knows before each later one.

    Args:
        nvcc: path of nvcc.
        wanted: pairs of ints.

    Returns:
        List of pairs of ints, sorted. The driver translates what is compiled for the last one
        (see `nvcc_command`) for the later devices.
    """
    shown = _run([nvcc, "--list-gpu-arch"], time.monotonic() + 30)
    known = [(int(major), int(minor)) for major, minor in re.findall(r"_(\d+)(\d)\b", shown)]
    before = [[k for k in known if k <= capability] for capability in wanted]
    return sorted({max(each) for each in before if each} or wanted)  # else nvcc says what it lacks


def cxx_command(compiler, folder, source, output, torch, cuda_include=None):
    """The command that compiles one C++ source, as a list of words.

    Args:
        compiler: list of words, as `find_compiler` returns.
        folder: path of csrc.
        source: path of the file; only torch-free ones lie in csrc/cpu.
        output: path of the object file.
        torch: Torch.
        cuda_include: path of the CUDA toolkit's headers, for a file of csrc/cuda.
    """
    include = os.path.join(torch.folder, "include")
    command = [
        *compiler,
        *_cxx_flags(),
        *TORCH_FLAGS,
        f'-DTORCHKERAS_BUILD_ID="{build_id(folder)}"',
    ]
    command += ["-I", str(folder), "-isystem", include]
    command += ["-isystem", os.path.join(include, "torch", "csrc", "api", "include")]
    if cuda_include:
        command += ["-DUSE_CUDA", "-isystem", str(cuda_include)]
    return [*command, "-c", str(source), "-o", str(output)]


def nvcc_command(nvcc, folder, source, output, capabilities=CUDA_CAPABILITIES):
    """The command that compiles one CUDA source, as a list of words.

    Args:
        nvcc: path of nvcc.
        folder: path of csrc.
        source: path of the file, which is free of torch.
        output: path of the object file.
        capabilities: pairs of ints. Code for each, and for the newest in a form (PTX) that the
            driver translates for later devices.
    """
    names = [f"{major}{minor}" for major, minor in sorted(set(capabilities))]
    targets = [f"-gencode=arch=compute_{name},code=sm_{name}" for name in names]
    targets.append(f"-gencode=arch=compute_{names[-1]},code=compute_{names[-1]}")
    # The host's compiler sees nvcc's pragmas too, and knows none.
    host = "-Xcompiler=-Wall,-Wextra,-Werror,-Wno-unknown-pragmas"
    strict = ["-Werror=all-warnings", host] if _is_strict() else []
    return [nvcc, *NVCC_FLAGS, *strict, *targets, "-I", str(folder), "-c", str(source)] + [
        "-o",
        str(output),
    ]


def compile_library(
    output, torch, folder, cuda=False, python_include=None, capabilities=None, timeout=120
):
    """Compile the kernels into `output`, which appears complete or not at all.

    Args:
        output: path of the library; its folder must exist.
        torch: Torch.
        folder: path of csrc.
        cuda: bool, the CUDA library instead of the CPU library.
        python_include: path of Python's headers: the library can be imported as a module too.
        capabilities: as in `nvcc_command`.
        timeout: float, seconds until the compilers are stopped.

    Raises:
        BuildError: something is missing, or a compiler failed; with its first error.
    """
    folder = pathlib.Path(folder)
    compiler = find_compiler()
    nvcc = find_nvcc(torch) if cuda else None
    cuda_include = find_cuda_headers(nvcc) if cuda else None
    deadline = time.monotonic() + timeout
    output = pathlib.Path(output)
    try:
        work = tempfile.mkdtemp(prefix=f".build-{output.stem}-", dir=output.parent)
    except OSError as error:
        raise BuildError(f"{output.parent} cannot be written ({error.strerror})") from error
    try:
        commands, objects = [], []
        for source in sources(folder, cuda):
            target = os.path.join(work, f"{len(objects)}-{source.name}.o")
            objects.append(target)
            if source.suffix == ".cu":
                chosen = known_capabilities(nvcc, capabilities or CUDA_CAPABILITIES)
                commands.append(nvcc_command(nvcc, folder, source, target, chosen))
            else:
                commands.append(cxx_command(compiler, folder, source, target, torch, cuda_include))
        if python_include:
            objects.append(os.path.join(work, "module.o"))
            command = cxx_command(compiler, folder, folder / "module.cpp", objects[-1], torch)
            commands.append([*command, "-DPy_LIMITED_API=0x030a0000", "-isystem", python_include])
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda command: _run(command, deadline), commands))
        finished = os.path.join(work, output.name)
        _run(_link_command([nvcc] if cuda else compiler, objects, finished, torch, cuda), deadline)
        os.chmod(finished, 0o755)  # whatever the umask: a library that others can write is not run
        os.replace(finished, output)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _link_command(linker, objects, output, torch, cuda):
    # No path to torch in the library: its own libraries are in the process before this one is.
    command = [*linker, "-shared", "-o", output, *objects]
    command += ["-L", os.path.join(torch.folder, "lib"), "-ltorch_cpu"]
    if cuda:
        command += ["-ltorch_cuda"]
    elif sys.platform == "darwin":
        command += ["-undefined", "dynamic_lookup"]
    return command


def _cxx_flags():
    return CXX_FLAGS + (["-Wall", "-Wextra", "-Werror"] if _is_strict() else [])


def _is_strict():
    """Warnings are errors where the project is tested, not with every compiler a user may have."""
    return os.environ.get("TORCHKERAS_WERROR", "") not in ("", "0")


def _nvcc_version(nvcc):
    shown = _run([nvcc, "--version"], time.monotonic() + 30)
    found = re.search(r"release (\d+\.\d+)", shown)
    return found.group(1) if found else "unknown"


def _run(command, deadline):
    """Run a command in a process group of its own, all of which is stopped at the deadline."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be run ({error.strerror})") from error
    with process:
        try:
            shown, _ = process.communicate(timeout=max(deadline - time.monotonic(), 0.1))
        except BaseException as error:
            # The compiler proper is a child of the command, and would run on.
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise BuildError(f"{command[0]} did not finish in time") from error
            raise
    if process.returncode:
        # The linker's own summary names nothing.
        lines = [line for line in shown.strip().splitlines() if not line.startswith("collect2")]
        telling = [line for line in lines if re.search("error|cannot find|undefined", line, re.I)]
        first = (telling or lines[-1:] or ["no message"])[0].strip()
        reason = f"{command[0]} failed (exit code {process.returncode}): {first}"
        raise BuildError(reason, shown)
    return shown
