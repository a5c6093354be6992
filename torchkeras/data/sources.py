"""Sources of datasets: what can say how much it has, and give any element by its number."""

import zlib

import numpy as np
import torch

from torchkeras.core import tree
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import standardize_dtype
from torchkeras.core.strings import is_text
from torchkeras.data.elements import as_element, collate


class Source:
    """Base class of elements that are read by number.

    Attributes:
        length: int, number of elements.
        is_thread_safe: bool, whether several threads may read at once, and random numbers are not
            drawn in it.
    """

    is_thread_safe = True
    length = 0

    def __getitem__(self, index):
        """The element at `index`, an int from 0."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `__getitem__(index)`. Received: index={index}."
        )

    def rows(self, indices):
        """The batch of the elements at `indices`, a range, list or array of ints."""
        return collate([self[int(i)] for i in indices])

    def fingerprint(self):
        """An int that is the same in processes that read the same: by number, kind, names."""
        return self.length

    def sample(self):
        """A list of a few rows of each array, by whose values processes compare what they read."""
        return []


class Slices(Source):
    """The rows of arrays, along their first axes.

    Args:
        arrays: structure (tuples, dicts) of arrays, tensors, lists of numbers or of strings.

    Raises:
        ValueError: the arrays have no rows, or not the same number of them.
    """

    def __init__(self, arrays):
        self._arrays = _map_arrays(as_rows, arrays)
        leaves = tree.flatten(self._arrays)
        shapes = ", ".join(str(tuple(leaf.shape)) for leaf in leaves)
        if not leaves or not all(leaf.ndim for leaf in leaves):
            raise ValueError(
                "Arrays with a first axis of samples were expected. Received: arrays of shapes "
                f"{shapes or 'none'}. A single value is given with `from_tensors`."
            )
        if len({len(leaf) for leaf in leaves}) > 1:
            raise ValueError(
                "All arrays must have the same number of samples (first axis). Received: arrays "
                f"of shapes {shapes}. Cut them to one length."
            )
        self.length = len(leaves[0])

    def __getitem__(self, index):
        return tree.map_structure(lambda array: _row(array, index), self._arrays)

    def rows(self, indices):
        numbers = as_numbers(indices)
        return tree.map_structure(lambda array: rows_at(array, numbers), self._arrays)

    def fingerprint(self):
        kinds = [(tuple(x.shape), standardize_dtype(x.dtype)) for x in self._numeric()]
        return zlib.crc32(repr((self.length, len(tree.flatten(self._arrays)), kinds)).encode())

    def sample(self):
        return [sampled_rows(array) for array in tree.flatten(self._arrays)]

    def _numeric(self):
        return [array for array in tree.flatten(self._arrays) if not is_text(array)]


class Items(Source):
    """Elements of a list, or of anything else with `len` and `[i]`, a torch Dataset say.

    Args:
        items: sequence.
        is_thread_safe: bool, see `Source`.
    """

    def __init__(self, items, is_thread_safe=False):
        if not hasattr(items, "__getitem__") or not hasattr(items, "__len__"):
            raise TypeError(
                "Something with `len(x)` and `x[i]` was expected. Received: a "
                f"{type(items).__name__}. Use `from_generator` for what can only be iterated."
            )
        self._items = items
        self.is_thread_safe = is_thread_safe

    @property
    def length(self):
        return len(self._items)

    def __getitem__(self, index):
        return as_element(self._items[index])

    def fingerprint(self):
        return self.length


class Numbers(Source):
    """The ints of a `range`, as int64 tensors."""

    def __init__(self, numbers):
        self._numbers = numbers
        self.length = len(numbers)

    def __getitem__(self, index):
        return torch.tensor(self._numbers[index], device="cpu")

    def fingerprint(self):
        return zlib.crc32(repr(self._numbers).encode())


class Frozen(Source):
    """One pass, read again and again: its order stays.

    Args:
        one: Pass that is indexed.
        is_thread_safe: bool, see `Source`.
    """

    def __init__(self, one, is_thread_safe):
        self._pass = one
        self.is_thread_safe = is_thread_safe
        self.length = one.length
        self.rows = one.rows

    def __getitem__(self, index):
        return self._pass[index]


def _map_arrays(function, structure):
    """Like `tree.map_structure`, but a list is one array."""
    if isinstance(structure, tuple):
        items = [_map_arrays(function, item) for item in structure]
        return type(structure)(*items) if hasattr(structure, "_fields") else tuple(items)
    if isinstance(structure, dict):
        return {key: _map_arrays(function, value) for key, value in structure.items()}
    return function(structure)


def as_rows(x):
    """A tensor, or a NumPy array where torch cannot share it: text, and read-only memory."""
    if hasattr(x, "iloc") and hasattr(x, "to_numpy"):
        x = x.to_numpy()
    if isinstance(x, np.ndarray) and not is_text(x) and not x.flags.writeable:
        return x if x.dtype.isnative and x.dtype.kind in "biuf" else as_element(x.copy())
    if isinstance(x, torch.Tensor):
        return x.detach()
    return as_element(x)


def _row(array, index):
    row = array[index]
    if isinstance(row, str) or is_text(array) or isinstance(array, torch.Tensor):
        return row
    return convert_to_tensor(np.array(row)).cpu()


def as_numbers(indices):
    """A range, list or array of ints as an int64 tensor.

    Example:

    >>> from torchkeras.data.sources import as_numbers
    >>> as_numbers(range(1, 4))
    tensor([1, 2, 3])
    """
    if isinstance(indices, range):
        return torch.arange(indices.start, indices.stop, indices.step, device="cpu")
    return torch.as_tensor(indices, dtype=torch.int64, device="cpu")


def sampled_rows(array):
    """At most 64 rows of an array, from the first to the last.

    Example:

    >>> from torchkeras.data.sources import sampled_rows
    >>> sampled_rows(torch.arange(3))
    tensor([0, 1, 2])
    """
    count = len(array)
    return rows_at(array, torch.linspace(0, count - 1, min(count, 64), device="cpu").long())


def rows_at(array, numbers):
    if isinstance(array, torch.Tensor):
        return torch.index_select(array, 0, numbers.to(array.device))
    rows = array[numbers.numpy()]
    return rows if is_text(array) else torch.from_numpy(np.ascontiguousarray(rows))
