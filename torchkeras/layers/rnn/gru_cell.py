"""GRUCell: one step of GRU."""

import torch

from torchkeras.layers.rnn import fused
from torchkeras.layers.rnn.dense_cell import DenseCell
from torchkeras.layers.rnn.recurrent_cell import ELEMENTWISE


class GRUCell(DenseCell):
    """One step of a gated recurrent unit.

    With the step's input `x`, the output `h` of the step before, and the blocks `z, r, n` of the
    weights side by side:

        z = sigmoid(x @ kernel_z + bias_z + h @ recurrent_kernel_z)
        r = sigmoid(x @ kernel_r + bias_r + h @ recurrent_kernel_r)
        n = tanh(x @ kernel_n + bias_n + r * (h @ recurrent_kernel_n + recurrent_bias_n))
        h = z * h + (1 - z) * n

    where `recurrent_activation` may stand for the sigmoids and `activation` for the tanh. With
    `reset_after`, as above, `h @ recurrent_kernel_z` and `h @ recurrent_kernel_r` have a bias too;
    without it there is one bias, and `n` takes `(r * h) @ recurrent_kernel_n`.

    Args:
        units: int of at least 1, size of the output, which is the state.
        activation, recurrent_activation: functions, or their names; None for none.
        use_bias: bool, whether biases are added.
        kernel_initializer, recurrent_initializer, bias_initializer: Initializers, or their names.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Regularizers, or their names,
            or None.
        kernel_constraint, recurrent_constraint, bias_constraint: Constraints, or their names, or
            None.
        dropout: float from 0 to 1, part of the input's features dropped in training. Values
            outside are taken as 0 or 1; 1 drops nothing, as in Keras.
        recurrent_dropout: float from 0 to 1, part of `h` dropped in training; likewise. Above 0
            each gate has draws of its own, for `dropout` too.
        reset_after: bool, whether the reset gate `r` acts after the product with
            `recurrent_kernel_n`, as in cuDNN, or before.
        seed: int or SeedGenerator for the dropout; None for one drawn from torch's generator.
        **kwargs: `implementation=1` gives each gate draws of its own; and what every layer takes.

    What is dropped is drawn at the first step in training and kept for those that follow, until
    `reset_dropout_mask` and `reset_recurrent_dropout_mask`; `keras.layers.RNN` calls them.

    Call arguments:
        inputs: tensor `(batch, features)`.
        states: tensor `(batch, units)`, or a list of it.
        training: bool, whether dropout is active.

    Output shape:
        `(batch, units)`, and the new state, in a list where `states` is one.

    Raises:
        ValueError: an argument is out of its range; the features are unknown.

    Source: Cho et al. 2014, arXiv:1406.1078, eq. 5 to 8, with biases; its `1 - z` is our `z`.
    `reset_after` as in cuDNN; dropout after Gal & Ghahramani 2016, arXiv:1512.05287.

    Example:

    >>> cell = keras.layers.GRUCell(4)
    >>> output, state = cell(torch.ones(2, 3), torch.zeros(2, 4))
    >>> output.shape, [w.shape for w in cell.weights]
    (torch.Size([2, 4]), [(3, 12), (4, 12), (2, 12)])
    """

    _gates = 3
    _names = ("units", "activation", "recurrent_activation", "use_bias", "reset_after")

    def __init__(
        self,
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        reset_after=True,
        seed=None,
        **kwargs,
    ):
        arguments = locals()
        implementation = kwargs.pop("implementation", 2)
        super().__init__(**kwargs)
        self._set_arguments(arguments, implementation)

    def _bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def _input_bias(self):
        bias = super()._input_bias()
        return bias[0] if bias is not None and self.reset_after else bias

    def _step(self, kept=None):
        kernel, activation = self.recurrent_kernel.value, self.activation
        parts, gates = self._splits_new(kept), self._two_gates(kept)
        if not self.reset_after:
            return self._step_of_reset_before(kernel, kept, parts, gates)
        bias = self.bias.value[1] if self.use_bias else kernel.new_zeros(3 * self.units)
        bias = self._arranged(bias[None], kept)
        product = self._adds_product(kernel, kept)

        def step(x, h):
            x_zr, x_n = parts(x)
            h_zr, h_n = parts(product(bias, h))
            z, r = gates(x_zr + h_zr)
            return (torch.lerp(activation(torch.addcmul(x_n, r, h_n)), h, z),)

        return step

    def _step_of_reset_before(self, kernel, kept, parts, gates):
        activation, units = self.activation, self.units
        kernel_zr, kernel_n = kernel.split((2 * units, units), dim=1)
        add = self._adds_product(kernel_zr, kept if kept is None else kept[:2])
        kept_n = None if kept is None else kept[2]

        def step(x, h):
            x_zr, x_n = parts(x)
            z, r = gates(add(x_zr, h))
            reset = r * h if kept_n is None else r * h * kept_n
            return (torch.lerp(activation(torch.addmm(x_n, reset, kernel_n)), h, z),)

        return step

    def _splits_new(self, kept):
        """The function that gives `z` and `r` as one, and `n`."""
        if isinstance(kept, list):
            return lambda x: (x[:2], x[2])
        sizes = (2 * self.units, self.units)
        return lambda x: x.split(sizes, dim=1)

    def _two_gates(self, kept):
        """The function that gives `z` and `r` for what they are before the activation."""
        gate, split = self.recurrent_activation, self._splits_gates(kept, 2)
        if gate in ELEMENTWISE:
            return lambda z_r: split(gate(z_r))
        return lambda z_r: [gate(part) for part in split(z_r)]

    def _fused(self, sequences, states, mask, training, zero_output):
        if not self.reset_after or not fused.takes(self, sequences, training):
            return None
        if training and self._drops(self.dropout):
            kept = self._drawn(torch.ones_like(sequences[:, :1]), self.dropout)
            sequences = sequences * kept
        bias = None if self.bias is None else self.bias.value
        weights = self.kernel.value, self.recurrent_kernel.value, bias
        outputs, state = fused.gru(sequences, *states, mask, *weights, zero_output)
        return outputs, [state]
