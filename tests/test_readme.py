"""The README keeps its word: its commands have one form, its Python runs, its links lead on."""

import pathlib
import re

import pytest

from tests.documents import blocks, run_python_blocks

REPOSITORY = pathlib.Path(__file__).parents[1]
README = REPOSITORY / "README.md"


def test_first_two_blocks_are_commands_of_one_line():
    commands = blocks(README.read_text(encoding="utf-8"))[:2]
    for (language, text), last in zip(
        commands, ("examples/mnist.py", "-m pytest -n auto"), strict=True
    ):
        assert language == ""
        assert text.count("\n") == 1
        steps = text.strip().split(" && ")
        assert steps[0].startswith("python3 -m venv ")
        # torch before the project: pip would choose another build for it.
        assert steps[1].endswith("pip install torch==2.13.0")
        assert "pip install -e" in steps[2]
        assert steps[3].endswith(last)


@pytest.mark.parametrize("command", ["-m pytest -n auto", "-m pytest -n auto -m slow"])
def test_the_commands_of_the_tests_are_the_same_everywhere(command):
    for file in ("README.md", "CONTRIBUTING.md", ".ci/run"):
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        assert re.search(rf"python {command}( -q)?(`|$)", text, flags=re.MULTILINE), file


def test_python_blocks_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace, promises = run_python_blocks(README)
    assert promises
    assert namespace["accuracy"] > 0.8
    assert namespace["probabilities"].shape == (500, 10)


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_to_files_lead_somewhere(file):
    text = (REPOSITORY / file).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (REPOSITORY / link).exists(), link
