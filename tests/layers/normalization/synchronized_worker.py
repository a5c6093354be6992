"""One process of the jobs that test_batch_moments starts: its rows of every case, to a file.

Run as `python -m tests.layers.normalization.synchronized_worker FOLDER DEVICE` with torchrun's
variables in the environment.
"""

import datetime
import os
import sys

import torch

from torchkeras import layers

# Name -> (shape of the joined batch, constructor arguments, dtype of the input).
CASES = {
    "vectors": ((7, 3), {}, "float32"),
    "images": ((7, 4, 5, 3), {}, "float32"),
    "channels_first": ((7, 3, 4, 5), {"axis": 1}, "float32"),
    "channels_between": ((7, 4, 3, 5), {"axis": 2}, "float32"),
    "no_weights": ((7, 3), {"center": False, "scale": False}, "float32"),
    "only_beta": ((7, 4, 3), {"scale": False}, "float32"),
    "one_channel": ((7, 1), {}, "float32"),
    "large_mean": ((7, 4, 3), {"epsilon": 0.0}, "float32"),
    "masked": ((7, 4, 3), {}, "float32"),
    "renorm": ((7, 4, 3), {"renorm": True, "renorm_clipping": {"rmax": 1.1}}, "float32"),
    "float64": ((7, 3), {"dtype": "float64"}, "float64"),
    "mixed": ((7, 4, 3), {"dtype": "mixed_bfloat16"}, "bfloat16"),
    "half": ((7, 4, 3), {"dtype": "bfloat16"}, "bfloat16"),
}
# Rows of each process, by number of processes.
ROWS = {2: [(5, 2), (7, 0)], 3: [(3, 0, 4), (1, 5, 1)]}
STEPS = 2


def make_data(case):
    """Input, weights of the loss and mask of the joined batch, for each step."""
    shape, _, dtype = CASES[case]
    generator = torch.Generator().manual_seed(len(case))
    steps = []
    for _ in range(STEPS):
        x = torch.randn(shape, generator=generator) * 2 + (1e4 if case == "large_mean" else 1)
        weights = torch.randn(shape, generator=generator)
        mask = torch.rand(shape[:-1], generator=generator) > 0.3 if case == "masked" else None
        if mask is not None:
            mask[0] = False  # a process may have rows, and none of them counted
        steps.append((x.to(getattr(torch, dtype)), weights, mask))
    return steps


def run_case(case, rows, device="cpu", **kwargs):
    """What the layer gives for `rows` (a slice) of the joined batch, after `STEPS` steps."""
    shape, arguments, _ = CASES[case]
    layer = layers.BatchNormalization(momentum=0.7, **arguments, **kwargs)
    layer.build((None, *shape[1:]))
    layer.to(device)
    for factor, weight in enumerate(layer.trainable_weights):
        weight.assign(torch.linspace(0.5, 1.5, weight.shape[0]) + factor)
    results = {}
    for step, (x, weights, mask) in enumerate(make_data(case)):
        x = x[rows].to(device).requires_grad_()
        mask = None if mask is None else mask[rows].to(device)
        y = layer(x, mask=mask, training=True)
        (y * weights[rows].to(y)).sum().backward()
        results[f"output_{step}"], results[f"input_grad_{step}"] = y.detach(), x.grad
    for weight in layer.weights:
        results[weight.name] = weight.value.detach()
        if weight.trainable:
            results[f"{weight.name}_grad"] = weight.grad
    return {name: tensor.cpu() for name, tensor in results.items()}


def run_torch_layer(rows, device):
    """The same of torch's SyncBatchNorm, for the case "channels_first"; it has CUDA only."""
    layer = torch.nn.SyncBatchNorm(3, eps=1e-3, momentum=0.3).to(device)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0.5, 1.5, 3))
        layer.bias.copy_(torch.linspace(0.5, 1.5, 3) + 1)
    results = {}
    for step, (x, weights, _) in enumerate(make_data("channels_first")):
        x = x[rows].to(device).requires_grad_()
        y = layer(x)
        (y * weights[rows].to(y)).sum().backward()
        results[f"output_{step}"], results[f"input_grad_{step}"] = y.detach(), x.grad
    results |= {"moving_mean": layer.running_mean, "gamma_grad": layer.weight.grad}
    return {name: tensor.cpu() for name, tensor in results.items()}


def run_compiled(rows):
    """The case "vectors" through torch.compile, which leaves the exchange to eager torch."""
    layer = layers.BatchNormalization(synchronized=True)
    layer.build((None, 3))
    layer.train()
    x = make_data("vectors")[0][0][rows].requires_grad_()
    y = torch.compile(layer, backend="eager")(x)
    y.square().sum().backward()
    return {"output": y.detach(), "moving_mean": layer.moving_mean.value}


def main(folder, device):
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=60)
    torch.distributed.init_process_group("gloo", timeout=timeout)
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    results = {}
    for index, sizes in enumerate(ROWS[world_size]):
        start = sum(sizes[:rank])
        rows = slice(start, start + sizes[rank])
        for case in CASES:
            results[index, case] = run_case(case, rows, device, synchronized=True)
        results[index, "alone"] = run_case("vectors", rows, device)
        if device != "cpu":
            results[index, "torch"] = run_torch_layer(rows, device)
        elif world_size == 2 and index == 0:  # the first compilation takes seconds
            results[index, "compiled"] = run_compiled(rows)
    torch.save(results, os.path.join(folder, f"{rank}.pt"))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
