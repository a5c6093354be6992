"""How does the cost of a step grow: with batch, width, depth, metrics, and the number of samples?

Each series varies one size of an MLP that `fit` trains, with a hand-written loop of torch's fused
Adam beside it; sizes and contestants take turns, round by round. To the medians a + b * n is
fitted, by least relative squares, where n is what the cost should be linear in: the size, or its
square for the width. Growth above linear, or above none for the number of samples, is flagged:
where the last doubling or tenfolding costs more than that, and more than by hand.

Samples of the last series lie in a memory-mapped file of zeros, with holes: 10 million take no
room on the disk. Each of its timings is a whole epoch, a new order included.

Run: python benchmarks/scaling.py [--only batch depth] [--rounds 5] [--seconds 0.05] [--cpu-time]
     [--most-samples 1000000] [--json PATH]
"""

import math
import pathlib
import tempfile
import time

import common
import numpy as np
import torch
import torch_loops
import torch_nets

import torchkeras

OURS, HAND = "torchkeras fit", "hand-written loop"
CLASSES = 10
# What a series starts from; it varies one of them.
BASE = {"features": 32, "width": 64, "depth": 2, "batch": 32, "metrics": 1}
# name: (sizes, what differs from BASE, the power of the size that the cost is linear in)
SERIES = {
    "batch": ([8, 32, 128, 512, 1024, 2048, 4096], {}, 1),
    "width": ([16, 64, 256, 512, 1024, 2048], {}, 2),
    "depth": ([2, 5, 10, 20, 50, 100, 200], {"width": 32}, 1),
    "metrics": ([0, 1, 2, 5, 10], {}, 1),
    "samples": ([10**4, 10**5, 10**6, 10**7], {"features": 8, "width": 16, "batch": 1024}, 1),
}
# By how much the measured growth may be above the expected one.
MARGIN = 1.25


class Fit:
    """An epoch of `fit` with as many metrics as are asked for."""

    def __init__(self, x, y, sizes, device, jit_compile):
        with torchkeras.device(device):
            inputs = outputs = torchkeras.Input(
                (sizes["features"],), dtype=torchkeras.config.floatx()
            )
            for _ in range(sizes["depth"]):
                outputs = torchkeras.layers.Dense(sizes["width"], activation="relu")(outputs)
            outputs = torchkeras.layers.Dense(CLASSES, activation="softmax")(outputs)
            self.model = torchkeras.Model(inputs, outputs)
            metrics = [
                torchkeras.metrics.SparseCategoricalAccuracy(name=f"accuracy_{i}")
                for i in range(sizes["metrics"])
            ]
            self.model.compile(
                torchkeras.optimizers.Adam(1e-3),
                "sparse_categorical_crossentropy",
                metrics=metrics,
                jit_compile=jit_compile,
            )
        self.device = device
        self.arguments = {"x": x, "y": y, "batch_size": sizes["batch"], "verbose": 0}

    def run(self):
        with torchkeras.device(self.device):
            self.model.fit(**self.arguments)


class HandWritten(torch_loops.HandWritten):
    """The same by hand: each metric is computed and summed by itself."""

    def __init__(self, x, y, sizes, weights, device, dtype):
        widths = [sizes["width"]] * sizes["depth"]
        net = torch_nets.Perceptron(sizes["features"], widths, CLASSES)
        with torch.no_grad():
            net.load(*weights)
        task = torch_loops.Task(
            net.to(device, dtype), x, y, sizes["batch"], CLASSES, torch.device(device), dtype
        )
        super().__init__(task, fused=True)
        self.metrics = [task.measure] * sizes["metrics"]


def make_data(count, features, folder):
    """Samples to train on: in a file with holes where there are many, else drawn."""
    if count >= 10**4:
        x = np.lib.format.open_memmap(
            pathlib.Path(folder, f"{count}.npy"), "w+", "float32", (count, features)
        )
        return x, np.zeros(count, "int64")
    random = np.random.default_rng(0)
    x = random.normal(size=(count, features)).astype("float32")
    return x, random.integers(0, CLASSES, size=count)


def make_pair(series, size, arguments, folder):
    """Both contestants for a size, by name, and the steps of an epoch."""
    sizes = {**BASE, **SERIES[series][1]}
    dtype = getattr(torch, arguments.dtype)
    if series == "samples":
        x, y = make_data(size, sizes["features"], folder)
        steps = math.ceil(size / sizes["batch"])
    else:
        sizes[series] = size
        x, y = make_data(sizes["batch"], sizes["features"], folder)
        fit = Fit(x, y, sizes, arguments.device, arguments.jit_compile)
        fit.run()
        clock = time.process_time if arguments.cpu_time else time.perf_counter
        begin = clock()
        for _ in range(3):
            fit.run()
        steps = min(1000, max(10, round(arguments.seconds * 3 / (clock() - begin))))
        x, y = (np.tile(array, (steps, *[1] * (array.ndim - 1))) for array in (x, y))
    fit = Fit(x, y, sizes, arguments.device, arguments.jit_compile)
    weights = fit.model.get_weights()
    hand = HandWritten(x, y, sizes, weights, arguments.device, dtype)
    return {OURS: fit.run, HAND: hand.run}, steps


def linear(sizes, seconds):
    """`(a, b)` of a + b * n, by least squares of the relative errors."""
    sizes, seconds = np.asarray(sizes, "float64"), np.asarray(seconds, "float64")
    rows = np.stack([1 / seconds, sizes / seconds], 1)
    (a, b), *_ = np.linalg.lstsq(rows, np.ones(len(sizes)), rcond=None)
    return float(a), float(b)


def growth(series, sizes, seconds):
    """How many times the cost of the last size is that of the one before, over what is expected.

    Expected is no more than in proportion to the size (or its square); for samples, no growth.
    """
    if series == "samples":
        return seconds[-1] / min(seconds[:-1]) if len(seconds) > 1 else 1.0
    found = seconds[-1] / seconds[-2]
    power = SERIES[series][2]
    return found / (sizes[-1] / max(sizes[-2], 1)) ** power


def measure(series, arguments):
    """The results of a series."""
    sizes = [n for n in SERIES[series][0] if series != "samples" or n <= arguments.most_samples]
    with tempfile.TemporaryDirectory() as folder:
        functions, steps = {}, {}
        for size in sizes:
            pair, steps[size] = make_pair(series, size, arguments, folder)
            functions.update({(name, size): function for name, function in pair.items()})
        seconds = common.interleave(
            functions, arguments, torch.device(arguments.device), number=1, warm_up=1
        )
    results = {"sizes": sizes, "steps": steps}
    for name in (OURS, HAND):
        per_step = [[s / steps[size] for s in seconds[name, size]] for size in sizes]
        medians = [common.quartiles(values)[1] for values in per_step]
        power = SERIES[series][2]
        a, b = linear([size**power for size in sizes], medians)
        results[name] = {
            "median_us": [m * 1e6 for m in medians],
            "quartiles_us": [[q * 1e6 for q in common.quartiles(v)[::2]] for v in per_step],
            "a_us": a * 1e6,
            "b_us": b * 1e6,
            "growth": growth(series, sizes, medians),
        }
    results["ratio"] = [
        common.quartiles(
            [
                (theirs / ours)
                for ours, theirs in zip(seconds[OURS, size], seconds[HAND, size], strict=True)
            ]
        )[1]
        for size in sizes
    ]
    results["flagged"] = results[OURS]["growth"] > MARGIN * max(1.0, results[HAND]["growth"])
    return results


def show(series, results):
    """Print a series."""
    ours, hand = results[OURS], results[HAND]
    print(f"\nA step's time against {series}, µs")
    print(f"  {series:>10} {'ours':>12} {'by hand':>12} {'by hand / ours':>16}")
    rows = zip(
        results["sizes"], ours["median_us"], hand["median_us"], results["ratio"], strict=True
    )
    for size, one, other, ratio in rows:
        print(f"  {size:>10} {one:>12.1f} {other:>12.1f} {ratio:>16.3f}")
    power = SERIES[series][2]
    n = series if power == 1 else f"{series}^{power}"
    for name, found in ((OURS, ours), (HAND, hand)):
        print(
            f"  {name}: {found['a_us']:.1f} + {found['b_us']:.3g} * {n}; the last step of the "
            f"series costs {found['growth']:.2f} of what was expected at most"
        )
    if results["flagged"]:
        print(f"  FLAGGED: `fit` grows faster with {series} than it should")


def main():
    parser = common.argument_parser(__doc__.splitlines()[0], rounds=5)
    parser.add_argument("--only", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--seconds", type=float, default=0.05, help="of one timing, but of samples")
    parser.add_argument("--most-samples", type=int, default=10**7)
    parser.add_argument("--jit-compile", action="store_true", help="our steps as graphs")
    arguments = parser.parse_args()
    common.prepare(arguments)
    facts = common.environment(arguments)
    results = {}
    for series in arguments.only:
        results[series] = measure(series, arguments)
        show(series, results[series])
    common.report(facts, results, arguments.json)


if __name__ == "__main__":
    main()
