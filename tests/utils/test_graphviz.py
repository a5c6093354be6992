"""Dot: the text it writes, and which graphviz makes the picture."""

import importlib.util
import os
import stat
import sys

import pytest

from torchkeras.utils import graphviz
from torchkeras.utils.graphviz import Dot

needs_wheel = pytest.mark.skipif(
    importlib.util.find_spec("pygraphviz") is None, reason="needs pygraphviz (the extra [plot])"
)
needs_posix = pytest.mark.skipif(
    os.name != "posix", reason="the stand-in for dot is a shell script"
)


def two_boxes():
    dot = Dot()
    dot.nodes = {"a": "<b>first</b>", "b": "second"}
    dot.edges = {("a", "b"): None}
    return dot


def put_dot(folder, monkeypatch, script):
    """Make a shell script the only `dot` on the PATH."""
    program = folder / "dot"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin")
    return program


def without_wheel(monkeypatch):
    monkeypatch.setattr(graphviz.importlib.util, "find_spec", lambda name: None)


def test_text_of_a_graph():
    dot = Dot(attributes={"dpi": 96}, label="the <i>label</i>")
    dot.nodes["a"] = "<b>x</b>"
    inner = Dot("subgraph", "cluster_0")
    inner.nodes["b"] = "y"
    dot.subgraphs.append(inner)
    dot.edges["a", "b"] = None
    lines = dot.to_string().splitlines()
    assert lines[:2] == ['digraph "model" {', 'dpi="96";']
    assert "label=<the <i>label</i>>;" in lines
    assert "a [label=<<b>x</b>>];" in lines
    start = lines.index('subgraph "cluster_0" {')
    assert lines[start + 1 : start + 3] == ["b [label=<y>];", "}"]
    assert lines[-2:] == ["a -> b;", "}"]


def test_quotes_and_backslashes_of_attributes_stay_inside_their_string():
    dot = Dot(attributes={"comment": '"; evil [label="\\'})
    assert 'comment="\\"; evil [label=\\"\\\\";' in dot.to_string().splitlines()


def test_the_text_itself_needs_no_graphviz(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    without_wheel(monkeypatch)
    dot = two_boxes()
    dot.write(tmp_path / "graph.txt")
    assert (tmp_path / "graph.txt").read_text() == dot.to_string()
    assert dot.create(format="dot") == dot.create(format="gv") == dot.to_string().encode()


def test_no_graphviz_is_one_error_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    without_wheel(monkeypatch)
    with pytest.raises(ImportError, match=r'pip install "torchkeras\[plot\]"'):
        two_boxes().write_png(tmp_path / "model.png")
    assert list(tmp_path.iterdir()) == []


@needs_posix
def test_a_dot_program_comes_first(tmp_path, monkeypatch):
    put_dot(tmp_path, monkeypatch, 'echo "drawn with $*:"; cat')
    dot = two_boxes()
    expected = b"drawn with -Tsvg:\n" + dot.to_string().encode()
    assert dot.create_svg() == dot.create(prog="dot", format="svg") == expected


@needs_posix
def test_prog_may_be_a_path(tmp_path, monkeypatch):
    program = put_dot(tmp_path, monkeypatch, "echo other")
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    assert two_boxes().create(str(program), "png") == b"other\n"


@needs_posix
def test_a_program_in_a_relative_folder_is_not_run(tmp_path, monkeypatch):
    put_dot(tmp_path, monkeypatch, "echo planted")
    without_wheel(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".")
    with pytest.raises(ImportError, match="no `dot` program"):
        two_boxes().create_png()


@needs_posix
def test_error_quotes_graphviz_and_leaves_the_old_file(tmp_path, monkeypatch):
    put_dot(tmp_path, monkeypatch, "echo 'Format: xyz not recognized' >&2; exit 1")
    without_wheel(monkeypatch)
    path = tmp_path / "model.xyz"
    path.write_text("old")
    with pytest.raises(ValueError, match="format='xyz'.*Format: xyz not recognized"):
        two_boxes().write(path, format="xyz")
    assert path.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dot", "model.xyz"]


@needs_wheel
@needs_posix
def test_the_wheel_draws_where_the_program_fails(tmp_path, monkeypatch):
    put_dot(tmp_path, monkeypatch, "exit 3")
    assert two_boxes().create_png().startswith(b"\x89PNG\r\n")


@needs_wheel
@pytest.mark.parametrize(
    "format, start", [("png", b"\x89PNG\r\n"), ("svg", b"<?xml "), ("pdf", b"%PDF-")]
)
def test_the_wheel_alone_draws(tmp_path, monkeypatch, capfd, format, start):
    monkeypatch.setenv("PATH", str(tmp_path))
    dot = two_boxes()
    getattr(dot, f"write_{format}")(tmp_path / "picture")
    assert (tmp_path / "picture").read_bytes().startswith(start)
    assert getattr(dot, f"create_{format}")().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == ["picture"]
    assert capfd.readouterr() == ("", "")


@needs_wheel
def test_unknown_format_with_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="format='xyz'"):
        two_boxes().create(format="xyz")


@needs_wheel
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system has fonts")
def test_letters_where_the_machine_has_no_font(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("FONTCONFIG_FILE", "FONTCONFIG_PATH"):
        monkeypatch.delenv(variable, raising=False)
    with_system_fonts = two_boxes().create_pdf()
    monkeypatch.setattr(graphviz, "_FONT_FOLDERS", (str(tmp_path),))
    without_system = graphviz._FONT_CONFIG.replace("/etc/fonts", str(tmp_path))
    monkeypatch.setattr(graphviz, "_FONT_CONFIG", without_system)
    assert b"Aileron" in two_boxes().create_pdf()
    assert b"Aileron" not in with_system_fonts
