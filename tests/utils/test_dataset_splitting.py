"""split_dataset: every sample in one of two parts, whatever the data."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.data import Dataset
from torchkeras.utils import split_dataset

X, Y = np.arange(20).reshape(10, 2), np.arange(10) * 10


def first_column(dataset):
    return [int(row[0].flatten()[0]) // 2 for row in dataset]


@pytest.mark.parametrize("data", [X, [X, Y], (X, Y), torch.from_numpy(X), X.tolist()], ids=type)
def test_parts_are_the_first_and_the_last_samples(data):
    left, right = split_dataset(data, left_size=0.7)
    assert first_column(left) == list(range(7)) and first_column(right) == [7, 8, 9]
    left, right = split_dataset(data, left_size=2, right_size=3)
    assert first_column(left) == [0, 1] and first_column(right) == [7, 8, 9]
    assert len(left) == 2 and left.batch(2).cardinality() == 1


def test_structures_stay():
    left, _ = split_dataset({"x": X, "y": Y}, left_size=3)
    assert left[2]["x"].tolist() == [4, 5] and left[2]["y"] == 20
    left, _ = split_dataset((X, Y), left_size=3)
    assert [part.tolist() for part in left[1]] == [[2, 3], 10]


def test_shuffled_parts_share_nothing():
    parts = [first_column(part) for part in split_dataset(X, 0.6, shuffle=True, seed=1)]
    assert sorted(parts[0] + parts[1]) == list(range(10)) and parts[0] != list(range(6))
    again = [first_column(part) for part in split_dataset(X, 0.6, shuffle=True, seed=1)]
    assert again == parts
    keras.utils.set_random_seed(1)
    one = first_column(split_dataset(X, 0.6, shuffle=True)[0])
    keras.utils.set_random_seed(1)
    assert first_column(split_dataset(X, 0.6, shuffle=True)[0]) == one


@pytest.mark.parametrize(
    "dataset",
    [
        Dataset.range(10).batch(4),
        Dataset.range(10).shuffle(10).batch(4).prefetch(),
        Dataset.range(10).shuffle(10).map(lambda x: x).batch(4),
        Dataset.from_generator(lambda: iter(range(10))).batch(4),
        Dataset.range(10).filter(lambda x: x < 10).shuffle(10).batch(4),
    ],
    ids=["plain", "shuffled", "mapped", "generator", "filtered"],
)
def test_datasets_of_batches_are_split_by_samples(dataset):
    left, right = split_dataset(dataset, left_size=7)
    passes = [torch.cat([*left, *right]).tolist() for _ in range(2)]
    # What shuffles has one order from now on: no sample goes from one part to the other.
    assert sorted(passes[0]) == list(range(10)) and passes[0] == passes[1]
    assert [len(x) for x in left] == [4, 3] and [len(x) for x in right] == [3]


def test_datasets_of_samples():
    left, right = split_dataset(Dataset.range(10), right_size=0.25)
    assert [int(x) for x in left] == list(range(8)) and [int(x) for x in right] == [8, 9]
    with pytest.raises(ValueError, match="an endless one"):
        split_dataset(Dataset.range(3).repeat(), 0.5)


def test_torch_datasets_and_loaders():
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    left, right = split_dataset(data, left_size=0.8)
    assert isinstance(left, torch.utils.data.Subset) and (len(left), len(right)) == (8, 2)
    assert right[0][1] == 80
    loader = torch.utils.data.DataLoader(data, batch_size=3, shuffle=True)
    left, right = split_dataset(loader, left_size=0.8)
    rows = torch.cat([y for _, y in left]).tolist()
    assert sorted(rows) == list(range(0, 80, 10)) and len(left) == 3
    assert isinstance(left.sampler, torch.utils.data.RandomSampler)
    assert [y.tolist() for _, y in right] in ([[80, 90]], [[90, 80]])


def test_rounding_leaves_nothing_over():
    left, right = split_dataset(np.arange(5), left_size=0.3, right_size=0.7)
    assert (len(left), len(right)) == (2, 3)  # 1.5 and 3.5: Keras makes 2 and 4, and an error


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(range(3))


@pytest.mark.parametrize(
    "kind, words, call",
    [
        (ValueError, "neither", lambda: split_dataset(X)),
        (ValueError, "parts of 0 and 10", lambda: split_dataset(X, 0.01)),
        (ValueError, "an empty one", lambda: split_dataset([], 0.5)),
        (ValueError, "same number of samples", lambda: split_dataset((X, Y[:3]), 0.5)),
        (ValueError, "'torch'", lambda: split_dataset(X, 0.5, preferred_backend="jax")),
        (TypeError, "a set", lambda: split_dataset({1, 2}, 0.5)),
        (TypeError, "without a length", lambda: split_dataset(Stream(), 0.5)),
        (
            ValueError,
            "BatchSampler|sampler of its own",
            lambda: split_dataset(torch.utils.data.DataLoader(Stream(), batch_size=2), 0.5),
        ),
    ],
)
def test_wrong_calls(kind, words, call):
    with pytest.raises(kind, match=words):
        call()
