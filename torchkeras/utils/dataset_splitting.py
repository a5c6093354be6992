"""split_dataset: two parts of data, by the number of their samples."""

import numbers

import torch

from torchkeras.data import Dataset, stages
from torchkeras.data.seeds import begun, shuffles
from torchkeras.data.sources import Frozen, Items, Slices


def split_dataset(
    dataset, left_size=None, right_size=None, shuffle=False, seed=None, preferred_backend=None
):
    """Split data into two parts, for training and validation say.

    Args:
        dataset: array, tensor, list or tuple of arrays of one length, dict of these, a
            `keras.data.Dataset`, a torch Dataset with a length, or a DataLoader of one.
        left_size: fraction of the samples (float from 0 to 1) or number of them (int) of the first
            part; None for the rest.
        right_size: the same of the second one.
        shuffle: bool, take the samples of both parts at random; else the first and the last ones.
        seed: int or None, for `shuffle`.
        preferred_backend: None or `"torch"`.

    Returns:
        Two Datasets of single samples: call `batch` on them. Of a Dataset of batches, Datasets of
        batches of that size; of a torch Dataset, two `torch.utils.data.Subset`; of a DataLoader,
        two DataLoaders with its settings.

    Raises:
        ValueError: the sizes do not go with the data, or the arrays not with each other.
        TypeError: data of another kind.

    Example:

    >>> left, right = keras.utils.split_dataset(np.arange(10), left_size=0.8)
    >>> len(left), list(right)
    (8, [tensor(8), tensor(9)])
    """
    if preferred_backend not in (None, "torch"):
        raise ValueError(
            "`preferred_backend` can only be 'torch' here. Received: preferred_backend="
            f"{preferred_backend!r}. Leave it out."
        )
    if left_size is None and right_size is None:
        raise ValueError(
            "At least one of `left_size` and `right_size` must be given. Received: neither."
        )
    if isinstance(dataset, torch.utils.data.DataLoader):
        return _of_loader(dataset, left_size, right_size, shuffle, seed)
    if isinstance(dataset, torch.utils.data.Dataset) and not isinstance(dataset, Dataset):
        return _of_torch_dataset(dataset, left_size, right_size, shuffle, seed)
    if not isinstance(dataset, Dataset):
        stage, batch_size = _of_arrays(dataset), None
    else:
        stage, batch_size = _samples_of(dataset)
    order = _order(stage.cardinality, shuffle, seed)
    left, right = _sizes(left_size, right_size, len(order))
    parts = [
        Dataset(stages.OrderStage(stage, numbers))
        for numbers in (order[:left], order[len(order) - right :])
    ]
    if batch_size is not None:
        parts = [part.batch(batch_size).prefetch() for part in parts]
    return tuple(parts)


def _of_arrays(dataset):
    if isinstance(dataset, (list, tuple)) and not len(dataset):
        raise ValueError("A list or tuple of arrays was expected. Received: an empty one.")
    if isinstance(dataset, list) and all(hasattr(item, "shape") for item in dataset):
        dataset = tuple(dataset)  # several arrays, as in Keras, not the rows of one
    if not isinstance(dataset, (list, tuple, dict)) and not hasattr(dataset, "__array__"):
        raise TypeError(
            "Arrays, lists, tuples and dicts of arrays, Datasets and DataLoaders can be split. "
            f"Received: a {type(dataset).__name__}."
        )
    return stages.SourceStage(Slices(dataset))


def _samples_of(dataset):
    """The samples of a Dataset, numbered and in one order, and the size of its batches or None."""
    batches = dataset._batch_stage()
    dataset = dataset if batches is None else dataset.unbatch()
    stage, batch_size = dataset._stage, None if batches is None else batches.size
    if stage.cardinality == stages.INFINITE:
        raise ValueError("A dataset with an end was expected. Received: an endless one.")
    if not stage.is_indexed:
        return stages.SourceStage(Items(list(dataset), is_thread_safe=True)), batch_size
    if shuffles(stage):
        # Another order in each pass would let samples go from one part to the other.
        stage = stages.SourceStage(Frozen(begun(stage), stage.is_thread_safe))
    return stage, batch_size


def _of_torch_dataset(dataset, left_size, right_size, shuffle, seed):
    if not hasattr(dataset, "__len__"):
        raise TypeError(
            "Data whose samples are numbered was expected. Received: a "
            f"{type(dataset).__name__} without a length. Read it into a list first."
        )
    order = _order(len(dataset), shuffle, seed)
    left, right = _sizes(left_size, right_size, len(order))
    return (
        torch.utils.data.Subset(dataset, order[:left]),
        torch.utils.data.Subset(dataset, order[len(order) - right :]),
    )


def _of_loader(loader, left_size, right_size, shuffle, seed):
    samplers = (torch.utils.data.SequentialSampler, torch.utils.data.RandomSampler)
    is_plain = isinstance(loader.sampler, samplers) and loader.batch_size is not None
    if not is_plain or isinstance(loader.dataset, torch.utils.data.IterableDataset):
        raise ValueError(
            "A DataLoader over numbered samples, with a `batch_size` and no sampler of its own, "
            f"was expected. Received: one with a {type(loader.sampler).__name__}. Split its "
            "dataset, and make a DataLoader of each part."
        )
    is_shuffled = isinstance(loader.sampler, torch.utils.data.RandomSampler)
    parts = _of_torch_dataset(loader.dataset, left_size, right_size, shuffle, seed)
    return tuple(
        torch.utils.data.DataLoader(
            part,
            batch_size=loader.batch_size,
            shuffle=is_shuffled,
            drop_last=loader.drop_last,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            generator=loader.generator,
            prefetch_factor=loader.prefetch_factor,
            persistent_workers=loader.persistent_workers,
        )
        for part in parts
    )


def _order(count, shuffle, seed):
    if not shuffle:
        return list(range(count))
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator).tolist()


def _sizes(left_size, right_size, count):
    """Numbers of samples of both parts."""
    given = {"left_size": left_size, "right_size": right_size}
    left, right = (_size(size, name, count) for name, size in given.items())
    if isinstance(left_size, float) and isinstance(right_size, float):
        if left_size + right_size > 1 + 1e-12:
            raise ValueError(
                "`left_size` and `right_size` together must be at most 1. Received: "
                f"left_size={left_size} and right_size={right_size}."
            )
        right = min(right, count - left)  # where both are rounded up
    left = count - right if left is None else left
    right = count - left if right is None else right
    if left + right > count:
        raise ValueError(
            f"Both parts together can have at most the {count} samples that there are. Received: "
            f"left_size={left_size} and right_size={right_size}."
        )
    if not left or not right:
        raise ValueError(
            f"Both parts need at least one sample. Received: {count} samples, left_size="
            f"{left_size} and right_size={right_size}, which make parts of {left} and {right}."
        )
    return left, right


def _size(size, name, count):
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, numbers.Real):
        raise TypeError(
            f"`{name}` must be an int or a float. Received: {name}={size!r} of type "
            f"{type(size).__name__}."
        )
    is_whole = isinstance(size, numbers.Integral)
    if not 0 < size < (count if is_whole else 1):
        what = f"a number of samples below {count}" if is_whole else "a fraction between 0 and 1"
        raise ValueError(f"`{name}` must be {what}, and above 0. Received: {name}={size}.")
    return int(size) if is_whole else round(size * count)
