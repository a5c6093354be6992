"""Layers that move elements without computing."""

from torchkeras.layers.reshaping.flatten import Flatten as Flatten
from torchkeras.layers.reshaping.permute import Permute as Permute
from torchkeras.layers.reshaping.repeat_vector import RepeatVector as RepeatVector
from torchkeras.layers.reshaping.reshape import Reshape as Reshape
