"""SeedGenerator: the random state of a layer, as a Variable."""

from collections import OrderedDict

import torch

from torchkeras.core import naming
from torchkeras.core.scopes import SCOPE
from torchkeras.core.variable import Variable


def make_default_seed():
    """A seed in [1, 1e9] from torch's default generator, so `torch.manual_seed` decides it."""
    return int(torch.randint(1, 1_000_000_000, (), device="cpu"))


class SeedGenerator:
    """Source of seeds for random layers and functions; its state is a Variable.

    The state is `[seed, counter]`. With `seed=` given, and inside every stateless call, a draw is
    a function of the state alone and moves the counter on. Without a seed an eager draw comes
    from torch's default generator of the device, so `torch.manual_seed`, activation
    checkpointing and `torch.compile` behave as with torch's own dropout.

    Args:
        seed: int, at least 0, or None.
        name: str, part of the state's path; None for an automatic one.

    Raises:
        ValueError: `seed` is not an int, or is negative.

    Example:

    >>> generator = keras.random.SeedGenerator(seed=7)
    >>> generator.next()
    tensor([7, 0])
    >>> generator.next()
    tensor([7, 1])
    """

    def __init__(self, seed=None, name=None):
        if seed is not None and (
            isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63
        ):
            raise ValueError(
                f"`seed` must be an int from 0 to 2**63 - 1, or None. Received: seed={seed!r}."
            )
        self.name = name or naming.auto_name(type(self).__name__)
        self.seed = seed
        self._drawn = OrderedDict()
        start = make_default_seed() if seed is None else seed
        with naming.name_scope(self.name, caller=self):
            self.state = Variable(
                torch.tensor([start, 0], dtype=torch.int64),
                trainable=False,
                autocast=False,
                name="seed_generator_state",
            )

    @property
    def draws_from_state(self):
        """Whether a draw is now a function of the state (else torch's default generator's)."""
        return self.seed is not None or SCOPE.stateless is not None

    def next(self, ordered=True):
        """The state as a tensor `[seed, counter]`; moves the counter on.

        Args:
            ordered: kept for Keras's signature.
        """
        eager = not (SCOPE.meta or SCOPE.stateless is not None or torch.compiler.is_compiling())
        token = self._token() if eager and _may_be_checkpointed() else None
        if token is not None and _in_backward() and token in self._drawn:
            return self._drawn[token]
        state = self.state.value.clone()
        self.state.assign(state + _STEP.to(state.device))
        if token is not None:
            self._drawn[token] = state
            if len(self._drawn) > _REMEMBERED:
                self._drawn.popitem(last=False)
        return state

    def _token(self):
        """A number that activation checkpointing brings back when it runs a forward pass again.

        Checkpointing restores torch's default generator before it recomputes, so a number from
        it tells which earlier draw is being repeated, and `next` can give the same state.
        """
        return int(torch.randint(2**62, (), device="cpu"))

    def __getstate__(self):
        return {**self.__dict__, "_drawn": OrderedDict()}

    def get_config(self):
        """`{"seed": ..., "name": ...}`."""
        return {"seed": self.seed, "name": self.name}

    @classmethod
    def from_config(cls, config):
        """The generator that `get_config` described, at the start of its sequence."""
        return cls(**config)


_STEP = torch.tensor([0, 1], dtype=torch.int64)
_REMEMBERED = 4096  # draws between a forward pass and its recomputation in the backward pass


def _in_backward():
    return torch._C._current_graph_task_id() != -1


def _may_be_checkpointed():
    # Either kind of checkpoint shows: by its hooks on saved tensors, or by turning gradients off.
    if not torch.is_grad_enabled() or _in_backward():
        return True
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
