"""Load the compiled kernels: the installation's library, one from the cache, or a new one.

The environment variable `TORCHKERAS_KERNELS` chooses, and is read once: "auto" (the default)
uses kernels where they can be had and plain torch elsewhere, "require" makes their lack an
error, "off" is plain torch.
"""

import contextlib
import os
import pathlib
import threading
import warnings

import torch

from torchkeras.kernels import build, cache, compiled

MODES = ("auto", "require", "off")
# What a library must bring, and the version it must name: `kVersion` in csrc/ops.cpp.
OPS = (
    "dense_act_dropout",
    "dense_act_dropout_backward",
    "bias_act_dropout",
    "bias_act_dropout_backward",
    "dropout",
    "recurrent_steps",
    "recurrent_steps_backward",
    "flush_denormals",
    "version",
    "cpu",
)
VERSION = 4
_ISAS = ("base", "avx2", "avx512")


class _Library:
    """A shared library, and what became of it.

    Args:
        name: string, the file's name without its ending.
        cuda: bool, whether it is the CUDA library.
        package: path of the folder where an installation puts it; None for ours.
        csrc: path of its sources; None for ours.
        ops: names of the ops that it must bring.
        prepare: function without arguments, called once the library is loaded; it raises a
            RuntimeError where the library does not run.
    """

    def __init__(self, name, cuda=False, package=None, csrc=None, ops=(), prepare=lambda: None):
        self.name = name
        self.cuda = cuda
        self.package = pathlib.Path(package or pathlib.Path(__file__).parents[1])
        self.csrc = csrc or build.source_folder()
        self.ops = ops
        self.prepare = prepare
        self.loaded = None  # None: not decided yet
        self.path = self.built = self.reason = None
        self.error = None  # what a caller is told again and again where kernels are required

    def find(self, compile):
        """Load the library from the first place that has it; leave `loaded` None if none does.

        Args:
            compile: bool, whether to compile it where it is not found.

        Returns:
            List of strings: what is there and did not work.
        """
        failures = []
        ahead = self.package / f"{self.name}.abi3.so"
        try:
            if ahead.exists() and self._open(ahead, "ahead", failures):
                return []
            cached = cache.cached_path(self.csrc, self.name, self.cuda)
            if cached.exists():
                if self._open(cached, "jit", failures):
                    return []
                cached.unlink(missing_ok=True)
            if not compile:
                self.reason = "; ".join([*failures, "not compiled yet"])
                return failures
            new = cache.compile_into_cache(
                self.csrc, self.name, self.cuda, timeout=300 if self.cuda else 120
            )
            if self._open(new, "jit", failures):
                return []
        except build.NoCompilerError as error:
            self.reason = "; ".join([*failures, str(error)])
        except (build.BuildError, OSError) as error:
            failures.append(str(error))
            self.reason = "; ".join(failures)
        else:
            self.reason = "; ".join(failures)
        self.loaded = False
        return failures

    def _open(self, path, built, failures):
        """Load one file, or add the reason against it to `failures`."""
        try:
            found = build.build_id_of(path)
            # Before loading: a second library with ops of these names would end the process.
            if found is None:
                failures.append(f"{path} is no library of torchkeras")
                return False
            if self.csrc is not None and found != build.build_id(self.csrc):
                failures.append(f"{path} was compiled from other sources")
                return False
            torch.ops.load_library(str(path))
        except OSError as error:
            failures.append(f"{path} cannot be loaded ({error})")
            return False
        # From here on there is no next place: what is loaded stays, and its ops with it.
        missing = [op for op in self.ops if not hasattr(torch.ops.torchkeras, op)]
        if missing:
            raise build.BuildError(f"{path} has no op named {missing[0]}")
        if self.csrc is None and "version" in self.ops:  # the build id has said it otherwise
            version = torch.ops.torchkeras.version()
            if version != VERSION:
                raise build.BuildError(f"{path} has ops of version {version}, not {VERSION}")
        try:
            self.prepare()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise build.BuildError(f"{path} does not run here ({reason})") from error
        self.path, self.built, self.reason = str(path), built, None
        self.loaded = True
        return True


_cpu = _Library("_C", ops=OPS, prepare=compiled.bind)
_cuda = _Library("_C_cuda", cuda=True, prepare=compiled.try_cuda)
_lock = threading.Lock()


def mode():
    """The value of `TORCHKERAS_KERNELS`: "auto", "require" or "off".

    Raises:
        ValueError: it has another value.

    Example:

    >>> from torchkeras.kernels import loader
    >>> loader.mode() in loader.MODES
    True
    """
    value = os.environ.get("TORCHKERAS_KERNELS") or "auto"
    if value not in MODES:
        raise ValueError(
            "The environment variable TORCHKERAS_KERNELS must be 'auto', 'require' or 'off'. "
            f"Received: {value!r}. Unset it to use kernels where they can be had."
        )
    return value


def load():
    """Whether the compiled CPU kernels can be called; the first call finds, or compiles, them.

    A compilation takes some 20 seconds, once for a machine. Under `torch.compile` nothing is
    decided: a call before it does that. Later calls cost some tens of nanoseconds.

    Returns:
        bool.

    Raises:
        RuntimeError: `TORCHKERAS_KERNELS` is "require", and they cannot be had.
        ValueError: `TORCHKERAS_KERNELS` has an unknown value.

    Warns:
        RuntimeWarning, once, where a library or a compiler is there and does not work.

    Example:

    >>> from torchkeras.kernels import loader
    >>> loader.load() in (True, False)
    True
    """
    loaded = _cpu.loaded
    return _settle(_cpu) if loaded is None else loaded


def load_cuda():
    """Whether the compiled CUDA kernels can be called. To be asked where CUDA is in use.

    They are compiled by `python -m torchkeras.kernels build --cuda`, and at first use where
    `TORCHKERAS_KERNELS` is "require".

    Returns, Raises, Warns: as `load`.

    Example:

    >>> from torchkeras.kernels import loader
    >>> loader.load_cuda() in (True, False)
    True
    """
    loaded = _cuda.loaded
    # Its ops are declared by the CPU library.
    return load() and _settle(_cuda) if loaded is None else loaded


def status():
    """What became of the kernels. Loads those that are compiled already, and compiles nothing.

    Returns:
        dict. "mode": the value of `TORCHKERAS_KERNELS`. "loaded": bool. "path": file of the
        library. "built": "ahead" (at installation) or "jit" (at first use). "isa": instruction
        set of the kernels, "avx512", "avx2" or "base". "gemm": what computes large float32 matrix
        products, "onednn" or "torch", where torch chooses. "reason": string, why there are no
        kernels. "cuda": dict of "loaded", "path", "built" and "reason" for the CUDA
        library. None where there is nothing to say.

    Example:

    >>> from torchkeras.kernels import loader
    >>> loader.status()["mode"] in ("auto", "require", "off")
    True
    """
    with contextlib.suppress(RuntimeError):  # the error of "require" is the reason here
        if _settle(_cpu, compile=False):
            _settle(_cuda, compile=False)
    facts = {"mode": mode(), **_facts(_cpu), "isa": None, "gemm": None, "cuda": _facts(_cuda)}
    if _cpu.loaded:
        isa, operations, _ = torch.ops.torchkeras.cpu()
        facts |= {"isa": _ISAS[isa], "gemm": "onednn" if operations else "torch"}
    elif _cuda.loaded is None:
        facts["cuda"]["reason"] = "they need the CPU kernels"
    return facts


def _facts(library):
    return {
        "loaded": bool(library.loaded),
        "path": library.path,
        "built": library.built,
        "reason": library.reason,
    }


def _settle(library, compile=True):
    """Decide whether a library can be used, once; a lock keeps other threads until it is done."""
    if torch.compiler.is_compiling():
        return False
    chosen = mode()
    with _lock:
        failures = []
        if library.loaded is None and library.error is None:
            failures = _decide(library, chosen, compile)
        error = library.error
    if error is not None:
        raise RuntimeError(error)
    if failures and library.loaded is False:
        # After the lock, and once: a warning may be turned into an error.
        warnings.warn(
            f"The compiled kernels cannot be used: {library.reason}. Plain torch, which is slower, "
            "takes their place. `python -m torchkeras.kernels build` tries again and says more; "
            "TORCHKERAS_KERNELS=off says that plain torch is meant.",
            RuntimeWarning,
            stacklevel=3,
        )
    return bool(library.loaded)


def _decide(library, chosen, compile):
    if chosen == "off":
        library.loaded, library.reason = False, "TORCHKERAS_KERNELS=off"
        return []
    if library.cuda:
        if not torch.cuda.is_available():
            library.loaded, library.reason = False, "there is no CUDA device"
            return []
        # Compiled for those who ask for it: nvcc takes minutes.
        compile = compile and chosen == "require"
    failures = library.find(compile)
    if library.loaded is None and library.cuda:
        library.reason += "; run `python -m torchkeras.kernels build --cuda`"
        library.loaded = False if chosen == "auto" else None
    if chosen == "require" and library.loaded is False:
        library.loaded = None
        library.error = (
            f"TORCHKERAS_KERNELS is 'require', but the compiled kernels cannot be used: "
            f"{library.reason}. Put that right, or set it to 'auto' to have plain torch instead."
        )
    return failures


def _forget_lock():
    # Another thread of the parent may have held it, and does not exist here.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
