"""The README keeps its word: its commands have one form, its Python runs, its links lead on."""

import pathlib
import re

import pytest

REPOSITORY = pathlib.Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_first_two_blocks_are_commands_of_one_line():
    for (language, text), last in zip(BLOCKS[:2], ("examples/mnist.py", "pytest"), strict=True):
        assert language == ""
        assert text.count("\n") == 1
        steps = text.strip().split(" && ")
        assert steps[0].startswith("python3 -m venv ")
        # torch before the project: pip would choose another build for it.
        assert steps[1].endswith("pip install torch==2.13.0")
        assert "pip install -e" in steps[2]
        assert steps[3].endswith(last)


def test_python_blocks_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    for number, (language, text) in enumerate(BLOCKS):
        if language == "python":
            code = compile(text, f"README.md, block {number}", "exec")
            exec(code, namespace)
    printed = capsys.readouterr().out
    # What a comment beside a `print` promises is what it printed.
    promises = re.findall(r"^print\(.*\)  # (.*)$", README, flags=re.MULTILINE)
    assert promises
    for promise in promises:
        assert promise in printed
    assert namespace["accuracy"] > 0.8
    assert namespace["probabilities"].shape == (500, 10)


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_to_files_lead_somewhere(file):
    text = (REPOSITORY / file).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (REPOSITORY / link).exists(), link
