"""Kernels in copies of a model and in copies of a process."""

import copy
import os
import pickle
import signal
import sys
import time

import pytest
import torch

import torchkeras as keras
from tests.kernels.support import needs_ops
from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels import compiled, dense, dropout


def _model():
    return keras.Sequential(
        [
            keras.layers.Input((130,)),
            keras.layers.Dense(100, "tanh"),
            keras.layers.Dropout(0.5, seed=3),
            keras.layers.Dense(10),
        ]
    )


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_of_a_model_that_ran_draws_and_computes_the_same(duplicate):
    model, x = _model(), torch.randn(130, 130)
    model(x, training=True)
    other = duplicate(model)
    for _ in range(2):
        a, b = model(x, training=True), other(x, training=True)
        # The same mask; torch's product may round otherwise where memory lies otherwise.
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    a.sum().backward()
    b.sum().backward()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        if p.requires_grad:
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-5, atol=1e-4)


def test_results_can_be_copied_and_pickled():
    y = dense(torch.randn(130, 130), torch.randn(130, 100), None, codes.TANH, 0.5)
    assert torch.equal(copy.deepcopy(y), y)
    assert torch.equal(pickle.loads(pickle.dumps(y)), y)


def _run_in_child(function, seconds=60):
    """Whether `function` is true in a forked child, which is killed when it takes too long."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if function() else 2
        finally:
            sys.stdout.flush()
            os._exit(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
# Python warns of threads in the parent: those of torch, which wait.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_uses_the_kernels():
    def run():
        x = torch.full((130, 130), 0.01, requires_grad=True)
        kernel = torch.ones(130, 100, requires_grad=True)
        y = dense(x, kernel, None, codes.TANH, 0.5, keras.random.SeedGenerator(3))
        y = dropout(y, 0.5, keras.random.SeedGenerator(4))
        return [y, *torch.autograd.grad(y.sum(), [x, kernel])]

    expected = run()
    assert _run_in_child(
        lambda: all(torch.equal(a, b) for a, b in zip(run(), expected, strict=True))
    )


@needs_ops
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_draws_as_its_parent_where_the_seed_is_the_same():
    expected = compiled.dropout(torch.ones(50_000), 0.5, torch.tensor([3]))
    assert _run_in_child(
        lambda: torch.equal(compiled.dropout(torch.ones(50_000), 0.5, torch.tensor([3])), expected)
    )


def test_workers_of_a_data_loader_leave_the_draws_of_the_parent_alone():
    data = torch.utils.data.TensorDataset(torch.ones(8, 3))
    torch.manual_seed(1)
    list(torch.utils.data.DataLoader(data, 2))  # draws one number, with workers and without
    expected = dropout(torch.ones(5000), 0.5)
    torch.manual_seed(1)
    list(torch.utils.data.DataLoader(data, 2, num_workers=1))
    assert torch.equal(dropout(torch.ones(5000), 0.5), expected)
