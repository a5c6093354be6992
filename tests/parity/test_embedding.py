"""Embedding and ReversibleEmbedding against real Keras on its torch backend."""

import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CASES = {
    "plain": ("Embedding", {}),
    "masked": ("Embedding", {"mask_zero": True, "dtype": "mixed_bfloat16"}),
    "all": (
        "Embedding",
        {
            "embeddings_initializer": "he_normal",
            "embeddings_regularizer": "l2",
            "embeddings_constraint": "max_norm",
            "activity_regularizer": "l2",
            "trainable": False,
        },
    ),
    "given": ("Embedding", {"weights": np.arange(30, dtype="float32").reshape(10, 3)}),
    "reversible": ("ReversibleEmbedding", {"mask_zero": True, "logit_soft_cap": 0.7}),
    "untied": (
        "ReversibleEmbedding",
        {"tie_weights": False, "embeddings_regularizer": "l2", "reverse_dtype": "float32"},
    ),
}
IDS = np.array([[3, 0, 1], [0, 9, 3]], "int32")


def both(case):
    name, arguments = CASES[case]
    given = {"input_dim": 10, "output_dim": 3, "name": "layer", **arguments}
    return [getattr(lib.layers, name)(**given) for lib in (torchkeras, keras)]


@pytest.mark.parametrize("case", CASES)
def test_config_paths_symbols_and_masks(case):
    described = []
    for library, layer in zip((torchkeras, keras), both(case), strict=True):
        symbol = layer(library.Input((None,), dtype="int32"))
        weights = [(w.name, w.path, tuple(w.shape), w.trainable, w.dtype) for w in layer.weights]
        config = json.loads(json.dumps(library.saving.serialize_keras_object(layer)))
        made = library.saving.deserialize_keras_object(config)
        assert json.loads(json.dumps(made.get_config())) == config["config"]
        if case == "given":  # built in its constructor: Keras notes no shape, and we any
            config.pop("build_config")
        mask = getattr(layer(torch.tensor(IDS)), "_keras_mask", None)
        described.append((weights, config, symbol.shape, symbol.dtype, repr(mask)))
        described[-1] += (layer.supports_masking, repr(layer), layer.autocast)
    assert described[0] == described[1]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "uint8"])
def test_outputs_and_gradients(case, dtype):
    results, rng = [], np.random.default_rng(0)
    values = {}
    for layer in both(case):
        ids = torch.tensor(IDS.astype(dtype))
        layer(ids)
        for index, weight in enumerate(layer.weights):
            values.setdefault(index, rng.normal(size=weight.shape).astype("float32"))
            weight.assign(values[index])
        outputs = [layer(ids)]
        if case in ("reversible", "untied"):
            outputs.append(layer(outputs[0], reverse=True))
        loss = sum((y.float() ** 3).sum() for y in outputs) + sum(layer.losses)
        if layer.trainable_weights:
            loss.backward()
        results.append([*outputs, loss, *(w.value.grad for w in layer.trainable_weights)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("maker", [torchkeras, keras])
@pytest.mark.parametrize("case", CASES)
def test_files_are_exchanged(tmp_path, maker, case):
    pytest.importorskip("h5py")
    name, arguments = CASES[case]
    inputs = maker.Input((None,), dtype="int32")
    layer = getattr(maker.layers, name)(10, 3, **arguments)
    model = maker.Model(inputs, layer(inputs))
    reader = keras if maker is torchkeras else torchkeras
    model.save(tmp_path / "m.keras", **({"weights_format": "h5"} if maker is torchkeras else {}))
    other = reader.saving.load_model(tmp_path / "m.keras")
    a, b = model.predict(IDS, verbose=0), other.predict(IDS, verbose=0)
    np.testing.assert_array_equal(np.asarray(a, "float32"), np.asarray(b, "float32"))
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
