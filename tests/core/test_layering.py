"""The core stands below the rest of the package."""

import ast
import pathlib

from torchkeras import core


def test_the_core_imports_nothing_else_of_the_package():
    upwards = []
    for path in sorted(pathlib.Path(core.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            upwards += [
                f"{path.name}:{node.lineno}: {module}"
                for module in modules
                if f"{module}.".startswith("torchkeras.")
                and not f"{module}.".startswith("torchkeras.core.")
            ]
    assert not upwards
