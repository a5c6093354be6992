import hashlib
import http.server
import io
import os
import stat
import tarfile
import threading
import zipfile

import pytest

from torchkeras.utils import file_utils
from torchkeras.utils.file_utils import extract_archive, fetch, get_file, hash_file

CONTENT = b"some bytes " * 20000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def url(tmp_path):
    path = tmp_path / "source" / "data.bin"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path.as_uri()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "datasets"


class _Handler(http.server.BaseHTTPRequestHandler):
    requests = []

    def do_GET(self):
        self.requests.append(self.path)
        if self.path == "/missing.bin":
            self.send_error(404)
            return
        if self.path == "/moved.bin":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        self.send_response(200)
        declared = len(CONTENT) * (2 if self.path == "/short.bin" else 1)
        if self.path != "/unknown_length.bin":
            self.send_header("Content-Length", str(declared))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    _Handler.requests = []
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as instance:
        thread = threading.Thread(target=instance.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{instance.server_port}"
        instance.shutdown()
        thread.join()


def write_zip(path, entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def write_tar(path, members, mode="w:gz"):
    """Members: `(name, content)` for a file, or a ready TarInfo without content."""
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def tar_link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def files_below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


# get_file: where files go, and when they are downloaded


def test_file_lands_under_keras_home(url, cache):
    path = get_file(origin=url)
    assert path == str(cache / "data.bin")
    assert (cache / "data.bin").read_bytes() == CONTENT


def test_keras_home_is_read_at_each_call(url, cache, tmp_path, monkeypatch):
    get_file(origin=url)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "other"))
    assert get_file(origin=url) == str(tmp_path / "other" / "datasets" / "data.bin")


def test_home_folder_without_the_variable(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert file_utils.cache_home() == str(tmp_path / ".keras")


def test_fname_subdir_and_cache_dir(url, tmp_path):
    path = get_file("other.bin", url, cache_dir=tmp_path / "c", cache_subdir="a/b")
    assert path == str(tmp_path / "c" / "a" / "b" / "other.bin")
    absolute = get_file(origin=url, cache_subdir=str(tmp_path / "absolute"))
    assert absolute == str(tmp_path / "absolute" / "data.bin")


def test_cached_file_is_not_downloaded_again(server, cache):
    for _ in range(2):
        get_file(origin=f"{server}/data.bin")
    assert _Handler.requests == ["/data.bin"]
    get_file(origin=f"{server}/data.bin", force_download=True)
    assert _Handler.requests == ["/data.bin", "/data.bin"]


def test_who_reads_the_old_file_keeps_it_whole(url, cache):
    cache.mkdir(parents=True)
    (cache / "data.bin").write_bytes(b"old")
    with open(cache / "data.bin", "rb") as reader:
        get_file(origin=url, force_download=True)
        assert reader.read() == b"old"
    assert (cache / "data.bin").read_bytes() == CONTENT


def test_response_without_a_length_is_read_to_its_end(server, cache):
    path = get_file(origin=f"{server}/unknown_length.bin", file_hash=SHA256)
    assert hash_file(path) == SHA256


@pytest.mark.parametrize(
    "arguments",
    [
        {"file_hash": SHA256},
        {"file_hash": SHA256.upper()},
        {"file_hash": SHA256, "hash_algorithm": "sha256"},
        {"file_hash": MD5},
        {"file_hash": MD5, "hash_algorithm": "md5"},
        {"md5_hash": MD5},
    ],
)
def test_right_hash_is_accepted_from_url_and_cache(url, cache, arguments):
    path = get_file(origin=url, **arguments)
    os.utime(path, (1, 1))
    get_file(origin=url, **arguments)
    assert os.stat(path).st_mtime == 1


def test_cached_file_with_another_hash_is_replaced(url, cache, caplog):
    cache.mkdir(parents=True)
    (cache / "data.bin").write_bytes(b"old")
    get_file(origin=url, file_hash=SHA256)
    assert (cache / "data.bin").read_bytes() == CONTENT
    assert hashlib.sha256(b"old").hexdigest() in caplog.text


def test_download_with_another_hash_leaves_nothing(url, cache):
    wrong = "0" * 64
    with pytest.raises(ValueError, match=f"{wrong}.*Received: sha256 {SHA256}"):
        get_file(origin=url, file_hash=wrong)
    assert files_below(cache) == []


def test_file_is_readable_as_the_umask_says(url, cache):
    previous = os.umask(0o022)
    try:
        path = get_file(origin=url)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644


# get_file: broken downloads


@pytest.mark.parametrize("name", ["missing.bin", "short.bin", "moved.bin"])
def test_broken_download_is_one_clear_error_and_leaves_nothing(server, cache, name):
    with pytest.raises(OSError) as caught:
        get_file(origin=f"{server}/{name}", file_hash=SHA256)
    message = str(caught.value)
    for part in (name, f"{server}/{name}", str(cache), "KERAS_HOME", SHA256, "Received"):
        assert part in message
    assert caught.value.__suppress_context__
    assert files_below(cache) == []


def test_short_download_says_how_much_came(server, cache):
    with pytest.raises(OSError, match=f"after {len(CONTENT)} of {2 * len(CONTENT)} bytes"):
        get_file(origin=f"{server}/short.bin")


def test_refused_connection_keeps_the_old_file_but_does_not_use_it(cache):
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as instance:
        port = instance.server_port
    cache.mkdir(parents=True)
    (cache / "data.bin").write_bytes(b"old")
    with pytest.raises(OSError, match="another one.*so it is not used"):
        get_file(origin=f"http://127.0.0.1:{port}/data.bin", file_hash=SHA256)
    assert files_below(cache) == ["data.bin"]


def test_interrupt_in_the_middle_leaves_nothing(url, cache, monkeypatch):
    def interrupted(origin, description):
        yield CONTENT[:100]
        raise KeyboardInterrupt

    monkeypatch.setattr(file_utils, "_read_url", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get_file(origin=url)
    assert files_below(cache) == []


def test_full_disk_is_not_reported_as_a_network_error(url, cache, monkeypatch):
    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left") as caught:
        get_file(origin=url)
    assert "KERAS_HOME" not in str(caught.value)
    assert files_below(cache) == []


# get_file: arguments


@pytest.mark.parametrize("fname", ["a/b", "..", ".", "a\\b", "a\0b"])
def test_fname_with_a_folder_is_an_error(url, cache, fname):
    with pytest.raises(ValueError, match="`fname` must be a plain file name.*Received: fname="):
        get_file(fname, url)


@pytest.mark.parametrize("origin", ["http://127.0.0.1/", "http://127.0.0.1/a/.."])
def test_url_without_a_file_name_is_an_error(cache, origin):
    with pytest.raises(ValueError, match="`fname` must be a plain file name"):
        get_file(origin=origin)


@pytest.mark.parametrize("origin", ["data:text/plain,abc", "gs://bucket/a", "/etc/hostname"])
def test_other_schemes_are_an_error(cache, origin):
    with pytest.raises(ValueError, match="starts with one of http, https, ftp, file"):
        get_file("a", origin)


def test_missing_origin_is_an_error(cache):
    with pytest.raises(ValueError, match="Received: origin=None"):
        get_file("a")


def test_unknown_hash_algorithm_is_an_error(url, cache):
    with pytest.raises(ValueError, match="hash_algorithm='sha1'"):
        get_file(origin=url, file_hash=SHA256, hash_algorithm="sha1")


# The folder of last resort


def test_unwritable_folder_gives_way_to_the_temporary_one(url, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(file_utils, "_temporary_root", lambda: str(tmp_path / "tmp"))
    path = get_file(origin=url, cache_dir=tmp_path / "file")
    assert path == str(tmp_path / "tmp" / ".keras" / "datasets" / "data.bin")
    assert stat.S_IMODE(os.stat(tmp_path / "tmp" / ".keras").st_mode) == 0o700


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="the system has no user ids")
def test_temporary_folder_of_another_user_is_not_trusted(url, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(file_utils, "_temporary_root", lambda: str(tmp_path / "tmp"))
    monkeypatch.setattr(os, "getuid", lambda: os.stat(tmp_path).st_uid + 1)
    with pytest.raises(PermissionError, match="belongs to another user.*KERAS_HOME"):
        get_file(origin=url, cache_dir=tmp_path / "file")


def test_read_only_cache_with_the_file_is_used(url, cache, monkeypatch):
    path = get_file(origin=url)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert get_file(origin=url, file_hash=SHA256) == path


# fetch


def test_accept_is_asked_when_the_hash_differs(url, cache):
    cache.mkdir(parents=True)
    (cache / "data.bin").write_bytes(b"same data, other file")
    asked = []

    def accept(path):
        asked.append(path)
        return True

    path = fetch("data.bin", url, SHA256, accept=accept)
    assert asked == [path]
    assert (cache / "data.bin").read_bytes() == b"same data, other file"
    fetch("data.bin", url, SHA256, accept=lambda path: False)
    assert (cache / "data.bin").read_bytes() == CONTENT


def test_accept_is_not_asked_when_the_hash_agrees(url, cache):
    fetch("data.bin", url, SHA256)
    fetch("data.bin", url, SHA256, accept=lambda path: pytest.fail("asked"))


# get_file(extract=True)


@pytest.mark.parametrize(
    ("fname", "folder", "archive"),
    [
        (None, "things.zip", "things.zip_archive"),
        ("name", "name", "name_archive"),
        ("name.v1.zip", "name_extracted", "name.v1.zip"),
    ],
)
def test_extracted_names_are_those_of_keras(tmp_path, cache, fname, folder, archive):
    source = write_zip(tmp_path / "things.zip", {"sub/a.txt": "a", "b.txt": "b"})
    path = get_file(fname, source.as_uri(), extract=True)
    assert path == str(cache / folder)
    assert files_below(cache / folder) == ["b.txt", "sub/a.txt"]
    assert (cache / archive).read_bytes() == source.read_bytes()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_untar_reads_compressed_tars(tmp_path, cache, mode):
    source = write_tar(tmp_path / "t.tar", [("sub/a.txt", b"abc"), tar_folder("empty")], mode)
    path = get_file("t", source.as_uri(), untar=True)
    assert (cache / "t" / "sub" / "a.txt").read_bytes() == b"abc"
    assert (cache / "t" / "empty").is_dir()
    assert path == str(cache / "t")


def tar_folder(name):
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info


def test_second_extraction_repairs_changed_files(tmp_path, cache):
    source = write_zip(tmp_path / "t.zip", {"a.txt": "right"})
    folder = cache / "t"
    get_file("t", source.as_uri(), extract=True)
    (folder / "a.txt").write_text("wrong")
    get_file("t", source.as_uri(), extract=True)
    assert (folder / "a.txt").read_text() == "right"


@pytest.mark.parametrize("archive_format", ["auto", "zip", "tar", ["zip"], None])
def test_no_archive_of_that_format_is_an_error(url, cache, archive_format):
    with pytest.raises(ValueError, match="`extract=True` expects an archive of format"):
        get_file(origin=url, extract=True, archive_format=archive_format)


def test_unknown_archive_format_is_an_error_before_the_download(url, cache):
    with pytest.raises(ValueError, match="archive_format='rar'"):
        get_file(origin=url, extract=True, archive_format="rar")
    assert not cache.exists()


# extract_archive: hostile archives

BAD_NAMES = ["../out.txt", "/out.txt", "a/../../out.txt", "a\\..\\out.txt", "C:out.txt", "a/.."]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_leave_the_folder_write_nothing(tmp_path, kind, name):
    path = tmp_path / f"bad.{kind}"
    if kind == "tar":
        write_tar(path, [("good.txt", b"good"), (name, b"bad")])
    else:
        write_zip(path, {"good.txt": "good", name: "bad"})
    with pytest.raises(ValueError, match="Nothing was unpacked"):
        extract_archive(path, tmp_path / "in" / "folder")
    assert files_below(tmp_path) == [path.name]


@pytest.mark.parametrize(
    "member",
    [
        tar_link("link", "/etc/passwd"),
        tar_link("link", "../outside"),
        tar_link("a/link", "../../outside"),
        tar_link("link", "missing"),
        tar_link("link", "link"),
        tar_link("link", "folder"),
        tar_link("link", "/etc/passwd", tarfile.LNKTYPE),
        tar_link("link", "../outside", tarfile.LNKTYPE),
        tar_link("pipe", "", tarfile.FIFOTYPE),
        tar_link("device", "", tarfile.CHRTYPE),
    ],
    ids=lambda member: f"{member.name}->{member.linkname}",
)
def test_links_out_and_special_files_write_nothing(tmp_path, member):
    (tmp_path / "outside").write_text("secret")
    path = write_tar(tmp_path / "bad.tar", [("good.txt", b"x"), tar_folder("folder"), member])
    with pytest.raises(ValueError, match=f"the .* '{member.name}'.*Nothing was unpacked"):
        extract_archive(path, tmp_path / "out")
    assert files_below(tmp_path) == ["bad.tar", "outside"]


def test_file_through_a_link_of_the_archive_stays_inside(tmp_path):
    (tmp_path / "outside").mkdir()
    path = write_tar(
        tmp_path / "bad.tar", [tar_link("d", str(tmp_path / "outside")), ("d/a.txt", b"bad")]
    )
    with pytest.raises(ValueError, match="the link 'd'"):
        extract_archive(path, tmp_path / "out")
    assert files_below(tmp_path / "outside") == []


def test_link_that_was_in_the_folder_is_not_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "d").symlink_to(tmp_path / "outside")
    path = write_zip(tmp_path / "a.zip", {"d/a.txt": "bad"})
    with pytest.raises(ValueError, match="'d/a.txt'"):
        extract_archive(path, tmp_path / "out")
    assert files_below(tmp_path / "outside") == []


def test_file_link_that_was_in_the_folder_is_replaced_not_written_through(tmp_path):
    (tmp_path / "outside.txt").write_text("before")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").symlink_to(tmp_path / "outside.txt")
    extract_archive(write_zip(tmp_path / "a.zip", {"a.txt": "new"}), tmp_path / "out")
    assert (tmp_path / "outside.txt").read_text() == "before"
    assert (tmp_path / "out" / "a.txt").read_text() == "new"


def test_links_inside_a_tar_become_copies(tmp_path):
    path = write_tar(
        tmp_path / "a.tar",
        [
            ("d/a.txt", b"abc"),
            tar_link("e/up", "../d/a.txt"),
            tar_link("chain", "e/up"),
            tar_link("hard", "d/a.txt", tarfile.LNKTYPE),
        ],
    )
    extract_archive(path, tmp_path / "out")
    for name in ("e/up", "chain", "hard"):
        assert (tmp_path / "out" / name).read_bytes() == b"abc"
        assert not (tmp_path / "out" / name).is_symlink()


@pytest.mark.parametrize(("target", "is_good"), [("a.txt", True), ("../outside", False)])
def test_links_of_a_zip(tmp_path, target, is_good):
    info = zipfile.ZipInfo("link")
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = write_zip(tmp_path / "a.zip", {"a.txt": "abc", info: target})
    if is_good:
        extract_archive(path, tmp_path / "out")
        assert (tmp_path / "out" / "link").read_text() == "abc"
        assert not (tmp_path / "out" / "link").is_symlink()
    else:
        with pytest.raises(ValueError, match="the link 'link' to '../outside'"):
            extract_archive(path, tmp_path / "out")


def test_archive_larger_than_the_disk_writes_nothing(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "a.zip", {"a.txt": bytes(2000), "b.txt": bytes(2000)})
    usage = type("Usage", (), {"free": 3000})
    monkeypatch.setattr(file_utils.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match="needs 4000 more bytes.*3000 bytes free"):
        extract_archive(path, tmp_path / "out")
    assert files_below(tmp_path) == ["a.zip"]
    (tmp_path / "out" / "a.txt").write_bytes(bytes(2000))
    assert extract_archive(path, tmp_path / "out")


def test_damaged_archive_leaves_no_partial_file(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.txt": bytes(range(256)) * 10})
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="whole archive was expected.*CRC"):
        extract_archive(path, tmp_path / "out")
    assert files_below(tmp_path / "out") == []


def test_no_format_extracts_nothing(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.txt": "a"})
    assert extract_archive(path, tmp_path / "out", None) is False
    assert extract_archive(path, tmp_path / "out", "tar") is False
    assert not (tmp_path / "out").exists()


def test_pipes_in_the_cache_and_at_a_url_are_not_opened(tmp_path):
    (tmp_path / "cache" / "datasets").mkdir(parents=True)
    os.mkfifo(tmp_path / "cache" / "datasets" / "a")
    os.mkfifo(tmp_path / "b")
    for name in ("a", "b"):
        with pytest.raises(OSError, match="regular file was expected.*a pipe"):
            get_file(name, (tmp_path / "b").as_uri(), cache_dir=tmp_path / "cache", file_hash="0")


def test_archives_out_of_proportion(tmp_path, monkeypatch):
    monkeypatch.setattr(file_utils, "_FREE_BYTES", 1000)
    monkeypatch.setattr(file_utils, "_FREE_ENTRIES", 3)
    folder = tmp_path / "out"
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**6))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("noise", bytes(10**6))
    with pytest.raises(ValueError, match="1000000 bytes or more in .*a.zip of"):
        extract_archive(tmp_path / "a.zip", folder)
    assert extract_archive(tmp_path / "b.zip", folder)
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as archive:
        for i in range(500):
            archive.addfile(tarfile.TarInfo(f"{i}"))
    with pytest.raises(ValueError, match="entries or more in .*c.tar.gz of"):
        extract_archive(tmp_path / "c.tar.gz", folder)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_damage_in_a_compressed_tar_is_found_to_its_checksum(tmp_path, kind):
    path = tmp_path / f"a.tar.{kind}"
    with tarfile.open(path, f"w:{kind}") as archive:
        info = tarfile.TarInfo("a")
        info.size = 2000
        archive.addfile(info, io.BytesIO(os.urandom(2000)))
    data = path.read_bytes()
    assert extract_archive(path, tmp_path / "good")
    told = 0
    for place in range(60, len(data), 97):
        path.write_bytes(data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :])
        try:
            assert not extract_archive(path, tmp_path / "out")  # its first block is no tar's
        except ValueError as error:
            assert "A whole archive was expected. Received: " in str(error)
            told += 1
        assert not (tmp_path / "out").exists()
    assert told > 10 or kind != "gz"


def test_other_bytes_after_a_compressed_tar_are_no_damage(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    path.write_bytes(path.read_bytes() + b"signed by somebody")
    assert extract_archive(path, tmp_path / "out")
    assert (tmp_path / "out" / "a").exists()


def test_what_is_no_file_has_no_hash(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match="A regular file was expected"):
            hash_file(path)
