"""torchkeras.initializers: names, configs, `get`."""

import json
import pickle

import numpy as np
import pytest
import torch

from torchkeras import initializers, random
from torchkeras.core.serialization import custom_object_scope, register_keras_serializable
from torchkeras.core.variable import Variable

CLASSES = [
    initializers.Constant,
    initializers.Identity,
    initializers.Ones,
    initializers.Zeros,
    initializers.GlorotNormal,
    initializers.GlorotUniform,
    initializers.HeNormal,
    initializers.HeUniform,
    initializers.LecunNormal,
    initializers.LecunUniform,
    initializers.Orthogonal,
    initializers.RandomNormal,
    initializers.RandomUniform,
    initializers.TruncatedNormal,
    initializers.VarianceScaling,
]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_is_found_by_name_class_config_and_instance(cls):
    snake = "".join("_" + c.lower() if c.isupper() else c for c in cls.__name__).lstrip("_")
    assert getattr(initializers, snake) is cls
    for identifier in (cls.__name__, snake, cls, initializers.serialize(cls())):
        assert type(initializers.get(identifier)) is cls
    assert type(initializers.get({"class_name": cls.__name__, "config": {}})) is cls or (
        cls is initializers.Constant
    )
    instance = cls()
    assert initializers.get(instance) is instance


@pytest.mark.parametrize("cls", CLASSES)
def test_config_survives_json_clone_and_pickle(cls):
    first = cls(seed=3) if "seed" in cls().get_config() else cls()
    text = json.dumps(initializers.serialize(first))
    copies = [initializers.deserialize(json.loads(text)), first.clone()]
    copies.append(pickle.loads(pickle.dumps(first)))
    for copy in copies:
        assert type(copy) is cls
        assert copy.get_config() == first.get_config()
        torch.testing.assert_close(copy((4, 3)), first((4, 3)), rtol=0, atol=0)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16", "float64"])
def test_shape_dtype_and_device(cls, dtype):
    value = cls()((4, 3), dtype=dtype)
    assert value.shape == (4, 3)
    assert value.dtype is getattr(torch, dtype or "float32")
    assert torch.isfinite(value).all()
    with torch.device("meta"):
        assert cls()((4, 3)).device.type == "meta"


def test_names_from_before_keras_3():
    assert type(initializers.get("normal")) is initializers.RandomNormal
    assert type(initializers.get("uniform")) is initializers.RandomUniform
    assert type(initializers.get("one")) is initializers.Ones
    assert type(initializers.get("zero")) is initializers.Zeros
    assert type(initializers.get("IdentityInitializer")) is initializers.Identity
    assert type(initializers.get("OrthogonalInitializer")) is initializers.Orthogonal


def test_get_passes_none_and_callables_through():
    def half(shape, dtype=None):
        return torch.full(shape, 0.5)

    assert initializers.get(None) is None
    assert initializers.get(half) is half


@pytest.mark.parametrize("value", [np.eye(3), torch.eye(3), np.float32(2.0)])
def test_get_of_an_array_gives_its_values_for_its_shape_only(value):
    initializer = initializers.get(value)
    shape = tuple(value.shape)
    torch.testing.assert_close(initializer(shape), torch.as_tensor(value, dtype=torch.float32))
    with pytest.raises(ValueError, match="Expected `shape` to be .* Received: shape=.4, 3"):
        initializer((4, 3))
    again = initializers.deserialize(initializers.serialize(initializer))
    torch.testing.assert_close(again(shape), initializer(shape))


@pytest.mark.parametrize("identifier", ["glorot", 3, {"class_name": "Nope", "config": {}}, {}])
def test_unknown_identifier_is_an_error_with_what_was_received(identifier):
    with pytest.raises(ValueError, match="Received"):
        initializers.get(identifier)


def test_error_names_the_choices():
    with pytest.raises(ValueError, match=r"Received: 'glorot'\. The names are: .*glorot_uniform"):
        initializers.get("glorot")


def test_registered_and_custom_objects():
    @register_keras_serializable("tests_initializers")
    class Two(initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return torch.full(shape, 2.0)

    class Three(Two):
        pass

    assert type(initializers.get("tests_initializers>Two")) is Two
    assert type(initializers.get(initializers.serialize(Two()))) is Two
    with custom_object_scope({"Three": Three}):
        assert type(initializers.get("Three")) is Three
    config = {"class_name": "Three", "config": {}}
    assert type(initializers.deserialize(config, custom_objects={"Three": Three})) is Three
    with pytest.raises(ValueError):
        initializers.deserialize(config)


def test_a_config_cannot_reach_other_modules():
    for module, name in [("os", "system"), ("builtins", "eval"), ("torch.nn", "Linear")]:
        with pytest.raises(ValueError, match="neither"):
            initializers.get({"module": module, "class_name": name, "config": {}})


def test_base_class_has_no_call():
    with pytest.raises(NotImplementedError, match="Received: Initializer"):
        initializers.Initializer()((2,))
    assert initializers.Initializer().get_config() == {}


def test_repr_is_short():
    assert repr(initializers.Zeros()) == "<Zeros>"
    assert repr(initializers.GlorotUniform()) == "<GlorotUniform seed=None>"
    assert repr(initializers.RandomNormal(stddev=0.1, seed=3)) == (
        "<RandomNormal stddev=0.1 seed=3>"
    )
    assert repr(initializers.Constant(3)) == "<Constant value=3>"
    seeded = initializers.HeNormal(seed=random.SeedGenerator(1))
    assert repr(seeded) == "<HeNormal seed=SeedGenerator>"
    assert repr(initializers.Constant(np.arange(3.0))) == "<Constant value=array([0., 1., 2.])>"
    assert len(repr(initializers.Constant(np.zeros(1000)))) < 60


def test_variable_takes_an_initializer_by_name():
    v = Variable("glorot_uniform", shape=(30, 20))
    limit = (6 / 50) ** 0.5
    assert v.value.abs().max() <= limit
    assert v.value.std().item() == pytest.approx(limit / 3**0.5, rel=0.1)
    assert isinstance(v.initializer, initializers.GlorotUniform)
    assert Variable("ones", shape=(2,), dtype="int32").numpy().tolist() == [1, 1]
