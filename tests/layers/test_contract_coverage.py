"""No public layer may stay outside the contract of all layers."""

import ast
import importlib
import pathlib

from tests.testing import HELD_CASES
from torchkeras import layers

FOLDER = pathlib.Path(__file__).parent
# `Layer` and `Wrapper` have no `call`, and a graph starts at `InputLayer`, which takes no input.
OUTSIDE = {layers.Layer, layers.InputLayer, layers.Wrapper}


def directly_held(source):
    """Names `X` of the calls `check_layer(layers.X, ...)` in a source."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    checks = [call for call in calls if getattr(call.func, "id", None) == "check_layer"]
    return {call.args[0].attr for call in checks if isinstance(call.args[0], ast.Attribute)}


def test_every_public_layer_is_held_to_the_contract():
    names = set()
    for path in sorted(FOLDER.rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if "@layer_cases(" in source:
            module = path.relative_to(FOLDER.parents[1]).with_suffix("")
            importlib.import_module(".".join(module.parts))  # fills HELD_CASES
        names |= directly_held(source)
    public = {
        value
        for value in vars(layers).values()
        if isinstance(value, type) and issubclass(value, layers.Layer)
    }
    missing = public - OUTSIDE - {cls for cls, _ in HELD_CASES}
    missing = sorted(cls.__name__ for cls in missing if cls.__name__ not in names)
    assert not missing, f"without a case in a table of `layer_cases`: {missing}"
