"""keras.utils.Config, and configs in the form of Keras 2, beside Keras's."""

import copy
import pickle

import pytest

import torchkeras as keras


@pytest.mark.parametrize("lib", ["ours", "keras"])
def test_config_is_a_dict_with_attributes(lib):
    lib = keras if lib == "ours" else pytest.importorskip("keras")
    config = lib.utils.Config(rate=0.1, units=2)
    config.seed = 3
    config["name"] = "x"
    assert config.seed == config["seed"] == 3 and config.rate == 0.1
    assert list(config) == ["name", "rate", "seed", "units"] and len(config) == 4
    assert "seed" in config and config.get("none", 5) == 5 and config.pop("name") == "x"
    assert config.as_dict() == {"rate": 0.1, "units": 2, "seed": 3}
    assert config.to_json() == '{"rate": 0.1, "units": 2, "seed": 3}'
    assert repr(config) == "<Config {'rate': 0.1, 'units': 2, 'seed': 3}>"
    assert list(config.keys()) == ["rate", "units", "seed"] and dict(config.items())["units"] == 2
    with pytest.raises(AttributeError, match="Unknown attribute: 'unit'. Did you mean 'units'?"):
        config.unit  # noqa: B018
    config.freeze()
    assert config.frozen
    for change in (
        lambda: setattr(config, "seed", 4),
        lambda: config.update(seed=4),
        lambda: config.pop("seed"),
        lambda: config.__delitem__("seed"),
        lambda: config.__setitem__("new", 1),
    ):
        with pytest.raises(ValueError, match="frozen"):
            change()
    config.unfreeze()
    del config["seed"]
    config.update({"rate": 1})
    assert config.as_dict() == {"rate": 1, "units": 2}


def test_config_is_copied_and_pickled():
    config = keras.utils.Config(rate=0.1)
    for twin in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        twin.rate = 0.2
        assert config.rate == 0.1 and twin.as_dict() == {"rate": 0.2}


def objects(lib):
    return {
        "initializers": [lib.initializers.Constant(2.0), lib.initializers.HeNormal(seed=1)],
        "regularizers": [lib.regularizers.L2(0.1)],
        "losses": [lib.losses.MeanSquaredError(reduction="sum")],
        "constraints": [lib.constraints.MaxNorm(3)],
    }


def test_objects_have_keras_2_configs_and_come_back():
    real = pytest.importorskip("keras")
    legacy = keras.utils.legacy
    assert keras.legacy.saving.serialize_keras_object is legacy.serialize_keras_object
    for space, mine in objects(keras).items():
        for one, theirs in zip(mine, objects(real)[space], strict=True):
            config = legacy.serialize_keras_object(one)
            assert config == real.utils.legacy.serialize_keras_object(theirs)
            names = vars(getattr(keras, space))
            again = legacy.deserialize_keras_object(config, module_objects=names)
            assert type(again) is type(one) and again.get_config() == one.get_config()
    assert legacy.serialize_keras_object(None) is None
    assert legacy.serialize_keras_object(keras.activations.relu) == "relu"
    names = vars(keras.activations)
    assert legacy.deserialize_keras_object("relu", names) is keras.activations.relu
    assert legacy.deserialize_keras_object(None) is None


def test_objects_within_objects():
    class Holder:
        def __init__(self, inner, activation):
            self.inner, self.activation = inner, activation

        def get_config(self):
            return {"inner": self.inner, "activation": self.activation}

        @classmethod
        def from_config(cls, config):
            return cls(**config)

    legacy = keras.utils.legacy
    config = legacy.serialize_keras_object(Holder(keras.initializers.Ones(), "relu"))
    assert config["config"]["inner"]["__passive_serialization__"] is True
    names = {**vars(keras.activations), **vars(keras.initializers)}
    again = legacy.deserialize_keras_object(config, names, custom_objects={"Holder": Holder})
    assert isinstance(again.inner, keras.initializers.Ones)
    assert again.activation is keras.activations.relu


@pytest.mark.parametrize("lib", ["ours", "keras"])
def test_what_is_unknown_is_an_error(lib):
    lib = keras if lib == "ours" else pytest.importorskip("keras")
    read = lib.utils.legacy.deserialize_keras_object
    for wrong in ({"class_name": "os.system", "config": {}}, {"config": {}}, 3):
        with pytest.raises(ValueError):
            read(wrong, module_objects={})
    with pytest.raises(ValueError):
        lib.utils.legacy.serialize_keras_object(3)
