"""LSTM against its equations, in NumPy."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.layers.rnn.sequences import data, read, sigmoid
from tests.testing import assert_close, case, layer_cases


def step(layer):
    """The equations of a step, `(x, [h, c]) -> [h, c]`."""
    weights = [w.value.detach().double().numpy() for w in layer.cell.weights]
    kernel, recurrent = weights[:2]
    bias = weights[2] if len(weights) > 2 else 0.0

    def advance(x, states):
        h, c = states
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]

    return advance


def run(layer, x, h=None, c=None, mask=None):
    zeros = torch.zeros(len(x), layer.units)
    states = [zeros if h is None else h, zeros if c is None else c]
    return read(step(layer), x, states, layer.go_backwards, mask)


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_values_are_those_of_the_equations(go_backwards, masked, given, use_bias):
    layer = keras.layers.LSTM(
        3, return_sequences=True, return_state=True, go_backwards=go_backwards, use_bias=use_bias
    )
    x, states = data(2, 4, 5), [data(2, 3, seed=1), data(2, 3, seed=2)] if given else None
    mask = torch.tensor([[False, True, False, True], [True, True, True, False]])
    mask = mask if masked else None
    made = layer(x, initial_state=states, mask=mask)
    assert isinstance(made, tuple)
    assert_close(made, run(layer, x, *(states or (None, None)), mask))
    last = keras.layers.LSTM(3, go_backwards=go_backwards, use_bias=use_bias)
    last.build(x.shape)
    last.set_weights(layer.get_weights())
    assert_close(last(x, initial_state=states, mask=mask), made[0][:, -1])


def lstm(expected_num_weights=3, **arguments):
    return case(
        keras.layers.LSTM,
        {"units": 3, **arguments},
        (2, 4, 5),
        mask_shape=(2, 4),
        expected_num_weights=expected_num_weights,
        supports_masking=True,
    )


CASES = {
    "plain": lstm(),
    "sequences": lstm(
        return_sequences=True, go_backwards=True, recurrent_regularizer="l2", unroll=True
    ),
    "state": lstm(2, return_state=True, use_bias=False),
    "loop": lstm(use_cudnn=False),
    "dropout": lstm(dropout=0.5, kernel_constraint="max_norm"),
    "two dropouts": lstm(dropout=0.5, recurrent_dropout=0.5, seed=1),
    "initial state": case(
        keras.layers.LSTM,
        {"units": 3},
        (2, 4, 5),
        mask_shape=(2, 4),
        call_kwargs={"initial_state": [torch.ones(2, 3), torch.ones(2, 3)]},
    ),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()


def test_forget_gate_starts_open():
    layer = keras.layers.LSTM(2, bias_initializer=keras.initializers.Constant(5.0))
    layer.build((None, None, 1))
    assert layer.cell.bias.value.tolist() == [5, 5, 1, 1, 5, 5, 5, 5]
    layer = keras.layers.LSTM(2, unit_forget_bias=False)
    layer.build((None, None, 1))
    assert layer.cell.bias.value.tolist() == [0] * 8


def test_outputs_of_steps_left_out_can_be_zero():
    layer = keras.layers.LSTM(3, return_sequences=True, zero_output_for_mask=True)
    x, mask = data(1, 3, 2), torch.tensor([[True, False, True]])
    made = layer(x, mask=mask)
    assert_close(made, run(layer, x, mask=mask)[0] * mask[..., None])


def test_mask_passes_on_for_sequences_alone():
    inputs = keras.Input((4, 2))
    masked = keras.layers.Masking()(inputs)
    x = torch.tensor([[[1.0, 1.0], [0.0, 0.0], [2.0, 1.0], [0.0, 0.0]]])
    sequences = keras.layers.LSTM(3, return_sequences=True)
    model = keras.Model(inputs, sequences(masked))
    made = model(x)
    mask = torch.tensor([[True, False, True, False]])
    assert torch.equal(made._keras_mask, mask)
    assert_close(made, run(sequences, x, mask=mask)[0])
    with_state = keras.layers.LSTM(3, return_sequences=True, return_state=True)
    first, h, c = with_state(keras.layers.Masking()(x))
    assert torch.equal(first._keras_mask, mask)
    assert not hasattr(h, "_keras_mask") and not hasattr(c, "_keras_mask")
    assert not hasattr(keras.layers.LSTM(3)(keras.layers.Masking()(x)), "_keras_mask")


def test_stateful_layer_goes_on_where_the_last_batch_ended():
    layer = keras.layers.LSTM(3, stateful=True)
    x = data(2, 6, 5)
    layer(x[:, :2])
    assert_close(layer(x[:, 2:]), run(layer, x)[0][:, -1])
    assert_close([state.value for state in layer.states], run(layer, x)[1:])
    layer.reset_state()
    assert all(not state.value.any() for state in layer.states)
    assert_close(layer(x), run(layer, x)[0][:, -1])


def test_states_are_no_weights_and_learn_nothing():
    layer = keras.layers.LSTM(3, stateful=True)
    x = data(2, 4, 5).requires_grad_()
    for _ in range(2):
        layer(x).sum().backward()
    assert not any(state.value.requires_grad for state in layer.states)
    assert [w.path.split("/", 1)[1] for w in layer.weights] == [
        "lstm_cell/kernel",
        "lstm_cell/recurrent_kernel",
        "lstm_cell/bias",
    ]
    assert list(layer.state_dict()) == ["cell.kernel", "cell.recurrent_kernel", "cell.bias"]
    assert len(layer.variables) == 5


def test_symbols_leave_states_alone():
    layer = keras.layers.LSTM(3, stateful=True)
    inputs = keras.Input(batch_shape=(2, 4, 5))
    model = keras.Model(inputs, layer(inputs))
    assert not layer.states[0].value.any()
    x = data(2, 4, 5)
    assert_close(model(x), run(layer, x)[0][:, -1])


def test_initial_state_may_be_symbols():
    encoder = keras.layers.LSTM(3, return_state=True)
    decoder = keras.layers.LSTM(3, return_sequences=True)
    source, target = keras.Input((None, 5)), keras.Input((None, 4))
    _, h, c = encoder(source)
    model = keras.Model([source, target], decoder(target, initial_state=[h, c]))
    assert model.output_shape == (None, None, 3)
    x, y = data(2, 4, 5), data(2, 6, 4, seed=1)
    expected = run(decoder, y, *run(encoder, x)[1:])[0]
    assert_close(model([x, y]), expected)
    remade = keras.Model.from_config(model.get_config())
    remade.set_weights(model.get_weights())
    assert_close(remade([x, y]), expected)


def test_symbols_have_the_shapes_of_outputs():
    inputs = keras.Input((None, 5))
    assert keras.layers.LSTM(3)(inputs).shape == (None, 3)
    made = keras.layers.LSTM(3, return_sequences=True, return_state=True)(inputs)
    assert [symbol.shape for symbol in made] == [(None, None, 3), (None, 3), (None, 3)]


def test_symbols_are_never_traced(monkeypatch):
    def call(self, sequences, initial_state=None, mask=None, training=False):
        raise AssertionError("traced")

    monkeypatch.setattr(keras.layers.LSTM, "call", call)
    states = [keras.Input((3,)), keras.Input((3,))]
    layer = keras.layers.LSTM(3)
    masked = keras.layers.Masking()(keras.Input((200, 5)))
    assert layer(masked, initial_state=states).shape == (None, 3)


def test_dropout_is_the_same_for_all_steps():
    layer = keras.layers.LSTM(
        1, dropout=0.5, activation=None, recurrent_activation=None, return_sequences=True, seed=0
    )
    layer.build((None, None, 400))
    # The gate i is the mean of what is kept, about 1; g is 1, f is 0, o is 1.
    layer.cell.kernel.assign(torch.tensor([1 / 400, 0, 0, 0]).repeat(400, 1))
    layer.cell.recurrent_kernel.assign(torch.zeros(1, 4))
    layer.cell.bias.assign(torch.tensor([0.0, 0, 1, 1]))
    outputs = layer(torch.ones(1, 3, 400), training=True).flatten()
    assert_close(outputs, outputs[:1].expand(3))
    assert outputs[0] != 1 and abs(outputs[0] - 1) < 0.25  # deviation 1 / sqrt(400) = 0.05


def test_recurrent_dropout_draws_for_each_gate():
    layer = keras.layers.LSTM(400, recurrent_dropout=0.25, seed=0)
    layer.build((None, None, 1))
    layer.cell.recurrent_kernel.assign(torch.eye(400).repeat(1, 4))
    layer.cell.kernel.assign(torch.zeros(1, 1600))
    seen = []
    layer.cell.recurrent_activation = lambda z: seen.append(z) or torch.sigmoid(z)
    layer(torch.zeros(1, 1, 1), initial_state=[torch.ones(1, 400)] * 2, training=True)
    update, forget, out = seen
    assert_close(update.detach().unique(), torch.tensor([0, 4 / 3]))
    assert 0.6 < (update > 0).float().mean() < 0.9  # 3/4, deviation 0.02
    assert not torch.equal(update > 0, out > 0) and not torch.equal(forget - 1 > 0, out > 0)


def test_frozen_layer_has_no_trainable_weights():
    layer = keras.layers.LSTM(3)
    layer.trainable = False
    layer(torch.ones(1, 2, 2))
    assert layer.trainable_weights == [] and len(layer.weights) == 3
    assert keras.layers.LSTM(3, trainable=False).cell.trainable is False


def test_integers_become_floats():
    layer = keras.layers.LSTM(3)
    x = torch.randint(0, 3, (2, 4, 5))
    assert_close(layer(x), layer(x.float()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be an int of at least 1. Received: units=0"),
        ({"units": 2.5}, "units=2.5"),
        ({"use_cudnn": 3}, "`use_cudnn`"),
        ({"foo": 1}, "foo"),
    ],
)
def test_arguments_out_of_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras.layers.LSTM(**{"units": 3, **arguments})


def test_inputs_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match="rank 3"):
        keras.layers.LSTM(3)(torch.ones(2, 4))
    with pytest.raises(ValueError, match="needs the size of the last axis"):
        keras.layers.LSTM(3)(keras.Input((4, None)))
    with pytest.raises(ValueError, match="needs the batch size"):
        keras.layers.LSTM(3, stateful=True)(keras.Input((4, 5)))
    layer = keras.layers.LSTM(3, stateful=True)
    layer(torch.ones(2, 4, 5))
    with pytest.raises(ValueError, match="takes batches of 2 sequences. Received: 3"):
        layer(torch.ones(3, 4, 5))
    for states in ([torch.ones(2, 3)], [torch.ones(2, 4)] * 2, torch.ones(2, 2, 3)):
        with pytest.raises(ValueError, match="must be a list of tensors of the shapes"):
            keras.layers.LSTM(3)(torch.ones(2, 4, 5), initial_state=states)


@pytest.mark.skipif(not keras.kernels.load(), reason="torch's fused LSTM has none")
def test_second_derivatives_are_those_of_the_loop():
    found = []
    for fused in ("auto", False):
        layer = keras.layers.LSTM(3, use_cudnn=fused, dtype="float64")
        layer.build((2, 4, 5))
        layer.set_weights([data(*w.shape, seed=3).double() for w in layer.weights])
        x = data(2, 4, 5).double().requires_grad_()
        (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        weights = [w.value for w in layer.weights]
        found.append(torch.autograd.grad(slope.square().sum(), [x, *weights]))
    torch.testing.assert_close(*found)
