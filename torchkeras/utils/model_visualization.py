"""plot_model and model_to_dot: a model as boxes and arrows."""

import html
import os

from torchkeras.core import config, tree
from torchkeras.core.operation import Operation
from torchkeras.utils.graphviz import Dot
from torchkeras.utils.summary_utils import class_name_of

_RANKDIRS = ("TB", "LR", "BT", "RL")
_HEADER = "#263238"


def model_to_dot(
    model,
    show_shapes=False,
    show_dtype=False,
    show_layer_names=True,
    rankdir="TB",
    expand_nested=False,
    dpi=200,
    subgraph=False,
    show_layer_activations=False,
    show_trainable=False,
    splines="ortho",
    **kwargs,
):
    """Describe a model as a graph in graphviz's DOT language.

    A box stands for a layer or operation, an arrow for a tensor between two. A subclassed model
    is one box. This needs no graphviz; drawing the result does.

    Args:
        model: Model that is built.
        show_shapes: bool, show the shapes of input and output.
        show_dtype: bool, show the dtype of the output.
        show_layer_names: bool, show names beside classes.
        rankdir: "TB", "LR", "BT" or "RL", the direction of the arrows (top to bottom, ...).
        expand_nested: bool, show the layers of nested models, in a dashed frame.
        dpi: number above 0, resolution in dots per inch.
        subgraph: bool, return the model as part of a larger graph.
        show_layer_activations: bool, show the activation of layers that have one.
        show_trainable: bool, show whether layers with weights are trainable.
        splines: str, shape of the arrows: "ortho", "curved", "polyline", "spline" or "line".

    Returns:
        Dot.

    Raises:
        ValueError: the model is not built, or an argument has another value than those above.

    Example:

    >>> x = keras.Input((3,), name="x")
    >>> model = keras.Model(x, keras.layers.Dense(2, name="out")(x))
    >>> dot = keras.utils.model_to_dot(model)
    >>> list(dot.nodes), list(dot.edges)
    (['node_0', 'node_1'], [('node_0', 'node_1')])
    """
    _check(model, rankdir, dpi, kwargs)
    if subgraph:
        dot = _cluster(model, "cluster_0")
    else:
        attributes = {"rankdir": rankdir, "concentrate": "true", "dpi": dpi, "splines": splines}
        dot = Dot(attributes=attributes)
    shown = {
        "shapes": show_shapes,
        "dtype": show_dtype,
        "names": show_layer_names,
        "activations": show_layer_activations,
        "trainable": show_trainable,
    }
    _add_model(dot, model, {}, expand_nested, shown)
    return dot


def plot_model(
    model,
    to_file="model.png",
    show_shapes=False,
    show_dtype=False,
    show_layer_names=False,
    rankdir="TB",
    expand_nested=False,
    dpi=200,
    show_layer_activations=False,
    show_trainable=False,
    splines="ortho",
    **kwargs,
):
    """Draw a model into a file; in a notebook, show the picture too.

    It is drawn by the `dot` program of a graphviz installation, or else by the graphviz that
    `pip install "torchkeras[plot]"` brings. The file is replaced only once the picture is there.

    Args:
        model: Model that is built.
        to_file: str or path; its ending is the format: .png, .svg, .pdf or another of graphviz's.
            Without an ending it is PNG.
        show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi,
            show_layer_activations, show_trainable, splines: as in `model_to_dot`.

    Returns:
        In a notebook, an IPython image, or SVG for .svg; None for .pdf and elsewhere.

    Raises:
        ImportError: there is no graphviz.
        ValueError: the model is not built, an argument has a wrong value, or graphviz knows no
            format by this ending.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> keras.utils.plot_model(model, "model.svg", show_shapes=True)  # doctest: +SKIP
    """
    dot = model_to_dot(
        model,
        show_shapes=show_shapes,
        show_dtype=show_dtype,
        show_layer_names=show_layer_names,
        rankdir=rankdir,
        expand_nested=expand_nested,
        dpi=dpi,
        show_layer_activations=show_layer_activations,
        show_trainable=show_trainable,
        splines=splines,
        **kwargs,
    )
    path = os.fspath(to_file)
    format = os.path.splitext(path)[1][1:].lower() or "png"
    dot.write(path, format=format)
    if format in ("png", "jpg", "jpeg", "gif", "svg") and config.is_notebook():
        from IPython import display

        return display.SVG(filename=path) if format == "svg" else display.Image(filename=path)
    return None


def _check(model, rankdir, dpi, kwargs):
    if kwargs.pop("layer_range", None) is not None:
        raise ValueError(
            "plot_model draws the whole model. Received: `layer_range`. Leave it out, or draw "
            "keras.Model(inputs, outputs) between the tensors you want."
        )
    if kwargs:
        raise ValueError(
            "plot_model takes the arguments that its docstring lists. Received also: "
            f"{sorted(kwargs)}. Leave them out."
        )
    if not isinstance(model, Operation) or not hasattr(model, "built"):
        raise ValueError(
            f"plot_model draws a Keras model. Received: model of type {type(model).__name__}. A "
            "torch module can be a layer of keras.Sequential([...])."
        )
    if not model.built:
        raise ValueError(
            f"plot_model draws a model that is built. Received: '{model.name}', which has not yet "
            "been built. Call it on data, call build(input_shape), or give it a keras.Input."
        )
    if rankdir not in _RANKDIRS:
        raise ValueError(f"`rankdir` must be one of {_RANKDIRS}. Received: rankdir={rankdir!r}.")
    if isinstance(dpi, bool) or not isinstance(dpi, (int, float)) or not dpi > 0:
        raise ValueError(f"`dpi` must be a number above 0. Received: dpi={dpi!r}.")


# The graph


def _functional(layer):
    """The functional model that a model is, or runs if it is Sequential; None for other layers."""
    # Late: the package `utils`, whose `__init__` imports this file, is being imported by models.
    from torchkeras.models import Functional, Sequential

    if isinstance(layer, Functional):
        return layer
    return layer._functional if isinstance(layer, Sequential) else None


def _add_model(dot, model, ids, expand_nested, shown):
    """Add boxes and arrows of a model; `ids` holds the boxes so far, by the id of their layer."""
    functional = _functional(model)
    graph = functional._graph if functional is not None else None
    for layer in _boxes(model):
        if id(layer) in ids:
            continue  # shared with a nested model that is drawn already
        ids[id(layer)] = f"node_{len(ids)}"
        if expand_nested and layer is not model and _functional(layer) is not None:
            inner = _cluster(layer, f"cluster_{ids[id(layer)]}")
            dot.subgraphs.append(inner)
            _add_model(inner, layer, ids, expand_nested, shown)
        else:
            calls = graph.calls[layer] if graph is not None and layer in graph.calls else ()
            dot.nodes[ids[id(layer)]] = _label(layer, calls, shown)
    if graph is None:
        return
    for operation, calls in graph.calls.items():
        for node in calls:
            for symbol in node.input_tensors:
                source = _source(graph, symbol, expand_nested)
                if id(source) not in ids:
                    continue  # the Input of a Sequential, which is not shown
                for destination in _destinations(operation, node, symbol, expand_nested):
                    dot.edges[ids[id(source)], ids[id(destination)]] = None


def _boxes(model):
    functional = _functional(model)
    if functional is None:
        return [model]
    return model.operations if functional is model else model.layers


def _source(graph, symbol, expand_nested):
    """The box a symbol comes from: in an expanded model, that of the layer that makes it."""
    while True:
        node = graph.node_of(symbol)
        inner = _functional(node.operation)
        if not expand_nested or inner is None:
            return node.operation
        graph = inner._graph
        symbol = graph.outputs[symbol._keras_history.tensor_index]


def _destinations(operation, node, symbol, expand_nested):
    """The boxes that a call hands a symbol to: in an expanded model, those of its inputs."""
    functional = _functional(operation)
    if not expand_nested or functional is None:
        return [operation]
    values = functional._arrange(node.args[0] if node.args else node.kwargs["inputs"])
    graph, found = functional._graph, []
    for value, start, own in zip(values, graph.starts, graph.inputs, strict=True):
        if value is not symbol:
            continue
        if operation is functional:
            found.append(start)
            continue
        for first in operation.layers[:1]:  # a Sequential shows no Input
            for call in graph.calls[first]:
                found += _destinations(first, call, own, expand_nested)
    return found


# The boxes


def _cluster(model, name):
    attributes = {"style": "dashed", "labeljust": "l", "fontname": "Helvetica"}
    return Dot("subgraph", name, attributes, label=_escape(model.name))


def _label(layer, calls, shown):
    """The HTML-like table in a layer's box."""
    class_name = class_name_of(layer)
    head = f"<b>{_escape(layer.name)}</b> ({_escape(class_name)})"
    if not shown["names"]:
        head = f"<b>{_escape(class_name)}</b>"
    cells = []
    inputs, outputs = _ends(layer, calls)
    if shown["shapes"]:
        if class_name != "InputLayer":
            cells.append(_cell("Input shape: ", _facts(inputs, "shape")))
        cells.append(_cell("Output shape: ", _facts(outputs, "shape")))
    if shown["dtype"]:
        cells.append(_cell("Output dtype: ", _facts(outputs, "dtype")))
    if shown["trainable"] and getattr(layer, "weights", None):
        text, color = ("Trainable", "#2e7d32") if layer.trainable else ("Non-trainable", "#c62828")
        cells.append(_cell("", text, f'bgcolor="{color}"', 'color="white"'))
    span = f'colspan="{max(1, len(cells))}"'
    rows = [
        f'<td {span} bgcolor="{_HEADER}"><font point-size="16" color="white">{head}</font></td>'
    ]
    activation = getattr(layer, "activation", None)
    if shown["activations"] and activation is not None:
        name = getattr(activation, "name", None) or getattr(activation, "__name__", activation)
        rows.append(_cell("Activation: ", name, f'bgcolor="white" {span}'))
    if cells:
        rows.append("".join(cells))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    table = f'border="0" cellborder="1" cellspacing="0" cellpadding="10" color="{_HEADER}"'
    return f"<table {table}>{body}</table>"


def _cell(text, value, style='bgcolor="white"', font=""):
    return f'<td {style}><font point-size="14" {font}>{text}<b>{_escape(value)}</b></font></td>'


def _ends(layer, calls):
    """Symbols of a layer's inputs and outputs in its first call, each None where unknown."""
    functional = _functional(layer)
    if functional is not None:
        return functional.input, functional.output
    nodes = calls or layer._inbound_nodes
    if not nodes:
        return None, None
    return [x[0] if len(x) == 1 else x for x in (nodes[0].input_tensors, nodes[0].outputs)]


def _facts(symbols, name):
    if symbols is None:
        return "?"
    facts = tree.map_structure(lambda symbol: getattr(symbol, name), symbols)
    if isinstance(facts, dict):
        return ", ".join(f"{key}: {fact}" for key, fact in facts.items())
    return facts


def _escape(text):
    """Text for an HTML-like label; what cannot be printed is shown as in a Python literal."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))
    return html.escape(text).replace("\\", "\\\\")  # in graphviz `\N` is a name
