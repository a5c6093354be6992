"""A disk that is full or fails is an OSError of every writer; the old file stays, and no other."""

import errno
import os
import subprocess
import sys

import pytest

from tests.crash.writers import WRITERS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own; where this process may not make one, none."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(folder)]
    try:
        made = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("this process may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", WRITERS)
def test_full_disk(server, small_disk, name):
    found = server.call("disks", "fill", name, small_disk / "w", small_disk / "filler")
    assert found == {"error": errno.ENOSPC, "after": 0, "strays": [], "then": 1, "left": []}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", WRITERS)
def test_limit_of_a_file(server, tmp_path, name):
    found = server.call("disks", "limit", name, tmp_path / "w")
    assert found == {"error": errno.EFBIG, "after": 0, "strays": [], "then": 1, "left": []}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", WRITERS)
def test_disk_that_cannot_flush(server, tmp_path, name):
    if name in ("CSVLogger", "extract_archive"):
        pytest.skip("nothing is flushed: the log is not waited for, the archive can be had again")
    found = server.call("disks", "break_flush", name, tmp_path / "w")
    assert found == {"error": errno.EIO, "after": 0, "strays": [], "then": 1, "left": []}


@pytest.mark.parametrize("name", ["weights.safetensors", "BackupAndRestore"])
def test_disk_that_cannot_flush_a_few(tmp_path, name, monkeypatch):
    from tests.crash import disks

    folder = tmp_path / "w"
    folder.mkdir()
    WRITERS[name].write(folder, 0)
    monkeypatch.setattr(os, "fsync", disks.no_flush)
    with pytest.raises(OSError, match="Input/output error"):
        WRITERS[name].write(folder, 1)
    assert disks.found_in(name, folder) == 0 and disks.strays(name, folder) == []
