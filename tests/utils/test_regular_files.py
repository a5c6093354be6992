"""Files of strangers: pipes, devices, circles of links and absurd sizes are not opened."""

import os

import pytest

from torchkeras.core import files
from torchkeras.utils.regular_files import open_regular, regular_files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    for name in ("b/2.txt", "b/1.TXT", "b/deep/3.txt", "a/4.txt", "0.txt", "b/5.png"):
        (tmp_path / name).write_text(name)
    return tmp_path


def found(folder, follow_links=False):
    paths = regular_files(str(folder), (".txt",), follow_links)
    return [os.path.relpath(path, folder) for path in paths]


def test_files_come_by_folder_and_name(folder):
    assert found(folder) == ["0.txt", "a/4.txt", "b/1.TXT", "b/2.txt", "b/deep/3.txt"]


def test_what_is_no_regular_file_is_passed_over(folder):
    os.mkfifo(folder / "pipe.txt")
    os.symlink("/dev/zero", folder / "device.txt")
    os.symlink(folder / "pipe.txt", folder / "to_pipe.txt")
    os.symlink(folder / "nowhere", folder / "broken.txt")
    os.symlink(folder / "self.txt", folder / "self.txt")
    os.symlink(folder / "a" / "4.txt", folder / "b" / "link.txt")
    (folder / "folder.txt").mkdir()
    assert found(folder) == ["0.txt", "a/4.txt", "b/1.TXT", "b/2.txt", "b/link.txt", "b/deep/3.txt"]


def test_folders_behind_links_are_visited_once_if_asked(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "6.txt").write_text("")
    os.symlink(other, folder / "a" / "out")
    os.symlink(other, folder / "a" / "again")
    os.symlink(folder, folder / "b" / "circle")
    os.symlink(folder / "b", folder / "b" / "deep" / "up")
    plain = ["0.txt", "a/4.txt", "b/1.TXT", "b/2.txt", "b/deep/3.txt"]
    assert found(folder) == plain
    names = [os.path.basename(path) for path in found(folder, follow_links=True)]
    assert sorted(names) == ["0.txt", "1.TXT", "2.txt", "3.txt", "4.txt", "6.txt"]


def test_opening_refuses_pipes_devices_and_absurd_sizes(folder, monkeypatch):
    os.mkfifo(folder / "pipe")
    os.symlink("/dev/zero", folder / "device")
    for name in ("pipe", "device", "a"):
        with pytest.raises(OSError, match=name):
            open_regular(folder / name)
    with open(folder / "huge.txt", "wb") as file:
        file.truncate(files.MAX_FILE_BYTES + 1)  # no block of it is on the disk
    with pytest.raises(ValueError, match=r"huge.txt of 2147483649 bytes"):
        open_regular(folder / "huge.txt")
    with open_regular(folder / "0.txt") as file:
        assert file.read() == b"0.txt"
    with pytest.raises(FileNotFoundError):
        open_regular(folder / "none")
