"""What does a call through torchkeras cost beside the same call in plain torch and in Keras?

Small sizes, where the work of Python shows: a Dense layer beside `nn.Linear`, and a functional
model of eight Dense layers beside an `nn.Sequential` of eight Linear and ReLU.

Run: python benchmarks/layer_overhead.py [--device cuda] [--dtype bfloat16] [--json PATH]
"""

import common
import torch
from torch import nn

import torchkeras

LAYER_SIZES = [(32, 16, 16), (128, 784, 512)]  # batch, features, units
WIDTH, DEPTH, BATCH = 64, 8, 32


def dense_layers(features, units, device, dtype, keras):
    """One dense layer for each library, ready to be called."""
    name = str(dtype).removeprefix("torch.")
    layers = {"nn.Linear": nn.Linear(features, units, device=device, dtype=dtype)}
    with torchkeras.device(str(device)):
        layers["torchkeras Dense"] = torchkeras.layers.Dense(units, dtype=name)
        layers["torchkeras Dense"].build((None, features))
    if keras is not None:
        with keras.device(str(device)):
            layers["keras Dense"] = keras.layers.Dense(units, dtype=name)
            layers["keras Dense"].build((None, features))
    return layers


def functional_model(library, device, dtype):
    """Eight dense layers of width 64 with ReLU, as a functional model of torchkeras or Keras."""
    with library.device(str(device)):
        inputs = library.Input((WIDTH,), dtype=dtype)
        x = inputs
        for _ in range(DEPTH):
            x = library.layers.Dense(WIDTH, activation="relu", dtype=dtype)(x)
        return library.Model(inputs, x)


def models(device, dtype, keras):
    """The same stack of layers for each library."""
    name = str(dtype).removeprefix("torch.")
    steps = []
    for _ in range(DEPTH):
        steps += [nn.Linear(WIDTH, WIDTH, device=device, dtype=dtype), nn.ReLU()]
    found = {
        "nn.Sequential": nn.Sequential(*steps),
        "torchkeras Model": functional_model(torchkeras, device, name),
    }
    if keras is not None:
        found["keras Model"] = functional_model(keras, device, name)
    return found


def compare(callables, x, baseline, gradients, arguments, device):
    """Time calls on `x`, with or without autograd recording them."""
    contestants = {
        name: (lambda function=function: function(x)) for name, function in callables.items()
    }
    with torch.set_grad_enabled(gradients):
        results = {name: function() for name, function in contestants.items()}
        for name, y in results.items():
            if tuple(y.shape) != tuple(results[baseline].shape) or y.requires_grad != gradients:
                raise RuntimeError(
                    f"{name} gives {tuple(y.shape)}, requires_grad={y.requires_grad}."
                )
        seconds = common.interleave(contestants, arguments, device)
    return common.summarize(seconds, baseline)


def main():
    arguments = common.argument_parser(__doc__.splitlines()[0], rounds=101).parse_args()
    device, dtype = common.prepare(arguments)
    facts = common.environment(arguments)
    keras = common.import_keras(arguments)
    results = {}

    for batch, features, units in LAYER_SIZES:
        layers = dense_layers(features, units, device, dtype, keras)
        x = torch.randn(batch, features, device=device, dtype=dtype)
        for gradients in (True, False):
            title = (
                f"Dense ({batch}, {features}) -> {units}, gradients {'on' if gradients else 'off'}"
            )
            results[title] = compare(layers, x, "nn.Linear", gradients, arguments, device)
            common.show(title, results[title], "nn.Linear")

    stacks = models(device, dtype, keras)
    x = torch.randn(BATCH, WIDTH, device=device, dtype=dtype)
    for gradients in (True, False):
        title = (
            f"{DEPTH} x Dense(relu) of width {WIDTH}, batch {BATCH}, functional, "
            f"gradients {'on' if gradients else 'off'}"
        )
        results[title] = compare(stacks, x, "nn.Sequential", gradients, arguments, device)
        common.show(title, results[title], "nn.Sequential")

    common.report(facts, results, arguments.json)


if __name__ == "__main__":
    main()
