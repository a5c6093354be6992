"""Rules for the whole package that a reader of one file would not see broken."""

import ast
import pathlib
import subprocess
import sys

import torchkeras

PACKAGE = pathlib.Path(torchkeras.__file__).parent
# Slow to import, optional, or Keras itself: imported inside the function that needs it, or never.
LATE = (
    "keras",
    "h5py",
    "matplotlib",
    "pydot",
    "pygraphviz",
    "PIL",
    "IPython",
    "tensorflow",
    "tensorboard",
    "torch.utils.tensorboard",
)
# The one file that unpickles: object arrays of data sets, through a reader of plain types only.
MAY_UNPICKLE = {"datasets/_readers.py"}
RUNS_CODE = {"torch.load", "pickle.load", "pickle.loads", "marshal.loads", "eval", "exec"}


def nodes(kind):
    """`(file, node)` for each syntax node of a kind in the package."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kind):
                yield path.relative_to(PACKAGE).as_posix(), node


def test_importing_the_package_imports_nothing_heavy():
    # torch looks for some of them itself; what counts is what torchkeras adds.
    script = (
        "import sys, torch, torch.utils.data, torch.func, torch.fx.passes.graph_drawer\n"
        f"late = set({LATE!r}) - set(sys.modules)\n"
        "import torchkeras\n"
        "print(sorted(late & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_nothing_runs_code_from_data():
    calls = [
        f"{file}:{node.lineno}: {ast.unparse(node.func)}"
        for file, node in nodes(ast.Call)
        if file not in MAY_UNPICKLE and ast.unparse(node.func) in RUNS_CODE
    ]
    assert not calls


def test_library_raises_errors_instead_of_asserting():
    assert not [f"{file}:{node.lineno}" for file, node in nodes(ast.Assert)]


def test_imports_run_one_way():
    """What is nearer to the user may import what lies below it, and not the other way round."""
    order = ["distribution", "callbacks", "trainers", "models"]
    wrong = [
        f"{file}:{node.lineno}: {node.module}"
        for file, node in nodes(ast.ImportFrom)
        for place, folder in enumerate(order)
        if file.startswith(f"{folder}/")
        and str(node.module).startswith(
            tuple(f"torchkeras.{above}" for above in order[place + 1 :])
        )
    ]
    assert not wrong


def test_no_bare_except():
    handlers = nodes(ast.ExceptHandler)
    assert not [f"{file}:{node.lineno}" for file, node in handlers if node.type is None]
