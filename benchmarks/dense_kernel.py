"""What do the compiled kernels give a dense layer with activation and dropout?

The same computation by torchkeras with the kernels, by an `nn.Sequential` of torch (the baseline,
"eager"), by `torch.compile` of it, and by Keras layers: forward alone and forward with backward,
over sizes from tiny to those of a large perceptron. Also counted: the bytes that autograd keeps
for backward beside the inputs and weights, for each element of the output.

Run: python benchmarks/dense_kernel.py [--device cuda] [--dtype bfloat16] [--rate 0.2]
     [--activation relu] [--no-compile] [--json PATH]
"""

import common
import torch
from torch import nn

import torchkeras

SIZES = {
    "cpu": [
        (1, 8, 8),
        (32, 16, 16),
        (32, 64, 64),
        (64, 512, 10),
        (128, 128, 128),
        (32, 784, 512),
        (128, 784, 512),
        (256, 256, 256),
        (512, 1024, 1024),
        (4096, 512, 512),
    ],
    "cuda": [
        (batch, width, width) for batch in (512, 8192) for width in (256, 1024, 2048, 4096, 8192)
    ]
    + [(512, 1024, 10)],
}
MODULES = {
    "linear": None,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
}


def contestants(size, arguments, device, dtype, keras):
    """Functions of one input, in training mode, with the weights that their gradients are for."""
    _, features, units = size
    layers = [nn.Linear(features, units, device=device, dtype=dtype)]
    if arguments.activation != "linear":
        layers.append(MODULES[arguments.activation]())
    if arguments.rate:
        layers.append(nn.Dropout(arguments.rate))
    eager = nn.Sequential(*layers).train()
    found = {"eager": (eager, tuple(eager.parameters()))}
    if not arguments.no_compile:
        torch.compiler.reset()
        found["torch.compile"] = (torch.compile(eager), tuple(eager.parameters()))
    libraries = {"torchkeras": torchkeras}
    if keras is not None:
        libraries["keras"] = keras
    for name, library in libraries.items():
        found[name] = layers_of(library, size, arguments, device, dtype)
    return found


def layers_of(library, size, arguments, device, dtype):
    """The layer, and the dropout after it, as a Sequential of torchkeras or Keras."""
    _, features, units = size
    name = str(dtype).removeprefix("torch.")
    with library.device(str(device)):
        layers = [library.layers.Dense(units, activation=arguments.activation, dtype=name)]
        if arguments.rate:
            layers.append(library.layers.Dropout(arguments.rate, dtype=name))
        model = library.Sequential([library.Input((features,), dtype=name), *layers])
    model.train()
    weights = [w for w in model.parameters() if w.requires_grad]
    if library is torchkeras:
        return model, weights
    return (lambda x: model(x, training=True)), weights


def kept_bytes(function, x, weights):
    """Bytes that backward needs beside the input and the weights, counting no memory twice."""
    known = {t.untyped_storage().data_ptr() for t in (x, *weights)}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = function(x)
    # What the next layer keeps in any case, its input, belongs to the chain.
    kept[y.untyped_storage().data_ptr()] = y.untyped_storage().nbytes()
    return sum(kept.values())


def compare(size, arguments, device, dtype, keras):
    """Forward, forward with backward, and bytes kept, for one size."""
    x = torch.randn(size[0], size[1], device=device, dtype=dtype, requires_grad=True)
    gradient = torch.randn(size[0], size[2], device=device, dtype=dtype)
    found = contestants(size, arguments, device, dtype, keras)

    def step(function, weights):
        return lambda: torch.autograd.grad(function(x), (x, *weights), gradient)

    forwards = {name: (lambda f=f: f(x)) for name, (f, _) in found.items()}
    steps = {name: step(f, weights) for name, (f, weights) in found.items()}
    results = {}
    for title, functions in (("forward", forwards), ("forward and backward", steps)):
        seconds = common.interleave(functions, arguments, device)
        results[title] = common.summarize(seconds, "eager")
        common.show(f"{size} {arguments.activation}, {title}", results[title], "eager")
    if not arguments.no_memory:
        outputs = size[0] * size[2]
        results["kept bytes an element"] = {
            name: round(kept_bytes(f, x, weights) / outputs, 2)
            for name, (f, weights) in found.items()
            if name != "torch.compile"  # its graph sets the hooks aside
        }
        print(f"  bytes kept for backward, an element: {results['kept bytes an element']}")
    return results


def main():
    parser = common.argument_parser(__doc__.splitlines()[0], rounds=15)
    parser.add_argument("--rate", type=float, default=0.2, help="of the dropout; 0 for none")
    parser.add_argument("--activation", choices=sorted(MODULES), default="relu")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--no-memory", action="store_true", help="do not count bytes kept")
    parser.add_argument("--largest", type=int, help="leave out sizes with more multiplications")
    arguments = parser.parse_args()
    device, dtype = common.prepare(arguments)
    facts = common.environment(arguments) | {"kernels": torchkeras.kernels.status()}
    facts["kernels"].pop("path")
    keras = common.import_keras(arguments)
    torchkeras.kernels.load()
    results = {}
    for size in SIZES[device.type]:
        if arguments.largest and size[0] * size[1] * size[2] > arguments.largest:
            continue
        results[str(size)] = compare(size, arguments, device, dtype, keras)
    common.report(facts, results, arguments.json)
    print(f"kernels {facts['kernels']}")


if __name__ == "__main__":
    main()
