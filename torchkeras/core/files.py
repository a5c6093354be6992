"""Opening files that strangers may have put there: regular ones only, of a sane size."""

import errno
import os
import stat

# No text, picture or recording that is one sample of a data set comes near it.
MAX_FILE_BYTES = 2**31
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path, most_bytes=MAX_FILE_BYTES):
    """The file, open for reading bytes.

    Args:
        path: str or path.
        most_bytes: int, size above which it is refused; None for any.

    Raises:
        OSError: it is a pipe, a device or a folder, which is not opened, or cannot be read.
        ValueError: it is larger than `most_bytes`.

    Example:

    >>> with open("note.txt", "w") as file:
    ...     _ = file.write("text")
    >>> from torchkeras.core.files import open_regular
    >>> with open_regular("note.txt") as file:
    ...     file.read()
    b'text'
    """
    _check_kind(path, os.stat(path) if os.path.exists(path) else None)
    # It may be another one by now: opening a pipe would wait for a writer, and reading a device
    # may never end.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        kind = "a link to itself" if error.errno == errno.ELOOP else "a socket"
        raise OSError(
            f"A regular file was expected. Received: {path}, which is {kind}. Give the path of a "
            "file."
        ) from error
    try:
        status = os.fstat(descriptor)
        _check_kind(path, status)
        if most_bytes is not None and status.st_size > most_bytes:
            raise ValueError(
                f"A file of at most {most_bytes} bytes was expected. Received: {path} of "
                f"{status.st_size} bytes. Cut it into parts, or leave it out of the folder."
            )
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_kind(path, status):
    """Raise unless `status`, if there is one, is that of a regular file."""
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise OSError(
            f"A regular file was expected. Received: {path}, which is "
            f"{_KINDS.get(stat.S_IFMT(status.st_mode), 'none')}. Give the path of a file."
        )


def check_regular(path):
    """Raise unless `path` is a regular file that can be opened.

    For readers that open a path themselves.

    Raises:
        OSError: it is something else, or not there.

    Example:

    >>> from torchkeras.core.files import check_regular
    >>> check_regular(".")
    Traceback (most recent call last):
    OSError: A regular file was expected. Received: ., which is a folder. Give the path of a file.
    """
    open_regular(path, most_bytes=None).close()
