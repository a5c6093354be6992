"""Reading a `.keras` archive in place: nothing is extracted, and only known members are read."""

import contextlib
import os
import re
import stat
import zipfile
import zlib
from collections import Counter

from torchkeras.core.files import open_regular
from torchkeras.saving.messages import no_file, unreadable

METADATA, CONFIG = "metadata.json", "config.json"
SAFETENSORS, H5 = "model.weights.safetensors", "model.weights.h5"

_LIMITS_BYTES = {METADATA: 2**20, CONFIG: 32 * 2**20, SAFETENSORS: 2**40, H5: 2**40}
_ASSETS = re.compile(r"assets(/[A-Za-z0-9_][A-Za-z0-9_. -]*)+")
_MAX_ASSETS, _MAX_ASSET_BYTES = 10_000, 2**30
# Of deflated members. Weights shrink by a tenth; a model that was never trained has zeros beside
# them, and the text of a config repeats itself.
_MAX_RATIO, _MAX_RATIO_OF_WEIGHTS = 100, 10
_RATIO_FROM_BYTES = 2**20  # a small member may be as repetitive as it likes
_STRANGE_FLAGS = 0x1 | 0x20 | 0x40  # encrypted, patch data, strongly encrypted


@contextlib.contextmanager
def open_archive(path):
    """The `Archive` in a file whose list of members has been checked.

    Args:
        path: str.

    Raises:
        ValueError: not a zip archive, or one with other members than those of a model: a foreign
            or repeated name, a link, an encrypted member, or one that grows beyond all measure.
        FileNotFoundError: there is no such file.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_regular(path, most_bytes=None))
            if file.read(4) != b"PK\3\4":
                raise unreadable(path, "it does not begin as a zip archive", ".keras")
            archive = stack.enter_context(zipfile.ZipFile(file))
            _check_members(archive.infolist(), os.fstat(file.fileno()).st_size, path)
        except FileNotFoundError:
            raise no_file(path) from None
        except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeDecodeError) as error:
            raise unreadable(path, error, ".keras") from error
        yield Archive(archive, path)


def _check_members(members, size, path):
    if len(members) > len(_LIMITS_BYTES) + _MAX_ASSETS:
        raise unreadable(path, f"it has {len(members)} members", ".keras")
    names = Counter(member.filename for member in members)
    for member in members:
        problem = _problem(member, names)
        if problem is not None:
            raise unreadable(path, f"its member {member.orig_filename!r} {problem}", ".keras")
    # Members that share their bytes are small together, and huge once read.
    if sum(member.compress_size for member in members) > size:
        raise unreadable(path, "its members overlap", ".keras")
    if CONFIG not in names:
        raise unreadable(path, f"it has no '{CONFIG}'", ".keras")
    if (SAFETENSORS in names) is (H5 in names):
        raise unreadable(path, f"it must have one of '{SAFETENSORS}' and '{H5}'", ".keras")


def _problem(member, names):
    """What is wrong with a member, or None."""
    name = member.filename
    # A zero byte ends a name for some readers; `orig_filename` shows it.
    limit = _MAX_ASSET_BYTES if _ASSETS.fullmatch(name) else _LIMITS_BYTES.get(name)
    if limit is None or member.orig_filename != name:
        return "is not one that a model's archive has"
    if names[name] > 1:
        return "occurs twice"
    if member.flag_bits & _STRANGE_FLAGS:
        return "is encrypted or patched"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is not a plain file"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is compressed by method {member.compress_type}"
    if member.file_size > limit:
        return f"has {member.file_size} bytes, above {limit}"
    if member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
        return "declares another size than it has"
    ratio = _MAX_RATIO_OF_WEIGHTS if name in (SAFETENSORS, H5) else _MAX_RATIO
    grown = member.file_size > ratio * member.compress_size
    if grown and member.file_size > _RATIO_FROM_BYTES:
        return f"grows from {member.compress_size} to {member.file_size} bytes"
    return None


class Archive:
    """An open archive; see `open_archive`."""

    def __init__(self, archive, path):
        self._archive = archive
        self._path = path
        self.names = frozenset(archive.namelist())
        self.assets = sorted(name for name in self.names if _ASSETS.fullmatch(name))

    def stored_size(self, name):
        """Bytes that a member takes in the archive."""
        return self._archive.getinfo(name).compress_size

    def read(self, name):
        """The bytes of a member."""
        try:
            return self._archive.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
            raise unreadable(self._path, f"member '{name}': {error}", ".keras") from error
