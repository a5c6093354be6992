"""Recurrent layers against real Keras on its torch backend."""

import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

WEIGHTS = {
    "kernel_initializer": "he_normal",
    "recurrent_initializer": "glorot_normal",
    "bias_initializer": "ones",
    "kernel_regularizer": "l2",
    "recurrent_regularizer": "l2",
    "bias_regularizer": "l2",
    "activity_regularizer": "l2",
    "kernel_constraint": "max_norm",
    "recurrent_constraint": "unit_norm",
    "bias_constraint": "non_neg",
    "recurrent_dropout": 2.0,
    "trainable": False,
}
READING = {
    "plain": {},
    "sequences": {"return_sequences": True},
    "state": {"return_sequences": True, "return_state": True},
    "backwards": {"return_sequences": True, "return_state": True, "go_backwards": True},
    "zero_output": {"return_sequences": True, "zero_output_for_mask": True},
    "zero_last_output": {"zero_output_for_mask": True, "return_state": True},
    "unroll": {"unroll": True, "return_state": True},
    "no_bias": {"use_bias": False},
    "activations": {"activation": "softsign"},
    "all": {**WEIGHTS, "dropout": 0.5, "seed": 3},
    "mixed": {"dtype": "mixed_bfloat16"},
    "double": {"dtype": "float64", "return_sequences": True, "return_state": True},
}
GATES = {
    "linear": {"activation": None, "recurrent_activation": "hard_sigmoid"},
    "softmax": {"recurrent_activation": "softmax"},
    "implementation": {"implementation": 1, "return_state": True},
}
OWN = {
    "LSTM": {**GATES, "forget_bias": {**WEIGHTS, "unit_forget_bias": False}},
    "GRU": {
        **GATES,
        "reset_before": {"reset_after": False, "return_sequences": True, "return_state": True},
        "reset_before_no_bias": {"reset_after": False, "use_bias": False},
        "reset_before_softmax": {"reset_after": False, "recurrent_activation": "softmax"},
        "loop": {"use_cudnn": False, "return_sequences": True, "return_state": True},
        "loop_no_bias": {"use_cudnn": False, "use_bias": False},
    },
    "SimpleRNN": {"linear": {"activation": None}},
}
CASES = {
    f"{name}-{case}": (name, arguments)
    for name, own in OWN.items()
    for case, arguments in {**READING, **own}.items()
}
# The numbers of their states.
STATES = {"LSTM": 2, "GRU": 1, "SimpleRNN": 1}
MASK = torch.tensor([[False, True, False, True], [True, True, True, False]])


def both(case):
    name, arguments = CASES[case]
    return [getattr(lib.layers, name)(3, **arguments, name="layer") for lib in (torchkeras, keras)]


def data(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def same_weights(layers):
    rng = np.random.default_rng(1)
    values = [rng.normal(size=w.shape).astype("float32") for w in layers[1].weights]
    for layer in layers:
        layer.set_weights(values)


def flat(outputs):
    return torchkeras.tree.flatten(outputs)


def assert_same_description(ours, theirs, shape=(None, 5)):
    """Weights, configs, symbols; and each library makes the layer of the other's config."""
    described = []
    for library, layer in ((torchkeras, ours), (keras, theirs)):
        symbols = flat(layer(library.Input(shape)))
        weights = [(w.name, w.path, tuple(w.shape), w.trainable) for w in layer.weights]
        config = json.loads(json.dumps(library.saving.serialize_keras_object(layer)))
        described.append((weights, config, [(s.shape, s.dtype) for s in symbols]))
        described[-1] += (layer.supports_masking, repr(layer))
    assert described[0] == described[1]
    made = torchkeras.saving.deserialize_keras_object(described[1][1])
    assert json.loads(json.dumps(made.get_config())) == described[1][1]["config"]
    made = keras.saving.deserialize_keras_object(described[0][1])
    assert json.loads(json.dumps(made.get_config())) == described[0][1]["config"]


def assert_same_computation(layers, x, tolerance=1e-5, training=False, **arguments):
    """Outputs, losses, and gradients with respect to the input, the states and the weights."""
    results = []
    for layer in layers:
        leaf = x.clone().requires_grad_()
        given = torchkeras.tree.map_structure(
            lambda a: a.clone().requires_grad_() if a is not None and a.is_floating_point() else a,
            arguments,
        )
        outputs = flat(layer(leaf, **given, training=training))
        weighted = [(y * data(*y.shape, seed=4).to(y.dtype)).sum() for y in outputs]
        loss = sum(weighted) + sum(layer.losses)
        loss.backward()
        leaves = [each for each in flat(given) if each is not None and each.requires_grad]
        grads = [leaf.grad, *(each.grad for each in leaves)]
        grads += [w.value.grad for w in layer.trainable_weights]
        results.append([*outputs, loss, *grads])
    assert len(results[0]) == len(results[1])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", CASES)
def test_config_paths_and_shapes(case):
    assert_same_description(*both(case))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_outputs_and_gradients(case, masked, given):
    layers = both(case)
    for layer in layers:
        layer(data(2, 4, 5))
    same_weights(layers)
    states = [data(2, 3, seed=seed) for seed in range(1, 1 + STATES[CASES[case][0]])]
    # bfloat16 keeps 8 bits, and the two sides sum in another order.
    tolerance = 5e-2 if case.endswith("mixed") else 1e-5
    assert_same_computation(
        layers,
        data(2, 4, 5),
        tolerance,
        initial_state=states if given else None,
        mask=MASK if masked else None,
    )
