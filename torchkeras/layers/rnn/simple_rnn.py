"""SimpleRNN: a fully connected recurrent layer."""

from torchkeras.layers.rnn.cell_layer import DenseCellLayer
from torchkeras.layers.rnn.simple_rnn_cell import SimpleRNNCell


class SimpleRNN(DenseCellLayer):
    """Fully connected recurrent layer: the output of a step is input to the next one.

    With the step's input `x` and the previous output `h`, zero before the first step:

        h = activation(x @ kernel + bias + h @ recurrent_kernel)

    A step that the mask leaves out keeps `h`, and its output is that of the step before, zero at
    the start.

    Args:
        units: int of at least 1, size of the output, which is the state.
        activation: function, or its name; None for none.
        use_bias: bool, whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: Initializers, or their names.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Regularizers, or their names,
            or None.
        activity_regularizer: Regularizer of the output, or its name, or None.
        kernel_constraint, recurrent_constraint, bias_constraint: Constraints, or their names, or
            None.
        dropout: float from 0 to 1, part of the input's features dropped in training; the same
            for all steps. Values outside are taken as 0 or 1.
        recurrent_dropout: float from 0 to 1, part of `h` dropped in training; likewise.
        return_sequences: bool, whether the outputs of all steps are returned, not the last alone.
        return_state: bool, whether the last state is returned after the output.
        go_backwards: bool, whether the last step is read first; outputs come in the order read.
        stateful: bool, whether a batch starts with the state in which the last one ended. All
            batches then have the same size.
        unroll: bool, without effect: there is one loop.
        seed: int or SeedGenerator for the dropout; None for one drawn from torch's generator. It
            is not in the config, as in Keras.
        **kwargs: `zero_output_for_mask`, whether the outputs of steps left out are zero instead;
            and what every layer takes.

    Call arguments:
        sequences: tensor `(batch, steps, features)`.
        initial_state: tensor `(batch, units)`, or a list of it; None for zeros, or for
            the state kept by a stateful layer.
        mask: bool tensor `(batch, steps)`, False for steps to leave out; None for none.
        training: bool, whether dropout is active.

    Output shape:
        `(batch, units)`, or `(batch, steps, units)` with `return_sequences`. With `return_state`
        a tuple of it and `(batch, units)`.

    Raises:
        ValueError: an argument is out of its range; the features are unknown; a stateful layer is
            built without a known batch size, or gets another; `initial_state` does not fit.

    Source: Elman 1990, Cognitive Science 14(2); dropout after Gal & Ghahramani 2016,
    arXiv:1512.05287. Weights stand in the sublayer `cell`, as in Keras.

    Example:

    >>> layer = keras.layers.SimpleRNN(4, return_sequences=True, return_state=True)
    >>> outputs, h = layer(torch.ones(2, 5, 3))
    >>> outputs.shape, bool((outputs[:, -1] == h).all())
    (torch.Size([2, 5, 4]), True)
    """

    _cell_class = SimpleRNNCell
    _cell_name = "simple_rnn_cell"

    def __init__(
        self,
        units,
        activation="tanh",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        seed=None,
        **kwargs,
    ):
        self._set_cell(locals())

    def get_config(self):
        config = super().get_config()
        del config["seed"]
        return config
