"""Wrapper: the layer within is built, described and saved with it."""

import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, check_layer


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.layers.Wrapper):
    """Twice what the layer gives."""

    def call(self, inputs):
        return 2 * self.layer(inputs)


def test_subclass_holds_the_contract_of_layers():
    check_layer(
        Doubled,
        lambda: {"layer": keras.layers.Dense(4, kernel_regularizer="l2")},
        (2, 3),
        expected_output_shape=(2, 4),
        expected_num_weights=2,
        part="eager",
    )


def test_layer_within_is_built_for_the_same_input():
    inner = keras.layers.Dense(4, name="inner")
    layer = Doubled(inner, name="outer")
    x = torch.ones(2, 3)
    assert_close(layer(x), 2 * inner(x))
    assert [w.path for w in layer.weights] == ["outer/inner/kernel", "outer/inner/bias"]
    assert list(layer.state_dict()) == ["layer.kernel", "layer.bias"]


def test_layer_that_is_built_stays_as_it_is():
    inner = keras.layers.Dense(4)
    inner.build((None, 3))
    kernel = inner.kernel.value
    Doubled(inner)(torch.ones(2, 3))
    assert inner.kernel.value is kernel


def test_what_is_no_layer_is_an_error():
    with pytest.raises(ValueError, match="Received: layer=2 of type int"):
        keras.layers.Wrapper(2)
