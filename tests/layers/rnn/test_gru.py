"""GRU against its equations, in NumPy."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.layers.rnn.sequences import data, read, sigmoid
from tests.testing import assert_close, case, layer_cases


def step(layer):
    """The equations of a step, `(x, [h]) -> [h]`."""
    weights = [w.value.detach().double().numpy() for w in layer.cell.weights]
    blocks = [np.split(w, 3, axis=-1) for w in weights]
    (w_z, w_r, w_n), (u_z, u_r, u_n) = blocks[:2]
    zeros = [np.zeros((2, 1))] * 3
    biases = blocks[2] if len(blocks) > 2 else zeros
    if not layer.reset_after:
        biases = [np.stack([b, 0 * b]) if b.ndim == 1 else b for b in biases]
    (b_z, c_z), (b_r, c_r), (b_n, c_n) = biases

    def advance(x, states):
        (h,) = states
        z = sigmoid(x @ w_z + b_z + h @ u_z + c_z)
        r = sigmoid(x @ w_r + b_r + h @ u_r + c_r)
        inner = r * (h @ u_n + c_n) if layer.reset_after else (r * h) @ u_n
        return [z * h + (1 - z) * np.tanh(x @ w_n + b_n + inner)]

    return advance


MASK = torch.tensor([[False, True, False, True], [True, True, True, False]])


@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_values_are_those_of_the_equations(reset_after, go_backwards, masked, given, use_bias):
    layer = keras.layers.GRU(
        3,
        return_sequences=True,
        return_state=True,
        go_backwards=go_backwards,
        use_bias=use_bias,
        reset_after=reset_after,
        bias_initializer="glorot_normal",
    )
    x, states = data(2, 4, 5), [data(2, 3, seed=1)] if given else None
    mask = MASK if masked else None
    made = layer(x, initial_state=states, mask=mask)
    assert isinstance(made, tuple)
    assert_close(made, read(step(layer), x, states or [torch.zeros(2, 3)], go_backwards, mask))


def gru(expected_num_weights=3, **arguments):
    return case(
        keras.layers.GRU,
        {"units": 3, **arguments},
        (2, 4, 5),
        mask_shape=(2, 4),
        expected_num_weights=expected_num_weights,
        supports_masking=True,
    )


CASES = {
    "plain": gru(),
    "sequences": gru(return_sequences=True, go_backwards=True, recurrent_regularizer="l2"),
    "state": gru(2, return_state=True, use_bias=False),
    "unroll": gru(unroll=True, return_state=True, return_sequences=True),
    "reset before": gru(reset_after=False),
    "dropout": gru(dropout=0.5, kernel_constraint="max_norm"),
    "two dropouts": gru(dropout=0.5, recurrent_dropout=0.5, seed=1),
    "reset before, dropouts": gru(reset_after=False, dropout=0.5, recurrent_dropout=0.5),
    "initial state": case(
        keras.layers.GRU,
        {"units": 3},
        (2, 4, 5),
        mask_shape=(2, 4),
        call_kwargs={"initial_state": torch.ones(2, 3)},
    ),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()


def test_second_derivatives_are_those_of_the_loop():
    found = []
    for use_cudnn in ("auto", False):
        layer = keras.layers.GRU(3, use_cudnn=use_cudnn, dtype="float64")
        layer.build((2, 4, 5))
        layer.set_weights([data(*w.shape, seed=3).double() for w in layer.weights])
        x = data(2, 4, 5).double().requires_grad_()
        (first,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
        leaves = [x, *(w.value for w in layer.weights)]
        found.append([first, *torch.autograd.grad((first**2).sum(), leaves)])
    assert_close(*found, torch.float64)


def test_gradient_where_a_gate_is_shut():
    # With r exactly 0 nothing may be divided by it.
    layer = keras.layers.GRU(3)
    layer.build((2, 4, 5))
    layer.cell.bias.assign(layer.cell.bias.value - 1000.0)
    x = data(2, 4, 5).requires_grad_()
    layer(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(w.value.grad).all() for w in layer.weights)


@pytest.mark.parametrize("return_sequences", [False, True])
def test_output_may_be_written_to(return_sequences):
    # The function for the CPU keeps its states for the backward pass.
    layer = keras.layers.GRU(3, return_sequences=return_sequences)
    x = data(2, 4, 5).requires_grad_()
    layer(x).square().sum().backward()
    expected, x.grad = x.grad, None
    outputs = layer(x)
    outputs += 1
    (outputs.square() - 2 * outputs).sum().backward()
    assert_close(x.grad, expected)
