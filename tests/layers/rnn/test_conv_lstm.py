"""Convolutional LSTMs against their equations, with convolutions by their definition, in NumPy."""

import itertools

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.layers.rnn.sequences import data, read, sigmoid
from tests.testing import assert_close, case, layer_cases
from torchkeras.layers.rnn.conv_lstm_cell import ConvLSTMCell

MASK = torch.tensor([[False, True, False, True], [True, True, True, False]])


def convolved(x, kernel, strides, dilation, same):
    """What a kernel gives at each place of `x`, channels last, by its definition."""
    rank = kernel.ndim - 2
    windows = [d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape, strict=False)]
    if same:
        sides = []
        for size, window, stride in zip(x.shape, windows, strides, strict=False):
            missing = max((-(-size // stride) - 1) * stride + window - size, 0)
            sides.append((missing // 2, missing - missing // 2))
        x = np.pad(x, [*sides, (0, 0)])
    counts = [
        (size - window) // stride + 1
        for size, window, stride in zip(x.shape, windows, strides, strict=False)
    ]
    made = np.zeros((*counts, kernel.shape[-1]))
    for place in itertools.product(*map(range, counts)):
        for tap in itertools.product(*map(range, kernel.shape[:rank])):
            at = tuple(
                p * s + t * d for p, s, t, d in zip(place, strides, tap, dilation, strict=True)
            )
            made[place] += x[at] @ kernel[tap]
    return made


def step(layer):
    """The equations of a step, `(x, [h, c]) -> [h, c]`."""
    kernel, recurrent, *rest = (w.value.detach().double().numpy() for w in layer.cell.weights)
    bias, ones = (rest or [0.0])[0], (1,) * layer.rank

    def advance(x, states):
        h, c = states
        z = convolved(x, kernel, layer.strides, layer.dilation_rate, layer.padding == "same")
        z = z + convolved(h, recurrent, ones, ones, True) + bias
        i, f, g, o = np.split(z, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]

    return advance


LAYERS = {
    1: (keras.layers.ConvLSTM1D, (2, 4, 7, 2)),
    2: (keras.layers.ConvLSTM2D, (2, 4, 5, 6, 2)),
    3: (keras.layers.ConvLSTM3D, (2, 4, 4, 5, 3, 2)),
}


@pytest.mark.parametrize("rank", LAYERS)
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3},
        {"kernel_size": 2, "padding": "same", "strides": 2, "use_bias": False},
        {"kernel_size": 2, "padding": "same", "dilation_rate": 2, "go_backwards": True},
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_values_are_those_of_the_equations(rank, arguments, masked):
    cls, shape = LAYERS[rank]
    x, mask = data(*shape), MASK if masked else None
    made = []
    for data_format in ("channels_last", "channels_first"):
        layer = cls(
            3, return_sequences=True, return_state=True, data_format=data_format, **arguments
        )
        moved = x if data_format == "channels_last" else x.movedim(-1, 2)
        layer.build(moved.shape)
        layer.set_weights([data(*w.shape, seed=7) * 0.3 for w in layer.weights])
        sizes = [s.shape for s in keras.tree.flatten(layer(moved))]
        states = [data(*sizes[1], seed=seed) for seed in (1, 2)]
        if data_format == "channels_first":
            states = [data(*made[0][1].shape, seed=seed).movedim(-1, 1) for seed in (1, 2)]
        outputs = layer(moved, initial_state=states, mask=mask)
        if data_format == "channels_first":
            outputs = [outputs[0].movedim(2, -1), *(y.movedim(1, -1) for y in outputs[1:])]
        else:
            expected = read(step(layer), x, states, layer.go_backwards, mask)
        made.append(outputs)
    for outputs in made:
        assert_close(outputs, expected)


def conv_lstm(rank, **arguments):
    cls, shape = LAYERS[rank]
    return case(
        cls,
        {"filters": 3, "kernel_size": 2, **arguments},
        shape,
        mask_shape=(2, 4),
        expected_num_weights=3,
        supports_masking=True,
    )


CASES = {
    "1D": conv_lstm(1),
    "2D": conv_lstm(2, return_sequences=True, padding="same"),
    "3D": conv_lstm(3, return_state=True),
    "1D strides": conv_lstm(1, strides=2, padding="same", data_format="channels_first"),
    "2D dropout": conv_lstm(2, dropout=0.5, recurrent_dropout=0.5, kernel_regularizer="l2"),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()


@layer_cases(
    {
        "cell": case(
            ConvLSTMCell,
            {"rank": 2, "filters": 3, "kernel_size": 3},
            (2, 5, 6, 2),
            call_args=([torch.ones(2, 3, 4, 3)] * 2,),
            mask_shape=False,
            custom_objects={"ConvLSTMCell": ConvLSTMCell},
        )
    }
)
def test_cell_holds_the_contract_of_layers(check):
    check()


def test_dropout_is_the_same_for_all_steps():
    layer = keras.layers.ConvLSTM1D(
        1,
        20,
        dropout=0.5,
        activation=None,
        recurrent_activation=None,
        return_sequences=True,
        seed=0,
    )
    layer.build((None, None, 20, 20))
    # The gate i is the mean of what is kept, about 1; g is 1, f is 0, o is 1.
    layer.cell.kernel.assign(torch.tensor([1 / 400, 0, 0, 0]).expand(20, 20, 4))
    layer.cell.recurrent_kernel.assign(torch.zeros(20, 1, 4))
    layer.cell.bias.assign(torch.tensor([0.0, 0, 1, 1]))
    outputs = layer(torch.ones(1, 3, 20, 20), training=True).flatten()
    assert_close(outputs, outputs[:1].expand(3))
    assert outputs[0] != 1 and abs(outputs[0] - 1) < 0.25  # deviation 1 / sqrt(400) = 0.05


def test_stateful_layer_goes_on_where_the_last_batch_ended():
    x = data(2, 6, 8, 2)
    layer = keras.layers.ConvLSTM1D(3, 2, stateful=True)
    layer(x[:, :2])
    output = layer(x[:, 2:])
    other = keras.layers.ConvLSTM1D(3, 2)
    other.build(x.shape)
    other.set_weights(layer.get_weights())
    assert_close(other(x), output)
    assert len(layer.states) == 2 and len(layer.weights) == 3


def test_errors_say_what_to_do():
    cls = keras.layers.ConvLSTM2D
    with pytest.raises(ValueError, match="exclude each other"):
        cls(3, 2, strides=2, dilation_rate=2)
    with pytest.raises(ValueError, match="`filters` must be an int of at least 1"):
        cls(0, 2)
    with pytest.raises(ValueError, match="`padding` must be one of"):
        cls(3, 2, padding="causal")
    with pytest.raises(ValueError, match=r"needs the sizes on axes \[1, 2\]"):
        cls(3, 2)(keras.Input((None, None, 5, 2)))
    with pytest.raises(ValueError, match="needs the size of the last axis"):
        cls(3, 2)(keras.Input((None, 5, 5, None)))
    layer = cls(3, 2)
    layer(data(2, 4, 5, 6, 2))
    with pytest.raises(ValueError, match="expects 5 as the size on axis 2"):
        layer(data(2, 4, 6, 6, 2))
    with pytest.raises(ValueError, match="must be a list of tensors of the shapes"):
        layer(data(2, 4, 5, 6, 2), initial_state=[data(2, 5, 6, 3)] * 2)
    with pytest.raises(ValueError, match="`rank` must be an int from 1 to 3"):
        ConvLSTMCell(rank=4, filters=3, kernel_size=2)
