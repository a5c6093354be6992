"""Up-sampling: repetition, and interpolation at the middles of the new pixels."""

import math

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import case, check_symbol_dtype, layer_cases

layers = keras.layers
SIZES = {2: (3, 4), 3: (2, 3, 4)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_values_are_repeated(dtype, rank, data_format):
    inputs = torch.randn(2, *SIZES[rank], 3).mul(9).to(dtype)
    sizes = (2, 3, 1)[:rank]
    expected = inputs
    for axis, size in enumerate(sizes, 1):
        index = torch.arange(expected.shape[axis] * size) // size
        expected = expected.index_select(axis, index)
    first = data_format == "channels_first"
    given = inputs.movedim(-1, 1) if first else inputs
    layer = getattr(layers, f"UpSampling{rank}D")(sizes, data_format)
    outputs = layer(given)
    assert torch.equal(outputs.movedim(1, -1) if first else outputs, expected)
    assert layer.compute_output_shape(tuple(given.shape)) == tuple(outputs.shape)
    check_symbol_dtype(layer, given)


def test_steps_are_repeated():
    inputs = torch.randn(2, 5, 3)
    assert torch.equal(layers.UpSampling1D(3)(inputs), inputs[:, torch.arange(15) // 3])


@pytest.mark.parametrize("size", [3, 7, 41])
def test_no_rounding_moves_a_pixel(size):
    inputs = torch.arange(1000.0).reshape(1, 1, 1000, 1)
    outputs = layers.UpSampling2D((1, size))(inputs)
    assert torch.equal(outputs.flatten(), torch.arange(1000 * size) // size * 1.0)


def cubic(x):
    a, x = -0.75, abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def lanczos(radius):
    def weight(x):
        if abs(x) >= radius:
            return 0.0
        return 1.0 if x == 0 else np.sinc(x) * np.sinc(x / radius)

    return weight


# Name: weight of a distance, and reach. Pixels past the end repeat the last one, except that
# Lanczos weights leave them out.
KERNELS = {
    "bilinear": (lambda x: max(0.0, 1 - abs(x)), 1),
    "bicubic": (cubic, 2),
    "lanczos3": (lanczos(3), 3),
    "lanczos5": (lanczos(5), 5),
}


def weights(name, n, factor):
    weight, reach = KERNELS[name]
    result = np.zeros((n * factor, n))
    for i in range(n * factor):
        middle = (i + 0.5) / factor - 0.5
        for j in range(math.floor(middle) - reach, math.floor(middle) + reach + 2):
            if not name.startswith("lanczos"):
                result[i, min(max(j, 0), n - 1)] += weight(middle - j)
            elif 0 <= j < n:
                result[i, j] += weight(middle - j)
    return torch.tensor(result / result.sum(1, keepdims=True), dtype=torch.float32)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_interpolation_weighs_by_distance(name, data_format):
    inputs = torch.randn(2, 5, 6, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.einsum("bhwc,yh,xw->byxc", inputs, weights(name, 5, 2), weights(name, 6, 3))
    first = data_format == "channels_first"
    given = inputs.movedim(-1, 1) if first else inputs
    outputs = layers.UpSampling2D((2, 3), data_format, name)(given)
    # Sums of up to 30 products in float32, with weights found in float32 and in float64.
    outputs = outputs.movedim(1, -1) if first else outputs
    torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("radius", [3])
def test_lanczos_is_that_of_pillow(radius):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).normal(size=(6, 7)).astype("float32")
    expected = image.fromarray(pixels).resize((21, 12), image.Resampling.LANCZOS)
    layer = layers.UpSampling2D((2, 3), interpolation=f"lanczos{radius}")
    outputs = layer(torch.tensor(pixels).reshape(1, 6, 7, 1))
    expected = torch.tensor(np.array(expected)).reshape(1, 12, 21, 1)
    torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", KERNELS)
def test_integers_are_rounded_and_stay_in_range(name):
    pixels = torch.tensor([0, 255, 0, 255, 255], dtype=torch.uint8).reshape(1, 1, 5, 1)
    layer = layers.UpSampling2D((1, 3), interpolation=name)
    exact = layer(pixels.float())
    assert torch.equal(layer(pixels), exact.round().clamp(0, 255).to(torch.uint8))
    check_symbol_dtype(layer, pixels)


def up(name, shape, **arguments):
    return case(
        getattr(layers, name), arguments, shape, expected_num_weights=0, supports_masking=False
    )


@layer_cases(
    {
        "1D": up("UpSampling1D", (2, 5, 3), size=3),
        "2D": up("UpSampling2D", (2, 3, 4, 3)),
        "2D first": up("UpSampling2D", (2, 3, 4, 3), size=(1, 2), data_format="channels_first"),
        "2D bilinear": up("UpSampling2D", (2, 3, 4, 3), interpolation="bilinear"),
        "2D bicubic": up("UpSampling2D", (2, 3, 4, 3), interpolation="bicubic"),
        "2D lanczos": up("UpSampling2D", (2, 3, 4, 3), interpolation="lanczos3"),
        "3D": up("UpSampling3D", (2, 2, 3, 4, 3)),
    }
)
def test_holds_the_contract_of_layers(check):
    check()


def test_sizes_that_are_unknown_stay_unknown():
    assert layers.UpSampling1D()(keras.Input((None, 3))).shape == (None, None, 3)
    layer = layers.UpSampling2D((2, 3))
    assert layer(keras.Input((None, 5, 3))).shape == (None, None, 15, 3)


def test_a_chain_of_layers_copies_nothing():
    outputs = layers.UpSampling2D(2)(torch.ones(1, 3, 4, 5))
    assert outputs.is_contiguous()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.UpSampling1D(0), ValueError, "`size`"),
        (lambda: layers.UpSampling1D(2.0), TypeError, "`size`"),
        (lambda: layers.UpSampling1D(True), TypeError, "`size`"),
        (lambda: layers.UpSampling2D((2, 0)), ValueError, "`size`"),
        (lambda: layers.UpSampling3D((2, 2)), ValueError, "`size`"),
        (lambda: layers.UpSampling2D(2, "last"), ValueError, "`data_format`"),
        (lambda: layers.UpSampling2D(2, interpolation="cubic"), ValueError, "`interpolation`"),
    ],
)
def test_arguments_out_of_range_are_errors(make, error, message):
    with pytest.raises(error, match=f"{message}.*Received"):
        make()
