"""Contestants in processes of their own, which measure themselves, round by round.

Keras fixes its backend when it is imported, and libraries change each other's settings and caches.
So each family of contestants has a worker: a process that stays alive and is told over a pipe to
make contestants, to run one so many times, and to tell what came of it. It reads its clocks itself,
so the pipe is not measured. Workers take turns on the same cores; one that waits costs nothing.

A script that uses this hands its own path to `Team`, and calls `serve` where it finds `--serve`.
"""

import contextlib
import gc
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

import common

# Of each family, the packages that it cannot do without.
FAMILIES = {
    "torchkeras": ("torchkeras",),
    "torch": ("torch",),
    "keras-torch": ("keras", "torch"),
    "keras-jax": ("keras", "jax"),
    "lightning": ("lightning",),
    "accelerate": ("accelerate",),
    "skorch": ("skorch", "sklearn"),
}
PACKAGES = ("jax", "lightning", "accelerate", "skorch", "scikit-learn")  # for the report


def missing(family):
    """The packages of a family that are not installed."""
    return [name for name in FAMILIES[family] if importlib.util.find_spec(name) is None]


def add_contestants(parser, names):
    """The option that chooses contestants."""
    parser.add_argument(
        "--contestants",
        nargs="+",
        metavar="WORDS",
        help=f"those whose names begin so, of: {'; '.join(names)}",
    )


def chosen_contestants(contestants, arguments, ours):
    """Those of a dict of names to families that the options ask for; ours is one of them."""
    words = tuple(word.lower() for word in arguments.contestants or [""])
    return {
        name: family
        for name, family in contestants.items()
        if name == ours
        or (name.lower().startswith(words) and not (arguments.no_keras and "keras-" in family))
    }


def _environment(family, arguments):
    """The environment of a worker: backend of Keras, threads, and quiet logs."""
    threads = str(arguments.threads)
    found = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    found.update(PYTHONWARNINGS="ignore", TF_CPP_MIN_LOG_LEVEL="3", TQDM_DISABLE="1")
    found["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if family == "keras-jax":
        if arguments.device == "cpu":
            found["JAX_PLATFORMS"] = "cpu"
        if arguments.threads == 1:
            flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
            found["XLA_FLAGS"] = " ".join(filter(None, [os.environ.get("XLA_FLAGS"), flags]))
    return found


class Worker:
    """The side of a worker that asks.

    Args:
        script: path of the script that serves.
        family: str, a key of FAMILIES.
        arguments: options of the benchmark, which the worker gets too.
    """

    def __init__(self, script, family, arguments):
        self.family = family
        self._log = tempfile.TemporaryFile("w+", errors="replace")
        command = [sys.executable, script, "--serve", json.dumps([family, vars(arguments)])]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=_environment(family, arguments),
        )

    def send(self, **request):
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def receive(self):
        """The answer to a request.

        Raises:
            RuntimeError: the worker met an error, or has ended.
        """
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"the worker has ended: {self._log.read()[-2000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def ask(self, **request):
        self.send(**request)
        return self.receive()

    def close(self):
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


class Team:
    """The workers of a benchmark, and what they have measured.

    Args:
        script: path of the script that serves.
        families: names of families; those that lack a package are left out, with a line.
        arguments: options of the benchmark.

    Attributes:
        left_out: dict of names of families or contestants to the reason.
    """

    def __init__(self, script, families, arguments):
        self.left_out = {}
        self._workers, self._family_of, self._times = {}, {}, {}
        self._clock = "processor" if arguments.cpu_time else "wall"
        for family in dict.fromkeys(families):
            if lacking := missing(family):
                self._leave_out(family, f"not installed: {', '.join(lacking)}")
            else:
                self._workers[family] = Worker(script, family, arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self._workers.values():
            worker.close()

    def _leave_out(self, name, reason):
        self.left_out[name] = reason
        # Of a traceback, the line that names the error: it begins where the calls are indented.
        lines = [line for line in reason.strip().splitlines() if not line.startswith(" ")]
        line = next((line for line in lines if "Error" in line.partition(":")[0]), lines[-1])
        print(f"  left out: {name}: {line}", flush=True)

    def make(self, contestants, **details):
        """Have contestants made, and run once: by all families at the same time.

        Args:
            contestants: dict of names to families.
            **details: what the script's function that makes one is given, as JSON.

        Returns:
            list of the names of those that could be made.
        """
        names = {name: f for name, f in contestants.items() if f in self._workers}
        for name, family in names.items():
            self._workers[family].send(do="make", name=name, details=details)
        made = []
        for name, family in names.items():
            try:
                self._workers[family].receive()
            except RuntimeError as error:
                self._leave_out(name, str(error))
            else:
                self._family_of[name] = family
                self._times[name] = []
                made.append(name)
        return [name for name in contestants if name in made]

    def time(self, name, count=1):
        """Seconds of a run of a contestant, the mean of `count`; both clocks are remembered."""
        answer = self._workers[self._family_of[name]].ask(do="time", name=name, count=count)
        self._times[name].append(answer)
        return answer[self._clock]

    def times(self, name, rounds):
        """What each clock said of a contestant in the last rounds: dict of lists of seconds."""
        kept = self._times[name][-rounds:]
        return {clock: [answer[clock] for answer in kept] for clock in ("wall", "processor")}

    def tell(self, name):
        """What a contestant has to say after its runs, a dict."""
        return self._workers[self._family_of[name]].ask(do="tell", name=name)

    def forget(self):
        """Have all contestants deleted."""
        for worker in self._workers.values():
            worker.ask(do="forget")
        self._family_of.clear()
        self._times.clear()


def serve(make, family, arguments):
    """Answer requests until the pipe is closed: the worker's side.

    Args:
        make: function of the family, the name of a contestant, the details and the options, that
            returns an object with `run()` and `tell()`. Where it measures a part of `run` by
            itself, `run` sets `measured`, a pair of seconds, by both clocks.
        family: str.
        arguments: options of the benchmark.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to the log
    contestants = {}
    for line in sys.stdin:
        try:
            answer = _answer(json.loads(line), contestants, make, family, arguments)
        except Exception:  # whatever it is, it is the one who asked who decides
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(request, contestants, make, family, arguments):
    if request["do"] == "forget":
        contestants.clear()
        if "torch" in sys.modules:
            # Else the next workload's shapes make a graph's sizes dynamic.
            sys.modules["torch"].compiler.reset()
        gc.collect()
        return {}
    name = request["name"]
    if request["do"] == "make":
        contestants[name] = make(family, name, request["details"], arguments)
        contestants[name].run()
        return {}
    if request["do"] == "tell":
        return contestants[name].tell()
    return _time(contestants[name], request["count"], arguments)


def clocks():
    """Seconds of wall time and of processor time."""
    return time.perf_counter(), time.process_time()


def _time(contestant, count, arguments):
    _pin(arguments.threads)
    device = _cuda_device(arguments)
    gc.collect(0)
    gc.disable()
    try:
        total = [0.0, 0.0]
        common.synchronize(device)
        begin = clocks()
        for _ in range(count):
            contestant.run()
            if (measured := getattr(contestant, "measured", None)) is not None:
                total = [a + b for a, b in zip(total, measured, strict=True)]
        common.synchronize(device)
        end = clocks()
    finally:
        gc.enable()
    if measured is None:
        total = [b - a for a, b in zip(begin, end, strict=True)]
    return dict(zip(("wall", "processor"), (t / count for t in total), strict=True))


def _cuda_device(arguments):
    if not arguments.device.startswith("cuda") or "torch" not in sys.modules:
        return None
    return sys.modules["torch"].device(arguments.device)


def _pin(threads):
    """Keep all threads of this process on as many cores as there are to be threads.

    Not from the start, so that compilers may use all cores: they are not measured.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(os.getppid()))[-threads:]
    for task in pathlib.Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            os.sched_setaffinity(int(task.name), cores)
