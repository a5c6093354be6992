"""An optimizer's update inside a compiled graph: one op, which runs the update as it is without.

What an optimizer does in Python (counting on the host, schedules, loss scales, torch's fused
kernels) stays what it is. The graph knows of the op that it reads gradients and writes to the
weights and to the optimizer's state, so whatever comes after it in the step sees the new values.
"""

import weakref

import torch

from torchkeras.core.scopes import SCOPE

_SCHEMA = "update(int number, Tensor?[] grads, int[] places, Tensor(a!)[] touched) -> ()"
_LIBRARY = None  # made when the first graph needs the op
_IN_GRAPHS = weakref.WeakValueDictionary()  # number -> GraphUpdate


class GraphUpdate:
    """How a graph names an optimizer and its variables. A copy of an optimizer has none.

    Args:
        optimizer: Optimizer or TorchOptimizer, built.
    """

    def __init__(self, optimizer):
        self.number = max(_IN_GRAPHS, default=0) + 1
        self.variables = list(optimizer._trainable_variables)
        self.states = list(getattr(optimizer, "variables", ()))
        self.places = {id(variable): i for i, variable in enumerate(self.variables)}
        self.optimizer = weakref.ref(optimizer)
        _IN_GRAPHS[self.number] = self

    def __deepcopy__(self, memo):
        return None

    def __reduce__(self):
        return type(None), ()


def let_into_graphs(optimizer):
    """Let a traced `optimizer.apply` become the op, where the optimizer is built.

    Not where two of its variables are one tensor, which a graph would see change twice.
    """
    known = optimizer._graph_update
    optimizer._graph_update = None
    if not optimizer.built:
        return
    tensors = {id(v._store[v._key]) for v in optimizer._trainable_variables}
    if len(tensors) < len(optimizer._trainable_variables):
        return
    _define()
    if known is None or not _is_current(known, optimizer):
        known = GraphUpdate(optimizer)
    optimizer._graph_update = known


def _is_current(known, optimizer):
    now = optimizer._trainable_variables, list(getattr(optimizer, "variables", ()))
    return known.optimizer() is optimizer and all(
        list(map(id, ours)) == list(map(id, theirs))
        for ours, theirs in zip((known.variables, known.states), now, strict=True)
    )


def is_traced():
    """Whether an update is being traced that is not one by state, which is traced as it is."""
    return torch.compiler.is_dynamo_compiling() and SCOPE.stateless is None


def apply_in_graph(optimizer, grads, variables=None):
    """`optimizer.apply`, traced.

    Args:
        optimizer: Optimizer or TorchOptimizer that was let into graphs.
        grads: list of tensors or None.
        variables: list of Variables; None for all.
    """
    known = optimizer._graph_update
    variables = known.variables if variables is None else list(variables)
    if len(grads) != len(variables):
        torch._dynamo.graph_break(msg="gradients and variables differ in number")
    places = [known.places[id(variable)] for variable in variables]
    touched = [v._store[v._key] for v in variables] + [v._store[v._key] for v in known.states]
    with torch.no_grad():
        torch.ops.torchkeras.update(known.number, grads, places, touched)


def _update(number, grads, places, touched):
    known = _IN_GRAPHS[number]
    variables = [known.variables[place] for place in places]
    held = [v._store[v._key] for v in [*variables, *known.states]]
    # A graph may hand over copies: with what it has written to them, and to be written to.
    apart = [(a, b) for a, b in zip(held, touched, strict=True) if a.data_ptr() != b.data_ptr()]
    with torch.no_grad():
        for ours, given in apart:
            ours.copy_(given)
        known.optimizer().apply(list(grads), variables)
        for ours, given in apart:
            given.copy_(ours)


def _define():
    global _LIBRARY
    if _LIBRARY is None:
        _LIBRARY = torch.library.Library("torchkeras", "FRAGMENT")
        _LIBRARY.define(_SCHEMA)
        _LIBRARY.impl("update", _update, "CompositeExplicitAutograd")
        _LIBRARY.impl("update", lambda number, grads, places, touched: None, "Meta")
