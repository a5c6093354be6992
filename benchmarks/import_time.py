"""How long does `import torchkeras` take beside `import torch` and `import keras`?

Each import runs in a fresh interpreter, in turns; the interpreter's own start is not counted.

Run: python benchmarks/import_time.py [--rounds 15] [--json PATH]
"""

import importlib.util
import subprocess
import sys

import common

SCRIPT = "import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
BASELINE = "import torch"


def import_seconds(module):
    """Seconds that an import takes in a new interpreter."""
    command = [sys.executable, "-c", SCRIPT.format(module=module)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main():
    arguments = common.argument_parser(
        __doc__.splitlines()[0], rounds=15, on_device=False
    ).parse_args()
    facts = common.environment(arguments)
    modules = ["torch", "torchkeras"]
    if importlib.util.find_spec("keras") is not None:
        modules.append("keras")
    seconds = {f"import {module}": [] for module in modules}
    for turn in range(arguments.rounds + 1):
        for module in modules:
            value = import_seconds(module)
            if turn:  # the first round fills the file cache
                seconds[f"import {module}"].append(value)
    results = common.summarize(seconds, BASELINE)
    title = "Import in a fresh interpreter"
    common.show(title, results, BASELINE)
    common.report(facts, {title: results}, arguments.json)


if __name__ == "__main__":
    main()
