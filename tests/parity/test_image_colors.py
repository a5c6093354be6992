"""Layers that change colours, erase and mix against real Keras, given what Keras has drawn."""

import json

import numpy as np
import pytest
import torch

import torchkeras
from torchkeras import layers

keras = pytest.importorskip("keras")

BYTES = (0, 255)
UNIT = (0.0, 1.0)
FIRST = {"data_format": "channels_first"}

# Arguments with which Keras computes as it says; docs/differences.md lists the others.
CASES = {
    "brightness": ("RandomBrightness", {"factor": 0.3}),
    "brightness_unit": ("RandomBrightness", {"factor": (-0.2, 0.7), "value_range": UNIT}),
    "contrast": ("RandomContrast", {"factor": (0.2, 0.7)}),
    "contrast_first": ("RandomContrast", {"factor": (0.2, 0.7), **FIRST}),
    "degeneration": ("RandomColorDegeneration", {"factor": (0.2, 0.7)}),
    "degeneration_first": ("RandomColorDegeneration", {"factor": (0.2, 0.7), **FIRST}),
    "grayscale": ("RandomGrayscale", {"factor": 0.4}),
    "grayscale_first": ("RandomGrayscale", {"factor": 0.4, **FIRST}),
    "hue": ("RandomHue", {"factor": 0.8}),
    "hue_first": ("RandomHue", {"factor": (0.1, 0.8), "value_range": UNIT, **FIRST}),
    "saturation": ("RandomSaturation", {"factor": (0.1, 0.5)}),
    "saturation_unit": ("RandomSaturation", {"factor": (0.1, 0.9), "value_range": UNIT}),
    "saturation_first": ("RandomSaturation", {"factor": (0.1, 0.5), **FIRST}),
    "invert": ("RandomInvert", {"factor": (0.2, 0.8)}),
    "invert_unit": ("RandomInvert", {"value_range": UNIT}),
    "posterization": ("RandomPosterization", {"factor": 5}),
    "posterization_unit": ("RandomPosterization", {"factor": (2, 6), "value_range": UNIT}),
    "sharpness": ("RandomSharpness", {"factor": 1.0}),
    "sharpness_first": ("RandomSharpness", {"factor": (0.3, 0.9), "value_range": UNIT, **FIRST}),
    "solarization": ("Solarization", {"addition_factor": 0.3, "threshold_factor": 0.8}),
    "solarization_unit": ("Solarization", {"threshold_factor": (0.3, 0.9), "value_range": UNIT}),
    "auto_contrast": ("AutoContrast", {}),
    "auto_contrast_unit": ("AutoContrast", {"value_range": (-1, 1)}),
    # Tiles of 8 pixels, so that the limit is a whole number.
    "clahe": (
        "ContrastLimitedAdaptiveHistogramEqualization",
        {"tile_grid_size": (5, 2), "clip_limit": 32.0},
    ),
    "clahe_unit": (
        "ContrastLimitedAdaptiveHistogramEqualization",
        {"value_range": UNIT, "clip_limit": 0, "tile_grid_size": (2, 5), **FIRST},
    ),
    "erasing": ("RandomErasing", {"factor": (0.3, 0.9)}),
    "erasing_color": ("RandomErasing", {"scale": 0.7, "fill_value": [300, 2, 3]}),
    "erasing_first": ("RandomErasing", {"fill_value": 0.5, "value_range": UNIT, **FIRST}),
    "mix_up": ("MixUp", {"alpha": 0.8}),
    "cut_mix": ("CutMix", {"factor": 0.8}),
    "cut_mix_first": ("CutMix", {"factor": (0.2, 1.0), **FIRST}),
}


def pair(name, arguments):
    return getattr(layers, name)(**arguments), getattr(keras.layers, name)(**arguments)


def images_for(arguments, batch=6, seed=0):
    low, high = arguments.get("value_range", BYTES)
    shape = (batch, 3, 9, 8) if "data_format" in arguments else (batch, 9, 8, 3)
    x = np.random.default_rng(seed).uniform(low, high, shape)
    return torch.tensor(np.round(x) if high == 255 else x, dtype=torch.float32)


@pytest.mark.parametrize(("name", "arguments"), CASES.values(), ids=CASES)
def test_images(name, arguments):
    ours, theirs = pair(name, arguments)
    x = images_for(arguments)
    transformation = theirs.get_random_transformation(x, training=True)
    expected = theirs.transform_images(x.clone(), transformation, training=True)
    found = ours.transform_images(x, transformation, training=True)
    # 255 times some roundings of float32.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=5e-4)
    assert found.shape == ours(x).shape == theirs(x).shape


@pytest.mark.parametrize(("name", "arguments"), CASES.values(), ids=CASES)
def test_config(name, arguments):
    ours, theirs = (layer.get_config() for layer in pair(name, {**arguments, "name": "it"}))
    if name == "RandomGrayscale":
        assert ours.pop("seed") is None
    ours, theirs = (json.loads(json.dumps(c, default=lambda x: x.name)) for c in (ours, theirs))
    for config in (ours, theirs):
        for key in ("value_range", "factor"):
            if isinstance(config.get(key), list):
                config[key] = [float(x) for x in config[key]]
    assert ours == {**theirs, "dtype": ours["dtype"]}


@pytest.mark.parametrize(("name", "arguments"), CASES.values(), ids=CASES)
def test_what_we_draw_does_for_keras(name, arguments):
    ours, theirs = pair(name, arguments)
    x = images_for(arguments)
    transformation = ours.get_random_transformation(x, training=True)
    expected = theirs.transform_images(x.clone(), transformation, training=True)
    found = ours.transform_images(x, transformation, training=True)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=5e-4)


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_labels(name):
    ours, theirs = pair(name, {})
    x = images_for({})
    labels = torch.eye(6)
    transformation = theirs.get_random_transformation(x, training=True)
    expected = theirs.transform_labels(labels, transformation)
    torch.testing.assert_close(ours.transform_labels(labels, transformation), expected)


@pytest.mark.filterwarnings("ignore:.*Tensor.T is deprecated")
@pytest.mark.parametrize("arguments", [{}, {"value_range": UNIT, **FIRST}])
def test_equalization_of_one_image(arguments):
    """Keras has one histogram for a batch; it looks up some values in the bin below their own."""
    ours, theirs = pair("Equalization", arguments)
    x = images_for(arguments, batch=1)
    found, expected = ours(x), theirs(x)
    scale = 255 / arguments.get("value_range", BYTES)[1]
    same = (found - expected).abs() * scale < 1e-2
    assert same.float().mean() > 0.6
    if scale == 1:
        unrounded = x / 255.0 * 255.0
        assert bool(same[unrounded >= x].all())


@pytest.mark.parametrize("sigma", [(0.3, 0.3), (0.3, 0.9)])
@pytest.mark.parametrize("arguments", [{}, {"value_range": UNIT, **FIRST}])
def test_blur(sigma, arguments):
    ours, theirs = pair("RandomGaussianBlur", {"sigma": sigma, "kernel_size": 5, **arguments})
    x = images_for(arguments)
    transformation = theirs.get_random_transformation(x, training=True)
    expected = theirs.transform_images(x, transformation)
    torch.testing.assert_close(
        ours.transform_images(x, transformation), expected, rtol=1e-5, atol=5e-4
    )


def test_jitter_is_made_of_layers_that_are_compared():
    arguments = {"brightness_factor": 0.2, "contrast_factor": (0.1, 0.3), "hue_factor": 0.4}
    ours, theirs = pair("RandomColorJitter", {**arguments, "name": "it"})
    assert {**ours.get_config(), "dtype": 0, "value_range": 0} == {
        **theirs.get_config(),
        "dtype": 0,
        "value_range": 0,
    }
    for name in ("random_brightness", "random_contrast", "random_saturation", "random_hue"):
        assert (getattr(ours, name) is None) == (getattr(theirs, name) is None)


def test_files_name_the_layers_as_keras_does():
    for name in {name for name, _ in CASES.values()}:
        config = keras.saving.serialize_keras_object(
            getattr(keras.layers, name)(**({"factor": 1} if name in NEED_FACTOR else {}))
        )
        layer = torchkeras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
        assert type(layer) is getattr(layers, name)


NEED_FACTOR = (
    "RandomBrightness",
    "RandomContrast",
    "RandomColorDegeneration",
    "RandomHue",
    "RandomSaturation",
    "RandomPosterization",
    "RandomSharpness",
)
