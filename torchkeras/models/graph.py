"""From symbolic inputs and outputs to an ordered list of steps that runs on tensors."""

import copy
from collections import Counter, defaultdict

import numpy as np
import torch

from torchkeras.core.arguments import leaves_of, map_leaves, symbols_of
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.operation import FunctionOperation, Node
from torchkeras.core.scopes import spec_scope
from torchkeras.layers.core.input_layer import InputLayer
from torchkeras.layers.layer import Layer
from torchkeras.models.fused_steps import DenseDropout, can_fuse, fused_pairs


class Graph:
    """The part of the recorded graph between some inputs and some outputs.

    Args:
        inputs, outputs: lists of KerasTensors.

    Attributes:
        starts: the InputLayer of each input; a new one where the input is an intermediate tensor.
        nodes: the nodes of the InputLayers, then the steps.
        steps: the calls, in an order in which they can run; those of one operation in the order
            they were recorded.
        operations: the InputLayers, layers and operations by falling distance from the outputs,
            as Keras lists layers.
        calls: dict of an operation to its calls in this graph, in the order they were recorded.
        run: function from a list of tensors to a list of tensors.

    Raises:
        ValueError: an output does not depend on the inputs alone, or two operations have one name.
    """

    def __init__(self, inputs, outputs):
        self.inputs = inputs
        self.outputs = outputs
        starts = {id(symbol): _start_of(symbol) for symbol in inputs}
        self.starts = [starts[id(symbol)] for symbol in inputs]
        # The same symbol given twice takes the last value, as in Keras.
        self._places = {id(symbol): place for place, symbol in enumerate(inputs)}
        found, met = self._sort_nodes()
        self.operations = self._sort_operations(found, met)
        self._check_names()
        own = {node for node in found if not self.is_start(node)}
        self.calls = {
            operation: [node for node in operation._inbound_nodes if node in own]
            for operation in self.operations
        }
        self._numbers = {node: i for calls in self.calls.values() for i, node in enumerate(calls)}
        self.steps = self._in_recorded_order(found)
        starts = dict.fromkeys(self.starts)  # each once
        self.nodes = [*(start._inbound_nodes[0] for start in starts), *self.steps]
        self._functions = None  # those of a graph that is a chain, which `run` calls in turn
        self.run = self._compile()

    def append(self, node):
        """Put a call on top of a chain, in the time of one step; False where that cannot be done.

        Args:
            node: Node of an operation whose name is new here.
        """
        (output,) = self.outputs if len(self.outputs) == 1 else (None,)
        if self._functions is None or node.operation in self.calls or not _is_link(node, output):
            return False
        below = self.steps[-1]
        if can_fuse(below, node):
            self._functions[-1] = DenseDropout(below.operation, node.operation)
        else:
            self._functions.append(_callable(node.operation))
        self.operations.append(node.operation)
        self.calls[node.operation] = [node]
        self._numbers[node] = 0
        self.steps.append(node)
        self.nodes.append(node)
        self.outputs = list(node.outputs)
        return True

    def is_start(self, node):
        """Whether a node is that of an InputLayer of this graph."""
        return not node.input_tensors

    def node_of(self, symbol):
        """The node that makes a symbol in this graph; for an input, that of its InputLayer."""
        place = self._places.get(id(symbol))
        if place is not None:
            return self.starts[place]._inbound_nodes[0]
        return node_of(symbol)

    def operation_of(self, symbol):
        """The operation that makes a symbol in this graph."""
        return self.node_of(symbol).operation

    def reference(self, symbol):
        """`(operation, call, output)` of a symbol, counting only the calls in this graph."""
        node = self.node_of(symbol)
        if id(symbol) in self._places:
            return node.operation, 0, 0
        return node.operation, self._numbers[node], symbol._keras_history.tensor_index

    def _sort_nodes(self):
        """Nodes, parents before children, and the order in which operations were met."""
        met, nodes, seen = {}, [], set()
        # An explicit stack: graphs may be deeper than Python's recursion limit.
        stack = [(symbol, False) for symbol in reversed(self.outputs)]
        while stack:
            symbol, expanded = stack.pop()
            node = self.node_of(symbol)
            if expanded:
                nodes.append(node)
                continue
            if node is None or (not node.input_tensors and id(symbol) not in self._places):
                raise ValueError(
                    "Every output of a model must be made from its inputs. Received: outputs that "
                    f"also depend on {symbol!r}, which is not among the inputs "
                    f"{[x.name for x in self.inputs]}. Add it to `inputs`."
                )
            if node in seen:
                continue
            seen.add(node)
            met.setdefault(node.operation, len(met))
            stack.append((symbol, True))
            stack.extend((parent, False) for parent in reversed(node.input_tensors))
        return nodes, met

    def _sort_operations(self, nodes, met):
        node_depths, depths = {}, {}
        for node in reversed(nodes):
            # A shared layer stands where its call farthest from the outputs is.
            depth = max(node_depths.get(node, 0), depths.get(node.operation, 0))
            depths[node.operation] = node_depths[node] = depth
            for symbol in node.input_tensors:
                parent = self.node_of(symbol)
                node_depths[parent] = max(depth + 1, node_depths.get(parent, 0))
        for start in self.starts:  # an input that leads nowhere
            if start not in depths:
                depths[start], met[start] = 0, -1
        return sorted(depths, key=lambda operation: (-depths[operation], met[operation]))

    def _in_recorded_order(self, nodes):
        # A copy or clone that makes the calls in this order numbers them as they are here.
        before = {}
        for calls in self.calls.values():
            before.update(zip(calls[1:], calls, strict=False))
        steps, seen = [], set()
        stack = [(node, False) for node in reversed(nodes)]
        while stack:
            node, expanded = stack.pop()
            if expanded:
                steps.append(node)
            elif node not in seen and not self.is_start(node):
                seen.add(node)
                stack.append((node, True))
                stack.extend((self.node_of(x), False) for x in reversed(node.input_tensors))
                if node in before:
                    stack.append((before[node], False))
        return steps

    def _check_names(self):
        counts = Counter(operation.name for operation in self.operations)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ValueError(
                "The layers and operations of a model must have different names. Received: "
                f"{twice}, each used more than once. Give the layers other names."
            )

    def _compile(self):
        if not self.steps:
            places = [self._places[id(symbol)] for symbol in self.outputs]
            return lambda tensors: [tensors[place] for place in places]
        pairs = fused_pairs(self.steps, {*self._places, *map(id, self.outputs)})
        seconds = set(pairs.values())
        steps = [node for node in self.steps if node not in seconds]

        def callable_of(node):
            if node in pairs:
                return DenseDropout(node.operation, pairs[node].operation)
            return _callable(node.operation)

        if self._is_chain():
            self._functions = [callable_of(node) for node in steps]
            return _chain(self._functions)
        slots = dict(self._places)
        size = len(self.inputs)
        for node in self.steps:
            for symbol in node.outputs:
                if id(symbol) not in slots:
                    slots[id(symbol)] = size
                    size += 1
        last_use = {}
        for index, node in enumerate(steps):
            for symbol in [*node.input_tensors, *pairs.get(node, node).outputs]:
                last_use[slots[id(symbol)]] = index
        kept = {slots[id(symbol)] for symbol in self.outputs}
        dead = defaultdict(list)  # step -> slots that no later step reads
        for slot, index in last_use.items():
            if slot not in kept:
                dead[index].append(slot)
        plan = []
        for index, node in enumerate(steps):
            # An output that is an input of the model keeps the value given for it.
            made = pairs.get(node, node).outputs
            outs = [-1 if id(y) in self._places else slots[id(y)] for y in made]
            outs = outs[0] if len(outs) == 1 else outs
            reader = _argument_reader(node, slots)
            plan.append((callable_of(node), *reader, outs, dead[index]))
        return _run_plan(plan, size, [slots[id(symbol)] for symbol in self.outputs])

    def symbols_for(self, inputs):
        """Symbols for the outputs, for other symbols in the place of the inputs; records nothing.

        Args:
            inputs: list of KerasTensors.
        """
        values = {id(symbol): given for symbol, given in zip(self.inputs, inputs, strict=True)}
        with spec_scope():
            for node in self.steps:
                args, kwargs = map_leaves(
                    lambda x: values[id(x)] if isinstance(x, KerasTensor) else x,
                    (node.args, node.kwargs),
                )
                operation = node.operation
                # Not the layer itself: hooks are for tensors.
                is_layer = isinstance(operation, Layer)
                function = operation.forward if is_layer else operation.symbolic_call
                made = symbols_of(function(*args, **kwargs))
                for symbol, given in zip(node.outputs, made, strict=True):
                    values.setdefault(id(symbol), given)
        return [values[id(symbol)] for symbol in self.outputs]

    def _is_chain(self):
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            return False
        current = self.inputs[0]
        for node in self.steps:
            if not _is_link(node, current):
                return False
            current = node.outputs[0]
        return current is self.outputs[0]


def is_functional(operation):
    """Whether an operation is a model made of a graph."""
    return hasattr(operation, "_graph")


def node_of(symbol):
    """The node that made a symbol, or None."""
    history = getattr(symbol, "_keras_history", None)
    if history is None:
        return None
    return history.operation._inbound_nodes[history.node_index]


def _start_of(symbol):
    operation = getattr(node_of(symbol), "operation", None)
    if isinstance(operation, InputLayer):
        return operation
    return InputLayer(batch_shape=symbol.shape, dtype=symbol.dtype, name=symbol.name)


def _is_link(node, symbol):
    """Whether a call takes this symbol alone, and gives one."""
    takes_it = len(node.args) == 1 and node.args[0] is symbol and not node.kwargs
    return takes_it and len(node.outputs) == 1


def _callable(operation):
    # A function of keras.ops needs no look for symbols here: it gets tensors.
    if isinstance(operation, FunctionOperation) and operation._remat_mode is None:
        return operation.call
    return operation


def _chain(functions):
    def run(tensors):
        x = tensors[0]
        for function in functions:
            x = function(x)
            if isinstance(x, (list, tuple, dict)):
                (x,) = _tensors_in(x)
        return [x]

    return run


def _run_plan(plan, size, output_slots):
    def run(tensors):
        values = [None] * (size + 1)  # the last one takes what is not wanted
        values[: len(tensors)] = tensors
        for function, slot, read, outs, dead in plan:
            if slot is not None:
                result = function(values[slot])
            else:
                args, kwargs = read(values)
                result = function(*args, **kwargs)
                args = kwargs = None  # no longer than needed: intermediate tensors may be large
            if type(outs) is int:
                if isinstance(result, (list, tuple, dict)):
                    (result,) = _tensors_in(result)
                values[outs] = result
            else:
                result = _tensors_in(result)
                for place, out in enumerate(outs):
                    values[out] = result[place]
            result = None
            for unused in dead:
                values[unused] = None
        return [values[slot] for slot in output_slots]

    return run


def _tensors_in(result):
    """The tensors of a result, in the order in which a Node lists its symbols."""
    return [leaf for leaf in leaves_of(result) if isinstance(leaf, (torch.Tensor, np.ndarray))]


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


def twin_of(operation):
    """A second operation like this stateless one, without its calls."""
    twin = copy.copy(operation)
    twin._inbound_nodes, twin._outbound_nodes = [], []
    return twin


class _Reference(int):
    """Number of a symbol, standing for it in a record."""


def record_graph(graph, ends):
    """The graph as plain lists: operations, calls by number, and the structures at its ends.

    Symbols and nodes form one long chain of references, which copy and pickle would follow by
    recursion; the record is flat.
    """
    numbers, places, operations, calls = dict(graph._places), {}, [], []
    following = len(graph.inputs)

    def number(x):
        return _Reference(numbers[id(x)]) if isinstance(x, KerasTensor) else x

    for node in graph.steps:
        operation = node.operation
        if operation not in places:
            places[operation] = len(operations)
            operations.append(operation if isinstance(operation, Layer) else twin_of(operation))
        arguments = map_leaves(number, (node.args, node.kwargs))
        outputs = []
        for symbol in node.outputs:
            outputs.append((symbol.shape, symbol.dtype, symbol.name))
            numbers.setdefault(id(symbol), following)
            following += 1
        calls.append((places[operation], arguments, outputs))
    return {
        "starts": graph.starts,
        "operations": operations,
        "calls": calls,
        "ends": map_leaves(number, ends),
    }


def replay_graph(record):
    """Symbols and nodes for a record; returns the structures at the ends."""
    symbols = [start.output for start in record["starts"]]

    def revive(x):
        return symbols[x] if type(x) is _Reference else x

    for place, arguments, outputs in record["calls"]:
        args, kwargs = map_leaves(revive, arguments)
        made = [KerasTensor(shape, dtype, name=name) for shape, dtype, name in outputs]
        Node(record["operations"][place], args, kwargs, made)
        symbols.extend(made)
    return map_leaves(revive, record["ends"])
