"""What processes read of data that they share, and what they do where it is not the same."""

import random
import warnings

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, IterableDataset, Sampler

import torchkeras as keras
from torchkeras import layers
from torchkeras.core.scopes import SCOPE
from torchkeras.distribution import process_group

X = np.arange(48, dtype="float32").reshape(-1, 1)
DATA = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(X))


class Seeing(keras.Model):
    """Keeps the numbers of the rows that it is trained on."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1, kernel_initializer="zeros")
        self.seen = []

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        if SCOPE.replica is None or not SCOPE.replica.share.is_ghost:
            self.seen += [int(v) for v in data[0].reshape(-1)]
        return super().train_step(data)

    def seen_by_all(self):
        """Numbers that each process has seen since the last time."""
        seen, self.seen = self.seen, []
        return process_group.all_gather_object(seen)


def seeing():
    model = Seeing()
    model.build((None, 1))
    model.compile(keras.optimizers.SGD(1e-6), "mse")
    return model


def identity():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, layers.Identity()(inputs))
    model.compile(loss="mse")
    return model


def refusals(**calls):
    """The words with which each call was refused, in this process and in the others."""
    found = {}
    for name, call in calls.items():
        try:
            call()
        except ValueError as error:
            found[name] = str(error)
        else:
            found[name] = "nothing was refused"
    everyone = process_group.all_gather_object(found)
    return {key: np.array([words[key] for words in everyone]) for key in found}


def _rank_and_size():
    return process_group.rank(), process_group.world_size()


def _in_own_order(seed):
    """Give Python's, NumPy's and torch's generators another state in each process."""
    for function in (random.seed, np.random.seed, torch.manual_seed):
        function(seed + process_group.rank())


def _divided():
    return keras.distribution.DataParallel(auto_shard_dataset=False).scope()


# Data that was divided before


class Every(Sampler):
    """Every n-th sample, as a sampler of the user's own; it notes the epochs it is told."""

    def __init__(self):
        self.rank, self.num_replicas = _rank_and_size()
        self.epochs = []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)

    def __iter__(self):
        return iter(range(self.rank, 48, self.num_replicas))

    def __len__(self):
        return 48 // self.num_replicas


def samplers_that_divide():
    """A sampler that divides is found, also inside a batch sampler, and what it gives is kept."""
    rank, world_size = _rank_and_size()
    found = {}
    own = Every()
    inner = DistributedSampler(DATA, world_size, rank, shuffle=True)
    whole = DistributedSampler(DATA, 1, 0, shuffle=False)
    loaders = {
        "own": DataLoader(DATA, sampler=own, batch_size=4),
        "within": DataLoader(DATA, batch_sampler=BatchSampler(inner, 4, False)),
        "whole": DataLoader(DATA, sampler=whole, batch_size=8),  # of one part: nothing is divided
    }
    for name, loader in loaders.items():
        model = seeing()
        model.fit(loader, epochs=2, verbose=0)
        found[name] = np.sort(np.concatenate(model.seen_by_all()))
    found["epochs"] = np.array([*own.epochs, inner.epoch])
    found["loss"] = np.array(identity().evaluate(loaders["own"], verbose=0))
    return {
        **found,
        **refusals(
            predict=lambda: identity().predict(loaders["own"], verbose=0),
            predict_within=lambda: identity().predict(loaders["within"], verbose=0),
        ),
    }


def divided_and_uneven():
    """One process has more batches than another, and epochs are of so many steps."""
    own = X[:24] if process_group.rank() == 0 else X[:40]
    rows = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rows.append([len(seen) for seen in self.model.seen_by_all()])

    with _divided(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seeing().fit(
            own, own, batch_size=8, epochs=5, steps_per_epoch=3, verbose=0, callbacks=[Count()]
        )
    return {"rows": np.array(rows), "warned": np.array(sum("ran out" in str(w) for w in caught))}


def divided_model_parallel():
    """Processes that hold parts of the weights see the same rows: a part of them will not do."""
    mesh = keras.distribution.DeviceMesh((1, process_group.world_size()), ["batch", "model"])
    layouts = keras.distribution.LayoutMap(mesh)
    layouts[".*kernel"] = (None, "model")
    loader = DataLoader(DATA, sampler=Every(), batch_size=4)
    rows = X[process_group.rank() :][:16]
    model = keras.Sequential([keras.Input((1,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    with keras.distribution.ModelParallel(layout_map=layouts).scope():
        return refusals(
            sampler=lambda: model.fit(loader, verbose=0),
            generator=lambda: model.fit(iter([(rows, rows)]), verbose=0),
        )


# Whole batches


class Stream(IterableDataset):
    def __iter__(self):
        for i in range(6):
            yield X[8 * i : 8 * i + 8], X[8 * i : 8 * i + 8] * 2


def numpy_batches():
    """A loader whose batches are NumPy arrays trains as in one process."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(1e-4), "mse")
    loader = DataLoader(Stream(), batch_size=None, collate_fn=lambda batch: batch)
    history = model.fit(loader, epochs=2, verbose=0)
    return {"loss": np.array(history.history["loss"]), "kernel": model.get_weights()[0]}


def numpy_batches_divided():
    with _divided():
        loader = DataLoader(Stream(), batch_size=None, collate_fn=lambda batch: batch)
        model = seeing()
        model.fit(loader, verbose=0)
    return {"rows": np.array([len(seen) for seen in model.seen_by_all()])}


class Batches(keras.utils.PyDataset):
    """Batches of 8 of the 48 samples in an order; `shuffle` may change it as an epoch begins."""

    def __init__(self, order, shuffle=None):
        super().__init__()
        self.order, self.shuffle = np.array(order), shuffle

    def __len__(self):
        return len(self.order) // 8

    def __getitem__(self, index):
        rows = X[self.order[8 * index : 8 * index + 8]]
        return rows, rows

    def on_epoch_begin(self):
        if self.shuffle is not None:
            self.order = self.shuffle(self.order)


def _generator(count, rows=8):
    for i in range(count):
        yield X[8 * i : 8 * i + rows], X[8 * i : 8 * i + rows]


def of_different_lengths():
    """Another number of batches, or of rows, is an error in all processes."""
    model, alike, last = seeing(), identity(), process_group.rank() == 1
    count = 5 if last else 6
    found = refusals(
        fit=lambda: model.fit(_generator(count), verbose=0),
        evaluate=lambda: alike.evaluate(_generator(count), verbose=0),
        predict=lambda: alike.predict((x for x, _ in _generator(count)), verbose=0),
        rows=lambda: model.fit(_generator(6, rows=7 if last else 8), verbose=0),
        empty=lambda: model.fit(_generator(0 if last else 6), verbose=0),
        dataset=lambda: model.fit(Batches(range(8 * count)), verbose=0),
        loader=lambda: model.fit(
            DataLoader(torch.utils.data.Subset(DATA, range(8 * count)), batch_size=8), verbose=0
        ),
    )
    nothing = torch.utils.data.Subset(DATA, range(0 if last else 8))
    with _divided():
        found.update(refusals(none=lambda: model.fit(DataLoader(nothing), verbose=0)))
    model = seeing()
    model.fit(_generator(count), epochs=2, steps_per_epoch=2, verbose=0)
    return {**found, "steps": np.sort(np.concatenate(model.seen_by_all()))}


# Random numbers


def _shuffled_generator(shuffle):
    order = shuffle(np.arange(48))
    for i in range(6):
        rows = X[order[8 * i : 8 * i + 8]]
        yield rows, rows


class ShuffledStream(IterableDataset):
    def __init__(self, shuffle):
        self.shuffle = shuffle

    def __iter__(self):
        return _shuffled_generator(self.shuffle)


def shuffled_without_a_seed():
    """Data that shuffles as a pass begins has the same order in processes with other seeds."""
    ways = {
        "python": lambda order: np.array(random.sample(list(order), len(order))),
        "numpy": np.random.permutation,
        "torch": lambda order: order[torch.randperm(len(order)).numpy()],
    }
    found = {}
    for number, (name, shuffle) in enumerate(ways.items()):
        sources = {
            "dataset": lambda f=shuffle: Batches(range(48), f),
            "generator": lambda f=shuffle: _shuffled_generator(f),
            "stream": lambda f=shuffle: DataLoader(ShuffledStream(f), batch_size=None),
        }
        for source, make in sources.items():
            model = seeing()
            _in_own_order(10 * number)
            model.fit(make(), epochs=1 if source == "generator" else 2, verbose=0)
            found[f"{name}_{source}"] = np.sort(np.concatenate(model.seen_by_all()))
    return found


def states_after_fit():
    """Seeds that differ stay different; states that were alike are alike again."""

    class Draw(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if process_group.is_chief():
                np.random.rand(), random.random()

    def distinct():
        drawn = process_group.all_gather_object((np.random.rand(), random.random()))
        return len(set(drawn))

    seeing().fit(X, X, verbose=0, callbacks=[Draw()])
    alike = distinct()
    _in_own_order(3)
    seeing().fit(X, X, verbose=0)
    own = distinct()
    with _divided():
        seeing().fit(Batches(range(48)), verbose=0)
    return {"alike": np.array(alike), "own": np.array([own, distinct()])}


def arrays_in_another_order():
    """Arrays that were permuted without a seed are an error in all processes."""
    rank = process_group.rank()
    order = np.random.default_rng(rank).permutation(48)
    own, labels = X[order], order % 3
    inputs = {"a": X, "b": own}
    first = keras.Model(*[dict(a=keras.Input((1,)), b=keras.Input((1,)))] * 2)
    model, alike = seeing(), identity()
    found = refusals(
        fit=lambda: model.fit(own, own, verbose=0),
        labels=lambda: model.fit(X, labels, verbose=0),
        evaluate=lambda: alike.evaluate(own, own, verbose=0),
        predict=lambda: alike.predict(own, verbose=0),
        validation=lambda: model.fit(X, X, validation_data=(own, own), verbose=0),
        length=lambda: alike.predict(X[: 48 - rank], verbose=0),
        dtype=lambda: alike.predict(X.astype(["float32", "int64"][rank % 2]), verbose=0),
        named=lambda: first.predict(inputs, verbose=0),
    )
    model = seeing()
    rounded = X * (1 + 1e-6 * rank)  # as another machine may compute it
    model.fit(rounded, rounded, verbose=0)
    model.train_on_batch(own, own)
    with _divided():
        model.fit(own, own, verbose=0)
    return found


def dataset_in_another_order():
    """Of batches that differ process 0 warns, once: they may be random by design."""
    order = np.random.default_rng(process_group.rank()).permutation(48)

    class Augmented(Batches):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x + np.float32(process_group.rank()), y

    found = {}
    for name, data in {"order": Batches(order), "augmented": Augmented(range(48))}.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            seeing().fit(data, epochs=2, verbose=0)
        words = [str(w.message) for w in caught if "first batch differs" in str(w.message)]
        found[name] = np.array(process_group.all_gather_object(words[0] if words else ""))
    return found


# Predictions


def outputs_of_other_rows():
    """Outputs whose first axis is not the batch's rows cannot be put in order."""

    def predicting(function):
        inputs = keras.Input((1,))
        outputs = layers.Lambda(function, output_shape=(1,))(inputs)
        return lambda: keras.Model(inputs, outputs).predict(X[:-1], batch_size=8, verbose=0)

    return refusals(
        twice=predicting(lambda x: torch.cat([x, x])),
        scalar=predicting(lambda x: x.mean()),
    )
