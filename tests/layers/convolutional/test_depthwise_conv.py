"""Depthwise and separable convolutions against the formula."""

import pytest
import torch

import torchkeras as keras
from tests.layers.definitions import convolved
from tests.testing import assert_close, case, layer_cases

layers = keras.layers
SIZES = {1: (7,), 2: (7, 6)}
ARGUMENTS = {
    "plain": {},
    "multiplier": {"depth_multiplier": 2},
    "strides": {"strides": 2, "padding": "same", "kernel_size": 2},
    "dilation": {"dilation_rate": 2, "padding": "same", "depth_multiplier": 2},
    "strides_and_dilation": {"strides": 2, "dilation_rate": 2, "padding": "same"},
}


def depthwise(inputs, kernel, layer):
    """One channel after the other, each with kernels of its own."""
    parts = [
        convolved(
            inputs[..., c : c + 1],
            kernel[..., c : c + 1, :],
            layer.strides,
            layer.dilation_rate,
            padding=layer.padding,
        )
        for c in range(inputs.shape[-1])
    ]
    return torch.cat(parts, -1)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("separable", [False, True])
def test_values_are_those_of_the_definition(rank, name, data_format, separable):
    arguments = {
        "kernel_size": 3,
        **ARGUMENTS[name],
        "data_format": data_format,
        "bias_initializer": "normal",
    }
    if separable:
        layer = getattr(layers, f"SeparableConv{rank}D")(5, **arguments)
    else:
        layer = getattr(layers, f"DepthwiseConv{rank}D")(**arguments)
    inputs = torch.randn(2, *SIZES[rank], 3, generator=torch.Generator().manual_seed(0))
    first = data_format == "channels_first"
    given = inputs.movedim(-1, 1) if first else inputs
    outputs = layer(given)
    assert layer.compute_output_shape(tuple(given.shape)) == tuple(outputs.shape)
    kernel, *pointwise, bias = (weight.value.detach() for weight in layer.weights)
    expected = depthwise(inputs, kernel, layer)
    if separable:
        expected = expected @ pointwise[0].reshape(-1, 5)
    assert_close(outputs.movedim(1, -1) if first else outputs, expected + bias)


def conv(name, shape, weights, **arguments):
    return case(
        getattr(layers, name),
        {"kernel_size": 3, **arguments},
        shape,
        expected_num_weights=weights,
        supports_masking=False,
    )


@layer_cases(
    {
        "depthwise 1D": conv("DepthwiseConv1D", (2, 7, 3), 2, depth_multiplier=2),
        "depthwise 2D": conv("DepthwiseConv2D", (2, 7, 6, 3), 2, padding="same", strides=2),
        "depthwise channels first": conv(
            "DepthwiseConv2D", (2, 3, 7, 6), 1, data_format="channels_first", use_bias=False
        ),
        "separable 1D": conv("SeparableConv1D", (2, 7, 3), 3, filters=4, padding="same"),
        "separable 2D": conv("SeparableConv2D", (2, 7, 6, 3), 3, filters=4, activation="relu"),
        "separable channels first": conv(
            "SeparableConv2D",
            (2, 3, 7, 6),
            2,
            filters=4,
            data_format="channels_first",
            use_bias=False,
            pointwise_regularizer="l2",
        ),
    }
)
def test_holds_the_contract_of_layers(check):
    check()


def test_sizes_that_are_unknown_stay_unknown():
    layer = layers.DepthwiseConv2D(3, depth_multiplier=2)
    assert layer(keras.Input((None, 9, 3))).shape == (None, None, 7, 6)
    layer = layers.SeparableConv2D(4, 3, padding="same")
    assert layer(keras.Input((None, None, 3))).shape == (None, None, None, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=0), "`depth_multiplier`"),
        (lambda: layers.SeparableConv2D(4, 3, depth_multiplier=0), "`depth_multiplier`"),
        (lambda: layers.SeparableConv1D(0, 3), "`filters`"),
        (lambda: layers.SeparableConv1D(2, 3, padding="causal"), "`padding` must be one of"),
        (lambda: layers.DepthwiseConv1D(3)(torch.ones(1, 2, 3)), "3 steps on axis 1"),
        (lambda: layers.SeparableConv2D(2, 3)(keras.Input((2, 4, 3))), "3 pixels on axis 1"),
        (lambda: layers.DepthwiseConv2D(3)(keras.Input((5, 5, None))), "size of the last axis"),
    ],
)
def test_what_does_not_fit_is_an_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()
