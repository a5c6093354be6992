"""Whole programs under torchrun: the example, and one that makes its process group itself."""

import ast
import importlib.util
import pathlib
import re

_HERE = pathlib.Path(__file__).parent
_spec = importlib.util.spec_from_file_location("distribution_launch", _HERE / "launch.py")
launch = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(launch)

EXAMPLES = _HERE.parents[1] / "examples"

OWN_GROUP = """
import datetime

import numpy as np
import torch.distributed as dist

import torchkeras as keras

dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=60))
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(np.ones((8, 3)), np.ones((8, 1)), batch_size=4, verbose=0)
assert dist.get_world_size() == keras.distribution.process_group.world_size() == 2
assert not keras.distribution.process_group._State.owned
dist.barrier()
dist.destroy_process_group()
print("done")
"""


# What the page prints in a single process is not what it prints in several.
PAGE = """
import contextlib
import os
import pathlib
import sys

import torchkeras as keras
from tests.documents import blocks

os.chdir(sys.argv[2])
namespace = {}
with open(f"printed_{os.environ['RANK']}", "w") as file, contextlib.redirect_stdout(file):
    for language, text in blocks(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")):
        if language == "python":
            exec(text, namespace)
assert keras.distribution.process_group.world_size() == 2
"""


def _without_docstring(path):
    tree = ast.parse(path.read_text())
    return ast.dump(ast.Module(tree.body[1:], []))


def test_example_is_the_single_process_example():
    assert _without_docstring(EXAMPLES / "mnist_torchrun.py") == _without_docstring(
        EXAMPLES / "mnist.py"
    )


def test_example_runs(tmp_path):
    arguments = [EXAMPLES / "mnist_torchrun.py", "--epochs", "1"]
    environment = {"KERAS_HOME": str(tmp_path), "http_proxy": "", "https_proxy": ""}
    finished = launch.torchrun(arguments, 2, 150, environment=environment)
    assert finished.returncode == 0, finished.stdout[-4000:]
    found = re.findall(r"Test accuracy: (\d\.\d+)", finished.stdout)
    assert len(found) == 2 and len(set(found)) == 1
    assert finished.stdout.count("Model: ") == 1
    assert float(found[0]) > 0.6


def test_the_page_runs_in_two_processes(tmp_path):
    script = tmp_path / "page.py"
    script.write_text(PAGE)
    finished = launch.torchrun([script, _HERE.parents[1] / "docs/scale.md", tmp_path], 2, 100)
    assert finished.returncode == 0, finished.stdout[-4000:]
    for rank in range(2):
        printed = (tmp_path / f"printed_{rank}").read_text().splitlines()
        assert printed.count("{'step': 100}") == 1
        assert printed.count("True") == 2  # also of what was divided, and read again


def test_group_of_the_program_is_taken(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(OWN_GROUP)
    finished = launch.torchrun([script], 2, 100)
    assert finished.returncode == 0, finished.stdout[-4000:]
    assert finished.stdout.count("done") == 2
