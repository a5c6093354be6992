"""Layers that prepare data."""

from torchkeras.layers.preprocessing.pipeline import Pipeline as Pipeline
from torchkeras.layers.preprocessing.rescaling import Rescaling as Rescaling
from torchkeras.layers.preprocessing.string_lookup import StringLookup as StringLookup
