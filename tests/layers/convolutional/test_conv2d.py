"""Conv2D against its formula, written as loops."""

import pytest
import torch

import torchkeras as keras
from tests.layers.definitions import convolved, given_to
from tests.testing import assert_close, case, layer_cases

GEOMETRIES = {
    "plain": {},
    "one_pixel": {"kernel_size": 1},
    "strides": {"strides": (2, 3)},
    "dilation": {"dilation_rate": (1, 2)},
    "groups": {"groups": 2},
    "depthwise": {"groups": 4},
    "same": {"padding": "same"},
    "same_even": {"padding": "same", "kernel_size": (2, 4)},
    "same_strides": {"padding": "same", "strides": 2},
    "same_strides_even": {"padding": "same", "strides": (2, 3), "kernel_size": (4, 2)},
    "same_strides_past_the_kernel": {"padding": "same", "strides": 3, "kernel_size": 1},
    "same_dilation": {"padding": "same", "dilation_rate": 2, "kernel_size": (2, 3)},
}


@pytest.mark.parametrize("case", GEOMETRIES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_values_are_those_of_the_definition(case, data_format):
    arguments = {"kernel_size": 3, **GEOMETRIES[case]}
    layer = keras.layers.Conv2D(8, **arguments, data_format=data_format, bias_initializer="normal")
    images = torch.randn(2, 7, 6, 4, generator=torch.Generator().manual_seed(0))
    first = data_format == "channels_first"
    outputs = layer(images.permute(0, 3, 1, 2) if first else images)
    expected = convolved(
        images,
        layer.kernel.value.detach(),
        layer.strides,
        layer.dilation_rate,
        layer.groups,
        layer.padding,
    )
    expected += layer.bias.value.detach()
    assert_close(outputs.permute(0, 2, 3, 1) if first else outputs, expected)
    inputs = images.permute(0, 3, 1, 2) if first else images
    assert layer.compute_output_shape(tuple(inputs.shape)) == tuple(outputs.shape)


def conv(shape=(2, 7, 6, 4), expected_num_weights=2, expected_num_losses=0, **arguments):
    return case(
        keras.layers.Conv2D,
        {"filters": 4, "kernel_size": 3, **arguments},
        shape,
        expected_num_weights=expected_num_weights,
        expected_num_losses=expected_num_losses,
        supports_masking=False,
    )


CASES = {
    "plain": conv(),
    "strides": conv(padding="same", strides=2, activation="relu"),
    "channels first": conv((2, 4, 7, 6), 1, data_format="channels_first", groups=2, use_bias=False),
    "dilation": conv(
        expected_num_losses=1, dilation_rate=2, kernel_regularizer="l2", bias_constraint="non_neg"
    ),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()


def test_activation_follows_the_bias():
    layer = keras.layers.Conv2D(1, 1, activation="relu", bias_initializer="ones")
    layer.build((None, 2, 2, 1))
    layer.kernel.assign(torch.ones(1, 1, 1, 1))
    assert_close(layer(torch.full((1, 2, 2, 1), -0.5)), torch.full((1, 2, 2, 1), 0.5))
    assert_close(layer(torch.full((1, 2, 2, 1), -3.0)), torch.zeros(1, 2, 2, 1))


def test_sizes_that_are_unknown_stay_unknown():
    layer = keras.layers.Conv2D(4, 3, strides=2)
    assert layer(keras.Input((None, 9, 3))).shape == (None, None, 4, 4)
    layer = keras.layers.Conv2D(4, 3, padding="same", data_format="channels_first")
    assert layer(keras.Input((3, None, None))).shape == (None, 4, None, None)


def test_channels_last_images_reach_torch_without_a_copy():
    images = torch.ones(2, 5, 5, 3)
    layer = keras.layers.Conv2D(4, 3, padding="same", data_format="channels_last")
    seen = given_to(torch.conv2d, layer, images)
    assert seen.data_ptr() == images.data_ptr()
    assert seen.is_contiguous(memory_format=torch.channels_last)


def test_integer_pixels_become_floats():
    layer = keras.layers.Conv2D(2, 2)
    pixels = torch.randint(0, 256, (1, 4, 4, 3), dtype=torch.uint8)
    assert_close(layer(pixels), layer(pixels.float()))
    assert layer(keras.Input((4, 4, 3), dtype="uint8")).dtype == "float32"


def test_data_format_of_the_settings_is_the_default():
    keras.config.set_image_data_format("channels_first")
    try:
        layer = keras.layers.Conv2D(4, 3)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert layer.get_config()["data_format"] == "channels_first"
    assert layer(torch.ones(1, 2, 5, 6)).shape == (1, 4, 3, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "`filters` must be an int of at least 1. Received: filters=0"),
        ({"filters": 2.5}, "filters=2.5"),
        ({"groups": 0}, "`groups`"),
        ({"groups": 3}, "`filters` must be a multiple of `groups`"),
        ({"kernel_size": 0}, "`kernel_size`"),
        ({"kernel_size": (1, 2, 3)}, "`kernel_size`"),
        ({"kernel_size": "ab"}, "`kernel_size`"),
        ({"strides": (1, 0)}, "`strides`"),
        ({"strides": 2, "dilation_rate": 2}, "exclude each other"),
        ({"padding": "full"}, "`padding` must be one of 'valid', 'same'"),
        ({"data_format": "last"}, "`data_format` must be one of"),
        ({"lora_rank": 2}, "lora_rank"),
    ],
)
def test_arguments_out_of_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras.layers.Conv2D(**{"filters": 4, "kernel_size": 3, **arguments})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 5, 5), "expects an input of rank 4"),
        ((1, 5, 5, 3), "multiple of `groups`"),
        ((1, 2, 5, 4), "at least the kernel's size, 3 pixels on axis 1"),
    ],
)
def test_images_that_do_not_fit_are_errors(shape, message):
    for images in (torch.ones(shape), keras.Input(shape[1:])):
        with pytest.raises(ValueError, match=message):
            keras.layers.Conv2D(4, 3, groups=2)(images)


def test_unknown_channels_are_an_error():
    with pytest.raises(ValueError, match="needs the size of the last axis"):
        keras.layers.Conv2D(4, 3)(keras.Input((5, 5, None)))
