"""Text through fit, evaluate and predict: strings reach the model, in the right rows."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.layers.preprocessing.adaptable_layer import AdaptableLayer

WORDS = ["a", "bb", "ccc", "bb", "dddd", "a", "ccc"]
LENGTHS = np.array([[float(len(word))] for word in WORDS], "float32")


class Length(AdaptableLayer):
    """The length of each string."""

    takes_text = True
    keeps_shape = True

    def call(self, x):
        assert isinstance(x, np.ndarray) and x.dtype == object
        return torch.tensor([float(len(word)) for word in x.reshape(-1)]).reshape(x.shape)


def text_model():
    """Twice the length of a string, with a weight that learns nothing at rate 0."""
    words = keras.Input((1,), dtype="string", name="words")
    start = keras.initializers.Constant(2.0)
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer=start)
    model = keras.Model(words, dense(Length()(words)))
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=["mae"])
    return model


MSE, MAE = (LENGTHS**2).mean(), LENGTHS.mean()  # of twice the length against the length
ARRAYS = {
    "list": WORDS,
    "list of lists": [[word] for word in WORDS],
    "unicode": np.array(WORDS),
    "bytes": np.array([word.encode() for word in WORDS]),
    "objects": np.array(WORDS, dtype=object)[:, None],
    "dict": {"words": np.array(WORDS)},
    "dict of lists": {"words": [[word] for word in WORDS]},
    "tuple": (np.array(WORDS)[:, None],),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_text(name):
    x, model = ARRAYS[name], text_model()
    found = model.fit(x, LENGTHS, batch_size=3, epochs=2, verbose=0).history
    assert found["mae"] == pytest.approx([MAE] * 2) and found["loss"] == pytest.approx([MSE] * 2)
    assert model.evaluate(x, LENGTHS, batch_size=4, verbose=0) == pytest.approx([MSE, MAE])
    np.testing.assert_array_equal(model.predict(x, batch_size=2, verbose=0), 2 * LENGTHS)
    np.testing.assert_array_equal(model.predict_on_batch(x), 2 * LENGTHS)
    assert model.train_on_batch(x, LENGTHS) == pytest.approx([MSE, MAE])
    assert model.test_on_batch(x, LENGTHS) == pytest.approx([MSE, MAE])


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
def test_text_is_split_and_shuffled_with_its_targets(shuffle):
    seen = []

    class Watch(AdaptableLayer):
        takes_text = True
        keeps_shape = True

        def call(self, x):
            seen.append(x[:, 0].tolist())
            return Length().call(x)

    model = keras.Sequential([keras.Input((1,), dtype="string"), Watch(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    seen.clear()
    words = [f"{'x' * (i + 1)}" for i in range(10)]
    model.fit(
        words, np.ones((10, 1)), batch_size=4, validation_split=0.2, shuffle=shuffle, verbose=0
    )
    assert [len(batch) for batch in seen] == [4, 4, 2]
    assert sorted(seen[0] + seen[1]) == words[:8] and seen[2] == words[8:]
    assert (seen[0] + seen[1] == words[:8]) == (shuffle is False) or shuffle == "batch"
    # Each string keeps its target: twice its length less its length.
    model = text_model()
    history = model.fit(WORDS, 2 * LENGTHS, batch_size=2, shuffle=shuffle, verbose=0).history
    assert history["loss"] == [0.0]


def batches():
    for start in range(0, len(WORDS), 3):
        yield WORDS[start : start + 3], LENGTHS[start : start + 3]


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return list(batches())[index]


class Items(torch.utils.data.Dataset):
    def __init__(self, as_item):
        self.as_item = as_item

    def __len__(self):
        return len(WORDS)

    def __getitem__(self, index):
        return self.as_item(WORDS[index], torch.tensor(LENGTHS[index]))


def loader(as_item=lambda word, length: (word, length), **arguments):
    return torch.utils.data.DataLoader(Items(as_item), batch_size=3, **arguments)


SOURCES = {
    "generator": batches,
    "generator of arrays": lambda: ((np.array(x)[:, None], y) for x, y in batches()),
    "generator of dicts": lambda: (({"words": x}, y) for x, y in batches()),
    "dataset": lambda: Batches(workers=1),
    "dataset read by threads": lambda: Batches(workers=2),
    "loader": loader,
    "shuffled loader": lambda: loader(shuffle=True),
    "loader of dicts": lambda: loader(lambda word, length: ({"words": word}, length)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources_of_batches_of_text(name):
    make, model = SOURCES[name], text_model()
    found = model.fit(make(), verbose=0, validation_data=make()).history
    assert found["mae"] == pytest.approx([MAE]) and found["val_mae"] == pytest.approx([MAE])
    assert found["loss"] == pytest.approx([MSE])
    assert model.evaluate(make(), verbose=0) == pytest.approx([MSE, MAE])
    predicted = model.predict(make(), verbose=0)
    if "shuffled" not in name:
        np.testing.assert_array_equal(predicted, 2 * LENGTHS)


def test_batches_that_are_nothing_but_text():
    model = text_model()
    for make in (
        lambda: (words for words, _ in batches()),
        lambda: (np.array(words) for words, _ in batches()),
        lambda: loader(lambda word, length: word),
    ):
        np.testing.assert_array_equal(model.predict(make(), verbose=0), 2 * LENGTHS)


def test_text_beside_numbers():
    words, number = keras.Input((1,), dtype="string"), keras.Input((1,))
    model = keras.Model([words, number], keras.layers.Add()([Length()(words), number]))
    expected = LENGTHS + 5
    x = [np.array(WORDS), LENGTHS * 0 + 5]
    np.testing.assert_array_equal(model.predict(x, batch_size=2, verbose=0), expected)
    model.compile(loss="mse")
    assert model.evaluate(x, expected, batch_size=3, verbose=0) == 0


def test_a_layer_that_learns_a_vocabulary_in_a_model_that_is_built_by_fit():
    model = keras.Sequential([Length(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    history = model.fit([[word] for word in WORDS], LENGTHS, epochs=30, verbose=0).history
    assert history["loss"][-1] < 0.1 * history["loss"][0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"y": ["yes"] * 7}, "`y` must be an array, or rows of numbers"),
        ({"y": np.array(["yes"] * 7)}, "`y` must hold numbers"),
        ({"y": LENGTHS, "x": ["a", 1, "b", "c", "d", "e", "f"]}, "Text was expected"),
        ({"y": LENGTHS[:3]}, "x: 7, y: 3"),
    ],
)
def test_what_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        text_model().fit(**{"x": WORDS, **arguments}, verbose=0)


def test_a_layer_for_numbers_refuses_text():
    model = keras.Sequential([keras.layers.Dense(1, name="numbers")])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="array of numbers or booleans was expected"):
        model.fit([["a"], ["b"]], np.ones((2, 1)), verbose=0)
