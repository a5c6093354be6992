"""Batches, epochs and helpers beside those of Keras."""

import inspect
import warnings

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from keras.src.backend.torch.trainer import TorchEpochIterator  # noqa: E402
from keras.src.trainers.data_adapters import array_slicing  # noqa: E402
from keras.src.trainers.data_adapters import data_adapter_utils as keras_utils  # noqa: E402

from torchkeras.trainers.data_adapters import PyDataset  # noqa: E402
from torchkeras.trainers.data_adapters import data_adapter_utils as utils  # noqa: E402
from torchkeras.trainers.epoch_iterator import EpochIterator  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 2))
Y = RNG.integers(0, 3, size=7)
W = RNG.uniform(size=7).astype("float16")


def leaves(batch):
    flat = keras.tree.flatten(batch)
    return [(t.dtype, t.cpu().tolist()) for t in flat if t is not None]


def keras_epoch(iterator):
    """Batches of one epoch of Keras's iterator, and whether it warned."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batches = [data for _, _, buffer in iterator for data in buffer]
    return batches, bool(caught)


def our_epoch(iterator):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batches = [batch for _, batch in iterator.enumerate_epoch()]
    return batches, bool(caught)


@pytest.mark.parametrize(
    "arguments",
    [
        {"x": X},
        {"x": X, "y": Y},
        {"x": X, "y": Y, "sample_weight": W},
        {"x": X, "y": Y, "class_weight": {0: 0.5, 2: 3.0}},
        {"x": X, "y": np.eye(3)[Y], "class_weight": {1: 3.0}},
        {"x": X, "y": Y[:, None].astype("float32"), "class_weight": {1: 3.0}},
        {"x": {"b": X, "a": X + 1}, "y": [Y, Y + 1], "sample_weight": W},
        {"x": [X, X + 1], "y": {"p": Y, "q": Y}, "sample_weight": {"p": W, "q": W}},
        {"x": torch.tensor(X), "y": torch.tensor(Y)},
        {"x": X.astype("uint8"), "y": Y > 1},
        {"x": X.astype("uint8").astype("uint16"), "y": X.astype("uint8").astype("uint32")},
    ],
)
@pytest.mark.parametrize("more", [{}, {"batch_size": 3}, {"steps_per_epoch": 2}])
def test_array_batches(arguments, more):
    theirs = TorchEpochIterator(**arguments, **more)
    ours = EpochIterator(**arguments, **more)
    assert ours.num_batches == theirs.num_batches
    for _ in range(3):
        (expected, warned), (batches, we_warned) = keras_epoch(theirs), our_epoch(ours)
        assert list(map(leaves, batches)) == list(map(leaves, expected))
        assert we_warned == warned
    for batch, one in zip(batches, expected, strict=True):
        x, y, weight = utils.unpack_x_y_sample_weight(batch)
        data = utils.pack_x_y_sample_weight(x, y, weight) if ours.bare_batches else batch
        keras.tree.assert_same_structure(data, one)


class Numbers:
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = []

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return np.full((2, 1), index), np.array([index, 0])

    def on_epoch_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self):
        self.calls.append("end")


class KerasNumbers(Numbers, keras.utils.PyDataset):
    pass


class OurNumbers(Numbers, PyDataset):
    pass


def make_loader(kind):
    data = torch.utils.data.TensorDataset(torch.arange(10.0, dtype=torch.float64))
    return torch.utils.data.DataLoader(data, batch_size=2)


SOURCES = {
    "array": lambda kind: np.arange(10),
    "loader": make_loader,
    "py_dataset": lambda kind: (KerasNumbers if kind == "keras" else OurNumbers)(),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("steps", [None, 1, 2, 3, 5, 8])
def test_steps_of_epochs(source, steps):
    more = {"batch_size": 2} if source == "array" else {}
    theirs = TorchEpochIterator(SOURCES[source]("keras"), steps_per_epoch=steps, **more)
    ours = EpochIterator(SOURCES[source]("ours"), steps_per_epoch=steps, **more)
    warned_before = False
    for _ in range(7):
        (expected, warned), (batches, we_warned) = keras_epoch(theirs), our_epoch(ours)
        assert list(map(leaves, batches)) == list(map(leaves, expected))
        assert we_warned == (warned and not warned_before)  # ours comes once
        warned_before = warned_before or warned


def test_endless_generator():
    def generator():
        value = 0
        while True:
            yield np.full((2, 1), float(value)), np.array([value] * 2, "int8")
            value += 1

    theirs = TorchEpochIterator(generator(), steps_per_epoch=3)
    ours = EpochIterator(generator(), steps_per_epoch=3)
    for _ in range(3):
        expected, batches = keras_epoch(theirs)[0], our_epoch(ours)[0]
        assert list(map(leaves, batches)) == list(map(leaves, expected))


def test_hooks_of_a_dataset():
    theirs, ours = KerasNumbers(), OurNumbers()
    keras_iterator, our_iterator = TorchEpochIterator(theirs), EpochIterator(ours)
    for _ in range(2):
        keras_epoch(keras_iterator)
        our_epoch(our_iterator)
    assert ours.calls == theirs.calls


@pytest.mark.parametrize("split", [0.1, 0.25, 0.5, 0.8])
def test_validation_split(split):
    arrays = (X.astype("float32"), {"a": Y}, None)
    expected = array_slicing.train_validation_split(arrays, split)
    parts = utils.train_validation_split(arrays, split)
    for ours, theirs in zip(parts, expected, strict=True):
        keras.tree.assert_same_structure(ours, theirs)
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1]["a"], theirs[1]["a"])
        assert ours[2] is theirs[2] is None


BAD_CALLS = [
    {"x": X, "y": Y[:3]},
    {"x": X, "y": Y, "sample_weight": W, "class_weight": {0: 1.0}},
    {"x": X, "y": [Y, Y], "class_weight": {0: 1.0}},
    {"x": X, "y": [Y, Y], "sample_weight": [W]},
    {"x": X, "y": [Y, Y], "sample_weight": np.ones((7, 2))},
    {"x": "text"},
    {"x": make_loader(None), "y": Y},
    {"x": make_loader(None), "sample_weight": W},
    {"x": (i for i in [(X,)]), "y": Y},
    {"x": (i for i in ())},
]


@pytest.mark.parametrize("arguments", BAD_CALLS)
def test_wrong_calls_are_errors_in_both(arguments):
    with pytest.raises(ValueError):
        TorchEpochIterator(**arguments)
    with pytest.raises(ValueError):
        EpochIterator(**arguments)


@pytest.mark.parametrize("name", ["pack_x_y_sample_weight", "unpack_x_y_sample_weight"])
def test_signatures_of_helpers(name):
    ours, theirs = getattr(utils, name), getattr(keras_utils, name)
    assert inspect.signature(ours) == inspect.signature(theirs)


@pytest.mark.parametrize("data", [X, [X], [X, X], {"a": X}, (X,)])
def test_pack(data):
    for more in ((), (Y,), (Y, W)):
        ours = utils.pack_x_y_sample_weight(data, *more)
        theirs = keras_utils.pack_x_y_sample_weight(data, *more)
        assert type(ours) is type(theirs) and repr(ours) == repr(theirs)
        assert repr(utils.unpack_x_y_sample_weight(ours)) == repr(
            keras_utils.unpack_x_y_sample_weight(theirs)
        )


def test_public_members_of_py_dataset():
    theirs = {n for n in dir(keras.utils.PyDataset) if not n.startswith("_")}
    assert theirs <= set(dir(PyDataset))
    assert inspect.signature(PyDataset) == inspect.signature(keras.utils.PyDataset)
