"""keras.legacy: names of Keras 2."""

from torchkeras.legacy import saving as saving
