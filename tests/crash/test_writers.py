"""Whoever is killed at whatever moment leaves the old file or the new one, and nothing for good."""

import os
import signal
import sys

import pytest

from tests.crash import killing
from tests.crash.forks import Child
from tests.crash.writers import WRITERS
from torchkeras.saving.atomic import atomic_write, make_locked, remove_leftovers, scratch_folder

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="processes are forked"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", WRITERS)
def test_killed_at_100_random_moments(server, tmp_path, name):
    seed = random_seed()
    print(f"seed {seed}")
    found = server.call("killing", "kill_at_random", name, tmp_path / "w", seed)
    print(found)
    assert found["problems"] == []
    assert found["whole"] == found["kills"] == 100
    assert found["strays"] == []
    assert found["inside"] >= 30
    if name != "CSVLogger":  # a line has no unfinished file
        assert found["left"] >= 5


def random_seed():
    return int.from_bytes(os.urandom(4), "little")  # other moments each time


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", WRITERS)
def test_killed_before_each_use_of_a_file(server, tmp_path, name):
    found = server.call("killing", "kill_before_each_event", name, tmp_path / "w")
    assert found["events"] >= 4 and found["strays"] == []
    assert found["left"] >= (0 if name == "CSVLogger" else 5)


def test_a_file_killed_before_each_use(tmp_path):
    found = killing.kill_before_each_event("plot_model", tmp_path / "w")
    assert found["events"] >= 10 and found["left"] >= 5 and found["strays"] == []


def write(path, text):
    with atomic_write(path) as temporary, open(temporary, "w") as file:
        file.write(text)


def write_in_steps(writer, path):
    """Write, telling when it is half done, and waiting to be gone on with."""
    with atomic_write(path) as temporary, open(temporary, "w") as file:
        file.write("half ")
        file.flush()
        os.write(writer, b"h")
        os.kill(os.getpid(), signal.SIGSTOP)
        file.write("whole")


@pytest.mark.parametrize("stopped_name", ["a.txt", "b.txt"])
def test_files_of_a_writer_that_lives_stay(tmp_path, stopped_name):
    child = Child(write_in_steps, tmp_path / stopped_name)
    try:
        child.wait_for_byte()
        os.waitpid(child.pid, os.WUNTRACED)  # until it has stopped
        write(tmp_path / "a.txt", "another")
        assert (tmp_path / "a.txt").read_text() == "another"
        assert len(os.listdir(tmp_path)) == 2
    finally:
        child.kill(signal.SIGCONT)
        code, _ = child.wait()
    assert code == 0
    assert (tmp_path / stopped_name).read_text() == "half whole"
    assert set(os.listdir(tmp_path)) == {"a.txt", stopped_name}


def test_files_of_a_killed_writer_go_with_the_next_save(tmp_path):
    child = Child(write_in_steps, tmp_path / "a.txt")
    child.wait_for_byte()
    child.kill()
    child.wait()
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".a.txt.") and left.endswith(".torchkeras-tmp")
    write(tmp_path / "of another name.txt", "x")
    assert os.listdir(tmp_path) == ["of another name.txt"]


def test_a_writer_in_another_thread_of_this_process_is_alive_too(tmp_path):
    with scratch_folder(tmp_path, "a") as scratch:
        write(tmp_path / "b.txt", "x")
        assert os.path.isdir(scratch)
    assert os.listdir(tmp_path) == ["b.txt"]


def test_a_folder_that_was_taken_for_a_leftover_is_made_again(tmp_path, monkeypatch):
    """Before its lock is there, a new folder looks like one that was left."""
    real, taken = os.open, []

    def late(path, flags, *arguments, **options):
        if flags & os.O_EXCL and not taken:
            taken.append(path)
            remove_leftovers(tmp_path)  # another writer
        return real(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", late)
    lock = make_locked(tmp_path / ".x.torchkeras-tmp")
    os.close(lock)
    assert taken and (tmp_path / ".x.torchkeras-tmp" / ".lock").exists()


def test_what_only_looks_like_a_leftover_stays(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".lock").touch()
    (elsewhere / "data").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".link.torchkeras-tmp").symlink_to(elsewhere)  # of somebody who may write here
    (folder / ".file.torchkeras-tmp").touch()
    (folder / ".no lock.torchkeras-tmp").mkdir()
    (folder / ".no lock.torchkeras-tmp" / "data").touch()
    (folder / "shown.torchkeras-tmp").mkdir()
    before = sorted(os.listdir(folder))
    write(folder / "a.txt", "x")
    assert sorted(os.listdir(folder)) == sorted([*before, "a.txt"])
    assert sorted(os.listdir(elsewhere)) == [".lock", "data"]


def test_links_in_a_leftover_are_not_followed(tmp_path):
    (tmp_path / "data").write_text("mine")
    left = tmp_path / ".x.torchkeras-tmp"
    left.mkdir()
    (left / ".lock").touch()
    (left / "link").symlink_to(tmp_path / "data")
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["data"] and (tmp_path / "data").read_text() == "mine"


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*arguments):
        raise OSError(38, "Function not implemented")

    left = tmp_path / ".x.torchkeras-tmp"
    left.mkdir()
    (left / ".lock").touch()
    monkeypatch.setattr(fcntl, "flock", refuse)
    write(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").read_text() == "x"
    assert sorted(os.listdir(tmp_path)) == [left.name, "a.txt"]
