"""How fast are `predict`, `evaluate` and a call beside the bare module, and Keras on torch and JAX?

Questions: `model(x)` of one sample; `predict` and `predict_on_batch` of one; `predict_on_batch` of
32; `predict` and `evaluate` of 10,000 samples, 32 or 256 in a batch. The bare module of torch has
the same weights, does the same by the shortest loop that gives the same (arrays of probabilities;
mean loss and accuracy), under `no_grad` or `inference_mode`. Contestants take turns, each in the
worker of its family (`workers.py`); all outputs are compared.

A ratio is theirs / ours: above 1, torchkeras, run eagerly, is the faster one.

Run: python benchmarks/predict.py [--only small mlp-32] [--question call predict-1] [--rounds 9]
     [--seconds 0.05] [--threads 2] [--cpu-time] [--json PATH]
"""

import argparse
import contextlib
import json
import os
import sys

import common
import numpy as np
import workers
import workloads

OURS = "torchkeras"
SAMPLES = 10_000
# name: (title, method, samples, samples in a batch)
QUESTIONS = {
    "call": ("model(x), one sample", "call", 1, 1),
    "predict-1": ("predict, one sample", "predict", 1, 32),
    "on-batch-1": ("predict_on_batch, one sample", "predict_on_batch", 1, 1),
    "on-batch-32": ("predict_on_batch, 32 samples", "predict_on_batch", 32, 32),
    "predict-32": (f"predict, {SAMPLES} samples, batch 32", "predict", SAMPLES, 32),
    "predict-256": (f"predict, {SAMPLES} samples, batch 256", "predict", SAMPLES, 256),
    "evaluate-32": (f"evaluate, {SAMPLES} samples, batch 32", "evaluate", SAMPLES, 32),
    "evaluate-256": (f"evaluate, {SAMPLES} samples, batch 256", "evaluate", SAMPLES, 256),
}
# name: (family, what is particular to it)
CONTESTANTS = {
    OURS: ("torchkeras", {}),
    "torchkeras, no_grad": ("torchkeras", {"no_grad": True, "only": "call"}),
    "torchkeras, jit_compile": ("torchkeras", {"jit_compile": True, "not": "call"}),
    "torch, gradients on": ("torch", {"mode": "enable_grad", "only": "call"}),
    "torch, no_grad": ("torch", {"mode": "no_grad"}),
    "torch, inference_mode": ("torch", {"mode": "inference_mode"}),
    "Keras, torch": ("keras-torch", {}),
    "Keras, JAX": ("keras-jax", {"jit_compile": "auto"}),
}


# What runs in a worker


class Model:
    """A model of torchkeras or Keras, asked one question."""

    def __init__(self, library, particular, x, y, weights, details, options):
        workload = workloads.WORKLOADS[details["workload"]]
        _, method, _, batch_size = QUESTIONS[details["question"]]
        library.config.set_floatx(options.dtype)
        self.scope = lambda: library.device(options.device)
        if particular.get("no_grad"):
            import torch

            self.scope = torch.no_grad
        with library.device(options.device):
            self.model = workloads.keras_model(library, workload, options.dtype)
            self.model.set_weights(weights)
            self.model.compile(
                loss="mse" if workload["classes"] is None else "sparse_categorical_crossentropy",
                metrics=["mae" if workload["classes"] is None else "accuracy"],
                jit_compile=particular.get("jit_compile", False),
            )
            self.tensor = library.ops.convert_to_tensor(x)
        self.ask = {
            "call": self.call,
            "predict": lambda: self.model.predict(x, batch_size=batch_size, verbose=0),
            "predict_on_batch": lambda: self.model.predict_on_batch(x),
            "evaluate": lambda: self.model.evaluate(x, y, batch_size=batch_size, verbose=0),
        }[method]

    def call(self):
        return self.model(self.tensor)

    def run(self):
        with self.scope():
            self.answer = self.ask()
        # JAX hands out results that are still being computed.
        getattr(self.answer, "block_until_ready", int)()

    def tell(self):
        return {"answer": first_numbers(self.answer)}


class Bare:
    """The module of torch by itself."""

    def __init__(self, particular, x, y, weights, details, options):
        import torch

        workload = workloads.WORKLOADS[details["workload"]]
        _, method, _, self.batch_size = QUESTIONS[details["question"]]
        self.device, self.dtype = torch.device(options.device), getattr(torch, options.dtype)
        self.net = workloads.torch_net(workload, weights, self.device, self.dtype).eval()
        self.classes = workload["classes"]
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)
        self.tensor = self.moved(self.x)
        self.mode = getattr(torch, particular["mode"])
        self.ask = {
            "call": lambda: self.outputs(self.tensor),
            "predict": self.predict,
            "predict_on_batch": lambda: self.as_array(self.outputs(self.moved(self.x))),
            "evaluate": self.evaluate,
        }[method]

    def moved(self, x):
        return x.to(self.device, self.dtype if x.is_floating_point() else None)

    def outputs(self, x):
        outputs = self.net(x)
        return outputs if self.classes is None else outputs.softmax(-1)

    def as_array(self, tensor):
        return tensor.float().cpu().numpy()

    def predict(self):
        import torch

        parts = [self.outputs(self.moved(x)) for x in self.x.split(self.batch_size)]
        return self.as_array(torch.cat(parts))

    def evaluate(self):
        import torch_loops
        from torch.nn import functional as F

        is_regression = self.classes is None
        loss_of = F.mse_loss if is_regression else F.cross_entropy
        measure = torch_loops.absolute_error if is_regression else torch_loops.accuracy
        sums = [0.0, 0.0]
        batches = zip(self.x.split(self.batch_size), self.y.split(self.batch_size), strict=True)
        for x, y in batches:
            outputs, y = self.net(self.moved(x)), y.to(self.device)
            sums[0] = sums[0] + loss_of(outputs, y) * len(x)
            sums[1] = sums[1] + measure(outputs, y) * len(x)
        return [float(total) / len(self.x) for total in sums]

    def run(self):
        with self.mode():
            self.answer = self.ask()

    def tell(self):
        return {"answer": first_numbers(self.answer)}


def first_numbers(answer):
    """The first few numbers of an answer, to compare."""
    with contextlib.suppress(AttributeError):
        answer = answer.detach().cpu().float().numpy()
    return np.asarray(answer, "float64").reshape(-1)[:10].tolist()


def make(family, name, details, options):
    """Make a contestant in a worker."""
    workload = workloads.WORKLOADS[details["workload"]]
    x, y = workloads.make_data(workload, QUESTIONS[details["question"]][2])
    weights = workloads.read_weights(details["path"])
    if family != "keras-jax":
        import torch

        torch.set_num_threads(options.threads)
    particular = CONTESTANTS[name][1]
    if family == "torch":
        return Bare(particular, x, y, weights, details, options)
    if family == "torchkeras":
        import torchkeras as library
    else:
        os.environ["KERAS_BACKEND"] = family.removeprefix("keras-")
        import keras as library
    return Model(library, particular, x, y, weights, details, options)


# What asks the workers


def takes_part(name, question):
    """Whether the question is one for the contestant."""
    particular = CONTESTANTS[name][1]
    return particular.get("only", question) == question != particular.get("not")


def compare(workload, question, contestants, team, path, arguments):
    """The results of a question."""
    details = {"workload": workload, "question": question, "path": path}
    asked = {n: f for n, f in contestants.items() if takes_part(n, question)}
    made = team.make(asked, **details)
    if OURS not in made:
        raise SystemExit(f"{OURS!r} could not be made: {team.left_out.get(OURS)}")
    numbers = {}
    for name in made:
        fastest = min(team.time(name) for _ in range(3))
        numbers[name] = max(1, round(arguments.seconds / max(fastest, 1e-6)))
    seconds = common.interleave(
        {n: n for n in made}, arguments, number=numbers, timing=team.time, warm_up=1
    )
    results = common.summarize(seconds, OURS)
    for name in made:
        results[name].update(team.tell(name))
        clocks = team.times(name, arguments.rounds)
        results[name]["clocks_us"] = {
            clock: common.quartiles(values)[1] * 1e6 for clock, values in clocks.items()
        }
    title = f"{QUESTIONS[question][0]}: {workloads.WORKLOADS[workload]['title'].partition(',')[0]}"
    common.show(title, results, OURS)
    tolerance = 1e-4 if arguments.dtype in ("float32", "float64") else 0.05
    for name, result in results.items():
        difference = np.abs(np.subtract(result["answer"], results[OURS]["answer"])).max()
        result["agrees"] = bool(difference <= tolerance)
        if not result["agrees"]:
            print(f"  WARNING: {name}: another answer, by {difference:.2g}")
    team.forget()
    return {"title": title, "contestants": results}


def main():
    if sys.argv[1:2] == ["--serve"]:
        family, options = json.loads(sys.argv[2])
        workers.serve(make, family, argparse.Namespace(**options))
        return
    parser = common.argument_parser(__doc__.splitlines()[0], rounds=9)
    parser.add_argument(
        "--only", nargs="+", choices=workloads.WORKLOADS, default=["small", "mlp-32"]
    )
    parser.add_argument("--question", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    workers.add_contestants(parser, CONTESTANTS)
    parser.add_argument("--seconds", type=float, default=0.05, help="of one timing")
    arguments = parser.parse_args()
    common.prepare(arguments)
    facts = common.environment(arguments, workers.PACKAGES)
    contestants = {name: family for name, (family, _) in CONTESTANTS.items()}
    contestants = workers.chosen_contestants(contestants, arguments, OURS)
    results = {}
    with workers.Team(__file__, contestants.values(), arguments) as team:
        for workload in arguments.only:
            with workloads.weights_file(workload) as path:
                results[workload] = {
                    question: compare(workload, question, contestants, team, path, arguments)
                    for question in arguments.question
                }
        facts["left_out"] = team.left_out
    common.report(facts, results, arguments.json)


if __name__ == "__main__":
    main()
