"""Hostile arguments for public functions: each call returns or raises a Python error in a second.

The calls run in a process of their own, whose memory is limited, and which the system ends where a
call takes more processor time than that. What ends the process, or takes too long, is a finding.

    python -m tests.attacks.fuzz_ops --calls 20000             # another start with --seed
    python -m tests.attacks.fuzz_ops --only repeat,ctc_loss    # some functions alone
    python -m tests.attacks.fuzz_ops --call 1234 --seed 7      # one call, in this process

A call is told by its seed and number alone: a valid call of a function, of whose arguments one or
two are replaced by what they should not be.
"""

import argparse
import importlib
import inspect
import random
import resource
import select
import signal
import subprocess
import sys
import warnings

import numpy as np
import torch

import torchkeras as keras
from tests.ops.test_symbolic import CASES, Symbol, replace

SECONDS = 1.0  # of processor time, for one call
MEMORY_BYTES = 2**30  # beyond what the process has after its imports
# What is asked for is endless, or as slow as asked for: a loop of a billion steps.
MAY_BE_SLOW = {"fori_loop", "while_loop"}

INTS = [
    -1,
    0,
    1,
    2,
    3,
    7,
    -7,
    100,
    -(2**31),
    2**31,
    2**40,
    -(2**40),
    2**62,
    2**63,
    -(2**63),
    10**30,
]
OTHERS = [None, True, False, 1.5, -0.5, 1e300, float("nan"), float("inf"), "x", "", [], (), {}]
OTHERS += [[2**40], [-1], (1, 2, 3), [1, [2]], (-1, 2**62), [None], "channels_first", "same"]
OTHERS += [object(), 2 + 3j, np.int64(2**62), np.float32("nan"), np.array(["a"]), slice(None)]


def _tensors():
    """Tensors that a function does not expect."""
    make = torch.tensor
    yield from (torch.zeros(shape) for shape in [(), (0,), (2, 0, 3), (1, 1, 1, 1, 1, 1), (3, 4)])
    yield make([float("nan"), float("inf"), -float("inf")])
    yield torch.full((6, 4, 6), float("nan"))
    yield from (make(value) for value in (-1, 2**40, 2**62, -(2**63)))
    yield from (make([5, -7, 2**31]), make([[2**62, -(2**62)]]), make([[-1], [2**40]]))
    yield from (make([2**63 - 1] * 6), torch.arange(-12, 12).reshape(6, 4), make([10**9] * 6))
    yield torch.full((6, 4), 127, dtype=torch.int8)
    yield torch.ones(6, 4, 6, dtype=torch.bool)
    yield torch.ones(6, 4, 6, dtype=torch.complex64)
    yield torch.full((6, 4, 6), 6e4, dtype=torch.float16)
    yield torch.full((3, 3), 255, dtype=torch.uint8)
    yield torch.ones(4, 6).T
    yield torch.ones(1).expand(6, 4, 6)


HOSTILE = [*INTS, *OTHERS, *_tensors()]


def _end_the_process(x):
    signal.raise_signal(signal.SIGSEGV)


def _go_on_for_ever(x):
    while True:
        pass


_SELF_TEST = [("test.self", _end_the_process, (1,), {}), ("test.self", _go_on_for_ever, (1,), {})]


def _valid_calls(only=()):
    """Those calls of `_all_calls` that are asked for; of `self`, two that must be found."""
    if "self" in only:
        return _SELF_TEST
    return [call for call in _all_calls() if not only or call[0].split(".")[1] in only]


def _all_calls():
    """`(name, function, args, kwargs)` of calls that are right, with symbols to be filled in."""
    x, y = Symbol(4), Symbol(4)
    labels = Symbol(dtype="int32")
    calls = [(f"ops.{name}", getattr(keras.ops, name), a, k) for name, a, k in CASES]
    made = [
        ("arange", (0, 5, 1), {}),
        ("bincount", (labels,), {"minlength": 3}),
        ("empty", ((2, 3),), {}),
        ("eye", (3, 4, 1), {}),
        ("full", ((2, 3), 1.0), {}),
        ("identity", (3,), {}),
        ("nonzero", (x,), {}),
        ("ones", ((2, 3),), {}),
        ("tri", (3, 4, 1), {}),
        ("unique", (labels,), {"size": 3, "fill_value": 0, "axis": 0}),
        ("zeros", ((2, 3),), {}),
        ("unstack", (x, 6, 0), {}),
        ("repeat", (x, torch.tensor([1, 2, 1, 0, 1, 1]), 0), {}),
        ("where", (x,), {}),
        ("bartlett", (5,), {}),
        ("blackman", (5,), {}),
        ("hamming", (5,), {}),
        ("hanning", (5,), {}),
        ("kaiser", (5, 1.0), {}),
        ("convert_to_numpy", (x,), {}),
        ("multi_hot", (labels, 3, -1), {}),
        ("segment_sum", (x, labels, 3), {}),
        ("in_top_k", (labels, x, 2), {}),
        ("pad", (x, ((1, 2), (0, 1)), "constant", 0), {}),
        ("pad", (x, ((1, 2), (0, 1)), "symmetric"), {}),
        ("matrix_power", (Symbol(3, 3), 3), {}),
        ("linspace", (0.0, 1.0, 5, True, False, None, 0), {}),
        ("logspace", (0.0, 1.0, 5), {}),
        ("histogram", (labels, 5, (0, 4)), {}),
        ("roll", (x, (1, 2), (0, 1)), {}),
        ("diff", (x, 1, 0), {}),
        ("slice_update", (x, torch.tensor([0, 1]), torch.ones(2, 2)), {}),
        ("slice", (x, torch.tensor([0, 1]), (2, 2)), {}),
    ]
    calls += [(f"ops.{name}", getattr(keras.ops, name), a, k) for name, a, k in made]
    images = Symbol(8, 6, 3)
    for name, args in {
        "affine_transform": (images, torch.eye(3).flatten()[:8]),
        "crop_images": (images, 1, 2, 1, 1),
        "elastic_transform": (images, 2.0, 1.0),
        "extract_patches": (images, 2, 1),
        "extract_patches_3d": (Symbol(4, 4, 4, 1), 2, 1),
        "gaussian_blur": (images, (3, 3), (1.0, 1.0)),
        "hsv_to_rgb": (images,),
        "map_coordinates": (Symbol(4), torch.ones(2, 5), 1),
        "pad_images": (images, 1, 2, 1, 1),
        "perspective_transform": (images, torch.ones(4, 2), torch.rand(4, 2)),
        "resize": (images, (4, 5), "bilinear", True),
        "rgb_to_grayscale": (images,),
        "rgb_to_hsv": (images,),
        "scale_and_translate": (
            images,
            (6, 4, 5, 3),
            torch.ones(2),
            torch.zeros(2),
            (1, 2),
            "linear",
        ),
        "sobel_edges": (images,),
        "ssim": (Symbol(12, 12, 1), Symbol(12, 12, 1), 1.0),
    }.items():
        calls.append((f"ops.{name}", getattr(keras.ops.image, name), args, {}))
    for name, function in sorted(vars(keras.activations).items()):
        if inspect.isfunction(function) and name not in ("get", "serialize", "deserialize"):
            more = (0.5, 0.0) if name == "threshold" else ()
            calls.append((f"activations.{name}", function, (x, *more), {}))
    for kind, space in (("losses", keras.losses), ("metrics", keras.metrics)):
        for name, value in sorted(vars(space).items()):
            if name in _NO_CALLS or name.startswith("_"):
                continue
            of_labels = any(part in name.lower() for part in ("sparse", "generalized", "circle"))
            target, output = (labels, x) if of_labels else (x, y)
            if "ctc" in name.lower():
                target, output = Symbol(2, dtype="int32"), Symbol(5, 4)
            if inspect.isfunction(value):
                more = {"q": 0.5} if "generalized" in name else {}
                calls.append((f"{kind}.{name}", value, (target, output), more))
            elif inspect.isclass(value) and not inspect.isabstract(value):
                calls.append((f"{kind}.{name}", _Made(value), (target, output, None), {}))
    shape = (2, 3)
    for name, args in {
        "beta": (shape, 1.0, 2.0),
        "binomial": (shape, 3.0, 0.5),
        "categorical": (x, 2),
        "dropout": (x, 0.5),
        "gamma": (shape, 1.0),
        "normal": (shape, 0.0, 1.0),
        "randint": (shape, 0, 5),
        "shuffle": (x, 0),
        "truncated_normal": (shape, 0.0, 1.0),
        "uniform": (shape, 0.0, 1.0),
    }.items():
        calls.append((f"random.{name}", getattr(keras.random, name), args, {}))
    return calls


class _Made:
    """A loss or metric that is made with arguments of its own, then called."""

    def __init__(self, cls):
        self.cls = cls
        self.arguments = [
            p.name
            for p in inspect.signature(cls).parameters.values()
            if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in ("name", "dtype")
        ]

    def __call__(self, target, output, sample_weight, **arguments):
        made = self.cls(**arguments)
        if isinstance(made, keras.metrics.Metric):
            takes = inspect.signature(made.update_state).parameters
            values = (target, output) if "y_pred" in takes else (output,)
            made.update_state(*values, sample_weight=sample_weight)
            return made.result()
        return made(target, output, sample_weight=sample_weight)


# Helpers, and bases that compute nothing by themselves.
_NO_CALLS = ("get", "serialize", "deserialize", "Loss", "TorchLoss", "Metric")
_REQUIRED = {"num_classes": 3, "target_class_ids": [0], "precision": 0.5, "recall": 0.5}
_REQUIRED |= {"specificity": 0.5, "sensitivity": 0.5, "fn": lambda a, b: (a - b) ** 2}


def call_of(number, seed, calls):
    """The call of a number: its name, and the function that makes it."""
    rng = random.Random(f"{seed}/{number}")
    name, function, args, kwargs = calls[number % len(calls)]
    as_symbols = rng.random() < 0.2
    args = list(replace(args, Symbol.symbol if as_symbols else Symbol.data))
    kwargs = dict(kwargs)
    if isinstance(function, _Made):
        kwargs = {n: v for n, v in _REQUIRED.items() if n in function.arguments}
        places = [*range(len(args)), *function.arguments]
    else:
        known = inspect.signature(function).parameters.values()
        spare = [p.name for p in known if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        places = [*range(len(args)), *spare[len(args) :]]
    for place in rng.sample(places, min(len(places), rng.choice([1, 1, 2]))):
        before = args[place] if isinstance(place, int) else kwargs.get(place)
        value = _changed(before, rng)
        if isinstance(place, int):
            args[place] = value
        else:
            kwargs[place] = value
    return name, lambda: function(*args, **kwargs), (args, kwargs)


def _changed(value, rng):
    """Something hostile, now and then only in one place of a sequence."""
    if isinstance(value, (list, tuple)) and value and rng.random() < 0.5:
        place, items = rng.randrange(len(value)), list(value)
        items[place] = _changed(items[place], rng)
        return type(value)(items)
    if isinstance(value, int) and rng.random() < 0.5:
        return rng.choice(INTS)
    return rng.choice(HOSTILE)


# The process that makes the calls


def work(first, last, seed, only):
    calls = _valid_calls(only)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    # What is imported late, is now.
    importlib.import_module("sympy")
    importlib.import_module("torch._dynamo")
    keras.ops.map(lambda row: torch.linalg.qr(row)[0], keras.Input((2, 2)))
    keras.ops.jvp(torch.sin, (torch.ones(2),), (torch.ones(2),))
    in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for number in range(first, last):
        name, call, _ = call_of(number, seed, calls)
        sys.stdout.write(f"{number} {name}\n")
        sys.stdout.flush()
        if name.split(".")[1] not in MAY_BE_SLOW:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
        else:
            signal.setitimer(signal.ITIMER_PROF, 0)
            continue
        try:
            call()
        except Exception:
            pass
        signal.setitimer(signal.ITIMER_PROF, 0)
    sys.stdout.write("end\n")
    sys.stdout.flush()


def findings(calls, seed, only=""):
    """`[(number, name, how the process ended)]` of the calls that end it."""
    found, first = [], 0
    while first < calls:
        command = [sys.executable, "-m", "tests.attacks.fuzz_ops", "--work"]
        command += ["--first", str(first), "--calls", str(calls), "--seed", str(seed)]
        process = subprocess.Popen(
            [*command, "--only", only],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        last = ""
        while True:
            ready, _, _ = select.select([process.stdout], [], [], 30)
            line = process.stdout.readline() if ready else None
            if not line:
                break
            last = line.strip()
        ended = last == "end"
        if line is None:  # it waits for something, or stands still
            process.kill()
        code = process.wait()
        process.stdout.close()
        if ended:
            break
        if not last:
            raise RuntimeError(f"The process made no call, and ended with {code}.")
        number, name = last.split()
        how = {-signal.SIGPROF: "takes too long", 1: "ends Python"}.get(code, f"ended by {code}")
        found.append((int(number), name, how if line is not None else "stands still"))
        first = int(number) + 1
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=5000, help="how many calls")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="names of functions, with commas between")
    parser.add_argument("--call", type=int, help="make this one call here, and show it")
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    only = set(filter(None, given.only.split(",")))
    if given.work:
        work(given.first, given.calls, given.seed, only)
    elif given.call is not None:
        calls = _valid_calls(only)
        name, call, arguments = call_of(given.call, given.seed, calls)
        print(name, arguments, flush=True)
        print(call())
    else:
        found = findings(given.calls, given.seed, given.only)
        for number, name, how in found:
            print(f"{name} {how}: --call {number} --seed {given.seed}")
        sys.exit(bool(found))


if __name__ == "__main__":
    main()
