"""keras.ops.image: values from formulas, and symbols."""

import re

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.ops.test_symbolic import KNOWN, Symbol, holds, outline, replace
from torchkeras.core.operation import OPS
from torchkeras.ops import image

X = Symbol(7, 9, 3)
FIRST = {"data_format": "channels_first"}
POINTS = torch.tensor([[0.0, 0], [8, 0], [0, 6], [8, 6]])
SYMBOLIC = [
    ("rgb_to_grayscale", (X,), {}),
    ("rgb_to_grayscale", (Symbol(3, 7, 9, dtype="uint8"),), FIRST),
    ("rgb_to_hsv", (X,), {}),
    ("hsv_to_rgb", (X,), {}),
    ("resize", (X, (4, 5)), {}),
    ("resize", (Symbol(3, 7, 9, dtype="uint8"), (4, 5), "nearest"), FIRST),
    ("pad_images", (X, 1, 2, 3, 4), {}),
    ("pad_images", (X, 1, None, None, 4, 20, 30), {}),
    ("crop_images", (X, 1, 2, 3, 4), {}),
    ("crop_images", (Symbol(3, 7, 9), 1, None, None, 4, 5, 2), FIRST),
    ("extract_patches", (X, 3), {}),
    ("extract_patches", (X, (2, 3), 1, 2), {"padding": "same"}),
    ("extract_patches", (Symbol(3, 7, 9), 3), FIRST),
    ("extract_patches", (Symbol(5, 6, 7, 2), (2, 3, 2)), {}),
    ("extract_patches_3d", (Symbol(5, 6, 7, 2), 2), {}),
    ("reconstruct_patches", (Symbol(4, 5, 12), 2), {}),
    ("reconstruct_patches", (Symbol(4, 5, 12), 2, (7, 9)), {"padding": "same"}),
    ("reconstruct_patches", (Symbol(12, 4, 5), 2), FIRST),
    ("affine_transform", (X, Symbol(8)), {}),
    ("affine_transform", (X, torch.ones(8)), {}),
    ("perspective_transform", (X, POINTS, POINTS + 1), {}),
    ("map_coordinates", (X, torch.ones(4, 2, 3), 1), {}),
    ("elastic_transform", (X,), {}),
    ("gaussian_blur", (X,), {}),
    ("scale_and_translate", (X, (6, 5, 4, 3), torch.ones(2), torch.ones(2), (1, 2), "linear"), {}),
    ("sobel_edges", (X,), {}),
    ("sobel_edges", (Symbol(7, 9, 3, dtype="int32"),), {}),
    ("ssim", (X, X), {"filter_size": 3}),
]
NEEDS_SIZES = {("ssim", "no"), ("ssim", "all but the last")}


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("case", SYMBOLIC, ids=lambda case: case[0])
def test_symbolic_result_is_that_of_tensors(case, known):
    name, args, kwargs = case
    function = getattr(image, name)
    symbolic = outline(function(*replace(args, lambda x: x.symbol(known)), **kwargs))
    eager = outline(function(*replace(args, Symbol.data), **kwargs))
    assert holds(symbolic, eager), f"{symbolic} against {eager}"
    if known == "all":
        assert symbolic == eager


def test_every_name_is_tested_on_symbols_and_in_this_namespace_alone():
    assert {case[0] for case in SYMBOLIC} == set(image.__all__) and len(image.__all__) == 17
    assert not set(image.__all__) & set(keras.ops.__all__)
    assert all(OPS[name]._shape for name in image.__all__ if name in OPS)


def test_a_model_of_image_functions_comes_back_from_its_config():
    x = keras.Input((8, 8, 3))
    y = image.resize(x, (6, 6), "bicubic", fill_value=2.0)
    y = image.affine_transform(y, torch.tensor([1.0, 0, 1, 0, 1, 0, 0, 0]).numpy().tolist())
    y = image.rgb_to_hsv(image.gaussian_blur(y))
    z = image.scale_and_translate(y, (2, 3, 3, 3), [0.5, 0.5], [0.0, 0.0], (1, 2), "linear")
    model = keras.Model(x, [y, z])
    again = keras.Model.from_config(model.get_config())
    data = torch.rand(2, 8, 8, 3)
    for a, b in zip(model(data), again(data), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


# Values


def test_resize_keeps_a_ramp():
    # Of a linear ramp each kernel gives the ramp, away from the ends.
    ramp = torch.arange(16.0).reshape(1, 16, 1).expand(16, 16, 1)
    for interpolation, antialias in (("bilinear", False), ("bilinear", True), ("bicubic", True)):
        up = image.resize(ramp, (16, 32), interpolation, antialias)[8, :, 0]
        places = (torch.arange(32) + 0.5) / 2 - 0.5
        torch.testing.assert_close(up[8:-8], places[8:-8], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos3"])
@pytest.mark.parametrize("antialias", [False, True])
def test_resize_keeps_a_flat_image(interpolation, antialias):
    for dtype in (torch.float32, torch.uint8, torch.bfloat16):
        flat = torch.full((2, 7, 9, 1), 200).to(dtype)
        for size in ((3, 4), (20, 30)):
            out = image.resize(flat, size, interpolation, antialias)
            assert out.dtype is dtype and out.shape == (2, *size, 1)
            torch.testing.assert_close(out.float(), torch.full_like(out, 200).float())


@pytest.mark.parametrize("radius", [3, 5])
@pytest.mark.parametrize(("old", "new"), [(6, 15), (15, 6)])
def test_lanczos_by_the_formula(radius, old, new):
    x = np.random.default_rng(0).uniform(size=(old, 1, 1))
    for antialias in (False, True):
        wide = max(old / new, 1) if antialias else 1
        expected = []
        for i in range(new):
            middle = (i + 0.5) * old / new - 0.5
            weights = []
            for j in range(old):
                d = abs(middle - j) / wide
                weights.append(np.sinc(d) * np.sinc(d / radius) if d < radius else 0.0)
            expected.append(np.dot(weights, x[:, 0, 0]) / np.sum(weights))
        out = image.resize(torch.tensor(x), (new, 1), f"lanczos{radius}", antialias)
        # The weights are float32, and some are negative.
        np.testing.assert_allclose(out[:, 0, 0], expected, rtol=1e-5, atol=1e-6)


def test_resize_stays_in_the_range_of_integers():
    edge = torch.tensor([-128, 127] * 6).repeat_interleave(3).reshape(1, 36, 1).to(torch.int8)
    for interpolation in ("bicubic", "lanczos3"):
        out = image.resize(edge, (1, 100), interpolation)
        expected = image.resize(edge.float(), (1, 100), interpolation).round()
        assert expected.max() > 127, "the case reaches past the range"
        torch.testing.assert_close(out.float(), expected.clamp(-128, 127))


def test_resize_keeps_large_integers_exact():
    x = torch.tensor([2**40 + 1, 2**40 + 2]).reshape(1, 2, 1)
    assert (
        image.resize(x, (1, 4), "nearest").flatten().tolist() == [2**40 + 1] * 2 + [2**40 + 2] * 2
    )


def test_aspect_ratio():
    x = torch.arange(8.0).reshape(1, 2, 4, 1)
    cut = image.resize(x, (2, 2), crop_to_aspect_ratio=True)
    torch.testing.assert_close(cut, x[:, :, 1:3])
    padded = image.resize(x, (4, 4), pad_to_aspect_ratio=True, fill_value=9.0)
    expected = torch.full((1, 4, 4, 1), 9.0)
    expected[:, 1:3] = x
    torch.testing.assert_close(padded, expected)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("size", [(3, 4), (2, 3, 2)])
def test_patches_put_together_are_the_image(padding, data_format, size):
    spatial = tuple(2 * n + (padding == "same") for n in size)
    shape = (*spatial, 2) if data_format == "channels_last" else (2, *spatial)
    for lead in ((), (3,)):
        x = torch.randn(*lead, *shape)
        patches = image.extract_patches(x, size, padding=padding, data_format=data_format)
        back = image.reconstruct_patches(
            patches, size, spatial, padding=padding, data_format=data_format
        )
        assert torch.equal(back, x)
        if padding == "valid":
            back = image.reconstruct_patches(patches, size, data_format=data_format)
            assert torch.equal(back, x)


def test_map_coordinates_beyond_the_ends():
    x = torch.tensor([0.0, 1.0, 2.0, 3.0])
    places = torch.arange(-5.0, 9.0)[None]
    expected = {
        "constant": [7, 7, 7, 7, 7, 0, 1, 2, 3, 7, 7, 7, 7, 7],
        "nearest": [0, 0, 0, 0, 0, 0, 1, 2, 3, 3, 3, 3, 3, 3],
        "wrap": [3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0],
        "mirror": [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2],
        "reflect": [3, 3, 2, 1, 0, 0, 1, 2, 3, 3, 2, 1, 0, 0],
    }
    for mode, values in expected.items():
        for order in (0, 1):
            out = image.map_coordinates(x, places, order, mode, fill_value=7)
            assert out.tolist() == values, mode
    one = torch.tensor([5.0])
    assert image.map_coordinates(one, torch.tensor([[-2.0, 3.0]]), 1, "mirror").tolist() == [5, 5]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_quarter_turn_of_an_affine_transform(data_format):
    x = torch.randn(2, 5, 5, 3)
    # The pixel (x, y) of the result comes from (y, 4 - x).
    turn = torch.tensor([0.0, 1, 0, -1, 0, 4, 0, 0])
    expected = torch.rot90(x, -1, (1, 2))
    given = x if data_format == "channels_last" else x.movedim(-1, 1)
    for transform in (turn, turn.expand(2, 8)):
        kept = transform.clone()
        out = image.affine_transform(given, transform, data_format=data_format)
        out = out if data_format == "channels_last" else out.movedim(1, -1)
        torch.testing.assert_close(out, expected)
        assert torch.equal(transform, kept), "the argument is left alone"


def test_a_perspective_by_four_points():
    # Points come to where they are told, for integers too.
    start = torch.tensor([[2.0, 1], [6, 2], [1, 6], [7, 5]])
    end = torch.tensor([[1.0, 1], [7, 0], [2, 7], [5, 6]])
    for dtype in (torch.float32, torch.uint8):
        x = torch.randint(0, 255, (8, 9, 1)).to(dtype)
        out = image.perspective_transform(x, start, end, "nearest")
        for (x0, y0), (x1, y1) in zip(start.int(), end.int(), strict=True):
            assert out[y1, x1] == x[y0, x0]


def test_blur_is_the_outer_product_of_two_windows():
    spot = torch.zeros(1, 9, 9, 2)
    spot[0, 4, 4] = 1.0
    out = image.gaussian_blur(spot, (5, 3), (2.0, 0.5))
    rows = np.exp(-0.5 * (np.arange(-2, 3) / 2.0) ** 2)
    columns = np.exp(-0.5 * (np.arange(-1, 2) / 0.5) ** 2)
    expected = np.outer(rows / rows.sum(), columns / columns.sum())
    assert out.shape == spot.shape
    for channel in range(2):
        np.testing.assert_allclose(out[0, 2:7, 3:6, channel], expected, rtol=1e-5)
    assert image.gaussian_blur(spot, (4, 2)).shape == spot.shape
    bytes_ = image.gaussian_blur((spot * 255).to(torch.uint8), (5, 3), (2.0, 0.5))
    np.testing.assert_allclose(bytes_[0, 2:7, 3:6, 0], np.round(expected * 255))


def test_ssim_of_flat_images():
    # Without variance only the means count.
    a, b = torch.full((2, 12, 12, 3), 0.2), torch.full((2, 12, 12, 3), 0.6)
    c1 = 0.01**2
    expected = (2 * 0.2 * 0.6 + c1) / (0.2**2 + 0.6**2 + c1)
    torch.testing.assert_close(image.ssim(a, b), torch.full((2,), expected), rtol=1e-4, atol=0)
    bytes_ = torch.randint(0, 255, (12, 12, 3), dtype=torch.uint8)
    assert image.ssim(bytes_, bytes_ // 2, 255).dtype is torch.float32
    assert 0 < float(image.ssim(bytes_, bytes_ // 2, 255)) < 1


def test_elastic_transform_follows_its_seed():
    x = torch.rand(2, 12, 12, 3)
    first, again = (image.elastic_transform(x, 3.0, 2.0, seed=1) for _ in range(2))
    assert torch.equal(first, again) and not torch.equal(first, x)
    assert not torch.equal(first, image.elastic_transform(x, 3.0, 2.0, seed=2))
    assert torch.equal(image.elastic_transform(x, 0.0, 2.0), x)
    one = x[:1].expand(2, -1, -1, -1)
    moved = image.elastic_transform(one, 3.0, 2.0, seed=1)
    assert not torch.equal(moved[0], moved[1]), "each image for itself"


def test_no_images():
    x = torch.rand(0, 7, 9, 3)
    calls = [
        lambda: image.resize(x, (4, 5)),
        lambda: image.affine_transform(x, torch.ones(8)),
        lambda: image.elastic_transform(x),
        lambda: image.perspective_transform(x, POINTS, POINTS),
        lambda: image.extract_patches(x, 2),
        *[
            lambda layer=layer: layer(x)
            for layer in (
                keras.layers.RandomRotation(0.1),
                keras.layers.RandomElasticTransform(),
                keras.layers.RandomCrop(3, 4),
                keras.layers.RandomPerspective(),
                keras.layers.RandomFlip(),
            )
        ],
    ]
    assert [call().shape[0] for call in calls] == [0] * len(calls)


# In which axes a function is the same in both layouts.
BOTH_LAYOUTS = {
    "rgb_to_hsv": (),
    "resize": ((4, 5), "bicubic", True),
    "pad_images": (1, 2, 3, 4),
    "crop_images": (1, 2, 3, 4),
    "gaussian_blur": ((3, 5),),
    "perspective_transform": (POINTS, POINTS * 0.7),
}


@pytest.mark.parametrize("name", BOTH_LAYOUTS)
def test_layouts_and_single_images(name):
    function, args = getattr(image, name), BOTH_LAYOUTS[name]
    x = torch.rand(2, 7, 9, 3)
    expected = function(x, *args)
    first = function(x.movedim(-1, 1), *args, data_format="channels_first")
    torch.testing.assert_close(first.movedim(1, -1), expected)
    torch.testing.assert_close(function(x[1], *args), expected[1])
    keras.config.set_image_data_format("channels_first")
    torch.testing.assert_close(function(x.movedim(-1, 1), *args), first)


@pytest.mark.slow
@pytest.mark.parametrize("case", SYMBOLIC, ids=lambda case: case[0])
def test_compiles_as_one_graph(case):
    name, args, kwargs = case
    function, data = getattr(image, name), replace(args, Symbol.data)
    if name == "elastic_transform":
        kwargs = {**kwargs, "alpha": 0.0}
    compiled = torch.compile(lambda *a: function(*a, **kwargs), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*data), function(*data, **kwargs))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: image.resize(x, (0, 4)), "`size`"),
        (lambda x: image.resize(x, (4, 4), "cubic"), "`interpolation`"),
        (lambda x: image.resize(x, (4, 4), fill_mode="nearest"), "`fill_mode`"),
        (
            lambda x: image.resize(x, (4, 4), crop_to_aspect_ratio=True, pad_to_aspect_ratio=True),
            "Set one of them",
        ),
        (lambda x: image.resize(x[0, 0], (4, 4)), "rank 4"),
        (lambda x: image.rgb_to_grayscale(x[..., :2]), "3 channels"),
        (lambda x: image.rgb_to_hsv(keras.ops.cast(x, "uint8")), "floats"),
        (lambda x: image.hsv_to_rgb(x[..., :1]), "3 channels"),
        (lambda x: image.pad_images(x, 1, 2, 3), "Two of"),
        (lambda x: image.pad_images(x, 1, 2, -3, 4), "at least 0"),
        (lambda x: image.pad_images(x, 1, 2, None, 4, target_height=3), "do not fit"),
        (lambda x: image.crop_images(x, 5, 2, 6, 4), "Cut less"),
        (lambda x: image.extract_patches(x, (2, 2, 2, 2)), "`size`"),
        (lambda x: image.extract_patches(x, 20), "spans 20"),
        (lambda x: image.extract_patches(x, 0), "`size`"),
        (lambda x: image.extract_patches(x, 2, -1), "`strides`"),
        (lambda x: image.extract_patches(x, 2, 1, 0), "`dilation_rate`"),
        (lambda x: image.elastic_transform(x, sigma=0.0), "`sigma`"),
        (lambda x: image.ssim(x, x, filter_size=0), "`filter_size`"),
        (
            lambda x: image.scale_and_translate(
                x, x.shape, torch.ones(1), torch.ones(1), (4,), "linear"
            ),
            "`spatial_dims`",
        ),
        (lambda x: image.extract_patches(x, 2, padding="full"), "`padding`"),
        (lambda x: image.reconstruct_patches(x, 2), "4 values"),
        (lambda x: image.reconstruct_patches(x, 1, strides=2), "`strides`"),
        (lambda x: image.reconstruct_patches(x, 1, padding="same"), "output_size=None"),
        (lambda x: image.reconstruct_patches(x, 1, (4, 4)), "`output_size`"),
        (lambda x: image.affine_transform(x, torch.ones(9)), "eight numbers"),
        (lambda x: image.affine_transform(x, torch.ones(8), fill_mode="edge"), "`fill_mode`"),
        (lambda x: image.perspective_transform(x, POINTS[:3], POINTS[:3]), "(4, 2)"),
        (lambda x: image.map_coordinates(x, torch.ones(3, 2), 1), "row for each"),
        (lambda x: image.map_coordinates(x, torch.ones(4, 2), 2), "`order`"),
        (lambda x: image.gaussian_blur(x, (0, 3)), "`kernel_size`"),
        (lambda x: image.ssim(x, x[:1]), "one shape"),
        (lambda x: image.ssim(x, x), "as large"),
    ],
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_errors(call, words, symbolic):
    x = keras.KerasTensor((2, 7, 9, 3)) if symbolic else torch.rand(2, 7, 9, 3)
    with pytest.raises(ValueError, match=re.escape(words)):
        call(x)
