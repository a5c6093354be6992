"""The examples in the docstrings run, and everything public has one."""

import doctest
import importlib
import inspect
import pathlib
import types

import numpy as np
import pytest
import torch

import torchkeras as keras

PACKAGE = pathlib.Path(keras.__file__).parent
MODULES = sorted(
    ".".join(("torchkeras", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )
    for path in PACKAGE.rglob("*.py")
)
# Whose examples build large models, and take seconds.
SLOW = {
    f"torchkeras.applications.{name}"
    for name in ("convnext", "densenet", "efficientnet", "efficientnet_v2", "nasnet", "resnet_v2")
}
# Public names whose docstring needs no example.
WITHOUT_EXAMPLE = {
    "keras.tree.MAP_TO_NONE",  # a mark to compare with
}


class _Finder(doctest.DocTestFinder):
    def _from_module(self, module, object):
        # doctest compares a function's globals, which for a wrapped one are the decorator's.
        if isinstance(object, types.FunctionType):
            return object.__module__ == module.__name__
        return super()._from_module(module, object)


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=pytest.mark.slow) if x in SLOW else x for x in MODULES]
)
def test_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(verbose=False)
    report = []
    names = {**vars(module), "torch": torch, "np": np, "keras": keras}
    for case in _Finder().find(module, name, globs=names):
        if case.examples:
            keras.utils.clear_session(free_memory=False)
            keras.utils.set_random_seed(0)
            runner.run(case, out=report.append)
    assert not runner.summarize(verbose=False).failed, "".join(report)


def public_objects():
    """`{name: object}` of the classes and functions below `torchkeras`, each once."""
    found, seen = {}, set()
    spaces = [("keras", keras)]
    while spaces:
        prefix, space = spaces.pop(0)
        for name, value in sorted(vars(space).items()):
            if name.startswith("_"):
                continue
            if isinstance(value, types.ModuleType):
                is_ours = value.__name__.startswith("torchkeras.")
                # The files of a folder are public only through the folder's re-exports.
                is_listed = value.__name__.count(".") == 1 or name in getattr(space, "__all__", ())
                if is_ours and is_listed and prefix == "keras" and name != "core":
                    spaces.append((f"{prefix}.{name}", value))
            elif inspect.isclass(value) or isinstance(value, types.FunctionType):
                if value.__module__.startswith("torchkeras") and id(value) not in seen:
                    seen.add(id(value))
                    found[f"{prefix}.{name}"] = value
    return found


def test_the_examples_find_their_way_through_decorators():
    cases = _Finder().find(importlib.import_module("torchkeras.ops.elementwise"))
    assert sum(bool(case.examples) for case in cases) > 20


def test_public_names_have_a_docstring_with_an_example():
    lacking = []
    for name, value in public_objects().items():
        # A class inherits the docstring of its base unless it has its own.
        docstring = (vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__) or ""
        if not docstring.strip().partition("\n")[0].endswith("."):
            lacking.append(f"{name}: a first line that stands alone")
        if ">>> " not in docstring and name not in WITHOUT_EXAMPLE:
            lacking.append(f"{name}: an example")
    assert not lacking
