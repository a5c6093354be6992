"""Layers that read sequences step by step."""

from torchkeras.layers.rnn.lstm import LSTM as LSTM
from torchkeras.layers.rnn.time_distributed import TimeDistributed as TimeDistributed
