"""A program in a Python process of its own: one that crashes is a failed test, not the last one."""

import os
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).parents[1]


def run_python(program, *arguments, timeout_s=120, **environment):
    """What a program prints.

    Args:
        program: str, its text.
        arguments: what it finds in `sys.argv`.
        timeout_s: float, seconds.
        environment: variables beside those of this process.
    """
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program, *map(str, arguments)],
        cwd=REPOSITORY,
        # Passive: waiting threads must not take the time of working ones.
        env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr}"
    return done.stdout
