"""Dot: a graph as text in the DOT language, and the picture that graphviz makes of it.

The picture is made by a `dot` program or by the graphviz inside the pygraphviz wheel, whichever
there is, in a process of its own.
"""

import functools
import html
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile

from torchkeras.saving.atomic import atomic_write

_EDGE_COLOR = "#455a64"
# Reads DOT text from stdin, writes the picture to stdout. Warnings of the fontconfig inside the
# wheel go straight to stderr, which a process of its own keeps from the user's terminal.
_PYGRAPHVIZ = """
import sys
sys.path.append(sys.argv[2])
import pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""
_FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
_FONT_CONFIG = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
<dir>{folder}</dir><cachedir>{folder}</cachedir>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
</fontconfig>
"""


class Dot:
    """A graph to be drawn: what `model_to_dot` returns.

    It has the methods of `pydot.Dot` that make pictures: `to_string`, `create`, `write`, and
    `create_<format>` and `write_<format>` for png, svg and pdf.

    Args:
        keyword: "digraph", or "subgraph" for a part of another graph.
        name: str, identifier of the graph.
        attributes: dict of graphviz's attributes of the graph.
        label: str in graphviz's HTML-like notation, written at the graph; or None.

    Attributes:
        nodes: dict of an identifier to the HTML-like label of its box.
        edges: dict whose keys are pairs of identifiers, (source, destination), in order.
        subgraphs: list of Dot, the nested models.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> dot = keras.utils.model_to_dot(model)
    >>> dot.set("bgcolor", "transparent")
    >>> 'bgcolor="transparent"' in dot.to_string()
    True
    """

    def __init__(self, keyword="digraph", name="model", attributes=None, label=None):
        self.keyword = keyword
        self.name = name
        self.attributes = dict(attributes or {})
        self.label = label
        self.nodes = {}
        self.edges = {}
        self.subgraphs = []

    def set(self, name, value):
        """Set an attribute of the graph, such as `bgcolor` or `ranksep`."""
        self.attributes[name] = value

    def to_string(self):
        """The graph in the DOT language."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self):
        yield f"{self.keyword} {_quote(self.name)} {{"
        for name, value in self.attributes.items():
            yield f"{name}={_quote(value)};"
        if self.label is not None:
            yield f"label=<{self.label}>;"
        if self.keyword == "digraph":
            yield 'node [shape="plain", fontname="Helvetica"];'
            yield f'edge [penwidth="2", color="{_EDGE_COLOR}"];'
        for node, label in self.nodes.items():
            yield f"{node} [label=<{label}>];"
        for subgraph in self.subgraphs:
            yield from subgraph._lines()
        for source, destination in self.edges:
            yield f"{source} -> {destination};"
        yield "}"

    def create(self, prog=None, format="png"):
        """The picture.

        Args:
            prog: path of the `dot` program; None or "dot" for the one that is found, or else the
                graphviz of pygraphviz.
            format: str, "png", "svg", "pdf" or another of graphviz's formats; "dot" and "raw" are
                the text itself.

        Returns:
            bytes.

        Raises:
            ImportError: there is no graphviz.
            ValueError: graphviz cannot draw it, as in an unknown format.
        """
        if format in ("dot", "gv", "raw"):
            return self.to_string().encode()
        return _render(self.to_string(), prog, format)

    def write(self, path, prog=None, format="raw"):
        """Write the picture to a file, which is replaced only once the picture is there.

        Args:
            path: str or path.
            prog, format: as in `create`. The default is the DOT text.

        Raises:
            ImportError, ValueError: as in `create`.
        """
        content = self.create(prog, format)
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            file.write(content)

    create_png = functools.partialmethod(create, format="png")
    create_svg = functools.partialmethod(create, format="svg")
    create_pdf = functools.partialmethod(create, format="pdf")
    write_png = functools.partialmethod(write, format="png")
    write_svg = functools.partialmethod(write, format="svg")
    write_pdf = functools.partialmethod(write, format="pdf")


def _quote(value):
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _render(text, prog, format):
    """What graphviz makes of DOT text, as bytes."""
    commands = _commands(prog, format)
    if not commands:
        raise ImportError(
            "plot_model draws with graphviz. Received: no `dot` program and no pygraphviz on this "
            'machine. Run: pip install "torchkeras[plot]"'
        )
    problems = []
    with tempfile.TemporaryDirectory(prefix="torchkeras-plot-") as folder:
        for command in commands:
            done = subprocess.run(
                command,
                input=text.encode(),
                capture_output=True,
                env=_environment(folder),
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            if done.returncode == 0 and done.stdout:
                return done.stdout
            problems += done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    raise ValueError(
        f"graphviz can draw formats such as png, svg and pdf. Received: format={format!r}, for "
        f"which it failed: {' / '.join(problems) or 'without a message'}. Try svg, or another "
        "`splines`, such as 'polyline'."
    )


def _commands(prog, format):
    """Ways to run graphviz on this machine, the first choice first."""
    found = []
    program = shutil.which(prog or "dot")
    if program and os.path.isabs(program):  # on Windows the current folder would be searched
        found.append([program, f"-T{format}"])
    spec = importlib.util.find_spec("pygraphviz") if prog in (None, "dot") else None
    if spec is not None and spec.origin:
        folder = os.path.dirname(os.path.dirname(spec.origin))
        found.append([sys.executable, "-I", "-c", _PYGRAPHVIZ, format, folder])
    return found


def _environment(folder):
    """Variables for graphviz; where the machine has no font, they name Pillow's built-in one.

    Slim containers have none, and graphviz draws an empty box for each letter. Pillow is there,
    as tensorboard needs it. `folder` is empty and takes the font.
    """
    environment = dict(os.environ)
    if sys.platform != "linux" or environment.keys() & {"FONTCONFIG_FILE", "FONTCONFIG_PATH"}:
        return environment
    folders = [os.path.expanduser(name) for name in _FONT_FOLDERS]
    if any(files for name in folders for _, _, files in os.walk(name)):
        return environment
    from PIL import ImageFont

    with open(os.path.join(folder, "font.ttf"), "wb") as file:
        file.write(ImageFont.load_default(12).font_bytes)
    path = os.path.join(folder, "fonts.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(_FONT_CONFIG.format(folder=html.escape(folder)))
    return {**environment, "FONTCONFIG_FILE": path}
