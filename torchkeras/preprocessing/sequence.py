"""keras.preprocessing.sequence: `pad_sequences` under its old name."""

from torchkeras.utils.sequence_utils import pad_sequences as pad_sequences
