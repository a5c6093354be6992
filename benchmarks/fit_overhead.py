"""What does a step of `fit` cost beside a step of a hand-written loop, and of Keras's `fit`?

A small MLP (32-64-64-10, softmax, Adam, crossentropy of integer labels, accuracy, arrays in,
shuffled), so that what is measured is the loop and not the arithmetic. The hand-written loop does
the same work: a new order each epoch, batches by `index_select`, the loss from the logits, torch's
fused Adam, loss and accuracy summed on the device and read once an epoch. With `jit_compile` a step
is one graph; the time that compiling takes is not counted.

Run: python benchmarks/fit_overhead.py [--device cuda] [--threads 2] [--json PATH]
"""

import common
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import torchkeras

FEATURES, WIDTH, CLASSES = 32, 64, 10


class HandWritten:
    """The loop that a torch user would write, with everything that `fit` reports."""

    def __init__(self, x, y, batch_size, softmax, device, dtype):
        self.x = torch.from_numpy(x).to(device, dtype)
        self.y = torch.from_numpy(y).to(device)
        self.batch_size = batch_size
        self.softmax = softmax
        sizes = {"device": device, "dtype": dtype}
        self.net = nn.Sequential(
            nn.Linear(FEATURES, WIDTH, **sizes),
            nn.ReLU(),
            nn.Linear(WIDTH, WIDTH, **sizes),
            nn.ReLU(),
            nn.Linear(WIDTH, CLASSES, **sizes),
        )
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, eps=1e-7, fused=True)

    def epoch(self):
        x, y, net, optimizer = self.x, self.y, self.net, self.optimizer
        count = x.shape[0]
        loss_sum = torch.zeros((), device=x.device)
        correct = torch.zeros((), device=x.device)
        net.train()
        order = torch.randperm(count, device=x.device)
        for start in range(0, count, self.batch_size):
            index = order[start : start + self.batch_size]
            x_batch, y_batch = x.index_select(0, index), y.index_select(0, index)
            optimizer.zero_grad(set_to_none=True)
            logits = net(x_batch)
            predictions = torch.softmax(logits, -1) if self.softmax else logits
            loss = F.cross_entropy(logits, y_batch)
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                loss_sum += loss.detach() * index.shape[0]
                correct += (predictions.argmax(-1) == y_batch).sum()
        return {"loss": float(loss_sum) / count, "accuracy": float(correct) / count}


class Fit:
    """One epoch of `fit`, in torchkeras or in Keras."""

    def __init__(self, library, x, y, batch_size, softmax, device, dtype, jit_compile=False):
        with library.device(str(device)):
            inputs = library.Input((FEATURES,), dtype=dtype)
            hidden = library.layers.Dense(WIDTH, activation="relu", dtype=dtype)(inputs)
            hidden = library.layers.Dense(WIDTH, activation="relu", dtype=dtype)(hidden)
            activation = "softmax" if softmax else None
            outputs = library.layers.Dense(CLASSES, activation=activation, dtype=dtype)(hidden)
            self.model = library.Model(inputs, outputs)
            self.model.compile(
                optimizer=library.optimizers.Adam(1e-3),
                loss=library.losses.SparseCategoricalCrossentropy(from_logits=not softmax),
                metrics=["accuracy"],
                jit_compile=jit_compile,
            )
        self.library, self.device = library, str(device)
        self.arguments = {"x": x, "y": y, "batch_size": batch_size, "epochs": 1, "verbose": 0}

    def epoch(self):
        with self.library.device(self.device):
            history = self.model.fit(**self.arguments).history
        return {name: values[0] for name, values in history.items()}


def start_alike(loops):
    """Give all loops the weights of torchkeras's, so that their logs can be compared."""
    ours = loops["torchkeras fit"].model.get_weights()
    linears = [step for step in loops["hand-written loop"].net if isinstance(step, nn.Linear)]
    with torch.no_grad():
        for linear, kernel, bias in zip(linears, ours[::2], ours[1::2], strict=True):
            linear.weight.copy_(torch.as_tensor(kernel).T)
            linear.bias.copy_(torch.as_tensor(bias))
    for name in ("torchkeras fit, jit_compile", "keras fit"):
        if name in loops:
            loops[name].model.set_weights(ours)


def main():
    parser = common.argument_parser(__doc__.splitlines()[0], rounds=15)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=400, help="steps in one timing, an epoch")
    parser.add_argument("--output", choices=("softmax", "logits"), default="softmax")
    arguments = parser.parse_args()
    device, dtype = common.prepare(arguments)
    facts = common.environment(arguments)
    keras = common.import_keras(arguments)

    random = np.random.default_rng(0)
    count = arguments.steps * arguments.batch_size
    x = random.normal(size=(count, FEATURES)).astype("float32")
    # Labels that can be learned, so that all loops can be seen to train.
    y = (x @ random.normal(size=(FEATURES, CLASSES))).argmax(-1)
    softmax = arguments.output == "softmax"
    name = arguments.dtype
    shared = (x, y, arguments.batch_size, softmax, device)
    loops = {
        "hand-written loop": HandWritten(*shared, dtype),
        "torchkeras fit": Fit(torchkeras, *shared, name),
        "torchkeras fit, jit_compile": Fit(torchkeras, *shared, name, jit_compile=True),
    }
    if keras is not None:
        loops["keras fit"] = Fit(keras, *shared, name)

    start_alike(loops)
    epochs = {name: loop.epoch for name, loop in loops.items()}
    seconds = common.interleave(epochs, arguments, device, number=1)
    steps = {name: [s / arguments.steps for s in values] for name, values in seconds.items()}
    results = common.summarize(steps, "hand-written loop")
    title = (
        f"A training step: MLP {FEATURES}-{WIDTH}-{WIDTH}-{CLASSES}, batch {arguments.batch_size}, "
        f"{arguments.output}, Adam, accuracy; {arguments.steps} steps an epoch"
    )
    common.show(title, results, "hand-written loop")
    for name, loop in loops.items():
        results[name]["logs"] = loop.epoch()
        logs = ", ".join(f"{key} {value:.4f}" for key, value in results[name]["logs"].items())
        print(f"  {name}: {logs} after {arguments.rounds + 3} epochs from the same weights")
    if keras is not None:
        ratio = common.quartiles(
            [a / b for a, b in zip(steps["keras fit"], steps["torchkeras fit"], strict=True)]
        )
        results["keras fit"]["ratio_to_torchkeras"] = ratio[1]
        print(f"  keras fit / torchkeras fit: x {ratio[1]:.2f} ({ratio[0]:.2f} to {ratio[2]:.2f})")
    common.report(facts, {title: results}, arguments.json)


if __name__ == "__main__":
    main()
