"""Passes: one reading of a dataset from its first element to its last, in an order that is set."""

import bisect
import itertools

import numpy as np
import torch

from torchkeras.core import config, tree
from torchkeras.data.elements import as_element, collate, split_rows
from torchkeras.distribution.share import Share


class Pass:
    """Base class of passes.

    A pass that `is_indexed` gives any element by its number, as a `Source` does; the others only
    one after the other. `reads_ahead` says that threads or processes work below, which iterating
    makes use of, and reading by number does not.
    """

    is_indexed = False
    reads_ahead = False
    length = None

    def rows(self, indices):
        """The batch of the elements at `indices`: a range, list or array of ints."""
        return collate([self[int(i)] for i in indices])

    def part(self, index, shard):
        """`(share, part)` of a batch: the rows that are the process's, and these rows."""
        raise NotImplementedError(
            f"{type(self).__name__} has no batches. Received: {index}, {shard}."
        )

    def parts(self, shard):
        """An iterator over `part` of all batches."""
        return (self.part(i, shard) for i in range(self.length))

    def stream(self):
        """An iterator over the elements that asks those below one after the other."""
        raise NotImplementedError(f"{type(self).__name__} must define `stream`. Received: a call.")

    def __iter__(self):
        if self.is_indexed and not self.reads_ahead:
            return (self[i] for i in range(self.length))
        return self.stream()


class SourcePass(Pass):
    """The elements of a `Source`, in its order."""

    is_indexed = True

    def __init__(self, source):
        self._source = source
        self.length = source.length
        self.rows = source.rows

    def __getitem__(self, index):
        return self._source[index]


class StreamPass(Pass):
    """The elements of an iterator that `make` returns."""

    def __init__(self, make, *arguments):
        self._make = make
        self._arguments = arguments

    def stream(self):
        return self._make(*self._arguments)


class DerivedPass(Pass):
    """Base class of passes over another one, `below`, with as many elements."""

    def __init__(self, below):
        self.below = below
        self.is_indexed = below.is_indexed
        self.reads_ahead = below.reads_ahead
        self.length = below.length


class MappedPass(DerivedPass):
    """A function of each element."""

    def __init__(self, below, function):
        super().__init__(below)
        self.function = function

    def __getitem__(self, index):
        return called(self.function, self.below[index])

    def stream(self):
        return (called(self.function, element) for element in self.below)


class FilteredPass(DerivedPass):
    """The elements for which a function is true."""

    def __init__(self, below, function):
        super().__init__(below)
        self.is_indexed, self.length = False, None
        self._function = function

    def stream(self):
        for element in self.below:
            keeps = called(self._function, element)
            if not isinstance(keeps, torch.Tensor) or keeps.numel() != 1:
                raise ValueError(
                    "The function of `filter` must return True or False, or a tensor of one such "
                    f"value. Received: {keeps!r}."
                )
            if keeps.item():
                yield element


class OrderedPass(DerivedPass):
    """The elements at the numbers of `order`, a range, list or array of ints."""

    def __init__(self, below, order):
        super().__init__(below)
        self._order = order
        self.length = len(order)
        self.reads_ahead = below.reads_ahead and isinstance(order, range)

    def __getitem__(self, index):
        return self.below[int(self._order[index])]

    def rows(self, indices):
        if isinstance(indices, range):
            return self.below.rows(self._order[indices.start : indices.stop : indices.step])
        return self.below.rows([self._order[i] for i in indices])

    def part(self, index, shard):
        return self.below.part(int(self._order[index]), shard)

    def stream(self):
        order = self._order
        return itertools.islice(iter(self.below), order.start, order.stop, order.step)


class SlicedPass(DerivedPass):
    """Those elements of a stream that `itertools.islice` keeps."""

    def __init__(self, below, start, stop, step):
        super().__init__(below)
        self._bounds = (start, stop, step)
        self.length = None

    def stream(self):
        return itertools.islice(iter(self.below), *self._bounds)


class BatchedPass(DerivedPass):
    """Batches of `size` elements.

    Args:
        below: Pass.
        size: int.
        drop_remainder: bool.
        collate_function: what makes a batch of a list of elements; None for `collate`, for which
            a source may have a way of its own.
    """

    def __init__(self, below, size, drop_remainder, collate_function=None):
        super().__init__(below)
        self._size = size
        self._drop_remainder = drop_remainder
        self._collate = collate_function
        if self.is_indexed:
            extra = 0 if drop_remainder else size - 1
            self.length = (below.length + extra) // size

    def _numbers(self, index):
        start = index * self._size
        return range(start, min(start + self._size, self.below.length))

    def _made(self, numbers):
        if self._collate is None:
            return self.below.rows(numbers)
        return self._collate([self.below[int(i)] for i in numbers])

    def __getitem__(self, index):
        return self._made(self._numbers(index))

    def part(self, index, shard):
        numbers = self._numbers(index)
        share = Share.of(len(numbers), *shard)
        first, stop = share.span
        return share, self._made(numbers[first:stop])

    def stream(self):
        make = self._collate or collate
        elements = iter(self.below)
        while batch := list(itertools.islice(elements, self._size)):
            if len(batch) == self._size or not self._drop_remainder:
                yield make(batch)


class UnbatchedPass(DerivedPass):
    """The rows of batches, one after the other."""

    def __init__(self, below):
        super().__init__(below)
        self.is_indexed, self.length = False, None

    def stream(self):
        return itertools.chain.from_iterable(split_rows(batch) for batch in self.below)


class NumberedPass(DerivedPass):
    """`(number, element)`, with numbers from `start` as int64 tensors."""

    def __init__(self, below, start):
        super().__init__(below)
        self._start = start

    def _number(self, index):
        return torch.tensor(self._start + index, dtype=torch.int64, device="cpu")

    def __getitem__(self, index):
        return self._number(index), self.below[index]

    def stream(self):
        return ((self._number(i), element) for i, element in enumerate(self.below))


class ZippedPass(Pass):
    """Elements of several passes side by side, until the first of these ends.

    Args:
        below: structure of passes, which is that of the elements.
    """

    def __init__(self, below):
        self._below = below
        passes = tree.flatten(below)
        self.is_indexed = all(one.is_indexed for one in passes)
        self.reads_ahead = any(one.reads_ahead for one in passes)
        if self.is_indexed:
            self.length = min(one.length for one in passes)

    def __getitem__(self, index):
        return tree.map_structure(lambda one: one[index], self._below)

    def rows(self, indices):
        return tree.map_structure(lambda one: one.rows(indices), self._below)

    def stream(self):
        for elements in zip(*tree.flatten(self._below), strict=False):
            yield tree.pack_sequence_as(self._below, elements)


class JoinedPass(Pass):
    """The elements of several passes, one after the other."""

    def __init__(self, passes):
        self._passes = passes
        self.is_indexed = all(one.is_indexed for one in passes)
        self.reads_ahead = any(one.reads_ahead for one in passes)
        if self.is_indexed:
            self._ends = list(itertools.accumulate(one.length for one in passes))
            self.length = self._ends[-1]

    def __getitem__(self, index):
        place = bisect.bisect_right(self._ends, index)
        return self._passes[place][index - (self._ends[place - 1] if place else 0)]

    def stream(self):
        return itertools.chain.from_iterable(self._passes)


class RepeatedPass(Pass):
    """Passes one after the other, each begun when the one before has ended.

    Args:
        begin: function that returns a new pass.
        count: int, or None without end.
    """

    def __init__(self, begin, count):
        self._begin = begin
        self._count = count

    def _passes(self):
        for _ in itertools.count() if self._count is None else range(self._count):
            yield self._begin()

    def stream(self):
        for one in self._passes():
            is_empty = True
            for element in one:
                is_empty = False
                yield element
            if is_empty:  # forever nothing
                return

    def parts(self, shard):
        for one in self._passes():
            if not one.length:
                return
            yield from one.parts(shard)


class CachedPass(DerivedPass):
    """Elements that are read once and kept.

    Args:
        below: Pass, which is read again for elements that are not kept yet.
        kept: dict of number to element, shared by all passes over the same.
    """

    def __init__(self, below, kept):
        super().__init__(below)
        self._kept = kept

    def __getitem__(self, index):
        if index not in self._kept:
            self._kept[index] = self.below[index]
        return self._kept[index]

    def stream(self):
        if len(self._kept) == self.length:
            return (self._kept[i] for i in range(self.length))
        return self._keeping()

    def _keeping(self):
        for i, element in enumerate(self.below):
            self._kept[i] = element
            yield element


def called(function, element):
    """`function` of an element, whose items are arguments if it is a tuple.

    Example:

    >>> from torchkeras.data.passes import called
    >>> called(lambda x, y: (x, y + 1), (torch.tensor(1), torch.tensor(2)))
    (tensor(1), tensor(3))
    """
    with config.device("cpu"), torch.no_grad():
        result = function(*element) if type(element) is tuple else function(element)
    return as_element(result)


def shuffled_order(count, buffer_size, generator):
    """The order in which a buffer gives the numbers below `count`.

    The buffer holds the next `buffer_size` numbers; each time one of them, drawn at random, comes
    out and the next number takes its place. With a buffer for all of them every order is equally
    likely.

    Example:

    >>> from torchkeras.data.passes import shuffled_order
    >>> shuffled_order(4, 1, torch.Generator())
    array([0, 1, 2, 3])
    """
    if buffer_size >= count:
        return torch.randperm(count, generator=generator).numpy()
    order, buffer = [], list(range(buffer_size))
    draws = torch.randint(buffer_size, (count - buffer_size,), generator=generator).tolist()
    for number, place in enumerate(draws, buffer_size):
        order.append(buffer[place])
        buffer[place] = number
    order.extend(buffer[i] for i in torch.randperm(buffer_size, generator=generator).tolist())
    return np.array(order)


def shuffled_stream(below, buffer_size, generator):
    """The elements of a pass as a buffer of `buffer_size` of them gives them.

    Example:

    >>> from torchkeras.data.passes import shuffled_stream
    >>> sorted(shuffled_stream(range(5), 2, torch.Generator()))
    [0, 1, 2, 3, 4]
    """
    elements = iter(below)
    buffer = list(itertools.islice(elements, buffer_size))
    for element in elements:
        place = int(torch.randint(buffer_size, (), generator=generator))
        yield buffer[place]
        buffer[place] = element
    for place in torch.randperm(len(buffer), generator=generator).tolist():
        yield buffer[place]
