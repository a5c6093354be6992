"""Graph: a function of tensors that torch.compile has made one graph of, called at little cost."""

import contextlib
import operator
import os
import re
import types
import warnings

import torch

from torchkeras import version
from torchkeras.core import tree
from torchkeras.core.scopes import SCOPE
from torchkeras.layers.tracked_module import CHANGES

# Random numbers are drawn by the ops that draw them without a graph: the same seed, the same mask.
_OPTIONS = {"fallback_random": True}
# What changes in Python from step to step would need a graph for each.
_MOST_TRACES = 4
_OWN_FILES = tuple(os.path.dirname(module.__file__) + os.sep for module in (torch, version))


class Graph:
    """A function of a structure of tensors, as one graph for the shapes that it is first given.

    Dynamo traces the function, whole or not at all, and looks before each call at everything in
    Python that the trace has met: 40 to 100 us. Where `code_is_known`, no code of a user's runs in
    the function, so that between two calls nothing of that can change but tensors and attributes
    of layers. Then the compiled graph is called past Dynamo, with the tensors that the variables
    hold now, until an attribute of a layer is set (`CHANGES`).

    Args:
        function: function of one structure of tensors that returns another, which may hold None.
        variables: list of Variables that it may read.
        code_is_known: bool.
        options: dict of options of `torch._inductor.config`; or None.

    Attributes:
        was_made: bool, whether the last call was one that torch compiled for.

    Raises:
        Exception: at a call, whatever Dynamo or Inductor raises where it can make no graph.
    """

    def __init__(self, function, variables, code_is_known, options=None):
        # What we keep in such caches depends on their arguments alone.
        warnings.filterwarnings("ignore", "Dynamo detected a call to a `functools.lru_cache`")
        self._function = torch.compile(
            _own_code(function), fullgraph=True, dynamic=False, backend=self._compile
        )
        self._variables = variables
        self._code_is_known = code_is_known
        self._options = {**_OPTIONS, **(options or {})}
        self._last = None  # the compiled graph that ran last, its arguments and its results
        self._direct = None  # _DirectCall
        self.was_made = False

    def __call__(self, data):
        """The function's results, after Dynamo has looked."""
        self._direct = self._last = None
        self.was_made = False
        patch = torch._dynamo.config.patch(trace_autograd_ops=True, recompile_limit=_MOST_TRACES)
        with torch.no_grad(), patch:
            results = self._function(data)
        if self._code_is_known and self._last is not None:
            self._direct = _DirectCall.make(data, self._variables, results, *self._last)
        self._last = None
        return results

    def ready(self):
        """The function to call now instead of this one, past Dynamo; None where that must look."""
        direct = self._direct
        return direct if direct is not None and direct.holds() else None

    def check(self):
        """Let Dynamo look at the next call."""
        self._direct = None

    def _compile(self, module, inputs):
        with _writes_to_scalars_kept(module):
            compiled = compile_module(module, inputs, self._options)
        self.was_made = True

        def run(*args):
            results = compiled(*args)
            self._last = compiled, args, results
            return results

        return run


class _DirectCall:
    """A compiled graph with what it takes besides the data: what variables hold, and constants."""

    def __init__(self, compiled, args, places, slots, order, structure):
        self._compiled = compiled
        self._args = args
        self._places = places  # pairs (place among the arguments, place among the data's leaves)
        self._slots = [(variable._store, variable._key) for variable in slots.values()]
        self._tensors = [store[key] for store, key in self._slots]
        self._dtypes = [tensor.dtype for tensor in self._tensors]
        self._order = order  # places among the graph's results, None for None
        self._structure = structure
        self._tokens = SCOPE.tokens
        self._changes = CHANGES.count

    @classmethod
    def make(cls, data, variables, results, compiled, args, graph_results):
        """A call like the one that Dynamo has just made; None where it cannot be told how."""
        leaves = {id(leaf): place for place, leaf in enumerate(tree.flatten(data))}
        slots = {id(v._store[v._key]): v for v in variables}
        places = [(i, leaves[id(arg)]) for i, arg in enumerate(args) if id(arg) in leaves]
        if any(not isinstance(arg, torch.Tensor) for arg in args):
            return None
        found = {id(result): place for place, result in enumerate(graph_results)}
        flat = tree.flatten(results)
        if any(result is not None and id(result) not in found for result in flat):
            return None
        kept = [None if id(arg) in leaves else arg for arg in args]
        used = {id(arg): slots[id(arg)] for arg in kept if id(arg) in slots}
        order = [None if result is None else found[id(result)] for result in flat]
        return cls(compiled, kept, places, used, order, tree.map_structure(lambda _: 0, results))

    def holds(self):
        """Whether all is as it was, except for the numbers in the tensors."""
        return (
            CHANGES.count == self._changes
            and SCOPE.tokens is self._tokens
            and SCOPE.read is None
            and all(map(operator.is_, [store[key] for store, key in self._slots], self._tensors))
        )

    def __call__(self, data):
        leaves = tree.flatten(data)
        args = self._args.copy()
        for place, leaf in self._places:
            args[place] = leaves[leaf]
        with torch.no_grad():
            results = self._compiled(*args)
        flat = [None if place is None else results[place] for place in self._order]
        return tree.pack_sequence_as(self._structure, flat)


def compile_call(model):
    """Compile the model's call alone, in as many graphs as it takes."""
    if model._compiled_call_impl is None:
        model.__dict__["_compiled_call_impl"] = torch.compile(
            model._call_impl, options={**_OPTIONS, **(model.jit_options or {})}
        )


def cause_of(error):
    """Why torch has made no graph: one line, with the place in the user's code.

    Args:
        error: Exception, Dynamo's or Inductor's.
    """
    text = str(error)
    if type(error).__name__ == "FailOnRecompileLimitHit":
        return "something in Python changes with the steps, and each change takes another graph"
    said = re.search(r"'msg': ConstantVariable\(str: '(.*?)'\)", text)
    if said:
        cause = said[1]
    else:
        lines = [line.strip() for line in text.splitlines()]
        cause = next((line for line in lines if line), type(error).__name__)
        cause = cause.removesuffix(".")
        if "graph_break()" in cause:
            cause = "torch leaves the graph"
    places = re.findall(r'File "([^"]+)", line (\d+), in (\w+)\n\s+(.+)', text)
    users = [place for place in places if not place[0].startswith(_OWN_FILES)]
    if users:
        file, line, function, code = users[-1]
        cause += f" in {function}: `{code.strip()}` ({os.path.basename(file)}, line {line})"
    return cause


@contextlib.contextmanager
def _writes_to_scalars_kept(module):
    """Let torch not trace again for the sake of float64 scalars on the CPU.

    It would, to make constants of those that are read as numbers, and in the second trace torch
    2.13 drops what is written to the others: a metric in float64 would count nothing.
    """
    from torch._dynamo.symbolic_convert import TensorifyState
    from torch.fx.experimental.symbolic_shapes import SymT, symbol_is_type

    shapes = torch._guards.TracingContext.get().fake_mode.shape_env
    numbers = {str(s) for s in shapes.backed_var_to_val if symbol_is_type(s, SymT.FLOAT)}
    for node in module.graph.nodes:
        value = node.meta.get("example_value")
        if node.op == "placeholder" and isinstance(value, torch.SymFloat):
            numbers.discard(str(value.node._expr))  # a number indeed
    added = numbers - TensorifyState.force_specializations
    TensorifyState.force_specializations.update(added)
    try:
        yield
    finally:
        TensorifyState.force_specializations.difference_update(added)


def compile_module(module, inputs, options):
    """A function that computes what an FX module does, made by Inductor."""
    from torch._inductor.compile_fx import compile_fx

    return compile_fx(module, inputs, config_patches=options)


def _own_code(function):
    """A function with a code object of its own, with which Dynamo keeps what it has compiled."""
    return types.FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


def can_trace_gradients():
    """Whether this torch makes one graph of a loss and its gradients."""
    import torch._dynamo

    return hasattr(torch._dynamo.config, "trace_autograd_ops")
