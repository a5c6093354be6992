"""What is assigned to a layer's attributes lands where torch looks for it, and leaves again."""

import copy
import pickle
import time
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras import layers


def names(layer):
    return [name for name, _ in layer.named_parameters()]


def built(units=2):
    layer = layers.Dense(units)
    layer.build((None, 3))
    return layer


# Variables as attributes


def test_the_slot_takes_the_name_of_the_attribute():
    layer = layers.Layer()
    layer.alpha = layer.add_weight(shape=(2,), name="beta")
    assert names(layer) == ["alpha"] and layer.alpha.name == "beta"
    assert layer.alpha.value is layer._parameters["alpha"]


def test_a_weight_that_no_attribute_holds_is_tracked_under_its_own_name():
    layer = layers.Layer()
    v = layer.add_weight(shape=(2,), name="beta")
    assert names(layer) == ["beta"] and layer.weights[0] is v


def test_weights_that_swap_names_keep_their_values():
    layer = layers.Layer()
    first = layer.add_weight(shape=(), initializer="zeros", name="a")
    layer.a = layer.add_weight(shape=(), initializer="ones", name="b")
    assert float(layer.a) == 1.0 and float(first) == 0.0
    assert layer._parameters["a"] is layer.a.value
    assert len(layer.weights) == len(names(layer)) == 2


def test_an_attribute_with_the_name_of_an_unheld_weight():
    layer = layers.Layer()
    v = layer.add_weight(shape=(), initializer="ones", name="scale")
    layer.scale = 0.5
    assert layer.scale == 0.5 and names(layer) == ["scale_1"]
    assert layer.weights[0] is v and float(v) == 1.0


@pytest.mark.parametrize("taken", ["training", "call", "forward", "name"])
def test_slots_do_not_take_names_that_the_module_uses(taken):
    layer = layers.Layer()
    layer.add_weight(shape=(), name=taken)
    assert names(layer) == [f"{taken}_1"]
    assert getattr(layer, taken) is not layer.weights[0].value


def test_a_dot_in_a_weight_name_is_no_problem_for_torch():
    layer = layers.Layer()
    layer.add_weight(shape=(), name="a.b")
    assert names(layer) == ["a_b"]


@pytest.mark.parametrize(
    "value",
    [None, 3, "text", [1, 2], layers.Layer, nn.Linear],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_a_variable_can_be_replaced_by_anything_and_then_stands_alone(value):
    value = nn.Linear(2, 2) if value is nn.Linear else value
    value = layers.Layer() if value is layers.Layer else value
    layer = layers.Layer()
    layer.v = old = keras.Variable([1.0, 2.0])
    layer.v = value
    assert layer.v is value
    assert "v" not in layer._parameters and old not in set(layer.weights)
    assert len(layer.weights) == (2 if isinstance(value, nn.Linear) else 0)
    assert old.numpy().tolist() == [1.0, 2.0]
    old.assign([3.0, 4.0])


@pytest.mark.parametrize("trainable", [True, False])
def test_a_variable_replaced_by_another(trainable):
    layer = layers.Layer()
    layer.v = old = keras.Variable(1.0)
    layer.v = new = keras.Variable(2.0, trainable=trainable)
    assert names(layer) == (["v"] if trainable else [])
    assert [n for n, _ in layer.named_buffers()] == ([] if trainable else ["v"])
    assert len(layer.weights) == 1 and layer.weights[0] is new
    old.assign(5.0)
    assert float(layer.v) == 2.0


def test_assigning_the_same_variable_again_changes_nothing():
    layer = built()
    parameter = layer.kernel.value
    layer.kernel = layer.kernel
    assert layer._parameters["kernel"] is parameter and names(layer) == ["kernel", "bias"]


def test_a_variable_under_two_attributes_is_one_weight_until_both_are_gone():
    layer = layers.Layer()
    layer.a = layer.b = v = keras.Variable(1.0)
    assert len(layer.weights) == 1
    layer.a = None
    assert layer.b is v and len(layer.weights) == 1 and names(layer) == ["b"]
    del layer.b
    assert layer.weights == [] and names(layer) == []


def test_a_shared_variable_stays_with_its_owner():
    owner, user = built(), layers.Layer()
    user.kernel = owner.kernel
    assert names(user) == [] and user.weights == [owner.kernel]
    user.kernel = None
    assert user.weights == [] and names(owner) == ["kernel", "bias"]


def test_an_ordinary_tensor_goes_into_the_slot_and_the_handle_stays():
    layer = built()
    handle, tensor = layer.kernel, nn.Parameter(torch.zeros(3, 2))
    layer.kernel = tensor
    assert layer.kernel is handle and handle.value is tensor


def test_deleting_attributes():
    layer = layers.Layer()
    layer.v, layer.d, layer.n = keras.Variable(1.0), built(), 3
    layer.parts = [built()]
    assert len(layer.weights) == 5
    for name in ("v", "d", "parts", "n"):
        delattr(layer, name)
        assert not hasattr(layer, name)
    assert layer.weights == [] and list(layer.modules()) == [layer]
    with pytest.raises(AttributeError):
        del layer.nothing


def test_attributes_may_come_before_super_init():
    class Early(layers.Layer):
        def __init__(self):
            self.units = 2
            self.dense = layers.Dense(2)
            self.parts = [layers.Dense(2)]
            self.v = keras.Variable(1.0)
            super().__init__(name="early")

        def call(self, x):
            return self.parts[0](self.dense(x)) * self.v

    layer = Early()
    layer(torch.ones(1, 3))
    assert set(names(layer)) == {
        "v", "dense.kernel", "dense.bias", "parts_0.kernel", "parts_0.bias",
    }  # fmt: skip
    assert len(layer.weights) == 5


def test_a_layer_without_super_init_says_so():
    class Forgetful(layers.Layer):
        def __init__(self):
            self.units = 3

    with pytest.raises(RuntimeError, match="must call super.*Received.*Add the call"):
        Forgetful()(torch.ones(1))


def test_a_property_setter_is_respected():
    class Holder(layers.Layer):
        @property
        def part(self):
            return self._part

        @part.setter
        def part(self, value):
            self._part = value

    layer = Holder()
    for value in (built(), keras.Variable(1.0), [built()]):
        layer.part = value
        assert layer.part == value if isinstance(value, list) else layer.part is value
        assert "part" not in layer._modules and "part" not in layer.__dict__
    assert len(layer.weights) == 2


# Sublayers


def test_sublayers_replace_and_leave():
    layer = layers.Layer()
    layer.d = built(2)
    layer.d = new = built(5)
    assert layer._modules["d"] is new and len(layer.weights) == 2
    layer.d = None
    assert layer.d is None and layer.weights == []


def test_a_list_replaced_by_a_layer_and_back():
    layer = layers.Layer()
    layer.d = [built(), built()]
    layer.d = built()
    assert list(layer._modules) == ["d"]
    layer.d = [built()]
    assert list(layer._modules) == ["d_0"]
    layer.d = 3
    assert layer.d == 3 and not layer._modules


def test_plain_modules_take_the_layers_mode_and_follow_it():
    layer = layers.Layer()
    layer.plain, layer.inside = nn.Dropout(0.5), [nn.Dropout(0.5)]
    assert not layer.plain.training and not layer.inside[0].training
    layer.train()
    assert layer.plain.training and layer.inside[0].training
    layer.late = nn.Dropout(0.5).eval()
    assert layer.late.training


# Lists and dicts


def test_a_list_stays_a_list_and_registers_its_items():
    layer = layers.Layer()
    layer.parts = [built(), built()]
    assert isinstance(layer.parts, list) and layer.parts == list(layer.parts)
    assert list(layer._modules) == ["parts_0", "parts_1"]


def modules_after(change, count=2):
    layer = layers.Layer()
    layer.parts = made = [built() for _ in range(count)]
    made = list(made)
    change(layer.parts, made)
    registered = [layer._modules[f"parts_{i}"] for i in range(len(layer.parts))]
    assert registered == list(layer.parts) and len(layer._modules) == len(layer.parts)
    assert len(layer.weights) == 2 * len(set(map(id, layer.parts)))
    return layer


NEW = layers.Dense(1)
NEW.build((None, 3))
CHANGES = {
    "append": lambda parts, made: parts.append(NEW),
    "extend": lambda parts, made: parts.extend(iter([NEW, built()])),
    "insert": lambda parts, made: parts.insert(0, NEW),
    "pop": lambda parts, made: parts.pop(0),
    "remove": lambda parts, made: parts.remove(made[0]),
    "clear": lambda parts, made: parts.clear(),
    "reverse": lambda parts, made: parts.reverse(),
    "sort": lambda parts, made: parts.sort(key=id),
    "set_item": lambda parts, made: parts.__setitem__(0, NEW),
    "set_slice": lambda parts, made: parts.__setitem__(slice(0, 1), iter([NEW, built()])),
    "del_item": lambda parts, made: parts.__delitem__(0),
    "del_slice": lambda parts, made: parts.__delitem__(slice(None)),
    "add": lambda parts, made: parts.__iadd__([NEW]),
    "repeat": lambda parts, made: parts.__imul__(2),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_of_a_list_is_seen(name):
    modules_after(CHANGES[name])


def test_a_list_that_was_taken_out_of_the_attribute_is_still_the_same_list():
    layer = layers.Layer()
    parts = layer.parts = []
    parts = layer.parts
    for _ in range(3):
        parts.append(built())
    assert layer.parts is parts and len(layer._modules) == 3


def test_in_place_addition_to_the_attribute():
    layer = layers.Layer()
    layer.parts = [built()]
    layer.parts += [built()]
    assert len(layer.parts) == 2 and list(layer._modules) == ["parts_0", "parts_1"]


def test_appending_keeps_the_order_of_the_weights():
    layer = layers.Layer()
    layer.parts, layer.last = [built()], built()
    before = layer.weights
    layer.parts.append(built())
    assert layer.weights[:4] == before


def test_nested_containers():
    layer = layers.Layer()
    layer.parts = {"a": [built()], "b.c": (built(), {"x": built()})}
    assert list(layer._modules) == ["parts_a_0", "parts_b_c_0", "parts_b_c_1_x"]
    layer.parts["a"].append(built())
    layer.parts["b.c"][1]["y"] = built()
    assert "parts_a_1" in layer._modules and "parts_b_c_1_y" in layer._modules
    layer.parts["d"] = [built()]
    layer.parts["d"].append(built())
    assert "parts_d_1" in layer._modules and len(layer.weights) == 14


DICT_CHANGES = {
    "update": (lambda parts: parts.update(b=NEW), ["a", "b"]),
    "set": (lambda parts: parts.__setitem__("b", NEW), ["a", "b"]),
    "setdefault": (lambda parts: parts.setdefault("b", NEW), ["a", "b"]),
    "or": (lambda parts: parts.__ior__({"b": NEW}), ["a", "b"]),
    "pop": (lambda parts: parts.pop("a"), []),
    "popitem": (lambda parts: parts.popitem(), []),
    "del": (lambda parts: parts.__delitem__("a"), []),
    "clear": (lambda parts: parts.clear(), []),
}


@pytest.mark.parametrize("name", DICT_CHANGES)
def test_every_change_of_a_dict_is_seen(name):
    change, expected = DICT_CHANGES[name]
    layer = layers.Layer()
    layer.parts = {"a": built()}
    change(layer.parts)
    assert list(layer.parts) == expected
    assert list(layer._modules) == [f"parts_{key}" for key in expected]


def test_variables_in_lists_and_dicts():
    layer = layers.Layer()
    layer.vs = [keras.Variable(1.0), {"x": keras.Variable(2.0)}]
    assert names(layer) == ["vs_0", "vs_1_x"] and len(layer.weights) == 2
    first = layer.vs.pop(0)
    assert [float(v) for v in layer.weights] == [2.0]
    first.assign(3.0)
    layer.vs.append(layer.add_weight(shape=(), name="made"))
    assert "made" in names(layer) and len(layer.weights) == 2
    layer.vs = []
    assert layer.weights == [] and names(layer) == []


def test_a_variable_in_a_list_and_an_attribute_leaves_with_the_last():
    layer = layers.Layer()
    layer.v = keras.Variable(1.0)
    layer.every = [layer.v]
    layer.every.pop()
    assert len(layer.weights) == 1
    layer.every.append(layer.v)
    layer.v = None
    assert len(layer.weights) == 1 and len(names(layer)) == 1
    layer.every.clear()
    assert layer.weights == [] and names(layer) == []


def test_other_containers_register_what_they_hold_when_assigned():
    layer = layers.Layer()
    layer.ordered = OrderedDict(a=built())
    layer.pair = (built(), 3)
    assert type(layer.ordered) is OrderedDict and type(layer.pair) is tuple
    assert list(layer._modules) == ["ordered_a", "pair_0"]


def test_plain_lists_stay_plain():
    layer = layers.Layer()
    layer.sizes = sizes = [1, 2, 3]
    assert layer.sizes is sizes


def test_a_long_list_of_numbers_is_cheap_to_append_to():
    layer = layers.Layer()
    layer.history = []
    start = time.perf_counter()
    for i in range(20_000):
        layer.history.append(i)
    assert time.perf_counter() - start < 2.0  # quadratic work takes minutes
    assert len(layer.history) == 20_000


def test_appending_numbers_in_call_keeps_the_fast_path():
    class Logs(layers.Layer):
        def __init__(self):
            super().__init__()
            self.sums = []

        def call(self, x):
            self.sums.append(float(x.sum()))
            return x

    layer = Logs()
    layer(torch.ones(2))
    fast = layer._fast
    layer(torch.ones(2))
    assert fast.accepts(torch.ones(2)) and layer._fast is fast and layer.sums == [2.0, 2.0]


def test_names_that_collide_are_refused():
    layer = layers.Layer(name="outer")
    layer.parts_0 = built()
    with pytest.raises(ValueError, match="'outer' has two sublayers.*'parts_0'.*Rename"):
        layer.parts = [built()]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_track_on_their_own(duplicate):
    layer = layers.Layer()
    layer.parts, layer.vs = [built()], {"a": keras.Variable(1.0)}
    other = duplicate(layer)
    other.parts.append(built())
    other.vs["b"] = keras.Variable(2.0)
    assert (len(other.weights), len(layer.weights)) == (6, 3)
    assert list(layer._modules) == ["parts_0"]
    del other.vs["a"]
    assert len(other.weights) == 5


# Metrics and seeds


def test_metrics_are_kept_apart():
    layer = layers.Layer()
    layer.mean = keras.metrics.Mean()
    layer.more = [keras.metrics.Mean()]
    assert layer.variables == [] and len(layer.metrics_variables) == 4
    layer.mean = None
    assert len(layer.metrics_variables) == 2


def test_a_seed_generator_is_a_variable_but_no_weight():
    layer = layers.Layer()
    layer.seeds = keras.random.SeedGenerator(3)
    assert layer.weights == [] and layer.variables == [layer.seeds.state]
    assert list(layer.state_dict()) == [] and len(list(layer.buffers())) == 1
    generator = layer.seeds
    layer.seeds = None
    assert layer.variables == [] and list(layer.buffers()) == []
    assert generator.next().tolist() == [3, 0]


# Orders, weights in and out


class Block(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm_count = self.add_weight(shape=(), trainable=False, name="count")
        self.dense = layers.Dense(2)
        self.scale = self.add_weight(shape=(2,), name="scale")

    def call(self, x):
        return self.dense(x) * self.scale


def test_order_and_counts():
    layer = Block(name="block")
    layer(torch.ones(1, 3))
    paths = ["block/scale", "block/count", "block/dense/kernel", "block/dense/bias"]
    assert [v.path for v in layer.weights] == paths
    assert [v.path for v in layer.trainable_weights] == [paths[0], paths[2], paths[3]]
    assert [v.path for v in layer.non_trainable_weights] == ["block/count"]
    assert layer.count_params() == 2 + 1 + 3 * 2 + 2
    layer.trainable = False
    assert layer.trainable_weights == [] and not layer.dense.trainable
    assert [v.path for v in layer.non_trainable_weights] == paths
    assert not any(p.requires_grad for p in layer.parameters())
    layer.trainable = True
    assert [v.path for v in layer.trainable_weights] == [paths[0], paths[2], paths[3]]
    assert not layer.norm_count.trainable


def test_order_inside_a_stateless_scope_is_the_same():
    layer = Block()
    layer(torch.ones(1, 3))
    mapping = [(v, torch.zeros(v.shape)) for v in layer.weights]
    before = layer.weights
    with keras.StatelessScope(mapping):
        assert all(a is b for a, b in zip(layer.weights, before, strict=True))


def test_trainable_given_to_the_constructor():
    layer = layers.Dense(2, trainable=False)
    layer(torch.ones(1, 3))
    assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == 2
    assert not any(p.requires_grad for p in layer.parameters())


def test_count_params_needs_weights():
    with pytest.raises(ValueError, match="'dense' has no weights to count.*Received.*Call it"):
        layers.Dense(1, name="dense").count_params()


def test_set_weights_sets_all():
    layer = built()
    values = [np.ones((3, 2)), np.full((2,), 5.0)]
    layer.set_weights(values)
    for a, b in zip(layer.get_weights(), values, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == np.float32


@pytest.mark.parametrize(
    "values, message",
    [
        ([np.ones((3, 2))], "has 2 weights. Received: a list of 1"),
        ([np.ones((3, 2)), np.ones(3)], r"'dense/bias'.*has shape \(2,\). Received.*\(3,\)"),
        ([np.ones((3, 2)), np.array(["a", "b"])], "An array of numbers"),
    ],
)
def test_set_weights_sets_all_or_none(values, message):
    layer = layers.Dense(2, name="dense")
    layer.build((None, 3))
    before = layer.get_weights()
    with pytest.raises(ValueError, match=message):
        layer.set_weights(values)
    for a, b in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_own_variables_round_trip():
    layer, other, store = Block(), Block(), {}
    layer.save_own_variables(store)
    assert sorted(store) == ["0", "1"]
    layer.scale.assign([3.0, 4.0])
    layer.save_own_variables(store)
    other.load_own_variables(store)
    assert other.scale.numpy().tolist() == [3.0, 4.0]
    with pytest.raises(ValueError, match="has 2 variables of its own. Received: 1.*Build"):
        other.load_own_variables({"0": np.ones(2)})


def test_weights_are_registered_by_the_way_that_libraries_watch(monkeypatch):
    """accelerate's empty weights: `register_parameter` is replaced, and moves them to meta."""
    register = torch.nn.Module.register_parameter

    def register_empty(module, name, parameter):
        register(module, name, parameter)
        module._parameters[name] = torch.nn.Parameter(parameter.to("meta"))

    monkeypatch.setattr(torch.nn.Module, "register_parameter", register_empty)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2), layers.BatchNormalization()])
    monkeypatch.undo()
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert {b.device.type for b in model.buffers()} == {"cpu"}
    assert [w.shape for w in model.weights] == [(3, 2), (2,), (2,), (2,), (2,), (2,)]
    full = keras.models.clone_model(model)
    model.load_state_dict(full.state_dict(), assign=True)
    x = torch.ones(1, 3)
    assert torch.equal(model(x), full(x))


def test_a_weight_may_have_the_name_of_a_class_attribute():
    class Named(layers.Layer):
        kernel = None

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(2,), name="kernel")

    layer = Named()
    layer.build((None, 2))
    assert layer.kernel.shape == (2,) and [w.name for w in layer.weights] == ["kernel"]
