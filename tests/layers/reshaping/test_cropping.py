"""Cropping and zero padding: slices, and what they are the slices of."""

import itertools

import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, case, check_symbol_dtype, layer_cases

layers = keras.layers
SIZES = {1: (7,), 2: (7, 6), 3: (5, 4, 6)}
SIDES = {1: (1, 2), 2: ((1, 0), (2, 1)), 3: ((1, 0), (0, 1), (2, 3))}


def made(name, rank, sides, data_format):
    if (name, rank) == ("Cropping", 1):
        return layers.Cropping1D(sides)
    return getattr(layers, f"{name}{rank}D")(sides, data_format)


def inside(rank, sides, sizes, data_format):
    """Where the places are that remain, of axes of these sizes."""
    pairs = (sides,) if rank == 1 else sides
    cut = [slice(a, n - b) for (a, b), n in zip(pairs, sizes, strict=True)]
    return (slice(None), *cut) if data_format == "channels_last" else (..., *cut)


FORMATS = [
    *itertools.product((1, 2, 3), ("channels_last", "channels_first")),
]


@pytest.mark.parametrize(
    ("rank", "data_format"), [f for f in FORMATS if f != (1, "channels_first")]
)
def test_cropping_is_a_slice_and_a_view(rank, data_format):
    inputs = torch.randn(2, *SIZES[rank], 3)
    inputs = inputs if data_format == "channels_last" else inputs.movedim(-1, 1)
    layer = made("Cropping", rank, SIDES[rank], data_format)
    outputs = layer(inputs)
    assert_close(outputs, inputs[inside(rank, SIDES[rank], SIZES[rank], data_format)])
    assert outputs.untyped_storage().data_ptr() == inputs.untyped_storage().data_ptr()
    assert layer.compute_output_shape(tuple(inputs.shape)) == tuple(outputs.shape)


@pytest.mark.parametrize(("rank", "data_format"), FORMATS)
def test_padding_leaves_zeros_around(rank, data_format):
    inputs = torch.randn(2, *SIZES[rank], 3)
    inputs = inputs if data_format == "channels_last" else inputs.movedim(-1, 1)
    layer = made("ZeroPadding", rank, SIDES[rank], data_format)
    outputs = layer(inputs)
    pairs = (SIDES[rank],) if rank == 1 else SIDES[rank]
    sizes = [n + a + b for n, (a, b) in zip(SIZES[rank], pairs, strict=True)]
    assert_close(outputs[inside(rank, SIDES[rank], sizes, data_format)], inputs)
    assert_close(outputs.abs().sum(), inputs.abs().sum())
    assert outputs.numel() == 6 * torch.Size(sizes).numel()
    assert layer.compute_output_shape(tuple(inputs.shape)) == tuple(outputs.shape)


@pytest.mark.parametrize("name", ["Cropping", "ZeroPadding"])
def test_one_int_means_both_sides(name):
    argument = {"Cropping": "cropping", "ZeroPadding": "padding"}[name]
    for rank, given, sides in (
        (1, 2, (2, 2)),
        (2, 2, ((2, 2), (2, 2))),
        (2, (1, 2), ((1, 1), (2, 2))),
        (2, [[1, 2], 3], ((1, 2), (3, 3))),
        (3, (0, 1, (2, 0)), ((0, 0), (1, 1), (2, 0))),
    ):
        layer = getattr(layers, f"{name}{rank}D")(given)
        assert layer.get_config()[argument] == sides


def reshaping(name, shape, **arguments):
    return case(
        getattr(layers, name), arguments, shape, expected_num_weights=0, supports_masking=False
    )


@layer_cases(
    {
        "cropping 1D": reshaping("Cropping1D", (2, 5, 3), cropping=(1, 0)),
        "cropping 2D": reshaping("Cropping2D", (2, 5, 6, 3), cropping=((1, 2), 1)),
        "cropping first": reshaping(
            "Cropping2D", (2, 3, 5, 6), cropping=1, data_format="channels_first"
        ),
        "cropping 3D": reshaping("Cropping3D", (2, 4, 5, 6, 3)),
        "padding 1D": reshaping("ZeroPadding1D", (2, 5, 3), padding=(1, 0)),
        "padding 2D": reshaping("ZeroPadding2D", (2, 5, 6, 3), padding=((1, 2), 1)),
        "padding first": reshaping("ZeroPadding2D", (2, 3, 5, 6), data_format="channels_first"),
        "padding 3D": reshaping("ZeroPadding3D", (2, 4, 5, 6, 3)),
    }
)
def test_holds_the_contract_of_layers(check):
    check()


def test_sizes_that_are_unknown_stay_unknown():
    inputs = keras.Input((None, 9, 3))
    assert layers.Cropping2D(1)(inputs).shape == (None, None, 7, 3)
    assert layers.ZeroPadding2D(1)(inputs).shape == (None, None, 11, 3)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_integers_and_booleans_stay_what_they_are(dtype):
    inputs = torch.ones(1, 4, 4, 2, dtype=dtype)
    for layer in (layers.Cropping2D(1), layers.ZeroPadding2D(1)):
        assert layer(inputs).dtype is dtype
        check_symbol_dtype(layer, inputs)


@pytest.mark.parametrize(
    ("cls", "argument", "value"),
    [
        (layers.Cropping1D, "cropping", (1, 2, 3)),
        (layers.Cropping1D, "cropping", -1),
        (layers.Cropping2D, "cropping", "ab"),
        (layers.Cropping2D, "cropping", ((1, 2, 3), 1)),
        (layers.Cropping3D, "cropping", (1, 1)),
        (layers.ZeroPadding1D, "padding", 1.5),
        (layers.ZeroPadding2D, "padding", (1, (1, -1))),
        (layers.ZeroPadding3D, "padding", None),
    ],
)
def test_sides_that_are_none_are_errors(cls, argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be an int of at least 0.*Received"):
        cls(**{argument: value})


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: layers.Cropping1D(2), (4, 3)),
        (lambda: layers.Cropping2D((0, 3)), (4, 5, 3)),
        (lambda: layers.Cropping3D(1, "channels_first"), (3, 4, 4, 2)),
    ],
)
def test_nothing_left_of_an_axis_is_an_error(layer, shape):
    for inputs in (torch.ones(1, *shape), keras.Input(shape)):
        with pytest.raises(ValueError, match="must leave something of each axis. Received"):
            layer()(inputs)
