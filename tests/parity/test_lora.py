"""LoRA against real Keras on its torch backend."""

import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CASES = {
    "dense": ("Dense", {"units": 4, "kernel_regularizer": "l2"}),
    "dense_mixed": ("Dense", {"units": 4, "dtype": "mixed_bfloat16", "use_bias": False}),
    "einsum": (
        "EinsumDense",
        {"equation": "abc,cde->abde", "output_shape": (3, 2, 4), "bias_axes": "de"},
    ),
    "embedding": ("Embedding", {"input_dim": 5, "output_dim": 4, "embeddings_regularizer": "l2"}),
}


def inputs(case):
    if case == "embedding":
        return torch.tensor([[3, 0, 1], [0, 4, 3]])
    return torch.tensor(np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32"))


def both(case, rank=2):
    """Layers of both that have LoRA and the same weights, by name."""
    name, arguments = CASES[case]
    made = [getattr(lib.layers, name)(**arguments, name="layer") for lib in (torchkeras, keras)]
    values, rng = {}, np.random.default_rng(1)
    for layer in made:
        layer(inputs(case))
        layer.enable_lora(rank, lora_alpha=3)
        for weight in layer.weights:
            values.setdefault(weight.name, rng.normal(size=weight.shape).astype("float32"))
            weight.assign(values[weight.name])
    return made


@pytest.mark.parametrize("case", CASES)
def test_outputs_gradients_paths_and_config(case):
    results, described = [], []
    for library, layer in zip((torchkeras, keras), both(case), strict=True):
        y = layer(inputs(case))
        loss = (y.float() ** 2).sum() + sum(layer.losses)
        loss.backward()
        trained = layer.trainable_weights
        results.append([y, loss, *(w.value.grad for w in trained)])
        weights = {w.path: (tuple(w.shape), w.trainable, w.dtype) for w in layer.weights}
        config = json.loads(json.dumps(library.saving.serialize_keras_object(layer)))
        described.append((weights, [w.path for w in trained], config))
    assert described[0] == described[1]
    tolerance = 5e-2 if case == "dense_mixed" else 1e-4
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", ["dense", "einsum", "embedding"])
@pytest.mark.parametrize("maker", [torchkeras, keras])
@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_files_are_exchanged(tmp_path, maker, name, case):
    pytest.importorskip("h5py")
    layers, x = both(case), inputs(case)
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
        made.save_weights(tmp_path / name)
        reader.load_weights(tmp_path / name)
        other = reader
    assert other.layers[0].lora_enabled
    torch.testing.assert_close(other(x), expected, rtol=1e-5, atol=1e-5)


def test_errors_have_keras_types():
    for library in (torchkeras, keras):
        with pytest.raises(ValueError):
            library.layers.Dense(4).enable_lora(2)
        layer = library.layers.Dense(4, kernel_constraint="non_neg")
        layer.build((None, 3))
        with pytest.raises(ValueError):
            layer.enable_lora(2)
        layer = library.layers.Dense(4, lora_rank=2)
        layer.build((None, 3))
        with pytest.raises(ValueError):
            layer.enable_lora(2)
