"""What processes tell each other of their data: whether it is the same, and who has how much."""

import zlib

import numpy as np
import torch

from torchkeras.core.strings import is_text
from torchkeras.distribution import process_group

# What to do where processes were given different data.
SEED_ALIKE = (
    "Read the same in all of them, and seed alike before anything is shuffled or drawn, with "
    "keras.utils.set_random_seed(...)."
)
REMEDY = (
    f"{SEED_ALIKE} If each has data of its own instead: keras.distribution.set_distribution("
    "keras.distribution.DataParallel(auto_shard_dataset=False))."
)

# Elements of an array that are compared: so many rows, and so many places in each.
_ROWS, _PLACES = 64, 16


def made_in_all(make):
    """What `make` gives in this process, and the `num_batches` of that in every process.

    An error in one process is one in all of them.

    Args:
        make: function without arguments that returns a DataAdapter.

    Raises:
        ValueError: `make` failed in another process.

    Example:

    >>> from torchkeras.trainers.data_adapters import ArrayDataAdapter
    >>> from torchkeras.trainers.data_adapters.agreement import made_in_all
    >>> made_in_all(lambda: ArrayDataAdapter(np.zeros(70)))[1]
    [3]
    """
    adapter, count, failure = None, -1, None
    try:
        adapter = make()
        if adapter.num_batches is not None:
            count = adapter.num_batches
    except Exception as error:
        failure, count = error, -2
    counts = gathered(count)
    if failure is not None:
        raise failure
    if -2 in counts:
        raise ValueError(
            "Every process must be able to read its data. Received: an error in process "
            f"{counts.index(-2)}, which reports it. Put that one right."
        )
    return adapter, [None if count == -1 else count for count in counts]


def gathered(number):
    """The ints of all processes, in their order.

    Example:

    >>> from torchkeras.trainers.data_adapters.agreement import gathered
    >>> gathered(3)
    [3]
    """
    numbers = torch.zeros(process_group.world_size(), dtype=torch.int64)
    numbers[process_group.rank()] = number
    return process_group.all_reduce_([numbers])[0].tolist()


def differing(named_arrays):
    """Where the arrays of processes differ from those of process 0, as `{process: text}`.

    Shapes and dtypes are compared, and of the values a sample: at most 1024 of each array, up to
    what roundings of different machines may do.

    Args:
        named_arrays: list of `(name, tensor, SciPy CSR matrix or NumPy array)`, as many in
            every process.

    Example:

    >>> from torchkeras.trainers.data_adapters.agreement import differing
    >>> differing([("x", torch.zeros(3))])
    {}
    """
    ours = [(name, *_outline(array)) for name, array in named_arrays]
    difference = _difference(ours, process_group.broadcast_object(ours))
    flag = torch.tensor([difference is not None], dtype=torch.uint8)
    if not process_group.all_reduce_([flag], "max")[0]:
        return {}
    everyone = process_group.all_gather_object(difference)
    return {rank: text for rank, text in enumerate(everyone) if text is not None}


def described(differences):
    """The first few entries of what `differing` gives, in words.

    Example:

    >>> from torchkeras.trainers.data_adapters.agreement import described
    >>> described({1: "x[0] is 2 and not 3"})
    'in process 1 x[0] is 2 and not 3'
    """
    few = list(differences.items())[:3]
    more = len(differences) - len(few)
    parts = [f"in process {rank} {text}" for rank, text in few]
    return "; ".join(parts) + (f"; and so in {more} more" if more else "")


def _outline(array):
    """Shape, dtype and sample of an array."""
    if is_text(array):
        rows = np.linspace(0, len(array) - 1, min(len(array), _ROWS)).astype(np.int64)
        words = array[rows].reshape(-1)[: _ROWS * _PLACES]
        sample = np.array([zlib.crc32(word.encode()) for word in words], dtype=np.float64)
        return tuple(array.shape), "text", sample
    if hasattr(array, "tocsr"):
        parts = [torch.as_tensor(part) for part in (array.indptr, array.indices, array.data)]
        sample = np.concatenate([_sample(part) for part in parts])
    else:
        sample = _sample(array)
    return tuple(array.shape), str(array.dtype).removeprefix("torch."), sample


def _places(shape):
    """Where to look in an array of this shape: rows from first to last, anything in them."""
    rows = np.linspace(0, shape[0] - 1, min(shape[0], _ROWS)).astype(np.int64)
    row_shape = tuple(shape[1:]) or (1,)
    size = int(np.prod(row_shape, dtype=np.int64))
    count = min(size, _PLACES)
    inside = np.random.default_rng(0).integers(size, size=len(rows) * count)
    return np.repeat(rows, count), *np.unravel_index(inside, row_shape)


def _sample(tensor):
    if isinstance(tensor, np.ndarray):  # a file that torch cannot view
        array = tensor if tensor.ndim > 1 else tensor[:, None]
        values = np.asarray(array[_places(array.shape)])
        return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
    if not tensor.numel():
        return np.zeros(0)
    tensor = tensor if tensor.dim() > 1 else tensor[:, None]
    index = [torch.from_numpy(place).to(tensor.device) for place in _places(tensor.shape)]
    values = tensor[tuple(index)].cpu()
    return values.to(torch.complex128 if values.is_complex() else torch.float64).numpy()


def _difference(ours, theirs):
    if [name for name, *_ in ours] != [name for name, *_ in theirs]:
        return f"the arrays are {[name for name, *_ in ours]}"
    for (name, shape, dtype, sample), (_, *outline, other) in zip(ours, theirs, strict=True):
        if [shape, dtype] != outline:
            return f"{name} has shape {shape} and dtype {dtype}, not {outline[0]} and {outline[1]}"
        if len(sample) != len(other):
            return f"{name} has other nonzero elements"
        if dtype == "text":
            if not np.array_equal(sample, other):
                return f"{name} holds other words"
            continue
        scale = float(np.abs(other[np.isfinite(other)]).max(initial=0.0))
        close = np.isclose(sample, other, rtol=1e-3, atol=1e-6 * scale, equal_nan=True)
        if not close.all():
            return _first(name, shape, sample, other, int(np.argmin(close)))
    return None


def _first(name, shape, sample, other, number):
    values = f"{sample[number]:.6g} and not {other[number]:.6g}"
    places = _places(shape)
    if len(places[0]) != len(sample):  # of a sparse matrix
        return f"{name} holds {values}"
    place = [int(axis[number]) for axis in places][: len(shape)]
    return f"{name}{place} is {values}"
