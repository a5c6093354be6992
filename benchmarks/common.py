"""What the benchmarks share: arguments, interleaved timing, ratios, and the report.

The contestants of a comparison run in turns, round by round, so that a machine that slows down
for a while slows them all. A ratio is taken within a round; reported are the median over the
rounds and the quartiles, which say how far to trust it.
"""

import argparse
import contextlib
import gc
import importlib.metadata
import json
import os
import pathlib
import platform
import random
import statistics
import time

os.environ["KERAS_BACKEND"] = "torch"  # real Keras, where it is installed


def argument_parser(description, rounds, on_device=True):
    """A parser with the options of every benchmark.

    Args:
        description: str.
        rounds: int, the default of `--rounds`.
        on_device: bool, whether device, dtype and threads make a difference.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--json", metavar="PATH", help="also write the results to this file")
    if on_device:
        parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:0, ...")
        parser.add_argument("--dtype", default="float32", help="float32, float64, bfloat16, ...")
        parser.add_argument("--threads", type=int, default=1, help="torch threads on the CPU")
        parser.add_argument("--no-keras", action="store_true", help="leave real Keras out")
        parser.add_argument(
            "--cpu-time",
            action="store_true",
            help="count the processor time of this process: for a machine that others use too",
        )
    return parser


def prepare(arguments):
    """Apply `--device`, `--dtype` and `--threads`; return `(device, dtype)` of torch."""
    import torch

    import torchkeras

    torch.set_num_threads(arguments.threads)
    if arguments.cpu_time and arguments.device != "cpu":
        raise SystemExit("--cpu-time says nothing about a GPU. Leave it out.")
    device, dtype = torch.device(arguments.device), getattr(torch, arguments.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise SystemExit(f"--dtype must name a dtype of torch. Received: {arguments.dtype!r}.")
    torchkeras.config.set_floatx(arguments.dtype)
    return device, dtype


def import_keras(arguments):
    """Real Keras on its torch backend, set to the same device and dtype, or None."""
    if arguments.no_keras:
        return None
    try:
        import keras
    except ImportError:
        return None
    keras.config.set_floatx(arguments.dtype)
    return keras


def synchronize(device):
    """Wait until a GPU has done what it was given."""
    import torch

    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def interleave(
    contestants, arguments, device=None, number=None, timing_s=0.004, timing=None, warm_up=2
):
    """Time each contestant once a round, some calls at a time.

    Args:
        contestants: dict of names to functions without arguments, or to what `timing` takes.
        arguments: options; `rounds` of them count, after some to warm up.
        device: torch device to synchronize, or None.
        number: int, calls in one timing, or a dict of names to such; None for as many as take
            about `timing_s` seconds.
        timing_s: float.
        timing: function of a contestant and a number of calls that makes them and returns seconds
            a call, for contestants that measure themselves; None to measure them here.
        warm_up: int, rounds before those that count.

    Returns:
        dict of names to lists of seconds a call, one for each round.
    """
    clock = time.process_time if arguments.cpu_time else time.perf_counter

    def measure(function, count):
        synchronize(device)
        begin = clock()
        for _ in range(count):
            function()
        synchronize(device)
        return (clock() - begin) / count

    timing = timing or measure
    names = list(contestants)
    numbers = number if isinstance(number, dict) else dict.fromkeys(names, number)
    if number is None:
        for name, function in contestants.items():
            fastest = min(timing(function, 20) for _ in range(5))
            numbers[name] = max(1, round(timing_s / max(fastest, 1e-9)))
    seconds = {name: [] for name in names}
    gc.collect()
    gc.disable()
    try:
        for turn in range(-warm_up, arguments.rounds):
            # In another order each round: whoever follows finds caches used by another.
            for name in random.Random(turn).sample(names, len(names)):
                value = timing(contestants[name], numbers[name])
                if turn >= 0:
                    seconds[name].append(value)
            gc.collect(0)
    finally:
        gc.enable()
    return seconds


def summarize(seconds, baseline):
    """Medians, and medians and quartiles of ratios and differences to `baseline`, per round.

    Args:
        seconds: dict of names to lists of seconds, from `interleave`.
        baseline: name of the contestant that the others are compared with.

    Returns:
        dict of names to dicts, times in microseconds.
    """
    results = {}
    for name, values in seconds.items():
        pairs = list(zip(values, seconds[baseline], strict=True))
        ratios = quartiles([value / base for value, base in pairs])
        differences = quartiles([(value - base) * 1e6 for value, base in pairs])
        results[name] = {
            "median_us": statistics.median(values) * 1e6,
            "quartiles_us": [q * 1e6 for q in quartiles(values)[::2]],
            "ratio": ratios[1],
            "ratio_quartiles": ratios[::2],
            "difference_us": differences[1],
            "difference_quartiles_us": differences[::2],
        }
    return results


def quartiles(values):
    """The 25 %, 50 % and 75 % points of a list of numbers."""
    if len(values) < 2:
        return [values[0]] * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def show(title, results, baseline):
    """Print one comparison as a table."""
    print(f"\n{title}")
    width = max(len(name) for name in results)
    unit, scale = ("ms", 1e-3) if results[baseline]["median_us"] > 1e4 else ("µs", 1)
    for name, result in results.items():
        low, high = (value * scale for value in result["quartiles_us"])
        line = (
            f"  {name:<{width}} {result['median_us'] * scale:9.2f} {unit} ({low:.2f} to {high:.2f})"
        )
        if name != baseline:
            low, high = result["ratio_quartiles"]
            line += f"   x {result['ratio']:.3f} ({low:.3f} to {high:.3f})"
            line += f"   {result['difference_us'] * scale:+.2f} {unit}"
        print(line)
    print(f"  ratios and differences: to '{baseline}', median of the rounds (quartiles)")


def environment(arguments, packages=()):
    """Versions (of more packages, where they are named), machine, options: a report's head."""
    versions = {"python": platform.python_version()}
    for package in ("torch", "numpy", "keras", *packages):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    import torchkeras

    versions["torchkeras"] = torchkeras.__version__
    facts = {
        "versions": versions,
        "machine": {"system": platform.platform(), "cpu": _cpu_name(), "cores": os.cpu_count()},
        "options": {k: v for k, v in vars(arguments).items() if k != "json"},
    }
    if hasattr(os, "getloadavg"):
        facts["machine"]["load_at_start"] = round(os.getloadavg()[0], 2)
    if str(getattr(arguments, "device", "")).startswith("cuda"):
        import torch

        facts["machine"]["gpu"] = torch.cuda.get_device_name(arguments.device)
    return facts


def _cpu_name():
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def report(facts, results, path):
    """Print versions and machine, and write everything to a JSON file if `path` is given."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    machine = ", ".join(f"{name} {value}" for name, value in facts["machine"].items())
    print(f"\n{versions}\n{machine}\noptions {facts['options']}")
    if path:
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")
        print(f"written to {path}")
