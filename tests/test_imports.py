"""Imports run one way: a module imports from its own room and from those before it in the row."""

import ast
import functools
import pathlib
import re

import torchkeras

PACKAGE = pathlib.Path(torchkeras.__file__).parent
CONTRIBUTING = pathlib.Path(__file__).parents[1] / "CONTRIBUTING.md"

# One idea each, in more files than one.
CIRCLES = {
    frozenset({"core/keras_tensor", "core/op_specs", "core/operation", "core/shapes"}),
    frozenset({"models/functional", "models/model"}),
}


def row():
    """The rooms in their order, as CONTRIBUTING.md has them."""
    (block,) = re.findall(r"## Rooms\n.*?```\n(.*?)```", CONTRIBUTING.read_text(), re.DOTALL)
    return block.split()


def room_of(module, rooms):
    """The room of a module: the longest entry that is the module or a folder around it."""
    found = [room for room in rooms if module == room or module.startswith(f"{room}/")]
    assert found, f"{module} stands in no room. Add its folder or file to CONTRIBUTING.md."
    return max(found, key=len)


def imported(source, module, modules):
    """Modules of the package that a source imports, wherever in it the statement stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                folder = ["torchkeras", *module.split("/")[: -node.level]]
                start = ".".join([*folder, *filter(None, [node.module])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, *parts = name.split(".")
            if first == "torchkeras":
                yield _module_at(parts, modules)


def _module_at(parts, modules):
    """The module that a dotted name is or, where it names something in a module, stands in."""
    for end in range(len(parts), -1, -1):
        for path in ("/".join(parts[:end]), "/".join([*parts[:end], "__init__"])):
            if path in modules:
                return path


@functools.cache
def graph():
    """`{module: modules that it imports}`, modules named as `core/config`, `losses/__init__`."""
    files = {p.relative_to(PACKAGE).with_suffix("").as_posix(): p for p in PACKAGE.rglob("*.py")}
    return {
        module: set(imported(path.read_text(encoding="utf-8"), module, files)) - {module}
        for module, path in files.items()
    }


def circles(edges):
    """Sets of modules, each of which reaches all others of its set."""

    def reached(start):
        found, ahead = set(), [start]
        while ahead:
            new = edges[ahead.pop()] - found
            found |= new
            ahead += new
        return found

    ways = {module: reached(module) for module in edges}
    return {
        frozenset(other for other in ways[module] if module in ways[other])
        for module in edges
        if module in ways[module]
    }


def test_modules_import_from_the_rooms_before_their_own():
    rooms = row()
    place = {module: rooms.index(room_of(module, rooms)) for module in graph()}
    backward = {(a, b) for a, found in graph().items() for b in found if place[b] > place[a]}
    assert backward == set()


def test_every_room_is_there():
    modules = graph()
    assert {room_of(module, row()) for module in modules} == set(row())


def test_no_circles_but_those_that_are_one_idea():
    assert circles(graph()) == CIRCLES


def test_imports_of_every_form_are_found():
    modules = {"__init__", "core/__init__", "core/config", "core/tree", "ops/__init__", "ops/nn"}
    source = """
import os, torchkeras.core.config
from torchkeras import ops, Variable
class A:
    def f(self):
        from torchkeras.core import tree
        from torchkeras.ops.nn import relu
        from . import numbers
        from .nn import gelu
        from ..core import scopes
"""
    found = list(imported(source, "ops/math", modules))
    first = ["core/config", "ops/__init__", "__init__"]
    assert found == [*first, "core/tree", "ops/nn", "ops/__init__", "ops/nn", "core/__init__"]


def test_circles_are_found():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert circles(edges) == {frozenset("bc")}
