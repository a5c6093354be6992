"""Random tensors beside those of real Keras: signatures, dtypes, distributions."""

import inspect

import numpy as np
import pytest
import torch

from torchkeras import random

keras = pytest.importorskip("keras")

N = 20_000
LOGITS = np.log([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]]).astype("float32")
CALLS = {
    "normal": (random.normal, ((N,), 1.0, 2.0)),
    "uniform": (random.uniform, ((N,), -1.0, 3.0)),
    "truncated_normal": (random.truncated_normal, ((N,), 1.0, 2.0)),
    "randint": (random.randint, ((N,), -3, 9)),
    "categorical": (random.categorical, (LOGITS, N // 2)),
    "dropout": (random.dropout, (torch.full((N,), 3.0), 0.3)),
    "gamma": (random.gamma, ((N,), 0.7)),
    "beta": (random.beta, ((N,), 2.0, 0.5)),
    "binomial": (random.binomial, ((N,), 20, 0.3)),
    "binomial of many": (random.binomial, ((N,), 500, 0.3)),
}


def distance(x, y):
    """Largest difference of the two distribution functions."""
    x, y = np.sort(np.ravel(x)), np.sort(np.ravel(y))
    points = np.concatenate([x, y])
    below_x = np.searchsorted(x, points, side="right") / len(x)
    return np.abs(below_x - np.searchsorted(y, points, side="right") / len(y)).max()


def test_public_names_and_signatures():
    for name in dir(keras.random):
        theirs = getattr(keras.random, name)
        if inspect.isfunction(theirs):
            assert str(inspect.signature(getattr(random, name))) == str(inspect.signature(theirs))
    assert random.SeedGenerator.__name__ == keras.random.SeedGenerator.__name__


@pytest.mark.parametrize("kind", ["none", "int", "state"])
@pytest.mark.parametrize("name", CALLS)
def test_same_distribution(name, kind):
    function, arguments = CALLS[name]
    torch.manual_seed(5)
    seed = {"none": None, "int": 5, "state": random.SeedGenerator(5)}[kind]
    ours = function(*arguments, seed=seed)
    theirs = getattr(keras.random, function.__name__)(*arguments, seed=6)
    assert ours.dtype is theirs.dtype and ours.shape == theirs.shape
    # The Kolmogorov-Smirnov limit at 1e-4 for two samples of N (for discrete ones it is wide).
    limit = np.sqrt(-np.log(1e-4 / 2) / N)
    assert distance(ours.cpu().numpy(), theirs.cpu().numpy()) < limit
    other = 1.1 * theirs.cpu().numpy() + 0.1
    assert distance(ours.cpu().numpy(), other) > limit


@pytest.mark.parametrize("name", CALLS)
def test_seed_generators_move_in_step(name):
    function, arguments = CALLS[name]
    theirs, ours = keras.random.SeedGenerator(5), random.SeedGenerator(5)
    for _ in range(2):
        getattr(keras.random, function.__name__)(*arguments, seed=theirs)
        function(*arguments, seed=ours)
    assert ours.state.value.tolist() == theirs.state.value.tolist() == [5, 2]


def test_shuffle_along_the_first_axis():
    x = np.arange(30).reshape(10, 3)
    for shuffle in (random.shuffle, keras.random.shuffle):
        shuffled = np.asarray(shuffle(x, seed=3).cpu())
        assert (shuffled != x).any()
        assert sorted(map(tuple, shuffled)) == sorted(map(tuple, x))


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.uniform((2,), dtype="int32"),
        lambda r: r.randint((2,), 0, 5, dtype="float32"),
        lambda r: r.categorical(np.zeros(3), 2),
        lambda r: r.normal((2,), seed="a"),
        lambda r: r.gamma((2,), -1.0),
        lambda r: r.binomial((2,), 3, 1.5),
    ],
)
def test_where_keras_raises_so_do_we(call):
    for module in (keras.random, random):
        with pytest.raises(ValueError):
            call(module)
