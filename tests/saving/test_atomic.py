import errno
import os
import stat

import pytest

from torchkeras.saving.atomic import atomic_write


def write(path, text):
    with atomic_write(path) as temporary, open(temporary, "w") as file:
        file.write(text)


def test_new_file_and_replacement(tmp_path):
    path = tmp_path / "a.txt"
    write(path, "old")
    assert path.read_text() == "old"
    write(str(path), "new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("a.txt", "x")
    assert (tmp_path / "a.txt").read_text() == "x"


def test_name_of_the_longest_length(tmp_path):
    for name in ("a" * 255, "é" * 127):
        write(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"


def test_the_place_keeps_the_old_file_until_the_end(tmp_path):
    path = tmp_path / "a.txt"
    write(path, "old")
    with atomic_write(path) as temporary:
        assert os.path.dirname(os.path.dirname(temporary)) == str(tmp_path)
        with open(temporary, "w") as file:
            file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
def test_error_inside_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    write(path, "old")
    with pytest.raises(error), atomic_write(path) as temporary:
        with open(temporary, "w") as file:
            file.write("half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def fail_with(number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_error_of_the_system_leaves_the_old_file(tmp_path, monkeypatch, function):
    path = tmp_path / "a.txt"
    write(path, "old")
    with monkeypatch.context() as patch, pytest.raises(OSError) as caught:
        patch.setattr(os, function, fail_with(errno.ENOSPC))
        write(path, "new")
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_file_and_folder_are_flushed_in_order(tmp_path, monkeypatch):
    events = []
    real_flush, real_replace = os.fsync, os.replace
    monkeypatch.setattr(
        os,
        "fsync",
        lambda d: (events.append(stat.S_ISDIR(os.fstat(d).st_mode)), real_flush(d)),
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("replace"), real_replace(a, b)))
    write(tmp_path / "a.txt", "x")
    assert events == [False, "replace", True]


@pytest.mark.parametrize("number, raises", [(errno.EINVAL, False), (errno.EIO, True)])
def test_folder_that_cannot_be_flushed(tmp_path, monkeypatch, number, raises):
    real = os.fsync

    def fsync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            fail_with(number)()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if raises:
        with pytest.raises(OSError, match="Input/output"):
            write(tmp_path / "a.txt", "x")
    else:
        write(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").read_text() == "x"  # it was renamed before


@pytest.mark.parametrize("mask, expected", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, mask, expected):
    old = os.umask(mask)
    try:
        with atomic_write(tmp_path / "a.txt") as temporary:
            # Some writers put a private file of their own in the place of the temporary one.
            os.remove(temporary)
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == expected


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666, 0o200])
def test_a_replaced_file_keeps_its_permissions(tmp_path, mode):
    path, link = tmp_path / "a.txt", tmp_path / "link.txt"
    path.write_text("old")
    path.chmod(mode)
    link.symlink_to(path)
    for place in (path, link):  # of a link those of its target count
        write(place, "new")
        assert path.stat().st_mode & 0o777 == mode
    assert link.is_symlink()


root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away"
)


@root
def test_a_replaced_file_keeps_its_owner(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    os.chown(path, 12345, 54321)
    path.chmod(0o640)
    write(path, "new")
    status = path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (12345, 54321, 0o640)


@root
def test_no_group_gets_what_another_one_had(tmp_path):
    """Who may write to the folder, but not give a file to its group."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    os.chown(path, 0, 54321)
    path.chmod(0o664)
    modes = {p: p.stat().st_mode for p in (tmp_path, *tmp_path.parents)}
    for folder, mode in modes.items():
        folder.chmod(mode | 0o055)
    tmp_path.chmod(0o777)
    try:
        os.seteuid(65534)
        write(path, "new")
    finally:
        os.seteuid(0)
        for folder, mode in modes.items():
            folder.chmod(mode)
    assert path.read_text() == "new"
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (65534, 0o644)


def test_unfinished_files_are_private(tmp_path):
    with atomic_write(tmp_path / "a.txt") as temporary:
        assert os.stat(os.path.dirname(temporary)).st_mode & 0o777 == 0o700


def test_symbolic_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "store").mkdir()
    target, link = tmp_path / "store" / "real.txt", tmp_path / "latest.txt"
    target.write_text("old")
    link.symlink_to(target)
    write(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert os.listdir(tmp_path / "store") == ["real.txt"]


def test_link_to_nothing_makes_its_target(tmp_path):
    (tmp_path / "link.txt").symlink_to(tmp_path / "target.txt")
    write(tmp_path / "link.txt", "x")
    assert (tmp_path / "target.txt").read_text() == "x"


def test_folder_as_path(tmp_path):
    with pytest.raises(IsADirectoryError, match="which is a folder"):
        write(tmp_path, "x")
    assert os.listdir(tmp_path) == []


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="which is a pipe, a socket or a device"):
        write(tmp_path / "pipe", "x")
    assert os.listdir(tmp_path) == ["pipe"]


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="makedirs"):
        write(tmp_path / "missing" / "a.txt", "x")
    assert not (tmp_path / "missing").exists()


def test_read_only_folder(tmp_path):
    path = tmp_path / "a.txt"
    write(path, "old")
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    changed = [p for p in (tmp_path, *tmp_path.parents) if p.stat().st_mode & 0o005 != 0o005]
    modes = {p: p.stat().st_mode for p in {tmp_path, *changed}}
    for folder in changed:
        folder.chmod(0o755)
    tmp_path.chmod(0o555)
    try:
        if is_root:
            os.seteuid(65534)  # root may write anywhere
        with pytest.raises(PermissionError):
            write(path, "new")
        assert path.read_text() == "old"
    finally:
        if is_root:
            os.seteuid(0)
        for folder, mode in modes.items():
            folder.chmod(mode)
    assert os.listdir(tmp_path) == ["a.txt"]
