"""print_summary: a model as a table of layers, drawn in plain text as Keras draws it."""

import collections
import itertools
import math
import re
import shutil
import sys

from torch import nn

from torchkeras.core import config, tree
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.operation import FunctionOperation, Operation
from torchkeras.layers.call_spec import call_spec
from torchkeras.layers.output_spec import says_shape
from torchkeras.utils.progbar import write_line
from torchkeras.utils.text_table import cut, draw_table, fit_widths, wrap

_MIN_COLUMN = 4  # characters a column asks for; below it Keras refuses to draw
_NOTEBOOK_COLUMNS = 115
# For outputs that cannot show the box, such as a Latin-1 terminal.
_ASCII_BOX = str.maketrans("┏━┳┓┃┡╇┩│├─┼┤└┴┘…", "+--+||+|||-+|+-+.")


def print_summary(
    model,
    line_length=None,
    positions=None,
    print_fn=None,
    expand_nested=False,
    show_trainable=False,
    layer_range=None,
):
    """Print a table of a model's layers, output shapes and parameters.

    The text is the one that Keras makes. A graph that is not a plain chain has a column of
    connections, `name[call][output]`. Below the table stand the numbers of parameters, with
    their size in memory, and those of the optimizer once it is built. No line is longer than
    the terminal (80 characters where there is none).

    Args:
        model: Model.
        line_length: int, width of the table in characters. None: as wide as the terminal
            allows, up to 88, or 108 with connections; 12 more with `show_trainable`.
        positions: list with the end of each column, rising, as fractions of `line_length` or
            in characters.
        print_fn: function that is called once, with the whole text; None writes to `sys.stdout`.
        expand_nested: bool, list the layers of nested models below them.
        show_trainable: bool, add a column: Y or N, and - for a layer without weights.
        layer_range: two regular expressions that match the start of the name of the first and
            of the last layer to be shown.

    Raises:
        ValueError: `positions` do not rise or are too few for the columns, `line_length` is
            negative, or `layer_range` is not two names of layers.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="small")
    >>> lines = []
    >>> model.summary(print_fn=lambda text: lines.extend(text.splitlines()))
    >>> lines[0], lines[-1]
    ('Model: "small"', ' Non-trainable params: 0 (0.00 B)')
    """
    connected = hasattr(model, "_graph") and not _is_chain(model)
    columns = {"Layer (type)": "left", "Output Shape": "left", "Param #": "right"}
    default_length, default_positions = 88, [0.45, 0.80, 1.0]
    if connected:
        columns["Connected to"] = "left"
        default_length, default_positions = 108, [0.3, 0.56, 0.74, 1.0]
    if show_trainable:
        columns["Trainable"] = "center"
        default_length += 12
    terminal_columns = shutil.get_terminal_size().columns
    widths = _column_widths(
        len(columns),
        line_length,
        min(default_length, terminal_columns - 4),
        positions or default_positions,
        show_trainable,
    )
    layers = _select(_layers(model), layer_range)
    calls = _calls(model)
    rows = []
    for layer, level, nodes in _walk(layers, calls, expand_nested):
        prefix = "   " * level + "└ " if level else ""
        params = "0"
        if hasattr(layer, "built"):
            params = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
        row = [
            f"{prefix}{layer.name} ({class_name_of(layer)})",
            _output_shape(layer, nodes),
            params,
        ]
        if connected:
            row.append(_connections(calls[id(layer)], model))
        if show_trainable:
            has_weights = len(getattr(layer, "weights", ())) > 0
            row.append("-" if not has_weights else "Y" if layer.trainable else "N")
        rows.append(row)
    # Longer lines are cut, not wrapped: a wrapped table cannot be read.
    limit = _NOTEBOOK_COLUMNS if config.is_notebook() else terminal_columns
    lines = wrap(f'Model: "{model.name}"', limit, fold=True)
    table = draw_table(list(columns), rows, widths, list(columns.values()))
    lines += [cut(line, limit) for line in table]
    for line in _totals(model):
        lines += wrap(line, limit, fold=True)
    text = "\n".join(lines)
    if print_fn is None:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        is_unicode = encoding.lower().startswith("utf")
        write_line(text if is_unicode else text.translate(_ASCII_BOX))
    else:
        print_fn(text + "\n")


# The layers and what is said of each


class _TorchModule:
    """A plain torch module among the attributes of a model, with what a row asks of a layer."""

    _inbound_nodes = ()

    def __init__(self, name, module):
        self.name = name
        self.module = module
        self.weights = list(module.parameters())
        self.built = not any(nn.parameter.is_lazy(weight) for weight in self.weights)
        self.trainable = any(weight.requires_grad for weight in self.weights)

    def count_params(self):
        return sum(weight.numel() for weight in self.weights)


def _layers(model):
    if hasattr(model, "_graph"):
        return model.operations
    layers = list(model.layers)
    for place, (key, module) in enumerate(model.named_children()):
        if not isinstance(module, Operation) and any(True for _ in module.parameters()):
            layers.insert(place, _TorchModule(key, module))
    return layers


def _select(layers, layer_range):
    if layer_range is None:
        return layers
    pair = isinstance(layer_range, (list, tuple)) and len(layer_range) == 2
    if not pair or not all(isinstance(name, str) for name in layer_range):
        raise ValueError(
            "`layer_range` must be a list or tuple of two strings, the names of the first and the "
            f"last layer to show. Received: layer_range={layer_range!r}."
        )
    places = []
    for pattern in layer_range:
        found = [i for i, layer in enumerate(layers) if re.match(pattern, layer.name)]
        if not found:
            raise ValueError(
                "`layer_range` must match names of layers of the model. Received: "
                f"layer_range={layer_range!r}, where {pattern!r} matches none. The layers are "
                f"{[layer.name for layer in layers]}."
            )
        places.append(found)
    first, last = places
    if min(first) > max(last):
        first, last = last, first
    return layers[min(first) : max(last) + 1]


def _walk(layers, calls, expand_nested, level=0):
    """Yield `(layer, nesting level, its calls in the model around it)`, models before their own."""
    for layer in layers:
        yield layer, level, calls[id(layer)]
        nested = getattr(layer, "layers", None)  # of any class, as in Keras
        if expand_nested and isinstance(nested, (list, tuple)):
            inner = [layer for layer in nested if isinstance(layer, Operation)]
            yield from _walk(inner, _calls(layer), expand_nested, level + 1)


def _calls(model):
    """The calls of each operation that are steps of the model, in order, by the operation's id."""
    functional = model if hasattr(model, "_graph") else getattr(model, "_functional", None)
    graph, found = getattr(functional, "_graph", None), collections.defaultdict(list)
    if graph is not None:
        for node in sorted(graph.nodes, key=lambda node: node.outputs[0]._keras_history.node_index):
            if not graph.is_start(node):
                found[id(node.operation)].append(node)
    return found


def _is_chain(model):
    """Whether each operation is called once, on nothing but the output of the one before."""
    nodes = model._graph.nodes
    return len({id(node.operation) for node in nodes}) == len(nodes) and all(
        len(node.input_tensors) == 1 and node.parent_nodes[0] is before
        for before, node in itertools.pairwise(nodes)
    )


def class_name_of(operation):
    """Name shown for the kind of an operation."""
    if isinstance(operation, FunctionOperation):
        return operation.class_name
    module = operation.module if isinstance(operation, _TorchModule) else operation
    return type(module).__name__


def _connections(nodes, model):
    found = []
    for node in nodes:
        for symbol in node.input_tensors:
            origin = model._origin(symbol)
            _, call, output = symbol._keras_history
            if origin is not symbol._keras_history.operation:
                call = output = 0  # an intermediate tensor, for which an InputLayer stands in
            found.append(f"{origin.name}[{call}][{output}]")
    return ", ".join(found) or "-"


def _output_shape(layer, nodes):
    """Shape of the layer's last output in the model, or what else is known of it."""
    nodes = nodes or layer._inbound_nodes
    if nodes:
        shapes = [symbol.shape for symbol in nodes[-1].outputs]
    else:
        build_shapes = getattr(layer, "_build_shapes", None)
        shapes = getattr(layer, "output_shape", None)
        if shapes is None and build_shapes:
            # Only where the class has a rule for it: running `call` may fail or have effects.
            if says_shape(layer):
                given = {name.removesuffix("_shape"): s for name, s in build_shapes.items()}
                rule = call_spec(type(layer).compute_output_shape)
                shapes = layer.compute_output_shape(**rule.shape_arguments(given))
    if shapes is None:
        return "?"
    texts = tree.map_shape_structure(lambda s: f"({', '.join(map(str, s))})", shapes)
    flat = tree.flatten(texts)
    return flat[0] if len(flat) == 1 else str(texts).replace("'", "")


def _totals(model):
    trainable, others = model.trainable_weights, model.non_trainable_weights
    parts = {"Trainable": trainable, "Non-trainable": others}
    if model.compiled and model.optimizer and model.optimizer.built:
        parts["Optimizer"] = model.optimizer.variables
    parts = {"Total": sum(parts.values(), start=[]), **parts}
    for name, variables in parts.items():
        # The weights of a lazy torch module have no shape yet.
        variables = [v for v in variables if not nn.parameter.is_lazy(v.value)]
        count = sum(math.prod(v.shape) for v in variables)
        yield f" {name} params: {count:,} ({_size(variables)})"


def _size(variables):
    # A boolean counts as one bit, as in Keras.
    sizes = [1 / 8 if v.dtype == "bool" else to_torch_dtype(v.dtype).itemsize for v in variables]
    size = sum(math.prod(v.shape) * each for v, each in zip(variables, sizes, strict=True))
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} PB"


def _column_widths(count, line_length, default_length, positions, show_trainable):
    """Width of each column, its padding included, by the rules of Keras and its table printer."""
    positions = list(positions)
    if len(positions) + show_trainable < count or positions[0] <= 0:
        raise ValueError(
            f"`positions` must hold the ends of {count - show_trainable} columns, each above 0. "
            f"Received: positions={positions}. Leave it out for the default."
        )
    if any(a >= b for a, b in itertools.pairwise(positions)):
        raise ValueError(
            "`positions` must rise from column to column. Received: "
            f"positions={positions}. Leave it out for the default."
        )
    if line_length is not None and line_length < 0:
        raise ValueError(
            "`line_length` must be a number of characters. Received: "
            f"line_length={line_length}. Use None for the width of the terminal."
        )
    in_characters = positions[-1] > 1
    line_length = line_length or (int(positions[-1]) if in_characters else default_length)
    if in_characters:
        positions = [position / line_length for position in positions]
    if show_trainable:
        positions = [position * 0.90 for position in positions] + [1.0]
    widths, start = [], 0
    for position in positions[:count]:
        widths.append(max(_MIN_COLUMN, int(position * line_length) - start))
        start += widths[-1]
    # Each column asks for its padding on top; the borders take their part first.
    return fit_widths([width + 2 for width in widths], max(line_length, start) - (count + 1))
