"""Runs attacks, each in a process of its own with limits, and tells what became of them as JSON.

`python -m tests.attacks.referee FOLDER [NAME ...]`: the libraries are imported once, and each
attack is made and sprung in a fork. A spring is refused, or ends in order; what it took is counted
from the moment before it. Any way to run code or to reach the network leaves its name in `canary`.
"""

import json
import os
import pathlib
import resource
import signal
import sys
import tempfile
import time
import traceback

SECONDS = 40  # of processor time after which an attack is killed
_FORBIDDEN = (
    "os.system os.exec os.posix_spawn os.spawn os.fork os.forkpty subprocess.Popen "
    "pickle.find_class socket.connect socket.getaddrinfo ctypes.dlopen"
).split()

_CHANGES = frozenset("os.remove os.rename os.mkdir os.rmdir os.link os.symlink os.truncate".split())
_REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def peak_bytes():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def reset_peak():
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def watch(*folders):
    """A list that from now on gets a word for each event that no reader has a reason for.

    They are ways to run code and to reach the network, and files outside of the folders that are
    written, or read although they belong to no library.
    """
    touched = []
    inside = tuple(os.path.realpath(folder) + os.sep for folder in folders)
    readable = (*inside, *map(os.path.realpath, {sys.prefix, sys.base_prefix, *sys.path}))
    readable += ("/proc/", "/sys/", "/dev/urandom", "/usr/", "/lib/", str(_REPOSITORY))

    def hear(event, arguments):
        if event in _FORBIDDEN:
            touched.append(event)
        elif event in _CHANGES or event == "open":
            path = arguments[0]
            if not isinstance(path, (str, bytes)):
                return
            path = os.path.realpath(os.fsdecode(path))
            writes = event != "open" or _writes(*arguments[1:3])
            if path == f"/proc/{os.getpid()}/clear_refs":
                return  # our own
            if not f"{path}/".startswith(inside if writes else readable):
                touched.append(f"{event} {'to write ' if writes else ''}{path}")

    sys.addaudithook(hear)
    return touched


def _writes(mode, flags):
    """Whether an `open` is for writing."""
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def spring(make, folder):
    """What becomes of one attack: a dict."""
    os.makedirs(folder)
    attack = make(pathlib.Path(folder))
    # Archives are unpacked in a folder for temporary files, next to a copy of what was read.
    heard = watch(folder, tempfile.gettempdir())
    reset_peak()
    before, start = peak_bytes(), time.process_time()
    told = {"outcome": "accepted", "error": ""}
    try:
        result = attack()
        told["result"] = result if isinstance(result, str) else ""
    except Exception as error:
        # An error of the package's own is what it is a kind of.
        known = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
        told = {"outcome": known.__name__, "error": str(error)[:4000]}
        if os.environ.get("ATTACKS_TRACE"):
            traceback.print_exc()
    told["seconds"] = time.process_time() - start
    told["bytes"] = peak_bytes() - before
    touched = set(heard)
    return {**told, "canary": sorted(touched), "left": _left(folder)}


def _left(folder):
    """Bytes of files that the attack has made beside those that were its own."""
    made = pathlib.Path(folder) / "written"
    if not made.exists():
        return 0
    return sum(f.lstat().st_blocks * 512 for f in made.rglob("*"))


def judge(name, make, folder):
    """The dict of `spring` from a fork that may die in any way."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
        resource.setrlimit(resource.RLIMIT_AS, (_virtual_bytes() + 12 * 2**30,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(SECONDS)  # waits that take no processor time: a pipe, say
        try:
            told = spring(make, folder)
        except BaseException:
            told = {"outcome": "failed", "error": traceback.format_exc()}
        os.write(write, json.dumps(told).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    _, status = os.waitpid(child, 0)
    if not text:
        text = json.dumps({"outcome": "killed", "error": f"by signal {os.WTERMSIG(status)}"})
    return {"name": name, **json.loads(text)}


def _virtual_bytes():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main(folder, names):
    import mimetypes

    import torch

    from tests.attacks import arsenal, arsenal_costs  # noqa: F401

    mimetypes.init()  # it reads the system's list, at the first URL
    torch.set_num_threads(1)
    arsenal.warm_up(pathlib.Path(folder))
    for name, attack in arsenal.ATTACKS.items():
        if not names or name in names:
            told = judge(name, attack.make, os.path.join(folder, name))
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
