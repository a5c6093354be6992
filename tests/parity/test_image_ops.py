"""keras.ops.image against real Keras on torch: values, dtypes, gradients, symbols, signatures."""

import inspect
import types

import numpy as np
import pytest
import torch

import torchkeras
from tests.ops.test_image import FIRST, POINTS, SYMBOLIC
from tests.ops.test_symbolic import KNOWN, outline, replace
from tests.parity.test_ops import assert_same
from torchkeras.ops import image, image_warps

keras = pytest.importorskip("keras")
DTYPES = "uint8 int8 int32 int64 float16 bfloat16 float32 float64".split()


def images(shape=(2, 7, 9, 3), dtype="float32"):
    values = np.random.default_rng(0).uniform(0, 1, shape)
    if "float" not in dtype:
        values = np.round(values * 255) - 128 * (dtype == "int8")
    return torch.tensor(values).to(getattr(torch, dtype))


# The last two numbers of a row, which are said to do nothing, move channels in Keras.
TURN = torch.tensor([[0.9, 0.2, -1.3, -0.3, 1.1, 1.7, 0, 0], [1.2, 0.1, 0.4, 0, 0.7, -2.6, 0, 0]])
MOVED = torch.stack([POINTS + 0.7, POINTS * 0.9])
SPATIAL = torch.tensor([0.6, 1.7]), torch.tensor([0.3, -2.0]), (1, 2)
SIZES = [(4, 5), (14, 18), (20, 11), (7, 9)]
MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
FLOATS = ("rgb_to_hsv", "hsv_to_rgb", "ssim", "sobel_edges", "gaussian_blur")
FULL_PRECISION = ("perspective_transform",)  # Keras casts the points to the dtype of the images
CASES = [
    ("rgb_to_grayscale", (), {}),
    ("rgb_to_hsv", (), {}),
    ("hsv_to_rgb", (), {}),
    *[("resize", (size, name), {}) for size in SIZES for name in ("nearest", "bilinear")],
    *[("resize", (size, "bilinear", True), {}) for size in SIZES],
    *[("resize", (size, "bilinear"), {"crop_to_aspect_ratio": True}) for size in SIZES],
    *[
        ("resize", (size, "nearest"), {"pad_to_aspect_ratio": True, "fill_value": 3.0})
        for size in SIZES
    ],
    ("pad_images", (1, 2, 3, 4), {}),
    ("pad_images", (None, 2, 3, None, 12, 20), {}),
    ("crop_images", (1, 2, 3, 4), {}),
    ("crop_images", (None, 2, 3, None, 2, 3), {}),
    ("extract_patches", (3,), {}),
    ("extract_patches", ((3, 2), 1), {"padding": "same"}),
    ("extract_patches", ((3, 4), (2, 3)), {"padding": "same"}),
    *[("affine_transform", (TURN, "bilinear", mode, 2), {}) for mode in MODES],
    *[("affine_transform", (TURN, "nearest", mode, 2), {}) for mode in MODES],
    ("perspective_transform", (POINTS.expand(2, 4, 2), MOVED), {}),
    ("perspective_transform", (POINTS.expand(2, 4, 2), MOVED, "nearest", 1), {}),
    ("gaussian_blur", ((5, 5), (2.0, 2.0)), {"data_format": "channels_last"}),
    ("sobel_edges", (), {}),
    *[
        ("scale_and_translate", ((2, 5, 13, 3), *SPATIAL, method, antialias), {})
        for method in ("linear", "cubic", "lanczos3", "lanczos5")
        for antialias in (False, True)
    ],
]


def copied(args):
    # Keras writes into the transformations it is given.
    return [x.clone() if isinstance(x, torch.Tensor) else x for x in args]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_values_and_dtypes_agree(case):
    name, args, kwargs = case
    for dtype in DTYPES:
        if "float" not in dtype and name in FLOATS or name in FULL_PRECISION and "32" not in dtype:
            continue
        if "float" not in dtype and name in FULL_PRECISION:
            continue
        x = images(dtype=dtype)
        expected = getattr(keras.ops.image, name)(x, *copied(args), **kwargs)
        ours = getattr(image, name)(x, *args, **kwargs)
        if name == "scale_and_translate" and "int" in dtype:
            assert ours.dtype == expected.dtype  # a sum of other rounding rounds to another integer
            assert (ours.double() - expected.double()).abs().max() <= 1
        else:
            assert_same(ours, expected, f"{name} {dtype}")


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_bicubic_agrees(dtype):
    # In other integers Keras lets what lies past the range wrap around.
    for size in SIZES:
        for antialias in (False, True):
            x = images(dtype=dtype)
            args = size, "bicubic", antialias
            assert_same(image.resize(x, *args), keras.ops.image.resize(x, *args), "bicubic")


def test_ssim_agrees():
    # Of integers Keras casts the result, from 0 to 1, to an integer; it computes in half precision.
    for dtype in ("float32", "float64"):
        x, y = images(dtype=dtype), images(dtype=dtype).flip(1)
        for kwargs in ({"filter_size": 5}, {"filter_size": 4, "max_val": 2.0}):
            for a, b in ((x, y), (x[0], y[0])):
                expected = keras.ops.image.ssim(a, b, **kwargs)
                assert_same(image.ssim(a, b, **kwargs), expected, "ssim")


@pytest.mark.parametrize("kwargs", [{"size": 3}, {"size": (2, 3, 2), "strides": 1}], ids=str)
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_patches_of_volumes_agree(kwargs, padding):
    for shape, layout in (((2, 5, 6, 7, 2), {}), ((5, 6, 7, 2), {}), ((2, 2, 5, 6, 7), FIRST)):
        x, kwargs = images(shape), {**kwargs, **layout, "padding": padding}
        expected = keras.ops.image.extract_patches_3d(x, **kwargs)
        assert_same(image.extract_patches_3d(x, **kwargs), expected, "3d")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", [0, 1])
def test_map_coordinates_agrees(mode, order):
    places = torch.tensor(np.random.default_rng(0).uniform(-9, 15, (3, 4, 5)), dtype=torch.float32)
    for dtype in DTYPES:
        x = images((5, 6, 7), dtype)
        for c in (places, list(places)):
            expected = keras.ops.image.map_coordinates(x, c, order, mode, 2)
            assert_same(image.map_coordinates(x, c, order, mode, 2), expected, dtype)


@pytest.mark.parametrize(
    "name", ["resize", "affine_transform", "gaussian_blur", "rgb_to_grayscale"]
)
def test_channels_first_agrees(name):
    args = {"resize": ((4, 5),), "affine_transform": (TURN,)}.get(name, ())
    x = images((2, 3, 7, 9))
    expected = getattr(keras.ops.image, name)(x, *copied(args), **FIRST)
    assert_same(getattr(image, name)(x, *args, **FIRST), expected, name)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case[0] not in ("perspective_transform",)][::2],
    ids=lambda case: case[0],
)
def test_gradients_agree(case):
    name, args, kwargs = case
    found = []
    for namespace in (image, keras.ops.image):
        x = images().requires_grad_()
        y = getattr(namespace, name)(x, *copied(args), **kwargs)
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
        found.append(x.grad)
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_elastic_transform_of_the_same_numbers(interpolation, data_format, monkeypatch):
    noise = torch.tensor(np.random.default_rng(1).normal(size=(2, 2, 12, 16)), dtype=torch.float32)
    given = iter(noise.unbind(1))
    monkeypatch.setattr(torch, "normal", lambda *args, **kwargs: next(given))
    x = images((2, 12, 16, 3))
    first = data_format == "channels_first"
    expected = keras.ops.image.elastic_transform(
        x.movedim(-1, 1) if first else x, 3.0, 1.5, interpolation, data_format=data_format
    )
    source = types.SimpleNamespace(normal=lambda shape, dtype: noise.to(dtype).reshape(shape))
    monkeypatch.setattr(image_warps, "source_of", lambda seed, device: source)
    ours = image.elastic_transform(
        x.movedim(-1, 1) if first else x, 3.0, 1.5, interpolation, data_format=data_format
    )
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", image.__all__)
def test_signatures_agree(name):
    if name == "reconstruct_patches":
        return  # of Keras 3.16
    ours = inspect.signature(getattr(image, name)).parameters.values()
    expected = inspect.signature(getattr(keras.ops.image, name)).parameters.values()
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in expected]


# What Keras gives no shape for where it can be told, and for integers another dtype.
KERAS_REFUSES = {"crop_images", "extract_patches", "extract_patches_3d", "map_coordinates"}
KERAS_REFUSES |= {"affine_transform", "perspective_transform", "scale_and_translate"}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's
@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("case", SYMBOLIC, ids=lambda case: case[0])
def test_symbols_agree(case, known):
    name, args, kwargs = case
    if name == "reconstruct_patches" or "int32" in str(getattr(args[0], "dtype", "")):
        return
    theirs = replace(args, lambda x: x.symbol(known, keras.KerasTensor))
    try:
        expected = outline(getattr(keras.ops.image, name)(*theirs, **kwargs))
    except (ValueError, TypeError, RuntimeError):
        assert name in KERAS_REFUSES
        return
    ours = outline(getattr(image, name)(*replace(args, lambda x: x.symbol(known)), **kwargs))
    assert ours == expected


def model_of_every_function(library):
    functions, inputs = (
        library.ops.image,
        {
            "x": library.Input((8, 8, 3), name="x"),
            "volumes": library.Input((4, 4, 4, 2), name="volumes"),
            "rows": library.Input((8,), name="rows"),
            "points": library.Input((4, 2), name="points"),
        },
    )
    x, points = inputs["x"], inputs["points"]
    half = np.array([0.5, 0.5], "float32"), np.array([0.0, 0.0], "float32")
    outputs = [
        functions.resize(x, (6, 6), interpolation="nearest", fill_value=2.0),
        functions.rgb_to_grayscale(x),
        functions.rgb_to_hsv(x),
        functions.hsv_to_rgb(x),
        functions.pad_images(x, 1, 2, 3, 4),
        functions.crop_images(x, 1, 2, 3, 1),
        functions.extract_patches(x, 2),
        functions.extract_patches_3d(inputs["volumes"], 2),
        functions.gaussian_blur(x, data_format="channels_last"),
        functions.sobel_edges(x),
        functions.ssim(x, x, filter_size=3),
        functions.map_coordinates(x, np.ones((4, 2, 3), "float32"), 1, fill_value=3),
        functions.scale_and_translate(x, (2, 3, 3, 3), *half, (1, 2), "linear"),
        functions.affine_transform(x, inputs["rows"], fill_mode="nearest", fill_value=1.0),
        functions.perspective_transform(x, points, points, fill_value=1.0),
    ]
    return library.Model(inputs, outputs)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's
def test_models_of_image_functions_are_exchanged():
    shift = torch.tensor([1.0, 0, 0.5, 0, 1, 0.5, 0, 0])
    data = {
        "x": images((2, 8, 8, 3)),
        "volumes": images((2, 4, 4, 4, 2)),
        "rows": shift.expand(2, 8),
        "points": POINTS.expand(2, 4, 2),
    }
    ours, theirs = model_of_every_function(torchkeras), model_of_every_function(keras)
    of_theirs = torchkeras.models.model_from_json(theirs.to_json())
    of_ours = keras.models.model_from_json(ours.to_json())
    expected = theirs({k: v.clone() for k, v in data.items()})
    for model in (ours, of_theirs, of_ours):
        for a, b in zip(model({k: v.clone() for k, v in data.items()}), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
