"""Configs of objects and back, and what a config may name."""

import json

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.core import serialization
from torchkeras.core.serialization import (
    custom_object_scope,
    deserialize_keras_object,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)


def through_json(obj):
    return deserialize_keras_object(json.loads(json.dumps(serialize_keras_object(obj))))


class Own:
    def __init__(self, size):
        self.size = size

    def get_config(self):
        return {"size": self.size}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def function(x):
    return x


@pytest.mark.parametrize(
    "value",
    [None, 3, 2.5, True, "text", [1, [2]], {"a": {"b": None}}, b"bytes", slice(1, None, 2)],
    ids=str,
)
def test_plain_values_come_back(value):
    assert through_json(value) == value


def test_values_of_other_types():
    assert through_json(np.float32(2.5)) == 2.5 and through_json(torch.float16) == "float16"
    assert through_json(np.dtype("int8")) == "int8" and through_json(Ellipsis) is Ellipsis
    assert through_json((1, 2)) == [1, 2]  # JSON has no tuples
    array = through_json(np.array([[1, 2]], "int16"))
    assert array.dtype == np.int16 and array.tolist() == [[1, 2]]
    for value in (torch.tensor([1.5], dtype=torch.bfloat16), keras.Variable([1.5])):
        tensor = through_json(value)
        assert isinstance(tensor, torch.Tensor) and tensor.tolist() == [1.5]
    assert deserialize_keras_object({"class_name": "__tuple__", "config": {"value": [1, 2]}}) == (
        1,
        2,
    )


def test_public_classes_have_keras_names():
    config = serialize_keras_object(keras.layers.Dense(3, name="d"))
    assert (config["module"], config["class_name"]) == ("keras.layers", "Dense")
    assert config["registered_name"] is None and "build_config" not in config
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    assert serialize_keras_object(layer)["build_config"] == {"input_shape": (None, 2)}
    assert through_json(layer).kernel.shape == (2, 3)


def test_own_classes_must_be_offered():
    config = serialize_keras_object(Own(3))
    assert config["class_name"] == config["registered_name"] == "Own"
    with pytest.raises(ValueError, match="neither.*Received.*register_keras_serializable"):
        deserialize_keras_object(config)
    assert deserialize_keras_object(config, custom_objects={"Own": Own}).size == 3
    with custom_object_scope({"Own": Own}):
        assert deserialize_keras_object(config).size == 3
    with pytest.raises(ValueError):
        deserialize_keras_object(config)


def test_registering():
    register_keras_serializable("tests", "Named")(Own)
    assert get_registered_name(Own) == "tests>Named"
    assert get_registered_object("tests>Named") is Own
    assert through_json(Own(4)).size == 4

    class Other(Own):
        pass

    register_keras_serializable("tests", "Named")(Other)
    assert type(through_json(Other(1))) is Other
    assert get_registered_name(Own) == "Own"  # its name has gone to the later class
    register_keras_serializable("tests")(Other)
    assert get_registered_object("tests>Named") is None
    assert get_registered_name(Other) == "tests>Other"


def test_registering_needs_get_config():
    with pytest.raises(ValueError, match="needs a `get_config`.*Received: int"):
        register_keras_serializable()(int)


def test_custom_objects_win_over_the_public_names():
    class Dense(keras.layers.Dense):
        pass

    config = serialize_keras_object(keras.layers.Dense(2))
    assert type(deserialize_keras_object(config, custom_objects={"Dense": Dense})) is Dense
    assert type(deserialize_keras_object(config)) is keras.layers.Dense


def test_scopes_nest():
    with custom_object_scope({"f": function}):
        with custom_object_scope({"f": len, "g": sum}):
            assert get_registered_object("f") is len
        assert get_registered_object("f") is function and get_registered_object("g") is None


def test_functions_go_by_name():
    config = serialize_keras_object(function)
    assert config == {
        "module": "builtins",
        "class_name": "function",
        "config": "function",
        "registered_name": "function",
    }
    assert deserialize_keras_object(config, custom_objects={"function": function}) is function
    assert deserialize_keras_object(config) == "function"
    register_keras_serializable("tests")(function)
    assert through_json(function) is function


@pytest.mark.parametrize("value, error", [(lambda x: x, ValueError), (object(), TypeError)])
def test_what_has_no_config(value, error):
    with pytest.raises(error, match="Received"):
        serialize_keras_object(value)


@pytest.mark.parametrize(
    "config",
    [
        {"module": "os", "class_name": "system", "config": {"command": "true"}},
        {"module": "builtins", "class_name": "eval", "config": {}},
        {"module": "torchkeras.layers", "class_name": "Dense", "config": {"units": 1}},
        {"module": "keras.layers", "class_name": "__class__", "config": {}},
        {"module": "keras.layers", "class_name": "layer", "config": {}},
        {"module": "keras.layers", "class_name": "deserialize", "config": {}},
        {"module": "keras", "class_name": "config", "config": {}},
        {"module": None, "class_name": "Dense", "config": {}},
        {"module": ["keras.layers"], "class_name": "Dense", "config": {}},
        {"module": "keras.layers", "class_name": ["Dense"], "config": {}},
        {"class_name": "__lambda__", "config": {"value": "eHh4"}},
        {"class_name": "__keras_tensor__", "config": {"shape": [1]}},
    ],
    ids=str,
)
def test_a_config_reaches_nothing_but_what_was_offered(config):
    with pytest.raises((ValueError, TypeError)):
        deserialize_keras_object(config)


@pytest.mark.parametrize(
    "config", [object(), {1, 2}, {"class_name": "Dense", "config": 3, "module": "keras.layers"}]
)
def test_what_is_no_config(config):
    with pytest.raises(TypeError, match="Received"):
        deserialize_keras_object(config)


def test_internal_module_names_of_keras_are_understood():
    config = {
        "module": "keras.src.backend.torch.optimizers.torch_sgd",
        "class_name": "SGD",
        "config": {"learning_rate": 0.5},
        "registered_name": "SGD",
    }
    assert isinstance(deserialize_keras_object(config), keras.optimizers.SGD)


def test_expose_offers_classes_only():
    namespace = {"Own": Own, "function": function, "number": 3}
    serialization.expose("tests.namespace", namespace)
    try:
        assert serialization._exposed("tests.namespace", "Own") is Own
        assert serialization._exposed("tests.namespace", "function") is None
        assert serialization._exposed("tests.namespace", "number") is None
    finally:
        del serialization._namespaces["tests.namespace"]
