"""Pooling of windows against the formula, window by window."""

import itertools

import pytest
import torch

import torchkeras as keras
from tests.layers.definitions import gathered, given_to, windows_of
from tests.testing import assert_close, case, layer_cases

layers = keras.layers
SIZES = {1: (7,), 2: (7, 6), 3: (5, 4, 3)}


def pooled(inputs, layer, kind):
    """The largest value, or the mean of what is no padding, of each window."""
    name = "amax" if kind == "Max" else "nanmean"
    value = -torch.inf if kind == "Max" else torch.nan
    windows = windows_of(inputs, layer.pool_size, layer.strides, layer.padding, value=value)
    return gathered(windows, lambda window: getattr(window.flatten(1, -2), name)(1))


@pytest.mark.parametrize("kind", ["Max", "Average"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_values_are_those_of_the_definition(kind, rank, padding, data_format):
    inputs = torch.randn(2, *SIZES[rank], 3, generator=torch.Generator().manual_seed(0))
    first = data_format == "channels_first"
    given = inputs.movedim(-1, 1) if first else inputs
    sizes, strides = ((1, 2, 3, 4, 5), (1, 2, 3)) if rank < 3 else ((1, 2, 3), (1, 2))
    for size, stride in itertools.product(sizes, strides):
        layer = getattr(layers, f"{kind}Pooling{rank}D")(size, stride, padding, data_format)
        outputs = layer(given)
        assert layer.compute_output_shape(tuple(given.shape)) == tuple(outputs.shape)
        assert_close(outputs.movedim(1, -1) if first else outputs, pooled(inputs, layer, kind))


@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_axes_may_differ(kind):
    inputs = torch.randn(2, 7, 6, 3, generator=torch.Generator().manual_seed(0))
    layer = getattr(layers, f"{kind}Pooling2D")((2, 4), (1, 3), "same")
    assert_close(layer(inputs), pooled(inputs, layer, kind))


def test_a_window_larger_than_the_input_reaches_past_it_under_same():
    inputs = torch.arange(6.0).reshape(1, 2, 3, 1)
    layer = layers.AveragePooling2D(7, padding="same")
    assert_close(layer(inputs), torch.full((1, 1, 1, 1), 2.5))


def test_strides_are_the_windows_size_by_default():
    layer = layers.MaxPooling2D((2, 3))
    assert layer.get_config()["strides"] == (2, 3)
    assert layer(torch.ones(1, 4, 6, 1)).shape == (1, 2, 2, 1)


def pooling(name, shape, **arguments):
    return case(
        getattr(layers, name),
        arguments,
        shape,
        expected_num_weights=0,
        supports_masking=False,
    )


@layer_cases(
    {
        "max 1D": pooling("MaxPooling1D", (2, 7, 3)),
        "max 2D": pooling("MaxPooling2D", (2, 7, 6, 3), padding="same"),
        "max 2D step": pooling("MaxPooling2D", (2, 7, 6, 3), padding="same", strides=1),
        "max 2D first": pooling("MaxPooling2D", (2, 3, 7, 6), data_format="channels_first"),
        "max 3D": pooling("MaxPooling3D", (2, 4, 5, 6, 3), strides=1),
        "average 1D": pooling("AveragePooling1D", (2, 7, 3), padding="same"),
        "average 2D": pooling("AveragePooling2D", (2, 7, 6, 3), padding="same", pool_size=3),
        "average 2D first": pooling("AveragePooling2D", (2, 3, 7, 6), data_format="channels_first"),
        "average 3D": pooling("AveragePooling3D", (2, 4, 5, 6, 3)),
    }
)
def test_holds_the_contract_of_layers(check):
    check()


def test_sizes_that_are_unknown_stay_unknown():
    assert layers.MaxPooling2D(2)(keras.Input((None, 7, 3))).shape == (None, None, 3, 3)
    layer = layers.AveragePooling2D(2, padding="same")
    assert layer(keras.Input((None, 7, None))).shape == (None, None, 4, None)


def test_channels_last_images_reach_torch_without_a_copy():
    images = torch.ones(2, 5, 5, 3)
    seen = given_to(torch.max_pool2d, layers.MaxPooling2D(2, padding="same"), images)
    assert seen.data_ptr() == images.data_ptr()
    assert seen.is_contiguous(memory_format=torch.channels_last)
    outputs = layers.MaxPooling2D(2)(images)
    assert outputs.is_contiguous()


@pytest.mark.parametrize("name", ["MaxPooling2D", "AveragePooling2D"])
def test_integer_pixels_become_floats(name):
    layer = getattr(layers, name)(2)
    pixels = torch.randint(0, 256, (1, 4, 4, 3), dtype=torch.uint8)
    assert_close(layer(pixels), layer(pixels.float()))
    assert layer(keras.Input((4, 4, 3), dtype="uint8")).dtype == "float32"


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_second_names(rank, kind):
    short = {"Max": "MaxPool", "Average": "AvgPool"}[kind]
    assert getattr(layers, f"{short}{rank}D") is getattr(layers, f"{kind}Pooling{rank}D")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool_size": 0}, "`pool_size` must be an int of at least 1, or a tuple of 2"),
        ({"pool_size": (2, 2, 2)}, "`pool_size`"),
        ({"strides": 0}, "`strides`"),
        ({"padding": "full"}, "`padding` must be one of 'valid', 'same'"),
        ({"data_format": "last"}, "`data_format`"),
    ],
)
def test_arguments_out_of_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        layers.MaxPooling2D(**arguments)


@pytest.mark.parametrize(
    ("data_format", "shape", "axis"),
    [("channels_last", (4, 2, 3), 2), ("channels_first", (3, 4, 2), 3)],
)
@pytest.mark.parametrize("name", ["MaxPooling2D", "AveragePooling2D"])
def test_a_window_larger_than_the_input_is_an_error(name, data_format, shape, axis):
    layer = getattr(layers, name)(3, data_format=data_format)
    for inputs in (torch.ones(1, *shape), keras.Input(shape)):
        with pytest.raises(ValueError, match=f"the window's size, 3 pixels on axis {axis}"):
            layer(inputs)
    with pytest.raises(ValueError, match="expects an input of rank 4"):
        layer(torch.ones(4, 4, 3))
