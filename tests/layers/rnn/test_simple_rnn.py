"""SimpleRNN against its equation, in NumPy."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.layers.rnn.sequences import data, read
from tests.testing import assert_close, case, layer_cases


def step(layer):
    """The equation of a step, `(x, [h]) -> [h]`."""
    weights = [w.value.detach().double().numpy() for w in layer.cell.weights]
    kernel, recurrent = weights[:2]
    bias = weights[2] if len(weights) > 2 else 0.0
    return lambda x, states: [np.tanh(x @ kernel + states[0] @ recurrent + bias)]


MASK = torch.tensor([[False, True, False, True], [True, True, True, False]])


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_values_are_those_of_the_equation(go_backwards, masked, use_bias):
    layer = keras.layers.SimpleRNN(
        3, return_sequences=True, return_state=True, go_backwards=go_backwards, use_bias=use_bias
    )
    x, state, mask = data(2, 4, 5), data(2, 3, seed=1), MASK if masked else None
    made = layer(x, initial_state=state, mask=mask)
    assert_close(made, read(step(layer), x, [state], go_backwards, mask))


def simple_rnn(supports_export=True, **arguments):
    return case(
        keras.layers.SimpleRNN,
        {"units": 3, **arguments},
        (2, 4, 5),
        mask_shape=(2, 4),
        supports_masking=True,
        supports_export=supports_export,
    )


CASES = {
    "plain": simple_rnn(),
    "sequences": simple_rnn(return_sequences=True, go_backwards=True),
    "regularized": simple_rnn(activity_regularizer="l2", supports_export=False),
    "state": simple_rnn(return_state=True, use_bias=False),
    "dropouts": simple_rnn(dropout=0.5, recurrent_dropout=0.5),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()


def test_regularizer_of_the_output_is_heeded():
    layer = keras.layers.SimpleRNN(3, activity_regularizer=keras.regularizers.L2(1.0))
    output = layer(data(2, 4, 5))
    assert_close(layer.losses[0], output.square().sum() / 2)  # by sample


@pytest.mark.parametrize("argument", ["dropout", "recurrent_dropout"])
def test_dropout_of_one_drops_all(argument):
    layer = keras.layers.SimpleRNN(3, **{argument: 1.0})
    x = data(2, 4, 5)
    layer(x)
    other = keras.layers.SimpleRNN(3)
    other.build(x.shape)
    other.set_weights(layer.get_weights())
    weight = other.cell.kernel if argument == "dropout" else other.cell.recurrent_kernel
    weight.assign(torch.zeros_like(weight.value))
    assert_close(layer(x, training=True), other(x))
