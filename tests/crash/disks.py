"""Writers on disks that are full, or that fail."""

import errno
import os
import pathlib
import resource

from tests.crash.forks import Child
from tests.crash.writers import WRITERS, found_in, strays


def _outcome(writer, name, folder, break_disk):
    """The error number of a write after `break_disk`; 0 where it is written."""
    break_disk()
    try:
        WRITERS[name].write(folder, 1)
    except OSError as error:
        return error.errno
    return 0


def _tried(name, folder, break_disk, repair=lambda: None):
    code, text = Child(_outcome, name, folder, break_disk).wait()
    assert code == 0, text
    found = {"error": int(text), "after": found_in(name, folder), "strays": strays(name, folder)}
    repair()
    WRITERS[name].write(folder, 1)
    return {**found, "then": found_in(name, folder), "left": strays(name, folder)}


def _old(name, folder):
    folder.mkdir()
    WRITERS[name].prepare(folder, 0)
    for _ in range(2):  # of two files that a writer keeps, both
        WRITERS[name].write(folder, 0)
    assert found_in(name, folder) == 0
    WRITERS[name].prepare(folder, 1)


def fill(name, folder, filler):
    """Leave a few bytes of a small file system."""
    folder = pathlib.Path(folder)
    _old(name, folder)
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError as error:
            assert error.errno == errno.ENOSPC
        size = os.fstat(file.fileno()).st_size
        os.truncate(filler, size - (8 << 10))  # room for names, not for a file
    return _tried(name, folder, lambda: None, lambda: os.truncate(filler, 0))


def limit(name, folder):
    """Let no file grow beyond a few bytes more than none."""
    folder = pathlib.Path(folder)
    _old(name, folder)
    end = 1 << 12
    if name == "CSVLogger":
        end += os.path.getsize(folder / "log.csv")

    def limit_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (end, end))

    return _tried(name, folder, limit_files)


def no_flush(descriptor):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def break_flush(name, folder):
    """Let the disk fail where a file is to be flushed to it."""
    folder = pathlib.Path(folder)
    _old(name, folder)

    def patch():
        os.fsync = no_flush

    return _tried(name, folder, patch)
