"""Recurrent layers against real Keras on its torch backend."""

import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CASES = {
    "plain": {},
    "sequences": {"return_sequences": True},
    "state": {"return_sequences": True, "return_state": True},
    "backwards": {"return_sequences": True, "return_state": True, "go_backwards": True},
    "zero_output": {"return_sequences": True, "zero_output_for_mask": True},
    "unroll": {"unroll": True, "return_state": True},
    "no_bias": {"use_bias": False},
    "activations": {"activation": None, "recurrent_activation": "hard_sigmoid"},
    "all": {
        "kernel_initializer": "he_normal",
        "recurrent_initializer": "glorot_normal",
        "bias_initializer": "ones",
        "unit_forget_bias": False,
        "kernel_regularizer": "l2",
        "recurrent_regularizer": "l2",
        "bias_regularizer": "l2",
        "activity_regularizer": "l2",
        "kernel_constraint": "max_norm",
        "recurrent_constraint": "unit_norm",
        "bias_constraint": "non_neg",
        "dropout": 0.5,
        "recurrent_dropout": 2.0,
        "seed": 3,
        "trainable": False,
    },
    "mixed": {"dtype": "mixed_bfloat16"},
}


def both(case):
    return [lib.layers.LSTM(3, **CASES[case], name="layer") for lib in (torchkeras, keras)]


def data(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def same_weights(layers):
    rng = np.random.default_rng(1)
    values = [rng.normal(size=w.shape).astype("float32") for w in layers[1].weights]
    for layer in layers:
        layer.set_weights(values)


def flat(outputs):
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


@pytest.mark.parametrize("case", CASES)
def test_config_paths_and_shapes(case):
    ours, theirs = both(case)
    described = []
    for library, layer in ((torchkeras, ours), (keras, theirs)):
        symbols = flat(layer(library.Input((None, 5))))
        weights = [(w.name, w.path, tuple(w.shape), w.trainable) for w in layer.weights]
        config = json.loads(json.dumps(library.saving.serialize_keras_object(layer)))
        described.append((weights, config, [(s.shape, s.dtype) for s in symbols]))
        described[-1] += (layer.supports_masking, repr(layer))
    assert described[0] == described[1]
    made = torchkeras.saving.deserialize_keras_object(described[1][1])
    assert json.loads(json.dumps(made.get_config())) == described[1][1]["config"]
    made = keras.saving.deserialize_keras_object(described[0][1])
    assert json.loads(json.dumps(made.get_config())) == described[0][1]["config"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_outputs_and_gradients(case, masked, given):
    layers = both(case)
    for layer in layers:
        layer(data(2, 4, 5))
    same_weights(layers)
    mask = torch.tensor([[False, True, False, True], [True, True, True, False]])
    results = []
    for layer in layers:
        x, states = data(2, 4, 5).requires_grad_(), [data(2, 3, seed=1), data(2, 3, seed=2)]
        outputs = flat(
            layer(x, initial_state=states if given else None, mask=mask if masked else None)
        )
        weighted = [(y * data(*y.shape, seed=4).to(y.dtype)).sum() for y in outputs]
        loss = sum(weighted) + sum(layer.losses)
        loss.backward()
        grads = [x.grad, *(w.value.grad for w in layer.trainable_weights)]
        results.append([*outputs, loss, *grads])
    # bfloat16 keeps 8 bits, and the two sides sum in another order.
    tolerance = 5e-2 if case == "mixed" else 1e-5
    assert len(results[0]) == len(results[1])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", ["sequences", "state", "plain"])
def test_computed_masks(case):
    masks = []
    for layer in both(case):
        mask = torch.tensor([[True, False]])
        masks.append(layer.compute_mask(torch.ones(1, 2, 5), mask))
    assert repr(masks[0]) == repr(masks[1])


def test_stateful_layers_agree_over_batches():
    layers = [lib.layers.LSTM(3, stateful=True, name="layer") for lib in (torchkeras, keras)]
    for layer in layers:
        layer(data(2, 4, 5))
        layer.reset_state()
    same_weights(layers)
    for seed in range(3):
        ours, theirs = (layer(data(2, 4, 5, seed=seed)) for layer in layers)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(layers[0].states, layers[1].states, strict=True):
        assert ours.path == theirs.path
        torch.testing.assert_close(ours.value, theirs.value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("arguments", [{}, {"dropout": 0.5, "recurrent_dropout": 0.5}])
@pytest.mark.parametrize("maker", [torchkeras, keras])
@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_files_are_exchanged(tmp_path, maker, name, arguments):
    pytest.importorskip("h5py")

    def model(library):
        layers = library.layers
        inputs = library.Input((None, 5))
        first, h, c = layers.LSTM(3, return_sequences=True, return_state=True, **arguments)(inputs)
        return library.Model(inputs, layers.LSTM(3, name="second")(first, initial_state=[h, c]))

    reader = keras if maker is torchkeras else torchkeras
    made, x = model(maker), data(2, 4, 5).numpy()
    if name == "model.keras":
        made.save(tmp_path / name, **({"weights_format": "h5"} if maker is torchkeras else {}))
        other = reader.saving.load_model(tmp_path / name)
    else:
        made.save_weights(tmp_path / name)
        other = model(reader)
        other.load_weights(tmp_path / name)
    expected = made.predict(x, verbose=0)
    np.testing.assert_allclose(other.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"units": 0}, (2, 4, 5)),
        ({"units": 2.5}, (2, 4, 5)),
        ({"use_cudnn": 3}, (2, 4, 5)),
        ({"unknown": 3}, (2, 4, 5)),
        ({}, (2, 4)),
        ({}, (2, 4, 5, 6)),
        ({"stateful": True}, (None, 4, 5)),
        ({}, (2, 4, None)),
    ],
)
def test_errors_have_keras_types(arguments, shape):
    for library in (torchkeras, keras):
        with pytest.raises(ValueError):
            layer = library.layers.LSTM(**{"units": 3, **arguments})
            layer(library.Input(batch_shape=shape) if None in shape else torch.ones(shape))
