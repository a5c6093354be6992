"""A process of one thread, with torch imported, that runs functions in children of its own.

`python -m tests.crash.server` reads lines of JSON, `[module, function, arguments]`, and answers
each with a line, `[is well, result or traceback]`.
"""

import importlib
import json
import os
import subprocess
import sys

from tests.processes import REPOSITORY


class Server:
    """The process, from the side of the tests.

    Example: `Server().call("killing", "kill_at_random", "keras", folder)`.
    """

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.server"],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, module, function, *arguments):
        """What `function` of `tests.crash.module` gives in a new child."""
        self._process.stdin.write(json.dumps([module, function, arguments], default=str) + "\n")
        self._process.stdin.flush()
        is_well, result = json.loads(self._process.stdout.readline())
        assert is_well, result
        return result

    def end(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _main():
    import torch

    # What is slow to import, children have then.
    from tests.crash import killing, trainings, writers  # noqa: F401
    from tests.crash.forks import Child

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed goes elsewhere
    for line in sys.stdin:
        module, function, arguments = json.loads(line)
        function = getattr(importlib.import_module(f"tests.crash.{module}"), function)
        code, text = Child(lambda writer, f=function, a=arguments: f(*a)).wait()
        answers.write(json.dumps([code == 0, json.loads(text) if code == 0 else text]) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main()
