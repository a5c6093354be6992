"""Global pooling: the reductions of torch, and the mean of the steps that count."""

import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, case, check_symbol_dtype, layer_cases

layers = keras.layers
SIZES = {1: (5,), 2: (4, 5), 3: (2, 3, 4)}


@pytest.mark.parametrize("kind", ["Max", "Average"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_values_are_those_of_the_definition(kind, rank, keepdims, data_format):
    inputs = torch.randn(2, *SIZES[rank], 3)
    places = inputs.flatten(1, -2)
    expected = places.mean(1) if kind == "Average" else places.max(1).values
    first = data_format == "channels_first"
    given = inputs.movedim(-1, 1) if first else inputs
    if keepdims:
        expected = (
            expected.reshape(2, 3, *[1] * rank) if first else expected.reshape(2, *[1] * rank, 3)
        )
    layer = getattr(layers, f"Global{kind}Pooling{rank}D")(data_format, keepdims)
    outputs = layer(given)
    assert_close(outputs, expected)
    assert layer.compute_output_shape(tuple(given.shape)) == tuple(outputs.shape)


def pooling(name, shape, masking=False, mask_shape=None, **arguments):
    return case(
        getattr(layers, name),
        arguments,
        shape,
        expected_num_weights=0,
        supports_masking=masking,
        mask_shape=mask_shape,
    )


@layer_cases(
    {
        "max 1D": pooling("GlobalMaxPooling1D", (2, 5, 3)),
        "max 2D": pooling("GlobalMaxPooling2D", (2, 4, 5, 3), keepdims=True),
        "max 2D first": pooling("GlobalMaxPooling2D", (2, 3, 4, 5), data_format="channels_first"),
        "max 3D": pooling("GlobalMaxPooling3D", (2, 2, 3, 4, 3)),
        "average 1D": pooling("GlobalAveragePooling1D", (2, 5, 3), True),
        "average 1D first": pooling(
            "GlobalAveragePooling1D",
            (2, 3, 5),
            True,
            (2, 5),
            data_format="channels_first",
            keepdims=True,
        ),
        "average 2D": pooling("GlobalAveragePooling2D", (2, 4, 5, 3)),
        "average 2D first": pooling(
            "GlobalAveragePooling2D", (2, 3, 4, 5), data_format="channels_first", keepdims=True
        ),
        "average 3D": pooling("GlobalAveragePooling3D", (2, 2, 3, 4, 3)),
    }
)
def test_holds_the_contract_of_layers(check):
    check()


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_steps_left_out_do_not_count(keepdims, data_format):
    inputs = torch.randn(2, 4, 3)
    inputs[0, 3] = torch.nan
    mask = torch.tensor([[True, False, True, False], [True, True, True, True]])
    expected = torch.stack([(inputs[0, 0] + inputs[0, 2]) / 2, inputs[1].sum(0) / 4])
    layer = layers.GlobalAveragePooling1D(data_format, keepdims)
    first = data_format == "channels_first"
    given = inputs.movedim(-1, 1) if first else inputs
    if keepdims:
        expected = expected.unsqueeze(2 if first else 1)
    assert_close(layer(given, mask=mask), expected)
    given._keras_mask = mask
    outputs = layer(given)
    assert_close(outputs, expected)
    assert not hasattr(outputs, "_keras_mask")


def test_masking_reaches_the_mean_in_a_model():
    model = keras.Sequential([layers.Masking(), layers.GlobalAveragePooling1D()])
    inputs = torch.tensor([[[2.0, 4.0], [0.0, 0.0], [4.0, 2.0]]])
    assert_close(model(inputs), torch.tensor([[3.0, 3.0]]))


def test_the_largest_integer_stays_an_integer_and_the_mean_becomes_a_float():
    tokens = torch.randint(0, 9, (2, 5, 3))
    assert torch.equal(layers.GlobalMaxPooling1D()(tokens), tokens.max(1).values)
    check_symbol_dtype(layers.GlobalMaxPooling1D(), tokens)
    assert_close(layers.GlobalAveragePooling1D()(tokens), tokens.float().mean(1))
    check_symbol_dtype(layers.GlobalAveragePooling1D(), tokens)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_second_names(rank, kind):
    short = {"Max": "GlobalMaxPool", "Average": "GlobalAvgPool"}[kind]
    assert getattr(layers, f"{short}{rank}D") is getattr(layers, f"Global{kind}Pooling{rank}D")


def test_sizes_that_are_unknown_are_pooled():
    assert layers.GlobalAveragePooling2D()(keras.Input((None, None, 3))).shape == (None, 3)
    layer = layers.GlobalMaxPooling1D("channels_first", keepdims=True)
    assert layer(keras.Input((3, None))).shape == (None, 3, 1)


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="`data_format`"):
        layers.GlobalMaxPooling2D("last")
    with pytest.raises(ValueError, match="expects an input of rank 4"):
        layers.GlobalMaxPooling2D()(torch.ones(2, 3, 4))
    with pytest.raises(ValueError, match="takes inputs with 4 axes. Received"):
        layers.GlobalMaxPooling2D().compute_output_shape((2, 3, 4))
