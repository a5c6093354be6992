"""model_to_dot and plot_model: the boxes, what they say, and the arrows."""

import html
import importlib.util
import re
import sys
import types
import xml.etree.ElementTree

import pytest
import torch

import torchkeras as keras
from torchkeras.utils import graphviz

layers = keras.layers

needs_graphviz = pytest.mark.skipif(
    importlib.util.find_spec("pygraphviz") is None and graphviz.shutil.which("dot") is None,
    reason="needs pygraphviz (the extra [plot]) or a dot program",
)


def cells(label):
    """Texts of the cells of a box."""
    found = re.findall(r"<td.*?</td>", label)
    return [shown(re.sub(r"<[^>]*>", "", cell)) for cell in found]


def shown(text):
    return html.unescape(text).replace("\\\\", "\\")


def boxes(dot):
    """Cells of every box by its identifier, those in frames too."""
    found = {node: cells(label) for node, label in dot.nodes.items()}
    for inner in dot.subgraphs:
        found.update(boxes(inner))
    return found


def arrows(dot):
    """Pairs of the first cells of the boxes that are connected."""
    titles = {node: texts[0].split()[0] for node, texts in boxes(dot).items()}

    def walk(part):
        found = [(titles[a], titles[b]) for a, b in part.edges]
        for inner in part.subgraphs:
            found += walk(inner)
        return found

    return sorted(walk(dot))


def small():
    return keras.Sequential(
        [keras.Input((3,)), layers.Dense(2, activation="relu", name="d"), layers.Dropout(0.5)]
    )


def block(name):
    """A nested model of two inputs."""
    a, b = keras.Input((4,), name=f"{name}_a"), keras.Input((4,), name=f"{name}_b")
    return keras.Model([a, b], layers.Add(name=f"{name}_add")([a, b]), name=name)


class Subclassed(keras.Model):
    def __init__(self, name=None):
        super().__init__(name=name)
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


def test_default_boxes_have_name_and_class():
    dot = keras.utils.model_to_dot(small())
    assert list(boxes(dot).values()) == [["d (Dense)"], ["dropout (Dropout)"]]
    assert arrows(dot) == [("d", "dropout")]


def test_all_facts():
    dot = keras.utils.model_to_dot(
        small(),
        show_shapes=True,
        show_dtype=True,
        show_layer_names=False,
        show_layer_activations=True,
        show_trainable=True,
    )
    shapes = ["Input shape: (None, 3)", "Output shape: (None, 2)", "Output dtype: float32"]
    assert list(boxes(dot).values()) == [
        ["Dense", "Activation: relu", *shapes, "Trainable"],
        ["Dropout", "Input shape: (None, 2)", *shapes[1:]],
    ]
    assert ['colspan="4"' in label for label in dot.nodes.values()] == [True, False]


def test_frozen_layer():
    model = small()
    model.layers[0].trainable = False
    dot = keras.utils.model_to_dot(model, show_trainable=True)
    assert list(boxes(dot).values()) == [["d (Dense)", "Non-trainable"], ["dropout (Dropout)"]]


def test_shared_layer_and_two_inputs():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    shared = layers.Dense(2, name="shared")
    model = keras.Model([a, b], layers.Add(name="sum")([shared(a), shared(b)]))
    dot = keras.utils.model_to_dot(model, show_shapes=True)
    assert arrows(dot) == [("a", "shared"), ("b", "shared"), ("shared", "sum")]
    found = {texts[0]: texts[1:] for texts in boxes(dot).values()}
    assert found["a (InputLayer)"] == ["Output shape: (None, 3)"]
    assert found["sum (Add)"][0] == "Input shape: [(None, 2), (None, 2)]"


def test_shape_is_that_of_the_call_in_this_model():
    flatten = layers.Flatten(name="flat")
    flatten(keras.Input((7, 7)))
    x = keras.Input((2, 3))
    dot = keras.utils.model_to_dot(keras.Model(x, flatten(x)), show_shapes=True)
    assert list(boxes(dot).values())[1][1:] == [
        "Input shape: (None, 2, 3)",
        "Output shape: (None, 6)",
    ]


def test_operations_are_boxes():
    x = keras.Input((4,), name="x")
    y = keras.ops.expand_dims(x, -1) * 2
    dot = keras.utils.model_to_dot(keras.Model(x, torch.relu(y)))
    assert [texts[0].split()[1] for texts in boxes(dot).values()] == [
        "(InputLayer)",
        "(ExpandDims)",
        "(Multiply)",
        "(TorchFunction)",
    ]
    assert len(dot.edges) == 3


def test_dict_inputs_of_a_nested_model():
    a = keras.Input((4,), name="a")
    inner = keras.Model({"k": a}, layers.Dense(2, name="d")(a), name="inner")
    x = keras.Input((4,), name="x")
    dot = keras.utils.model_to_dot(keras.Model(x, inner({"k": x})), show_shapes=True)
    assert list(boxes(dot).values())[1] == [
        "inner (Functional)",
        "Input shape: k: (None, 4)",
        "Output shape: (None, 2)",
    ]


def test_subclassed_model_is_one_box():
    model = Subclassed(name="own")
    model(torch.ones(1, 3))
    dot = keras.utils.model_to_dot(model, show_shapes=True, show_dtype=True, expand_nested=True)
    texts = ["own (Subclassed)", "Input shape: ?", "Output shape: ?", "Output dtype: ?"]
    assert list(boxes(dot).values()) == [texts]
    assert not dot.edges


def test_attribute_that_holds_a_model_does_not_make_a_functional_model():
    model = Subclassed()
    model._functional = small()
    model(torch.ones(1, 3))
    assert len(boxes(keras.utils.model_to_dot(model))) == 1


def test_nested_model_is_a_box_unless_expanded():
    x, y = keras.Input((4,), name="x"), keras.Input((4,), name="y")
    model = keras.Model([x, y], layers.Dense(1, name="out")(block("inner")([x, y])))
    dot = keras.utils.model_to_dot(model)
    assert arrows(dot) == [("inner", "out"), ("x", "inner"), ("y", "inner")]
    assert not dot.subgraphs
    dot = keras.utils.model_to_dot(model, expand_nested=True)
    assert arrows(dot) == [
        ("inner_a", "inner_add"),
        ("inner_add", "out"),
        ("inner_b", "inner_add"),
        ("x", "inner_a"),
        ("y", "inner_b"),
    ]
    assert [inner.label for inner in dot.subgraphs] == ["inner"]


def test_expanded_inputs_are_matched_by_name():
    x, y = keras.Input((4,), name="x"), keras.Input((4,), name="y")
    outputs = block("inner")({"inner_b": x, "inner_a": y})
    dot = keras.utils.model_to_dot(keras.Model([x, y], outputs), expand_nested=True)
    assert {("x", "inner_b"), ("y", "inner_a")} < set(arrows(dot))
    assert ("x", "inner_a") not in arrows(dot)


def test_one_symbol_for_both_inputs_of_an_expanded_model():
    x = keras.Input((4,), name="x")
    dot = keras.utils.model_to_dot(keras.Model(x, block("inner")([x, x])), expand_nested=True)
    assert {("x", "inner_a"), ("x", "inner_b")} < set(arrows(dot))


def test_expanded_models_in_a_sequential_and_in_each_other():
    pair = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="p"), layers.Dense(4, name="q")]
    )
    x = keras.Input((4,), name="x")
    inner = keras.Model(x, pair(x), name="inner")
    stack = keras.Sequential([keras.Input((4,)), inner, layers.Dense(1, name="r")], name="stack")
    y = keras.Input((4,), name="y")
    dot = keras.utils.model_to_dot(keras.Model(y, stack(y)), expand_nested=True)
    assert arrows(dot) == [("p", "q"), ("q", "r"), ("x", "p"), ("y", "x")]
    assert dot.subgraphs[0].subgraphs[0].label == "inner"


def test_second_output_of_an_expanded_model():
    x = keras.Input((4,), name="x")
    inner = keras.Model(x, [layers.Dense(1, name="one")(x), layers.Dense(1, name="two")(x)])
    y = keras.Input((4,), name="y")
    model = keras.Model(y, layers.Dense(1, name="out")(inner(y)[1]))
    dot = keras.utils.model_to_dot(model, expand_nested=True)
    assert [a for a, b in arrows(dot) if b == "out"] == ["two"]


def test_model_from_an_intermediate_tensor():
    model = small()
    tail = keras.Model(model.layers[0].output, model.output)
    dot = keras.utils.model_to_dot(tail)
    assert [texts[0].split()[1] for texts in boxes(dot).values()] == ["(InputLayer)", "(Dropout)"]
    assert len(dot.edges) == 1


def test_subgraph():
    dot = keras.utils.model_to_dot(small(), subgraph=True)
    assert dot.to_string().startswith('subgraph "cluster_0" {\n')


def test_the_same_model_gives_the_same_text():
    model = small()
    texts = {keras.utils.model_to_dot(model, expand_nested=True).to_string() for _ in range(2)}
    assert len(texts) == 1


def test_graph_attributes():
    dot = keras.utils.model_to_dot(small(), rankdir="LR", dpi=96, splines="curved")
    assert dot.attributes["rankdir"] == "LR"
    assert (dot.attributes["dpi"], dot.attributes["splines"]) == (96, "curved")


@pytest.mark.parametrize("plot", [keras.utils.model_to_dot, keras.utils.plot_model])
def test_unbuilt_models(plot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for model in [keras.Sequential([layers.Dense(2)]), keras.Sequential(), Subclassed()]:
        with pytest.raises(ValueError, match=f"'{model.name}', which has not yet been built"):
            plot(model)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"rankdir": "up"}, "`rankdir` must be one of"),
        ({"dpi": 0}, "`dpi` must be a number above 0"),
        ({"dpi": "200"}, "`dpi` must be a number above 0"),
        ({"layer_range": ["a", "b"]}, "Received: `layer_range`"),
        ({"show_shape": True}, r"Received also: \['show_shape'\]"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras.utils.plot_model(small(), **arguments)


def test_not_a_keras_model():
    with pytest.raises(ValueError, match="model of type Linear"):
        keras.utils.plot_model(torch.nn.Linear(2, 2))


HOSTILE = 'a"<b>&amp;\\N\\G\\\n\0]; evil -> x; <script>\ud800é漢'
SHOWN = 'a"<b>&amp;\\N\\G\\\\n\\x00]; evil -> x; <script>\\ud800é漢'


def hostile_model():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(2, name=HOSTILE)], name=HOSTILE)
    x = keras.Input((3,), name="x")
    return keras.Model({'<td>"': x}, inner(x), name=HOSTILE)


def test_names_are_escaped():
    dot = keras.utils.model_to_dot(hostile_model(), expand_nested=True)
    assert list(boxes(dot).values()) == [["x (InputLayer)"], [f"{SHOWN} (Dense)"]]
    assert shown(dot.subgraphs[0].label) == SHOWN
    assert "<script" not in dot.to_string()
    # An identifier is never a name, so each line is one of ours.
    assert not [line for line in dot.to_string().splitlines() if line.startswith("evil")]


@needs_graphviz
def test_names_in_the_picture(tmp_path):
    path = tmp_path / "model.svg"
    keras.utils.plot_model(hostile_model(), path, show_layer_names=True, expand_nested=True)
    root = xml.etree.ElementTree.parse(path).getroot()
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags == {"svg", "g", "title", "polygon", "path", "text"}
    texts = ["".join(e.itertext()) for e in root.iter() if e.tag.endswith("}text")]
    assert texts.count(SHOWN) == 2
    classes = [e.get("class") for e in root.iter() if e.get("class")]
    assert sorted(classes) == ["cluster", "edge", "graph", "node", "node"]


@needs_graphviz
@pytest.mark.parametrize(
    "name, start",
    [("m.png", b"\x89PNG"), ("m.SVG", b"<?xml"), ("m.pdf", b"%PDF"), ("plain", b"\x89PNG")],
)
def test_format_by_file_ending(tmp_path, name, start):
    assert keras.utils.plot_model(small(), tmp_path / name, dpi=50) is None
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@needs_graphviz
def test_dpi_scales_the_picture(tmp_path):
    sizes = []
    for dpi in (50, 100):
        keras.utils.plot_model(small(), tmp_path / "m.png", dpi=dpi)
        sizes.append(int.from_bytes((tmp_path / "m.png").read_bytes()[16:20], "big"))
    assert sizes[1] == pytest.approx(2 * sizes[0], abs=2)


def test_dot_text_by_file_ending(tmp_path):
    keras.utils.plot_model(small(), str(tmp_path / "m.dot"))
    assert (tmp_path / "m.dot").read_text().startswith('digraph "model" {')


@pytest.fixture
def notebook(monkeypatch):
    """An IPython in a Jupyter kernel, as far as is asked of it."""
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    display = types.SimpleNamespace(
        Image=lambda filename: ("Image", filename), SVG=lambda filename: ("SVG", filename)
    )
    ipython = types.ModuleType("IPython")
    ipython.get_ipython, ipython.display = lambda: shell, display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(graphviz, "_render", lambda text, prog, format: b"picture")


def test_a_notebook_shows_the_picture(tmp_path, notebook):
    shown = [
        keras.utils.plot_model(small(), tmp_path / f"m.{end}") for end in ("png", "svg", "pdf")
    ]
    assert shown == [("Image", str(tmp_path / "m.png")), ("SVG", str(tmp_path / "m.svg")), None]


def test_elsewhere_ipython_is_not_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(graphviz, "_render", lambda text, prog, format: b"picture")
    monkeypatch.setitem(sys.modules, "IPython", None)  # an import would fail
    assert keras.utils.plot_model(small(), tmp_path / "m.png") is None
