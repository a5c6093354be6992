"""Files with flipped bits, and files that are cut off: refused in words, or read as they were."""

import json
import subprocess
import sys

import pytest

from tests.processes import REPOSITORY

pytest.importorskip("h5py")
pytest.importorskip("PIL")
if not sys.platform.startswith("linux"):
    pytest.skip("limits and peaks are those of Linux", allow_module_level=True)

from tests.attacks.damage import FORMATS  # noqa: E402


def outcomes(folder, flips, cuts, names):
    """What the referee tells of each damaged file."""
    command = [sys.executable, "-m", "tests.attacks.damage", str(folder), str(flips), str(cuts)]
    done = subprocess.run(
        [*command, *names], cwd=REPOSITORY, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def faults(told):
    """What is wrong with one of them."""
    kind, outcome, found = FORMATS[told["format"]], told["outcome"], []
    documented = ("ValueError", "OSError") + ("TypeError",) * (told["format"] == "json config")
    if outcome == "accepted":
        if kind.is_checked and told["is_other"]:
            found.append("it is read as another one")
    elif outcome not in documented:
        found.append(f"{outcome}: {told['error'][-1000:]}")
    elif kind.is_ours and outcome != "TypeError":
        if not any(words in told["error"] for words in ("Received", "cannot be made here")):
            found.append(f"not in our words: {told['error'][:1000]}")
    if told.get("seconds", 0) > 2:
        found.append(f"{told['seconds']} seconds")
    if told.get("bytes", 0) > 300e6:
        found.append(f"{told['bytes']} bytes of memory")
    if told.get("canary"):
        found.append(f"it could call {told['canary']}")
    return found


def check(folder, flips, cuts, names):
    told = outcomes(folder, flips, cuts, names)
    assert len(told) == (flips + cuts) * len(names)
    found = {f"{one['format']}, {one['name']}": faults(one) for one in told}
    assert {name: problems for name, problems in found.items() if problems} == {}
    return told


def test_a_sample_of_damage(tmp_path):
    names = ["safetensors model", "hdf5 weights", "sharded checkpoint", "json config", "tar.gz"]
    told = check(tmp_path, 8, 3, names)
    assert sum(one["outcome"] != "accepted" for one in told) > 25


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", FORMATS)
def test_all_damage(tmp_path, name):
    check(tmp_path, 200, 60, [name])


def test_what_is_read_as_another_one_is_found():
    told = {"format": "npz", "outcome": "accepted", "is_other": True, "seconds": 3, "canary": ["x"]}
    assert len(faults(told)) == 3
    assert faults({"format": "npz", "outcome": "EOFError", "error": "Received"}) != []
    assert faults({"format": "npz", "outcome": "ValueError", "error": "no"}) != []
