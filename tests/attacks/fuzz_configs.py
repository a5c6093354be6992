"""Hostile configs of all that a file may name: each is read or refused, soon and in little memory.

Good configs (tests/attacks/corpus.py) are changed in one to three places and read by
`model_from_json`, by `load_model` from a file, and by `deserialize_keras_object`. The reads run in
processes of their own. A finding is a read that ends its process or takes too long, that takes too
much memory, that raises another error than it should, or that opens what it should not.

    python -m tests.attacks.fuzz_configs --minutes 10 --seed 1
    python -m tests.attacks.fuzz_configs --case 1234 --seed 1      # one read, in this process

A case is told by its seed and number alone.
"""

import argparse
import contextlib
import copy
import io
import json
import os
import pathlib
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile

import torch

import torchkeras as keras
from tests.attacks import referee

SECONDS = 2.0  # of processor time, for one read
MEMORY_BYTES = 300 * 10**6  # that a read may take at its peak
EXPECTED = {
    "json": (ValueError, TypeError),
    "file": (ValueError,),
    "object": (ValueError, TypeError, NotImplementedError),
}

# Sizes are small, or beyond all memory: a text may well describe a model whose weights take a
# gigabyte, and this is no attack. A file must hold them: `_FILE_INTS` are for it alone.
_INTS = [
    -(2**63),
    -(2**31),
    -7,
    -2,
    -1,
    0,
    1,
    2,
    3,
    5,
    8,
    100,
    2**40,
    2**62,
    2**63,
    10**30,
    10**400,
]
_FILE_INTS = [10**4, 10**5, 10**6, 2 * 10**8, 2**24, 2**31]
_OTHERS = [None, True, False, 0.5, -0.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf")]
_OTHERS += ["", "x", "relu", "same", "valid", "channels_first", "float16", "complex64", "string"]
_OTHERS += ["int4", "mixed_float16", "../../x", "/etc/passwd", "http://127.0.0.1/x", "\0", "é" * 50]
_OTHERS += ["function", "__tensor__", "a" * 3000, "1" * 5000, "{", "%s" * 20, "...,x->x"]
_OTHERS += [[], {}, [[]], [None], [-1], [0], [1, 2], [2**40], [[1, [2]]], {"": None}, {"a": {}}]
_OTHERS += [[3] * 70, [1.5, "x"], {"class_name": "x", "config": {}}, {"class_name": 3, "config": 4}]
_FAR = [["os", "system"], ["builtins", "eval"], ["subprocess", "Popen"], ["keras", "Model"]]
_FAR += [
    ["keras.saving", "load_model"],
    ["keras.utils", "get_file"],
    ["keras.models", "Sequential"],
]
_FAR += [["keras.src.ops.numpy", "Add"], ["torch", "function"], ["builtins", "function"]]
_FAR += [["keras.applications", "VGG16"], ["torch", "load"], ["keras.layers", "TFSMLayer"]]
_FAR += [["keras.layers", "TorchModuleWrapper"], ["keras.layers", "Lambda"]]


def make_corpus(folder):
    """Write the good configs and files into the folder."""
    from tests.attacks import corpus

    folder = pathlib.Path(folder)
    configs, files = dict(corpus.object_configs()), {}
    for name, model in corpus.models().items():
        configs[f"model: {name}"] = keras.saving.serialize_keras_object(model)
        if model.built and len(model.weights) < 100:
            path = folder / f"{len(files)}.keras"
            try:
                model.save(path)
            except (ValueError, NotImplementedError):
                continue
            files[f"model: {name}"] = path.name
    known = {}
    for name, config in configs.items():
        try:
            known[name] = json.loads(json.dumps(config))
        except TypeError:
            continue
    (folder / "corpus.json").write_text(json.dumps({"configs": known, "files": files}))


class Corpus:
    """The good configs, and what may be taken from one into another."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        read = json.loads((self.folder / "corpus.json").read_text())
        self.configs, self.files = read["configs"], read["files"]
        self.names = sorted(self.configs)
        self.models = [name for name in self.names if name.startswith("model: ")]
        self.objects = [name for name in self.names if not name.startswith("model: ")]
        self.classes = sorted(
            {
                (str(c.get("module")), c["class_name"])
                for config in self.configs.values()
                for c, _ in _places(config)
                if isinstance(c, dict) and isinstance(c.get("class_name"), str)
            }
        )
        self.functions = sorted(
            name.removeprefix("model: ") for name in self.names if "torch." in name[:14]
        )


def _places(tree):
    """`(container, key)` of each value in a tree."""
    found, waiting = [], [tree]
    while waiting:
        here = waiting.pop()
        keys = here if isinstance(here, dict) else range(len(here)) if type(here) is list else ()
        for key in keys:
            found.append((here, key))
            waiting.append(here[key])
    return found


def _value(rng, corpus, reader):
    """Something that does not belong where it is put."""
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(_INTS + (_FILE_INTS if reader == "file" else []))
    if kind < 0.75:
        return copy.deepcopy(rng.choice(_OTHERS))
    if kind < 0.9:
        return copy.deepcopy(corpus.configs[rng.choice(corpus.objects)])
    other = corpus.configs[rng.choice(corpus.names)]
    container, key = rng.choice(_places(other))
    return copy.deepcopy(container[key])


_NAMES = frozenset("module class_name registered_name name config keras_history".split())


def _change(tree, rng, corpus, reader):
    """Change one place of the tree."""
    places = _places(tree)
    if not places:
        return
    told = [p for p in places if p[1] not in _NAMES]  # most are class names and the like
    container, key = rng.choice(told if told and rng.random() < 0.8 else places)
    value, kind = container[key], rng.random()
    if kind < 0.4:
        container[key] = _value(rng, corpus, reader)
    elif kind < 0.5 and isinstance(value, (int, float)):
        more = [-value, value + 1, value - 1, [value]]
        container[key] = rng.choice([*more, value * 10**6 if abs(value) < 1e9 else value])
    elif kind < 0.55:
        other, place = rng.choice(places)
        container[key], other[place] = copy.deepcopy((other[place], value))
    elif kind < 0.6:
        if isinstance(container, dict):
            del container[key]
        else:
            container.pop(key)
    elif kind < 0.65 and isinstance(value, list):
        container[key] = rng.choice([value * 2, value[::-1], value[1:], [value], value * 300])
    elif kind < 0.7:
        depth = rng.choice([1, 2, 30, 300, 900])
        for _ in range(depth):
            value = [value] if rng.random() < 0.5 else {"config": value, "class_name": "Sequential"}
        container[key] = value
    elif kind < 0.85:
        _rename(places, rng, corpus)
    elif kind < 0.93:
        _rewire(places, rng, corpus, reader)
    else:
        container[key] = copy.deepcopy(tree)


def _rename(places, rng, corpus):
    """Let one config name another class, or function."""
    named = [c for c, k in places if k in ("class_name", "function", "op") and isinstance(c, dict)]
    if not named:
        return
    config = rng.choice(named)
    if "function" in config and "class_name" not in config:
        config["function"] = rng.choice(corpus.functions)
    elif rng.random() < 0.6:
        config["module"], config["class_name"] = rng.choice(corpus.classes)
    elif rng.random() < 0.5:
        config["module"], config["class_name"] = rng.choice(_FAR)
    else:
        config["registered_name"] = rng.choice(["os>system", "Custom>x", "x", 3, None, "Dense"])


def _rewire(places, rng, corpus, reader):
    """Change the calls of a functional model."""
    ends = [c for c, k in places if k == "keras_history" and isinstance(c, dict)]
    calls = [c[k] for c, k in places if k == "inbound_nodes" and isinstance(c, dict)]
    kind = rng.random()
    if ends and kind < 0.5:
        history = rng.choice(ends)["keras_history"]
        if isinstance(history, list) and history:
            place = rng.randrange(len(history))
            history[place] = rng.choice(["x", "x0", "m", 0, 1, -1, 2**40, None, [], True, 0.5])
    elif calls and kind < 0.8:
        nodes = rng.choice(calls)
        if isinstance(nodes, list):
            nodes.extend(copy.deepcopy(rng.choice(calls)) if rng.random() < 0.5 else nodes * 3)
    elif calls:
        nodes = rng.choice(calls)
        if isinstance(nodes, list) and nodes and isinstance(nodes[0], dict):
            for part, empty in (("args", list), ("kwargs", dict)):
                if not isinstance(nodes[0].get(part), empty):
                    return
            if rng.random() < 0.5:
                nodes[0]["args"].append(_value(rng, corpus, reader))
            else:
                name = rng.choice(["training", "mask", "axis", "dim", "x", "shape", "n", "dtype"])
                nodes[0]["kwargs"][name] = _value(rng, corpus, reader)


def case_of(number, seed, corpus, only=""):
    """`(description, function that reads it)` of a case."""
    rng = random.Random(f"{seed}:{number}")
    reader = rng.choice(["json", "json", "file", "file", "object"])
    names = corpus.names if reader == "object" else corpus.models
    names = list(corpus.files) if reader == "file" else names
    names = [name for name in names if only in name] or names
    name = rng.choice(names)
    tree = {"": copy.deepcopy(corpus.configs[name])}
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3])):
        with contextlib.suppress(Exception):  # what was changed before has another form
            _change(tree[""] if isinstance(tree[""], (dict, list)) else tree, rng, corpus, reader)
    config = tree[""]
    if reader == "object":
        if rng.random() < 0.05:
            places = [p for p in _places(config) if type(p[0][p[1]]) in (dict, list)]
            if places:
                container, key = rng.choice(places)
                container[key] = config  # a circle
        return f"{reader} {name}", config, lambda: keras.saving.deserialize_keras_object(config)
    try:
        text = json.dumps(config)
    except (ValueError, RecursionError):
        text = "[" * 3000
    if reader == "json":
        return f"{reader} {name}", config, lambda: keras.models.model_from_json(text)
    data = _rezipped((corpus.folder / corpus.files[name]).read_bytes(), text)

    def load():
        path = pathlib.Path("case.keras")
        path.write_bytes(data)
        return keras.saving.load_model(path)

    return f"{reader} {name}", config, load


def _rezipped(data, text):
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(made, "w") as changed:
        for name in archive.namelist():
            changed.writestr(name, text if name == "config.json" else archive.read(name))
    return made.getvalue()


# The process that reads


def _outcome(reader, read):
    """What is wrong with a read, as words; empty if nothing is."""
    referee.reset_peak()
    before = referee.peak_bytes()
    try:
        read()
        error = None
    except Exception as raised:
        error = raised
    told = ""
    if error is not None and not isinstance(error, EXPECTED[reader]):
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename.rpartition('/torchkeras/')[2]}:{last.lineno}"
        told = f"raises {type(error).__name__} at {where}: {str(error)[:150]!r}"
    if error is None and isinstance(error, RecursionError):
        told = "raises RecursionError"
    peak = referee.peak_bytes() - before
    if peak > MEMORY_BYTES:
        told += f" takes {peak} bytes"
    return told


def work(folder, first, last, seed, only):
    corpus = Corpus(folder)
    os.chdir(tempfile.mkdtemp(dir=folder))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    # What is imported late, or made at a first call, is now.
    for name in ("model: nested", "model: stack", "model: text"):
        keras.models.model_from_json(json.dumps(corpus.configs[name])).count_params()
        keras.saving.load_model(corpus.folder / corpus.files[name])
    for warm in range(20):
        try:
            case_of(warm, "warm", corpus)[2]()
        except Exception:
            pass
    in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**30,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    touched = referee.watch(pathlib.Path.cwd(), corpus.folder)
    for number in range(first, last):
        name, _, read = case_of(number, seed, corpus, only)
        print(f"{number} {name}", flush=True)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        told = _outcome(name.split()[0], read)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if touched:
            told += f" touches {sorted(set(touched))[:3]}"
            touched.clear()
        if told:
            print(f"!{number} {name}\t{told}", flush=True)
    print("end", flush=True)


def findings(folder, cases, seed, minutes=None, only=""):
    """`(how many were read, [(number, name, what is wrong)])`; see the head of this file."""
    found, first, start = [], 0, time.monotonic()
    while first < cases and (minutes is None or time.monotonic() - start < 60 * minutes):
        command = [sys.executable, "-m", "tests.attacks.fuzz_configs", "--work", str(folder)]
        command += ["--first", str(first), "--cases", str(cases), "--seed", str(seed)]
        errors = open(os.path.join(folder, "errors.txt"), "w+")
        with (
            errors,
            subprocess.Popen(
                [*command, "--only", only], stdout=subprocess.PIPE, stderr=errors
            ) as process,
        ):
            last, silent, data = "", False, b""
            while True:
                ready, _, _ = select.select([process.stdout], [], [], 60)
                more = os.read(process.stdout.fileno(), 2**16) if ready else b""
                silent = not ready
                if not more:
                    break
                *lines, data = (data + more).split(b"\n")
                for line in map(bytes.decode, lines):
                    if line.startswith("!"):
                        name, _, told = line[1:].partition("\t")
                        found.append((*_numbered(name), told))
                    else:
                        last = line
                if minutes is not None and time.monotonic() - start > 60 * minutes:
                    break
            is_over = last == "end" or bool(more)
            process.kill() if silent or more else None
            code = process.wait()
            errors.seek(0)
            if not last or code == 1:  # an error of this script
                raise RuntimeError(f"The process ended with {code}. {errors.read()[-2000:]}")
        if last == "end":
            return cases, found
        number, name = _numbered(last)
        first = number + 1
        if not is_over:
            how = {-signal.SIGPROF: "takes too long"}.get(code, f"ends the process: {code}")
            found.append((number, name, "stands still" if silent else how))
    return first, found


def _numbered(line):
    number, _, name = line.partition(" ")
    return int(number), name


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, help="for how long, instead of --cases")
    parser.add_argument("--cases", type=int, help="how many reads; 2000 by default")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--only", default="", help="part of the names of configs to change")
    parser.add_argument("--case", type=int, help="make this one read here, and show it")
    parser.add_argument("--corpus", help="folder of good configs, made if it is not there")
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.first, given.cases, given.seed, given.only)
        return
    with tempfile.TemporaryDirectory() as folder:
        folder = given.corpus or folder
        if not os.path.exists(os.path.join(folder, "corpus.json")):
            os.makedirs(folder, exist_ok=True)
            make_corpus(folder)
        if given.case is not None:
            name, config, read = case_of(given.case, given.seed, Corpus(folder), given.only)
            os.chdir(folder)
            print(name, str(config)[:10_000], flush=True)
            print(read())
            return
        cases = given.cases or (2000 if given.minutes is None else 10**9)
        count, found = findings(folder, cases, given.seed, given.minutes, given.only)
    for number, name, told in found:
        print(f"--seed {given.seed} --case {number}  {name}  {told}")
    print(f"{count} reads, {len(found)} findings")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
