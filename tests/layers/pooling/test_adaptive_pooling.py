"""Adaptive pooling against the windows of its definition."""

import itertools
import math

import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, case, layer_cases

layers = keras.layers
SIZES = {1: (7,), 2: (7, 5), 3: (5, 4, 3)}
ASKED = {1: (3,), 2: (3, 2), 3: (2, 5, 3)}


def pooled(inputs, asked, kind):
    result = torch.empty(inputs.shape[0], *asked, inputs.shape[-1])
    for place in itertools.product(*map(range, asked)):
        cut = [
            slice(i * n // m, math.ceil((i + 1) * n / m))
            for i, n, m in zip(place, inputs.shape[1:-1], asked, strict=True)
        ]
        window = inputs[(slice(None), *cut)].flatten(1, -2)
        result[(slice(None), *place)] = window.amax(1) if kind == "Max" else window.mean(1)
    return result


@pytest.mark.parametrize("kind", ["Max", "Average"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_values_are_those_of_the_definition(kind, rank, data_format):
    inputs = torch.randn(2, *SIZES[rank], 3)
    layer = getattr(layers, f"Adaptive{kind}Pooling{rank}D")(ASKED[rank], data_format)
    first = data_format == "channels_first"
    given = inputs.movedim(-1, 1) if first else inputs
    outputs = layer(given)
    assert layer.compute_output_shape(tuple(given.shape)) == tuple(outputs.shape)
    expected = pooled(inputs, ASKED[rank], kind)
    assert_close(outputs.movedim(1, -1) if first else outputs, expected)


def pooling(name, shape, **arguments):
    return case(getattr(layers, name), arguments, shape, expected_num_weights=0)


@layer_cases(
    {
        "max 1D": pooling("AdaptiveMaxPooling1D", (2, 7, 3), output_size=3),
        "max 2D": pooling("AdaptiveMaxPooling2D", (2, 7, 5, 3), output_size=(3, 2)),
        "max 3D": pooling("AdaptiveMaxPooling3D", (2, 4, 5, 3, 2), output_size=2),
        "average 1D": pooling("AdaptiveAveragePooling1D", (2, 7, 3), output_size=3),
        "average 2D": pooling(
            "AdaptiveAveragePooling2D", (2, 3, 7, 5), output_size=2, data_format="channels_first"
        ),
        "average 3D": pooling("AdaptiveAveragePooling3D", (2, 4, 5, 3, 2), output_size=2),
    }
)
def test_holds_the_contract_of_layers(check):
    check()


def test_unknown_sizes_become_known():
    layer = layers.AdaptiveAveragePooling2D((3, 2))
    assert layer(keras.Input((None, None, 4))).shape == (None, 3, 2, 4)


def test_integer_pixels_become_floats():
    pixels = torch.randint(0, 256, (1, 4, 4, 3), dtype=torch.uint8)
    layer = layers.AdaptiveAveragePooling2D(2)
    assert_close(layer(pixels), layer(pixels.float()))


@pytest.mark.parametrize(
    ("cls", "output_size", "error"),
    [
        (layers.AdaptiveMaxPooling2D, "ab", TypeError),
        (layers.AdaptiveMaxPooling2D, (2, 2, 2), TypeError),
        (layers.AdaptiveMaxPooling1D, (2, 2), ValueError),
        (layers.AdaptiveMaxPooling1D, 2.5, TypeError),
        (layers.AdaptiveMaxPooling3D, (2, 0, 2), ValueError),
    ],
)
def test_sizes_that_are_none_are_errors(cls, output_size, error):
    with pytest.raises(error, match="`output_size` must be an int.* Received: output_size="):
        cls(output_size)


def test_what_else_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="`data_format`"):
        layers.AdaptiveMaxPooling2D(2, "last")
    with pytest.raises(ValueError, match="expects an input of rank 4"):
        layers.AdaptiveMaxPooling2D(2)(torch.ones(2, 3, 4))
