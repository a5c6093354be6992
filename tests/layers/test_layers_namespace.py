import pytest

import torchkeras as keras
from torchkeras import layers


def test_serialize_and_deserialize_are_inverse():
    layer = layers.Dense(3, activation="relu", name="d")
    config = layers.serialize(layer)
    assert (config["module"], config["class_name"]) == ("keras.layers", "Dense")
    assert layers.serialize(layers.deserialize(config)) == config


def test_deserialize_refuses_what_is_no_layer():
    config = keras.saving.serialize_keras_object(keras.initializers.Zeros())
    with pytest.raises(ValueError, match="layer was expected.*Received"):
        layers.deserialize(config)
