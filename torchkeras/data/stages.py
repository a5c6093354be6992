"""Stages: the steps of which a dataset is made, each a recipe that begins new passes."""

import functools
import zlib

import torch

from torchkeras.core import tree
from torchkeras.data import passes
from torchkeras.data.elements import TensorSpec, spec_of
from torchkeras.data.reading_ahead import AheadPass
from torchkeras.data.seeds import as_before, begun, drawn_seed

INFINITE, UNKNOWN = -1, -2


class Stage:
    """Base class of stages.

    Args:
        *below: the stages whose elements this one reads.

    Attributes:
        is_indexed: bool, whether passes give elements by number.
        has_parts: bool, whether elements are batches of which a process can read its own rows.
        is_thread_safe: bool, whether several threads may read a pass.
        cardinality: int, number of elements, INFINITE or UNKNOWN.
    """

    has_parts = False
    is_random = False  # it has a `state`
    keeps_order = False  # it has an `order`
    draws = False  # it makes use of the entropy of a pass

    def __init__(self, *below):
        self.below = below
        self.is_indexed = all(stage.is_indexed for stage in below)
        self.is_thread_safe = all(stage.is_thread_safe for stage in below)
        self.cardinality = below[0].cardinality if below else UNKNOWN

    def begin(self, seeds):
        """A new pass, with the numbers of a `PassSeeds`."""
        raise NotImplementedError(f"{type(self).__name__} must define `begin`. Received: a call.")

    def spec(self):
        """The structure of `TensorSpec`s; as a rule that of the elements below."""
        return self.below[0].spec()

    def fingerprint(self):
        """An int that differs in processes whose sources differ, as far as that is seen quickly."""
        words = [type(self).__name__, self.cardinality, *(x.fingerprint() for x in self.below)]
        return zlib.crc32(repr(words).encode())

    def sample(self):
        """A list of a few rows of the arrays below, see `Source.sample`."""
        return [rows for stage in self.below for rows in stage.sample()]


class SourceStage(Stage):
    """The elements of a `Source`."""

    def __init__(self, source):
        super().__init__()
        self._source = source
        self.is_thread_safe = source.is_thread_safe
        self.cardinality = source.length

    def begin(self, seeds):
        return passes.SourcePass(self._source)

    def spec(self):
        return first_spec(self)

    def fingerprint(self):
        return self._source.fingerprint()

    def sample(self):
        return self._source.sample()


class GeneratorStage(Stage):
    """What the iterator gives that a function of the user returns at each pass."""

    def __init__(self, generator, args):
        super().__init__()
        self._arguments = (generator, *args)
        self.is_indexed = self.is_thread_safe = False

    def begin(self, seeds):
        return passes.StreamPass(elements_of, *self._arguments)

    def spec(self):
        return first_spec(self)


class MapStage(Stage):
    """A function of each element; `is_thread_safe` only where the library made the function."""

    def __init__(self, below, function, is_thread_safe=False):
        super().__init__(below)
        self._function = function
        self.is_thread_safe = is_thread_safe and below.is_thread_safe

    def begin(self, seeds):
        return passes.MappedPass(self.below[0].begin(seeds), self._function)

    def spec(self):
        return first_spec(self)


class FilterStage(Stage):
    """The elements for which a function is true."""

    def __init__(self, below, function):
        super().__init__(below)
        self._function = function
        self.is_indexed = self.is_thread_safe = False
        self.cardinality = UNKNOWN

    def begin(self, seeds):
        return passes.FilteredPass(self.below[0].begin(seeds), self._function)


class ShuffleStage(Stage):
    """Elements in a random order.

    Attributes:
        state: `(seed, passes)`: the seed or None, and the number of passes begun.
    """

    is_random = True

    def __init__(self, below, buffer_size, seed, reshuffles):
        super().__init__(below)
        self._buffer_size = buffer_size
        self._reshuffles = reshuffles
        if seed is None and not reshuffles:
            seed = drawn_seed()
        self.state = (seed, 0)
        self.has_parts = below.has_parts and below.is_indexed

    def begin(self, seeds):
        generator = torch.Generator().manual_seed(seeds.next_of(self, self._reshuffles))
        below = self.below[0].begin(seeds)
        if not below.is_indexed:
            size = self._buffer_size or max(self.cardinality, 1)
            return passes.StreamPass(passes.shuffled_stream, below, size, generator)
        size = self._buffer_size or max(below.length, 1)
        return ordered(below, passes.shuffled_order(below.length, size, generator))


class SliceStage(Stage):
    """The elements with the numbers of `slice(start, stop, step)`."""

    def __init__(self, below, start, stop, step=1):
        super().__init__(below)
        self._slice = slice(start, stop, step)
        self.has_parts = below.has_parts and below.is_indexed
        count = below.cardinality
        if count >= 0:
            self.cardinality = len(range(count)[self._slice])
        elif count == INFINITE and stop is not None:
            self.cardinality = len(range(start, stop, step))

    def begin(self, seeds):
        below = self.below[0].begin(seeds)
        if below.is_indexed:
            return ordered(below, range(below.length)[self._slice])
        return passes.SlicedPass(below, self._slice.start, self._slice.stop, self._slice.step)


class OrderStage(Stage):
    """The elements with the numbers of a list, of a stage that is indexed."""

    def __init__(self, below, order):
        super().__init__(below)
        self._order = order
        self.cardinality = len(order)

    def begin(self, seeds):
        return ordered(self.below[0].begin(seeds), self._order)


class BatchStage(Stage):
    """Batches of `size` elements."""

    def __init__(self, below, size, drop_remainder, collate_function=None):
        super().__init__(below)
        self.size = size
        self.drop_remainder = drop_remainder
        self.collate_function = collate_function
        self.has_parts = below.is_indexed and collate_function is None
        if below.cardinality >= 0:
            self.cardinality = (below.cardinality + (0 if drop_remainder else size - 1)) // size

    def begin(self, seeds):
        return passes.BatchedPass(
            self.below[0].begin(seeds), self.size, self.drop_remainder, self.collate_function
        )

    def spec(self):
        if self.collate_function is not None:
            return tree.map_structure(_of_any_size, first_spec(self))
        count = self.size if self.drop_remainder else None

        def batched(spec):
            return None if spec is None else TensorSpec((count, *spec.shape), spec.dtype)

        return tree.map_structure(batched, self.below[0].spec())


class UnbatchStage(Stage):
    """The rows of batches."""

    def __init__(self, below):
        super().__init__(below)
        self.is_indexed = False
        self.cardinality = INFINITE if below.cardinality == INFINITE else UNKNOWN

    def begin(self, seeds):
        return passes.UnbatchedPass(self.below[0].begin(seeds))

    def spec(self):
        return tree.map_structure(
            lambda spec: None if spec is None else TensorSpec(spec.shape[1:], spec.dtype),
            self.below[0].spec(),
        )


class EnumerateStage(Stage):
    """`(number, element)`."""

    def __init__(self, below, start):
        super().__init__(below)
        self._start = start

    def begin(self, seeds):
        return passes.NumberedPass(self.below[0].begin(seeds), self._start)

    def spec(self):
        return TensorSpec((), "int64"), self.below[0].spec()


class ZipStage(Stage):
    """Elements of several stages side by side, in the structure in which these are given."""

    def __init__(self, structure):
        super().__init__(*tree.flatten(structure))
        self._structure = structure
        counts = {stage.cardinality for stage in self.below} - {INFINITE}
        self.cardinality = min(counts) if counts else INFINITE  # UNKNOWN is the least

    def begin(self, seeds):
        return passes.ZippedPass(tree.map_structure(lambda x: x.begin(seeds), self._structure))

    def spec(self):
        return tree.map_structure(lambda stage: stage.spec(), self._structure)


class ConcatenateStage(Stage):
    """The elements of one stage, and then those of another."""

    def __init__(self, first, second):
        super().__init__(first, second)
        counts = (first.cardinality, second.cardinality)
        self.cardinality = sum(counts)
        if min(counts) < 0:
            self.cardinality = INFINITE if INFINITE in counts else UNKNOWN

    def begin(self, seeds):
        return passes.JoinedPass([stage.begin(seeds) for stage in self.below])


class RepeatStage(Stage):
    """Pass after pass, `count` times or, with None, without end."""

    def __init__(self, below, count):
        super().__init__(below)
        self._count = count
        self.is_indexed = False
        self.has_parts = below.has_parts and below.is_indexed
        if below.cardinality:
            if count is None:
                self.cardinality = INFINITE
            elif below.cardinality > 0:
                self.cardinality = below.cardinality * count
        if count == 0:
            self.cardinality = 0

    def begin(self, seeds):
        return passes.RepeatedPass(functools.partial(self.below[0].begin, seeds), self._count)


class CacheStage(Stage):
    """Elements that are kept in memory, in the order of the first pass.

    Attributes:
        order: Seeds of the pass that is kept, or None. Several processes keep that of process 0.
    """

    keeps_order = True

    def __init__(self, below):
        super().__init__(below)
        self._forget(None)

    def _forget(self, order):
        self.order, self._first, self._kept, self._complete = order, None, {}, None

    def __getstate__(self):
        return {**self.__dict__, "order": None, "_first": None, "_kept": {}, "_complete": None}

    def begin(self, seeds):
        if not seeds.advances:
            return self.below[0].begin(seeds)
        order = seeds.order_of(self)
        if self.order is None or order != self.order:
            self._forget(order)
        if not self.is_indexed and self._complete is not None:
            return passes.StreamPass(iter, self._complete)
        # A pass that was left half-way is gone on with in its own order: another one would give
        # some elements twice and others never.
        if self._first is None:
            self._first = self.below[0].begin(seeds.with_order(order))
        if self.is_indexed:
            return passes.CachedPass(self._first, self._kept)
        below, self._first = self._first, None
        return passes.StreamPass(self._keeping, below)

    def _keeping(self, below):
        kept = []
        for element in below:
            kept.append(element)
            yield element
        self._complete = kept


class PrefetchStage(Stage):
    """Elements that are read ahead."""

    def __init__(self, below, buffer_size, num_workers=0):
        super().__init__(below)
        self.settings = (buffer_size, num_workers)
        self.draws = num_workers > 0
        self.has_parts = below.has_parts

    def begin(self, seeds):
        below = self.below[0]
        return AheadPass(below.begin(seeds), *self.settings, below.is_thread_safe, seeds.entropy)


def ordered(below, order):
    """The elements of an indexed pass at the numbers of `order`, read ahead if these are."""
    if isinstance(below, AheadPass):
        return below.around(ordered(below.below, order))
    if isinstance(below, passes.MappedPass):
        return passes.MappedPass(ordered(below.below, order), below.function)
    return passes.OrderedPass(below, order)


def elements_of(generator, *arguments):
    """The elements of the iterator that a function returns."""
    for element in generator(*arguments):
        yield passes.as_element(element)


def first_spec(stage):
    """The spec of the first element, for which the next pass stays as it was."""
    with as_before():
        below = begun(stage, advances=False)
        if below.is_indexed:
            first = below[0] if below.length else None
        else:
            first = next(iter(below), None)
    if first is None:
        raise ValueError(
            "`element_spec` is read from the first element. Received: a dataset without any."
        )
    return spec_of(first)


def _of_any_size(spec):
    return None if spec is None else TensorSpec((None,) * len(spec.shape), spec.dtype)
