"""Running averages of weights that no longer change end at zero, not in denormal numbers."""

import pytest
import torch

import torchkeras as keras
from tests.kernels.support import needs_ops
from torchkeras.kernels import compiled

TINY = 2e-38  # a normal number of float32, of which a few steps make a denormal one
COUNT = 20_000


def counts_denormals():
    """Of 10^5 denormal numbers, how many arithmetic does not take for zero; in all threads."""
    return int((torch.full((100_000,), 1e-39) * 0.5 != 0).sum())


@needs_ops
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Adam", "_momentums"),
        ("AdamW", "_momentums"),
        ("Nadam", "_momentums"),
        ("Adamax", "_m"),
        ("RMSprop", "_velocities"),
        ("SGD", "momentums"),
    ],
)
def test_averages_end_at_zero(name, kept, threads):
    arguments = {"momentum": 0.5} if name == "SGD" else {}
    optimizer = getattr(keras.optimizers, name)(learning_rate=1e-3, **arguments)
    weights = keras.Variable(torch.ones(COUNT))
    optimizer.build([weights])
    (average,) = getattr(optimizer, kept)
    average.assign(torch.full((COUNT,), TINY))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for _ in range(25):
            optimizer.apply([torch.zeros(COUNT)], [weights])
        found = average.value.clone()
        # The user's own arithmetic is as it was, and with a choice of his own stays so.
        assert counts_denormals() == 100_000
        assert torch.set_flush_denormal(True)
        optimizer.apply([torch.zeros(COUNT)], [weights])
        assert float(torch.full((1,), 1e-39) * 0.5) == 0.0
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)
    assert int((found != 0).sum()) == 0
    assert torch.isfinite(weights.value).all()


@needs_ops
def test_arithmetic_is_as_it_was_after_an_error():
    class Failing(keras.optimizers.Adam):
        def _update_group(self, group, grads, learning_rate, step):
            raise RuntimeError("on purpose")

    weights = keras.Variable(torch.ones(COUNT))
    with pytest.raises(RuntimeError, match="on purpose"):
        Failing().apply([torch.zeros(COUNT)], [weights])
    assert counts_denormals() == 100_000


def test_small_models_do_without(monkeypatch):
    monkeypatch.setattr(compiled, "flush_denormals", None)
    weights = keras.Variable(torch.ones(3))
    keras.optimizers.Adam(0.5).apply([torch.ones(3)], [weights])
    torch.testing.assert_close(weights.value.detach(), torch.full((3,), 0.5))
