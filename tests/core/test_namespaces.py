"""Namespace: what the public `get` and `deserialize` functions share."""

import pytest

import torchkeras as keras
from torchkeras.core import serialization
from torchkeras.core.namespaces import Namespace
from torchkeras.core.serialization import custom_object_scope

SPACES = ["activations", "constraints", "initializers", "losses", "metrics", "regularizers"]
NEED_ARGUMENTS = {
    "LossFunctionWrapper",
    "TorchLoss",
    "MeanMetricWrapper",
    "IoU",
    "BinaryIoU",
    "MeanIoU",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PrecisionAtRecall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
}


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(serialization, "_namespaces", dict(serialization._namespaces))


class Shape:
    def __init__(self, size=1):
        self.size = size

    def __call__(self):
        return self.size

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class BigSquare(Shape):
    pass


def area(size=1):
    return size**2


def make(own_first=False):
    space = Namespace("keras.tests_shapes", Shape, "A shape is given by name.", own_first)
    offered = {"Shape": Shape, "BigSquare": BigSquare, "_Hidden": BigSquare, "area": area}
    others = {"get": area, "number": 3, "int": int, "keras": keras}
    space.fill({**offered, **others}, {"square": BigSquare})
    return space


def test_names_are_the_public_classes_of_the_kind_functions_and_aliases():
    space = make()
    classes = {"Shape": Shape, "BigSquare": BigSquare}
    assert space.names == {**classes, "area": area, "square": BigSquare}
    assert space.functions == {"area": area}


@pytest.mark.parametrize(
    "identifier",
    [
        "BigSquare",
        "square",
        BigSquare,
        BigSquare(),
        {"class_name": "BigSquare"},
        {"class_name": "BigSquare", "config": {"size": 1}},
        {"class_name": "BigSquare", "module": "keras.tests_shapes", "config": {}},
    ],
)
def test_get_of_a_class_in_every_form(identifier):
    found = make().get(identifier)
    assert type(found) is BigSquare and found.size == 1


def test_get_of_functions_and_none():
    space = make()
    assert space.get("area") is area
    assert space.get(area) is area
    assert space.get(abs) is abs
    assert space.get(None) is None


@pytest.mark.parametrize(
    "identifier",
    ["circle", "shape", "_Hidden", "get", "int", 3, {}, {"size": 2}],
)
def test_what_means_nothing_is_an_error_with_what_was_expected_received_and_to_do(identifier):
    with pytest.raises(ValueError) as caught:
        make().get(identifier)
    assert str(caught.value) == (
        f"A shape is given by name. Received: {identifier!r}. The names are: area, square. Pass "
        "what is your own as it is, or register it with keras.saving.register_keras_serializable()."
    )


def test_a_name_in_a_config():
    space = make()
    assert space.deserialize("area") is area
    function = {"module": "builtins", "class_name": "function", "config": "area"}
    assert space.deserialize(function) is area
    function["config"] = "system"
    with pytest.raises(ValueError, match=r"keras\.tests_shapes.*Received: 'system'.*custom_obj"):
        space.deserialize(function)
    assert space.deserialize(function, custom_objects={"system": abs}) is abs


def test_a_config_is_not_written_to():
    config = {"class_name": "BigSquare"}
    make().deserialize(config)
    assert config == {"class_name": "BigSquare"}


@pytest.mark.parametrize("own_first", [False, True])
def test_custom_objects_of_a_name_that_is_ours(own_first):
    with custom_object_scope({"area": abs, "volume": max}):
        assert make(own_first).get("area") is (area if own_first else abs)
        assert make(own_first).get("volume") is max


def test_functions_that_only_configs_name():
    space = make()
    space.fill({"BigSquare": BigSquare, "area": area}, names_functions=False)
    assert space.deserialize({"class_name": "function", "config": "area"}) is area
    with pytest.raises(ValueError, match="Received: 'area'"):
        space.get("area")
    with pytest.raises(ValueError, match="Received: 'huber'"):
        keras.metrics.get("huber")  # as in Keras
    config = keras.metrics.serialize(keras.metrics.huber)
    assert keras.metrics.deserialize(config) is keras.metrics.huber


def test_a_namespace_of_functions_makes_no_instances():
    space = Namespace("keras.tests_functions", None, "A function is given by name.")
    space.fill({"area": area, "Shape": Shape})
    assert space.names == {"area": area}
    assert space.get(Shape) is Shape
    with pytest.raises(ValueError, match="Received: 3"):
        space.get(3)


@pytest.mark.parametrize("name", SPACES)
def test_every_name_of_the_public_namespaces_is_found(name):
    module = getattr(keras, name)
    space = module._NAMESPACE
    assert len(space.names) > 5
    for known, meant in space.names.items():
        if getattr(meant, "__name__", "") in NEED_ARGUMENTS:
            continue
        found = module.get(known)
        assert found is meant or type(found) is meant


@pytest.mark.parametrize("name", [*SPACES, "optimizers"])
def test_a_class_without_a_module_is_looked_for_in_its_namespace(name):
    with pytest.raises(ValueError, match=f"'Nobody' of module 'keras.{name}'.*custom_objects="):
        getattr(keras, name).deserialize({"class_name": "Nobody", "config": {}})


def test_losses_and_metrics_of_ours_come_before_custom_ones_as_in_keras():
    with custom_object_scope({"mse": abs, "relu": abs, "zeros": abs}):
        assert keras.losses.get("mse") is keras.losses.mean_squared_error
        assert type(keras.metrics.get("mse")) is keras.metrics.MeanSquaredError
        assert keras.initializers.get("zeros") is abs
        assert keras.activations.get("relu") is abs
