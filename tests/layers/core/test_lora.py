"""LoRA on Dense, EinsumDense and Embedding: a frozen weight and a learned product beside it."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, case, layer_cases
from torchkeras import layers

IDS = torch.tensor([[3, 0, 1], [0, 4, 3]])
LAYERS = {
    "dense": (lambda **k: layers.Dense(4, activation="relu", **k), torch.randn(2, 5), "kernel"),
    "einsum": (
        lambda **k: layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de", **k),
        torch.randn(2, 3, 5),
        "kernel",
    ),
    "embedding": (lambda **k: layers.Embedding(5, 4, **k), IDS, "embeddings"),
    "reversible": (lambda **k: layers.ReversibleEmbedding(5, 4, **k), IDS, "embeddings"),
}


def enabled(name, **arguments):
    """The layer with LoRA of rank 2, trained a little, and a plain one with the merged weight."""
    make, x, weight = LAYERS[name]
    layer, plain = make(lora_rank=2, lora_alpha=3.0, **arguments), make(**arguments)
    layer(x), plain(x)
    a, b = (getattr(layer, f"lora_{weight}_{part}") for part in "ab")
    b.assign(torch.randn(b.shape))
    merged = getattr(layer, weight).value + 3 / 2 * a.value @ b.value
    getattr(plain, weight).assign(merged)
    return layer, plain, x


@pytest.mark.parametrize("name", LAYERS)
def test_product_is_added_to_the_weight_and_learned_alone(name):
    layer, plain, x = enabled(name)
    assert_close(layer(x), plain(x))
    weight = LAYERS[name][2]
    trained = [w.name for w in layer.trainable_weights]
    assert weight not in trained
    assert trained[-2:] == [f"lora_{weight}_a", f"lora_{weight}_b"]
    (layer(x) ** 2).sum().backward()
    assert all(w.value.grad.any() for w in layer.trainable_weights[-2:])
    if name == "reversible":
        y = torch.randn(2, 4)
        assert_close(layer(y, reverse=True), plain(y, reverse=True))


@pytest.mark.parametrize("name", LAYERS)
def test_layer_that_is_built_takes_it_on_and_is_what_it_was(name):
    make, x, weight = LAYERS[name]
    layer = make()
    before = layer(x)
    layer.enable_lora(2, lora_alpha=8)
    assert_close(layer(x), before)
    assert (layer.lora_rank, layer.lora_alpha) == (2, 8)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert (again.lora_rank, again.lora_alpha, again.lora_enabled) == (2, 8, True)
    with pytest.raises(ValueError, match="has LoRA already.*Received: rank=3"):
        layer.enable_lora(3)
    with pytest.raises(ValueError, match="is not built.*Received: rank=3"):
        make().enable_lora(3)
    constrained = make(**{f"{weight}_constraint": "non_neg"})
    constrained(x)
    with pytest.raises(ValueError, match=f"{weight}_constraint.*Received: rank=3"):
        constrained.enable_lora(3)
    with pytest.raises(ValueError, match="Received: lora_rank=0"):
        make(lora_rank=0)


@pytest.mark.parametrize("name", LAYERS)
def test_files_in_keras_layout_have_the_sum_and_safetensors_all(name, tmp_path):
    pytest.importorskip("h5py")
    layer, plain, x = enabled(name)
    models = [keras.Sequential([each]) for each in (layer, plain)]
    for model in models:
        model(x)
    expected = layer(x)
    models[0].save_weights(tmp_path / "merged.weights.h5")
    plain.set_weights([np.zeros(w.shape) for w in plain.weights])
    models[1].load_weights(tmp_path / "merged.weights.h5")
    assert_close(plain(x), expected)
    models[0].load_weights(tmp_path / "merged.weights.h5")
    assert_close(layer(x), expected)
    assert not layer.trainable_weights[-1].value.any()
    assert layer.trainable_weights[-2].value.any()

    layer, _, x = enabled(name)
    model = keras.Sequential([layer])
    expected = model(x)
    model.save(tmp_path / "model.keras")
    other = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(other(x), expected)
    assert other.layers[0].trainable_weights[-1].value.any()


def trained(layer):
    """Without it the gradient of `a` is zero, as `b` is."""
    if not layer.built:
        layer.build((None, 4))
    layer.trainable_weights[-1].assign(torch.ones(2, 3))


CASES = {
    "dense": case(
        layers.Dense,
        {"units": 3, "lora_rank": 2},
        (2, 4),
        expected_num_weights=4,
        prepare=trained,
    ),
    "embedding": case(
        layers.Embedding,
        {"input_dim": 10, "output_dim": 3, "lora_rank": 2},
        (2, 4),
        input_dtype="int64",
        mask_shape=False,
        expected_num_weights=3,
        prepare=trained,
    ),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()
