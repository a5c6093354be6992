"""Moments of a batch, in one process and over several, and normalization by them."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest
import torch

from tests.layers.normalization import synchronized_worker as worker
from torchkeras import layers
from torchkeras.layers.normalization.batch_moments import (
    batch_moments,
    normalize_by_moments,
    process_count,
)

REPOSITORY = pathlib.Path(__file__).parents[3]
TIMEOUT_S = 150


def run_job(world_size, folder, device="cpu"):
    """Results of each process of a job; processes are killed if one fails or takes too long."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", worker.__name__, str(folder), device]
    shared = {"WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, **shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world_size)
    ]
    try:
        logs = [process.communicate(timeout=TIMEOUT_S)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * world_size, "\n".join(logs)
    return [torch.load(folder / f"{rank}.pt") for rank in range(world_size)]


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def job(request, tmp_path_factory):
    """Results of each process of a job of 2 and of one of 3; a failure is not tried again."""
    return run_job(request.param, tmp_path_factory.mktemp("job"))


def tolerance(case):
    # Sums of 7 to 140 numbers in another order; in bfloat16 the results are rounded once.
    if case in ("mixed", "half"):
        return {"rtol": 2e-2, "atol": 2e-2}
    if case == "float64":
        return {"rtol": 1e-12, "atol": 1e-12}
    # Inputs near 10^4 have an absolute rounding of 10^-3, of which the mean of one batch and the
    # mean of means each lose a part.
    return {"rtol": 1e-3, "atol": 2e-3} if case == "large_mean" else {"rtol": 1e-5, "atol": 1e-5}


def joined(parts, name):
    if name.startswith(("output", "input_grad")):
        return torch.cat([part[name] for part in parts])
    if name.endswith("_grad"):
        return sum(part[name] for part in parts)
    for part in parts[1:]:
        assert torch.equal(part[name], parts[0][name]), f"{name} differs between processes"
    return parts[0][name]


@pytest.mark.parametrize("case", worker.CASES)
@pytest.mark.parametrize("index", [0, 1])
def test_processes_together_give_what_one_gives_for_the_joined_batch(job, index, case):
    parts = [results[index, case] for results in job]
    expected = worker.run_case(case, slice(None))
    assert set(expected) == set(parts[0])
    for name in expected:
        actual = joined(parts, name)
        torch.testing.assert_close(
            actual, expected[name], **tolerance(case), msg=lambda m, name=name: f"{name}: {m}"
        )


@pytest.mark.parametrize("index", [0, 1])
def test_torch_normalizes_the_joined_batch_alike(job, index):
    parts = [results[index, "channels_first"] for results in job]
    reference = torch.nn.BatchNorm2d(3, eps=1e-3, momentum=0.3)
    with torch.no_grad():
        reference.weight.copy_(torch.linspace(0.5, 1.5, 3))
        reference.bias.copy_(torch.linspace(0.5, 1.5, 3) + 1)
    variance = torch.ones(3)
    for step, (x, weights, _) in enumerate(worker.make_data("channels_first")):
        x.requires_grad_()
        y = reference(x)
        (y * weights).sum().backward()
        torch.testing.assert_close(joined(parts, f"output_{step}"), y, rtol=1e-5, atol=1e-5)
        grads = joined(parts, f"input_grad_{step}")
        torch.testing.assert_close(grads, x.grad, rtol=1e-5, atol=1e-5)
        variance = variance * 0.7 + 0.3 * x.detach().var((0, 2, 3), correction=0)
    torch.testing.assert_close(joined(parts, "moving_mean"), reference.running_mean)
    torch.testing.assert_close(joined(parts, "moving_variance"), variance)
    torch.testing.assert_close(joined(parts, "gamma_grad"), reference.weight.grad)
    torch.testing.assert_close(joined(parts, "beta_grad"), reference.bias.grad)


def test_without_synchronization_each_process_keeps_its_own_statistics(job):
    parts = [results[1, "alone"] for results in job]
    start = 0
    for part, count in zip(parts, worker.ROWS[len(job)][1], strict=True):
        expected = worker.run_case("vectors", slice(start, start + count))
        start += count
        for name, tensor in expected.items():
            torch.testing.assert_close(part[name], tensor)
    assert not torch.equal(parts[0]["moving_mean"], parts[1]["moving_mean"])


@pytest.mark.parametrize("job", [2], indirect=True)
def test_a_compiled_layer_synchronizes_too(job):
    parts = [results[0, "compiled"] for results in job]
    x = worker.make_data("vectors")[0][0]
    torch.testing.assert_close(joined(parts, "moving_mean"), x.mean(0) * 0.01)
    assert joined(parts, "output").mean(0).abs().max() < 1e-6


@pytest.mark.gpu
def test_torch_synchronizes_alike_on_cuda(tmp_path):
    results = run_job(2, tmp_path, "cuda")
    ours = [result[0, "channels_first"] for result in results]
    theirs = [result[0, "torch"] for result in results]
    for name in theirs[0]:
        torch.testing.assert_close(joined(ours, name), joined(theirs, name), rtol=1e-4, atol=1e-4)


def test_there_is_one_process_without_a_job():
    assert process_count() == 1
    layer, twin = (layers.BatchNormalization(synchronized=s) for s in (True, False))
    x = torch.randn(4, 3)
    assert torch.equal(layer(x, training=True), twin(x, training=True))


def test_moments_keep_their_digits_where_the_mean_is_large():
    x = torch.tensor([[1e6], [1e6 + 2]])
    count, mean, variance = batch_moments(x)
    # The mean of squares less the square of the mean is off by some thousands here.
    assert (count.item(), mean.item(), variance.item()) == (2, 1e6 + 1, 1)


def test_nothing_counted_gives_zeros():
    x = torch.randn(4, 3, 2)
    counted = torch.zeros(4, 3, 2, dtype=torch.bool)
    for moments in (batch_moments(x, counted), batch_moments(x[:0])):
        assert all(torch.equal(values, torch.zeros(3)) for values in moments)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2), (2, 2, 3, 2)])
def test_gradient(shape, masked):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    counted = torch.rand(shape, generator=generator) > 0.3 if masked else None
    gamma, beta = (
        torch.randn(shape[1], generator=generator, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    )

    def function(x, gamma, beta):
        moments = batch_moments(x, counted)
        return normalize_by_moments(x, gamma, beta, counted, moments, 1e-3, False)

    # Finite differences move the moments too; the backward pass must know them all.
    assert torch.autograd.gradcheck(function, (x, gamma, beta))


def test_a_second_derivative_is_refused_rather_than_wrong():
    x = torch.randn(5, 3, requires_grad=True)
    one, zero = torch.ones(3), torch.zeros(3)
    y = normalize_by_moments(x, one, zero, None, batch_moments(x), 1e-3, False)
    (grad,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
