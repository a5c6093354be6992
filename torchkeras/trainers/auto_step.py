"""AutoStep: `jit_compile="auto"`, which makes a graph of the training step where that pays."""

import statistics
import time

import torch

from torchkeras.trainers.graph import can_trace_gradients
from torchkeras.trainers.graph_step import TrainGraph

# Steps that are timed of either kind, after as many that are not: caches, allocators, the compiler.
_TIMED = 20
_SKIPPED = 5
# What a graph saves of an eager step, at least, where it saves something (0.15 to 0.7 measured).
_SAVING = 0.2
# What compiling costs, in seconds: once, and for each layer (3 to 25 s measured, 2 cores).
_COMPILE_S = 10.0
_COMPILE_LAYER_S = 0.3
# By how much the saving must outweigh that, since both are guesses.
_MARGIN = 2.0


class AutoStep:
    """A training step that runs eagerly until it is known whether a graph is worth its time.

    Some eager steps are timed. Where what is left to do is known and long enough, the step is
    compiled; then both kinds are timed in turns, whatever else the machine does meanwhile, and the
    faster one is kept. The choice stays for later calls of `fit`. Where torch is asked for
    deterministic algorithms the step runs eagerly: a graph rounds differently, and when it begins
    depends on the clock.

    Args:
        model: the model.
        running: Running, the loop's.

    Attributes:
        chosen: `"eager"`, `"graph"`, or None while that is open.
        reason: str, why.
        news: str, a line for the user that was not shown yet; or None.
    """

    def __init__(self, model, running):
        self._model = model
        self._graph = TrainGraph(model, running, warns=False)
        self._times = {"eager": [], "graph": []}
        self._kind = "eager"  # of the step that runs
        self._compares = False  # whether both kinds take turns
        self._steps_to_come = None
        self._is_pinned = False
        self.chosen = self.reason = self.news = None

    def begin_epoch(self, steps_to_come=None):
        """A pass begins.

        Args:
            steps_to_come: int, steps left in this call of `fit`; None where that is not known.
        """
        self._steps_to_come = steps_to_come
        self._is_pinned = torch.are_deterministic_algorithms_enabled()
        self._graph.begin_epoch()

    def fits(self, running):
        """Whether it is for a loop that has looked up this."""
        return self._graph.fits(running)

    def __call__(self, data):
        if self._is_pinned:
            return self._model._train_on(data)
        if self.chosen is not None:
            return self._run(data)
        if self._steps_to_come is not None:
            self._steps_to_come -= 1
        self._kind = self._next_kind()
        start = self._now()
        logs = self._run(data)
        self._times[self._kind].append(self._now() - start)
        if len(self._times[self._kind]) >= _SKIPPED + _TIMED:
            self._decide()
        return logs

    def _next_kind(self):
        eager, graph = len(self._times["eager"]), len(self._times["graph"])
        return "graph" if self._compares and (graph < _SKIPPED or graph <= eager) else "eager"

    def _now(self):
        if self._model._device().type == "cuda":
            torch.cuda.synchronize()  # a step has then done what it has begun
        return time.perf_counter()

    def _run(self, data):
        return self._graph(data) if self._kind == "graph" else self._model._train_on(data)

    def _decide(self):
        eager = _typical(self._times["eager"])
        if not self._compares:
            self._compares = self._pays(eager)
            self._times["eager"].clear()  # a later call of `fit` may have more to do
            return
        graph = _typical(self._times["graph"])
        if self._graph.failure:
            self._choose("eager", f"torch makes no graph of it: {self._graph.failure}")
        elif graph < eager:
            self._choose("graph", f"{graph * 1e3:.3g} ms a step instead of {eager * 1e3:.3g}")
        else:
            self._choose("eager", f"{eager * 1e3:.3g} ms a step, {graph * 1e3:.3g} as a graph")

    def _pays(self, step_s):
        if self._steps_to_come is None:
            return False
        layers = sum(1 for _ in self._model.modules())
        saved = _SAVING * step_s * self._steps_to_come
        pays = saved > _MARGIN * (_COMPILE_S + _COMPILE_LAYER_S * layers)
        return pays and can_trace_gradients()

    def _choose(self, kind, reason):
        self._kind = self.chosen = kind
        self.reason = reason
        how = {"eager": "eagerly", "graph": "as one graph"}[kind]
        self.news = f"jit_compile='auto': the training step runs {how} ({reason})."


def _typical(times_s):
    """The lower quartile: on a machine that others use too, many steps wait for it."""
    return statistics.quantiles(times_s[_SKIPPED:])[0]
