"""What does a step of `fit` with a layer cost beside the same in hand-written PyTorch, and Keras?

Each case is a small model around one kind of layer, trained for a mean squared error with Adam on
arrays, shuffled. The hand-written loop has torch's own layer and its fused Adam, a new order each
epoch, batches by `index_select`, and the loss summed on the device and read once an epoch. All
start from the same weights.

Run: python benchmarks/layers.py [--case lstm gru] [--cpu-time] [--device cuda] [--json PATH]
"""

import common
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import torchkeras


class Recurrent(nn.Module):
    """The last output of a recurrent layer of torch, through a Linear."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(layer.hidden_size, 1)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])

    def load(self, kernel, recurrent_kernel, bias, head_kernel, head_bias):
        """Take the weights of a model of Keras's; a GRU's gates have another order there."""
        layer = self.layer
        if isinstance(layer, nn.GRU):
            kernel, recurrent_kernel, bias = map(_reset_first, (kernel, recurrent_kernel, bias))
        biases = [bias, np.zeros_like(bias)] if bias.ndim == 1 else bias
        layer.weight_ih_l0.copy_(torch.from_numpy(kernel.T.copy()))
        layer.weight_hh_l0.copy_(torch.from_numpy(recurrent_kernel.T.copy()))
        layer.bias_ih_l0.copy_(torch.from_numpy(biases[0]))
        layer.bias_hh_l0.copy_(torch.from_numpy(biases[1]))
        self.head.weight.copy_(torch.from_numpy(head_kernel.T.copy()))
        self.head.bias.copy_(torch.from_numpy(head_bias))


def _reset_first(array):
    update, reset, new = np.split(array, 3, axis=-1)
    return np.concatenate([reset, update, new], axis=-1)


STEPS, FEATURES, UNITS = 120, 14, 32

# Of each case: what it is, shapes of a sample and of its target, samples in a batch; the module of
# torch, whose `load` takes the weights of the others; and the layers between input and output.
CASES = {
    "lstm": {
        "title": f"LSTM({UNITS}) on ({STEPS}, {FEATURES}), then Dense(1)",
        "shapes": ((STEPS, FEATURES), (1,)),
        "batch_size": 64,
        "net": lambda: Recurrent(nn.LSTM(FEATURES, UNITS, batch_first=True)),
        "layers": lambda layers: [layers.LSTM(UNITS), layers.Dense(1)],
    },
    "gru": {
        "title": f"GRU({UNITS}) on ({STEPS}, {FEATURES}), then Dense(1)",
        "shapes": ((STEPS, FEATURES), (1,)),
        "batch_size": 64,
        "net": lambda: Recurrent(nn.GRU(FEATURES, UNITS, batch_first=True)),
        "layers": lambda layers: [layers.GRU(UNITS), layers.Dense(1)],
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

    def __init__(self, library, case, x, y, device, dtype):
        with library.device(device):
            inputs = outputs = library.Input(x.shape[1:], dtype=dtype)
            for layer in case["layers"](library.layers):
                outputs = layer(outputs)
            self.model = library.Model(inputs, outputs)
            self.model.compile(optimizer=library.optimizers.Adam(1e-3), loss="mse")
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
    weights = loops["torchkeras fit"].model.get_weights()
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
