"""Seeds of one pass over a dataset: what its random stages draw from."""

import contextlib
import random

import numpy as np
import torch

from torchkeras.distribution.random_state import mixed_seed


class Seeds:
    """The seeds of one pass: a few numbers, which processes can tell each other.

    A stage that was given a seed draws from that and from how often it was begun before; one
    without, from a number that each pass takes from torch's default generator.

    Args:
        entropy: int, what this pass draws from where no seed is given.
        states: list of `(seed or None, number of passes before)`, for each random stage.

    Example:

    >>> from torchkeras.data.seeds import Seeds
    >>> seeds = Seeds(7, [(None, 0), (3, 0)])
    >>> first = seeds.next_of(1)
    >>> first != seeds.next_of(1), first == Seeds(8, [(None, 0), (3, 0)]).next_of(1)
    (True, True)
    """

    def __init__(self, entropy, states):
        self.entropy = entropy
        self.states = list(states)

    def next_of(self, number):
        """The next seed, an int, of the random stage with this number."""
        seed, passes = self.states[number]
        self.states[number] = (seed, passes + 1)
        base = mixed_seed(self.entropy if seed is None else seed, number + 1)
        return mixed_seed(base, passes + 1)


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
