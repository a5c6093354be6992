"""Bidirectional against the two layers it is made of."""

import pytest
import torch

import torchkeras as keras
from tests.layers.rnn.sequences import data
from tests.testing import assert_close, case, layer_cases

MASK = torch.tensor([[False, True, False, True], [True, True, True, False]])
MERGES = {
    "concat": lambda a, b: torch.cat([a, b], -1),
    "sum": lambda a, b: a + b,
    "ave": lambda a, b: (a + b) / 2,
    "mul": lambda a, b: a * b,
}


@pytest.mark.parametrize("merge_mode", MERGES)
@pytest.mark.parametrize("return_sequences", [False, True])
def test_output_is_that_of_both_layers_joined(merge_mode, return_sequences):
    inner = keras.layers.GRU(3, return_sequences=return_sequences)
    layer = keras.layers.Bidirectional(inner, merge_mode=merge_mode)
    x = data(2, 4, 5)
    made = layer(x, mask=MASK)
    forward, backward = (
        keras.layers.GRU(3, return_sequences=return_sequences, use_cudnn=False) for _ in range(2)
    )
    forward.build(x.shape), backward.build(x.shape)
    forward.set_weights(layer.forward_layer.get_weights())
    backward.set_weights(layer.backward_layer.get_weights())
    y, z = forward(x, mask=MASK), backward(x.flip(1), mask=MASK.flip(1))
    if return_sequences:
        y, z = y * MASK[..., None], z.flip(1) * MASK[..., None]
    assert_close(made, MERGES[merge_mode](y, z))


def bidirectional(inner, mask_shape=(2, 4), **arguments):
    return case(
        keras.layers.Bidirectional,
        lambda: {"layer": inner(), **arguments},
        (2, 4, 5),
        mask_shape=mask_shape,
        supports_masking=True,
    )


layers = keras.layers
CASES = {
    "plain": bidirectional(lambda: layers.LSTM(3)),
    "sequences": bidirectional(lambda: layers.GRU(3, return_sequences=True), merge_mode=None),
    "state": bidirectional(
        lambda: layers.SimpleRNN(3, return_state=True, return_sequences=True), merge_mode="sum"
    ),
    "states": bidirectional(lambda: layers.LSTM(3, return_state=True), merge_mode=None),
    "dropout": bidirectional(lambda: layers.LSTM(3, dropout=0.5, recurrent_dropout=0.2)),
    "stack": bidirectional(lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])),
    "initial state": case(
        layers.Bidirectional,
        lambda: {"layer": layers.GRU(3)},
        (2, 4, 5),
        mask_shape=(2, 4),
        call_kwargs={"initial_state": [torch.ones(2, 3), torch.zeros(2, 3)]},
    ),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()


def test_layer_given_is_left_alone():
    inner = keras.layers.LSTM(3, use_cudnn=False)
    inner.build((2, 4, 5))
    layer = keras.layers.Bidirectional(inner)
    layer(data(2, 4, 5))
    assert not any(w is v for w in layer.weights for v in inner.weights)
    assert layer.forward_layer.use_cudnn is False and layer.backward_layer.use_cudnn is False
    assert [w.path.split("/", 1)[1] for w in layer.weights[::3]] == [
        "forward_lstm/lstm_cell/kernel",
        "backward_lstm/lstm_cell/kernel",
    ]


def test_weights_may_be_given():
    first = keras.layers.Bidirectional(keras.layers.LSTM(3))
    x = data(2, 4, 5)
    expected = first(x)
    second = keras.layers.Bidirectional(keras.layers.LSTM(3), weights=first.get_weights())
    assert_close(second(x), expected)


def test_mask_passes_on_for_sequences_alone():
    masked = keras.layers.Masking()(data(2, 4, 5) * MASK[..., None])
    inner = keras.layers.LSTM(3, return_sequences=True, return_state=True)
    output, *states = keras.layers.Bidirectional(inner)(masked)
    assert torch.equal(output._keras_mask, MASK)
    assert len(states) == 4 and not any(hasattr(s, "_keras_mask") for s in states)
    both = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True), merge_mode=None)(
        masked
    )
    assert all(torch.equal(y._keras_mask, MASK) for y in both)


def test_cell_of_ones_own_need_not_be_registered():
    class Cell(keras.layers.Layer):
        state_size = 5

        def call(self, inputs, states):
            return inputs + states[0], [inputs + states[0]]

    x = data(2, 4, 5)
    layer = keras.layers.Bidirectional(keras.layers.RNN(Cell()))
    assert_close(layer(x), torch.cat([x.sum(1)] * 2, -1))


def test_states_of_both_directions_are_kept():
    layer = keras.layers.Bidirectional(keras.layers.GRU(3, stateful=True, return_state=True))
    x = data(2, 4, 5)
    _, h, g = layer(x)
    assert_close([state.value for state in layer.states], [h, g])
    layer.reset_state()
    assert not any(state.value.any() for state in layer.states)
    with pytest.raises(AttributeError, match="not stateful"):
        keras.layers.Bidirectional(keras.layers.GRU(3)).reset_state()


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="`layer` must be a recurrent layer"):
        keras.layers.Bidirectional(keras.layers.Dense(3))
    with pytest.raises(ValueError, match="must have different `go_backwards`"):
        keras.layers.Bidirectional(keras.layers.LSTM(3, go_backwards=True))
    with pytest.raises(ValueError, match="must have the same `stateful`"):
        keras.layers.Bidirectional(
            keras.layers.LSTM(3),
            backward_layer=keras.layers.LSTM(3, go_backwards=True, stateful=True),
        )
