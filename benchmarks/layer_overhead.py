"""What does a call through torchkeras cost beside the same call in plain torch and in Keras?

Small sizes, where the work of Python shows: a Dense layer beside `nn.Linear`, a functional model of
eight Dense layers beside an `nn.Sequential` of eight Linear and ReLU, and layers that get more than
one tensor (two tensors, `training=`, `mask=`, a mask that rides on the input, states in a list)
beside a plain module that gets the same.

Run: python benchmarks/layer_overhead.py [--device cuda] [--dtype bfloat16] [--json PATH]
"""

import common
import torch
from torch import nn

import torchkeras

LAYER_SIZES = [(32, 16, 16), (128, 784, 512)]  # batch, features, units
WIDTH, DEPTH, BATCH = 64, 8, 32
SMALL = (32, 16)


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


class PlainScale(nn.Module):
    """The bare computation: the input times a factor, whatever else it is given."""

    def forward(self, x, *more, **others):
        return x * 2.0


def scaling_layers(library):
    """Layers of a library that compute the same, and take one kind of arguments each."""
    Layer = library.layers.Layer

    class Two(Layer):
        def call(self, x, y):
            return x * 2.0

    class Trained(Layer):
        def call(self, x, training=None):
            return x * 2.0

    class Masked(Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, x, mask=None):
            return x * 2.0

    class Stateful(Layer):
        def call(self, x, initial_state=None):
            return x * 2.0

    return {
        "two tensors": Two(),
        "training=": Trained(),
        "mask=": Masked(),
        "a mask on the input": Masked(),
        "states in a list": Stateful(),
    }


def calls_with_more(keras, device, dtype):
    """`{title: {contestant: function without arguments}}` for calls of more than one tensor."""
    x = torch.randn(SMALL, device=device, dtype=dtype)
    mask = torch.ones(SMALL[:1], device=device, dtype=torch.bool)
    masked = x.clone()
    masked._keras_mask = mask
    arguments = {
        "two tensors": ((x, x), {}),
        "training=": ((x,), {"training": False}),
        "mask=": ((x,), {"mask": mask}),
        "a mask on the input": ((masked,), {}),
        "states in a list": ((x,), {"initial_state": [x, x]}),
    }
    libraries = {"torchkeras": torchkeras} | ({} if keras is None else {"keras": keras})
    layers = {name: scaling_layers(library) for name, library in libraries.items()}
    plain, found = PlainScale(), {}
    for title, (args, kwargs) in arguments.items():
        contestants = {"nn.Module": lambda a=args, k=kwargs: plain(*a, **k)}
        for name in libraries:
            layer = layers[name][title]
            contestants[f"{name} Layer"] = lambda f=layer, a=args, k=kwargs: f(*a, **k)
        found[f"{title}, {SMALL}"] = contestants
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

    for title, contestants in calls_with_more(keras, device, dtype).items():
        for function in contestants.values():
            function()
        seconds = common.interleave(contestants, arguments, device)
        results[title] = common.summarize(seconds, "nn.Module")
        common.show(title, results[title], "nn.Module")

    common.report(facts, results, arguments.json)


if __name__ == "__main__":
    main()
