"""The functions of `keras.ops` for neural networks, under `keras.ops.nn`."""

# ruff: noqa: F403

from torchkeras.ops import activations, crossentropy, encoding, image_quality, normalization
from torchkeras.ops.activations import *
from torchkeras.ops.crossentropy import *
from torchkeras.ops.encoding import *
from torchkeras.ops.image_quality import *
from torchkeras.ops.normalization import *

__all__ = [
    *activations.__all__,
    *crossentropy.__all__,
    *encoding.__all__,
    *image_quality.__all__,
    *normalization.__all__,
]
