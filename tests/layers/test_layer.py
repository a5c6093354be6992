"""The protocol of a layer: building, calling, dtypes, masks, losses, training, configs."""

import copy
import gc
import pickle
import sys
import threading
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras import layers
from torchkeras.core.scopes import SCOPE
from torchkeras.layers.fast_path import UNSETTLED


class Scale(layers.Layer):
    """Times a weight; counts how often `call` ran."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = 0

    def build(self, input_shape):
        self.scale = self.add_weight(shape=input_shape[-1:], initializer="ones", name="scale")

    def call(self, x):
        self.calls += 1
        return x * self.scale.value


class Penalty(layers.Layer):
    """Adds a loss at each call."""

    def call(self, x):
        self.add_loss(x.sum())
        return x


class Outer(layers.Layer):
    """Calls its parts one after the other."""

    def __init__(self, *parts, **kwargs):
        super().__init__(**kwargs)
        self.parts = list(parts)

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


# Construction


def test_unknown_arguments_are_refused():
    with pytest.raises(ValueError, match="Scale takes no such keyword.*Received.*unts.*spelling"):
        Scale(unts=3)


@pytest.mark.parametrize("trainable", [1, None, "yes"])
def test_trainable_must_be_a_bool(trainable):
    with pytest.raises(ValueError, match="`trainable` must be True or False. Received"):
        layers.Layer(trainable=trainable)


def test_names():
    assert [Scale().name, Scale().name, Scale(name="own").name] == ["scale", "scale_1", "own"]
    with pytest.raises(ValueError, match="`name` must be a string without '/'"):
        Scale(name="a/b")


def test_repr():
    layer = layers.Dense(1, name="d")
    assert repr(layer) == str(layer) == "<Dense name=d, built=False>"
    layer.build((None, 1))
    assert repr(layer) == "<Dense name=d, built=True>"


def test_a_new_layer_is_in_inference_mode():
    assert layers.Layer().training is False


# Building


def test_weights_come_with_the_first_call():
    layer = Scale()
    assert layer.weights == [] and not layer.built and layer.path is None
    layer(torch.ones(2, 3))
    assert layer.built and [w.shape for w in layer.weights] == [(3,)]
    assert layer.path == "scale" and layer.scale.path == "scale/scale"


def test_build_by_hand():
    layer = Scale()
    layer.build((None, 4))
    assert layer.built and layer.scale.shape == (4,) and layer.calls == 0


def test_building_twice_is_refused_and_keeps_the_weights():
    layer = layers.Dense(2)
    layer.build((None, 3))
    kernel = layer.kernel
    with pytest.raises(ValueError, match="'dense' is built once.*Received.*second call of `build`"):
        layer.build((None, 5))
    assert layer.kernel is kernel and len(layer.weights) == 2


def test_a_build_that_failed_can_be_run_again():
    layer = layers.Dense(2)
    with pytest.raises(ValueError, match="needs the size of the last axis"):
        layer.build((None, None))
    assert not layer.built
    layer.build((None, 3))
    assert len(layer.weights) == 2


class Attend(layers.Layer):
    def build(self, query_shape, value_shape):
        self.w = self.add_weight(shape=(query_shape[-1], value_shape[-1]), name="w")

    def call(self, query, value):
        return query @ self.w.value @ value.transpose(-1, -2)


def test_build_receives_a_shape_for_each_tensor_argument():
    layer = Attend()
    layer(torch.ones(2, 3, 4), value=torch.ones(2, 6, 5))
    assert layer.w.shape == (4, 5)
    assert layer.get_build_config() == {
        "shapes_dict": {"query_shape": (2, 3, 4), "value_shape": (2, 6, 5)}
    }
    other = Attend()
    other.build_from_config(layer.get_build_config())
    assert other.w.shape == (4, 5)
    by_name = Attend()
    by_name(value=torch.ones(2, 6, 5), query=torch.ones(2, 3, 4))
    assert by_name.w.shape == (4, 5)


def test_build_with_any_shapes():
    class Any(layers.Layer):
        def build(self, **shapes):
            self.seen = dict(shapes)

        def call(self, a, b):
            return a + b

    layer = Any()
    layer(torch.ones(2), b=torch.ones(1))
    assert layer.seen == {"a_shape": (2,), "b_shape": (1,)}
    assert layer.get_build_config() == {"shapes_dict": layer.seen}


def test_build_of_structured_inputs():
    class Sum(layers.Layer):
        def build(self, input_shape):
            self.seen = input_shape

        def call(self, inputs):
            return inputs["a"] + inputs["b"][0]

    layer = Sum()
    y = layer({"a": torch.ones(2, 3), "b": [torch.ones(3)]})
    assert torch.equal(y, torch.full((2, 3), 2.0))
    assert layer.seen == {"a": (2, 3), "b": [(3,)]}


def test_build_config_round_trip_through_json_lists():
    layer = Scale()
    layer(torch.ones(2, 3))
    assert layer.get_build_config() == {"input_shape": (2, 3)}
    other = Scale()
    other.build_from_config({"input_shape": [2, 3]})
    assert other.scale.shape == (3,)
    other.build_from_config({"input_shape": [2, 9]})  # built already: nothing to do
    assert other.scale.shape == (3,)
    assert Scale().get_build_config() is None


def test_build_config_of_several_inputs_where_there_is_nothing_to_build():
    class Sum(layers.Layer):
        def call(self, x, y):
            return x + y

    layer = Sum()
    layer(torch.ones(2, 3), torch.ones(2, 3))
    other = Sum.from_config(layer.get_config())
    other.build_from_config(layer.get_build_config())
    assert other.built and other.get_build_config() == layer.get_build_config()


def test_weights_are_made_on_the_device_of_the_input():
    with keras.device("meta"):
        layer = Scale()
        layer(torch.ones(2, 3, device="cpu"))
    assert layer.scale.device.type == "cpu"


def test_a_weight_needs_every_size():
    with pytest.raises(ValueError, match=r"'l' needs every size. Received: shape=\(None, 2\)"):
        layers.Layer(name="l").add_weight(shape=(None, 2), name="w")


@pytest.mark.parametrize(
    "dtype, expected", [("int32", 0), ("bool", False), ("float32", None)], ids=str
)
def test_default_initializers(dtype, expected):
    v = layers.Layer().add_weight(shape=(100,), dtype=dtype)
    if expected is None:
        assert 0 < v.numpy().max() <= (6 / 200) ** 0.5  # glorot_uniform, fans of 100
    else:
        assert v.numpy().tolist() == [expected] * 100


def test_add_weight_keeps_its_facts():
    v = layers.Layer().add_weight(
        shape=2,
        regularizer="l2",
        constraint="non_neg",
        aggregation="mean",
        overwrite_with_gradient=True,
        autocast=False,
    )
    assert v.shape == (2,) and isinstance(v.regularizer, keras.regularizers.L2)
    assert isinstance(v.constraint, keras.constraints.NonNeg)
    assert (v.aggregation, v.overwrite_with_gradient, v.autocast) == ("mean", True, False)


def test_a_subclass_of_a_built_class_builds_once():
    class Wide(Scale):
        def build(self, input_shape):
            super().build(input_shape)
            self.extra = self.add_weight(shape=(), name="extra")

    layer = Wide()
    layer(torch.ones(1, 2))
    assert [v.path for v in layer.weights] == ["wide/scale", "wide/extra"]


# Calling


def test_call_must_be_defined():
    with pytest.raises(NotImplementedError, match="Layer must define a `call`.*Received"):
        layers.Layer()(torch.ones(1))


@pytest.mark.parametrize(
    "x", [np.ones((2, 3), "float32"), np.ones((2, 3)), torch.ones(2, 3, dtype=torch.float64)]
)
def test_arrays_and_other_floats_are_converted(x):
    y = Scale()(x)
    assert y.dtype is torch.float32 and torch.equal(y.detach(), torch.ones(2, 3))


def test_integers_keep_their_dtype():
    class Look(layers.Layer):
        def call(self, x):
            return x

    layer = Look()
    for _ in range(2):
        assert layer(torch.tensor([1, 2])).dtype is torch.int64
        assert layer(np.array([1, 2], "int32")).dtype is torch.int32


def test_a_variable_is_an_input():
    assert torch.equal(Scale()(keras.Variable(torch.ones(2, 3))), torch.ones(2, 3))


def test_fast_and_slow_path_agree():
    layer = layers.Dense(2, activation="tanh")
    x = torch.randn(4, 3)
    slow = layer(x)
    assert layer._fast.token is SCOPE.fast_token  # the next call takes the fast path
    assert torch.equal(layer(x), slow)
    layer._fast = UNSETTLED
    assert torch.equal(layer(x), slow)


def test_the_fast_path_skips_the_protocol(monkeypatch):
    layer = Scale()
    layer(torch.ones(1, 3))
    monkeypatch.setattr(Scale, "_keras_call", None)
    layer(torch.ones(5, 3))
    assert layer.calls == 2
    with pytest.raises(TypeError):  # another dtype needs the protocol
        layer(torch.ones(5, 3, dtype=torch.float64))


def test_the_fast_path_still_checks_the_input_spec():
    layer = layers.Dense(2, name="d")
    layer(torch.ones(1, 3))
    for bad in (torch.ones(1, 4), torch.ones(3)):
        with pytest.raises(ValueError, match="Layer 'd' expects.*Received"):
            layer(bad)


def test_a_layer_that_appends_a_layer_after_its_first_call():
    layer = Outer(Scale())
    layer(torch.ones(1, 3))
    layer.parts.append(layers.Dense(4))
    assert layer(torch.ones(1, 3)).shape == (1, 4)


def test_forward_hooks_run():
    layer, seen = Scale(), []
    layer.register_forward_pre_hook(lambda module, args: seen.append("before"))
    layer.register_forward_hook(lambda module, args, output: output + 1)
    for _ in range(2):
        assert torch.equal(layer(torch.ones(1, 3)), torch.full((1, 3), 2.0))
    assert seen == ["before", "before"]


def test_input_spec_errors_have_three_parts_and_build_nothing():
    class Strict(Scale):
        def __init__(self):
            super().__init__(name="strict")
            self.input_spec = keras.InputSpec(ndim=2)

    layer = Strict()
    with pytest.raises(ValueError, match=r"'strict' expects.*rank 2. Received: x of shape \(3,\)"):
        layer(torch.ones(3))
    assert not layer.built and layer.weights == []


def test_input_spec_set_in_build_is_checked_at_that_call():
    class Late(Scale):
        def build(self, input_shape):
            super().build(input_shape)
            self.input_spec = keras.InputSpec(ndim=3)

    with pytest.raises(ValueError, match="rank 3. Received"):
        Late()(torch.ones(2, 3))


class Fails(layers.Layer):
    def call(self, x, other=None):
        raise ValueError("wrong")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="add_note came with Python 3.11")
@pytest.mark.parametrize("times", [1, 2])
def test_errors_in_call_name_the_innermost_layer_once(times):
    layer = Outer(Fails(name="inner"))
    for _ in range(times):
        with pytest.raises(ValueError, match="^wrong") as caught:
            layer(torch.ones(2, 3))
    assert caught.value.__notes__ == [
        "This happened while calling layer 'inner' of class Fails on an input of shape (2, 3)."
    ]


def test_scopes_are_closed_after_an_error():
    layer = Outer(Fails(), dtype="mixed_bfloat16")
    with pytest.raises(ValueError):
        layer(torch.ones(2, 3), training=True)
    assert (SCOPE.depth, SCOPE.autocast, SCOPE.read, SCOPE.meta) == (0, None, None, False)
    assert SCOPE.fast_token is SCOPE.token(None)
    assert not layer.training and keras.Variable(0.0, name="v").path == "v"
    with pytest.raises(ValueError):
        layer(keras.Input((3,)))
    assert (SCOPE.depth, SCOPE.read, SCOPE.meta) == (0, None, False)


# Training mode


class Mode(layers.Layer):
    """Notes in which mode it runs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = []

    def call(self, x):
        self.seen.append(self.training)
        return x


class Asks(layers.Layer):
    """Takes a `training` argument."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def call(self, x, training=None):
        self.seen.append(training)
        return x


@pytest.mark.parametrize("cls", [Mode, Asks])
def test_training_follows_the_flags(cls):
    layer, outer = cls(), None
    outer = Outer(layer)
    x = torch.ones(2)
    outer(x), outer(x)
    outer.train()
    outer(x), outer(x)
    outer.eval()
    outer(x)
    outer(x, training=True)
    outer(x)
    assert layer.seen == [False, False, True, True, False, True, False]
    assert not outer.training and not layer.training


def test_training_false_in_a_nested_call_holds_for_that_call_only():
    class Freezes(layers.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second = Mode(), Asks()

        def call(self, x):
            self.second(x)
            self.first(x, training=False)
            self.second(x, training=False)
            self.first(x)
            return self.second(x)

    layer = Freezes().train()
    layer(torch.ones(2)), layer(torch.ones(2))
    assert layer.first.seen == [False, True] * 2
    assert layer.second.seen == [True, False, True] * 2


def test_training_reaches_plain_modules_below():
    class Wraps(layers.Layer):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(1.0)

        def call(self, x):
            return self.drop(x)

    layer = Wraps()
    assert layer(torch.ones(3), training=True).tolist() == [0.0, 0.0, 0.0]
    assert layer(torch.ones(3)).tolist() == [1.0, 1.0, 1.0]
    assert layer(torch.ones(3), training=True).tolist() == [0.0, 0.0, 0.0]


def test_training_by_position_and_with_a_default():
    class Default(layers.Layer):
        def call(self, x, training=True):
            return x * (2 if training else 1)

    layer = Default()
    assert float(layer(torch.tensor(1.0))) == 1.0
    assert float(layer(torch.tensor(1.0), True)) == 2.0
    assert float(layer(torch.tensor(1.0), training=None)) == 1.0


def test_training_is_restored_after_an_error():
    layer = Outer(Fails()).train()
    with pytest.raises(ValueError):
        layer(torch.ones(1), training=False)
    assert layer.training and layer.parts[0].training


# Dtypes


@pytest.mark.parametrize("compute", ["bfloat16", "float16"])
def test_mixed_precision_composites(compute):
    seen = {}

    class Inner(Scale):
        def call(self, x):
            seen[self.name] = (x.dtype, self.scale.value.dtype)
            return x * self.scale.value

    mixed, whole = Inner(name="mixed"), Inner(name="whole", dtype="float32")
    mixed.dtype_policy = f"mixed_{compute}"
    outer = Outer(mixed, whole, mixed, dtype=f"mixed_{compute}")
    half = getattr(torch, compute)
    for _ in range(3):
        y = outer(torch.ones(2, 3))
        assert y.dtype is half
        assert seen == {"mixed": (half, half), "whole": (torch.float32, torch.float32)}
    assert mixed.scale._store["scale"].dtype is torch.float32
    y.sum().backward()
    assert mixed.scale.grad.dtype is torch.float32
    assert SCOPE.autocast is None


def test_a_layer_that_does_not_autocast_reads_its_weights_as_they_are():
    class Inner(Scale):
        def call(self, x):
            self.seen = x.dtype, self.scale.value.dtype
            return x

    inner = Inner(dtype="mixed_bfloat16", autocast=False)
    outer = Outer(inner, dtype="mixed_bfloat16")
    for _ in range(2):
        outer(torch.ones(2, 3))
        assert inner.seen == (torch.bfloat16, torch.float32)


def test_autocast_may_be_set_after_construction():
    layer = Scale()
    layer.autocast = False
    assert layer(torch.ones(2, 3, dtype=torch.float64)).dtype is torch.float64


@pytest.mark.parametrize(
    "move, dtype",
    [
        (lambda layer: layer.half(), "float16"),
        (lambda layer: layer.to(torch.bfloat16), "bfloat16"),
        (lambda layer: layer.double(), "float64"),
    ],
)
def test_moving_the_weights_moves_the_policy(move, dtype):
    layer = Outer(Scale())
    layer(torch.ones(2, 3))
    move(layer)
    assert layer.dtype == layer.parts[0].dtype == layer.parts[0].compute_dtype == dtype
    assert layer.parts[0].scale.dtype == dtype
    assert layer(torch.ones(2, 3)).dtype is getattr(torch, dtype)
    layer.float()
    assert layer(torch.ones(2, 3)).dtype is torch.float32


def test_moving_to_the_same_dtype_keeps_a_mixed_policy():
    layer = layers.Dense(1, dtype="mixed_bfloat16")
    layer.float()
    assert layer.dtype_policy.name == "mixed_bfloat16"


def test_metrics_move_with_the_layer_and_keep_their_dtype():
    layer = layers.Layer()
    layer.mean = keras.metrics.Mean()
    layer.half()
    assert layer.mean.variables[0].dtype == "float32"
    layer.to("meta")
    assert layer.mean.variables[0].device.type == "meta"


def test_dtype_policy_properties():
    layer = layers.Layer(dtype="mixed_float16")
    assert (layer.dtype, layer.variable_dtype) == ("float32", "float32")
    assert (layer.compute_dtype, layer.input_dtype) == ("float16", "float16")
    assert layers.Layer(dtype=torch.float64).dtype == "float64"
    assert layers.Layer(dtype=keras.DTypePolicy("bfloat16")).dtype == "bfloat16"


# Masks


class Masks(layers.Layer):
    """Notes the mask it gets, and passes it on."""

    def __init__(self):
        super().__init__()
        self.supports_masking = True

    def call(self, x, mask=None):
        self.seen = mask
        return x + 1


def masked(shape=(2, 3)):
    x = torch.ones(shape)
    x._keras_mask = torch.tensor([[True, True, False]]).expand(shape)
    return x


def test_a_mask_is_filled_in_and_passed_on():
    layer, x = Masks(), masked()
    layer(torch.ones(2, 3))
    assert layer.seen is None
    for _ in range(2):
        y = layer(x)
        assert layer.seen is x._keras_mask and y._keras_mask is x._keras_mask
    own = torch.ones(2, 3, dtype=torch.bool)
    assert layer(x, mask=own)._keras_mask is own and layer.seen is own
    assert layer(x, own)._keras_mask is own


def test_a_mask_survives_the_cast_of_its_tensor():
    layer = Masks()
    layer.dtype_policy = "float64"
    x = masked()
    assert layer(x)._keras_mask is x._keras_mask


def test_a_layer_without_support_drops_the_mask():
    with pytest.warns(UserWarning, match="does not support masking"):
        assert not hasattr(Scale()(masked()), "_keras_mask")


def test_each_argument_gets_its_own_mask():
    class Two(layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, query, value, query_mask=None, value_mask=None):
            self.seen = query_mask, value_mask
            return query

    layer, x, y = Two(), masked(), masked()
    layer(x, y)
    assert layer.seen[0] is x._keras_mask and layer.seen[1] is y._keras_mask
    layer(x, torch.ones(2, 3))
    assert layer.seen[1] is None
    own = torch.zeros(2, 3)
    layer(x, value=y, value_mask=own)
    assert layer.seen[0] is x._keras_mask and layer.seen[1] is own


def test_compute_mask_makes_the_mask_of_the_output():
    class Flips(layers.Layer):
        def call(self, x):
            return x * 1

        def compute_mask(self, inputs, previous_mask):
            return None if previous_mask is None else ~previous_mask

    layer, x = Flips(), masked()
    assert layer.supports_masking
    assert torch.equal(layer(x)._keras_mask, ~x._keras_mask)
    assert getattr(layer(torch.ones(2, 3)), "_keras_mask", None) is None


def test_compute_mask_set_to_be_used_after_the_first_call():
    class Always(layers.Layer):
        def call(self, x):
            return x * 1

        def compute_mask(self, inputs, previous_mask):
            return inputs > 0

    layer = Always()
    layer.supports_masking = False
    layer(torch.ones(2)), layer(torch.ones(2))
    layer.supports_masking = True
    assert layer(torch.ones(2))._keras_mask.tolist() == [True, True]


def test_a_mask_that_call_put_on_its_output_stays():
    class Own(Masks):
        def call(self, x, mask=None):
            y = x + 1
            y._keras_mask = ~mask
            return y

    x = masked()
    assert torch.equal(Own()(x)._keras_mask, ~x._keras_mask)


def test_masks_of_several_outputs():
    class Split(layers.Layer):
        def call(self, x):
            return x + 1, x + 2

        def compute_mask(self, inputs, previous_mask):
            return [previous_mask, None]

    first, second = Split()(masked())
    assert first._keras_mask is not None and not hasattr(second, "_keras_mask")


def test_one_mask_for_several_outputs_is_that_of_the_first_as_in_keras():
    class Two(layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, x):
            return [x + 1, x + 2]

    first, second = Two()(masked())
    assert first._keras_mask is not None and not hasattr(second, "_keras_mask")


def test_masks_are_symbolic_too():
    x = keras.Input((3,))
    x._keras_mask = keras.KerasTensor((None, 3), "bool")
    y = Masks()(x)
    assert y._keras_mask.shape == (None, 3) and y._keras_mask.dtype == "bool"


# Losses


def test_losses_are_those_of_the_last_call():
    layer = Penalty()
    layer(torch.ones(2))
    layer(torch.ones(3))
    assert [v.item() for v in layer.losses] == [3.0]


def test_losses_of_nested_and_shared_layers():
    shared = Penalty()
    outer = Outer(shared, Outer(shared), Penalty())
    for _ in range(3):
        outer(torch.ones(2))
        assert sorted(v.item() for v in outer.losses) == [2.0, 2.0, 2.0]
    shared(torch.ones(5))  # now the outermost call itself
    assert [v.item() for v in shared.losses] == [5.0]


def test_losses_do_not_pile_up():
    layer = Outer(Penalty(), Scale())
    for _ in range(1000):
        layer(torch.ones(2))
    assert len(layer.losses) == 1
    for _ in range(1000):
        layer.stateless_call(layer.trainable_variables, [], torch.ones(2))
    assert len(layer.parts[0]._losses) == 1


def test_a_loss_that_first_comes_late_is_cleared_too():
    class Sometimes(layers.Layer):
        def call(self, x):
            if self.training:
                self.add_loss(x.sum())
            return x

    shared = Sometimes()
    layer = Outer(shared, shared)
    layer(torch.ones(2)), layer(torch.ones(2))
    for _ in range(3):
        layer(torch.ones(2), training=True)
        assert len(layer.losses) == 2


def test_a_loss_that_first_comes_late_in_a_mixed_layer():
    class Sometimes(layers.Layer):
        def call(self, x):
            if self.training:
                self.add_loss(x.sum())
            return x

    layer = Outer(Sometimes(dtype="mixed_bfloat16"), Scale())
    layer(torch.ones(2)), layer(torch.ones(2))
    layer(torch.ones(2), training=True)
    # The tokens were renewed within the mixed scope; leaving it must not bring back the old ones.
    assert SCOPE.fast_token is SCOPE.token(None)
    other = Scale()
    other(torch.ones(2)), other(torch.ones(2))
    assert other._fast.token is SCOPE.fast_token


def test_add_loss_takes_lists_and_refuses_functions():
    class Many(layers.Layer):
        def call(self, x):
            self.add_loss([x.sum(), [x.sum() * 2]])
            return x

    layer = Many()
    layer(torch.ones(2))
    assert [v.item() for v in layer.losses] == [2.0, 4.0]
    with pytest.raises(ValueError, match="`add_loss` takes scalar.*Received.*Pass its result"):
        layer.add_loss(lambda: 3)


def test_activity_regularizer_is_a_mean_over_the_batch():
    layer = layers.Dense(2, activity_regularizer=keras.regularizers.L1(1.0))
    layer.build((None, 3))
    layer.set_weights([np.ones((3, 2)), np.zeros(2)])
    for batch in (1, 4, 4):
        layer(torch.ones(batch, 3))
        assert [v.item() for v in layer.losses] == [6.0]


def test_an_activity_regularizer_set_later_is_used():
    layer = Scale()
    layer(torch.ones(2, 3)), layer(torch.ones(2, 3))
    layer.activity_regularizer = "l1"
    layer(torch.ones(2, 3))
    assert layer.losses[0].item() == pytest.approx(0.03)  # 0.01 * 6 / 2
    layer.activity_regularizer = None
    layer(torch.ones(2, 3))
    assert layer.losses == []


def test_weight_regularizers_are_losses_of_trained_weights_only():
    layer = layers.Dense(2, kernel_regularizer=keras.regularizers.L1(1.0))
    assert layer.losses == []
    layer.build((None, 3))
    layer.kernel.assign(torch.full((3, 2), -2.0))
    assert [v.item() for v in layer.losses] == [12.0]
    layer.losses[0].backward()
    assert layer.kernel.grad.tolist() == [[-1.0, -1.0]] * 3
    layer.trainable = False
    assert layer.losses == []


# Stateless calls


def test_stateless_call_returns_the_losses_of_that_call():
    layer = Outer(Penalty(), layers.Dense(1, kernel_regularizer=keras.regularizers.L1(1.0)))
    layer(torch.ones(2, 3))
    values = [torch.full((3, 1), 2.0), torch.zeros(1)]
    y, state, losses = layer.stateless_call(values, [], torch.ones(1, 3), return_losses=True)
    assert y.tolist() == [[6.0]] and state == []
    assert sorted(v.item() for v in losses) == [3.0, 6.0]
    assert layer.losses[0].item() == 6.0  # those of the eager call before


def test_stateless_call_changes_nothing_even_in_torchs_batch_norm():
    class Wraps(layers.Layer):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def call(self, x):
            return self.norm(x)

    layer = Wraps()
    layer(torch.randn(4, 3))
    before = [v.numpy().copy() for v in layer.variables]
    given = [v.value.detach().clone() for v in layer.non_trainable_variables]
    kept = [g.clone() for g in given]
    trainable = [v.value for v in layer.trainable_variables]
    _, state = layer.stateless_call(trainable, given, torch.randn(8, 3) + 5, training=True)
    for a, b in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)
    assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(state, kept, strict=True))
    assert not layer.training


def test_stateless_call_restores_after_an_error():
    layer = Scale()
    layer.build((None, 3))
    parameter = layer.scale.value
    with pytest.raises(RuntimeError):
        layer.stateless_call([torch.zeros(3)], [], torch.ones(2, 4))
    assert layer.scale.value is parameter and SCOPE.stateless is None


def test_stateless_call_differentiates_and_maps():
    layer = Scale()
    layer.build((None, 3))
    x = torch.ones(2, 3)

    def loss(values):
        return layer.stateless_call(values, [], x)[0].sum()

    (gradient,) = torch.func.grad(loss)([torch.zeros(3)])
    assert gradient.tolist() == [2.0, 2.0, 2.0]
    batch = torch.stack([torch.ones(3), torch.full((3,), 2.0)])
    assert torch.func.vmap(loss)([batch]).tolist() == [6.0, 12.0]


@pytest.mark.parametrize(
    "trainable, others, message",
    [([], [], "has 1 trainable_variables. Received: 0"), ([0], [0], "0 non_trainable_variables")],
)
def test_stateless_call_checks_the_numbers(trainable, others, message):
    layer = Scale()
    layer.build((None, 3))
    with pytest.raises(ValueError, match=message):
        layer.stateless_call(trainable, others, torch.ones(1, 3))


def test_stateless_call_needs_a_built_layer():
    with pytest.raises(ValueError, match="'s' must be built.*Received: an unbuilt.*Call `build"):
        Scale(name="s").stateless_call([], [], torch.ones(1))


# Symbols


def test_a_symbolic_call_builds_sublayers_and_infers_the_shape():
    layer = Outer(layers.Dense(4), layers.Dense(2))
    y = layer(keras.Input((3,)))
    assert y.shape == (None, 2) and y.dtype == "float32"
    assert layer.built and [w.shape for w in layer.weights] == [(3, 4), (4,), (4, 2), (2,)]
    assert all(w.value.device.type == "cpu" for w in layer.weights)
    assert layer(torch.ones(5, 3)).shape == (5, 2)


def test_a_symbolic_call_changes_no_state_even_where_it_must_run():
    class Counts(layers.Layer):
        def __init__(self):
            super().__init__()
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            self.count.assign_add(1.0)
            if x.sum() > 0:  # needs data: inference falls back to a run on zeros
                return x
            return x * 2

    layer = Counts()
    assert layer(keras.Input((3,))).shape == (None, 3)
    assert float(layer.count) == 0.0
    layer(torch.ones(2, 3))
    assert float(layer.count) == 1.0


def test_symbolic_outputs_in_structures():
    class Parts(layers.Layer):
        def call(self, x):
            return {"a": x[:, :1], "b": [x, x.sum(-1)]}

    y = Parts()(keras.Input((3,)))
    assert {k: getattr(v, "shape", None) for k, v in y.items()} == {"a": (None, 1), "b": None}
    assert [s.shape for s in y["b"]] == [(None, 3), (None,)]


def test_compute_output_shape_runs_call_without_data():
    layer = Outer(layers.Dense(4))
    assert layer.compute_output_shape((None, 3)) == (None, 4)
    assert layer.compute_output_shape((7, 3)) == (7, 4)


def test_compute_output_shape_of_the_layer_is_used():
    class Own(layers.Layer):
        def call(self, x):
            raise RuntimeError("not to be run")

        def compute_output_shape(self, input_shape):
            return (*input_shape[:-1], 9)

    assert Own()(keras.Input((3,))).shape == (None, 9)


def test_input_and_output_of_a_layer_are_those_of_its_first_call():
    layer, x = layers.Dense(2, name="d"), keras.Input((3,))
    with pytest.raises(AttributeError):
        layer.input  # noqa: B018
    y = layer(x)
    layer(keras.Input((3,)))
    assert layer.input is x and layer.output is y


@pytest.mark.parametrize("cls", [layers.Add, layers.Concatenate, layers.Maximum])
def test_a_list_of_plain_tensors_takes_the_fast_path(cls, monkeypatch):
    layer, inputs = cls(), [torch.randn(2, 3), torch.randn(2, 3)]
    expected = layer(inputs)
    masked = inputs[0].clone()
    masked._keras_mask = torch.ones(2, dtype=torch.bool)
    slow = []
    original = type(layer)._keras_call
    monkeypatch.setattr(
        cls, "_keras_call", lambda self, *a, **k: slow.append(a) or original(self, *a, **k)
    )
    assert torch.equal(layer(inputs), expected)
    assert not slow
    layer([inputs[0].double(), inputs[1]])
    layer([inputs[0].numpy(), inputs[1]])
    layer([masked, inputs[1]])
    assert len(slow) == 3


# torch.compile


class Activity(Outer):
    def call(self, x):
        return super().call(x) * 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Dense(2),
        lambda: Outer(layers.Dense(4, activation="relu"), layers.Dense(2)),
        lambda: layers.Dense(2, dtype="mixed_bfloat16"),
        lambda: Activity(layers.Dense(2), activity_regularizer="l2"),
    ],
    ids=["dense", "nested", "mixed", "activity"],
)
def test_compile_in_one_graph_and_once(make):
    torch._dynamo.reset()
    layer, x = make(), torch.randn(4, 3)
    y = layer(x)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(3):
            torch.testing.assert_close(compiled(x), y)


def test_compile_of_a_model_built_by_shape_alone():
    torch._dynamo.reset()
    layer, x = Outer(layers.Dense(2)), torch.randn(4, 3)
    layer(keras.Input((3,)))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        first = compiled(x)
        torch.testing.assert_close(compiled(x), first)
    torch.testing.assert_close(layer(x), first)


# Threads


def test_threads_do_not_close_each_others_mixed_precision_scopes():
    inside, leave = threading.Event(), threading.Event()

    class Waits(Scale):
        def call(self, x):
            inside.set()
            leave.wait(10)
            return x * self.scale.value

    slow, results = Waits(dtype="mixed_bfloat16"), []
    slow.build((None, 3))
    thread = threading.Thread(target=lambda: results.append(slow(torch.ones(2, 3))))
    thread.start()
    assert inside.wait(10)
    plain = Scale()
    y = plain(torch.ones(2, 3))  # while the other thread is in its scope
    assert y.dtype is torch.float32 and plain.scale.value.dtype is torch.float32
    assert SCOPE.depth == 0
    leave.set()
    thread.join(10)
    assert results[0].dtype is torch.bfloat16 and SCOPE.autocast is None


def test_fast_paths_hold_in_other_threads():
    layer, tokens = Outer(Scale()), []
    layer(torch.ones(2))

    def run():
        layer(torch.ones(2))
        Penalty()(torch.ones(2))  # renews the tokens for every thread
        layer(torch.ones(2)), layer(torch.ones(2))
        tokens.append((layer._fast.token, SCOPE.fast_token))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert tokens[0][0] is tokens[0][1] is not None
    layer(torch.ones(2)), layer(torch.ones(2))
    plain = Scale()
    plain(torch.ones(2)), plain(torch.ones(2))
    assert plain._fast.token is SCOPE.fast_token is tokens[0][1]


# Configs


class Plain(layers.Layer):
    """Has no get_config: its constructor's arguments are remembered."""

    def __init__(self, units, act=None, *, part=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.act, self.part = units, act, part


def test_config_of_remembered_arguments():
    layer = Plain(3, part=layers.Dense(2, name="part"), name="p", trainable=False)
    config = layer.get_config()
    assert (config["units"], config["act"], config["name"]) == (3, None, "p")
    assert config["trainable"] is False and config["part"]["class_name"] == "Dense"
    again = Plain.from_config(config)
    assert again.get_config() == config
    assert isinstance(again.part, layers.Dense) and again.part is not layer.part
    assert again.dtype_policy == layer.dtype_policy


def test_config_of_a_constructor_without_the_base_arguments():
    class Bare(layers.Layer):
        def __init__(self, units, name=None):
            super().__init__(name=name)
            self.units = units

    config = Bare(3, name="b").get_config()
    assert config == {"units": 3, "name": "b"}
    assert Bare.from_config(config).units == 3


def test_config_of_an_own_get_config_is_left_alone():
    class Own(Plain):
        def get_config(self):
            return {**super().get_config(), "units": self.units}

    layer = Own(3, name="o")
    assert layer.get_config().keys() == {"name", "trainable", "dtype", "units"}
    assert Own.from_config(layer.get_config()).units == 3


def test_what_cannot_be_described_is_refused():
    class Variadic(layers.Layer):
        def __init__(self, *parts):
            super().__init__()

    for layer, argument in [
        (Plain(lambda x: x), "'units'"),
        (Plain(3, act=object()), "'act'"),
        (Variadic(1, 2), r"'\*parts'"),
    ]:
        with pytest.raises(NotImplementedError, match=f"needs a `get_config`.*{argument}.*Return"):
            layer.get_config()
    assert "parts" not in Variadic().get_config()


def test_from_config_names_the_class_and_the_config():
    with pytest.raises(TypeError, match="Plain could not be made.*Received.*wrong.*get_config"):
        Plain.from_config({"wrong": 1})


def test_config_of_a_layer_with_a_mixed_policy():
    layer = layers.Dense(1, dtype="mixed_bfloat16")
    assert layer.get_config()["dtype"] == {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": "mixed_bfloat16"},
        "registered_name": None,
    }
    assert layers.Dense.from_config(layer.get_config()).compute_dtype == "bfloat16"


def test_a_copy_leaves_the_graph_and_the_losses_behind():
    layer, x = layers.Dense(2, activity_regularizer="l2"), keras.Input((3,))
    layer(x)
    layer(torch.ones(1, 3))
    other = pickle.loads(pickle.dumps(layer))
    assert other._inbound_nodes == [] and other._losses == []
    torch.testing.assert_close(other(torch.ones(1, 3)), layer(torch.ones(1, 3)))


def test_a_layer_is_freed():
    layer = Outer(layers.Dense(2))
    layer(torch.ones(1, 3))
    reference = weakref.ref(layer)
    del layer
    gc.collect()
    assert reference() is None


@keras.saving.register_keras_serializable("test_layer")
class BuildsItsLayer(layers.Layer):
    """A wrapper as one would write it without a thought of files."""

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape):
        self.layer.build(input_shape)

    def call(self, x):
        return self.layer(x)

    def get_config(self):
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "layer": keras.saving.deserialize_keras_object(config["layer"])})


def test_a_loaded_wrapper_builds_its_layer_once():
    wrapper = BuildsItsLayer(
        BuildsItsLayer(layers.Dense(2, name="inner"), name="mid"), name="outer"
    )
    wrapper(torch.ones(1, 3))
    config = keras.saving.serialize_keras_object(wrapper)
    again = keras.saving.deserialize_keras_object(config)
    assert again.built and len(again.weights) == 2
    assert [w.path for w in again.weights] == ["outer/mid/inner/kernel", "outer/mid/inner/bias"]
    assert list(again.state_dict()) == ["layer.layer.kernel", "layer.layer.bias"]
    with pytest.raises(ValueError, match="built once"):
        again.layer.layer.build((None, 3))


def test_state_is_no_weight():
    class Remembers(layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1],), name="kernel")
            self.last = self.add_state(shape=(2, 3), name="last")
            self.pair = [keras.Variable(torch.zeros(1), trainable=False) for _ in range(2)]

        def call(self, x):
            previous = self.last.value.clone()
            self.last.assign(x)
            return previous * self.kernel

    layer = Remembers()
    x = torch.ones(2, 3)
    assert torch.equal(layer(x), torch.zeros(2, 3))
    torch.testing.assert_close(layer(x), layer.kernel.value.expand(2, 3))
    assert [v.name for v in layer.weights] == ["kernel", "variable", "variable_1"]
    assert any(v is layer.last for v in layer.variables)
    assert any(v is layer.last for v in layer.non_trainable_variables)
    assert list(layer.state_dict()) == ["kernel", "pair_0", "pair_1"]
    assert layer.last.path == "remembers/last"
    assert layer.double().last.value.dtype is torch.float64  # it moves with the module
    assert torch.equal(copy.deepcopy(layer).last.value, layer.last.value)
    layer.float().set_weights([np.ones(3), np.zeros(1), np.zeros(1)])
    before = layer.last.value.clone()
    values = [v.value for v in layer.non_trainable_variables]
    _, state = layer.stateless_call([layer.kernel.value], values, 5 * x)
    assert torch.equal(layer.last.value, before)  # a stateless call hands it back instead
    last = [v is layer.last for v in layer.non_trainable_variables].index(True)
    assert torch.equal(state[last], 5 * x)


def test_a_state_in_a_list_is_no_weight():
    layer = layers.Layer()
    state = keras.Variable(torch.zeros(2), trainable=False, name="h")
    state.persistent = False
    layer.states = [state]
    assert layer.weights == [] and layer.variables == [state] and not layer.state_dict()
    layer.states = None
    assert layer.variables == [] and not list(layer.buffers())


def test_add_variable_is_add_weight():
    layer = layers.Layer(name="norm")
    scale = layer.add_variable((2,), "ones", name="scale", regularizer="l2")
    steps = layer.add_variable(shape=(), initializer="zeros", dtype="int32", trainable=False)
    assert layer.weights[0] is scale and layer.non_trainable_weights == [steps]
    assert float(layer.losses[0].detach()) == pytest.approx(0.02)  # 0.01 * (1 + 1)
