import os
import socket
import sys

import pytest

from torchkeras.core.files import check_regular, open_regular


def test_other_kinds_of_files_are_not_even_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the paths of sockets are short
    os.mkfifo("pipe")
    os.symlink("pipe", "link")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("socket")
    opened, now = [], [True]
    sys.addaudithook(lambda event, args: opened.append(args) if event == "open" and now else None)
    kinds = {"pipe": "a pipe", "link": "a pipe", "socket": "a socket", "/dev/zero": "a device"}
    for path, kind in {**kinds, ".": "a folder"}.items():
        for read in (open_regular, check_regular):
            with pytest.raises(OSError, match=f"Received: {path}, which is {kind}"):
                read(path)
    assert [args for args in opened if args[0] in {*kinds, "."}] == []
    now.clear()
    listening.close()


def test_links_to_files_are_read_and_links_to_nothing_are_told(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "lost").symlink_to("nothing")
    (tmp_path / "circle").symlink_to("circle")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"x"
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "lost")
    with pytest.raises(OSError, match="a link to itself"):
        open_regular(tmp_path / "circle")
    with pytest.raises(ValueError, match="A file of at most 0 bytes"):
        open_regular(tmp_path / "file", most_bytes=0)
