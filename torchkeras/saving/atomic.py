"""Writing a file so that, whatever happens, either the old or the new one is there whole."""

import contextlib
import errno
import os
import secrets
import stat

try:
    import fcntl
except ImportError:  # Windows, where what a killed process leaves behind stays
    fcntl = None

# What a file system answers that cannot flush a folder, or does not let this process open it.
_NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM)
_ENDING = ".torchkeras-tmp"
LOCK = ".lock"  # in a folder that is held


@contextlib.contextmanager
def atomic_write(path):
    """Give the path of a temporary file near `path`, which takes its place at the end.

    The file is flushed to the disk before it is renamed, and the folder after, so a crash or a
    power cut leaves the old file or the new one. After an error the old file is untouched and the
    temporary one is gone; what a killed process leaves behind the next writer to the folder
    removes: see `scratch_folder`. A symbolic link stays one: the file it points to is replaced.

    A file that is replaced passes its permissions on and, where this process may give files away,
    its owner and group; where it may not keep the group, no other group gets what that one had.
    A new file has the permissions that the umask gives.

    Args:
        path: str or path. Its folder must exist.

    Raises:
        FileNotFoundError: there is no such folder.
        IsADirectoryError: `path` is a folder.
        OSError: the file cannot be written, or `path` is a pipe or a device.

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
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(
            f"Only a regular file can be replaced. Received: '{path}', which is a pipe, a socket "
            "or a device. Give the path of a file."
        )
    with scratch_folder(folder, name) as scratch:
        temporary = os.path.join(scratch, name)  # some writers look at the ending
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        permissions = os.fstat(descriptor).st_mode & 0o777
        os.close(descriptor)
        yield temporary
        # The writer may have put a private file in its place. Opened before, as the old file may
        # be one that its owner cannot read.
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            _take_permissions(temporary, path, permissions)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        flush_folder(folder)


@contextlib.contextmanager
def scratch_folder(folder, name):
    """Give a hidden folder in `folder` for unfinished files, which goes with them at the end.

    It is locked while this process lives. Those that no process holds, since theirs was killed,
    are removed first, whoever made them, where the file system has locks.

    Args:
        folder: str.
        name: str, what is written, for people who look there meanwhile.

    Example:

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with scratch_folder(folder, "note.txt") as scratch:
    ...     os.path.dirname(scratch) == folder, os.path.isdir(scratch)
    (True, True)
    >>> os.listdir(folder)
    []
    """
    remove_leftovers(folder)
    # Only the start of the name: file systems limit names to 255 bytes.
    path = os.path.join(folder, f".{name[:40]}.{secrets.token_hex(8)}{_ENDING}")
    lock = make_locked(path, 0o700)
    try:
        yield path
    finally:
        os.close(lock)
        with contextlib.suppress(OSError):  # the next writer tries again
            _remove(path)


def make_locked(path, mode=0o777):
    """Make a folder and return a descriptor: until it is closed, `is_held` says so of the folder.

    Args:
        path: str, not there yet.
        mode: int, permissions before the umask.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "held")
    >>> lock = make_locked(path)
    >>> is_held(path), os.close(lock), is_held(path)
    (True, None, False)
    """
    while True:
        os.mkdir(path, mode)
        try:
            lock = os.open(os.path.join(path, LOCK), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except FileNotFoundError:
            continue  # another writer has taken the empty folder for a leftover
        except BaseException:
            os.rmdir(path)
            raise
        _lock(lock, wait=True)
        if os.name == "nt" or os.fstat(lock).st_nlink:
            return lock
        os.close(lock)  # the same, a moment later


def is_held(path):
    """Whether a process that lives has made this folder by `make_locked`; if unknown, True."""
    if fcntl is None:
        return True
    try:
        lock = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not _lock(lock)
    finally:
        os.close(lock)


def remove_leftovers(folder):
    """Remove what killed writers have left in a folder; what cannot be removed stays.

    Example:

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> os.mkdir(os.path.join(folder, ".model.keras.0123456789abcdef.torchkeras-tmp"))
    >>> remove_leftovers(folder)
    >>> os.listdir(folder)
    []
    """
    if fcntl is None:
        return
    names = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        names = [e.name for e in entries if e.name.endswith(_ENDING) and e.name.startswith(".")]
    for name in names:
        with contextlib.suppress(OSError):
            _remove_leftover(os.path.join(folder, name))


def _remove_leftover(path):
    # Others may write to the folder too: a link of theirs is not followed, at any time.
    place = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    lock = None
    try:
        with contextlib.suppress(FileNotFoundError):
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
            lock = os.open(LOCK, flags, dir_fd=place)
        if lock is None:
            os.rmdir(path)  # if it is empty
        elif _lock(lock):
            _remove(path, place)
    finally:
        os.close(place)
        if lock is not None:
            os.close(lock)


def _remove(path, place=None):
    """Remove a folder of files; the lock last, so that one who is killed here leaves it too."""
    names = os.listdir(path if place is None else place)
    for name in sorted(names, key=lambda name: name == LOCK):
        with contextlib.suppress(FileNotFoundError):
            if place is None:
                os.unlink(os.path.join(path, name))
            else:
                os.unlink(name, dir_fd=place)
    os.rmdir(path)


def _lock(descriptor, wait=False):
    """Take the lock of an open file; returns whether it was free."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held, or a file system without locks
        return False
    return True


def _take_permissions(temporary, path, permissions):
    """Give a file the permissions and owner of the one at `path`, or if there is none these."""
    try:
        old = os.stat(path)
    except FileNotFoundError:
        os.chmod(temporary, permissions)
        return
    permissions, new = stat.S_IMODE(old.st_mode) & 0o777, os.stat(temporary)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        try:
            os.chown(temporary, old.st_uid, old.st_gid)
        except OSError:
            try:
                os.chown(temporary, -1, old.st_gid)
            except OSError:
                permissions = permissions & 0o707 | (permissions & 0o007) << 3
    os.chmod(temporary, permissions)


def flush_folder(folder):
    """Bring the names of a folder's files to the disk, where its file system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
