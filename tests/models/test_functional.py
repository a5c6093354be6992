import copy
import json
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras.models.functional import Functional

layers, ops = keras.layers, keras.ops


def difference(structure):
    """A model of the two inputs that `structure` makes of the symbols a and b; gives a - b."""
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    return keras.Model(structure(a, b), a - b)


ONE, THREE = torch.ones(4, 2), torch.full((4, 2), 3.0)
STRUCTURES = {
    "list": lambda a, b: [a, b],
    "tuple": lambda a, b: (a, b),
    "dict": lambda a, b: {"a": a, "b": b},
    "dict in another order": lambda a, b: {"b": b, "a": a},
    "list and dict": lambda a, b: [a, {"b": b}],
    "dict of lists": lambda a, b: {"p": [a], "q": {"r": (b,)}},
    "nested lists": lambda a, b: [[a], [b]],
}


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_inputs_in_any_structure(structure):
    model = difference(structure)
    assert torch.equal(model(structure(ONE, THREE)), ONE - THREE)
    again = keras.models.model_from_json(model.to_json())
    assert torch.equal(again(structure(ONE, THREE)), ONE - THREE)
    assert keras.tree.map_structure(lambda x: x.name, model.input) == structure("a", "b")


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_outputs_in_any_structure(structure):
    x = keras.Input((2,))
    model = keras.Model(x, structure(x + 1, x * 3))
    expected = structure(ONE + 1, ONE * 3)
    for made in (model, keras.models.model_from_json(model.to_json()), copy.deepcopy(model)):
        given = made(ONE)
        keras.tree.assert_same_structure(given, expected)
        assert all(map(torch.equal, keras.tree.flatten(given), keras.tree.flatten(expected)))


def test_single_output_in_a_list_comes_alone_as_in_keras():
    x = keras.Input((2,))
    assert torch.equal(keras.Model([x], [x + 1])([ONE]), ONE + 1)
    assert torch.equal(keras.Model([x], {"y": x + 1})(ONE)["y"], ONE + 1)
    assert len(keras.Model(x, [[x, x + 1]])(ONE)) == 2
    assert list(keras.Model(x, [{"y": x}])(ONE)) == ["y"]


@pytest.mark.filterwarnings("ignore:Model .* expects inputs in the structure")
def test_dict_by_names_reaches_a_model_made_of_a_list_and_back():
    by_list, by_dict = difference(STRUCTURES["list"]), difference(STRUCTURES["dict"])
    assert torch.equal(by_list({"b": THREE, "a": ONE}), ONE - THREE)
    assert torch.equal(by_list({"b": THREE, "a": ONE, "more": ONE}), ONE - THREE)
    assert torch.equal(by_dict([ONE, THREE]), ONE - THREE)
    x = keras.Input((2,), name="only")
    assert torch.equal(keras.Model(x, x + 1)({"only": ONE}), ONE + 1)


@pytest.mark.parametrize(
    ("structure", "given", "message"),
    [
        ("list", {"a": ONE}, r"expects the inputs \['a', 'b'\].*keys \['a'\]; missing: \['b'\]"),
        ("dict", {"a": ONE, "c": ONE}, r"missing: \['b'\]"),
        ("dict in another order", [ONE, THREE], "structure .*'b': 'b'.*under the same keys"),
        ("list and dict", [ONE, {"c": THREE}], "in the structure .*under the same keys"),
        ("list and dict", [ONE, {"b": THREE, "c": ONE}], "in the structure"),
        ("list", [ONE, ONE, ONE], r"expects 2 input\(s\), \['a', 'b'\]. Received: 3"),
        ("list", ONE, r"expects 2 input\(s\).*Received: 1 \(shape \(4, 2\)\)"),
        ("list", [ONE, torch.ones(4, 3)], r"shape \(None, 2\).*input 'b'.*shape \(4, 3\)"),
        ("list", [torch.ones(4), ONE], r"rank 2.*input 'a'. Received: shape \(4,\)"),
        ("list", [torch.ones(4, 2, 2), ONE], r"rank 2.*input 'a'"),
        ("list", [ONE, None], r"needs a value for its input 'b'. Received: None.*optional=True"),
    ],
)
def test_wrong_inputs_are_errors_that_change_nothing(structure, given, message):
    model = difference(STRUCTURES[structure])
    before = model.get_config()
    with pytest.raises(ValueError, match=message):
        model(given)
    assert model.get_config() == before
    assert torch.equal(model(STRUCTURES[structure](ONE, THREE)), ONE - THREE)


@pytest.mark.filterwarnings("ignore:Model .* expects inputs in the structure")
def test_optional_input_may_be_none_or_left_out_of_a_dict():
    class Add(layers.Layer):
        def call(self, x, y=None):
            return x if y is None else x + y

    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b", optional=True)
    y = Add()(a, b)
    for model in (keras.Model([a, b], y), keras.Model({"a": a, "b": b}, y)):
        for given in ([ONE, None], {"a": ONE}, {"a": ONE, "b": None}):
            assert torch.equal(model(given), ONE)
        assert torch.equal(model([ONE, THREE]), ONE + THREE)


@pytest.mark.parametrize(
    ("shape", "given", "expected"),
    [
        ((1,), (5,), (5, 1)),
        ((), (5, 1), (5,)),
        ((3, 1), (5, 3), (5, 3, 1)),
        ((3,), (5, 3, 1), (5, 3)),
    ],
)
def test_a_last_axis_of_one_is_added_or_dropped(shape, given, expected):
    x = keras.Input(shape)
    model = keras.Model(x, ops.relu(x))
    assert model(torch.ones(given)).shape == expected
    assert model(np.ones(given)).shape == expected


@pytest.mark.parametrize("given", ["int32", "uint8", "float64", "float16", "bool"])
@pytest.mark.parametrize("wanted", ["float32", "float64", "int32"])
def test_inputs_are_cast_to_the_dtype_of_their_input(given, wanted):
    x = keras.Input((2,), dtype=wanted)
    model = keras.Model(x, ops.copy(x))
    array = np.ones((3, 2)).astype(given)
    for data in (array, torch.from_numpy(array)):
        for _ in range(2):  # the second call may take the fast path
            assert model(data).dtype is getattr(torch, wanted)


def test_inputs_follow_the_model_to_another_dtype():
    x = keras.Input((2,))
    model = keras.Model(x, layers.Dense(2, kernel_initializer="ones")(x)).double()
    exact = torch.full((1, 2), 1 + 2.0**-40, dtype=torch.float64)
    assert model(exact)[0, 0].item() == 2 * exact[0, 0].item()
    assert pickle.loads(pickle.dumps(model))(exact).dtype is torch.float64
    assert model.half()(exact).dtype is torch.float16


def test_the_fast_path_still_checks_shape_and_dtype():
    x = keras.Input((2,))
    model = keras.Model(x, layers.Dense(1, kernel_initializer="ones")(x))
    model(ONE), model(ONE)
    assert model._fast.accepts(ONE)
    with pytest.raises(ValueError, match="expects an input of shape"):
        model(torch.ones(4, 3))
    assert model(ONE.double()).dtype is torch.float32
    assert model(ONE.long()).dtype is torch.float32


# Parts of models


def test_features_are_extracted_from_intermediate_tensors():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(2)])
    features = keras.Model(model.inputs, [layer.output for layer in model.layers])
    x = torch.randn(5, 3)
    hidden, out = features(x)
    torch.testing.assert_close(hidden, model.layers[0](x))
    torch.testing.assert_close(out, model(x))
    assert {id(p) for p in features.parameters()} == {id(p) for p in model.parameters()}


def test_model_that_starts_at_an_intermediate_tensor():
    x = keras.Input((3,))
    hidden = layers.Dense(4)(x)
    head = layers.Dense(2)
    model = keras.Model(x, head(ops.relu(hidden)))
    tail = keras.Model(hidden, model.output)
    h = torch.randn(5, 4)
    expected = head(torch.relu(h))
    loaded = keras.models.model_from_json(tail.to_json())
    loaded.set_weights(tail.get_weights())
    for made in (tail, copy.deepcopy(tail), pickle.loads(pickle.dumps(tail)), loaded):
        torch.testing.assert_close(made(h), expected)
        assert [type(layer).__name__ for layer in made.layers] == ["InputLayer", "Dense"]
    assert head.output is model.output  # the layer was not called again
    assert list(tail.state_dict()) == ["dense.kernel", "dense.bias"]


def test_new_outputs_on_an_existing_graph():
    base = keras.Sequential([keras.Input((3,)), layers.Dense(4)])
    extended = keras.Model(base.input, layers.Dense(1)(base.output))
    assert extended(torch.ones(2, 3)).shape == (2, 1)
    extended.layers[1].kernel.assign(torch.zeros(3, 4))
    assert torch.equal(base(torch.ones(2, 3)), torch.zeros(2, 4))


def test_nested_models_called_twice_at_several_levels():
    x = keras.Input((2,))
    inner = keras.Model(x, layers.Dense(2)(x), name="inner")
    y = keras.Input((2,))
    middle = keras.Model(y, inner(inner(y)), name="middle")
    z = keras.Input((2,))
    outer = keras.Model(z, [middle(z), middle(inner(z))], name="outer")
    batch = torch.randn(3, 2)
    expected = [inner(inner(batch)), inner(inner(inner(batch)))]
    cloned = keras.models.clone_model(outer)
    cloned.set_weights(outer.get_weights())
    for made in (outer, copy.deepcopy(outer), cloned):
        torch.testing.assert_close(made(batch), expected)
        assert len(made.weights) == len(list(made.parameters())) == 2
    assert outer.get_layer("middle").get_layer("inner") is outer.get_layer("inner")


def test_functions_operators_and_torch_functions_are_recorded():
    x = keras.Input((4,))
    y = torch.relu(x) + ops.square(x)[:, :1]
    y = torch.cat([y, 2.0 - x], dim=1).view(-1, 2, 4).mean(dim=1)
    y = nn.functional.gelu(y, approximate="tanh") @ torch.eye(4)
    model = keras.Model(x, torch.ones(4) + y)
    batch = torch.randn(3, 4)
    b = torch.relu(batch) + batch[:, :1] ** 2
    b = torch.cat([b, 2.0 - batch], dim=1).view(-1, 2, 4).mean(dim=1)
    expected = nn.functional.gelu(b, approximate="tanh") + 1
    loaded = keras.models.model_from_json(json.dumps(json.loads(model.to_json())))
    for made in (model, loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(made(batch), expected)


def test_training_false_in_the_graph_stays_inference_in_fit():
    base = keras.Sequential([layers.Dropout(0.5)])
    x = keras.Input((1000,))
    frozen, free = keras.Model(x, base(x, training=False)), keras.Model(x, base(x))
    batch = torch.ones(1, 1000)
    for model in (frozen, keras.models.model_from_json(frozen.to_json()), copy.deepcopy(frozen)):
        model.train()
        assert torch.equal(model(batch), batch)
    free.train()
    assert (free(batch) == 0).any()


@pytest.mark.filterwarnings("ignore:.*was given an input with a mask")
def test_masks_flow_through_the_graph():
    seen = []

    class See(layers.Layer):
        def call(self, x, mask=None):
            seen.append(mask)
            return x

    x = keras.Input((3, 2))
    model = keras.Model(x, See()(layers.Dropout(0.5)(layers.Masking()(x))))
    batch = torch.ones(1, 3, 2)
    batch[0, 1] = 0
    seen.clear()
    model(batch)
    assert seen[0].tolist() == [[True, False, True]]
    given = torch.tensor([[False, True, True]])
    direct = keras.Model(x, See()(x))
    seen.clear()
    direct(batch, mask=given)
    assert torch.equal(seen[0], given)
    assert not hasattr(batch, "_keras_mask")


# Errors at construction


def test_ends_must_be_symbols_that_belong_together():
    x, y = keras.Input((2,)), keras.Input((2,))
    with pytest.raises(ValueError, match="`inputs` .* must be KerasTensors.*Received: tensor"):
        keras.Model(ONE, x)
    with pytest.raises(ValueError, match="`outputs` .* must be KerasTensors"):
        keras.Model(x, ONE)
    with pytest.raises(ValueError, match="`inputs` .* cannot be empty"):
        keras.Model([], x)
    with pytest.raises(ValueError, match="made on its own. Use keras.Input"):
        keras.Model(keras.KerasTensor((None, 2)), x)
    with pytest.raises(ValueError, match="made from its inputs"):
        keras.Model(x, layers.Dense(1)(y))


# Properties


def test_properties_of_ends():
    model = difference(STRUCTURES["dict in another order"])
    assert [x.name for x in model.inputs] == ["a", "b"]
    assert list(model.input) == ["b", "a"]
    assert model.input_names == ["a", "b"]
    assert model.input_shape == {"a": (None, 2), "b": (None, 2)}
    assert model.output_shape == (None, 2)
    assert model.output is model.outputs[0]
    assert model.output_names == ["subtract"]
    assert [spec.name for spec in model.input_spec] == ["a", "b"]
    assert [op.name for op in model.operations] == ["a", "b", "subtract"]
    assert [layer.name for layer in model.layers] == ["a", "b"]
    assert difference(STRUCTURES["dict of lists"]).input_spec is None
    with pytest.raises(AttributeError, match="cannot be set"):
        model.layers = []


# Names in the state_dict


def network():
    x = keras.Input((2,))
    y = layers.Dense(2)(x)
    y = layers.Dense(2, name="first")(y)
    y = layers.Dense(2, name="my.head")(y)
    return keras.Model(x, layers.Dense(2)(y))


def test_state_dict_keys_are_the_same_for_every_copy_of_an_architecture():
    layers.Dense(1)  # takes the first automatic name
    first = network()
    keys = [
        f"{layer}.{weight}"
        for layer in ("dense", "first", "my_head", "dense_1")
        for weight in ("kernel", "bias")
    ]
    copies = [
        first,
        keras.models.clone_model(first),
        keras.models.model_from_json(first.to_json()),
        copy.deepcopy(first),
        pickle.loads(pickle.dumps(first)),
        network(),
    ]
    for made in copies:
        assert list(made.state_dict()) == keys
        made.load_state_dict(first.state_dict())
        assert torch.equal(made(ONE), first(ONE))


def test_given_names_are_kept_and_automatic_ones_make_way():
    class Scale(layers.Dense):
        pass

    layers.Dense(1)  # takes the first automatic name
    x = keras.Input((2,))
    given = Scale(2, name="dense")
    model = keras.Model(x, layers.Dense(2)(given(layers.Dense(2)(x))))
    keys = [key for key in model._modules if key.startswith("dense")]
    assert keys == ["dense_1", "dense", "dense_2"]
    assert model._modules["dense"] is given


def test_attributes_on_a_functional_model():
    x = keras.Input((2,))
    model = keras.Model(x, layers.Dense(2)(x))
    graph_layer = model.layers[1]
    model.alias = graph_layer
    assert list(model.state_dict()) == ["dense.kernel", "dense.bias"]
    model.dense = layers.Dense(3)  # the user's own; the graph's layer takes another key
    model.dense.build((None, 2))
    assert model._modules["dense"] is model.dense
    assert model._modules["dense_1"] is graph_layer
    assert model.layers == [*model._graph_layers(), model.dense]
    model.dense_1 = 5
    assert model.dense_1 == 5 and graph_layer in model._modules.values()
    copied = copy.deepcopy(model)
    assert copied.alias is copied.layers[1]
    assert list(copied.state_dict()) == list(model.state_dict())


@pytest.mark.parametrize("wrap", [nn.Sequential, lambda layer: keras.Sequential([layer])])
def test_replacing_a_step_by_attribute_is_an_error(wrap):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="(?s)would not replace the step. Received: dense=.*clone"):
        model.dense = wrap(model.layers[0])
    assert list(model.state_dict()) == ["dense.kernel", "dense.bias"]


# Subclasses with a constructor of their own


class WithExtra(keras.Model):
    def __init__(self, inputs, outputs, extra):
        super().__init__(inputs, outputs)
        self.extra = extra

    def train_step(self, data):
        return {"extra": self.extra}


class OfUnits(keras.Model):
    def __init__(self, units):
        x = keras.Input((2,))
        super().__init__(x, layers.Dense(units)(x))


class Plain(keras.Model):
    def __init__(self, inputs, outputs, name=None):
        super().__init__(inputs, outputs, name=name)


def test_subclass_becomes_functional_and_can_be_used_twice():
    for extra in (1, 2):
        x = keras.Input((2,))
        model = WithExtra(x, layers.Dense(1)(x), extra)
        assert isinstance(model, Functional) and isinstance(model, WithExtra)
        assert model(ONE).shape == (4, 1)
        for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert type(made) is WithExtra and made.extra == extra
            torch.testing.assert_close(made(ONE), model(ONE))
        model.compile(loss="mse")
        assert model.fit(ONE, ONE[:, :1], verbose=0).history == {"extra": [extra]}
    with pytest.raises(NotImplementedError, match="WithExtra needs a `get_config`"):
        model.get_config()


def test_subclass_is_unpickled_in_a_process_that_never_made_one(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torchkeras as keras\n"
        "class Mine(keras.Model):\n"
        "    def __init__(self, inputs, outputs):\n"
        "        super().__init__(inputs, outputs)\n"
    )
    write = (
        "import mine, pickle, torchkeras as keras\n"
        "x = keras.Input((2,))\n"
        "pickle.dump(mine.Mine(x, keras.layers.Dense(3)(x)), open('m.pkl', 'wb'))"
    )
    read = "import pickle, torch; print(pickle.load(open('m.pkl', 'rb'))(torch.ones(1, 2)).shape)"
    root = str(pathlib.Path(keras.__file__).parents[1])
    for script in (write, read):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{script}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "torch.Size([1, 3])"


def test_subclass_that_makes_its_own_graph_has_the_config_of_its_arguments():
    model = OfUnits(5)
    config = model.get_config()
    assert config["units"] == 5 and "layers" not in config
    assert OfUnits.from_config(config)(ONE).shape == (4, 5)


def test_subclass_with_the_constructor_of_functional_keeps_its_class():
    x = keras.Input((2,))
    model = Plain(x, layers.Dense(1)(x), name="plain")
    config = keras.saving.serialize_keras_object(model)
    again = keras.saving.deserialize_keras_object(config, custom_objects={"Plain": Plain})
    assert type(again) is Plain and again.name == "plain"
    assert type(keras.models.clone_model(model)) is Plain


def test_call_of_a_functional_subclass_may_be_overridden():
    class Doubled(keras.Model):
        def call(self, inputs, training=None):
            y = super().call(inputs)
            return 2 * y + (100 if training else 0)

    x = keras.Input((2,))
    model = Doubled(x, x + 1)
    for _ in range(2):
        assert torch.equal(model(ONE), 2 * (ONE + 1))
        assert torch.equal(model(ONE, training=True), 2 * (ONE + 1) + 100)
        assert torch.equal(model(np.ones((4, 2))), 2 * (ONE + 1))
    assert model(keras.Input((2,))).shape == (None, 2)


def test_trainable_false_belongs_to_the_model_and_not_to_shared_layers():
    x = keras.Input((2,))
    dense = layers.Dense(1)
    y = dense(x)
    frozen, free = keras.Model(x, y, trainable=False), keras.Model(x, y)
    assert frozen.trainable_weights == [] and len(free.trainable_weights) == 2
    again = keras.models.model_from_json(frozen.to_json())
    assert again.trainable is False and again.layers[1].trainable is True


# Configs that are damaged


def damaged(change):
    x = keras.Input((2,), name="x")
    config = keras.Model(x, layers.Dense(1, name="d")(x), name="m").get_config()
    change(config)
    return config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["layers"].append(copy.deepcopy(c["layers"][1])), "second layer 'd'"),
        (lambda c: c.update(output_layers=["d", 3, 0]), "does not exist"),
        (lambda c: c.update(output_layers=["d", -1, 0]), "does not exist"),
        (lambda c: c.update(output_layers=["nobody", 0, 0]), r"'nobody', which.*\['x', 'd'\]"),
        (lambda c: c.update(output_layers="d"), r"\[layer name, call, output\]. Received: 'd'"),
        (lambda c: c.update(output_layers=[]), "cannot be empty"),
        (lambda c: c["layers"].append("dense"), "described by a dict.*Received: 'dense'"),
        (lambda c: c["layers"][1].update(inbound_nodes=[[["x", 0, 0, {}]]]), "Files of Keras 2"),
        (
            lambda c: c["layers"][1]["inbound_nodes"][0]["args"][0]["config"].update(
                keras_history=["d", 0, 0]
            ),
            r"without loops. Received: layers \['d'\]",
        ),
        (
            lambda c: c["layers"][1]["inbound_nodes"][0]["args"][0]["config"].update(
                keras_history=["nobody", 0, 0]
            ),
            "'nobody'",
        ),
        (
            lambda c: c["layers"][1]["inbound_nodes"][0]["args"][0]["config"].pop("keras_history"),
            "keras_history=None",
        ),
    ],
)
def test_damaged_configs_are_value_errors(change, message):
    with pytest.raises(ValueError, match=message):
        keras.Model.from_config(damaged(change))


# Being a torch module


def built_models():
    x = keras.Input((3,))
    shared = layers.Dense(3, activation="relu")
    a = shared(layers.Dropout(0.5)(x))
    functional = keras.Model(x, {"sum": shared(a) + a, "top": ops.softmax(torch.tanh(a))})
    sequential = keras.Sequential([keras.Input((3,)), layers.Dense(4), nn.Linear(4, 2)])

    class Subclass(keras.Model):
        def __init__(self):
            super().__init__()
            self.part = functional
            self.head = layers.Dense(1)

        def call(self, x):
            return self.head(self.part(x)["sum"])

    subclass = Subclass()
    subclass(torch.ones(1, 3))
    return {"functional": functional, "sequential": sequential, "subclass": subclass}


KINDS = ["functional", "sequential", "subclass"]


@pytest.mark.parametrize("kind", KINDS)
def test_functional_call_and_state_dict(kind, tmp_path):
    model, x = built_models()[kind], torch.randn(4, 3)
    expected = model(x)
    doubled = {name: 2 * p.detach() for name, p in model.named_parameters()}
    called = torch.func.functional_call(model, doubled, (x,))
    torch.testing.assert_close(model(x), expected)
    torch.save(model.state_dict(), tmp_path / "w.pt")
    other = built_models()[kind]
    other.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
    torch.testing.assert_close(other(x), expected)
    other.load_state_dict({**model.state_dict(), **doubled})
    torch.testing.assert_close(other(x), called)
    seen = [id(p) for p in model.parameters()]
    assert len(seen) == len(set(seen)) == len(model.weights)


@pytest.mark.parametrize("kind", KINDS)
def test_compile_in_one_graph(kind):
    torch._dynamo.reset()
    model, x = built_models()[kind], torch.randn(4, 3)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), model(x))
    torch._dynamo.reset()


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_export(kind, strict):
    torch._dynamo.reset()
    model, x = built_models()[kind], torch.randn(4, 3)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: batch},), strict=strict)
    more = torch.randn(7, 3)
    torch.testing.assert_close(program.module()(more), model(more))
    torch._dynamo.reset()


def test_deep_model_copies_and_saves():
    x = y = keras.Input((2,))
    for i in range(300):
        y = [torch.relu, layers.Dense(2), lambda v: v + 1.0][i % 3](y)
    model = keras.Model(x, y)
    again = [
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        keras.models.model_from_json(model.to_json()),
        keras.models.clone_model(model),
    ]
    for made in again:
        assert made.get_config() == model.get_config()
        made.set_weights(model.get_weights())
        assert torch.equal(made(ONE), model(ONE))


def test_a_copy_owns_its_graph():
    x = keras.Input((2,))
    dense = layers.Dense(2)
    model = keras.Model(x, dense(x))
    copied = copy.deepcopy(model)
    assert copied.layers[1] is not dense and len(dense._inbound_nodes) == 1
    deeper = keras.Model(copied.input, layers.Dense(1)(copied.output))
    assert deeper(ONE).shape == (4, 1)
    assert copied.layers[1].output is copied.output


def test_inputs_of_another_structure_are_warned_of_once():
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    for given in ([ONE, THREE], (ONE, THREE), {"a": ONE, "b": THREE, "c": ONE}):
        model = keras.Model({"a": a, "b": b}, keras.layers.Subtract()([a, b]))
        with pytest.warns(UserWarning, match=r"structure \{'a': 'a', 'b': 'b'\}. Received"):
            assert torch.equal(model(given), ONE - THREE)
        model(given)
    by_list = keras.Model([a, b], keras.layers.Subtract()([a, b]))
    for given in ((ONE, THREE), {"b": THREE, "a": ONE}):
        by_list(given)
