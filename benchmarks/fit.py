"""How fast is `fit` beside hand-written loops, Keras, Lightning, Accelerate and skorch?

Eight workloads: the MLP of chapter 7 of Deep Learning with Python at three batch sizes, a small
MLP, the convnet of chapter 8, an LSTM, a GRU, and a Transformer's encoder. All contestants start
from the same weights, train on the same arrays with Adam, shuffled, and report loss and accuracy
(or mean absolute error). A timing is an epoch; that of each contestant is taken once a round, in
turns, in the worker of its family (`workers.py`), so that Keras runs on JAX beside Keras on torch.
Compiling comes before the rounds and is not counted. What is not installed is left out.

`fit, auto` is `jit_compile="auto"`, asked as in a training of ten minutes; what it chose is told.

A ratio is theirs / ours: above 1, `fit` of torchkeras, run eagerly, is the faster one.

Run: python benchmarks/fit.py [--only small lstm] [--contestants torchkeras hand-written keras]
     [--rounds 7] [--seconds 0.2] [--threads 2] [--cpu-time] [--json PATH] [--plot PATH]
"""

import argparse
import json
import os
import pathlib
import sys
import textwrap
import time

import common
import numpy as np
import workers
import workloads

OURS = "torchkeras fit"
AUTO_S = 600.0  # how long a training `jit_compile="auto"` is told to expect


# What runs in a worker


class Fit:
    """An epoch of `fit`, in torchkeras or in Keras."""

    def __init__(self, library, data, details, options, jit_compile):
        workload = workloads.WORKLOADS[details["workload"]]
        self.library, self.device = library, options.device
        with library.device(self.device):
            self.model = workloads.keras_model(library, workload, options.dtype)
        self.model.set_weights(data["weights"])
        is_regression = workload["classes"] is None
        self.model.compile(
            library.optimizers.Adam(1e-3),
            "mse" if is_regression else "sparse_categorical_crossentropy",
            metrics=["mae" if is_regression else "accuracy"],
            **jit_compile,
        )
        self.arguments = {"x": data["x"], "y": data["y"], "batch_size": workload["batch_size"]}
        self.notes = {}

    def run(self):
        with self.library.device(self.device):
            history = self.model.fit(**self.arguments, epochs=1, verbose=0).history
        self.logs = {name: values[0] for name, values in history.items()}

    def decide(self):
        """Let "auto" measure, as at the start of a long training; then start over."""
        model, library = self.model, self.library
        before = model.get_weights()
        self.run()
        begin = workers.clocks()
        self.run()
        # The shorter one: wall time without other processes, processor time without more threads.
        epoch_s = min(b - a for a, b in zip(begin, workers.clocks(), strict=True))
        steps = len(self.arguments["x"]) // self.arguments["batch_size"]

        class Stop(library.callbacks.Callback):
            """Ends the training when "auto" has decided, or has seen enough to let it be."""

            seen = 0

            def on_train_batch_end(self, batch, logs=None):
                self.seen += 1
                if chosen().chosen is not None or self.seen > 200:
                    # Only then: a graph is checked anew whenever an attribute of the model is set.
                    self.model.stop_training = True

        def chosen():
            return model._graph_steps["train_step"]

        epochs = max(2, round(AUTO_S / epoch_s), 200 // steps + 2)
        model.fit(**self.arguments, epochs=epochs, verbose=0, callbacks=[Stop()])
        step = chosen()
        self.notes["auto"] = (
            f"{step.chosen} ({step.reason})"
            if step.chosen
            else "eager (a graph would not save what compiling it takes)"
        )
        model.set_weights(before)
        for variable in model.optimizer.variables:
            if "learning_rate" not in variable.path:
                variable.assign(np.zeros(variable.shape, "float32"))

    def tell(self):
        return {"logs": self.logs, **self.notes}


def make_fit(family, name, data, details, options):
    if family == "torchkeras":
        import torchkeras as library
    else:
        os.environ["KERAS_BACKEND"] = family.removeprefix("keras-")
        import keras as library
    library.config.set_floatx(options.dtype)
    jit_compile = {"jit_compile": FITS[name][1]} if FITS[name][1] is not None else {}
    made = Fit(library, data, details, options, jit_compile)
    if jit_compile.get("jit_compile") == "auto":
        made.decide()
    return made


# name: (family, `jit_compile`, or None for the default of the library)
FITS = {
    OURS: ("torchkeras", False),
    "torchkeras fit, jit_compile": ("torchkeras", True),
    "torchkeras fit, auto": ("torchkeras", "auto"),
    "Keras fit, torch": ("keras-torch", False),
    "Keras fit, JAX": ("keras-jax", None),
}


def make(family, name, details, options):
    """Make a contestant in a worker."""
    with np.load(details["path"]) as file:
        data = {"x": file["x"], "y": file["y"]}
    data["weights"] = workloads.read_weights(details["path"])
    if family != "keras-jax":
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(options.threads)
    if name in FITS:
        return make_fit(family, name, data, details, options)
    import torch_loops

    workload = workloads.WORKLOADS[details["workload"]]
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    net = workloads.torch_net(workload, data["weights"], device, dtype)
    shared = (workload["batch_size"], workload["classes"], device, dtype)
    return torch_loops.LOOPS[name][1](torch_loops.Task(net, data["x"], data["y"], *shared))


# What asks the workers


def all_contestants():
    """Names of contestants and their families, in the order of the tables."""
    import torch_loops

    families = {name: family for name, (family, _) in FITS.items()}
    loops = {name: family for name, (family, _) in torch_loops.LOOPS.items()}
    order = [name for name in families if families[name] == "torchkeras"]
    order += [name for name in loops if loops[name] == "torch"]
    order += [name for name in families if name not in order]
    order += [name for name in loops if name not in order]
    return {name: {**families, **loops}[name] for name in order}


def steps_of_an_epoch(name, arguments):
    """As many steps as fill `--seconds` by hand, no more than make an epoch of MNIST."""
    import torch
    import torch_loops

    workload = workloads.WORKLOADS[name]
    batch_size = workload["batch_size"]
    x, y = workloads.make_data(workload, 8 * batch_size)
    device, dtype = torch.device(arguments.device), getattr(torch, arguments.dtype)
    net = workloads.torch_net(workload, workloads.first_weights(name), device, dtype)
    task = torch_loops.Task(net, x, y, batch_size, workload["classes"], device, dtype)
    loop = torch_loops.HandWritten(task, fused=True)
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    times = []
    for _ in range(5):
        begin = clock()
        loop.run()
        times.append(clock() - begin)
    most = max(8, workloads.MOST_SAMPLES // batch_size)
    return min(most, max(8, round(arguments.seconds / (min(times) / 8))))


def make_all(name, steps, team, contestants):
    """Have the contestants of a workload made; the names of those that could be."""
    x, y = workloads.make_data(
        workloads.WORKLOADS[name], steps * workloads.WORKLOADS[name]["batch_size"]
    )
    with workloads.weights_file(name, x=x, y=y) as path:
        details = {"workload": name, "path": path}
        # The others at the same time; ours alone, since "auto" measures.
        others = {n: f for n, f in contestants.items() if f != "torchkeras"}
        made = team.make(others, **details)
        made += team.make({n: f for n, f in contestants.items() if n not in others}, **details)
    if OURS not in made:
        raise SystemExit(f"{OURS!r} could not be made: {team.left_out.get(OURS)}")
    return [n for n in contestants if n in made]


def compare(name, team, contestants, arguments):
    """The results of a workload."""
    steps = steps_of_an_epoch(name, arguments)
    made = make_all(name, steps, team, contestants)
    seconds = common.interleave(
        {n: n for n in made}, arguments, number=1, timing=team.time, warm_up=2
    )
    per_step = {n: [s / steps for s in values] for n, values in seconds.items()}
    results = common.summarize(per_step, OURS)
    for n in made:
        results[n].update(team.tell(n))
        clocks = team.times(n, arguments.rounds)
        results[n]["clocks_us"] = {
            clock: common.quartiles(values)[1] / steps * 1e6 for clock, values in clocks.items()
        }
    title = f"{workloads.WORKLOADS[name]['title']}; {steps} steps an epoch"
    common.show(f"A training step: {title}", results, OURS)
    show_logs(results, arguments)
    team.forget()
    return {"title": title, "steps": steps, "contestants": results}


def show_logs(results, arguments):
    """Print what was learned, and whose loss differs."""
    for name, result in results.items():
        if "auto" in result:
            print(f"  {name} chose: {result['auto']}")
    losses = {name: result["logs"]["loss"] for name, result in results.items()}
    middle = common.quartiles(list(losses.values()))[1]
    print(
        f"  losses after {arguments.rounds + 3} epochs from the same weights: "
        f"{min(losses.values()):.4f} to {max(losses.values()):.4f}"
    )
    for name, loss in losses.items():
        results[name]["agrees"] = bool(abs(loss - middle) <= 0.1 * abs(middle) + 0.01)
        if not results[name]["agrees"]:
            print(f"  WARNING: {name}: loss {loss:.4f}, the median is {middle:.4f}")


def plot(results, path):
    """Bars of the ratios of all workloads, as an image file."""
    try:
        import matplotlib
    except ImportError:
        print("no plot: matplotlib is not installed (pip install matplotlib)")
        return
    matplotlib.use("agg")
    from matplotlib import pyplot, ticker

    columns = min(4, len(results))
    rows = -(-len(results) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(4.6 * columns, 3.6 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(results) :]:
        axis.axis("off")
    for axis, result in zip(axes.flat, results.values(), strict=False):
        found = result["contestants"]
        names = [name for name in found if name != OURS][::-1]
        ratios = [found[name]["ratio"] for name in names]
        colors = ["tab:blue" if name.startswith("torchkeras") else "tab:gray" for name in names]
        bars = axis.barh(names, ratios, color=colors)
        axis.bar_label(bars, [f" {ratio:.2f}" for ratio in ratios], fontsize=7)
        axis.axvline(1, color="black", linewidth=1)
        axis.set_xscale("log")
        axis.set_xlim(min(0.5, *ratios) / 1.2, max(2, *ratios) * 1.6)  # room for the labels
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(ticker.ScalarFormatter())
        axis.xaxis.set_minor_locator(ticker.NullLocator())
        axis.tick_params(labelsize=7)
        title = textwrap.fill(result["title"].partition(";")[0], 55)
        axis.set_title(title, fontsize=8)
    figure.suptitle(f"Time of a step / that of '{OURS}'", fontsize=9)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    print(f"plot written to {path}")


def main():
    if sys.argv[1:2] == ["--serve"]:
        family, options = json.loads(sys.argv[2])
        workers.serve(make, family, argparse.Namespace(**options))
        return
    contestants = all_contestants()
    parser = common.argument_parser(__doc__.splitlines()[0], rounds=7)
    parser.add_argument("--only", nargs="+", choices=workloads.WORKLOADS, metavar="WORKLOAD")
    workers.add_contestants(parser, contestants)
    parser.add_argument("--seconds", type=float, default=0.2, help="of one timing, by hand")
    parser.add_argument("--plot", metavar="PATH", help="also draw the ratios, as .svg or .png")
    arguments = parser.parse_args()
    common.prepare(arguments)
    facts = common.environment(arguments, workers.PACKAGES)
    contestants = workers.chosen_contestants(contestants, arguments, OURS)
    results = {}
    with workers.Team(__file__, contestants.values(), arguments) as team:
        for name in arguments.only or workloads.WORKLOADS:
            begin = time.perf_counter()
            results[name] = compare(name, team, contestants, arguments)
            results[name]["took_s"] = round(time.perf_counter() - begin, 1)
            print(f"  took {results[name]['took_s']} s", flush=True)
        facts["left_out"] = team.left_out
    common.report(facts, results, arguments.json)
    if arguments.plot:
        plot(results, arguments.plot)


if __name__ == "__main__":
    main()
