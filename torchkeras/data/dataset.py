"""Dataset: batches for `fit` made step by step, as `tf.data` makes them, of torch tensors."""

import operator

import torch

from torchkeras.core import tree
from torchkeras.data import stages
from torchkeras.data.elements import PaddedCollate, as_numpy
from torchkeras.data.seeds import begun, shuffles
from torchkeras.data.sources import Items, Numbers, Slices
from torchkeras.data.stages import INFINITE, UNKNOWN

AUTOTUNE = -1


class Dataset(torch.utils.data.Dataset):
    """Elements that are read when they are asked for, through a chain of steps.

    Made by one of the `from_...` functions or `range`, or by `image_dataset_from_directory` and
    its kind. Each method returns a new dataset and leaves this one as it is. Elements are tensors,
    text, or tuples and dicts of these; of `(x, y)` and `(x, y, sample_weight)` in batches `fit`,
    `evaluate` and `predict` are made.

    Each loop over a dataset is a new pass, for which `shuffle` draws a new order. Passes are
    repeatable: after `keras.utils.set_random_seed` the same orders come again, and with `seed=`
    in any case. Under torchrun `fit` gives each process its rows of each batch. A dataset can be
    pickled if its functions can, and a `torch.utils.data.DataLoader` reads it where it has an
    order of its own (no `shuffle`, `filter` or `repeat`).

    Attributes:
        class_names: list of str, of a dataset that was made from a folder with classes.
        file_paths: list of str, of a dataset that was made from a folder.

    Example:

    >>> x, y = np.arange(10.0), np.arange(10)
    >>> dataset = keras.data.Dataset.from_tensor_slices((x, y)).shuffle(10, seed=1).batch(4)
    >>> len(dataset), [len(labels) for features, labels in dataset]
    (3, [4, 4, 2])
    """

    def __init__(self, stage):
        if not isinstance(stage, stages.Stage):
            raise TypeError(
                "A Dataset is made by Dataset.from_tensor_slices, from_generator, from_indexed or "
                f"range. Received: Dataset({type(stage).__name__})."
            )
        self._stage = stage

    # ---- sources ----------------------------------------------------------------------------

    @staticmethod
    def from_tensor_slices(tensors):
        """The rows of arrays: tensors, NumPy arrays, lists, or tuples and dicts of these."""
        return Dataset(stages.SourceStage(Slices(tensors)))

    @staticmethod
    def from_tensors(tensors):
        """A dataset of one element."""
        return Dataset(stages.SourceStage(Items([tensors], is_thread_safe=True)))

    @staticmethod
    def from_indexed(items):
        """The elements of a list, a map-style torch Dataset, or anything with `len` and `[i]`."""
        return Dataset(stages.SourceStage(Items(items)))

    @staticmethod
    def from_generator(generator, output_signature=None, args=()):
        """What the iterator gives that `generator(*args)` returns, anew for each pass.

        `output_signature` is tf.data's and has no effect: tensors know their shapes.
        """
        if not callable(generator):
            raise TypeError(
                "`generator` must be a function that returns an iterator. Received: a "
                f"{type(generator).__name__}, which is read only once. Give the generator "
                "function itself, without calling it."
            )
        return Dataset(stages.GeneratorStage(generator, tuple(args)))

    @staticmethod
    def range(*bounds):
        """The ints of Python's `range(*bounds)`, as int64 tensors."""
        return Dataset(stages.SourceStage(Numbers(range(*map(operator.index, bounds)))))

    @staticmethod
    def zip(*datasets):
        """Elements of several datasets side by side, until the first of them ends.

        Give datasets, or one tuple or dict of them, whose structure the elements then have.
        """
        structure = datasets[0] if len(datasets) == 1 else tuple(datasets)
        if isinstance(structure, list):
            structure = tuple(structure)
        leaves = tree.flatten(structure)
        if not leaves:
            raise ValueError("`zip` needs at least one dataset. Received: none.")
        for leaf in leaves:
            _check_dataset(leaf, "zip")
        return Dataset(stages.ZipStage(tree.map_structure(lambda x: x._stage, structure)))

    # ---- steps ------------------------------------------------------------------------------

    def map(self, map_func, num_parallel_calls=None, deterministic=None):
        """`map_func` of each element; the items of a tuple are its arguments.

        The function runs in the order of the elements and in one thread: so random numbers are
        repeatable, and layers, whose training mode is a flag, may be called in it. Several
        processes run it with `prefetch(num_workers=...)`. `num_parallel_calls` and `deterministic`
        are tf.data's and have no effect.
        """
        return Dataset(stages.MapStage(self._stage, _check_function(map_func, "map_func")))

    def filter(self, predicate):
        """The elements for which `predicate` is true; the items of a tuple are its arguments."""
        return Dataset(stages.FilterStage(self._stage, _check_function(predicate, "predicate")))

    def shuffle(self, buffer_size=None, seed=None, reshuffle_each_iteration=True):
        """Elements in a random order, a new one for each pass.

        Args:
            buffer_size: int, the next element is drawn from so many; None for all of them.
            seed: int or None, for orders that do not depend on torch's default generator.
            reshuffle_each_iteration: bool, False for the same order in each pass.
        """
        if buffer_size is None and self._stage.cardinality < 0:
            raise ValueError(
                "`shuffle` needs `buffer_size` where the number of elements is not known. "
                "Received: buffer_size=None. Give the number of elements to hold, such as 1000."
            )
        if buffer_size is not None:
            buffer_size = _check_count(buffer_size, "buffer_size", 1)
        if seed is not None:
            seed = _check_count(seed, "seed", None)
        if reshuffle_each_iteration is None:
            reshuffle_each_iteration = True
        stage = stages.ShuffleStage(self._stage, buffer_size, seed, bool(reshuffle_each_iteration))
        return Dataset(stage)

    def batch(self, batch_size, drop_remainder=False, num_parallel_calls=None, deterministic=None):
        """Batches of `batch_size` elements; the last one may be smaller, or is left out."""
        size = _check_count(batch_size, "batch_size", 1)
        return Dataset(stages.BatchStage(self._stage, size, bool(drop_remainder)))

    def padded_batch(
        self, batch_size, padded_shapes=None, padding_values=None, drop_remainder=False
    ):
        """Batches of elements of different sizes, filled up at their ends.

        Args:
            batch_size: int.
            padded_shapes: None for the largest size in each batch, or a tuple of int or None (the
                largest), or a structure of these like the elements.
            padding_values: number, or structure of them; None for 0.
            drop_remainder: bool, leave out a smaller last batch.
        """
        size = _check_count(batch_size, "batch_size", 1)
        collate = PaddedCollate(padded_shapes, padding_values)
        return Dataset(stages.BatchStage(self._stage, size, bool(drop_remainder), collate))

    def unbatch(self):
        """The rows of the batches, one after the other."""
        samples = self._samples()
        return Dataset(stages.UnbatchStage(self._stage)) if samples is None else samples

    def rebatch(self, batch_size, drop_remainder=False):
        """Batches of another size of the same rows."""
        return self.unbatch().batch(batch_size, drop_remainder)

    def take(self, count):
        """The first `count` elements; -1 for all."""
        count = _check_count(count, "count", -1)
        return Dataset(stages.SliceStage(self._stage, 0, None if count == -1 else count))

    def skip(self, count):
        """All but the first `count` elements; -1 for none."""
        count = _check_count(count, "count", -1)
        if count == -1:
            return self.take(0)
        return Dataset(stages.SliceStage(self._stage, count, None))

    def shard(self, num_shards, index):
        """Every `num_shards`-th element, from the one at `index` on."""
        num_shards = _check_count(num_shards, "num_shards", 1)
        index = _check_count(index, "index", 0)
        if index >= num_shards:
            raise ValueError(
                f"`index` must be below `num_shards`. Received: index={index}, "
                f"num_shards={num_shards}."
            )
        return Dataset(stages.SliceStage(self._stage, index, None, num_shards))

    def repeat(self, count=None):
        """`count` passes as one, each in its own order; None or -1 for no end."""
        if count is not None:
            count = _check_count(count, "count", -1)
        return Dataset(stages.RepeatStage(self._stage, None if count == -1 else count))

    def enumerate(self, start=0):
        """`(number, element)`, with numbers from `start`."""
        return Dataset(stages.EnumerateStage(self._stage, _check_count(start, "start", None)))

    def concatenate(self, dataset):
        """The elements of this dataset, and then those of another one."""
        _check_dataset(dataset, "concatenate")
        return Dataset(stages.ConcatenateStage(self._stage, dataset._stage))

    def cache(self, filename=""):
        """Elements that are kept in memory once they were read, in the order of the first pass.

        What stands before it runs once for each element: `shuffle` and random functions belong
        after it.
        """
        if filename:
            raise ValueError(
                f"`cache` keeps elements in memory only. Received: filename={filename!r}. Leave it "
                "out, or write what is slow to compute to files of your own."
            )
        return Dataset(stages.CacheStage(self._stage))

    def prefetch(self, buffer_size=AUTOTUNE, num_workers=0):
        """Elements that are made ready while others are in use.

        Threads read ahead what comes from arrays and folders. Functions of `map`, `filter` and
        `from_generator` are left to the thread that asks for elements, since what they draw would
        not be repeatable; with `num_workers` they run in processes of a
        `torch.utils.data.DataLoader`, where random numbers are seeded for each element anew, and
        so do not depend on the number of processes. Where these are not forked, functions must
        be such that can be pickled.

        Args:
            buffer_size: int, elements read ahead; -1 (`AUTOTUNE`) for some more than are read at
                once.
            num_workers: int, number of processes; a stream, such as that of a generator, is read
                by one.
        """
        size = AUTOTUNE if buffer_size is None else _check_count(buffer_size, "buffer_size", -1)
        workers = _check_count(num_workers, "num_workers", 0)
        if size == 0 and not workers:
            return Dataset(self._stage)
        return Dataset(
            stages.PrefetchStage(self._stage, max(size, 1) if size >= 0 else None, workers)
        )

    def apply(self, transformation_func):
        """`transformation_func(self)`, which must return a dataset."""
        result = _check_function(transformation_func, "transformation_func")(self)
        _check_dataset(result, "apply")
        return result

    # ---- reading ----------------------------------------------------------------------------

    def __iter__(self):
        return iter(begun(self._stage))

    def as_numpy_iterator(self):
        """An iterator over the elements with NumPy arrays in the place of tensors."""
        return map(as_numpy, self)

    def cardinality(self):
        """Number of elements as an int64 tensor: -1 without end, -2 if not known before it."""
        return torch.tensor(self._stage.cardinality, dtype=torch.int64, device="cpu")

    def __len__(self):
        count = self._stage.cardinality
        if count < 0:
            kind = "without end" if count == INFINITE else "known only after reading it"
            raise TypeError(f"The length of this dataset is {kind}. Received: len(dataset).")
        return count

    def __bool__(self):
        return True  # not by `len`, which may fail

    def __getitem__(self, index):
        if not self._stage.is_indexed or shuffles(self._stage):
            raise TypeError(
                "Elements are found by number only where they have an order of their own. "
                f"Received: dataset[{index!r}] of one that shuffles, filters, repeats or reads a "
                "generator. Iterate over it, or number it before that step."
            )
        index, count = operator.index(index), self._stage.cardinality
        if not -count <= index < count:
            raise IndexError(f"The dataset has {count} elements. Received: dataset[{index}].")
        return begun(self._stage)[index % count]

    @property
    def element_spec(self):
        """Structure of `TensorSpec`s of the elements; it may be read from the first of them."""
        return self._stage.spec()

    def __repr__(self):
        count = {INFINITE: "endless", UNKNOWN: "of unknown length"}.get(self._stage.cardinality)
        return f"<Dataset {count or f'of {len(self)} elements'}>"

    # ---- batches ----------------------------------------------------------------------------

    def _batch_stage(self):
        """The step that has made the batches, if nothing but reading ahead stands behind it."""
        stage = self._stage
        while isinstance(stage, stages.PrefetchStage):
            stage = stage.below[0]
        is_plain = isinstance(stage, stages.BatchStage) and stage.collate_function is None
        return stage if is_plain else None

    def _samples(self):
        """The dataset of which the batches of this one are made, or None."""
        batches = self._batch_stage()
        if batches is None or (batches.drop_remainder and batches.below[0].cardinality < 0):
            return None
        stage = batches.below[0]
        if batches.drop_remainder:
            stage = stages.SliceStage(stage, 0, batches.size * batches.cardinality)
        if isinstance(self._stage, stages.PrefetchStage):
            stage = stages.PrefetchStage(stage, *self._stage.settings)
        return Dataset(stage)


def _check_dataset(x, method):
    if not isinstance(x, Dataset):
        raise TypeError(
            f"`{method}` needs a keras.data.Dataset. Received: a {type(x).__name__}. Make one with "
            "Dataset.from_tensor_slices or from_generator."
        )


def _check_function(function, name):
    if not callable(function):
        raise TypeError(f"`{name}` must be a function. Received: a {type(function).__name__}.")
    return function


def _check_count(value, name, least):
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"`{name}` must be an integer. Received: {name}={value!r} of type "
            f"{type(value).__name__}."
        ) from None
    if least is not None and number < least:
        raise ValueError(f"`{name}` must be at least {least}. Received: {name}={number}.")
    return number
