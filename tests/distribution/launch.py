"""Running scenarios in this process and under torchrun, and comparing what they give.

A scenario is a function of `scenarios.py`, or of another such file, without arguments that trains
something and returns a dict of arrays. `run_here` calls it in the process of the tests; `run`
starts torchrun once for many scenarios, has every rank call them one after the other, and returns
what rank 0 got, having checked that all ranks got the same.
"""

import importlib.util
import os
import pathlib
import pickle
import signal
import subprocess
import sys

import numpy as np

_HERE = pathlib.Path(__file__).parent
TIMEOUT_S = 240


def scenarios(file="scenarios.py"):
    """The module of scenarios."""
    spec = importlib.util.spec_from_file_location("distribution_scenarios", _HERE / file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_here(name, module=None):
    """What the scenario gives in a single process."""
    import torchkeras as keras

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)
    return getattr(module or scenarios(), name)()


def torchrun(arguments, processes, timeout_s=TIMEOUT_S, options=(), environment=None):
    """Run a script under torchrun; returns the finished process, its output as text in `stdout`.

    Everything that was started is gone when it returns, whatever happened.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", *options, *map(str, arguments)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join([str(_HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
        "TORCHKERAS_TIMEOUT_S": "60",
        **(environment or {}),
    }
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)  # torchrun ends its workers, which are groups too
        try:
            output, _ = process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        raise AssertionError(
            f"torchrun took longer than {timeout_s} s:\n{output[-8000:]}"
        ) from None
    return subprocess.CompletedProcess(command, process.returncode, output)


def run(names, processes, folder, timeout_s=TIMEOUT_S, file="scenarios.py"):
    """What the scenarios give under torchrun: a dict of their names to rank 0's results.

    Under `"output"` it has what all processes have printed.
    """
    path = pathlib.Path(folder) / f"results_{processes}.pickle"
    finished = torchrun([_HERE / "launch.py", path, file, *names], processes, timeout_s)
    assert finished.returncode == 0, finished.stdout[-8000:]
    return {**pickle.loads(path.read_bytes()), "output": finished.stdout}


def _same(ours, theirs):
    return ours.keys() == theirs.keys() and all(
        np.asarray(ours[k]).tobytes() == np.asarray(theirs[k]).tobytes() for k in ours
    )


def _main(path, file, names):
    from torchkeras.distribution import process_group

    module, results = scenarios(file), {}
    process_group.initialize()
    for name in names:
        found = run_here(name, module)
        everyone = process_group.all_gather_object(found)
        different = [rank for rank, other in enumerate(everyone) if not _same(found, other)]
        if different:
            raise AssertionError(f"{name}: this rank's results differ from those of {different}")
        results[name] = found
    if process_group.is_chief():
        pathlib.Path(path).write_bytes(pickle.dumps(results))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3:])
