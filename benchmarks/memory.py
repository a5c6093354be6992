"""How much memory do `fit`, `evaluate` and `predict` take, beside a hand-written loop and Keras?

Two questions, each answered by programs of their own (Linux only), whose memory is looked at while
they run:

- `data`: arrays of many gigabytes in files that are mapped into memory, without their content: a
  sparse file reads as zeros. What counts is memory that cannot be given up (`RssAnon`); the peak
  of all (`VmHWM`) has the pages of the file in it, which the system takes back when it needs them.
- `steps`: models of large activations. What counts is what the loop takes at its peak above what
  is left when it is over: activations, gradients, and whatever is kept too long.

Run: python benchmarks/memory.py [data] [steps] [--gigabytes 10] [--whole] [--json PATH]
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import common
import numpy as np

MB = 1 << 20
# Blocks from 1 MB on are given back to the system when they are freed, so that it can be asked.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(MB), "MALLOC_TRIM_THRESHOLD_": str(MB)}
LIBRARIES = ("hand-written loop", "torchkeras", "keras")

# What is done with mapped arrays: the method, and its arguments.
DATA_TASKS = {
    "fit in order": ("fit", {"shuffle": False}),
    "fit shuffled": ("fit", {"shuffle": True}),
    "fit, validation_split": ("fit", {"validation_split": 0.1, "validation_steps": 50}),
    "fit, class_weight": ("fit", {"class_weight": {0: 1.0, 1: 2.0}}),
    "fit, sample_weight": ("fit", {"sample_weight": True}),
    "evaluate": ("evaluate", {}),
    "predict": ("predict", {}),
}
STEP_TASKS = ("MLP", "MLP, jit_compile", "CNN", "CNN, jit_compile")


def status(pid="self"):
    """Resident memory of a process in MB, by the names of the kernel."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = [line.split(":", 1) for line in lines]
    names = ("VmHWM", "RssAnon", "RssFile", "RssShmem")
    return {name: int(value.split()[0]) / 1024 for name, value in pairs if name in names}


# In the program that is measured


def mark(word):
    """Tell the program that looks on where this one is, and let it look."""
    print(word, flush=True)
    time.sleep(0.05)


def library_named(name):
    if name == "keras":
        import keras

        return keras
    import torchkeras

    return torchkeras


def mapped(folder, name, dtype, shape):
    """An array in a sparse file."""
    path = pathlib.Path(folder) / name
    with open(path, "wb") as file:
        file.truncate(int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)


def measure_data(job):
    """Train, evaluate or predict on arrays that are larger than the memory may be."""
    import torch

    rows = int(job["gigabytes"] * 2**30) // (job["columns"] * np.dtype(job["dtype"]).itemsize)
    x = mapped(job["folder"], "x", job["dtype"], (rows, job["columns"]))
    y = mapped(job["folder"], "y", "int64", (rows,))
    x = {"": lambda x: x, "view": np.asarray, "reversed": lambda x: x[::-1]}[job["form"]](x)
    method, arguments = DATA_TASKS[job["task"]]
    arguments = dict(arguments)
    if "sample_weight" in arguments:
        arguments["sample_weight"] = mapped(job["folder"], "w", "float32", (rows,))
    if job["library"] == "hand-written loop":
        loop = hand_written_over(x, y, method, arguments, job)
    else:
        library = library_named(job["library"])
        model = library.Sequential([library.Input((job["columns"],)), library.layers.Dense(2)])
        loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, metrics=["accuracy"])
        model.train_on_batch(np.zeros((1, job["columns"]), "float32"), np.zeros(1, "int64"))
        if job["steps"]:
            arguments["steps_per_epoch" if method == "fit" else "steps"] = job["steps"]
        else:
            arguments.pop("validation_steps", None)
        given = (x,) if method == "predict" else (x, y)
        arguments.update(batch_size=job["batch_size"], verbose=0)

        def loop():
            getattr(model, method)(*given, **arguments)

    torch.set_num_threads(1)
    before = status()["RssAnon"]
    mark("begin")
    start = time.perf_counter()
    loop()
    seconds = time.perf_counter() - start
    mark("end")
    return {"rows": rows, "before_mb": before, "seconds": seconds}


def hand_written_over(x, y, method, arguments, job):
    import torch
    from torch.nn import functional as F

    net = torch.nn.Linear(job["columns"], 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    size, trains = job["batch_size"], method == "fit"
    weights = arguments.get("sample_weight")

    def loop():
        shuffled = trains and arguments.get("shuffle", True)
        order = np.random.default_rng(0).permutation(len(x)) if shuffled else None
        outputs = []
        for step, start in enumerate(range(0, len(x), size)):
            if job["steps"] and step == job["steps"]:
                break
            place = slice(start, start + size) if order is None else order[start : start + size]
            batch = torch.from_numpy(np.array(x[place], dtype="float32"))
            with torch.set_grad_enabled(trains):
                logits = net(batch)
                if method == "predict":
                    outputs.append(logits)
                    continue
                labels = torch.from_numpy(np.array(y[place]))
                losses = F.cross_entropy(logits, labels, reduction="none")
                if weights is not None:
                    losses = losses * torch.from_numpy(np.array(weights[place]))
            if trains:
                optimizer.zero_grad()
                losses.mean().backward()
                optimizer.step()
        return torch.cat(outputs) if outputs else None

    return loop


MLP_ROWS, MLP_WIDTH, MLP_LAYERS = 32768, 256, 6
CNN_ROWS, CNN_SIZE, CNN_CHANNELS, CNN_LAYERS = 64, 64, 24, 4


def measure_steps(job):
    """Some training steps of a model whose activations are large."""
    import torch

    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    kind, _, option = job["task"].partition(", ")
    by_hand = job["library"] == "hand-written loop"
    if kind == "MLP":
        shape, rows = (MLP_WIDTH,), MLP_ROWS
    else:
        # Each library in the order of axes that it prefers.
        size = (CNN_SIZE, CNN_SIZE)
        shape, rows = ((3, *size) if by_hand else (*size, 3)), CNN_ROWS
    x = random.normal(size=(rows, *shape)).astype("float32")
    y = random.integers(0, 10, rows)
    make = hand_written_steps if by_hand else library_steps
    steps, drop = make(job["library"], kind, x, y, option == "jit_compile")
    begin = status()["RssAnon"]
    steps(4)  # the optimizer's state, and graphs
    mark("begin")
    steps(3)
    mark("end")
    drop()
    return {"before_mb": begin, "after_mb": status()["RssAnon"]}


def hand_written_steps(_, kind, x, y, compiled):
    import torch
    from torch import nn

    if kind == "MLP":
        pairs = [(nn.Linear(MLP_WIDTH, MLP_WIDTH), nn.ReLU()) for _ in range(MLP_LAYERS)]
        net = nn.Sequential(*[part for pair in pairs for part in pair], nn.Linear(MLP_WIDTH, 10))
    else:
        parts, channels = [], 3
        for _ in range(CNN_LAYERS):
            parts += [
                nn.Conv2d(channels, CNN_CHANNELS, 3, padding="same"),
                nn.BatchNorm2d(CNN_CHANNELS, eps=1e-3, momentum=0.01),
                nn.ReLU(),
            ]
            channels = CNN_CHANNELS
        net = nn.Sequential(
            *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CNN_CHANNELS, 10)
        )
    call = torch.compile(net) if compiled else net
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-7)
    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def steps(count):
        net.train()
        for _ in range(count):
            optimizer.zero_grad()
            logits = call(x)
            loss = nn.functional.cross_entropy(logits, y)
            loss.backward()
            optimizer.step()

    return steps, optimizer.zero_grad


def library_steps(name, kind, x, y, compiled):
    library = library_named(name)
    layers = library.layers
    inputs = h = library.Input(x.shape[1:])
    if kind == "MLP":
        for _ in range(MLP_LAYERS):
            h = layers.Dense(MLP_WIDTH, activation="relu")(h)
    else:
        for _ in range(CNN_LAYERS):
            h = layers.Conv2D(CNN_CHANNELS, 3, padding="same")(h)
            h = layers.ReLU()(layers.BatchNormalization()(h))
        h = layers.GlobalAveragePooling2D()(h)
    model = library.Model(inputs, layers.Dense(10)(h))
    loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=compiled)

    def steps(count):
        model.fit(x, y, batch_size=len(x), epochs=count, shuffle=False, verbose=0)

    def drop():
        for weight in model.trainable_weights:
            weight.value.grad = None

    return steps, drop


# In the program that looks on


def watch(job):
    """Run a job in a program of its own; returns what it tells, and peaks between its marks."""
    peaks, looks = {}, threading.Event()
    program = subprocess.Popen(
        [sys.executable, __file__, "--job", json.dumps(job)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **MALLOC, "OMP_NUM_THREADS": "1"},
    )

    def look():
        while program.poll() is None:
            if looks.is_set():
                try:
                    found = status(program.pid)
                except OSError:
                    return
                for name, value in found.items():
                    peaks[name] = max(peaks.get(name, 0), value)
            time.sleep(0.003)

    watcher = threading.Thread(target=look)
    watcher.start()
    told = None
    for line in program.stdout:
        if line == "begin\n":
            looks.set()
        elif line == "end\n":
            looks.clear()
        elif line.startswith("{"):
            told = json.loads(line)
    watcher.join()
    if program.wait() or told is None:
        raise SystemExit(f"The program for {job} has failed.")
    return {**told, **{f"peak_{name}_mb": round(value, 1) for name, value in peaks.items()}}


def data_results(arguments, libraries):
    results = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for task in arguments.tasks or DATA_TASKS:
            for library in libraries:
                job = {
                    "part": "data",
                    "task": task,
                    "library": library,
                    "folder": folder,
                    "gigabytes": arguments.gigabytes,
                    "columns": arguments.columns,
                    "dtype": arguments.dtype,
                    "form": arguments.form,
                    "batch_size": arguments.batch_size,
                    "steps": 0 if arguments.whole else arguments.steps,
                }
                found = results.setdefault(task, {})[library] = watch(job)
                print(
                    f"  {task:<22} {library:<18} RssAnon {found['peak_RssAnon_mb']:7.0f} MB, "
                    f"{found['before_mb']:4.0f} before   VmHWM {found['peak_VmHWM_mb']:7.0f} MB   "
                    f"{found['seconds']:6.1f} s",
                    flush=True,
                )
    return results


def step_results(arguments, libraries):
    results = {}
    for task in arguments.tasks or STEP_TASKS:
        for library in libraries:
            if library == "keras" and "jit_compile" in task:
                continue  # does not train by graphs on torch
            found = watch({"part": "steps", "task": task, "library": library})
            found["taken_mb"] = round(found["peak_RssAnon_mb"] - found["after_mb"], 1)
            results.setdefault(task, {})[library] = found
            print(
                f"  {task:<22} {library:<18} {found['taken_mb']:7.0f} MB above the "
                f"{found['after_mb']:5.0f} MB that are left",
                flush=True,
            )
    return results


def main():
    parser = common.argument_parser(__doc__.splitlines()[0], rounds=1, on_device=False)
    parser.add_argument("parts", nargs="*", metavar="PART", help="data, steps; both by default")
    parser.add_argument("--tasks", nargs="+", help="only these lines of a table")
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=LIBRARIES)
    parser.add_argument("--gigabytes", type=float, default=10.0, help="of the features")
    parser.add_argument("--columns", type=int, default=1024, help="features of a sample")
    parser.add_argument("--dtype", default="float32", help="of the features, as NumPy names it")
    parser.add_argument("--form", choices=("", "view", "reversed"), default="", help="of the array")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=300, help="steps over the data")
    parser.add_argument("--whole", action="store_true", help="a whole pass instead")
    parser.add_argument("--folder", help="where the sparse files go, on a disk")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        job = json.loads(arguments.job)
        print(json.dumps((measure_data if job["part"] == "data" else measure_steps)(job)))
        return
    kinds = {"data": data_results, "steps": step_results}
    results = {}
    for part in arguments.parts or kinds:
        print(f"\n{part}", flush=True)
        results[part] = kinds[part](arguments, arguments.libraries)
    common.report(common.environment(arguments), results, arguments.json)


if __name__ == "__main__":
    main()
