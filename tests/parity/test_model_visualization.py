"""`model_to_dot` against real Keras 3: the same boxes with the same words, arrows and frames."""

import html
import inspect
import re

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pydot = pytest.importorskip("pydot")

import torchkeras  # noqa: E402

if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

# pydot's parser calls pyparsing by names of old.
pytestmark = pytest.mark.filterwarnings("ignore:.* deprecated - use:DeprecationWarning")


def sequential(k):
    return k.Sequential(
        [
            k.Input((6,)),
            k.layers.Dense(4, activation="relu", name="hidden"),
            k.layers.Reshape((2, 2), name="reshape"),
            k.layers.Flatten(name="flatten"),
            k.layers.Dense(3, activation="softmax", name="out"),
        ],
        name="classifier",
    )


def sequential_called(k):
    model = k.Sequential([k.layers.Dense(4, name="a"), k.layers.Dense(1, name="b")])
    model(np.zeros((2, 3), "float32"))
    return model


def branches(k):
    a, b = k.Input((4,), name="a"), k.Input((3,), name="b")
    left = k.layers.Dense(5, activation="tanh", name="left")(a)
    right = k.layers.Dense(5, name="right", trainable=False)(b)
    both = k.layers.Concatenate(name="both")([left, right])
    outputs = {
        "score": k.layers.Dense(1, name="score")(both),
        "kind": k.layers.Dense(2, name="kind")(both),
    }
    return k.Model({"a": a, "b": b}, outputs, name="branches")


def shared(k):
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
    layer = k.layers.Dense(4, name="twice")
    return k.Model([a, b], k.layers.Add(name="sum")([layer(a), layer(b), a]), name="shared")


def operations(k):
    x = k.Input((4,), name="x")
    y = k.ops.expand_dims(x * 2, -1)
    return k.Model(x, k.ops.concatenate([y, k.ops.exp(y)], axis=-1)[:, :2], name="operations")


def nested(k):
    def two_inputs(name):
        a, b = k.Input((4,), name=f"{name}_a"), k.Input((4,), name=f"{name}_b")
        added = k.layers.Add(name=f"{name}_add")([a, b])
        outputs = [k.layers.Dense(4, name=f"{name}_{i}")(added) for i in range(2)]
        return k.Model([a, b], outputs, name=name)

    stack = k.Sequential(
        [k.Input((4,)), k.layers.Dense(4, name="s1"), k.layers.Dense(4, name="s2")], name="stack"
    )
    x, y = k.Input((4,), name="x"), k.Input((4,), name="y")
    first, second = two_inputs("inner")([stack(x), y])
    z = k.Input((4,), name="z")
    deep = k.Model(z, k.Sequential([k.Input((4,)), k.layers.Dense(4, name="d")], name="i")(z))
    deep.name = "deep"
    return k.Model([x, y], [k.layers.Dense(1, name="out")(deep(second)), first], name="outer")


def sequential_of_models(k):
    x = k.Input((4,), name="x")
    inner = k.Model(x, k.layers.Dense(4, name="d")(x), name="inner")
    stack = k.Sequential([k.Input((4,)), k.layers.Dense(4, name="e")], name="stack")
    return k.Sequential(
        [k.Input((4,)), inner, k.layers.Dense(4, name="m"), stack, k.layers.Dense(1, name="o")]
    )


def subclassed(k):
    class Own(k.Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = k.layers.Dense(2, name="dense")

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(np.zeros((2, 3), "float32"))
    return model


MODELS = [
    sequential,
    sequential_called,
    branches,
    shared,
    operations,
    nested,
    sequential_of_models,
    subclassed,
]


def words(label):
    """Texts of the cells of a box, in order."""
    found = re.findall(r"<td.*?</td>", label)
    return tuple(html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in found)


def content(graph):
    """Boxes and frames as nested lists, and the set of arrows, of a graph of pydot."""
    boxes, arrows = {}, set()

    def walk(part):
        found = []
        for node in part.get_nodes():
            if node.get_name() not in ("node", "edge"):  # defaults
                boxes[node.get_name()] = words(node.get_label())
                found.append(boxes[node.get_name()])
        frames = [(f.get_label().strip('"<>'), *walk(f)) for f in part.get_subgraphs()]
        arrows.update((e.get_source(), e.get_destination()) for e in part.get_edges())
        return sorted(found), sorted(frames)

    tree = walk(graph)
    return tree, sorted((boxes[a], boxes[b]) for a, b in arrows)


def of_ours(dot):
    (graph,) = pydot.graph_from_dot_data(dot.to_string())
    return content(graph)


FACTS = {
    "show_shapes": True,
    "show_dtype": True,
    "show_layer_activations": True,
    "show_trainable": True,
}


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("expand_nested", [False, True])
@pytest.mark.parametrize("facts", [{}, FACTS, {**FACTS, "show_layer_names": False}])
def test_same_content(make, expand_nested, facts):
    keras.utils.clear_session(free_memory=False)
    theirs = keras.utils.model_to_dot(make(keras), expand_nested=expand_nested, **facts)
    ours = torchkeras.utils.model_to_dot(make(torchkeras), expand_nested=expand_nested, **facts)
    assert of_ours(ours) == content(theirs)
    for name in ("rankdir", "dpi", "splines"):
        assert str(ours.attributes[name]) == str(theirs.get(name))


@pytest.mark.parametrize("name", ["model_to_dot", "plot_model"])
def test_same_arguments(name):
    ours, theirs = getattr(torchkeras.utils, name), getattr(keras.utils, name)
    assert inspect.signature(ours) == inspect.signature(theirs)


def test_both_refuse_an_unbuilt_model():
    for k in (keras, torchkeras):
        with pytest.raises(ValueError, match="has not yet been built"):
            k.utils.model_to_dot(k.Sequential([k.layers.Dense(1)]))
