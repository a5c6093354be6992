"""LSTM: long short-term memory over the steps of a sequence."""

import torch

from torchkeras import activations, initializers, random, regularizers
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.known_sizes import known_sizes
from torchkeras.layers.layer import Layer
from torchkeras.layers.weight_arguments import set_weight_arguments, weight_arguments, weight_config


class LSTM(Layer):
    """Long short-term memory: a recurrent layer that learns what to keep and what to forget.

    With the step's input `x`, the previous output `h` and the previous carry `c`, each zero
    before the first step, and the blocks `i, f, g, o` of the weights side by side:

        z_i, z_f, z_g, z_o = x @ kernel + h @ recurrent_kernel + bias
        c = sigmoid(z_f) * c + sigmoid(z_i) * tanh(z_g)
        h = sigmoid(z_o) * tanh(c)

    where `recurrent_activation` may stand for the sigmoids and `activation` for the tanhs. A step
    that the mask leaves out keeps `h` and `c`, and its output is that of the step before, zero
    at the start.

    Args:
        units: int of at least 1, size of the output and of the carry.
        activation, recurrent_activation: functions, or their names; None for none.
        use_bias: bool, whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: Initializers, or their names.
        unit_forget_bias: bool, whether the bias of the forget gate `f` starts at one.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Regularizers, or their names,
            or None.
        activity_regularizer: Regularizer of the output, or its name, or None.
        kernel_constraint, recurrent_constraint, bias_constraint: Constraints, or their names, or
            None.
        dropout: float from 0 to 1, part of the input's features dropped in training; the same
            for all steps. Values outside are taken as 0 or 1; 1 drops nothing, as in Keras.
        recurrent_dropout: float from 0 to 1, part of `h` dropped in training; likewise. Above 0
            each gate has draws of its own, for `dropout` too.
        seed: int or SeedGenerator for the dropout; None for one drawn from torch's generator.
        return_sequences: bool, whether the outputs of all steps are returned, not the last alone.
        return_state: bool, whether the last `h` and `c` are returned after the output.
        go_backwards: bool, whether the last step is read first; outputs come in the order read.
        stateful: bool, whether a batch starts with the states in which the last one ended. All
            batches then have the same size.
        unroll: bool, without effect: there is one loop.
        use_cudnn: bool or `"auto"`, without effect.
        zero_output_for_mask: bool, whether the outputs of steps left out are zero instead.

    Call arguments:
        sequences: tensor `(batch, steps, features)`.
        initial_state: list of two tensors `(batch, units)`, `h` and `c`; None for zeros, or for
            the states kept by a stateful layer.
        mask: bool tensor `(batch, steps)`, False for steps to leave out; None for none.
        training: bool, whether dropout is active.

    Output shape:
        `(batch, units)`, or `(batch, steps, units)` with `return_sequences`. With `return_state`
        a tuple of it and two times `(batch, units)`.

    Raises:
        ValueError: an argument is out of its range; the features are unknown; a stateful layer is
            built without a known batch size, or gets another; `initial_state` is no list of two
            tensors of the right shape.

    Source:
        Hochreiter & Schmidhuber 1997, Neural Computation 9(8), with the forget gate of Gers et
        al. 2000, without peepholes; its bias of one after Jozefowicz et al. 2015; dropout after
        Gal & Ghahramani 2016, arXiv:1512.05287. Weights stand in the sublayer `cell`, as in Keras.

    Example:

    >>> layer = keras.layers.LSTM(4, return_sequences=True, return_state=True)
    >>> outputs, h, c = layer(torch.ones(2, 5, 3))
    >>> outputs.shape, bool((outputs[:, -1] == h).all())
    (torch.Size([2, 5, 4]), True)
    """

    _makes_masks = False

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
        activity_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        use_cudnn="auto",
        zero_output_for_mask=False,
        **kwargs,
    ):
        if not isinstance(units, int) or units < 1:
            raise ValueError(f"`units` must be an int of at least 1. Received: units={units!r}.")
        if use_cudnn not in ("auto", True, False):
            raise ValueError(
                f'`use_cudnn` must be "auto" or a bool. Received: use_cudnn={use_cudnn!r}.'
            )
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = units
        self.activation = activations.get(activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.use_bias = use_bias
        self.unit_forget_bias = unit_forget_bias
        set_weight_arguments(self, locals(), "kernel", "recurrent", "bias")
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.seed = seed
        if self.dropout or self.recurrent_dropout:
            self.seed_generator = random.SeedGenerator(seed)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.use_cudnn = use_cudnn
        self.zero_output_for_mask = zero_output_for_mask
        self.states = None
        self.supports_masking = True
        self.input_spec = InputSpec(ndim=3)
        # Keras's files and paths have the weights in a cell.
        self.cell = Layer(name="lstm_cell", dtype=self.dtype_policy, trainable=self.trainable)

    def build(self, sequences_shape, initial_state_shape=None):
        (features,) = known_sizes(self, [-1], sequences_shape)
        batch = sequences_shape[0]
        if self.stateful and batch is None:
            raise ValueError(
                f"Layer '{self.name}' is stateful and needs the batch size. Received: input_shape="
                f"{sequences_shape}. Give it in Input(batch_shape=...), or call the layer on data "
                "first."
            )
        cell, width = self.cell, 4 * self.units
        cell.kernel = cell.add_weight(
            name="kernel", shape=(features, width), **weight_arguments(self, "kernel")
        )
        cell.recurrent_kernel = cell.add_weight(
            name="recurrent_kernel",
            shape=(self.units, width),
            **weight_arguments(self, "recurrent"),
        )
        cell.bias = None
        if self.use_bias:
            arguments = weight_arguments(self, "bias")
            if self.unit_forget_bias:
                arguments["initializer"] = self._bias_with_ones
            cell.bias = cell.add_weight(name="bias", shape=(width,), **arguments)
        cell.build((batch, features))
        if self.stateful:
            shape = (batch, self.units)
            self.states = [self.add_state(shape, name="rnn_state") for _ in range(2)]
        self.input_spec = InputSpec(ndim=3, axes={-1: features})

    def _bias_with_ones(self, shape, dtype=None):
        one, initializer = (self.units,), self.bias_initializer
        ones = initializers.Ones()(one, dtype=dtype)
        rest = initializer((2 * self.units,), dtype=dtype)
        return torch.cat([initializer(one, dtype=dtype), ones, rest])

    def call(self, sequences, initial_state=None, mask=None, training=False):
        kernel = self.cell.kernel.value
        sequences = sequences.to(kernel.dtype)  # integers come as they are
        h, c = self._first_states(sequences, initial_state)
        projected = self._projected(sequences, kernel, training)
        steps = range(sequences.shape[1])
        step = self._step(h, training)
        output, outputs = torch.zeros_like(h), []
        blank = output
        for index in reversed(steps) if self.go_backwards else steps:
            new_h, new_c = step(projected[index], h, c)
            if mask is None:
                h, c, output = new_h, new_c, new_h
            else:
                here = mask[:, index, None].bool()
                output = torch.where(here, new_h, blank if self.zero_output_for_mask else output)
                h, c = torch.where(here, new_h, h), torch.where(here, new_c, c)
            if self.return_sequences:
                outputs.append(output)
        if self.stateful:
            self.states[0].assign(h.detach())
            self.states[1].assign(c.detach())
        if self.return_sequences:
            output = torch.stack(outputs, dim=1)
        return (output, h, c) if self.return_state else output

    def _first_states(self, sequences, initial_state):
        shape = (sequences.shape[0], self.units)
        if self.stateful and tuple(self.states[0].shape) != shape:
            raise ValueError(
                f"Layer '{self.name}' is stateful and takes batches of "
                f"{self.states[0].shape[0]} sequences. Received: {shape[0]} sequences."
            )
        if initial_state is None:
            if self.stateful:  # copies, for the states are written to before the backward pass
                return [state.value.to(sequences.dtype, copy=True) for state in self.states]
            return [sequences.new_zeros(shape)] * 2
        valid = isinstance(initial_state, (list, tuple)) and len(initial_state) == 2
        if not valid or any(tuple(state.shape) != shape for state in initial_state):
            raise ValueError(
                f"`initial_state` of layer '{self.name}' must be a list of two tensors of shape "
                f"{shape}. Received: initial_state={initial_state!r}."
            )
        return [state.to(sequences.dtype) for state in initial_state]

    def _projected(self, sequences, kernel, training):
        """`x @ kernel + bias` of all steps, a tuple of tensors `(batch, 4 * units)`."""
        bias = None if self.cell.bias is None else self.cell.bias.value
        if training and 0 < self.dropout < 1:
            ones = torch.ones_like(sequences[:, :1])
            parts = kernel.chunk(4, dim=1) if self.recurrent_dropout else (kernel,)
            kept = [sequences * self._drop(ones, self.dropout) for _ in parts]
            made = torch.cat([x @ part for x, part in zip(kept, parts, strict=True)], dim=-1)
            made = made if bias is None else made + bias
        else:
            made = torch.nn.functional.linear(sequences, kernel.t(), bias)
        return made.unbind(1)

    def _step(self, h, training):
        """The function `(projected step, h, c) -> (h, c)`."""
        recurrent_kernel = self.cell.recurrent_kernel.value
        activation, gate = self.activation, self.recurrent_activation

        def summed(x, h):
            return torch.addmm(x, h, recurrent_kernel)

        if training and 0 < self.recurrent_dropout < 1:
            kept = self._drop(torch.ones_like(h).expand(4, -1, -1), self.recurrent_dropout)
            blocks = recurrent_kernel.unflatten(1, (4, self.units)).transpose(0, 1)

            def summed(x, h):
                return x + torch.cat((h * kept @ blocks).unbind(0), dim=1)

        def step(x, h, c):
            z_i, z_f, z_g, z_o = summed(x, h).chunk(4, dim=1)
            c = gate(z_f) * c + gate(z_i) * activation(z_g)
            return gate(z_o) * activation(c), c

        return step

    def _drop(self, ones, rate):
        return random.dropout(ones, rate, seed=self.seed_generator)

    def reset_state(self):
        """Set the states of a stateful layer to zero."""
        for state in self.states or ():
            state.assign(torch.zeros_like(state.value))

    reset_states = reset_state

    def compute_mask(self, sequences, previous_mask):
        mask = previous_mask if self.return_sequences else None
        return [mask, None, None] if self.return_state else mask

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        batch, steps, _ = sequences_shape
        state = (batch, self.units)
        output = (batch, steps, self.units) if self.return_sequences else state
        return (output, state, state) if self.return_state else output

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "use_bias": self.use_bias,
            "unit_forget_bias": self.unit_forget_bias,
            **weight_config(self),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
        }
