"""ConvLSTM: what ConvLSTM1D, ConvLSTM2D and ConvLSTM3D have in common."""

from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.rnn.cell_layer import CellLayer
from torchkeras.layers.rnn.conv_lstm_cell import ConvLSTMCell


class ConvLSTM(CellLayer):
    """Base of the convolutional LSTM layers. A subclass sets `rank`, the number of spatial axes."""

    rank = None
    _cell_class = ConvLSTMCell
    _cell_name = "conv_lstm_cell"

    def _set_cell(self, arguments):
        super()._set_cell(arguments, rank=self.rank)
        self.input_spec = InputSpec(ndim=self.rank + 3)

    def build(self, sequences_shape, initial_state_shape=None):
        super().build(sequences_shape, initial_state_shape)
        sizes = dict(enumerate(sequences_shape[2:], 2))
        self.input_spec = InputSpec(ndim=self.rank + 3, axes=sizes)

    def _state_shapes(self, batch):
        shape = (batch, *self.cell._step_shape)
        return [tuple(each) for each in self.cell.compute_output_shape(shape)[1]]

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        batch, steps, *step_shape = sequences_shape
        state, states = self.cell.compute_output_shape((batch, *step_shape))
        output = (batch, steps, *state[1:]) if self.return_sequences else state
        return (output, *states) if self.return_state else output
