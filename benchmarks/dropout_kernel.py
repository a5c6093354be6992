"""What does a dropout alone cost with the compiled kernel?

torchkeras's Dropout layer in training mode beside `nn.Dropout` (the baseline), `torch.compile` of
it, and Keras's layer: forward alone, forward with backward, and the bytes kept for backward.

Run: python benchmarks/dropout_kernel.py [--device cuda] [--dtype bfloat16] [--rate 0.2]
     [--no-compile] [--json PATH]
"""

import functools

import common
import torch
from dense_kernel import kept_bytes
from torch import nn

import torchkeras

COUNTS = [16, 1024, 4096, 16384, 65536, 524288, 2097152]


def contestants(arguments, dtype, keras):
    """Functions of one tensor that drop a part of it."""
    name = str(dtype).removeprefix("torch.")
    rate = arguments.rate
    layer = torchkeras.layers.Dropout(rate, dtype=name)
    layer.train()
    found = {"nn.Dropout": nn.Dropout(rate).train(), "torchkeras Dropout": layer}
    if not arguments.no_compile:
        torch.compiler.reset()
        found["torch.compile"] = torch.compile(nn.Dropout(rate).train())
    if keras is not None:
        keras_layer = keras.layers.Dropout(rate, dtype=name)
        found["keras Dropout"] = lambda x: keras_layer(x, training=True)
    return found


def step(function, leaf, gradient):
    """Forward and backward."""
    return torch.autograd.grad(function(leaf), leaf, gradient)


def main():
    parser = common.argument_parser(__doc__.splitlines()[0], rounds=15)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    arguments = parser.parse_args()
    device, dtype = common.prepare(arguments)
    facts = common.environment(arguments) | {"kernels": torchkeras.kernels.status()}
    facts["kernels"].pop("path")
    keras = common.import_keras(arguments)
    torchkeras.kernels.load()
    results = {}
    for count in COUNTS:
        found = contestants(arguments, dtype, keras)
        x = torch.randn(count, device=device, dtype=dtype)
        leaf = x.clone().requires_grad_()
        gradient = torch.randn_like(x)
        forwards = {name: functools.partial(f, x) for name, f in found.items()}
        steps = {name: functools.partial(step, f, leaf, gradient) for name, f in found.items()}
        results[str(count)] = {}
        for title, functions in (("forward", forwards), ("forward and backward", steps)):
            seconds = common.interleave(functions, arguments, device)
            summary = common.summarize(seconds, "nn.Dropout")
            results[str(count)][title] = summary
            common.show(f"{count} elements, {title}", summary, "nn.Dropout")
        kept = {
            name: round(kept_bytes(f, leaf, ()) / count, 2)
            for name, f in found.items()
            if name != "torch.compile"
        }
        results[str(count)]["kept bytes an element"] = kept
        print(f"  bytes kept for backward, an element, the output included: {kept}")
    common.report(facts, results, arguments.json)
    print(f"kernels {facts['kernels']}")


if __name__ == "__main__":
    main()
