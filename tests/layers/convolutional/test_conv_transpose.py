"""Transposed convolutions as the transposes of the maps that convolutions are."""

import itertools

import pytest
import torch

import torchkeras as keras
from tests.testing import case, layer_cases

layers = keras.layers
SIZES = {1: (5,), 2: (4, 3), 3: (2, 3, 2)}


def transposed(inputs, kernel, sizes, **arguments):
    """The transpose of `Conv` with this kernel on inputs of `sizes`, by its gradient."""
    rank = len(sizes)
    conv = getattr(layers, f"Conv{rank}D")(
        kernel.shape[-1], kernel.shape[:rank], use_bias=False, **arguments
    )
    source = torch.zeros(inputs.shape[0], *sizes, kernel.shape[-2], requires_grad=True)
    conv.build(tuple(source.shape))
    conv.kernel.assign(kernel)
    outputs = conv(source)
    assert outputs.shape == inputs.shape
    (gradient,) = torch.autograd.grad(outputs, source, inputs)
    return gradient


GEOMETRIES = [
    *itertools.product((1, 2, 3, 4, 5), (1, 2, 3), (1,)),
    *itertools.product((1, 2, 3), (1,), (2, 3)),
]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_is_the_transpose_of_a_convolution(rank, data_format, padding):
    inputs = torch.randn(2, *SIZES[rank], 3, generator=torch.Generator().manual_seed(0))
    first = data_format == "channels_first"
    given = inputs.movedim(-1, 1) if first else inputs
    for size, stride, rate in GEOMETRIES[:: 2 if rank == 3 else 1]:
        geometry = {"strides": stride, "padding": padding, "dilation_rate": rate}
        layer = getattr(layers, f"Conv{rank}DTranspose")(
            2, size, data_format=data_format, bias_initializer="normal", **geometry
        )
        outputs = layer(given)
        assert layer.compute_output_shape(tuple(given.shape)) == tuple(outputs.shape)
        kernel, bias = (weight.value.detach() for weight in layer.weights)
        window = rate * (size - 1) + 1
        sizes = [
            n * stride if padding == "same" else (n - 1) * stride + max(window, stride)
            for n in SIZES[rank]
        ]
        expected = transposed(inputs, kernel, sizes, **geometry) + bias
        # Sums of up to 5 * 5 * 3 products, taken in another order.
        torch.testing.assert_close(
            outputs.movedim(1, -1) if first else outputs, expected, atol=1e-5, rtol=1e-5
        )


def test_output_padding_is_the_rest_that_a_convolution_leaves():
    inputs = torch.randn(2, 4, 5, 3)
    layer = layers.Conv2DTranspose(2, 3, strides=(2, 3), output_padding=(1, 2))
    outputs = layer(inputs)
    assert outputs.shape == (2, 10, 17, 2)
    expected = transposed(inputs, layer.kernel.value.detach(), (10, 17), strides=(2, 3))
    torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-5)


def conv(rank, shape, weights=2, **arguments):
    return case(
        getattr(layers, f"Conv{rank}DTranspose"),
        {"filters": 4, "kernel_size": 3, **arguments},
        shape,
        expected_num_weights=weights,
        supports_masking=False,
    )


@layer_cases(
    {
        "1D": conv(1, (2, 5, 3), strides=2, padding="same"),
        "2D": conv(2, (2, 4, 5, 3), strides=2, padding="same", activation="relu"),
        "2D channels first": conv(
            2,
            (2, 3, 4, 5),
            1,
            strides=2,
            output_padding=(1, 0),
            data_format="channels_first",
            use_bias=False,
        ),
        "3D": conv(3, (2, 2, 3, 2, 3), dilation_rate=2, kernel_size=2),
    }
)
def test_holds_the_contract_of_layers(check):
    check()


def test_sizes_that_are_unknown_stay_unknown():
    layer = layers.Conv2DTranspose(4, 3, strides=2, padding="same")
    assert layer(keras.Input((None, 5, 3))).shape == (None, None, 10, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "`filters`"),
        ({"padding": "causal"}, "`padding` must be one of"),
        ({"output_padding": 1}, "`output_padding` must be below `strides`"),
        ({"output_padding": -1}, "`output_padding` must be an int of at least 0"),
        ({"strides": 2, "dilation_rate": 2}, "exclude each other"),
        ({"groups": 2}, "groups"),
    ],
)
def test_arguments_out_of_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        layers.Conv2DTranspose(**{"filters": 4, "kernel_size": 3, **arguments})


def test_an_input_that_leaves_no_output_is_an_error():
    layer = layers.Conv1DTranspose(2, 2, padding="same", output_padding=0)
    with pytest.raises(ValueError, match="leaves no output on axis 1. Received"):
        layer(torch.ones(1, 1, 3))
