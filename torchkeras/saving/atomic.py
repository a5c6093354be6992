"""Writing a file so that, whatever happens, either the old or the new one is there whole."""

import contextlib
import os
import secrets


@contextlib.contextmanager
def atomic_write(path):
    """Give the path of a temporary file beside `path`, which takes its place at the end.

    The file is flushed to the disk before it is renamed, and the folder after, so a crash or a
    power cut leaves the old file or the new one. After an error the old file is untouched and the
    temporary one is gone.

    Args:
        path: str or path.
    """
    path = os.path.abspath(os.fspath(path))
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _flush(temporary, os.O_RDONLY)
        os.replace(temporary, path)
        if hasattr(os, "O_DIRECTORY"):
            _flush(folder, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)


def _flush(path, flags):
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
