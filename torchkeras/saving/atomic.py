"""Writing a file so that, whatever happens, either the old or the new one is there whole."""

import contextlib
import errno
import os
import secrets

# What a file system answers that cannot flush a folder, or does not let this process open it.
_NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM)


@contextlib.contextmanager
def atomic_write(path):
    """Give the path of a temporary file beside `path`, which takes its place at the end.

    The file is flushed to the disk before it is renamed, and the folder after, so a crash or a
    power cut leaves the old file or the new one. After an error the old file is untouched and the
    temporary one is gone; a killed process may leave its hidden `.*.tmp*` file behind. A symbolic
    link stays one: the file it points to is replaced. The new file has the permissions that the
    umask gives to any new file.

    Args:
        path: str or path. Its folder must exist.

    Raises:
        FileNotFoundError: there is no such folder.
        IsADirectoryError: `path` is a folder.
        OSError: the file cannot be written.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "note.txt")
    >>> with atomic_write(path) as temporary, open(temporary, "w") as file:
    ...     _ = file.write("whole")
    >>> os.listdir(os.path.dirname(path))
    ['note.txt']
    """
    path = os.path.realpath(os.fspath(path))
    folder, name = os.path.split(path)
    if os.path.isdir(path):
        raise IsADirectoryError(
            f"The path of a file was expected. Received: '{path}', which is a folder. Add a file "
            "name to it."
        )
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"A file can be written to an existing folder only. Received: '{path}'. Make the "
            f"folder first: os.makedirs({folder!r})."
        )
    # Only the start of the name: file systems limit names to 255 bytes.
    temporary = os.path.join(folder, f".{name[:40]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        permissions = os.fstat(descriptor).st_mode & 0o777
        os.close(descriptor)
        yield temporary
        os.chmod(temporary, permissions)  # the writer may have put a private file in its place
        _flush(temporary, os.O_RDONLY)
        os.replace(temporary, path)
        flush_folder(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)


def _flush(path, flags):
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder):
    """Bring the names of a folder's files to the disk, where its file system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        _flush(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
