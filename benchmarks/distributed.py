"""What does `fit` in several processes cost beside a hand-written DDP loop?

Both train the same MLP on the same rows with torch's fused Adam: each process takes its slice of
every global batch, gradients are averaged by DistributedDataParallel, and loss and accuracy are
summed on the device and brought together once an epoch. Both make their DDP object anew in each
run, as a program does that trains once. Then, with no model at all: an all-reduce of several
sizes, and the time to write a checkpoint; `docs/scale.md` reasons from these numbers.

It starts torchrun itself, for 1 process (where the loop is without DDP) and for 2, on the CPU by
gloo. Wall time counts waiting for the other process. Processor time is that of all processes
together, with gloo's threads; that of the main threads alone, which run Python and the arithmetic,
is the one to trust on a machine that others use too.

Run: python benchmarks/distributed.py [--processes 1 2] [--size small mnist] [--json PATH]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import common
import numpy as np

# name: (features, hidden units, classes, rows of a global batch)
SIZES = {"small": (32, [64, 64], 10, 64), "mnist": (784, [512], 10, 128)}
ALL_REDUCE_MIB = [0.01, 0.1, 1, 4, 16, 64]
# name: (function that reads it, how the times of several processes become one)
CLOCKS = {
    "wall": (time.perf_counter, max),
    "processor": (time.process_time, sum),
    "main thread": (time.thread_time, sum),
}
HAND, FIT = "hand-written loop", "torchkeras fit"


class HandWritten:
    """The loop that a torch user would write, with everything that `fit` reports."""

    def __init__(self, x, y, size, epochs, rank, world_size):
        import torch
        from torch import nn

        features, hidden, classes, self.batch_size = SIZES[size]
        self.x, self.y, self.epochs = torch.from_numpy(x), torch.from_numpy(y), epochs
        self.rank, self.world_size = rank, world_size
        steps, before = [], features
        for units in hidden:
            steps += [nn.Linear(before, units), nn.ReLU()]
            before = units
        self.net = nn.Sequential(*steps, nn.Linear(before, classes))
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, eps=1e-7, fused=True)
        self.generator = torch.Generator().manual_seed(0)  # the same order in all processes

    def run(self):
        return self.train(self.x, self.y, self.epochs)

    def start(self):
        """A run of a single step: what it takes to begin and to end."""
        self.train(self.x[: self.batch_size], self.y[: self.batch_size], 1)

    def train(self, x, y, epochs):
        from torch.nn.parallel import DistributedDataParallel

        net = self.net
        if self.world_size > 1:
            net = DistributedDataParallel(net, gradient_as_bucket_view=True)
        net.train()
        for _ in range(epochs):
            logs = self.epoch(net, x, y)
        return logs

    def epoch(self, net, x, y):
        import torch
        import torch.distributed as dist
        from torch.nn import functional as F

        optimizer = self.optimizer
        count, part = x.shape[0], self.batch_size // self.world_size
        loss_sum, correct = torch.zeros(()), torch.zeros(())
        order = torch.randperm(count, generator=self.generator)
        for start in range(self.rank * part, count, self.batch_size):
            index = order[start : start + part]
            x_batch, y_batch = x.index_select(0, index), y.index_select(0, index)
            optimizer.zero_grad(set_to_none=True)
            logits = net(x_batch)
            predictions = torch.softmax(logits, -1)
            loss = F.cross_entropy(logits, y_batch)
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                loss_sum += loss.detach() * index.shape[0]
                correct += (predictions.argmax(-1) == y_batch).sum()
        sums = torch.stack([loss_sum, correct])
        if self.world_size > 1:
            dist.all_reduce(sums)
        loss, accuracy = (sums / count).tolist()
        return {"loss": loss, "accuracy": accuracy}


class Fit:
    """The same by `fit`."""

    def __init__(self, x, y, size, epochs):
        import torchkeras as keras

        features, hidden, classes, batch_size = SIZES[size]
        inputs = outputs = keras.Input((features,))
        for units in hidden:
            outputs = keras.layers.Dense(units, activation="relu")(outputs)
        outputs = keras.layers.Dense(classes, activation="softmax")(outputs)
        self.model = keras.Model(inputs, outputs)
        self.model.compile(
            keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        self.arguments = {"x": x, "y": y, "batch_size": batch_size, "epochs": epochs, "verbose": 0}

    def run(self):
        history = self.model.fit(**self.arguments).history
        return {name: values[-1] for name, values in history.items()}

    def start(self):
        """A run of a single step: what it takes to begin and to end."""
        count = self.arguments["batch_size"]
        first = {name: self.arguments[name][:count] for name in ("x", "y")}
        self.model.fit(**{**self.arguments, **first, "epochs": 1})


def start_alike(loops):
    """Give the loop the weights of the model, so that their logs can be compared."""
    import torch
    from torch import nn

    weights = loops[FIT].model.get_weights()
    linears = [step for step in loops[HAND].net if isinstance(step, nn.Linear)]
    with torch.no_grad():
        for linear, kernel, bias in zip(linears, weights[::2], weights[1::2], strict=True):
            linear.weight.copy_(torch.as_tensor(kernel).T)
            linear.bias.copy_(torch.as_tensor(bias))


def measure(contestants, rounds, barrier):
    """Seconds of each contestant, once a round, by each clock, in this process."""
    names = list(contestants)
    seconds = {clock: {name: [] for name in names} for clock in CLOCKS}
    for turn in range(-2, rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            barrier()
            begin = [read() for read, _ in CLOCKS.values()]
            contestants[name]()
            end = [read() for read, _ in CLOCKS.values()]
            if turn >= 0:
                for clock, first_read, last_read in zip(CLOCKS, begin, end, strict=True):
                    seconds[clock][name].append(last_read - first_read)
    return seconds


def together(everyone, clock, name, count):
    """Seconds of one of `count` steps in each round, those of all processes combined."""
    _, combine = CLOCKS[clock]
    rounds = zip(*(seconds[clock][name] for seconds in everyone), strict=True)
    return [combine(values) / count for values in rounds]


def compare(size, arguments, process_group):
    """Results of a comparison: seconds a step, those of a run of one step, and the last logs."""
    import torchkeras as keras

    features, _, classes, batch_size = SIZES[size]
    random = np.random.default_rng(0)
    x = random.normal(size=(arguments.steps * batch_size, features)).astype("float32")
    y = (x @ random.normal(size=(features, classes))).argmax(-1)
    keras.utils.set_random_seed(0)
    rank, world_size = process_group.rank(), process_group.world_size()
    loops = {
        HAND: HandWritten(x, y, size, arguments.epochs, rank, world_size),
        FIT: Fit(x, y, size, arguments.epochs),
    }
    start_alike(loops)
    found = {"parameters": loops[FIT].model.count_params(), "batch_size": batch_size}
    for kind, count in (("run", arguments.steps * arguments.epochs), ("start", 1)):
        functions = {name: getattr(loop, kind) for name, loop in loops.items()}
        seconds = measure(functions, arguments.rounds, process_group.barrier)
        everyone = process_group.all_gather_object(seconds)
        found[kind] = {
            clock: common.summarize(
                {name: together(everyone, clock, name, count) for name in loops}, HAND
            )
            for clock in CLOCKS
        }
    found["logs"] = {name: loop.run() for name, loop in loops.items()}
    return found


def all_reduce_times(process_group, rounds):
    """Seconds of an all-reduce alone, by MiB: the median of the rounds."""
    import torch

    found = {}
    for mib in ALL_REDUCE_MIB:
        values = torch.ones(int(mib * 2**20 / 4))
        times = []
        for turn in range(-2, rounds):
            process_group.barrier()
            begin = time.perf_counter()
            process_group.all_reduce_([values], "mean")
            if turn >= 0:
                times.append(time.perf_counter() - begin)
        found[str(mib)] = common.quartiles(times)[1]
    return found


def checkpoint_times(rounds):
    """Seconds to write and read a model with its Adam, and the bytes of the file."""
    import torchkeras as keras

    model = keras.Sequential([keras.Input((2048,)), keras.layers.Dense(2048)])
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((1, 2048), "float32"), np.ones((1, 2048), "float32"))
    writes, reads = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.safetensors")
        for _ in range(rounds):
            begin = time.perf_counter()
            model.save(path)
            middle = time.perf_counter()
            keras.saving.load_model(path)
            writes.append(middle - begin)
            reads.append(time.perf_counter() - middle)
        size = path.stat().st_size
    medians = {"write_s": common.quartiles(writes)[1], "read_s": common.quartiles(reads)[1]}
    return {"bytes": size, "parameters": model.count_params(), **medians}


def work(arguments):
    """What each process of torchrun does; process 0 writes the results."""
    import torch

    from torchkeras.distribution import process_group

    torch.set_num_threads(arguments.threads)
    process_group.initialize()
    results = {size: compare(size, arguments, process_group) for size in arguments.size}
    if process_group.is_active():
        results["all_reduce_s"] = all_reduce_times(process_group, max(3, arguments.rounds))
    else:
        results["checkpoint"] = checkpoint_times(max(3, arguments.rounds // 2))
    if process_group.is_chief():
        pathlib.Path(arguments.worker).write_text(json.dumps(results))


def launch(processes, arguments):
    """Run this script in so many processes, and return what they have measured."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "results.json")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={processes}", __file__, "--worker", str(path)]
        for name in ("rounds", "steps", "epochs", "threads"):
            command += [f"--{name}", str(getattr(arguments, name))]
        command += ["--size", *arguments.size]
        threads = {"OMP_NUM_THREADS": str(arguments.threads), "CUDA_VISIBLE_DEVICES": ""}
        root = str(pathlib.Path(__file__).parents[1])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        subprocess.run(command, check=True, env={**os.environ, **threads, "PYTHONPATH": paths})
        return json.loads(path.read_text())


def show(processes, results, arguments):
    """Print what was measured with a number of processes."""
    for size in arguments.size:
        found = results[size]
        for clock in CLOCKS:
            title = (
                f"{processes} process(es), a step by {clock} time: {size}, "
                f"{found['parameters']:,} parameters, global batch {found['batch_size']}"
            )
            common.show(title, found["run"][clock], HAND)
        common.show("The same by wall time, a run of one step", found["start"]["wall"], HAND)
        for name, logs in found["logs"].items():
            print(f"  {name}: " + ", ".join(f"{k} {v:.4f}" for k, v in logs.items()))
    for mib, seconds in results.get("all_reduce_s", {}).items():
        rate = float(mib) * 2**20 / seconds / 1e9
        print(f"  all-reduce of {mib} MiB: {seconds * 1e3:.2f} ms, {rate:.2f} GB/s")
    if "checkpoint" in results:
        found = results["checkpoint"]
        megabytes = found["bytes"] / 1e6
        write, read = megabytes / found["write_s"], megabytes / found["read_s"]
        print(
            f"  checkpoint of {megabytes:.0f} MB ({found['parameters']:,} parameters and Adam): "
            f"written at {write:.0f} MB/s, read at {read:.0f} MB/s"
        )


def main():
    parser = common.argument_parser(__doc__.splitlines()[0], rounds=9, on_device=False)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--size", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--steps", type=int, default=200, help="steps of an epoch")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of one timing, a run")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of a process")
    parser.add_argument("--worker", metavar="PATH", help="used when it starts itself")
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    facts = common.environment(arguments)
    results = {}
    for processes in arguments.processes:
        results[f"{processes} processes"] = found = launch(processes, arguments)
        show(processes, found, arguments)
    common.report(facts, results, arguments.json)


if __name__ == "__main__":
    main()
