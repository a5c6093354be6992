"""Opening files that strangers may have put there: regular ones only, of a sane size."""

import os
import stat

# No text, picture or recording that is one sample of a data set comes near it.
MAX_FILE_BYTES = 2**31


def open_regular(path):
    """The file, open for reading bytes.

    Raises:
        OSError: it is a pipe, a device or a folder, which is not opened, or cannot be read.
        ValueError: it is larger than `MAX_FILE_BYTES`.

    Example:

    >>> with open("note.txt", "w") as file:
    ...     _ = file.write("text")
    >>> from torchkeras.utils.regular_files import open_regular
    >>> with open_regular("note.txt") as file:
    ...     file.read()
    b'text'
    """
    # Opening a pipe would wait for a writer, and reading a device may never end.
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"A regular file was expected. Received: {path}, which is none.")
        if status.st_size > MAX_FILE_BYTES:
            raise ValueError(
                f"A file of at most {MAX_FILE_BYTES} bytes was expected. Received: {path} of "
                f"{status.st_size} bytes. Cut it into parts, or leave it out of the folder."
            )
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def regular_files(directory, endings, follow_links):
    """Paths of the regular files in a folder and those below it, by folder and name.

    A folder is visited once, also where links lead to it on several ways or in a circle. Links to
    files are followed; pipes, devices and links that lead nowhere are passed over.

    Args:
        directory: str.
        endings: tuple of lower-case endings of names.
        follow_links: bool, whether to visit folders that links lead to.

    Example:

    >>> from torchkeras.utils.regular_files import regular_files
    >>> os.mkdir("texts")
    >>> open("texts/a.TXT", "w").close()
    >>> regular_files("texts", (".txt",), follow_links=False)
    ['texts/a.TXT']
    """
    status = os.stat(directory)
    visited, ahead, found = {(status.st_dev, status.st_ino)}, [directory], []
    while ahead:
        folder = ahead.pop()
        names = []
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if _is_folder(entry):
                if follow_links or not entry.is_symlink():
                    status = entry.stat()
                    place = (status.st_dev, status.st_ino)
                    if place not in visited or not status.st_ino:
                        visited.add(place)
                        ahead.append(os.path.join(folder, entry.name))
            elif entry.name.lower().endswith(endings) and _is_regular(entry):
                names.append(entry.name)
        found.append((folder, names))
    return [os.path.join(folder, name) for folder, names in sorted(found) for name in names]


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_regular(entry):
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:  # a link that leads nowhere
        return False
