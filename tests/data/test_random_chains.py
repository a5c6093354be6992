"""Chains of steps, drawn at random, beside the same steps on lists."""

import random

import numpy as np
import pytest

from torchkeras.data import Dataset


def batched_and_back(dataset, numbers, rng):
    size, drops = rng.randint(1, 5), rng.random() < 0.5
    batches = dataset.batch(size, drop_remainder=drops).prefetch(rng.choice([-1, 0, 2]))
    return batches.unbatch(), numbers[: len(numbers) // size * size] if drops else numbers


def sharded(dataset, numbers, rng):
    count = rng.randint(1, 3)
    index = rng.randrange(count)
    return dataset.shard(count, index), numbers[index::count]


def taken(dataset, numbers, rng):
    count = rng.randint(0, 12)
    return dataset.take(count), numbers[:count]


def skipped(dataset, numbers, rng):
    count = rng.randint(0, 4)
    return dataset.skip(count), numbers[count:]


def repeated(dataset, numbers, rng):
    count = rng.randint(0, 3)
    return dataset.repeat(count), numbers * count


STEPS = [
    batched_and_back,
    sharded,
    taken,
    skipped,
    repeated,
    lambda d, n, rng: (d.map(lambda x: x + 1), [x + 1 for x in n]),
    lambda d, n, rng: (d.filter(lambda x: x % 3 != 0), [x for x in n if x % 3]),
    lambda d, n, rng: (d.concatenate(d), n + n),
    lambda d, n, rng: (d.cache(), n),
    lambda d, n, rng: (d.prefetch(rng.choice([-1, 1, 3])), n),
    lambda d, n, rng: (d.shuffle(1), n),
    lambda d, n, rng: (d.batch(3).rebatch(2).unbatch(), n),
    lambda d, n, rng: (d.padded_batch(2).unbatch(), n),
    lambda d, n, rng: (Dataset.zip(d, d).map(lambda x, y: x), n),
    lambda d, n, rng: (d.enumerate().map(lambda i, x: x), n),
]


@pytest.mark.parametrize("seed", range(150))
def test_chains_give_what_lists_give(seed):
    rng = random.Random(seed)
    count = rng.randint(1, 12)
    numbers = list(range(count))
    sources = [
        Dataset.range(count),
        Dataset.from_tensor_slices(np.array(numbers)),
        Dataset.from_generator(lambda: iter(range(count))),
    ]
    dataset, steps = rng.choice(sources), rng.choices(STEPS, k=rng.randint(1, 6))
    for step in steps:
        dataset, numbers = step(dataset, numbers, rng)
        numbers = numbers if len(numbers) < 300 else pytest.skip("too long")
    for _ in range(2):
        assert [int(x) for x in dataset] == numbers
    assert dataset.cardinality() in (-2, len(numbers))
