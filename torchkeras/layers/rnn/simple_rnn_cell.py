"""SimpleRNNCell: one step of SimpleRNN."""

from torchkeras.layers.rnn.dense_cell import DenseCell


class SimpleRNNCell(DenseCell):
    """One step of a fully connected recurrent layer.

    With the step's input `x` and the output `h` of the step before:

        h = activation(x @ kernel + bias + h @ recurrent_kernel)

    Args:
        units: int of at least 1, size of the output, which is the state.
        activation: function, or its name; None for none.
        use_bias: bool, whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: Initializers, or their names.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Regularizers, or their names,
            or None.
        kernel_constraint, recurrent_constraint, bias_constraint: Constraints, or their names, or
            None.
        dropout: float from 0 to 1, part of the input's features dropped in training. Values
            outside are taken as 0 or 1.
        recurrent_dropout: float from 0 to 1, part of `h` dropped in training; likewise.
        seed: int or SeedGenerator for the dropout; None for one drawn from torch's generator.

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

    Source: Elman 1990, Cognitive Science 14(2); dropout after Gal & Ghahramani 2016,
    arXiv:1512.05287.

    Example:

    >>> cell = keras.layers.SimpleRNNCell(4)
    >>> output, states = cell(torch.ones(2, 3), [torch.zeros(2, 4)])
    >>> output.shape, output is states[0]
    (torch.Size([2, 4]), True)
    """

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
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        **kwargs,
    ):
        arguments = locals()
        super().__init__(**kwargs)
        self._set_arguments(arguments)
        self._draws = 1  # there is one gate

    def _drops(self, rate):
        return rate > 0  # 1 drops everything, in Keras's SimpleRNN alone

    def _step(self, kept=None):
        activation = self.activation
        add = self._adds_product(self.recurrent_kernel.value, kept)

        def step(x, h):
            return (activation(add(x, h)),)

        return step
