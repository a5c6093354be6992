"""Quantized layers and models against real Keras on its torch backend."""

import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",
    "ignore:Layer .* does not have:UserWarning",
    "ignore:(?s).*use of `x.T` on tensors:UserWarning",  # by Keras, of a scale
)

CASES = {
    "dense": ("Dense", {"units": 5, "activation": "relu"}),
    "einsum": (
        "EinsumDense",
        {"equation": "abc,cde->abde", "output_shape": (3, 2, 5), "bias_axes": "de"},
    ),
    "einsum_two": ("EinsumDense", {"equation": "abc,bcd->ad", "output_shape": 4}),
    "einsum_turned": ("EinsumDense", {"equation": "abc,dc->abd", "output_shape": (3, 4)}),
    "embedding": ("Embedding", {"input_dim": 7, "output_dim": 5}),
    "reversible": ("ReversibleEmbedding", {"input_dim": 7, "output_dim": 5}),
    "untied": ("ReversibleEmbedding", {"input_dim": 7, "output_dim": 5, "tie_weights": False}),
}
PRODUCTS = ["dense", "einsum", "einsum_two", "einsum_turned"]
TABLES = ["embedding", "reversible", "untied"]
MODES = {
    "int8": lambda q: q.Int8QuantizationConfig(),
    "int8_weights": lambda q: q.Int8QuantizationConfig(activation_quantizer=None),
    "int4": lambda q: q.Int4QuantizationConfig(block_size=4),
    "int4_whole": lambda q: q.Int4QuantizationConfig(block_size=None),
    "int4_inputs": lambda q: q.Int4QuantizationConfig(
        activation_quantizer=q.AbsMaxQuantizer(), block_size=-1
    ),
    "float8": lambda q: q.Float8QuantizationConfig(),
}


def inputs(case):
    if case in TABLES:
        return torch.tensor([[3, 0, 1], [0, 6, 3]])
    return torch.tensor(np.random.default_rng(0).normal(size=(2, 3, 6)).astype("float32"))


def both(case, mode=None, rank=None, **arguments):
    """Layers of both with the same weights, quantized after that."""
    name, own = CASES[case]
    made = [
        getattr(lib.layers, name)(**own, **arguments, name="layer") for lib in (torchkeras, keras)
    ]
    values, rng = {}, np.random.default_rng(1)
    for library, layer in zip((torchkeras, keras), made, strict=True):
        layer(inputs(case))
        if rank:
            layer.enable_lora(rank, lora_alpha=3)
        for weight in layer.weights:
            if weight.name not in values:
                # Signs as on a chessboard: a block of one sign is what Keras gets wrong.
                signs = (-1) ** np.indices(weight.shape).sum(0)
                values[weight.name] = (signs * abs(rng.normal(size=weight.shape))).astype("f4")
            weight.assign(values[weight.name])
        if mode:
            layer.quantize(config=MODES[mode](library.quantizers))
    return made


def described(library, layer):
    weights = [(w.path, tuple(w.shape), w.dtype, w.trainable) for w in layer.weights]
    return weights, json.loads(json.dumps(library.saving.serialize_keras_object(layer)))


def compare_weights(ours, theirs):
    for a, b in zip(
        *[sorted(x.weights, key=lambda w: w.name) for x in (ours, theirs)], strict=True
    ):
        assert a.name == b.name
        # The same steps in the same order, whose scales may differ in their last bit.
        torch.testing.assert_close(a.value.detach(), b.value.detach(), rtol=1e-6, atol=0)


def run(layer, x, reverse=False):
    x = x.clone().requires_grad_(x.is_floating_point())
    y = layer(x, reverse=True) if reverse else layer(x)
    if y.requires_grad:
        (y.float() ** 2).sum().backward()
    return y.detach(), x.grad


def compare_results(a, b, tolerance=1e-5):
    assert a[0].dtype == b[0].dtype
    torch.testing.assert_close(a[0], b[0], rtol=tolerance, atol=tolerance)
    if a[1] is not None:
        torch.testing.assert_close(a[1], b[1], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", PRODUCTS)
def test_products(case, mode):
    if case in ("einsum_two", "einsum_turned") and mode == "int8_weights":
        pytest.skip("Keras cannot call it")
    ours, theirs = both(case, mode)
    assert described(torchkeras, ours) == described(keras, theirs)
    compare_weights(ours, theirs)
    compare_results(*[run(layer, inputs(case)) for layer in (ours, theirs)], 1e-4)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "float8"])
@pytest.mark.parametrize("case", TABLES)
def test_tables(case, mode):
    ours, theirs = both(case, mode)
    assert described(torchkeras, ours) == described(keras, theirs)
    compare_weights(ours, theirs)
    compare_results(*[run(layer, inputs(case)) for layer in (ours, theirs)])
    if case != "embedding":
        x = torch.tensor(np.random.default_rng(2).normal(size=(2, 5)).astype("float32"))
        ours, theirs = [run(layer, x, reverse=True) for layer in (ours, theirs)]
        compare_results((ours[0], None), (theirs[0], None), 1e-4)


@pytest.mark.parametrize("mode", ["int8", "int4", "int4_whole", "float8"])
@pytest.mark.parametrize("case", ["dense", "einsum", "embedding"])
def test_mixed_precision(case, mode):
    if case == "embedding" and mode == "float8":
        return
    ours, theirs = both(case, mode, dtype="mixed_bfloat16")
    assert described(torchkeras, ours) == described(keras, theirs)
    compare_results(*[run(layer, inputs(case)) for layer in (ours, theirs)], 5e-2)


@pytest.mark.parametrize("mode", ["int8", "int4", "int4_whole"])
@pytest.mark.parametrize("case", ["dense", "einsum", "embedding"])
def test_lora(case, mode):
    ours, theirs = both(case, mode, rank=2)
    assert [w[0] for w in described(torchkeras, ours)[0]] == [
        w[0] for w in described(keras, theirs)[0]
    ]
    compare_results(*[run(layer, inputs(case)) for layer in (ours, theirs)], 1e-4)
    for a, b in zip(ours.trainable_weights, theirs.trainable_weights, strict=True):
        torch.testing.assert_close(a.value.grad, b.value.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("case", ["dense", "einsum"])
def test_float8_training(case, dtype):
    layers, x = both(case, "float8", dtype=dtype), inputs(case)
    rng = np.random.default_rng(3)
    names = [w.name for w in layers[0].weights if "scale" in w.name or "history" in w.name]
    values = {name: rng.uniform(0.5, 2, size=getattr(layers[0], name).shape) for name in names}
    results = []
    for layer in layers:
        for name, value in values.items():
            getattr(layer, name).assign(value)
        y = layer(x, training=True)
        (y.float() ** 2).sum().backward()
        weights = sorted(layer.trainable_weights, key=lambda weight: weight.name)
        results.append([y.detach(), *(weight.value.grad for weight in weights)])
    # A last bit of float32 may be a step of the 8 bits.
    tolerance = 1e-4 if dtype == "float32" else 5e-2
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_model_with_attention():
    results = []
    for library in (torchkeras, keras):
        ids = library.Input((4,), dtype="int32")
        x = library.layers.Embedding(7, 8)(ids)
        x = library.layers.MultiHeadAttention(2, 4)(x, x)
        model = library.Model(ids, library.layers.Dense(3)(library.layers.Dropout(0.5)(x)))
        rng = np.random.default_rng(0)
        model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
        model.quantize("int8")
        y = model(torch.tensor([[1, 2, 3, 6]]))
        results.append(([(w.name, w.dtype, tuple(w.shape)) for w in model.weights], y.detach()))
    assert results[0][0] == results[1][0]
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", ["int8", "int4", "int4/4", "float8"])
@pytest.mark.parametrize("case", ["dense", "einsum", "embedding", "untied"])
def test_layers_that_are_built_quantized(case, policy):
    if case in TABLES and policy == "float8":
        return
    name, own = CASES[case]
    made = []
    for library in (torchkeras, keras):
        layer = getattr(library.layers, name)(**own, name="layer", dtype=f"{policy}_from_float32")
        layer.build(tuple(inputs(case).shape))
        made.append(described(library, layer))
    assert made[0] == made[1]


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
@pytest.mark.parametrize("maker", [torchkeras, keras])
@pytest.mark.parametrize(
    ("case", "mode", "rank"),
    [
        *[(case, mode, None) for case in ("dense", "untied") for mode in ("int8", "int4")],
        ("dense", "float8", None),
        ("dense", "int8", 2),
        ("einsum", "int4", 2),
        ("embedding", "int4", 2),
    ],
)
def test_files_are_exchanged(tmp_path, case, mode, rank, maker, name):
    pytest.importorskip("h5py")
    layers, x = both(case, mode, rank), inputs(case)
    models = [
        lib.Sequential([lib.Input(x.shape[1:], dtype=str(x.dtype)[6:]), layer])
        for lib, layer in zip((torchkeras, keras), layers, strict=True)
    ]
    if maker is keras:
        models.reverse()
    made, reader = models
    expected = made(x)
    library = keras if maker is torchkeras else torchkeras
    if name == "model.keras":
        made.save(tmp_path / name, **({"weights_format": "h5"} if maker is torchkeras else {}))
        other = library.saving.load_model(tmp_path / name)
    else:
        for weight in reader.layers[0].weights:
            weight.assign(weight * 0)
        made.save_weights(tmp_path / name)
        reader.load_weights(tmp_path / name)
        other = reader
    assert other.layers[0].quantization_mode == mode.partition("_")[0]
    # The sum of LoRA is rounded to integers in the file.
    tolerance = {"int8": 0.2, "int4": 4.0}[mode] if rank else 1e-4
    torch.testing.assert_close(other(x), expected, rtol=1e-4, atol=tolerance)
    if not rank:
        compare_weights(
            *([other.layers[0], layers[1]] if maker is keras else [layers[0], other.layers[0]])
        )
