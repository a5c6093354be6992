"""keras.quantizers against real Keras on its torch backend."""

import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(0)
MATRIX = ((-1) ** np.indices((6, 5)).sum(0) * abs(RNG.normal(size=(6, 5)))).astype("float32")
NIBBLES = RNG.integers(-8, 8, size=(3, 5, 4)).astype("int8")

CALLS = {
    "abs_max": lambda q: q.abs_max_quantize(MATRIX, axis=-1),
    "abs_max_of_columns": lambda q: q.abs_max_quantize(
        MATRIX, axis=(0,), value_range=(-8, 7), dtype="int32", to_numpy=True
    ),
    "abs_max_of_zeros": lambda q: q.abs_max_quantize(MATRIX * 0, axis=0),
    "grouped": lambda q: q.abs_max_quantize_grouped_with_zero_point(MATRIX, 2),
    "grouped_uneven": lambda q: q.abs_max_quantize_grouped_with_zero_point(
        MATRIX, 4, value_range=(-2, 1), to_numpy=True
    ),
    "grouped_whole": lambda q: q.abs_max_quantize_grouped_with_zero_point(MATRIX, 128),
    "quantizer": lambda q: q.AbsMaxQuantizer(axis=0, value_range=(-100, 100))(MATRIX),
    "quantizer_by_call": lambda q: q.AbsMaxQuantizer(axis=0)(MATRIX, axis=1, to_numpy=True),
    "quantizer_by_default": lambda q: q.AbsMaxQuantizer()(MATRIX),
    "pack": lambda q: q.pack_int4(NIBBLES, axis=1),
    "pack_last": lambda q: q.pack_int4(NIBBLES, axis=-1),
    "pack_uint8": lambda q: q.pack_int4((NIBBLES + 8).astype("uint8"), dtype="uint8"),
    "unpack": lambda q: q.unpack_int4(q.pack_int4(NIBBLES, axis=1)[0], 5, axis=1),
    "unpack_uint8": lambda q: q.unpack_int4(
        q.pack_int4((NIBBLES + 8).astype("uint8"), axis=-2, dtype="uint8")[0], 5, -2, "uint8"
    ),
    "scale": lambda q: q.compute_float8_scale(
        torch.tensor([0.0, 3.0, np.inf]), torch.tensor([2.0, 2.0, 4.0]), 448.0
    ),
    "scale_with_margin": lambda q: q.compute_float8_scale(
        torch.tensor(3.0), torch.tensor(2.0), 448.0, margin=2
    ),
    "history": lambda q: q.compute_float8_amax_history(MATRIX, torch.arange(5.0)),
    "history_of_one": lambda q: q.compute_float8_amax_history(MATRIX, torch.ones(1)),
    "e4m3": lambda q: q.quantize_and_dequantize(
        MATRIX * 300, torch.tensor(0.7), "float8_e4m3fn", "float32"
    ),
    "e5m2": lambda q: q.quantize_and_dequantize(
        torch.tensor(MATRIX).bfloat16(), torch.tensor(3.0), "float8_e5m2", "bfloat16"
    ),
}


def leaves(result):
    return list(result) if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("name", CALLS)
def test_functions(name):
    ours, theirs = [leaves(CALLS[name](lib.quantizers)) for lib in (torchkeras, keras)]
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, torch.Tensor):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=0)
        else:
            assert a == b


@pytest.mark.parametrize("narrow_range", [False, True])
@pytest.mark.parametrize("axis", [None, -1])  # Keras has the ends along the last axis alone
def test_fake_quant(axis, narrow_range):
    results = []
    for library in (torchkeras, keras):
        x = torch.tensor(MATRIX, requires_grad=True)
        shape = () if axis is None else MATRIX.shape[-1:]
        low = torch.full(shape, -0.6, requires_grad=True)
        high = torch.full(shape, 0.9, requires_grad=True)
        y = library.quantizers.fake_quant_with_min_max_vars(
            x, low, high, num_bits=4, narrow_range=narrow_range, axis=axis
        )
        (y * torch.arange(y.numel()).reshape(y.shape)).sum().backward()
        results.append([y.detach(), x.grad, low.grad, high.grad])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


CONFIGS = {
    "int8": lambda q: q.Int8QuantizationConfig(),
    "int8_own": lambda q: q.Int8QuantizationConfig(q.AbsMaxQuantizer(axis=0), None),
    "int4": lambda q: q.Int4QuantizationConfig(block_size=32),
    "float8": lambda q: q.Float8QuantizationConfig(),
    "quantizer": lambda q: q.AbsMaxQuantizer(axis=(0, 1), value_range=(-7, 7)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configs(name):
    objects = [CONFIGS[name](lib.quantizers) for lib in (torchkeras, keras)]
    ours, theirs = [
        json.loads(json.dumps(lib.quantizers.serialize(each)))
        for lib, each in zip((torchkeras, keras), objects, strict=True)
    ]
    assert ours == theirs
    again = torchkeras.quantizers.deserialize(theirs)
    assert type(again) is type(objects[0])
    assert json.loads(json.dumps(torchkeras.quantizers.serialize(again))) == theirs


@pytest.mark.parametrize(
    "name",
    [
        "int8_from_float32",
        "int8_from_mixed_bfloat16",
        "int4_from_float32",
        "int4/64_from_mixed_float16",
        "int4/-1_from_bfloat16",
        "float8_from_float32",
    ],
)
def test_policies(name):
    facts = []
    for library in (torchkeras, keras):
        policy = library.dtype_policies.get(name)
        config = json.loads(json.dumps(library.dtype_policies.serialize(policy)))
        assert library.dtype_policies.deserialize(config) == policy
        assert policy != library.dtype_policies.get("float32")
        facts.append(
            [
                type(policy).__name__,
                policy.name,
                repr(policy),
                policy.quantization_mode,
                policy.compute_dtype,
                policy.variable_dtype,
                config,
            ]
        )
    assert facts[0] == facts[1]


WRONG = {
    "int8 of float16": lambda k: k.dtype_policies.get("int8_from_mixed_float16"),
    "no such mode": lambda k: k.dtype_policies.QuantizedDTypePolicy("int3", "float32"),
    "block of 0": lambda k: k.dtype_policies.Int4DTypePolicy("int4/0", "float32"),
    "block of text": lambda k: k.dtype_policies.Int4DTypePolicy("int4/a", "float32"),
    "range": lambda k: k.quantizers.AbsMaxQuantizer(value_range=(-129, 127)),
    "packing floats": lambda k: k.quantizers.pack_int4(MATRIX),
    "packing to int4": lambda k: k.quantizers.pack_int4(NIBBLES, dtype="int4"),
    "config's block": lambda k: k.quantizers.Int4QuantizationConfig(block_size=0),
    "config's quantizer": lambda k: k.quantizers.Int4QuantizationConfig(
        k.quantizers.AbsMaxQuantizer(value_range=(-8, 7))
    ),
    "config's range": lambda k: k.quantizers.Int4QuantizationConfig(
        k.quantizers.AbsMaxQuantizer(), block_size=-1
    ),
    "config's dtype": lambda k: k.quantizers.Int8QuantizationConfig(
        k.quantizers.AbsMaxQuantizer(output_dtype="int16")
    ),
    "get": lambda k: k.quantizers.get("nobody"),
    "history": lambda k: k.dtype_policies.QuantizedFloat8DTypePolicy("float8", "float32", 1.5),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_have_keras_types(name):
    raised = []
    for library in (torchkeras, keras):
        with pytest.raises((ValueError, TypeError)) as caught:
            WRONG[name](library)
        raised.append(caught.type)
    assert raised[0] is raised[1]
