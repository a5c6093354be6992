"""`fit`, `evaluate` and `predict` on a `keras.data.Dataset`, and a process's rows of it."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.data import Dataset
from torchkeras.trainers.data_adapters import get_data_adapter
from torchkeras.trainers.data_adapters.dataset_adapter import DatasetAdapter

X = np.arange(40, dtype="float32").reshape(20, 2)
Y = X.sum(1, keepdims=True)
PAIRS = Dataset.from_tensor_slices((X, Y))


def model():
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    net.compile(keras.optimizers.SGD(1e-5), "mse", metrics=["mae"])
    return net


def test_fit_is_that_of_the_arrays():
    of_arrays, of_dataset = model(), model()
    expected = of_arrays.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    found = of_dataset.fit(PAIRS.batch(8).prefetch(), epochs=3, verbose=0)
    assert found.history == expected.history
    assert of_dataset.evaluate(PAIRS.batch(8), verbose=0) == of_arrays.evaluate(
        X, Y, batch_size=8, verbose=0
    )
    inputs = Dataset.from_tensor_slices(X).batch(7)
    np.testing.assert_array_equal(
        of_dataset.predict(inputs, verbose=0), of_arrays.predict(X, batch_size=7, verbose=0)
    )


def test_each_epoch_has_another_order():
    seen = []

    class Seeing(keras.Model):
        def train_step(self, data):
            seen.append(data[0][:, 0].tolist())
            return {"loss": torch.zeros(())}

        def call(self, x):
            return x

    net = Seeing()
    net.compile()
    net.fit(PAIRS.shuffle(20, seed=1).batch(20), epochs=3, verbose=0)
    assert all(sorted(batch) == X[:, 0].tolist() for batch in seen)
    assert len({tuple(batch) for batch in seen}) == 3


def test_validation_data_class_weights_and_steps():
    net = model()
    history = net.fit(
        PAIRS.batch(5).repeat(),
        steps_per_epoch=3,
        epochs=2,
        validation_data=PAIRS.batch(6).repeat(),
        validation_steps=2,
        verbose=0,
    ).history
    assert len(history["val_loss"]) == 2
    weights = {0: 2.0, 1: 0.5}
    labels = np.arange(20) % 2
    classes = Dataset.from_tensor_slices((X, labels))
    of_arrays, of_dataset = model(), model()
    expected = of_arrays.fit(X, labels, shuffle=False, class_weight=weights, verbose=0)
    found = of_dataset.fit(classes.batch(32), class_weight=weights, verbose=0)
    assert found.history == expected.history


def test_dicts_and_sample_weights_and_text_arrive():
    data = {"x": X, "y": Y}
    adapter = get_data_adapter(Dataset.from_tensor_slices(data).batch(16))
    (batch,) = next(iter(adapter.batches()))
    assert batch["y"].shape == (16, 1) and adapter.bare_batches and adapter.num_batches == 2
    adapter = get_data_adapter(Dataset.from_tensor_slices((X, Y, np.ones(20))).batch(16))
    assert [len(batch) for batch in adapter.batches()] == [3, 3] and not adapter.bare_batches
    words = Dataset.from_tensor_slices((["a", "b"], [0, 1])).batch(2)
    ((texts, _),) = get_data_adapter(words).batches()
    assert isinstance(texts, np.ndarray) and texts.tolist() == ["a", "b"]


def test_wrong_uses_say_so():
    net = model()
    batches = PAIRS.batch(4)
    for arguments in ({"y": Y}, {"batch_size": 4}, {"sample_weight": Y}):
        with pytest.raises(ValueError, match="A Dataset given as `x` brings its own batches"):
            net.fit(batches, **arguments)
    with pytest.raises(ValueError, match="`validation_split` needs data as arrays"):
        net.fit(batches, validation_split=0.2)
    with pytest.raises(ValueError, match="an endless Dataset|An endless Dataset"):
        net.fit(batches.repeat())
    with pytest.raises(ValueError, match="without elements"):
        net.fit(batches.take(0))
    with pytest.raises(ValueError, match="brings its own|Shuffle in the Dataset"):
        net.fit(batches, shuffle="batch")


@pytest.mark.parametrize(
    "steps",
    [
        lambda d: d.batch(8),
        lambda d: d.shuffle(20, seed=3).batch(8).prefetch(),
        lambda d: d.map(lambda x, y: (x * 2, y)).batch(8).skip(1),
        lambda d: d.batch(8).shuffle(3, seed=1).take(2),
        lambda d: d.batch(8).repeat(2).prefetch(2),
    ],
)
def test_processes_read_their_rows_alone(steps):
    read = []

    def note(x, y):
        read.append(int(x[0]))
        return x, y

    whole = [x for x, _ in steps(PAIRS)]
    parts = [
        list(DatasetAdapter(steps(PAIRS.map(note)), shard=(rank, 3)).batches()) for rank in range(3)
    ]
    for batch, *rows in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([x for x, _ in rows]), batch)
    assert len(read) == sum(len(batch) for batch in whole)  # nobody reads another's


def test_shares_say_which_rows_they_are():
    adapter = DatasetAdapter(PAIRS.batch(8), shard=(1, 3))
    shares = []
    for _ in adapter.batches():
        shares.append((adapter.share.start, adapter.share.rows, adapter.share.total))
    assert shares == [(3, 3, 8), (3, 3, 8), (2, 1, 4)]


@pytest.mark.parametrize(
    "steps",
    [
        lambda d: d.batch(4).map(lambda x, y: (x, y)),
        lambda d: d.padded_batch(4),
        lambda d: d.batch(4).cache(),
        lambda d: d.filter(lambda x, y: x[0] > 2).batch(4),
        lambda d: d.repeat(2).batch(4),
    ],
)
def test_what_works_on_whole_batches_is_given_whole_batches(steps):
    assert not DatasetAdapter.has_parts(steps(PAIRS))


def test_fingerprints_and_samples_tell_sources_apart():
    datasets = [
        PAIRS,
        Dataset.from_tensor_slices((X, Y + 1)),
        Dataset.from_tensor_slices((X[::-1], Y)),
        Dataset.from_tensor_slices((X[:10], Y[:10])),
        Dataset.from_tensor_slices((X.astype("float64"), Y)),
        Dataset.from_tensor_slices([str(i) for i in range(20)]),
        Dataset.from_tensor_slices([str(i) for i in range(1, 21)]),
        Dataset.range(20),
        Dataset.range(1, 21),
        PAIRS.batch(4),
    ]
    seen = [(d._stage.fingerprint(), str(d._stage.sample())) for d in datasets]
    assert len(set(seen)) == len(seen)
    copy = Dataset.from_tensor_slices((X.copy(), Y))
    assert (copy._stage.fingerprint(), str(copy._stage.sample())) == seen[0]
