"""Layers that prepare data."""

from torchkeras.layers.preprocessing.rescaling import Rescaling as Rescaling
