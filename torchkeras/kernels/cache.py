"""The folder of compiled kernels, one library for each set of sources, flags, torch and processor.

It is `$XDG_CACHE_HOME/torchkeras`, else `~/.cache/torchkeras`. What lies there is run, so it is
made for its owner alone, and not used where others can write.
"""

import contextlib
import os
import pathlib
import shutil
import sys
import time

import torch

from torchkeras.kernels import build


def cache_folder():
    """Path of the cache, which may not exist yet.

    Raises:
        BuildError: there is no absolute path for it.

    Example:

    >>> from torchkeras.kernels.cache import cache_folder
    >>> cache_folder().name
    'torchkeras'
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    # As the XDG specification has it, a relative path counts as unset.
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.cache")
        if not os.path.isabs(base):  # else code would be run from wherever the process is started
            raise build.BuildError(
                "the cache of compiled kernels must have an absolute path, and this user has no "
                f"home folder. Received: {base!r}; set XDG_CACHE_HOME to a folder of yours"
            )
    return pathlib.Path(base, "torchkeras")


def this_torch():
    """The torch of this process, as `build` wants it.

    Example:

    >>> from torchkeras.kernels.cache import this_torch
    >>> this_torch().version == torch.__version__
    True
    """
    return build.Torch(os.path.dirname(torch.__file__), torch.__version__, torch.version.cuda)


def cached_path(csrc, name, cuda=False):
    """Path of the library for these sources and this process, whether it exists or not.

    Args:
        csrc: path of the sources, or None where the installation has none.
        name: string, the library's name.
        cuda: bool, the CUDA library instead of the CPU library.

    Raises:
        BuildError: there are no sources, no cache, or others could have written the library.
    """
    if csrc is None:
        raise build.BuildError("the kernels' sources are not installed; install torchkeras again")
    folder = cache_folder()
    path = folder / build.cache_key(csrc, this_torch(), cuda) / f"{name}.so"
    for part in (folder, path.parent, path):
        _check_owner(part)
    return path


def compile_into_cache(csrc, name, cuda=False, timeout=120):
    """Compile a library into the cache, once for all processes that ask at the same time.

    Says so on stderr, for it takes long enough to be wondered about.

    Args:
        csrc, name, cuda: as in `cached_path`.
        timeout: float, seconds for the compilation, or for the wait for another process's.

    Returns:
        Path of the library.

    Raises:
        BuildError: there is no compiler, it failed, or the cache cannot be written.
    """
    path = cached_path(csrc, name, cuda)
    compiler = build.find_nvcc(this_torch()) if cuda else " ".join(build.find_compiler())
    try:
        path.parents[2].mkdir(parents=True, exist_ok=True)
        for folder in (path.parents[1], path.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        lock = open(path.with_suffix(".lock"), "a+", encoding="utf-8")
    except OSError as error:
        raise build.BuildError(
            f"the cache {path.parent} cannot be written ({error.strerror}); set XDG_CACHE_HOME to "
            "a folder that can"
        ) from error
    with lock, _locked(lock, timeout) as waited:
        if _is_complete(path, csrc):
            return path
        # Processes of one job fail once, not one after the other; the next job tries again.
        lock.seek(0)
        failure = lock.read()
        if waited and failure:
            raise build.BuildError(failure)
        lock.truncate(0)
        print(
            f"torchkeras: compiling kernels with {compiler}, once for torch {torch.__version__}; "
            "this takes some 20 seconds",
            file=sys.stderr,
            flush=True,
        )
        for leftover in path.parent.glob(f".build-{name}-*"):  # no other process compiles it now
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            build.compile_library(
                path,
                this_torch(),
                csrc,
                cuda,
                capabilities=_capabilities() if cuda else None,
                timeout=timeout,
            )
        except build.BuildError as error:
            lock.write(str(error))
            lock.flush()  # before the lock is released
            raise
    return path


def _is_complete(path, csrc):
    try:
        return build.build_id_of(path) == build.build_id(csrc)
    except OSError:
        return False


def _check_owner(path):
    try:
        found = path.stat()
    except OSError:
        return  # not there
    if not hasattr(os, "geteuid"):
        return
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise build.BuildError(
            f"{path} belongs to another user, or others can write it, so no code from it is run; "
            f"`chmod -R go-w {path}`, or set XDG_CACHE_HOME to a folder of yours"
        )


def _capabilities():
    """The usual devices' and those of this machine: the cache may be shared by several machines."""
    here = [torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())]
    return sorted({*build.CUDA_CAPABILITIES, *here})


@contextlib.contextmanager
def _locked(file, timeout):
    """Hold the lock on an open file; yields whether another process held it before."""
    import fcntl  # not on Windows, where nothing is compiled

    deadline = time.monotonic() + timeout
    waited = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            waited = True
            if time.monotonic() > deadline:
                raise build.BuildError(
                    f"another process has held {file.name} for {timeout} seconds; delete the "
                    "folder if no compiler runs"
                ) from error
        except OSError:
            break  # a file system without locks: two may compile, each file appears complete
        time.sleep(0.1)
    try:
        yield waited
    finally:
        # Closing would not do: a process forked meanwhile holds the same lock.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)
