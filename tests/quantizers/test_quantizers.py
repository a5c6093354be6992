"""Quantizers, packing and 8-bit floats: what integers stand for, by formula."""

import pytest
import torch

import torchkeras as keras
from torchkeras import quantizers
from torchkeras.quantizers.weight_codes import WeightCode, decode, encode


@pytest.mark.parametrize("axis", [0, -1, (0, 1)])
def test_integers_over_the_scale_are_within_half_a_step(axis):
    x = torch.randn(5, 7)
    integers, scale = quantizers.abs_max_quantize(x, axis)
    assert integers.dtype is torch.int8
    assert integers.abs().amax(axis).eq(127).all()
    assert ((integers / scale - x).abs() <= 0.501 / scale).all()


@pytest.mark.parametrize("shift", [0.0, 5.0, -5.0])
@pytest.mark.parametrize("block_size", [2, 4, 16])
def test_blocks_hold_their_values_wherever_these_lie(block_size, shift):
    x = torch.rand(6, 3) + shift
    code = WeightCode((6, 3), 4, 0, matrix=(6, 3), block_size=block_size)
    integers, scale, zero = encode(x, code)
    assert scale.shape == zero.shape == code.scale_shape == (-(-6 // block_size), 3)
    steps = scale.repeat_interleave(block_size, 0)[:6]
    assert ((decode(integers, scale, zero, code, x.dtype) - x).abs() <= 1.01 * steps).all()


@pytest.mark.parametrize(("dtype", "low"), [("int8", -8), ("uint8", 0)])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_packing_is_undone(axis, dtype, low):
    x = torch.arange(low, low + 15).reshape(3, 5).to(getattr(torch, dtype))
    packed, shape, size = quantizers.pack_int4(x, axis, dtype)
    assert packed.shape == shape
    assert shape[axis] == (size + 1) // 2
    assert torch.equal(quantizers.unpack_int4(packed, size, axis, dtype), x)


@pytest.mark.parametrize("narrow_range", [False, True])
def test_fake_quant_takes_the_ends_along_any_axis(narrow_range):
    x, low, high = torch.randn(3, 4), -torch.rand(3), torch.rand(3)
    along = quantizers.fake_quant_with_min_max_vars(x, low, high, 4, narrow_range, axis=0)
    each = [
        quantizers.fake_quant_with_min_max_vars(row, a, b, 4, narrow_range)
        for row, a, b in zip(x, low, high, strict=True)
    ]
    torch.testing.assert_close(along, torch.stack(each))
    assert torch.equal(
        quantizers.fake_quant_with_min_max_vars(torch.zeros(2), -0.3, 1), torch.zeros(2)
    )


def test_ops_take_symbols():
    x = keras.Input((4,))
    assert quantizers.fake_quant_with_min_max_vars(x, -1.0, 1.0).shape == (None, 4)
    integers, scale = quantizers.abs_max_quantize(x, axis=-1)
    assert (integers.shape, integers.dtype, scale.shape) == ((None, 4), "int8", (None, 1))


def test_get_takes_names_classes_and_configs():
    made = quantizers.get("abs_max_quantizer", axis=0)
    assert (type(made), made.axis) == (quantizers.AbsMaxQuantizer, (0,))
    assert quantizers.get(made) is made
    assert quantizers.get(quantizers.serialize(made)).axis == (0,)
    assert quantizers.get(None) is None
    assert keras.Quantizer is quantizers.Quantizer
    with pytest.raises(ValueError, match="Received: 'nobody'"):
        quantizers.get("nobody")
    with pytest.raises(NotImplementedError):
        quantizers.Quantizer().get_config()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "needs a mode or a config"),
        ({"mode": "int3"}, "mode='int3'"),
        ({"mode": "gptq"}, "mode='gptq'"),
        ({"mode": "int8", "config": quantizers.Int4QuantizationConfig()}, "must agree"),
        ({"config": 8}, "QuantizationConfig"),
    ],
)
def test_arguments_of_quantize_are_checked(arguments, match):
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    with pytest.raises(ValueError, match=match):
        layer.quantize(**arguments)
    assert layer.quantization_mode is None
