"""check_layer must notice a layer that breaks its word."""

import pytest
import torch

import torchkeras as keras
from tests.testing import check_layer


class Good(keras.layers.Layer):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")

    def call(self, x):
        return x @ self.kernel.value

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class WrongShape(Good):
    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units + 1)


class ForgetsUnits(Good):
    def get_config(self):
        config = super().get_config()
        del config["units"]
        return config


class NoGradient(Good):
    def call(self, x):
        return x @ self.kernel.value.detach() + 0 * self.kernel.value.sum()


class Float32Only(Good):
    def call(self, x):
        return super().call(x).float()


class Remembers(Good):
    def call(self, x):
        self.kernel.value.detach().add_(1)
        return super().call(x)


class HiddenWeight(Good):
    def build(self, input_shape):
        super().build(input_shape)
        self.__dict__["secret"] = [torch.randn(())]

    def call(self, x):
        return super().call(x) * self.secret[0]


class BreaksGraph(Good):
    def call(self, x):
        torch._dynamo.graph_break()
        return super().call(x)


class IgnoresTheSwap(Good):
    def build(self, input_shape):
        super().build(input_shape)
        self.__dict__["cached"] = self._parameters["kernel"]

    def call(self, x):
        return x @ self.cached if x.device.type != "meta" else super().call(x)


BROKEN = [
    WrongShape,
    ForgetsUnits,
    NoGradient,
    Float32Only,
    Remembers,
    HiddenWeight,
    BreaksGraph,
    IgnoresTheSwap,
]


def check(cls, **expected):
    return check_layer(cls, {"units": 4}, (2, 3), custom_objects={cls.__name__: cls}, **expected)


def test_a_good_layer_passes_and_comes_back_built():
    assert check(Good, expected_output_shape=(2, 4), expected_num_weights=1).built


@pytest.mark.parametrize("cls", BROKEN)
def test_a_broken_layer_is_noticed(cls):
    # torch's own errors count too: a graph break is one
    with pytest.raises((AssertionError, RuntimeError, TypeError)):
        check(cls)


@pytest.mark.parametrize(
    "expected",
    [
        {"expected_output_shape": (2, 5)},
        {"expected_num_weights": 2},
        {"expected_num_trainable_weights": 0},
        {"expected_num_seed_generators": 1},
        {"expected_num_losses": 1},
        {"expected_output_dtype": "float16"},
        {"supports_masking": True},
    ],
)
def test_expectations_are_compared(expected):
    with pytest.raises(AssertionError):
        check(Good, **expected)
