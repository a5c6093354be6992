"""Layers that read sequences step by step."""

from torchkeras.layers.rnn.bidirectional import Bidirectional as Bidirectional
from torchkeras.layers.rnn.conv_lstm1d import ConvLSTM1D as ConvLSTM1D
from torchkeras.layers.rnn.conv_lstm2d import ConvLSTM2D as ConvLSTM2D
from torchkeras.layers.rnn.conv_lstm3d import ConvLSTM3D as ConvLSTM3D
from torchkeras.layers.rnn.gru import GRU as GRU
from torchkeras.layers.rnn.gru_cell import GRUCell as GRUCell
from torchkeras.layers.rnn.lstm import LSTM as LSTM
from torchkeras.layers.rnn.lstm_cell import LSTMCell as LSTMCell
from torchkeras.layers.rnn.rnn import RNN as RNN
from torchkeras.layers.rnn.simple_rnn import SimpleRNN as SimpleRNN
from torchkeras.layers.rnn.simple_rnn_cell import SimpleRNNCell as SimpleRNNCell
from torchkeras.layers.rnn.stacked_rnn_cells import StackedRNNCells as StackedRNNCells
from torchkeras.layers.rnn.time_distributed import TimeDistributed as TimeDistributed
