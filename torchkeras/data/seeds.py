"""Seeds of one pass over a dataset: what its random stages draw from."""

import contextlib
import copy
import dataclasses
import random

import numpy as np
import torch

from torchkeras.distribution.random_state import mixed_seed


@dataclasses.dataclass
class Seeds:
    """What one pass draws from: a few numbers, which processes can tell each other.

    A stage that was given a seed draws from that and from how often it was begun before; one
    without, from a number that each pass takes from torch's default generator.

    Args:
        entropy: int, what this pass draws from where no seed is given.
        states: list of `(seed or None, number of passes before)`, for each random stage.
        orders: list of the Seeds, or None, of the pass that each cache keeps.

    Example:

    >>> from torchkeras.data.seeds import Seeds
    >>> seeds = Seeds(7, [(None, 0), (3, 0)])
    >>> first = seeds.next_of(1)
    >>> first != seeds.next_of(1), first == Seeds(8, [(None, 0), (3, 0)]).next_of(1)
    (True, True)
    """

    entropy: int
    states: list
    orders: list = dataclasses.field(default_factory=list)

    def next_of(self, number, reshuffles=True):
        """The next seed, an int, of the random stage with this number."""
        seed, passes = self.states[number]
        if reshuffles:
            self.states[number] = (seed, passes + 1)
        base = mixed_seed(self.entropy if seed is None else seed, number + 1)
        return mixed_seed(base, passes + 1 if reshuffles else 1)

    @classmethod
    def of(cls, stage):
        """Those of the next pass over a stage.

        torch's default generator moves on only where something is drawn from it.
        """
        found = all_stages(stage)
        states = [one.state for one in found if one.is_random]
        draws = any(seed is None for seed, _ in states) or any(one.draws for one in found)
        orders = [one.order for one in found if one.keeps_order]
        return cls(drawn_seed() if draws else 0, states, orders)


class PassSeeds:
    """The seeds of one pass, as the stages of one dataset ask for them.

    Args:
        stage: the last stage.
        seeds: Seeds.
        advances: bool, whether the stages are to count and keep this pass.
    """

    def __init__(self, stage, seeds, advances):
        self._stage = stage
        found = all_stages(stage)
        self._random = [one for one in found if one.is_random]
        self._keeping = [one for one in found if one.keeps_order]
        self._seeds = seeds
        self.advances = advances
        self.entropy = seeds.entropy

    def next_of(self, stage, reshuffles):
        """The next seed of a random stage; always its first one if it does not reshuffle."""
        number = _place(stage, self._random)
        seed = self._seeds.next_of(number, reshuffles)
        if self.advances:
            stage.state = self._seeds.states[number]
        return seed

    def order_of(self, stage):
        """Seeds of the pass that a cache is to keep: what it keeps already, or else this one."""
        order = self._seeds.orders[_place(stage, self._keeping)]
        return copy.deepcopy(self._seeds) if order is None else order

    def with_order(self, order):
        """The same for the stages below a cache, which begin as in the pass that it keeps."""
        return PassSeeds(self._stage, copy.deepcopy(order), self.advances)


def _place(stage, stages):
    return next(i for i, other in enumerate(stages) if other is stage)


def begun(stage, seeds=None, advances=True):
    """A new pass over a stage.

    Args:
        stage: Stage.
        seeds: Seeds, from process 0 where several read the same; None for this process's own.
        advances: bool, whether the pass counts: the next one then has another order.

    Example:

    >>> from torchkeras.data.seeds import begun
    >>> list(begun(keras.data.Dataset.range(2)._stage))
    [tensor(0), tensor(1)]
    """
    seeds = Seeds.of(stage) if seeds is None else seeds
    return stage.begin(PassSeeds(stage, seeds, advances))


def all_stages(stage):
    """A stage and those below it, each once, in an order that is the same in all processes.

    Example:

    >>> from torchkeras.data.seeds import all_stages
    >>> [type(one).__name__ for one in all_stages(keras.data.Dataset.range(3).batch(2)._stage)]
    ['SourceStage', 'BatchStage']
    """
    found = {}

    def visit(node):
        if id(node) not in found:
            for below in node.below:
                visit(below)
            found[id(node)] = node

    visit(stage)
    return list(found.values())


def pass_state(stage):
    """What seeds and counts of passes say of the next pass, as plain values.

    Example:

    >>> from torchkeras.data.seeds import pass_state
    >>> pass_state(keras.data.Dataset.range(3).shuffle(seed=5)._stage)
    {'states': [(5, 0)], 'orders': []}
    """
    found = all_stages(stage)
    orders = [one.order and dataclasses.asdict(one.order) for one in found if one.keeps_order]
    return {"states": [one.state for one in found if one.is_random], "orders": orders}


def set_pass_state(stage, state):
    """Make the next pass the one of which `pass_state` told; what a cache holds is read anew."""
    found = all_stages(stage)
    random_stages = [one for one in found if one.is_random]
    for one, value in zip(random_stages, state["states"], strict=True):
        one.state = tuple(value)
    caches = [one for one in found if one.keeps_order]
    for one, order in zip(caches, state["orders"], strict=True):
        one._forget(order and _as_seeds(order))


def _as_seeds(order):
    below = [one and _as_seeds(one) for one in order["orders"]]
    return Seeds(order["entropy"], [tuple(one) for one in order["states"]], below)


def shuffles(stage):
    """Whether the order of a stage is a random one.

    Example:

    >>> from torchkeras.data.seeds import shuffles
    >>> shuffles(keras.data.Dataset.range(3).shuffle().batch(2)._stage)
    True
    """
    return any(one.is_random for one in all_stages(stage))


def drawn_seed():
    """A number from torch's default generator.

    Example:

    >>> from torchkeras.data.seeds import drawn_seed
    >>> 0 <= drawn_seed() < 2**63
    True
    """
    return int(torch.empty((), dtype=torch.int64, device="cpu").random_())


@contextlib.contextmanager
def as_before():
    """Inside, Python's, NumPy's and torch's generators may be drawn from; then they go back.

    Example:

    >>> from torchkeras.data.seeds import as_before
    >>> with as_before():
    ...     first = torch.rand(2)
    >>> torch.equal(first, torch.rand(2))
    True
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
