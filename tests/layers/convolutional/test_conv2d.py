"""Conv2D against its formula, written as loops."""

import itertools

import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, check_layer


def convolved(images, kernel, bias, strides=(1, 1), dilation_rate=(1, 1), groups=1, same=False):
    """The definition, pixel by pixel, for channels last; zeros are added as TensorFlow does."""
    batch, *sizes, channels = images.shape
    kernel_size, filters = kernel.shape[:2], kernel.shape[3]
    pads, outs = [], []
    for n, k, s, d in zip(sizes, kernel_size, strides, dilation_rate, strict=True):
        reach = (k - 1) * d + 1
        outs.append(-(-n // s) if same else -(-(n - reach + 1) // s))
        total = max((outs[-1] - 1) * s + reach - n, 0) if same else 0
        pads.append((total // 2, total - total // 2))
    padded = torch.zeros(batch, sizes[0] + sum(pads[0]), sizes[1] + sum(pads[1]), channels)
    padded[:, pads[0][0] : pads[0][0] + sizes[0], pads[1][0] : pads[1][0] + sizes[1]] = images
    result = torch.zeros(batch, *outs, filters)
    inside, made = channels // groups, filters // groups
    for y, x, f in itertools.product(range(outs[0]), range(outs[1]), range(filters)):
        first = f // made * inside
        for i, j in itertools.product(range(kernel_size[0]), range(kernel_size[1])):
            row = y * strides[0] + i * dilation_rate[0]
            column = x * strides[1] + j * dilation_rate[1]
            pixels = padded[:, row, column, first : first + inside]
            result[:, y, x, f] += pixels @ kernel[i, j, :, f]
    return result + bias


CASES = {
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


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_values_are_those_of_the_definition(case, data_format):
    arguments = {"kernel_size": 3, **CASES[case]}
    layer = keras.layers.Conv2D(8, **arguments, data_format=data_format, bias_initializer="normal")
    images = torch.randn(2, 7, 6, 4, generator=torch.Generator().manual_seed(0))
    first = data_format == "channels_first"
    outputs = layer(images.permute(0, 3, 1, 2) if first else images)
    expected = convolved(
        images,
        layer.kernel.value.detach(),
        layer.bias.value.detach(),
        layer.strides,
        layer.dilation_rate,
        layer.groups,
        layer.padding == "same",
    )
    assert_close(outputs.permute(0, 2, 3, 1) if first else outputs, expected)
    inputs = images.permute(0, 3, 1, 2) if first else images
    assert layer.compute_output_shape(tuple(inputs.shape)) == tuple(outputs.shape)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"padding": "same", "strides": 2, "activation": "relu"},
        {"data_format": "channels_first", "groups": 2, "use_bias": False},
        {"dilation_rate": 2, "kernel_regularizer": "l2", "bias_constraint": "non_neg"},
    ],
)
def test_holds_the_contract_of_layers(arguments):
    first = arguments.get("data_format") == "channels_first"
    check_layer(
        keras.layers.Conv2D,
        {"filters": 4, "kernel_size": 3, **arguments},
        input_shape=(2, 4, 7, 6) if first else (2, 7, 6, 4),
        expected_num_weights=1 if "use_bias" in arguments else 2,
        expected_num_losses=1 if "kernel_regularizer" in arguments else 0,
        supports_masking=False,
    )


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


def test_channels_last_images_reach_torch_without_a_copy(monkeypatch):
    seen = []
    conv2d = torch.nn.functional.conv2d
    monkeypatch.setattr(
        torch.nn.functional, "conv2d", lambda x, *rest: seen.append(x) or conv2d(x, *rest)
    )
    images = torch.ones(2, 5, 5, 3)
    keras.layers.Conv2D(4, 3, padding="same", data_format="channels_last")(images)
    assert seen[0].data_ptr() == images.data_ptr()
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


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
