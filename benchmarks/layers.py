"""What does a step of `fit` with a layer cost beside the same in hand-written PyTorch, and Keras?

Each case is a small model around one kind of layer, trained for a mean squared error with Adam on
arrays, shuffled. The hand-written loop has torch's own layer and its fused Adam, a new order each
epoch, batches by `index_select`, and the loss summed on the device and read once an epoch. All
start from the same weights.

Run: python benchmarks/layers.py [--case cnn lstm gru encoder] [--cpu-time] [--json PATH]
"""

import common
import numpy as np
import torch
from torch.nn import functional as F
from torch_nets import Convolutions, Encoder, Recurrent

import torchkeras


def convolutions(layers, x):
    """The same by layers of Keras."""
    x = layers.MaxPooling2D(2)(layers.Conv2D(32, 3, activation="relu")(x))
    x = layers.MaxPooling2D(2)(layers.Conv2D(64, 3, activation="relu")(x))
    x = layers.Conv2D(64, 3, activation="relu")(x)
    return layers.Dense(1)(layers.GlobalAveragePooling2D()(x))


def encoder(layers, x):
    """The same by layers of Keras."""
    attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(x, x)
    x = layers.LayerNormalization(epsilon=1e-5)(layers.add([x, attended]))
    hidden = layers.Dense(WIDTH)(layers.Dense(4 * WIDTH, activation="relu")(x))
    x = layers.LayerNormalization(epsilon=1e-5)(layers.add([x, hidden]))
    return layers.Dense(1)(layers.GlobalAveragePooling1D()(x))


STEPS, FEATURES, UNITS = 120, 14, 32
TOKENS, WIDTH, HEADS = 100, 128, 4

# Of each case: what it is, shapes of a sample and of its target, samples in a batch; the module of
# torch, whose `load` takes the weights of the others; and the layers between input and output.
CASES = {
    "cnn": {
        "title": "three Conv2D (32, 64, 64) on (28, 28, 1), then Dense(1)",
        "shapes": ((28, 28, 1), (1,)),
        "batch_size": 64,
        "net": lambda: Convolutions((32, 64, 64)),
        "layers": convolutions,
    },
    "lstm": {
        "title": f"LSTM({UNITS}) on ({STEPS}, {FEATURES}), then Dense(1)",
        "shapes": ((STEPS, FEATURES), (1,)),
        "batch_size": 64,
        "net": lambda: Recurrent("LSTM", FEATURES, UNITS),
        "layers": lambda layers, x: layers.Dense(1)(layers.LSTM(UNITS)(x)),
    },
    "gru": {
        "title": f"GRU({UNITS}) on ({STEPS}, {FEATURES}), then Dense(1)",
        "shapes": ((STEPS, FEATURES), (1,)),
        "batch_size": 64,
        "net": lambda: Recurrent("GRU", FEATURES, UNITS),
        "layers": lambda layers, x: layers.Dense(1)(layers.GRU(UNITS)(x)),
    },
    "encoder": {
        "title": f"a Transformer's encoder block, {WIDTH} wide, on {TOKENS} tokens, then Dense(1)",
        "shapes": ((TOKENS, WIDTH), (1,)),
        "batch_size": 32,
        "net": lambda: Encoder(WIDTH, HEADS, 4 * WIDTH),
        "layers": encoder,
    },
}


class HandWritten:
    """The loop that a torch user would write."""

    def __init__(self, net, x, y, batch_size, device, dtype):
        self.net = net.to(device, dtype)
        self.x = torch.from_numpy(x).to(device, dtype)
        self.y = torch.from_numpy(y).to(device, dtype)
        self.batch_size = batch_size
        self.optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-7, fused=True)

    def epoch(self):
        x, y, net, optimizer = self.x, self.y, self.net, self.optimizer
        loss_sum = torch.zeros((), device=x.device)
        net.train()
        order = torch.randperm(len(x), device=x.device)
        for start in range(0, len(x), self.batch_size):
            index = order[start : start + self.batch_size]
            x_batch, y_batch = x.index_select(0, index), y.index_select(0, index)
            optimizer.zero_grad(set_to_none=True)
            loss = F.mse_loss(net(x_batch), y_batch)
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach() * len(index)
        return {"loss": float(loss_sum) / len(x)}


class Fit:
    """One epoch of `fit`, in torchkeras or in Keras."""

    def __init__(self, library, case, x, y, device, dtype, jit_compile=False):
        with library.device(device):
            inputs = library.Input(x.shape[1:], dtype=dtype)
            self.model = library.Model(inputs, case["layers"](library.layers, inputs))
            self.model.compile(library.optimizers.Adam(1e-3), "mse", jit_compile=jit_compile)
        self.library, self.device = library, device
        batch_size = case["batch_size"]
        self.arguments = {"x": x, "y": y, "batch_size": batch_size, "epochs": 1, "verbose": 0}

    def epoch(self):
        with self.library.device(self.device):
            history = self.model.fit(**self.arguments).history
        return {name: values[0] for name, values in history.items()}


def contestants(case, steps, device, dtype, keras):
    """The loops of a case, of the same weights, by name."""
    random = np.random.default_rng(0)
    count = steps * case["batch_size"]
    x, y = (random.normal(size=(count, *shape)).astype("float32") for shape in case["shapes"])
    # Targets that can be learned, so that all loops can be seen to train.
    y += x.reshape(count, -1)[:, -FEATURES:].mean(-1).reshape(count, *[1] * (y.ndim - 1))
    net, name = case["net"](), str(dtype).removeprefix("torch.")
    loops = {
        "hand-written loop": HandWritten(net, x, y, case["batch_size"], device, dtype),
        "torchkeras fit": Fit(torchkeras, case, x, y, str(device), name),
    }
    jitted = Fit(torchkeras, case, x, y, str(device), name, jit_compile=True)
    loops["torchkeras fit, jit_compile"] = jitted
    weights = loops["torchkeras fit"].model.get_weights()
    jitted.model.set_weights(weights)
    if keras is not None:
        loops["keras fit"] = Fit(keras, case, x, y, str(device), name)
        loops["keras fit"].model.set_weights(weights)
    with torch.no_grad():
        net.load(*weights)
    return loops


def main():
    parser = common.argument_parser(__doc__.splitlines()[0], rounds=9)
    parser.add_argument("--case", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--steps", type=int, default=100, help="steps in one timing, an epoch")
    arguments = parser.parse_args()
    device, dtype = common.prepare(arguments)
    facts = common.environment(arguments)
    keras = common.import_keras(arguments)
    results = {}
    for name in arguments.case:
        case = CASES[name]
        loops = contestants(case, arguments.steps, device, dtype, keras)
        epochs = {name: loop.epoch for name, loop in loops.items()}
        seconds = common.interleave(epochs, arguments, device, number=1)
        steps = {name: [s / arguments.steps for s in values] for name, values in seconds.items()}
        result = common.summarize(steps, "hand-written loop")
        title = f"A training step: {case['title']}, batch {case['batch_size']}, Adam"
        common.show(title, result, "hand-written loop")
        for name, loop in loops.items():
            result[name]["loss"] = loop.epoch()["loss"]
            print(f"  {name}: loss {result[name]['loss']:.4f} after {arguments.rounds + 3} epochs")
        results[title] = result
    common.report(facts, results, arguments.json)


if __name__ == "__main__":
    main()
