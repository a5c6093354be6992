"""The guides keep their word: their Python runs, prints what they say, and their links lead on."""

import importlib.util
import pathlib
import re
import textwrap

import pytest

from tests.documents import run_python_blocks
from torchkeras.utils import graphviz

GUIDES = sorted((pathlib.Path(__file__).parents[1] / "docs").glob("*.md"))


def test_there_are_guides():
    assert "chapter7.md" in [guide.name for guide in GUIDES]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_python_blocks_run_one_after_the_other(guide, tmp_path, monkeypatch):
    text = guide.read_text(encoding="utf-8")
    can_draw = importlib.util.find_spec("pygraphviz") or graphviz.shutil.which("dot")
    if "plot_model(" in text and not can_draw:
        pytest.skip("needs pygraphviz (the extra [plot]) or a dot program")
    monkeypatch.chdir(tmp_path)
    _, promises = run_python_blocks(guide)
    assert promises


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_links_and_pictures_lead_somewhere(guide):
    text = guide.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        else:
            assert link.startswith("https://") or (guide.parent / link).exists(), link


def test_a_broken_promise_is_found(tmp_path):
    guide = tmp_path / "guide.md"
    guide.write_text("```python\nx = 1\n```\n\n```python\nprint(x)  # 1\nprint(x)  # 2\n```\n")
    with pytest.raises(AssertionError, match="'2' is not in its place"):
        run_python_blocks(guide)
    guide.write_text(textwrap.dedent(guide.read_text()).replace("# 2", "# 1"))
    assert run_python_blocks(guide)[1] == 2
