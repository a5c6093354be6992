"""From symbolic inputs and outputs to an ordered list of steps that runs on tensors."""

from torchkeras.core import tree
from torchkeras.core.arguments import map_leaves
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.operation import FunctionOperation, Node


class Graph:
    """The part of the recorded graph between some inputs and some outputs.

    Args:
        inputs, outputs: lists of KerasTensors.

    Attributes:
        nodes: the nodes in an order in which they can run; those of the inputs first.
        operations: the operations, by falling distance from the outputs, as Keras lists layers.

    Raises:
        ValueError: an output does not depend on the inputs alone.
    """

    def __init__(self, inputs, outputs):
        self.inputs = inputs
        self.outputs = outputs
        self._input_ids = {id(x) for x in inputs}
        self.nodes, order = self._sort_nodes()
        self.operations = self._sort_operations(order)
        self.run = self._compile()

    def _sort_nodes(self):
        """Nodes, parents before children, and the order in which operations were met."""
        done, order, nodes = set(), {}, []
        # An explicit stack: graphs may be deeper than Python's recursion limit.
        stack = [(symbol, False) for symbol in reversed(self.outputs)]
        pending = set()
        while stack:
            symbol, expanded = stack.pop()
            node = node_of(symbol)
            if expanded:
                if node not in done:
                    done.add(node)
                    pending.discard(node)
                    nodes.append(node)
                continue
            if node is None or (not node.input_tensors and id(symbol) not in self._input_ids):
                raise ValueError(
                    "Every output of a model must be made from its inputs. Received: outputs that "
                    f"also depend on {symbol!r}, which is not among the inputs "
                    f"{[x.name for x in self.inputs]}. Add it to `inputs`."
                )
            if node in done or node in pending:
                continue
            order.setdefault(node.operation, len(order))
            stack.append((symbol, True))
            pending.add(node)
            if id(symbol) not in self._input_ids:
                stack.extend((parent, False) for parent in reversed(node.input_tensors))
        return nodes, order

    def is_start(self, node):
        return any(id(x) in self._input_ids for x in node.outputs)

    def _sort_operations(self, order):
        node_depths, depths = {}, {}
        for node in reversed(self.nodes):
            depth = max(node_depths.get(node, 0), depths.get(node.operation, 0))
            depths[node.operation] = node_depths[node] = depth
            if self.is_start(node):
                continue
            for parent in node.parent_nodes:
                node_depths[parent] = max(depth + 1, node_depths.get(parent, 0))
        for symbol in self.inputs:  # an input that leads nowhere
            operation = node_of(symbol).operation
            if operation not in depths:
                depths[operation], order[operation] = 0, -1
                self.nodes.insert(0, node_of(symbol))
        return sorted(depths, key=lambda operation: (-depths[operation], order[operation]))

    def _compile(self):
        """A function from a list of tensors to a list of tensors."""
        steps = [node for node in self.nodes if not self.is_start(node)]
        if not steps:
            places = [[id(x) for x in self.inputs].index(id(y)) for y in self.outputs]
            return lambda tensors: [tensors[place] for place in places]
        if self._is_chain(steps):
            return _chain([_callable(node.operation) for node in steps])
        slots = {}
        for symbol in [*self.inputs, *(out for node in steps for out in node.outputs)]:
            slots.setdefault(id(symbol), len(slots))
        last_use = {}
        for index, node in enumerate(steps):
            for symbol in [*node.input_tensors, *node.outputs]:
                last_use[slots[id(symbol)]] = index
        kept = {slots[id(symbol)] for symbol in self.outputs}
        plan = []
        for index, node in enumerate(steps):
            dead = [s for s, last in last_use.items() if last == index and s not in kept]
            outs = [slots[id(symbol)] for symbol in node.outputs]
            single = len(outs) == 1
            reader = _argument_reader(node, slots)
            plan.append((_callable(node.operation), *reader, outs[0] if single else outs, dead))
        return _run_plan(plan, len(slots), [slots[id(symbol)] for symbol in self.outputs])

    def _is_chain(self, steps):
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            return False
        current = self.inputs[0]
        for node in steps:
            alone = len(node.args) == 1 and node.args[0] is current and not node.kwargs
            if not alone or len(node.outputs) != 1:
                return False
            current = node.outputs[0]
        return current is self.outputs[0]


def node_of(symbol):
    """The node that made a symbol, or None."""
    history = getattr(symbol, "_keras_history", None)
    if history is None:
        return None
    return history.operation._inbound_nodes[history.node_index]


def _callable(operation):
    # A function of keras.ops needs no look for symbols here: it gets tensors.
    return operation.call if isinstance(operation, FunctionOperation) else operation


def _chain(layers):
    def run(tensors):
        x = tensors[0]
        for layer in layers:
            x = layer(x)
        return [x]

    return run


def _run_plan(plan, size, output_slots):
    def run(tensors):
        values = [None] * size
        values[: len(tensors)] = tensors
        for function, slot, read, outs, dead in plan:
            if slot is not None:
                result = function(values[slot])
            else:
                args, kwargs = read(values)
                result = function(*args, **kwargs)
            if type(outs) is int:
                values[outs] = result if _is_leaf(result) else tree.flatten(result)[0]
            else:
                for out, value in zip(outs, tree.flatten(result), strict=True):
                    values[out] = value
            for unused in dead:
                values[unused] = None
        return [values[slot] for slot in output_slots]

    return run


def _is_leaf(x):
    return not isinstance(x, (list, tuple, dict))


class _Slot(int):
    """Place of a tensor, standing for it in recorded arguments."""


def _argument_reader(node, slots):
    """`(slot, None)` for a step of one plain tensor, else `(None, function of the values)`."""
    args, kwargs = node.args, node.kwargs
    if len(args) == 1 and not kwargs and isinstance(args[0], KerasTensor):
        return slots[id(args[0])], None
    if len(args) == 1 and not kwargs and type(args[0]) in (list, tuple):
        if all(isinstance(x, KerasTensor) for x in args[0]):
            places = [slots[id(x)] for x in args[0]]
            return None, lambda values: (([values[p] for p in places],), {})
    recorded = map_leaves(
        lambda x: _Slot(slots[id(x)]) if isinstance(x, KerasTensor) else x, (args, kwargs)
    )
    return None, lambda values: map_leaves(lambda x: values[x] if type(x) is _Slot else x, recorded)


class _Reference(int):
    """Number of a symbol, standing for it in a record."""


def record_graph(graph, ends):
    """The graph as plain lists: operations, calls by number, and the structures at its ends."""
    numbers, calls, operations = {}, [], []

    def number(x):
        return _Reference(numbers[id(x)]) if isinstance(x, KerasTensor) else x

    for node in graph.nodes:
        places = [id(operation) for operation in operations]
        if id(node.operation) not in places:
            operations.append(node.operation)
            places.append(id(node.operation))
        start = graph.is_start(node)
        arguments = ((), {}) if start else map_leaves(number, (node.args, node.kwargs))
        for symbol in node.outputs:
            numbers[id(symbol)] = len(numbers)
        outputs = [(x.shape, x.dtype, x.name) for x in node.outputs]
        calls.append((places.index(id(node.operation)), arguments, outputs))
    return {"operations": operations, "calls": calls, "ends": map_leaves(number, ends)}


def replay_graph(record):
    """Symbols and nodes for a record; returns the structures at the ends."""
    symbols = []

    def revive(x):
        return symbols[x] if type(x) is _Reference else x

    for place, arguments, outputs in record["calls"]:
        args, kwargs = map_leaves(revive, arguments)
        made = [KerasTensor(shape, dtype, name=name) for shape, dtype, name in outputs]
        Node(record["operations"][place], args, kwargs, made)
        symbols.extend(made)
    return map_leaves(revive, record["ends"])
