"""Hostile files over all readers: refused in words, soon, in little memory, and nothing runs."""

import json
import subprocess
import sys

import pytest

from tests.attacks import arsenal, arsenal_costs  # noqa: F401
from tests.processes import REPOSITORY

pytest.importorskip("h5py")
if not sys.platform.startswith("linux"):
    pytest.skip("limits and peaks are those of Linux", allow_module_level=True)

QUICK = [name for name, attack in arsenal.ATTACKS.items() if attack.quick]
SLOW = {}  # by kind
for _name, _attack in arsenal.ATTACKS.items():
    if not _attack.quick:
        SLOW.setdefault(_name.split()[0].strip(":,"), []).append(_name)
FREE_BYTES = 2**27  # that a refused archive may have left on the disk: its own copy


def outcomes(folder, names):
    """`{name: what the referee tells}`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.referee", str(folder), *names],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr
    return {told["name"]: told for told in map(json.loads, done.stdout.splitlines())}


def faults(told):
    """What is wrong with the outcome of an attack."""
    attack = arsenal.ATTACKS[told["name"]]
    found = []
    refused = told["outcome"] in ("ValueError", "OSError", "FileNotFoundError", "IsADirectoryError")
    if not refused and not (attack.may_pass and told["outcome"] == "accepted"):
        found.append(f"{told['outcome']}: {told['error'][-1000:]}")
    elif refused and not any(t in told["error"] for t in ("Received", "cannot be made here")):
        found.append(f"not in our words: {told['error'][:1000]}")
    if told.get("seconds", 0) > attack.seconds:
        found.append(f"{told['seconds']} seconds")
    if told.get("bytes", 0) > attack.megabytes * 1e6:
        found.append(f"{told['bytes']} bytes of memory")
    if told.get("left", 0) > FREE_BYTES:
        found.append(f"{told['left']} bytes on the disk")
    if told.get("canary"):
        found.append(f"it could call {told['canary']}")
    return found


def check(folder, names):
    found = outcomes(folder, names)
    assert set(found) == set(names)
    assert {name: faults(told) for name, told in found.items() if faults(told)} == {}


def test_a_sample_of_attacks(tmp_path):
    check(tmp_path, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SLOW)
def test_all_other_attacks(tmp_path, kind):
    check(tmp_path, SLOW[kind])


def test_the_referee_tells_of_deaths_and_canaries(tmp_path):
    program = """
import json, os, sys
from tests.attacks import referee
for make in (
    lambda folder: os.abort,
    lambda folder: lambda: os.system("true"),
    lambda folder: lambda: bytearray(b"x" * 2**26),
    lambda folder: lambda: {}["x"],
):
    print(json.dumps(referee.judge("x", make, sys.argv[1] + str(id(make)))))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    died, called, took, failed = map(json.loads, done.stdout.splitlines())
    assert died["outcome"] == "killed"
    assert called["canary"] == ["os.system"]
    assert took["bytes"] > 2**26
    assert failed["outcome"] == "KeyError"
