"""ConvLSTMCell: one step of ConvLSTM1D, ConvLSTM2D and ConvLSTM3D."""

import torch

from torchkeras.core import config
from torchkeras.layers.known_sizes import known_sizes
from torchkeras.layers.rnn.lstm_cell import lstm_bias_arguments, lstm_step
from torchkeras.layers.rnn.recurrent_cell import RecurrentCell
from torchkeras.layers.spatial import (
    TO_CHANNELS_FIRST,
    TO_CHANNELS_LAST,
    channel_axis,
    choice_argument,
    first_spatial_axis,
    int_argument,
    sizes_argument,
    window_counts,
    with_sizes,
    zeros_around,
)
from torchkeras.layers.weight_arguments import weight_arguments

_CONVOLUTIONS = {
    1: torch.nn.functional.conv1d,
    2: torch.nn.functional.conv2d,
    3: torch.nn.functional.conv3d,
}


class ConvLSTMCell(RecurrentCell):
    """One step of long short-term memory whose products are convolutions.

    With the step's input `x`, the output `h` and the carry `c` of the step before, and the blocks
    `i, f, g, o` of the weights side by side; `*` convolves:

        z_i, z_f, z_g, z_o = x * kernel + h * recurrent_kernel + bias
        c = sigmoid(z_f) c + sigmoid(z_i) tanh(z_g)
        h = sigmoid(z_o) tanh(c)

    where `recurrent_activation` may stand for the sigmoids and `activation` for the tanhs.

    Args:
        rank: int from 1 to 3, number of spatial axes.
        filters: int of at least 1, channels of the output and of the carry.
        kernel_size: int, or tuple of `rank` ints, size of the kernels, of both.
        strides: int, or tuple of `rank` ints, steps of the kernel over the input.
        padding: "valid" for none, or "same" for zeros around, so that strides of 1 keep the sizes.
            The states are always padded.
        data_format: "channels_last" or "channels_first"; None for the one of
            `keras.config.image_data_format()`.
        dilation_rate: int, or tuple of `rank` ints, places from one value of the kernel over
            the input to the next. Not above 1 together with `strides`.
        activation, recurrent_activation: functions, or their names; None for none.
        use_bias: bool, whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: Initializers, or their names.
        unit_forget_bias: bool, whether the bias of the forget gate `f` starts at one.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Regularizers, or their names,
            or None.
        kernel_constraint, recurrent_constraint, bias_constraint: Constraints, or their names, or
            None.
        dropout: float from 0 to 1, part of the input dropped in training, drawn for each gate.
            Values outside are taken as 0 or 1; 1 drops nothing, as in Keras.
        recurrent_dropout: float from 0 to 1, part of `h` dropped in training; likewise.
        seed: int or SeedGenerator for the dropout; None for one drawn from torch's generator.

    Call arguments:
        inputs: tensor `(batch, *sizes, channels)`, or `(batch, channels, *sizes)`.
        states: list of two tensors, `h` and `c`, of the shape of the output.
        training: bool, whether dropout is active.

    Output shape:
        `(batch, *new_sizes, filters)`, or `(batch, filters, *new_sizes)`; and a list of the new
        states.

    Raises:
        ValueError: an argument is out of its range; channels or sizes are unknown.

    Source: Shi et al. 2015, arXiv:1506.04214, eq. 3, without peepholes.

    Example:

    >>> from torchkeras.layers.rnn.conv_lstm_cell import ConvLSTMCell
    >>> cell = ConvLSTMCell(rank=2, filters=4, kernel_size=3)
    >>> cell.build((None, 8, 8, 3))
    >>> output, (h, c) = cell(torch.ones(2, 8, 8, 3), cell.get_initial_state(2))
    >>> output.shape
    torch.Size([2, 6, 6, 4])
    """

    _gates = 4
    _names = (
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "data_format",
        "dilation_rate",
        "activation",
        "recurrent_activation",
        "use_bias",
        "unit_forget_bias",
    )

    def __init__(
        self,
        rank,
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
        self.rank = int_argument(rank, "rank")
        if rank > 3:
            raise ValueError(f"`rank` must be an int from 1 to 3. Received: rank={rank}.")
        self._set_arguments(arguments, implementation=1)
        int_argument(filters, "filters")
        for name in ("kernel_size", "strides", "dilation_rate"):
            setattr(self, name, sizes_argument(arguments[name], rank, name))
        self.padding = choice_argument(padding, "padding", ("valid", "same"))
        self.data_format = choice_argument(
            config.image_data_format() if data_format is None else data_format,
            "data_format",
            ("channels_last", "channels_first"),
        )
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "Strides above 1 and a dilation rate above 1 exclude each other. Received: "
                f"strides={self.strides}, dilation_rate={self.dilation_rate}. Set one to 1."
            )
        self._windows = tuple(
            rate * (size - 1) + 1
            for rate, size in zip(self.dilation_rate, self.kernel_size, strict=True)
        )
        self.state_size = [-1, -1]  # known when built

    def build(self, inputs_shape, states_shape=None):
        axis, rank = channel_axis(self.data_format), self.rank
        (channels,) = known_sizes(self, [axis], inputs_shape)
        first = first_spatial_axis(self.data_format)
        known_sizes(self, list(range(first, first + rank)), inputs_shape)
        self._step_shape = tuple(inputs_shape[1:])
        width = 4 * self.filters
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels, width),
            **weight_arguments(self, "kernel"),
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(*self.kernel_size, self.filters, width),
            **weight_arguments(self, "recurrent"),
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(width,), **lstm_bias_arguments(self))

    def _convolved(self, inputs, kernel, kept, bias, sides, stride=1, dilation=1):
        """Convolution of data in the layer's layout; each gate's own of it where dropout is.

        Args:
            inputs: tensor.
            kernel: tensor in Keras's layout.
            kept: list of what dropout keeps for each gate, or None.
            bias: tensor or None.
            sides: list of pairs of ints, zeros before and after each spatial axis.
            stride, dilation: as torch takes them.
        """
        rank, last = self.rank, self.data_format == "channels_last"
        groups = 1
        if kept is not None:
            groups = 4
            inputs = torch.cat([inputs * k for k in kept], dim=channel_axis(self.data_format))
        if last:
            inputs = inputs.permute(*TO_CHANNELS_FIRST[rank])
        zeros = [before for before, _ in sides]
        if any(before != after for before, after in sides):
            around = [places for side in reversed(sides) for places in side]
            inputs, zeros = torch.nn.functional.pad(inputs, around), 0
        kernel = kernel.permute(rank + 1, rank, *range(rank))
        made = _CONVOLUTIONS[rank](inputs, kernel, bias, stride, zeros, dilation, groups)
        return made.permute(*TO_CHANNELS_LAST[rank]) if last else made

    def _projected(self, inputs, kept=None):
        first = first_spatial_axis(self.data_format)
        sizes = inputs.shape[first : first + self.rank]
        sides = [(0, 0)] * self.rank
        if self.padding == "same":
            each = zip(sizes, self._windows, self.strides, strict=True)
            sides = [zeros_around(*axis) for axis in each]
        bias = None if self.bias is None else self.bias.value
        geometry = sides, self.strides, self.dilation_rate
        return self._convolved(inputs, self.kernel.value, kept, bias, *geometry)

    def _projected_steps(self, sequences, kept):
        steps, batch = sequences.shape[:2]
        if kept is not None:
            kept = [k.repeat(steps, *[1] * (k.dim() - 1)) for k in kept]
        made = self._projected(sequences.flatten(0, 1), kept)
        return made.unflatten(0, (steps, batch))

    def _step(self, kept=None):
        kernel = self.recurrent_kernel.value
        sides = [zeros_around(size, size, 1) for size in self.kernel_size]

        def add(x, h):
            return x + self._convolved(h, kernel, kept, None, sides)

        axis = channel_axis(self.data_format)
        return lstm_step(self, add, lambda z: z.chunk(4, dim=axis))

    def compute_output_shape(self, inputs_shape, states_shape=None):
        counts = window_counts(
            self, inputs_shape, self._windows, self.strides, self.padding, "kernel"
        )
        shape = with_sizes(inputs_shape, counts, self.filters, self.data_format)
        return shape, [shape, shape]

    def get_initial_state(self, batch_size=None):
        """Zeros for the states before the first step, a list. The cell must be built.

        Args:
            batch_size: int.
        """
        shape = self.compute_output_shape((batch_size, *self._step_shape))[0]
        return [self._zeros(shape), self._zeros(shape)]

    def get_config(self):
        return {**super().get_config(), "rank": self.rank}
