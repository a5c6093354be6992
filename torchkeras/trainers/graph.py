"""Graph: a function of tensors that torch.compile has made one graph of, called at little cost."""

import contextlib
import copy
import operator
import types
import warnings

import torch

from torchkeras.core import tree
from torchkeras.core.scopes import SCOPE
from torchkeras.layers.tracked_module import CHANGES
from torchkeras.trainers.trace_faults import writes_to_scalars_kept

_OPTIONS = {
    # Random numbers are drawn by the ops that draw them without a graph: the same seed and mask.
    "fallback_random": True,
    # A value that takes more than so many reads is kept where it is used again. By default, 4, that
    # is each result of a BatchNormalization, until the backward pass: a third more memory, and 1.4
    # times the processor time of a step of a convolutional network.
    "realize_reads_threshold": 8,
}
# What changes in Python from step to step would need a graph for each.
_MOST_TRACES = 4
# The code between the kernels in C++ as well, not in Python: 0.84 to 0.96 of the time of a step.
_CPU_OPTIONS = {"cpp_wrapper": True}


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
            leaves = tree.flatten(data)
            self._direct = _DirectCall.make(leaves, self._variables, results, *self._last)
        self._last = None
        return results

    def ready(self):
        """The function of the data's leaves to call now, past Dynamo; None where that must look."""
        direct = self._direct
        return direct if direct is not None and direct.holds() else None

    def check(self):
        """Let Dynamo look at the next call."""
        self._direct = None

    def _compile(self, module, inputs):
        with writes_to_scalars_kept(module):
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
        self._layouts = _layouts(self._tensors)
        self._order = order  # places among the graph's results, None for None
        self._structure = structure
        self._tokens = SCOPE.tokens
        self._changes = CHANGES.count

    @classmethod
    def make(cls, leaves, variables, results, compiled, args, graph_results):
        """A call like the one that Dynamo has just made; None where it cannot be told how."""
        places_of_leaves = {id(leaf): place for place, leaf in enumerate(leaves)}
        slots = {id(v._store[v._key]): v for v in variables}
        places = [
            (i, places_of_leaves[id(arg)])
            for i, arg in enumerate(args)
            if id(arg) in places_of_leaves
        ]
        if any(not isinstance(arg, torch.Tensor) for arg in args):
            return None
        found = {id(result): place for place, result in enumerate(graph_results)}
        flat = tree.flatten(results)
        if any(result is not None and id(result) not in found for result in flat):
            return None
        kept = [None if id(arg) in places_of_leaves else arg for arg in args]
        used = {id(arg): slots[id(arg)] for arg in kept if id(arg) in slots}
        order = [None if result is None else found[id(result)] for result in flat]
        return cls(compiled, kept, places, used, order, tree.map_structure(lambda _: 0, results))

    def holds(self):
        """Whether all is as it was, except for the numbers in the tensors."""
        tensors = [store[key] for store, key in self._slots]
        return (
            CHANGES.count == self._changes
            and SCOPE.tokens is self._tokens
            and SCOPE.read is None
            and all(map(operator.is_, tensors, self._tensors))
            and _layouts(tensors) == self._layouts
        )

    def __call__(self, leaves):
        args = self._args.copy()
        for place, leaf in self._places:
            args[place] = leaves[leaf]
        with torch.no_grad():
            results = self._compiled(*args)
        flat = [None if place is None else results[place] for place in self._order]
        if type(self._structure) is list:
            return flat
        return tree.pack_sequence_as(self._structure, flat)


def _layouts(tensors):
    """Where and how tensors lie in memory, which an assignment to `.data` changes."""
    return [(tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) for tensor in tensors]


def compile_call(model):
    """Compile the model's call alone, in as many graphs as it takes."""
    if model._compiled_call_impl is None:
        model.__dict__["_compiled_call_impl"] = torch.compile(
            model._call_impl, options={**_OPTIONS, **(model.jit_options or {})}
        )


def compile_module(module, inputs, options):
    """A function that computes what an FX module does, made by Inductor.

    Args:
        module: FX module.
        inputs: list of its arguments, fake ones.
        options: dict of options of `torch._inductor.config`.
    """
    from torch._inductor.compile_fx import compile_fx

    tensors = [value for value in inputs if isinstance(value, torch.Tensor)]
    if all(tensor.device.type == "cpu" for tensor in tensors) and "cpp_wrapper" not in options:
        # Not all that Inductor makes in Python it makes in C++.
        with contextlib.suppress(Exception):
            patches = {**_CPU_OPTIONS, **options}
            return compile_fx(copy.deepcopy(module), inputs, config_patches=patches)
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
