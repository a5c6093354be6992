"""ConvLSTM3D: a convolutional LSTM over sequences of volumes."""

from torchkeras.layers.rnn.conv_lstm import ConvLSTM


class ConvLSTM3D(ConvLSTM):
    """Convolutional LSTM over sequences of volumes: an LSTM whose products are convolutions.

    With the step's input `x`, the previous output `h` and the previous carry `c`, each zero
    before the first step, and the blocks `i, f, g, o` of the weights side by side; `*` convolves:

        z_i, z_f, z_g, z_o = x * kernel + h * recurrent_kernel + bias
        c = sigmoid(z_f) c + sigmoid(z_i) tanh(z_g)
        h = sigmoid(z_o) tanh(c)

    where `recurrent_activation` may stand for the sigmoids and `activation` for the tanhs. A step
    that the mask leaves out keeps `h` and `c`, and its output is that of the step before, zero
    at the start.

    Args:
        filters: int of at least 1, channels of the output and of the carry.
        kernel_size: int, or tuple of three ints, size of the kernels, of both.
        strides: int, or tuple of three ints, steps of the kernel over the input.
        padding: "valid" for none, or "same" for zeros around, so that strides of 1 keep the sizes.
            The states are always padded.
        data_format: "channels_last" or "channels_first"; None for the one of
            `keras.config.image_data_format()`.
        dilation_rate: int, or tuple of three ints, places from one value of the kernel over
            the input to the next. Not above 1 together with `strides`.
        activation, recurrent_activation: functions, or their names; None for none.
        use_bias: bool, whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: Initializers, or their names.
        unit_forget_bias: bool, whether the bias of the forget gate `f` starts at one.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Regularizers, or their names,
            or None.
        activity_regularizer: Regularizer of the output, or its name, or None.
        kernel_constraint, recurrent_constraint, bias_constraint: Constraints, or their names, or
            None.
        dropout: float from 0 to 1, part of the input dropped in training, drawn for each gate
            and the same for all steps.
            Values outside are taken as 0 or 1; 1 drops nothing, as in Keras.
        recurrent_dropout: float from 0 to 1, part of `h` dropped in training; likewise.
        seed: int or SeedGenerator for the dropout; None for one drawn from torch's generator.
        return_sequences: bool, whether the outputs of all steps are returned, not the last alone.
        return_state: bool, whether the last `h` and `c` are returned after the output.
        go_backwards: bool, whether the last step is read first; outputs come in the order read.
        stateful: bool, whether a batch starts with the states in which the last one ended. All
            batches then have the same size.
        **kwargs: `zero_output_for_mask`, whether the outputs of steps left out are zero instead;
            `unroll`, without effect; and what every layer takes.

    Call arguments:
        sequences: tensor `(batch, steps, *sizes, channels)`, or
            `(batch, steps, channels, *sizes)` with "channels_first".
        initial_state: list of two tensors of the output's shape, without steps, `h` and `c`; None
            for zeros, or for the states kept by a stateful layer.
        mask: bool tensor `(batch, steps)`, False for steps to leave out; None for none.
        training: bool, whether dropout is active.

    Output shape:
        `(batch, *new_sizes, filters)`, with `filters` on axis 1 for "channels_first";
        with `steps` after the batch for `return_sequences`. With `return_state` a tuple of it and
        the two states.

    Raises:
        ValueError: an argument is out of its range; channels or sizes are unknown; a stateful
            layer is built without a known batch size, or gets another; `initial_state` does not
            fit.

    Source: Shi et al. 2015, arXiv:1506.04214, eq. 3, without peepholes.

    Example:

    >>> keras.layers.ConvLSTM3D(4, kernel_size=3)(torch.ones(2, 5, 8, 8, 8, 3)).shape
    torch.Size([2, 6, 6, 6, 4])
    """

    rank = 3

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
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
        **kwargs,
    ):
        self._set_cell(locals())
