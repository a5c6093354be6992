"""LSTM: long short-term memory over the steps of a sequence."""

from torchkeras.layers.rnn.cell_layer import DenseCellLayer, use_cudnn_argument
from torchkeras.layers.rnn.lstm_cell import LSTMCell


class LSTM(DenseCellLayer):
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
        unroll: bool, whether the steps are computed one by one.
        use_cudnn: bool or `"auto"`. The default activations, without `recurrent_dropout` in
            training, are computed by one call of torch for all steps, masks included; `False` has
            them one by one, as `unroll` has. Second derivatives need `False` on a GPU, and where
            there are no compiled kernels: torch's fused LSTM has none.
        **kwargs: `zero_output_for_mask`, whether the outputs of steps left out are zero instead;
            `implementation=1` gives each gate draws of its own; and what every layer takes.

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
            built without a known batch size, or gets another; `initial_state` does not fit.

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

    _cell_class = LSTMCell
    _cell_name = "lstm_cell"

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
        **kwargs,
    ):
        self._set_cell(locals())
        self.use_cudnn = use_cudnn_argument(use_cudnn)
