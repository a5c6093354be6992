"""What does a step of each optimizer cost beside torch's fastest of the same rule, and Keras's?

Two sets of weights: 100 tensors of 256 entries, where calls count, and an MLP of 407,050 weights
in four tensors, where arithmetic and memory do. A step is `apply` on given gradients here and in
Keras, `step` on the same in `.grad` in torch. Of torch's ways (fused, foreach) the faster one is
taken; for rules that torch lacks, Keras is set beside torchkeras alone.

Run: python benchmarks/optimizers.py [--only Adam Muon] [--no-keras] [--cpu-time] [--json PATH]
"""

import time

import common
import torch

import torchkeras

SHAPES = {
    "100 tensors of 256 entries": [(16, 16)] * 100,
    "an MLP of 407,050 weights": [(784, 512), (512,), (512, 10), (10,)],
}
# Name in keras.optimizers, its arguments, name in torch.optim or None, its arguments.
RULES = [
    ("SGD", {}, "SGD", {}),
    ("SGD", {"momentum": 0.9}, "SGD", {"momentum": 0.9}),
    ("RMSprop", {}, "RMSprop", {}),
    ("Adam", {}, "Adam", {}),
    ("AdamW", {}, "AdamW", {}),
    ("Adamax", {}, "Adamax", {}),
    ("Nadam", {}, "NAdam", {}),
    ("Adagrad", {}, "Adagrad", {}),
    ("Adadelta", {}, "Adadelta", {}),
    ("Adafactor", {}, "Adafactor", {}),
    ("Muon", {}, "Muon", {}),
    ("Lion", {}, None, {}),
    ("Lamb", {}, None, {}),
    ("Ftrl", {}, None, {}),
    ("ScheduleFreeAdamW", {}, None, {}),
]
WAYS = ({"fused": True}, {"foreach": True}, {})


def values_of(shapes, device, dtype):
    generator = torch.Generator().manual_seed(0)
    made = [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(2)]
    return [[tensor.to(device, dtype) for tensor in tensors] for tensors in made]


def keras_step(library, name, arguments, weights, grads):
    """A step of an optimizer of torchkeras or Keras, on weights of its own."""
    variables = [library.Variable(w.cpu().numpy(), name=f"w{i}") for i, w in enumerate(weights)]
    optimizer = getattr(library.optimizers, name)(learning_rate=1e-4, **arguments)
    optimizer.build(variables)
    return lambda: optimizer.apply(grads, variables)


def torch_step(name, arguments, weights, grads):
    """The fastest step that torch has for these weights; None where it has none."""
    found = []
    for way in WAYS:
        parameters = [torch.nn.Parameter(w.clone()) for w in weights]
        try:
            optimizer = getattr(torch.optim, name)(parameters, lr=1e-4, **arguments, **way)
            for parameter, grad in zip(parameters, grads, strict=True):
                parameter.grad = grad
            optimizer.step()
        except (TypeError, ValueError, RuntimeError):  # no such way, or no such shapes
            continue
        begin = time.perf_counter()
        for _ in range(10):
            optimizer.step()
        found.append((time.perf_counter() - begin, next(iter(way), "a loop"), optimizer.step))
    return min(found, key=lambda each: each[0])[1:] if found else None


def main():
    parser = common.argument_parser(__doc__.splitlines()[0], rounds=51)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="names of optimizers")
    arguments = parser.parse_args()
    device, dtype = common.prepare(arguments)
    facts = common.environment(arguments)
    keras = common.import_keras(arguments)
    results = {}
    for title, shapes in SHAPES.items():
        for name, options, in_torch, torch_options in RULES:
            if arguments.only and name not in arguments.only:
                continue
            weights, grads = values_of(shapes, device, dtype)
            with torchkeras.device(device.type):
                ours = keras_step(torchkeras, name, options, weights, grads)
            contestants, baseline = {"torchkeras": ours}, "torchkeras"
            known = in_torch and torch_step(in_torch, torch_options, weights, grads)
            if known:
                baseline = f"torch.optim.{in_torch}, {known[0]}"
                contestants = {baseline: known[1], **contestants}
            if keras is not None:
                with keras.device(device.type):
                    contestants["Keras"] = keras_step(keras, name, options, weights, grads)
            seconds = common.interleave(contestants, arguments, device)
            said = ", ".join(f"{key}={value}" for key, value in options.items())
            key = f"{name}({said}), {title}"
            results[key] = common.summarize(seconds, baseline)
            common.show(key, results[key], baseline)
    common.report(facts, results, arguments.json)


if __name__ == "__main__":
    main()
