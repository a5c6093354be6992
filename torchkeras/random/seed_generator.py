"""SeedGenerator: the random state of a layer, as a Variable."""

from collections import OrderedDict

import torch
from torch.utils.data import get_worker_info

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
    checkpointing and `torch.compile` behave as with torch's own dropout. In a worker of a
    `DataLoader` the seed that torch gave the worker counts as well.

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
        self._draws_in_worker = 0
        start = make_default_seed() if seed is None else seed
        with naming.name_scope(self.name, caller=self):
            self.state = Variable(
                torch.tensor([start, 0], dtype=torch.int64),
                trainable=False,
                autocast=False,
                name="seed_generator_state",
            )
        self.state.persistent = False

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
        worker = get_worker_info() if eager and self.seed is not None else None
        if worker is not None:
            return self._next_in_worker(worker)
        token = self._token() if eager and _may_be_checkpointed() else None
        if token is not None and _in_backward() and token in self._drawn:
            return self._drawn[token]
        state = self.state.value.clone() if eager else _copied(self.state.value)
        # On another device the step is made there: a copy from the host would wait for it.
        step = _STEP if state.is_cpu else torch.arange(2, device=state.device)
        self.state.assign(state + step)
        if token is not None:
            self._drawn[token] = state
            if len(self._drawn) > _REMEMBERED:
                self._drawn.popitem(last=False)
        return state

    def _next_in_worker(self, worker):
        """The next state in a process that loads data.

        Each worker has a copy of this object, made anew for every epoch: only its own seed, which
        follows from `torch.manual_seed`, tells the copies apart. The state itself may be on a
        device that the process must not touch.
        """
        self._draws_in_worker += 1
        return torch.tensor([(self.seed + worker.seed) % 2**63, self._draws_in_worker])

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
_LIBRARY = torch.library.Library("torchkeras", "FRAGMENT")
_LIBRARY.define("draw(Tensor state) -> Tensor")
_LIBRARY.impl("draw", torch.clone, "CompositeExplicitAutograd")


def _copied(state):
    """A copy of the state, which is about to change; for backward too."""
    compiled = torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting()
    if not compiled or SCOPE.stateless is not None:  # there nothing is written to
        return state.clone()
    if _compiler_recomputes():
        torch._dynamo.graph_break(
            msg="A draw from a seed must not be compiled where the compiler repeats it in the "
            "backward pass (activation checkpointing, activation_memory_budget): the counter has "
            "moved on by then. Received: a SeedGenerator with `seed`, as that of Dropout(seed=1). "
            "Leave `seed` out and call keras.utils.set_random_seed, or compile without fullgraph."
        )
    # Of a clone inductor makes the state itself, and backward would read the counter that has
    # moved on. An op that it does not know it neither drops nor computes once more.
    return torch.ops.torchkeras.draw(state)


def _compiler_recomputes():
    """Whether torch.compile is to run what it traces now once more in the backward pass."""
    from torch._dynamo.symbolic_convert import InstructionTranslator
    from torch._functorch import config

    if config.aggressive_recomputation or config.activation_memory_budget < 1:
        return True
    tracer = InstructionTranslator.current_tx().output.current_tracer
    while tracer is not None and "checkpoint" not in str(tracer.source_target):
        tracer = tracer.parent
    return tracer is not None


# torch.compile calls it and does not look inside, as torch.compiler.assume_constant_result has it,
# which would import the compiler here.
_compiler_recomputes._dynamo_marked_constant = True
_REMEMBERED = 4096  # draws between a forward pass and its recomputation in the backward pass


def _in_backward():
    return torch._C._current_graph_task_id() != -1


def _may_be_checkpointed():
    # Either kind of checkpoint shows: by its hooks on saved tensors, or by turning gradients off.
    if not torch.is_grad_enabled() or _in_backward():
        return True
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
