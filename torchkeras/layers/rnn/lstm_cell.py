"""LSTMCell: one step of LSTM."""

import torch

from torchkeras import initializers
from torchkeras.layers.rnn import fused
from torchkeras.layers.rnn.dense_cell import DenseCell
from torchkeras.layers.rnn.recurrent_cell import ELEMENTWISE
from torchkeras.layers.weight_arguments import weight_arguments


class LSTMCell(DenseCell):
    """One step of long short-term memory.

    With the step's input `x`, the output `h` and the carry `c` of the step before, and the blocks
    `i, f, g, o` of the weights side by side:

        z_i, z_f, z_g, z_o = x @ kernel + h @ recurrent_kernel + bias
        c = sigmoid(z_f) * c + sigmoid(z_i) * tanh(z_g)
        h = sigmoid(z_o) * tanh(c)

    where `recurrent_activation` may stand for the sigmoids and `activation` for the tanhs.

    Args:
        units: int of at least 1, size of the output and of the carry.
        activation, recurrent_activation: functions, or their names; None for none.
        use_bias: bool, whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: Initializers, or their names.
        unit_forget_bias: bool, whether the bias of the forget gate `f` starts at one.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Regularizers, or their names,
            or None.
        kernel_constraint, recurrent_constraint, bias_constraint: Constraints, or their names, or
            None.
        dropout: float from 0 to 1, part of the input's features dropped in training. Values
            outside are taken as 0 or 1; 1 drops nothing, as in Keras.
        recurrent_dropout: float from 0 to 1, part of `h` dropped in training; likewise. Above 0
            each gate has draws of its own, for `dropout` too.
        seed: int or SeedGenerator for the dropout; None for one drawn from torch's generator.
        **kwargs: `implementation=1` gives each gate draws of its own; and what every layer takes.

    What is dropped is drawn at the first step in training and kept for those that follow, until
    `reset_dropout_mask` and `reset_recurrent_dropout_mask`; `keras.layers.RNN` calls them.

    Call arguments:
        inputs: tensor `(batch, features)`.
        states: list of two tensors `(batch, units)`, `h` and `c`.
        training: bool, whether dropout is active.

    Output shape:
        `(batch, units)`, and a list of the new states.

    Raises:
        ValueError: an argument is out of its range; the features are unknown.

    Source:
        Hochreiter & Schmidhuber 1997, Neural Computation 9(8), with the forget gate of Gers et
        al. 2000, without peepholes; its bias of one after Jozefowicz et al. 2015; dropout after
        Gal & Ghahramani 2016, arXiv:1512.05287.

    Example:

    >>> cell = keras.layers.LSTMCell(4)
    >>> output, (h, c) = cell(torch.ones(2, 3), cell.get_initial_state(2))
    >>> output.shape, output is h
    (torch.Size([2, 4]), True)
    """

    _gates = 4
    _names = ("units", "activation", "recurrent_activation", "use_bias", "unit_forget_bias")

    def __init__(
        self,
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        unit_forget_bias=True,
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        **kwargs,
    ):
        arguments = locals()
        implementation = kwargs.pop("implementation", 2)
        super().__init__(**kwargs)
        self._set_arguments(arguments, implementation)
        self.state_size = [self.units, self.units]

    def _bias_arguments(self):
        return lstm_bias_arguments(self)

    def _step(self, kept=None):
        add = self._adds_product(self.recurrent_kernel.value, kept)
        return lstm_step(self, add, self._splits_gates(kept, 4))

    def _fused(self, sequences, states, mask, training, zero_output):
        if not fused.takes(self, sequences, training):
            return None
        if training and self._drops(self.dropout):
            kept = self._drawn(torch.ones_like(sequences[:, :1]), self.dropout)
            sequences = sequences * kept
        bias = self._input_bias()
        weights = self.kernel.value, self.recurrent_kernel.value, bias
        outputs, *states = fused.lstm(sequences, *states, mask, *weights, zero_output)
        return outputs, states


def lstm_bias_arguments(cell):
    """Arguments of `add_weight` for the bias of four gates, the forget gate's of ones if wanted.

    Args:
        cell: RecurrentCell with `unit_forget_bias`.
    """
    arguments = weight_arguments(cell, "bias")
    initializer = arguments["initializer"]

    def with_ones(shape, dtype=None):
        one = (shape[0] // 4,)
        ones, rest = initializers.Ones()(one, dtype=dtype), (2 * one[0],)
        parts = initializer(one, dtype=dtype), ones, initializer(rest, dtype=dtype)
        return torch.cat(parts)

    if cell.unit_forget_bias:
        arguments["initializer"] = with_ones
    return arguments


def lstm_step(cell, add, split):
    """The function `(x, h, c) -> (h, c)` of a cell.

    Args:
        cell: RecurrentCell with both activations.
        add: function `(x, h)` that gives the gates before their activations, in one tensor.
        split: function that takes them apart.
    """
    activation, gate = cell.activation, cell.recurrent_activation
    at_once = gate in ELEMENTWISE

    def step(x, h, c):
        z = add(x, h)
        z_i, z_f, z_g, z_o = split(z)
        if at_once:
            i, f, _, o = split(gate(z))
        else:
            i, f, o = gate(z_i), gate(z_f), gate(z_o)
        c = torch.addcmul(f * c, i, activation(z_g))
        return o * activation(c), c

    return step
