"""Downloads into the cache folder, file hashes, and safe extraction of archives."""

import contextlib
import gzip
import hashlib
import http.client
import logging
import ntpath
import os
import posixpath
import shutil
import stat
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

from torchkeras.core.files import check_regular, open_regular
from torchkeras.saving.atomic import atomic_write, scratch_folder

_logger = logging.getLogger(__name__)

_SCHEMES = ("http", "https", "ftp", "file")
_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = 60


def get_file(
    fname=None,
    origin=None,
    untar=False,
    md5_hash=None,
    file_hash=None,
    cache_subdir="datasets",
    hash_algorithm="auto",
    extract=False,
    archive_format="auto",
    cache_dir=None,
    force_download=False,
):
    """Return the path of a file in the cache, downloading it first where needed.

    The file `origin` becomes `<cache_dir>/<cache_subdir>/<fname>`. A file already there is
    used when it has the hash `file_hash`, or when no hash is given; otherwise it is downloaded
    again. A download goes to a temporary file in the same folder, is checked, and only then
    takes its final name, so a broken or interrupted download never lies at the returned path.
    Several processes may ask for the same file at once.

    With `extract=True` the archive is unpacked on every call, as in Keras, into
    `<fname>` (the archive is then kept as `<fname>_archive`), or, where `fname` is given and
    holds a dot, into `<fname up to the first dot>_extracted`. Every name in the archive is
    checked before anything is written: absolute names, `..`, devices, and links that leave the
    archive are an error (Keras skips such entries with a warning). A link to a file of the
    archive is unpacked as a copy of that file.

    Args:
        fname: str or path, no folder part. Name in the cache; None takes the last part of
            `origin`.
        origin: str, URL with scheme http, https, ftp or file. Keras passes any URL to urllib;
            other schemes are an error here.
        untar: bool. Older spelling of `extract=True, archive_format="tar"`.
        md5_hash: str. Older spelling of `file_hash` with `hash_algorithm="md5"`.
        file_hash: str, hexadecimal sha256 or md5 of the file. None checks nothing.
        cache_subdir: str, folder below `cache_dir`; an absolute path replaces it.
        hash_algorithm: "sha256", "md5", or "auto": sha256 for 64 digits, else md5.
        extract: bool. Unpack the file, a tar (also compressed) or zip archive.
        archive_format: "auto", "tar", "zip", or a list of these.
        cache_dir: str or path. None takes the environment variable KERAS_HOME, or `~/.keras`;
            where that cannot be written, `/tmp/.keras`.
        force_download: bool. Download even if the cache has the file.

    Returns:
        str, path of the file, or of the folder when it was extracted.

    Raises:
        ValueError: `origin`, `fname`, `hash_algorithm` or `archive_format` is not usable, the
            downloaded file has another hash, or the archive has an unsafe name.
        OSError: the URL could not be read, or the folder could not be written.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "words.txt").write_text("zero one")
    >>> url = (folder / "words.txt").as_uri()
    >>> path = keras.utils.get_file(origin=url, cache_dir=folder / "cache")
    >>> pathlib.Path(path).read_text()
    'zero one'
    """
    if origin is None:
        raise ValueError(
            "`origin` must be the URL of the file. Received: origin=None. "
            'Pass it as get_file(origin="https://...").'
        )
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    if untar:
        extract, archive_format = True, "tar"
    name = _file_name(fname, origin)
    if not extract:
        return fetch(
            name, origin, file_hash, hash_algorithm, cache_subdir, cache_dir, force_download
        )

    formats = _archive_formats(archive_format)
    if fname and "." in name:
        archive_name, folder_name = name, f"{name[: name.find('.')]}_extracted"
    else:
        archive_name, folder_name = f"{name}_archive", name
    archive_path = fetch(
        archive_name, origin, file_hash, hash_algorithm, cache_subdir, cache_dir, force_download
    )
    folder = os.path.join(os.path.dirname(archive_path), folder_name)
    if not extract_archive(archive_path, folder, formats):
        raise ValueError(
            f"`extract=True` expects an archive of format {' or '.join(formats) or '(none)'}. "
            f"Received: {archive_path}, downloaded from {origin}. "
            "Correct `archive_format`, or pass extract=False to get the file as it is."
        )
    return folder


def fetch(
    name,
    origin,
    file_hash=None,
    hash_algorithm="auto",
    cache_subdir="datasets",
    cache_dir=None,
    force_download=False,
    accept=None,
):
    """Return the path of one cached file, downloading it when the cache lacks a valid one.

    The part of `get_file` without archives. A cached file counts as valid when its hash is
    `file_hash`, or else when `accept(path)` is true; with neither, any file does.

    Args:
        name: str, file name in the cache, no folder part.
        origin: str, URL of the file.
        file_hash, hash_algorithm, cache_subdir, cache_dir, force_download: as in `get_file`.
        accept: callable from a path to bool, or None. Second opinion on a cached file.

    Returns:
        str, path of the file.

    Raises:
        ValueError: a name, scheme or hash is wrong.
        OSError: the URL could not be read; the message says where to put the file by hand.

    Example:

    >>> import pathlib, tempfile
    >>> from torchkeras.utils.file_utils import fetch
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("a")
    >>> path = fetch("b.txt", (folder / "a.txt").as_uri(), cache_dir=folder, cache_subdir=".")
    >>> pathlib.Path(path).read_text()
    'a'
    """
    name = _file_name(name, origin)
    algorithm = _hash_name(hash_algorithm, file_hash)
    path = os.path.join(_cache_folder(name, cache_subdir, cache_dir), name)
    refused = ""
    if os.path.exists(path) and not force_download:
        if not os.path.isdir(path):
            check_regular(path)  # to read a pipe would wait for a writer
        if file_hash is None and accept is None:
            return path
        found = hash_file(path, algorithm)
        if file_hash is not None and found == file_hash.lower():
            return path
        if accept is not None and accept(path):
            return path
        refused = f"The file already there is another one ({algorithm} {found}), so it is not used."
        _logger.warning("%s: %s Downloading again from %s", path, refused, origin)
    _download(origin, path, file_hash, algorithm, refused)
    return path


def hash_file(path, algorithm="sha256"):
    """Return the hash of a file's bytes as a hexadecimal string.

    Args:
        path: str or path of the file.
        algorithm: "sha256" or "md5".

    Returns:
        str, 64 digits (sha256) or 32 (md5), lower case.

    Raises:
        ValueError: `algorithm` is another one.
        OSError: the path is no regular file, or cannot be read.

    Example:

    >>> import pathlib, tempfile
    >>> from torchkeras.utils.file_utils import hash_file
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "empty"
    >>> path.touch()
    >>> hash_file(path, "md5")
    'd41d8cd98f00b204e9800998ecf8427e'
    """
    hasher = _hasher(_hash_name(algorithm, None))
    with open_regular(path, most_bytes=None) as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def cache_home():
    """Return the cache's root folder: `$KERAS_HOME`, else `~/.keras`, else `/tmp/.keras`.

    As in Keras, except that the variable is read at each call, not once at import, and that an
    empty value counts as unset. The last choice is for a home folder that cannot be written.

    Returns:
        str, a path that may not exist yet.

    Example:

    >>> from torchkeras.utils.file_utils import cache_home
    >>> type(cache_home())
    <class 'str'>
    """
    if os.environ.get("KERAS_HOME"):
        return os.path.expanduser(os.environ["KERAS_HOME"])
    home = os.path.expanduser("~")
    return os.path.join(home if os.access(home, os.W_OK) else _temporary_root(), ".keras")


def extract_archive(path, folder=".", archive_format="auto"):
    """Unpack a tar or zip archive into a folder, refusing entries that would leave it.

    All entries are checked before the first one is written: names that are absolute, hold
    `..`, a backslash, a drive letter or a NUL, special files, and links whose target is not a
    regular file of the same archive raise. Links are written as copies. Each file is written
    under a temporary name and then renamed. Modes and times are not restored.

    Args:
        path: str or path of the archive.
        folder: str or path of the folder to fill; made when missing.
        archive_format: "auto", "tar", "zip", a list of these, or None for no format at all.

    Returns:
        bool, whether the file was an archive of such a format.

    Raises:
        ValueError: an entry is unsafe, the archive is damaged, or has more entries, bytes or
            headers than its size lets expect; or `archive_format` is unknown.
        OSError: the unpacked files need more room than the disk has.

    Example:

    >>> import pathlib, tempfile, zipfile
    >>> from torchkeras.utils.file_utils import extract_archive
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(folder / "a.zip", "w") as archive:
    ...     archive.writestr("sub/b.txt", "b")
    >>> extract_archive(folder / "a.zip", folder / "out")
    True
    >>> (folder / "out" / "sub" / "b.txt").read_text()
    'b'
    """
    check_regular(path)
    for archive_type in _archive_formats(archive_format):
        if archive_type == "tar":
            with _damage_told(path):
                archive = _open_tar(path)
                if archive is not None:
                    with archive:
                        bounds = _Bounds(path)
                        entries = _tar_entries(archive, bounds)
                        _check_rest(archive.fileobj, bounds)
                        _write_entries(entries, folder, path)
                    return True
        if archive_type == "zip" and zipfile.is_zipfile(path):
            with _damage_told(path), zipfile.ZipFile(path) as archive:
                _write_entries(_zip_entries(archive, _Bounds(path)), folder, path)
            return True
    return False


def _file_name(fname, origin):
    name = os.fspath(fname) if fname else posixpath.basename(urllib.parse.urlsplit(origin).path)
    if not name or name in (".", "..") or any(c in name for c in ("/", "\\", "\0")):
        raise ValueError(
            "`fname` must be a plain file name, without a folder. "
            f"Received: fname={fname!r}, origin={origin!r}. Give the name in `fname`, and the "
            "folder in `cache_dir` and `cache_subdir`."
        )
    return name


def _hash_name(algorithm, file_hash):
    if algorithm == "auto":
        return "md5" if file_hash is not None and len(file_hash) != 64 else "sha256"
    if algorithm not in ("sha256", "md5"):
        raise ValueError(
            "`hash_algorithm` must be 'auto', 'sha256' or 'md5'. "
            f"Received: hash_algorithm={algorithm!r}. Hash the file with one of these."
        )
    return algorithm


def _hasher(algorithm):
    return hashlib.new(algorithm, usedforsecurity=False)


def _archive_formats(archive_format):
    if archive_format is None:
        return []
    if archive_format == "auto":
        return ["tar", "zip"]
    formats = [archive_format] if isinstance(archive_format, str) else list(archive_format)
    if not set(formats) <= {"tar", "zip"}:
        raise ValueError(
            "`archive_format` must be 'auto', 'tar', 'zip' or a list of the last two. "
            f"Received: archive_format={archive_format!r}. Unpack other formats yourself."
        )
    return formats


def _temporary_root():
    return "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()


def _cache_folder(name, cache_subdir, cache_dir):
    """Return the folder for `name`: the asked-for one, or the temporary one if not writable."""
    base = os.path.expanduser(cache_home() if cache_dir is None else cache_dir)
    folder = os.path.join(base, cache_subdir)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        _logger.warning("Cannot make the cache folder %s: %s", folder, error)
    # A read-only cache that already has the file is as good as a writable one.
    if os.access(folder, os.W_OK) or os.path.exists(os.path.join(folder, name)):
        return folder
    base = os.path.join(_temporary_root(), ".keras")
    os.makedirs(base, mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and os.stat(base).st_uid != os.getuid():
        # Everyone may write to /tmp: a folder made there by another user is not to be trusted.
        raise PermissionError(
            f"The cache folder {folder} must be writable. Received: a folder that is not, and "
            f"{base} belongs to another user. Set the environment variable KERAS_HOME to a "
            "folder of yours."
        )
    folder = os.path.join(base, cache_subdir)
    os.makedirs(folder, exist_ok=True)
    return folder


class _Unreachable(Exception):
    """A URL could not be read to its end; the text is the reason."""


def _read_url(origin, description):
    """Yield the bytes of a URL in chunks, turning each way to fail into `_Unreachable`."""
    from tqdm import tqdm

    try:
        with urllib.request.urlopen(origin, timeout=_TIMEOUT_S) as response:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            # disable=None: no bar where standard error is a file or a pipe.
            with tqdm(
                total=total, desc=description, unit="B", unit_scale=True, disable=None
            ) as bar:
                received = 0
                while chunk := response.read(_CHUNK_BYTES):
                    received += len(chunk)
                    bar.update(len(chunk))
                    yield chunk
            # read(n) of http.client returns what came before a lost connection without an error.
            if total is not None and received != total:
                raise _Unreachable(f"the connection ended after {received} of {total} bytes")
    except urllib.error.HTTPError as error:
        error.close()
        raise _Unreachable(str(error)) from None
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _Unreachable(f"{type(error).__name__}: {reason}") from None


def _download(origin, path, file_hash, algorithm, refused):
    scheme = urllib.parse.urlsplit(origin).scheme.lower()
    if scheme not in _SCHEMES:
        raise ValueError(
            f"`origin` must be a URL that starts with one of {', '.join(_SCHEMES)}. "
            f"Received: origin={origin!r}. For a file on this machine, use pathlib.Path.as_uri()."
        )
    if scheme == "file":
        local = urllib.request.url2pathname(urllib.parse.urlsplit(origin).path)
        if os.path.lexists(local):  # what is not there is told with the way out, below
            check_regular(local)
    folder, name = os.path.split(path)
    hasher = _hasher(algorithm)
    try:
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            for chunk in _read_url(origin, name):
                hasher.update(chunk)
                file.write(chunk)
            found = hasher.hexdigest()
            if file_hash is not None and found != file_hash.lower():
                raise ValueError(
                    f"The file downloaded from {origin} must have the {algorithm} {file_hash}. "
                    f"Received: {algorithm} {found}. It was removed; try again, and if the hash "
                    "stays the same, the file at that URL has changed: do not trust it unchecked."
                )
    except _Unreachable as error:
        expected = f" with the {algorithm} {file_hash}" if file_hash is not None else ""
        home = os.environ.get("KERAS_HOME")
        raise OSError(
            f"Expected to download '{name}' from {origin} into the cache folder {folder}. "
            f"Received: {error}. {refused + ' ' if refused else ''}Connect to the network and "
            f"call again; or put the file{expected} at {path} yourself; or set the environment "
            f"variable KERAS_HOME to a folder whose '{os.path.basename(folder)}' folder has it "
            f"(KERAS_HOME is {'set to ' + home if home else 'not set'})."
        ) from None


@dataclass
class _Entry:
    """One entry of an archive: `kind` is "file", "folder", "link" or the word for anything else.

    `target` is, for a link, the name it points to, seen from the archive's root.
    """

    name: str
    kind: str
    size_bytes: int
    target: str
    open: Any


# An archive may grow by so much when it is unpacked, and have so many entries for its size. Texts
# shrink to a tenth, tables to a thirtieth; zeros, holes and repeated headers shrink without limit.
_FREE_BYTES, _MAX_RATIO = 64 * 2**20, 100
_FREE_ENTRIES, _BYTES_AN_ENTRY = 10_000, 80
_MAX_HEADER_BYTES = 2**20  # of names and other records that stand before an entry of a tar


class _Bounds:
    """Counts what an archive announces, and raises where it is out of all proportion."""

    def __init__(self, path):
        self._path = path
        self._size = os.path.getsize(path)
        self._bytes = self._entries = 0

    def add(self, size_bytes):
        """Count one entry.

        Raises:
            ValueError: the archive has too many, or they are too large.
        """
        self._entries += 1
        self.add_rest(size_bytes)
        if self._entries > _FREE_ENTRIES + self._size // _BYTES_AN_ENTRY:
            raise self._beyond(f"{self._entries} entries or more")

    def add_rest(self, size_bytes):
        """Count bytes that are no entry of their own."""
        self._bytes += size_bytes
        if size_bytes < 0 or self._bytes > _FREE_BYTES + _MAX_RATIO * self._size:
            raise self._beyond(f"{self._bytes} bytes or more")

    def check_stored(self, size_bytes):
        """Raise where entries take more bytes of the archive than it has: they share some."""
        if size_bytes > self._size:
            raise self._beyond(f"entries of {size_bytes} bytes that overlap")

    def _beyond(self, what):
        return ValueError(
            "An archive must be in proportion to what is in it. Received: "
            f"{what} in {self._path} of {self._size} bytes. Nothing was unpacked; if you trust "
            "the archive, unpack it yourself."
        )


class _BoundedInfo(tarfile.TarInfo):
    """A header of a tar whose records of variable length, which are read whole, stay small."""

    _lengthy = (
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    )

    def _proc_member(self, archive):
        if self.type in self._lengthy and not 0 <= self.size <= _MAX_HEADER_BYTES:
            raise ValueError(
                f"The header of an entry of a tar may have {_MAX_HEADER_BYTES} bytes. Received: "
                f"{self.size} bytes in {archive.name}. Nothing was unpacked."
            )
        return super()._proc_member(archive)


def _open_tar(path):
    """The open tar, or None where the file is none."""
    try:
        return tarfile.open(path, tarinfo=_BoundedInfo)
    except tarfile.TarError:
        return None


@contextlib.contextmanager
def _damage_told(path):
    """Inside, whatever a reader of archives raises on a damaged one is a ValueError."""
    try:
        yield
    except Exception as error:
        # bz2 has no error of its own, and lzma is not in every Python.
        # A place before the beginning, in a zip, is an invalid argument (22) of the system.
        of_coder = (
            getattr(error, "errno", None) == 22
            or str(error) == "Invalid data stream"
            or type(error).__name__ == "LZMAError"
        )
        if not (of_coder or isinstance(error, _DAMAGE)):
            raise
        raise ValueError(
            f"A whole archive was expected. Received: {path}, which cannot be read to its end "
            f"({type(error).__name__}: {str(error)[:500]}). Download it again."
        ) from error


_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
    gzip.BadGzipFile,
    UnicodeError,
    OverflowError,
)


def _tar_entries(archive, bounds):
    entries = []
    for info in archive:
        target = ""
        bounds.add(info.size)
        if info.issparse():
            kind = "sparse file"
        elif info.isreg():
            kind = "file"
        elif info.isdir():
            kind = "folder"
        elif info.issym():
            kind, target = "link", posixpath.join(posixpath.dirname(info.name), info.linkname)
        elif info.islnk():
            kind, target = "link", info.linkname
        else:
            kind = "special file"
        opener = _opener(archive.extractfile, info)
        entries.append(_Entry(info.name, kind, info.size, target, opener))
    return entries


def _check_rest(file, bounds):
    """Read what follows the end of a tar: the checksum of its compressed bytes is there."""
    try:
        while chunk := file.read(_CHUNK_BYTES):
            bounds.add_rest(len(chunk))
    except gzip.BadGzipFile as error:
        if "Not a gzipped file" not in str(error):  # other bytes after it are no damage
            raise


def _zip_entries(archive, bounds):
    entries = []
    bounds.check_stored(sum(info.compress_size for info in archive.infolist()))
    for info in archive.infolist():
        target = ""
        bounds.add(info.file_size)
        # The upper half holds the Unix mode; 0 where the archive was made elsewhere.
        mode = info.external_attr >> 16
        if info.is_dir():
            kind = "folder"
        elif stat.S_ISLNK(mode):
            with archive.open(info) as file:
                text = file.read(4096).decode("utf-8", "replace")
            kind, target = "link", posixpath.join(posixpath.dirname(info.filename), text)
        else:
            kind = "file"
        opener = _opener(archive.open, info)
        entries.append(_Entry(info.filename, kind, info.file_size, target, opener))
    return entries


def _opener(open_member, info):
    return lambda: open_member(info)


def _is_safe_name(name):
    return (
        name != ""
        and not name.startswith("/")
        and not any(c in name for c in ("\\", "\0"))
        and not ntpath.splitdrive(name)[0]
        and ".." not in name.split("/")
    )


def _write_entries(entries, folder, archive_path):
    """Check all entries of an archive, then write its folders and files below `folder`."""
    by_name = {}
    for entry in entries:
        if not _is_safe_name(entry.name):
            raise _unsafe(entry, archive_path)
        by_name[posixpath.normpath(entry.name)] = entry

    os.makedirs(folder, exist_ok=True)
    root = os.path.realpath(folder)
    files = {}
    for name, entry in by_name.items():
        path = os.path.join(root, *name.split("/"))
        # Guards against a link that was in the folder before.
        parent = os.path.realpath(os.path.dirname(path) if name != "." else path)
        if parent != root and not parent.startswith(os.path.join(root, "")):
            raise _unsafe(entry, archive_path)
        if entry.kind != "folder":
            files[path] = _regular_file(entry, by_name, archive_path)

    needed = sum(file.size_bytes - _size_on_disk(path) for path, file in files.items())
    free = shutil.disk_usage(root).free
    if needed > free:
        raise OSError(
            f"Unpacking {archive_path} needs {needed} more bytes in {root}. "
            f"Received: a disk with {free} bytes free. Free some, or choose another `cache_dir`."
        )
    for name, entry in by_name.items():
        if entry.kind == "folder":
            os.makedirs(os.path.join(root, *name.split("/")), exist_ok=True)
    with scratch_folder(root, os.path.basename(archive_path)) as scratch:
        part = os.path.join(scratch, "part")
        for path, file in files.items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with file.open() as source, open(part, "wb") as copy:
                shutil.copyfileobj(source, copy)
            os.replace(part, path)


def _regular_file(entry, by_name, archive_path):
    """Return the regular file that an entry is, or that its chain of links leads to."""
    seen = set()
    file = entry
    while file.kind == "link":
        target = posixpath.normpath(file.target)
        if target in seen or target not in by_name:
            raise _unsafe(entry, archive_path)
        seen.add(target)
        file = by_name[target]
    if file.kind != "file":
        raise _unsafe(entry, archive_path)
    return file


def _size_on_disk(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def _unsafe(entry, archive_path):
    arrow = f" to {entry.target!r}" if entry.kind == "link" else ""
    return ValueError(
        "Archives may hold only files, folders, and links to files of the same archive, with "
        f"names that stay inside the folder. Received: the {entry.kind} {entry.name!r}{arrow} in "
        f"{archive_path}. Nothing was unpacked; if you trust the archive, unpack it yourself."
    )
