"""keras.layers: the layers."""

from torchkeras.layers.input_spec import InputSpec as InputSpec
from torchkeras.layers.layer import Layer as Layer
