"""The regular files of folders that strangers may have filled; `open_regular` opens one."""

import os
import stat

from torchkeras.core.files import open_regular as open_regular


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
