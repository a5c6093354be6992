import copy
import json
import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras.models.functional import Functional

layers = keras.layers
BATCH = torch.randn(5, 3)


def test_with_an_input_it_is_built_at_once():
    model = keras.Sequential([keras.Input((3,), name="x"), layers.Dense(4), layers.Dense(2)])
    assert model.built
    assert model.count_params() == 3 * 4 + 4 + 4 * 2 + 2
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    assert model.input_shape == (None, 3) and model.output_shape == (None, 2)
    assert model.input.name == "x" and model.input is model.inputs[0]
    assert model.output is model.outputs[0]
    assert model.input_names == ["x"] and model.output_names == ["dense_1"]
    assert model(BATCH).shape == (5, 2)


def test_906_parameters():
    model = keras.Sequential(
        [keras.Input((16,)), layers.Dense(32, activation="relu"), layers.Dense(10), layers.Dense(2)]
    )
    assert model.count_params() == 16 * 32 + 32 + 32 * 10 + 10 + 10 * 2 + 2 == 896
    assert model.count_params() == sum(p.numel() for p in model.parameters())


def deferred():
    return keras.Sequential([layers.Dense(4), layers.Dropout(0.5), layers.Dense(1)])


def by_fit(model):
    model.compile(loss="mse")
    model.fit(np.ones((5, 3)), np.ones((5, 1)), batch_size=5, verbose=0)


@pytest.mark.parametrize(
    "build",
    [
        lambda model: model(BATCH),
        lambda model: model(BATCH.numpy()),
        lambda model: model(keras.Input((3,))),
        lambda model: model.build((None, 3)),
        lambda model: model.build([None, 3]),
        by_fit,
    ],
    ids=["tensor", "array", "symbol", "build", "build by list", "fit"],
)
def test_without_an_input_it_is_built_by_what_comes_first(build):
    model = deferred()
    assert model.weights == [] and not model.built
    for name in ("input", "output", "inputs", "outputs", "input_shape", "output_shape"):
        with pytest.raises(AttributeError, match=f"no `{name}` before its input shape is known"):
            getattr(model, name)
    build(model)
    assert model.built
    assert [w.path for w in model.weights] == [
        "sequential/dense/kernel",
        "sequential/dense/bias",
        "sequential/dense_1/kernel",
        "sequential/dense_1/bias",
    ]
    assert list(model.state_dict()) == [
        "dense.kernel",
        "dense.bias",
        "dense_1.kernel",
        "dense_1.bias",
    ]
    assert model.output_shape[1:] == (1,)
    assert model(torch.ones(9, 3)).shape == (9, 1)  # any batch size


def test_build_needs_layers_and_a_shape_that_fits():
    with pytest.raises(ValueError, match="no layers to build. Received: an empty stack"):
        keras.Sequential().build((None, 3))
    with pytest.raises(ValueError, match="no layers to call"):
        keras.Sequential()(BATCH)
    with pytest.raises(ValueError, match="needs a shape to build for. Received: input_shape=None"):
        deferred().build()
    model = keras.Sequential([keras.Input((3,))])
    model.add(layers.Dense(2), rebuild=False)
    assert not model.built
    with pytest.raises(ValueError, match=r"Input of shape \(None, 3\). Received: .*\(None, 4\)"):
        model.build((None, 4))
    model.build((8, 3))
    assert model.output_shape == (None, 2)


def test_failed_build_leaves_the_stack_as_it_was():
    model = keras.Sequential([layers.Reshape((2, 2)), layers.Dense(2)])
    config = model.get_config()
    with pytest.raises(ValueError):
        model(torch.ones(1, 3))
    assert model.get_config() == config and not model.built
    assert model(torch.ones(1, 4)).shape == (1, 2, 2)


# Adding and removing


def test_add_extends_and_pop_shortens_a_built_stack():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4)])
    first = model.layers[0]
    head = layers.Dense(2, name="head")
    model.add(head)
    assert model.output_shape == (None, 2)
    assert len(first._inbound_nodes) == len(head._inbound_nodes) == 1
    expected = first(BATCH)
    assert model.pop() is head
    assert torch.equal(model(BATCH), expected)
    assert list(model.state_dict()) == ["dense.kernel", "dense.bias"]
    model.add(layers.Dense(7))
    assert model(BATCH).shape == (5, 7)
    assert model.layers[1].kernel.path == "sequential/dense_1/kernel"
    model.pop(), model.pop()
    assert model.layers == [] and model.weights == []
    model.add(layers.Dense(6))
    assert model(BATCH).shape == (5, 6)


def test_pop_of_an_empty_stack():
    with pytest.raises(ValueError, match="no layer to pop"):
        keras.Sequential().pop()


def test_add_and_pop_before_the_shape_is_known():
    model = keras.Sequential(name="s")
    model.add(layers.Dense(4))
    model.add(layers.Dense(5))
    assert model.pop().units == 5
    assert not model.built
    assert model(BATCH).shape == (5, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Dense(3, name="first"), "different names.*second layer named 'first'"),
        (lambda: keras.Input((3,)), "An Input comes first.*after 2 layer"),
        (lambda: torch.relu, "takes layers.*Received: .*relu.*Lambda"),
        (lambda: keras.Input((3,)) + 1, "takes layers.*Received: <KerasTensor"),
        (lambda: layers.Reshape((7, 7)), "(?s).*"),
    ],
)
def test_what_cannot_be_added_changes_nothing(make, message):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="first")])
    config, expected = model.get_config(), model(BATCH)
    with pytest.raises(ValueError, match=message):
        model.add(make())
    assert model.get_config() == config and model.built
    assert torch.equal(model(BATCH), expected)


def test_many_adds_take_linear_calls():
    model = keras.Sequential([keras.Input((3,))])
    for _ in range(60):
        model.add(layers.Dense(3))
    assert all(len(layer._inbound_nodes) == 1 for layer in model.layers)
    assert len(model.state_dict()) == 120
    assert list(model.state_dict())[-1] == "dense_59.bias"


def _calls_of(function):
    """How many functions of Python a call of this one calls."""
    counted = [0]

    def count(frame, event, argument):
        counted[0] += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counted[0]


@pytest.mark.parametrize("make", [lambda: layers.Dense(3), lambda: layers.Dropout(0.5)])
@pytest.mark.parametrize("is_known", [True, False])
def test_adds_cost_the_same_however_many_there_are(make, is_known):
    def grow(count):
        model = keras.Sequential([keras.Input((3,))] if is_known else None)
        for _ in range(count):
            model.add(make())

    grow(2)
    few, many = _calls_of(lambda: grow(50)), _calls_of(lambda: grow(400))
    assert many < 8.2 * few


@pytest.mark.parametrize("is_attribute", [False, True])
def test_a_stack_grown_by_add_is_that_of_the_list(is_attribute):
    def make():
        return [
            layers.Dense(4, name="a.b"),
            layers.Dropout(0.5, seed=1, name="dropout_5"),
            layers.Dense(4),
            layers.Dense(4, name="dense_own"),
            torch.nn.Linear(4, 4),
            layers.Dense(4),
            layers.Dropout(0.5, seed=2, name="dropout_6"),
            layers.Dense(2, name="dense_9"),
            layers.Activation("relu", name="dropout"),
        ]

    def fresh(parts):
        keras.utils.clear_session(free_memory=False)
        return keras.Sequential([keras.Input((3,), name="x"), *parts], name="s")

    expected = fresh(make())
    keras.utils.clear_session(free_memory=False)
    model = fresh([])
    for place, part in enumerate(make()):
        if is_attribute and place == 2:
            model.mine = part
        model.add(part)
    if is_attribute:
        assert "mine.kernel" in model.state_dict()
    else:
        assert list(model.state_dict()) == list(expected.state_dict())
    values = {variable.path: variable for variable in expected.variables}
    assert {variable.path for variable in model.variables} == set(values)
    for variable in model.variables:
        variable.assign(values[variable.path])
    assert [layer.name for layer in model.layers] == [layer.name for layer in expected.layers]
    assert model.output_names == expected.output_names
    assert len(model._functional.operations) == len(expected._functional.operations) == 10
    for training in (False, True):
        keras.utils.set_random_seed(0)
        here = model(BATCH, training=training)
        keras.utils.set_random_seed(0)
        assert torch.equal(here, expected(BATCH, training=training))


def test_a_stack_grown_by_add_is_compiled_whole():
    model = keras.Sequential([keras.Input((3,))])
    for _ in range(3):
        model.add(layers.Dense(3, activation="relu"))
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert torch.equal(compiled(BATCH), model(BATCH))


def test_adds_keep_what_calls_may_skip_only_where_they_may():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3)])
    promise = model._fast
    model.add(layers.Dense(2))
    assert model._fast is promise
    model.add(layers.ActivityRegularization(l2=1.0))
    model(BATCH)
    assert len(model.losses) == 1
    model.add(layers.Dense(2))
    model(BATCH)
    model(BATCH)
    assert len(model.losses) == 1


def test_names_of_the_input_count():
    model = keras.Sequential([layers.Dense(2, input_shape=(3,))])
    with pytest.raises(ValueError, match="different names"):
        model.add(layers.Dense(2, name=model._stack[0].name))


# Kinds of layers


def test_plain_modules_take_part():
    linear, act = nn.Linear(3, 4), nn.ReLU()
    model = keras.Sequential([keras.Input((3,)), linear, act, layers.Dense(2)])
    assert {id(p) for p in linear.parameters()} < {id(p) for p in model.parameters()}
    assert len(model.weights) == 4
    assert model(BATCH).shape == (5, 2)
    late = keras.Sequential([nn.LazyLinear(4), nn.Dropout(0.5)])
    assert late(BATCH).shape == (5, 4) and len(late.weights) == 2
    late.train()
    assert (late(torch.ones(50, 3)) == 0).any()
    assert not (late(torch.ones(50, 3), training=False) == 0).any()


def test_nested_stacks():
    inner = keras.Sequential([layers.Dense(4), layers.Dense(3)], name="inner")
    outer = keras.Sequential([inner, keras.Sequential([layers.Dense(2)], name="late")])
    assert outer.weights == []
    y = outer(BATCH)
    assert [w.path for w in outer.weights][0] == "sequential/inner/dense/kernel"
    assert list(outer.state_dict())[::2] == [
        "inner.dense.kernel",
        "inner.dense_1.kernel",
        "late.dense.kernel",
    ]
    again = keras.models.model_from_json(outer.to_json())
    again.set_weights(outer.get_weights())
    for made in (again, copy.deepcopy(outer), pickle.loads(pickle.dumps(outer))):
        torch.testing.assert_close(made(BATCH), y)


def test_built_model_first_gives_the_input_shape():
    x = keras.Input((3,))
    base = keras.Model(x, layers.Dense(4)(x))
    model = keras.Sequential([base, layers.Dense(2)])
    assert model.built and model.output_shape == (None, 2)
    assert keras.Sequential([keras.Sequential([x, layers.Dense(4)]), layers.Dense(1)]).built


def test_input_shape_of_the_first_layer():
    model = keras.Sequential([layers.Dense(4, input_shape=(3,)), layers.Dense(1)])
    assert model.built and model.input_shape == (None, 3)
    assert keras.Sequential([layers.Dense(4, input_dim=3), layers.Dense(1)]).built


def test_integers_arrive_in_the_compute_dtype_of_the_first_layer():
    whole = np.arange(6).reshape(2, 3)
    model = keras.Sequential([layers.Dense(2, kernel_initializer="ones")])
    expected = torch.tensor([[3.0, 3.0], [12.0, 12.0]])
    for data in (whole, torch.from_numpy(whole), whole.astype("uint8"), whole.astype("float64")):
        for _ in range(2):
            assert torch.equal(model(data), expected)
    typed = keras.Sequential([keras.Input((3,), dtype="int32"), layers.Lambda(lambda x: x + 1)])
    assert typed(whole.astype("float32")).dtype is torch.int32


def test_a_list_of_inputs_reaches_the_first_layer():
    model = keras.Sequential([layers.Add(), layers.Dense(2)])
    assert model([BATCH, BATCH]).shape == (5, 2)
    again = keras.models.clone_model(model)
    again.set_weights(model.get_weights())
    torch.testing.assert_close(again([BATCH, BATCH]), model([BATCH, BATCH]))


def test_training_and_masks_pass_through():
    class See(layers.Layer):
        def call(self, x, training=None, mask=None):
            self.__dict__["seen"] = (training, mask)
            return x

    model = keras.Sequential([keras.Input((2, 1)), layers.Masking(), See(name="see")])
    see = model.get_layer("see")
    model(torch.tensor([[[1.0], [0.0]]]), training=True)
    assert see.seen[0] is True and see.seen[1].tolist() == [[True, False]]
    model(torch.ones(1, 2, 1))
    assert see.seen[0] is False


def test_call_may_be_overridden():
    class Scaled(keras.Sequential):
        def call(self, inputs, training=None):
            return super().call(inputs) * (10 if training else 2)

    model = Scaled([keras.Input((3,)), layers.Dense(2)])
    plain = keras.Sequential(model.layers)
    for _ in range(2):
        assert torch.equal(model(BATCH), plain(BATCH) * 2)
        assert torch.equal(model(BATCH, training=True), plain(BATCH) * 10)
        assert torch.equal(model(BATCH.numpy()), plain(BATCH) * 2)


def test_attribute_and_stack_hold_a_layer_once():
    class Net(keras.Sequential):
        def __init__(self):
            super().__init__()
            self.head = layers.Dense(2)
            self.add(keras.Input((3,)))
            self.add(self.head)

    model = Net()
    assert list(model.state_dict()) == ["head.kernel", "head.bias"]
    assert copy.deepcopy(model).head is not model.head


def test_shared_layers_between_stacks():
    shared = layers.Dense(3)
    a = keras.Sequential([keras.Input((3,)), shared])
    b = keras.Sequential([keras.Input((3,)), shared, layers.Dense(1)])
    assert a.layers[0] is b.layers[0]
    assert list(b.state_dict())[0] == "dense.kernel"
    assert torch.equal(keras.Model(b.input, a(b.input))(BATCH), a(BATCH))


# Copies and configs


@pytest.mark.parametrize("built", [True, False])
def test_config_round_trip(built):
    model = deferred()
    if built:
        model.build((None, 3))
    config = model.get_config()
    again = keras.Sequential.from_config(json.loads(json.dumps(config)))
    assert json.dumps(again.get_config()) == json.dumps(config)
    assert again.built is built
    assert ("build_input_shape" in config) is built


def test_from_config_wants_a_name():
    with pytest.raises(ValueError, match="has a name and layers. Received: .*keys"):
        keras.Sequential.from_config({"layers": []})


def test_trainable_false_belongs_to_the_model():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)], trainable=False)
    assert model.trainable_weights == []
    again = keras.models.model_from_json(model.to_json())
    assert again.trainable is False and again.layers[0].trainable is True


def test_copies_can_be_extended():
    model = deferred()
    model(BATCH)
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(made(BATCH), model(BATCH))
        made.add(layers.Dense(6))
        assert made(BATCH).shape == (5, 6)
        assert isinstance(made._functional, Functional)
    assert model(BATCH).shape == (5, 1)


def test_dtype_moves_reach_the_input():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, kernel_initializer="ones")])
    exact = torch.full((1, 2), 1 + 2.0**-40, dtype=torch.float64)
    assert model.double()(exact).item() == 2 * exact[0, 0].item()


def test_layers_cannot_be_set():
    with pytest.raises(AttributeError, match="`layers` .* cannot be set"):
        deferred().layers = []


@pytest.mark.parametrize("how", ["data", "build", "input", "fit"])
def test_a_stack_takes_inputs_of_other_lengths(how):
    """Batches of sequences differ in length; as in Keras only the layers say what they need."""
    model = keras.Sequential([layers.Dense(4), layers.Dense(2)])
    if how == "data":
        model(torch.ones(2, 5, 3))
    elif how == "build":
        model.build((None, 5, 3))
    elif how == "input":
        model = keras.Sequential([keras.Input((5, 3)), layers.Dense(4), layers.Dense(2)])
    else:
        lengths = [5, 7, 6]
        batches = [(np.ones((2, n, 3), "float32"), np.ones((2, n, 2), "float32")) for n in lengths]
        model.compile(optimizer="sgd", loss="mse")
        history = model.fit(iter(batches), steps_per_epoch=3, verbose=0)
        assert np.isfinite(history.history["loss"]).all()
    for stack in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for length in (7, 5, 9):
            x = torch.randn(2, length, 3)
            expected = stack.layers[1](stack.layers[0](x))
            torch.testing.assert_close(stack(x), expected)
            assert stack.predict(x, verbose=0).shape == (2, length, 2)


def test_a_layer_that_needs_a_size_says_so():
    model = keras.Sequential([layers.Flatten(), layers.Dense(2)])
    model(torch.ones(2, 5, 3))
    with pytest.raises(ValueError, match="expects 15 features on axis -1.*21"):
        model(torch.ones(2, 7, 3))
    with pytest.raises(ValueError, match="expects an input of rank 3"):
        model(torch.ones(2, 7, 3, 1, 1))


def test_an_inner_stack_gives_the_symbols_of_its_first_call():
    for inner in (
        keras.Sequential([layers.Dense(2), layers.Dense(3)]),
        keras.Sequential([keras.Input((4,)), layers.Dense(3)]),
    ):
        model = keras.Sequential([keras.Input((4,)), inner, layers.Dense(1)])
        features = keras.Model(model.inputs, model.layers[0].output)
        x = torch.randn(2, 4)
        torch.testing.assert_close(features(x), inner(x))
        head = keras.Model(inner.output, model.output)
        torch.testing.assert_close(head(features(x)), model(x))
        torch.testing.assert_close(keras.Model(inner.input, inner.output)(x), inner(x))
