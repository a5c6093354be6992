"""`keras.backend`, `keras.config`, `keras.tree` and small utilities against real Keras."""

import collections

import numpy as np
import pytest
import torch

theirs = pytest.importorskip("keras")

import torchkeras as ours  # noqa: E402

# Keras converts tensors in a way that NumPy warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
DTYPES = ["float16", "bfloat16", "float32", "float64", "int8", "int32", "uint8", "bool", "string"]
Point = collections.namedtuple("Point", "x y")


def both(make):
    return make(ours), make(theirs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["is_float_dtype", "is_int_dtype"])
def test_kinds_of_dtypes(name, dtype):
    a, b = both(lambda keras: bool(getattr(keras.backend, name)(dtype)))
    assert a == b


def test_is_keras_tensor():
    for module in ("backend", "utils"):
        for make in (
            lambda keras: keras.Input((3,)),
            lambda keras: keras.KerasTensor((2, 3)),
            lambda keras: torch.ones(2),
            lambda keras: np.ones(2),
        ):
            a, b = both(
                lambda keras, make=make, module=module: getattr(keras, module).is_keras_tensor(
                    make(keras)
                )
            )
            assert a == b


@pytest.mark.parametrize("where", ["backend", "config"])
def test_settings_are_read_back(where):
    def change(keras):
        place, before = getattr(keras, where), (keras.config.floatx(), keras.config.epsilon())
        try:
            place.set_floatx("float16")
            place.set_epsilon(1e-3)
            # Keras's default policy does not follow once there was a layer; ours does.
            return before, place.floatx(), place.epsilon(), keras.Variable(1.0).dtype
        finally:
            place.set_floatx(before[0])
            place.set_epsilon(before[1])

    a, b = both(change)
    assert a == b


@pytest.mark.parametrize("value", ["int32", "nothing", None, 3])
def test_a_wrong_floatx_is_an_error(value):
    for keras in (ours, theirs):
        with pytest.raises(ValueError):
            keras.backend.set_floatx(value)


@pytest.mark.parametrize(
    ("read", "write", "values", "rest"),
    [
        ("max_epochs", "set_max_epochs", [3, 1], None),
        ("max_steps_per_epoch", "set_max_steps_per_epoch", [3, 1], None),
        ("image_data_format", "set_image_data_format", ["channels_first"], "channels_last"),
    ],
)
def test_limits_are_read_back(read, write, values, rest):
    for keras in (ours, theirs):
        place = keras.config
        try:
            for value in values:
                getattr(place, write)(value)
                assert getattr(place, read)() == value
        finally:
            getattr(place, write)(rest)


@pytest.mark.parametrize("where", ["config", "utils"])
@pytest.mark.parametrize(
    ("read", "on", "off"),
    [
        (
            "is_interactive_logging_enabled",
            "enable_interactive_logging",
            "disable_interactive_logging",
        ),
        (
            "is_traceback_filtering_enabled",
            "enable_traceback_filtering",
            "disable_traceback_filtering",
        ),
    ],
)
def test_switches_are_read_back(where, read, on, off):
    for keras in (ours, theirs):
        place = getattr(keras, where)
        if not hasattr(theirs.utils, read):
            place = keras.config
        before = getattr(place, read)()
        for switch, state in ((off, False), (on, True)):
            getattr(place, switch)()
            assert getattr(place, read)() is state
        getattr(place, on if before else off)()


def test_set_random_seed_repeats_what_is_drawn():
    for keras in (ours, theirs):
        drawn = []
        for _ in range(2):
            keras.utils.set_random_seed(3)
            layer = keras.layers.Dense(2)
            layer.build((None, 3))
            drawn.append((layer.kernel.numpy().tolist(), np.random.rand()))
        assert drawn[0] == drawn[1]


def test_float_dtype_policy_is_a_policy():
    for keras in (ours, theirs):
        for place in (keras, keras.dtype_policies):
            policy = place.FloatDTypePolicy("mixed_float16")
            assert isinstance(policy, keras.DTypePolicy)
            assert (policy.compute_dtype, policy.variable_dtype) == ("float16", "float32")


STRUCTURES = [
    3,
    [1, (2, 3)],
    {"b": 1, "a": [2, None]},
    Point(1, {"z": 2}),
    collections.OrderedDict([("b", 1), ("a", 2)]),
    [],
]


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_map_to_none(structure):
    def clear(keras):
        def choose(leaf):
            return keras.tree.MAP_TO_NONE if leaf == 2 else None

        return keras.tree.traverse(choose, structure)

    a, b = both(clear)
    assert a == b and type(a) is type(b)


@pytest.mark.parametrize("other", STRUCTURES, ids=repr)
@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_assert_same_paths(structure, other):
    raised = []
    for keras in (ours, theirs):
        try:
            keras.tree.assert_same_paths(structure, other)
            raised.append(None)
        except (ValueError, TypeError) as error:
            raised.append(type(error))
    assert raised[0] == raised[1]


@pytest.mark.parametrize(
    "structure",
    [(1, None, 3), [2, 3], {"a": (1, 2), "b": [None, 4]}, [(1, 2), (3, 4)], ((1,), [2, 3]), ()],
    ids=repr,
)
def test_map_shape_structure(structure):
    a, b = both(lambda keras: keras.tree.map_shape_structure(lambda shape: len(shape), structure))
    assert a == b


def test_custom_object_scope():
    for keras in (ours, theirs):
        for place in (keras.utils, keras.saving):

            class Doubling(keras.layers.Layer):
                def call(self, x):
                    return 2 * x

            config = keras.saving.serialize_keras_object(Doubling(name="d"))
            config["module"], config["registered_name"] = None, "Doubling"
            with place.custom_object_scope({"Doubling": Doubling}):
                assert place.get_custom_objects().get("Doubling", Doubling) is Doubling
                assert type(keras.saving.deserialize_keras_object(config)) is Doubling
            with pytest.raises((TypeError, ValueError)):
                keras.saving.deserialize_keras_object(config)
