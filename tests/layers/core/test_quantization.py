"""Quantized Dense, EinsumDense and embeddings: integers in place of weights."""

import copy
import pickle
import sys

import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, case, layer_cases
from torchkeras import layers, quantizers
from torchkeras.quantizers.weight_codes import decode

IDS = torch.tensor([[3, 0, 1], [0, 4, 3]])
LAYERS = {
    "dense": (lambda **k: layers.Dense(4, activation="relu", **k), torch.randn(2, 6)),
    "einsum": (
        lambda **k: layers.EinsumDense("...bc,cd->...bd", (None, 3), bias_axes="d", **k),
        torch.randn(2, 5, 4, 6),
    ),
    "einsum_turned": (
        lambda **k: layers.EinsumDense("abc,dc->adb", (3, 5), **k),
        torch.randn(2, 5, 6),
    ),
    "embedding": (lambda **k: layers.Embedding(5, 6, **k), IDS),
    "reversible": (lambda **k: layers.ReversibleEmbedding(5, 6, tie_weights=False, **k), IDS),
}
CONFIGS = {
    "int8": quantizers.Int8QuantizationConfig(),
    "int8_weights": quantizers.Int8QuantizationConfig(activation_quantizer=None),
    "int4": quantizers.Int4QuantizationConfig(block_size=4),
    "int4_whole": quantizers.Int4QuantizationConfig(block_size=None),
    "float8": quantizers.Float8QuantizationConfig(),
}
MODES = [(name, mode) for name in LAYERS for mode in CONFIGS]
MODES = [(n, m) for n, m in MODES if m != "float8" or n in ("dense", "einsum")]
some = pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("dense", "int8"),
        ("einsum", "int8"),
        ("dense", "int4"),
        ("dense", "float8"),
        ("reversible", "int4"),
    ],
)


def quantized(name, mode, **arguments):
    make, x = LAYERS[name]
    layer = make(**arguments)
    layer(x)
    layer.quantize(config=CONFIGS[mode])
    return layer, x


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_outputs_are_those_of_the_weights_that_integers_stand_for(name, mode):
    layer, x = quantized(name, mode)
    plain = LAYERS[name][0]()
    plain(x)
    weights = dict.fromkeys(w.name for w in plain.weights)
    for weight in weights:
        value = layer._handles[weight].value
        if weight in (layer._codes or {}):
            value = decode(*layer._stored(weight), torch.float32)
        getattr(plain, weight).assign(value)
    check_near(layer, plain, x, mode)
    if name == "reversible":
        check_near(layer, plain, torch.randn(3, 6), mode, reverse=True)


def check_near(layer, plain, x, mode, **arguments):
    """Outputs of a quantized layer are off by what inputs lose in few bits, at most."""
    y, expected = layer(x, **arguments), plain(x, **arguments)
    bound = 1e-5
    if x.is_floating_point() and mode in ("int8", "float8"):
        for weight in plain.weights:
            weight.assign(weight.value.detach().abs())
        if mode == "int8":  # half a step, of 127 to the largest value
            bound = plain(x.abs().amax().expand_as(x), **arguments) / 254 * 1.01 + 1e-5
        else:  # half a step is 1/16 of a value, in inputs and kernel; more below 2**-6
            bound = plain(x.abs(), **arguments) * 0.13 + 0.02
    assert ((y - expected).abs() <= bound).all()


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize("tied", [True, False])
def test_gradients_go_straight_through_the_reverse_call(mode, tied):
    layer = layers.ReversibleEmbedding(5, 6, tie_weights=tied)
    layer(IDS)
    layer.quantize(config=CONFIGS[mode])
    x = torch.randn(3, 6, requires_grad=True)
    layer(x, reverse=True).sum().backward()
    table = decode(*layer._stored("embeddings" if tied else "reverse_embeddings"), torch.float32)
    rows = table if tied else table.T
    assert_close(x.grad, rows.sum(0).expand(3, 6))


def built_quantized(cls, policy, shape, **arguments):
    """A case of a layer that is quantized in `build`, with integers of both signs."""

    def prepare(layer):
        layer.build(shape)
        integers = layer._handles[layer._lora_weight]
        integers.assign(torch.arange(integers.value.numel()).reshape(integers.shape) % 51 - 25)

    return case(
        cls,
        {**arguments, "dtype": policy},
        shape,
        prepare=prepare,
        supports_mixed_precision=False,  # these two set another policy
        supports_half=False,
        input_dtype="int64" if cls is layers.Embedding else "float32",
    )


CASES = {
    "int8": built_quantized(layers.Dense, "int8_from_float32", (2, 8), units=4),
    "int4": built_quantized(layers.Dense, "int4/4_from_float32", (2, 3, 8), units=4),
    "einsum": built_quantized(
        layers.EinsumDense,
        "int8_from_float32",
        (2, 3, 8),
        equation="abc,cd->abd",
        output_shape=(None, 4),
    ),
    "embedding": built_quantized(
        layers.Embedding, "int4/-1_from_float32", (2, 3), input_dim=10, output_dim=4
    ),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()


@some
def test_state_dict_copies_and_files(name, mode, tmp_path):
    layer, x = quantized(name, mode)
    expected = layer(x)
    state = layer.state_dict()
    assert set(state) == {w.name for w in layer.weights}
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(x), expected)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    again.build(tuple(x.shape))
    again.load_state_dict(state)
    assert torch.equal(again(x), expected)
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=str(x.dtype)[6:]), layer])
    for file in ("model.safetensors", "model.keras"):
        model.save(tmp_path / file)
        loaded = keras.saving.load_model(tmp_path / file)
        assert torch.equal(loaded(x), expected)
        assert [w.dtype for w in loaded.weights] == [w.dtype for w in model.weights]


@some
def test_compiled_and_exported(name, mode):
    layer, x = quantized(name, mode)
    with torch.no_grad():
        expected = layer(x)
        compiled = torch.compile(layer, fullgraph=True, backend="eager")
        assert torch.equal(compiled(x), expected)
        exported = torch.export.export(layer, (x,)).module()
        assert torch.equal(exported(x), expected)


def test_compiled_with_gradients():
    layer, x = quantized("dense", "int8")
    x.requires_grad_()
    layer(x).sum().backward()
    expected, x.grad = x.grad, None
    torch.compile(layer, fullgraph=True, backend="aot_eager")(x).sum().backward()
    assert_close(x.grad, expected)


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_gradients_of_functions(mode):
    layer, x = quantized("dense", mode)
    x = x.detach().requires_grad_()
    layer(x).sum().backward()
    assert_close(torch.func.grad(lambda x: layer(x).sum())(x.detach()), x.grad)


@some
def test_symbols_and_paths(name, mode):
    layer, x = quantized(name, mode)
    y = layer(keras.Input(x.shape[1:], dtype=str(x.dtype)[6:]))
    assert y.shape[1:] == layer(x).shape[1:]
    assert {w.path.rpartition("/")[0] for w in layer.weights} == {layer.path}


@pytest.mark.parametrize(("mode", "share"), [("int8", 0.27), ("int4_whole", 0.14), ("int4", 0.2)])
def test_weights_are_smaller(mode, share):
    layer = layers.Dense(256)
    layer.build((None, 256))
    before = sum(w.value.nbytes for w in layer.weights)
    config = CONFIGS[mode] if mode != "int4" else quantizers.Int4QuantizationConfig(block_size=64)
    layer.quantize(config=config)
    assert sum(w.value.nbytes for w in layer.weights) < share * before


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize("name", ["dense", "einsum", "einsum_turned", "embedding"])
def test_lora_learns_beside_integers(name, mode):
    layer, x = quantized(name, mode)
    before = layer(x)
    layer.enable_lora(2)
    assert_close(layer(x), before)
    weight = layer._lora_weight
    a, b = (getattr(layer, f"lora_{weight}_{part}") for part in "ab")
    b.assign(torch.randn(b.shape))
    plain = LAYERS[name][0]()
    plain(x)
    value = decode(*layer._stored(weight), torch.float32)
    getattr(plain, weight).assign(value + (a.value @ b.value).detach())
    tolerance = 0.05 if mode == "int8" and name != "embedding" else 1e-4
    assert (layer(x) - plain(x)).abs().max() < tolerance * (1 + plain(x).abs().max())
    layer(x).sum().backward()
    assert a.grad.any() and b.grad.any()


def test_reverse_call_has_lora():
    layer = layers.ReversibleEmbedding(5, 6)
    layer(IDS)
    layer.quantize("int8")
    layer.enable_lora(2)
    x = torch.randn(3, 6)
    before = layer(x, reverse=True)
    layer.lora_embeddings_b.assign(torch.randn(2, 6))
    update = layer.lora_embeddings_a.value @ layer.lora_embeddings_b.value
    assert_close(layer(x, reverse=True), before + x @ update.T)


def test_float8_scales_follow_in_training():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.Dense(1)])
    model.quantize("float8")
    model.compile("sgd", "mse")
    x = torch.randn(8, 6) * 50
    model.fit(x, torch.randn(8, 1), epochs=2, batch_size=8, verbose=0)
    dense = model.layers[0]
    assert_close(dense.inputs_amax_history.value[0], x.abs().max())
    assert_close(dense.inputs_scale.value, x.abs().max() / 448)
    assert dense.outputs_grad_amax_history.value[0] > 0


def test_float8_scales_of_a_frozen_layer_are_frozen_and_thaw():
    layer = layers.Dense(4, trainable=False)
    layer.build((None, 6))
    layer.quantize("float8")
    assert not any(parameter.requires_grad for parameter in layer.parameters())
    layer.trainable = True
    assert len(layer.trainable_weights) == 8


def test_model_quantizes_the_layers_that_filters_take():
    def make():
        dense = [layers.Dense(4, name=name) for name in ("first", "second")]
        return keras.Sequential([keras.Input((4,)), *dense, layers.Dropout(0.5)])

    for filters, expected in (
        (None, ["int8", "int8"]),
        ("sec", [None, "int8"]),
        (["^first", "nobody"], ["int8", None]),
        (lambda layer: layer.name != "first", [None, "int8"]),
    ):
        model = make()
        model.quantize("int8", filters=filters)
        assert [layer.quantization_mode for layer in model.layers[:2]] == expected
        assert model.predict(torch.ones(2, 4), verbose=0).shape == (2, 4)
    with pytest.raises(ValueError, match="filters=3"):
        make().quantize("int8", filters=3)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2), layers.BatchNormalization()])
    with pytest.warns(UserWarning, match="keeps its floats"):
        model.quantize("int8")
    with pytest.raises(ValueError, match="quantized already"):
        model.quantize("int8")


def test_what_cannot_be_quantized_says_so():
    with pytest.raises(ValueError, match="not built"):
        layers.Dense(2).quantize("int8")
    layer, _ = quantized("dense", "int8")
    with pytest.raises(ValueError, match="quantized already"):
        layer.quantize("int4")
    with pytest.raises(ValueError, match="fit the policy"):
        layer.dtype_policy = "float32"
    embedding = layers.Embedding(3, 2)
    embedding.build()
    with pytest.raises(NotImplementedError, match="int8 and int4"):
        embedding.quantize("float8")
    with pytest.raises(NotImplementedError):
        embedding.dtype_policy = "float8_from_float32"
    assert embedding.dtype_policy.name == "float32"
    with pytest.raises(NotImplementedError, match="no weights"):
        layers.Dropout(0.5).quantize("int8")
    half = layers.Dense(2, dtype="mixed_float16")
    half.build((None, 3))
    with pytest.raises(ValueError, match="float16"):
        half.quantize("int8")

    class Own(layers.Dense):
        pass

    own = Own(2)
    own.build((None, 3))
    with pytest.raises(NotImplementedError, match="subclass"):
        own.quantize("int8")
    own.quantize("int8", type_check=False)
    layer = layers.Dense(2)
    layer.build((None, 3))
    config = quantizers.Int8QuantizationConfig(quantizers.AbsMaxQuantizer(axis=(0, 1)))
    with pytest.raises(ValueError, match="a scale for each output"):
        layer.quantize(config=config)
    assert layer.kernel.dtype == "float32"


@pytest.mark.parametrize("first", ["enable_lora", "quantize"])
def test_float8_does_not_go_with_lora(first):
    layer = layers.Dense(2)
    layer.build((None, 3))
    steps = {"enable_lora": 1, "quantize": "float8"}
    getattr(layer, first)(steps.pop(first))
    ((second, argument),) = steps.items()
    with pytest.raises(NotImplementedError, match="LoRA"):
        getattr(layer, second)(argument)


def test_policies_quantize():
    layer = layers.Dense(3)
    layer.build((None, 8))
    layer.dtype_policy = "int4/4_from_float32"
    assert layer.kernel_scale.shape == (2, 3)
    keras.config.set_dtype_policy("int8_from_mixed_bfloat16")
    try:
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dropout(0.5)])
    finally:
        keras.config.set_dtype_policy(None)
    assert model.layers[0].kernel.dtype == "int8"
    assert model(torch.ones(2, 4)).dtype is torch.bfloat16


def test_moving_to_another_dtype_keeps_the_integers():
    layer, x = quantized("dense", "int8")
    before = layer(x)
    layer.bfloat16()
    assert layer.dtype_policy.name == "int8_from_bfloat16"
    assert layer.kernel.dtype == "int8"
    assert_close(layer(x), before, torch.bfloat16)
    layer, _ = quantized("dense", "int8")
    with pytest.raises(ValueError, match="float16"):
        layer.half()
    assert layer.kernel_scale.dtype == "float32"


def test_call_of_a_plain_layer_is_what_it_was():
    layer, x = LAYERS["dense"][0](), LAYERS["dense"][1]
    layer(x)
    layer(x)
    names = []
    sys.setprofile(lambda frame, event, _: event == "call" and names.append(frame.f_code.co_name))
    try:
        layer(x)
    finally:
        sys.setprofile(None)
    assert not [name for name in names if "quant" in name]
    assert names.count("call") == 1 and "_keras_call" not in names
