"""What processes read of a `keras.data.Dataset` that they share."""

import importlib.util
import pathlib
import warnings

import numpy as np
import torch

import torchkeras as keras
from torchkeras.data import Dataset
from torchkeras.distribution import process_group

_spec = importlib.util.spec_from_file_location(
    "data_scenarios", pathlib.Path(__file__).with_name("data_scenarios.py")
)
data = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(data)

X = data.X
PAIRS = Dataset.from_tensor_slices((X, X))


def _fitted(dataset, **arguments):
    """Sorted numbers that all processes together have seen, and how many each."""
    model = data.seeing()
    model.fit(dataset, verbose=0, **arguments)
    seen = model.seen_by_all()
    return np.sort(np.concatenate(seen)), np.array([len(one) for one in seen])


def every_sample_once():
    """Each sample is seen once an epoch, whatever the chain."""
    found = {}
    chains = {
        "batch": PAIRS.batch(10).prefetch(),
        "shuffle": PAIRS.shuffle(48).batch(10),
        "batches_shuffled": PAIRS.batch(5).shuffle(3),
        "mapped_batches": PAIRS.shuffle(48).batch(10).map(lambda x, y: (x, y)),
        "repeated": PAIRS.shuffle(48).repeat(2).batch(16),
        "stream": Dataset.from_generator(lambda: iter(PAIRS)).batch(10),
        "processes": PAIRS.shuffle(48).batch(10).prefetch(4, num_workers=1),
        "cached": PAIRS.shuffle(48).batch(10).cache(),
    }
    for name, chain in chains.items():
        epochs = 1 if name == "repeated" else 2
        found[name], found[f"{name}_counts"] = _fitted(chain, epochs=epochs)
    return found


def noise_of_its_own_in_each_process():
    """Functions that processes of a loader run draw other numbers for other rows."""
    dataset = PAIRS.map(lambda x, y: (torch.rand(1), y)).batch(10).prefetch(4, num_workers=1)
    model = data.seeing()
    noise = []

    class Note(keras.Model):
        def call(self, x):
            noise.extend(x.flatten().tolist())
            return model.dense(x)

    net = Note()
    net.compile("sgd", "mse")
    net.fit(dataset, verbose=0)
    everyone = process_group.all_gather_object(noise)
    return {"count": np.array(len(set(sum(everyone, []))))}


def seeds_of_its_own_in_each_process():
    """Processes that were seeded differently still read in one order."""
    data._in_own_order(3)
    found = {}
    for name, dataset in {
        "drawn": PAIRS.shuffle(48).batch(10),
        "fixed": PAIRS.shuffle(48, reshuffle_each_iteration=False).batch(10),
        "cached": PAIRS.shuffle(48).batch(10).cache(),
        "cached_stream": Dataset.from_generator(lambda: iter(PAIRS)).shuffle(48).batch(10).cache(),
    }.items():
        if process_group.is_chief():
            list(dataset)  # one process has looked at it
        found[name], _ = _fitted(dataset, epochs=2)
    return found


def losses_of_one_process():
    """`fit` gives the weights that a single process would get."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-5), "mse")
    dataset = PAIRS.shuffle(48).batch(10)
    history = model.fit(dataset, epochs=3, validation_data=PAIRS.batch(7), verbose=0).history
    predictions = model.predict(Dataset.from_tensor_slices(X).batch(9), verbose=0)
    return {
        "loss": np.array(history["loss"], "float32"),
        "val_loss": np.array(history["val_loss"], "float32"),
        "predictions": predictions.astype("float32"),
    }


def other_data_in_another_process():
    """Different sources are an error in all processes; what is divided before is not."""
    own = X[np.random.default_rng(process_group.rank()).permutation(48)]
    arrays = Dataset.from_tensor_slices((own, own)).batch(8)
    shorter = PAIRS.take(48 - 8 * process_group.rank()).batch(8)
    found = data.refusals(
        order=lambda: data.seeing().fit(arrays, verbose=0),
        length=lambda: data.seeing().fit(shorter, verbose=0),
        endless=lambda: data.seeing().fit(PAIRS.batch(8).repeat(), verbose=0),
    )
    with data._divided(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rank, world_size = process_group.rank(), process_group.world_size()
        mine = PAIRS.shard(world_size, rank).shuffle(48, seed=rank).batch(6)
        found["divided"], found["divided_counts"] = _fitted(mine, epochs=1)
    return found


def folders():
    """A folder of files that were shuffled without a seed is read in one order."""
    folder = process_group.broadcast_object(_folder() if process_group.is_chief() else None)
    data._in_own_order(5)
    dataset = keras.utils.text_dataset_from_directory(folder, batch_size=5, verbose=True)
    dataset = dataset.map(lambda texts, labels: (_numbers(texts), _numbers(texts)))
    seen, counts = _fitted(dataset, epochs=1)
    return {"seen": seen, "counts": counts}


def _numbers(texts):
    return torch.tensor([[float(text)] for text in texts])


def _folder():
    import tempfile

    folder = pathlib.Path(tempfile.mkdtemp())
    for i in range(14):
        (folder / f"class{i % 2}").mkdir(exist_ok=True)
        (folder / f"class{i % 2}" / f"{i}.txt").write_text(str(i))
    return str(folder)
