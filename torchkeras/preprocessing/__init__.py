"""keras.preprocessing: what Keras keeps under the names of before; `utils` has the same."""

from torchkeras.preprocessing import sequence as sequence
