"""Conv1D and Conv3D against the formula, and what all convolutions have in common."""

import pytest
import torch

import torchkeras as keras
from tests.layers.definitions import convolved, given_to
from tests.testing import assert_close, case, layer_cases

layers = keras.layers
SIZES = {1: (7,), 2: (7, 6), 3: (5, 4, 6)}
ARGUMENTS = {
    "plain": {},
    "even": {"kernel_size": 2, "padding": "same"},
    "same": {"padding": "same"},
    "same_strides": {"padding": "same", "strides": 2, "kernel_size": 4},
    "strides": {"strides": 2},
    "same_dilation": {"padding": "same", "dilation_rate": 2, "kernel_size": 2},
    "groups": {"groups": 2},
    "causal": {"padding": "causal"},
    "causal_strides": {"padding": "causal", "strides": 2},
    "causal_dilation": {"padding": "causal", "dilation_rate": 2, "kernel_size": 2},
}
CASES = [
    (rank, name)
    for rank in (1, 3)
    for name in ARGUMENTS
    if rank == 1 or not name.startswith("causal")
]


@pytest.mark.parametrize(("rank", "name"), CASES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_values_are_those_of_the_definition(rank, name, data_format):
    arguments = {"kernel_size": 3, **ARGUMENTS[name], "data_format": data_format}
    layer = getattr(layers, f"Conv{rank}D")(4, **arguments, bias_initializer="normal")
    inputs = torch.randn(2, *SIZES[rank], 4, generator=torch.Generator().manual_seed(0))
    first = data_format == "channels_first"
    outputs = layer(inputs.movedim(-1, 1) if first else inputs)
    kernel, bias = (weight.value.detach() for weight in layer.weights)
    expected = bias + convolved(
        inputs, kernel, layer.strides, layer.dilation_rate, layer.groups, layer.padding
    )
    assert_close(outputs.movedim(1, -1) if first else outputs, expected)
    shape = (2, 4, *SIZES[rank]) if first else (2, *SIZES[rank], 4)
    assert layer.compute_output_shape(shape) == tuple(outputs.shape)


def conv(rank, shape, weights=2, **arguments):
    return case(
        getattr(layers, f"Conv{rank}D"),
        {"filters": 4, "kernel_size": 3, **arguments},
        shape,
        expected_num_weights=weights,
        supports_masking=False,
    )


@layer_cases(
    {
        "1D": conv(1, (2, 7, 4)),
        "1D causal": conv(1, (2, 7, 4), padding="causal", strides=2, activation="relu"),
        "1D channels first": conv(
            1, (2, 4, 7), 1, data_format="channels_first", groups=2, use_bias=False
        ),
        "3D": conv(3, (2, 4, 5, 6, 2), padding="same", strides=2),
        "3D channels first": conv(3, (2, 2, 4, 5, 6), data_format="channels_first"),
    }
)
def test_holds_the_contract_of_layers(check):
    check()


def test_causal_outputs_do_not_depend_on_later_inputs():
    layer = layers.Conv1D(2, 3, padding="causal", dilation_rate=2)
    inputs = torch.randn(1, 9, 3, requires_grad=True)
    layer(inputs)[0, 4].sum().backward()
    used = inputs.grad[0].abs().sum(-1) > 0
    assert used.nonzero().flatten().tolist() == [0, 2, 4]


def test_sizes_that_are_unknown_stay_unknown():
    assert layers.Conv1D(4, 3)(keras.Input((None, 3))).shape == (None, None, 4)
    layer = layers.Conv3D(4, 3, strides=2, padding="same", data_format="channels_first")
    assert layer(keras.Input((2, None, 5, None))).shape == (None, 4, None, 3, None)


def test_a_chain_of_layers_copies_nothing():
    images = torch.ones(2, 6, 6, 3)
    first = layers.Conv2D(4, 3, padding="same", activation="relu")
    depthwise = layers.DepthwiseConv2D(3)
    seen = given_to(torch.conv2d, depthwise, first(images))
    assert seen.is_contiguous(memory_format=torch.channels_last)
    steps = torch.ones(2, 6, 3)
    seen = given_to(torch.conv2d, layers.Conv1D(4, 3), steps)
    assert seen.data_ptr() == steps.data_ptr()
    assert seen.is_contiguous(memory_format=torch.channels_last)
    assert layers.Conv1D(4, 3, padding="same")(steps).is_contiguous()
    volumes = torch.ones(2, 6, 6, 6, 3)
    seen = given_to(torch.conv3d, layers.Conv3D(4, 3), volumes)
    assert seen.data_ptr() == volumes.data_ptr()
    assert seen.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(
    ("name", "second"),
    [
        *(
            (f"Conv{rank}D{kind}", f"Convolution{rank}D{kind}")
            for rank in (1, 2, 3)
            for kind in ("", "Transpose")
        ),
        *((f"SeparableConv{rank}D", f"SeparableConvolution{rank}D") for rank in (1, 2)),
    ],
)
def test_second_names(name, second):
    assert getattr(layers, second) is getattr(layers, name)


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (layers.Conv1D, {"padding": "full"}, "`padding` must be one of 'valid', 'same', 'causal'"),
        (
            layers.Conv3D,
            {"padding": "causal"},
            "`padding` must be one of 'valid', 'same'. Received",
        ),
        (layers.Conv1D, {"kernel_size": (2, 2)}, "`kernel_size`.*a tuple of 1"),
        (layers.Conv3D, {"strides": (2, 2)}, "`strides`.*a tuple of 3"),
        (layers.Conv3D, {"dilation_rate": (2, 1, 1), "strides": 2}, "exclude each other"),
    ],
)
def test_arguments_out_of_range_are_errors(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**{"filters": 4, "kernel_size": 3, **arguments})


@pytest.mark.parametrize(
    ("cls", "shape", "message"),
    [
        (layers.Conv1D, (1, 2, 3), "at least the kernel's size, 3 steps on axis 1"),
        (layers.Conv3D, (1, 4, 4, 2, 3), "at least the kernel's size, 3 voxels on axis 3"),
        (layers.Conv3D, (1, 4, 4, 3), "expects an input of rank 5"),
    ],
)
def test_inputs_that_do_not_fit_are_errors(cls, shape, message):
    for inputs in (torch.ones(shape), keras.Input(shape[1:])):
        with pytest.raises(ValueError, match=message):
            cls(4, 3)(inputs)
