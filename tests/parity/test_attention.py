"""Attention layers against real Keras on its torch backend."""

import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ALL = {
    "kernel_initializer": "he_normal",
    "bias_initializer": "ones",
    "kernel_regularizer": "l2",
    "bias_regularizer": "l2",
    "activity_regularizer": "l2",
    "kernel_constraint": "max_norm",
    "bias_constraint": "non_neg",
}
CASES = {
    "plain": ("MultiHeadAttention", {}),
    "value_dim": ("MultiHeadAttention", {"value_dim": 5, "output_shape": 7}),
    "output_shape": ("MultiHeadAttention", {"output_shape": (2, 3), "use_bias": False}),
    "gate": ("MultiHeadAttention", {"use_gate": True, "sliding_window": 2}),
    "dropout": ("MultiHeadAttention", {"dropout": 0.5, "seed": 3}),
    "all": ("MultiHeadAttention", ALL),
    "group": ("GroupQueryAttention", {}),
    "group_one": ("GroupQueryAttention", {"num_key_value_heads": 1, "use_bias": False}),
    "group_gate": ("GroupQueryAttention", {"use_gate": True, "sliding_window": 2}),
    "group_dropout": ("GroupQueryAttention", {"dropout": 0.5, "seed": 3}),
    "group_all": ("GroupQueryAttention", ALL),
    "mixed": ("MultiHeadAttention", {"dtype": "mixed_bfloat16"}),
}
SIZES = {
    "MultiHeadAttention": {"num_heads": 2, "key_dim": 4},
    "GroupQueryAttention": {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2},
}


def both(case, **more):
    name, arguments = CASES[case]
    given = {**SIZES[name], "name": "layer", **arguments, **more}
    return [getattr(lib.layers, name)(**given) for lib in (torchkeras, keras)]


def data(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def same_weights(layers):
    rng = np.random.default_rng(1)
    values = [rng.normal(size=w.shape).astype("float32") for w in layers[1].weights]
    for layer in layers:
        layer.set_weights(values)


def flat(outputs):
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def compare(layers, shapes, training=False, **given):
    """Outputs, losses and gradients of both layers on the same data and weights."""
    inputs = [data(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    for layer in layers:
        layer(*inputs)
    same_weights(layers)
    results = []
    for layer in layers:
        tensors = [x.clone().requires_grad_() for x in inputs]
        outputs = flat(layer(*tensors, training=training, **given))
        loss = sum((y * data(*y.shape, seed=4).to(y.dtype)).sum() for y in outputs)
        loss = loss + sum(layer.losses)
        loss.backward()
        # The bias of the keys has no influence: its gradient is rounding alone.
        weights = [w for w in layer.trainable_weights if not w.path.endswith("key/bias")]
        grads = [x.grad for x in tensors] + [w.value.grad for w in weights]
        results.append([*outputs, loss, *grads])
    assert len(results[0]) == len(results[1])
    # bfloat16 keeps 8 bits, and the two sides round at other places.
    mixed = layers[0].compute_dtype == "bfloat16"
    for a, b in zip(*results, strict=True):
        assert a.dtype == b.dtype
        if mixed:
            assert (a - b).abs().max() <= 0.05 * b.abs().max()
        else:
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_config_paths_and_symbols(case):
    described = []
    for library, layer in zip((torchkeras, keras), both(case), strict=True):
        before = json.loads(json.dumps(library.saving.serialize_keras_object(layer)))
        x = library.Input((3, 6))
        y = flat(layer(x, x))
        scores = ()
        if "gate" not in case:
            scores = [s.shape for s in layer(x, x, return_attention_scores=True)]
        weights = [(w.name, w.path, tuple(w.shape), w.trainable) for w in layer.weights]
        config = json.loads(json.dumps(library.saving.serialize_keras_object(layer)))
        described.append((weights, before, config, [(s.shape, s.dtype) for s in y], scores))
        described[-1] += (layer.supports_masking, repr(layer), len(layer.variables))
    for ours, theirs in zip(*described, strict=True):
        assert ours == theirs
    made = torchkeras.saving.deserialize_keras_object(described[1][2])
    assert json.loads(json.dumps(made.get_config())) == described[1][2]["config"]
    made = keras.saving.deserialize_keras_object(described[0][2])
    assert json.loads(json.dumps(made.get_config())) == described[0][2]["config"]


MASKS = {
    "none": {},
    "causal": {"use_causal_mask": True},
    "values": {"value_mask": [[1, 1, 0, 1], [0, 0, 0, 0]]},
    "keys": {"key_mask": [[1, 0, 0, 1], [1, 1, 0, 1]], "use_causal_mask": True},
    "attention": {"attention_mask": [[[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]]]},
    "attention_causal": {
        "attention_mask": [[[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]]],
        "use_causal_mask": True,
    },
}


def tensors(masks):
    return {
        name: torch.tensor(value, dtype=torch.bool)
        if name.endswith("_mask") and value is not True
        else value
        for name, value in masks.items()
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("with_scores", [False, True])
def test_outputs_and_gradients(case, mask, with_scores):
    given = tensors(MASKS[mask])
    if with_scores:
        given["return_attention_scores"] = True
    compare(both(case), [(2, 3, 6), (2, 4, 6), (2, 4, 6)], **given)


# Keras warns that its own projections drop the mask.
@pytest.mark.filterwarnings(r"ignore:[\s\S]*does not support masking:UserWarning")
@pytest.mark.parametrize("case", ["plain", "group"])
@pytest.mark.parametrize("with_scores", [False, True])
@pytest.mark.parametrize("key", [False, True])
def test_masks_that_ride_on_tensors(case, with_scores, key):
    x, other = data(2, 4, 6), data(2, 4, 6, seed=1)
    x[0, 2:], x[1] = 0, 0  # the second sample has nothing but padding
    other[0, 1] = 0
    layers = both(case)
    results = []
    for library, layer in zip((torchkeras, keras), layers, strict=True):
        layer(x, x)
        same_weights([layer, layer])
        masking = library.layers.Masking()
        rest = [masking(other.clone())] if key else []
        outputs = layer(
            masking(x.clone()), masking(x.clone()), *rest, return_attention_scores=with_scores
        )
        results.append([(y, getattr(y, "_keras_mask", None)) for y in flat(outputs)])
    for (ours, mask), (theirs, their_mask) in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        assert repr(mask) == repr(their_mask)


@pytest.mark.parametrize("axes", [None, (1, 2), (2,), (1,), -2])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("with_scores", [False, True])
def test_several_axes(axes, masked, with_scores):
    given = {"return_attention_scores": True} if with_scores else {}
    if masked:
        sizes = {(2,): (2, 3, 4, 4), -2: (2, 3, 4, 4), (1,): (2, 4, 3, 3)}
        shape = sizes.get(axes, (2, 3, 4, 3, 4))
        if axes in (None, (1, 2)):
            shape = (1, *shape[1:])
        given["attention_mask"] = data(*shape, seed=9) > 0
    if masked and axes not in (None, (1, 2)):
        # Keras wants the axis of the heads here as well.
        given["attention_mask"] = given["attention_mask"][:, :, None]
    compare(both("plain", attention_axes=axes), [(2, 3, 4, 6), (2, 3, 4, 6)], **given)


@pytest.mark.parametrize("maker", [torchkeras, keras])
@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
@pytest.mark.parametrize(
    "case", ["plain", "gate", "dropout", "output_shape", "group", "group_gate", "group_dropout"]
)
def test_files_are_exchanged(tmp_path, maker, name, case):
    pytest.importorskip("h5py")
    layer_name, arguments = CASES[case]

    def model(library):
        x, y = library.Input((None, 6)), library.Input((4, 6))
        cls = getattr(library.layers, layer_name)
        first = cls(**{**SIZES[layer_name], **arguments})(x, y, use_causal_mask=True)
        if case == "output_shape":
            first = library.layers.Reshape((-1, 6))(first)
        return library.Model([x, y], cls(**{**SIZES[layer_name], **arguments})(first, first))

    reader = keras if maker is torchkeras else torchkeras
    made = model(maker)
    inputs = [data(2, 3, 6).numpy(), data(2, 4, 6, seed=1).numpy()]
    if name == "model.keras":
        made.save(tmp_path / name, **({"weights_format": "h5"} if maker is torchkeras else {}))
        other = reader.saving.load_model(tmp_path / name)
    else:
        made.save_weights(tmp_path / name)
        other = model(reader)
        other.load_weights(tmp_path / name)
    expected = made.predict(inputs, verbose=0)
    np.testing.assert_allclose(other.predict(inputs, verbose=0), expected, rtol=1e-5, atol=1e-5)


def test_layers_after_it_have_keras_names():
    names = []
    for library in (torchkeras, keras):
        library.utils.clear_session()
        x = library.Input((3, 6))
        library.layers.MultiHeadAttention(2, 4)(x, x)
        library.layers.GroupQueryAttention(4, 4, 2)(x, x)
        names.append([library.layers.GroupQueryAttention(4, 4, 2).name])
        names[-1].extend([library.layers.Dropout(0.5).name, library.layers.Softmax().name])
        names[-1].append(library.layers.EinsumDense("ab,bc->ac", 4).name)
    assert names[0] == names[1]


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_heads": 0},
        {"num_heads": 2.0},
        {"key_dim": -1},
        {"value_dim": 0},
        {"sliding_window": 0},
        {"attention_axes": "1"},
        {"dropout": 0.5, "flash_attention": True},
        {"unknown": 1},
    ],
)
def test_errors_have_keras_types(arguments):
    for library in (torchkeras, keras):
        with pytest.raises(ValueError):
            library.layers.MultiHeadAttention(**{"num_heads": 2, "key_dim": 2, **arguments})


def test_errors_of_calls_have_keras_types():
    for library in (torchkeras, keras):
        with pytest.raises(ValueError):
            library.layers.MultiHeadAttention(2, 4)(data(2, 3, 6), data(2, 4, 6), data(2, 5, 6))
        with pytest.raises(ValueError):
            layer = library.layers.MultiHeadAttention(2, 4)
            layer(*(library.Input((n, 6)) for n in (3, 4, 5)))


PLAIN = {
    "dot": ("Attention", {}),
    "scaled": ("Attention", {"use_scale": True}),
    "concat": ("Attention", {"score_mode": "concat"}),
    "additive": ("AdditiveAttention", {}),
}


@pytest.mark.parametrize("case", PLAIN)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("with_scores", [False, True])
@pytest.mark.parametrize("masked", [(False, False), (True, True), (True, False), (False, True)])
def test_masks_of_attention_without_heads(case, causal, with_scores, masked):
    name, arguments = PLAIN[case]
    query, value = data(2, 3, 6), data(2, 4, 6, seed=1)
    query[0, 1:], value[0, 2:], value[1] = 0, 0, 0  # the second sample has only padding
    layers = [getattr(lib.layers, name)(**arguments) for lib in (torchkeras, keras)]
    results = []
    for library, layer in zip((torchkeras, keras), layers, strict=True):
        layer([query, value])
        for weight in layer.weights:
            weight.assign(data(*weight.shape, seed=3))
        inputs = [
            library.layers.Masking()(x.clone()) if has else x.clone()
            for x, has in zip((query, value), masked, strict=True)
        ]
        outputs = flat(layer(inputs, use_causal_mask=causal, return_attention_scores=with_scores))
        results.append([(y, getattr(y, "_keras_mask", None)) for y in outputs])
    for (ours, mask), (theirs, their_mask) in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        assert repr(mask) == repr(their_mask)
