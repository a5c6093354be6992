"""The functions of `keras.ops` for neural networks, under `keras.ops.nn`."""

# ruff: noqa: F403

from torchkeras.ops import (
    activations,
    attention,
    convolutions,
    crossentropy,
    ctc,
    encoding,
    image_quality,
    normalization,
    patches,
    pooling,
)
from torchkeras.ops.activations import *
from torchkeras.ops.attention import *
from torchkeras.ops.complex import polar as polar
from torchkeras.ops.convolutions import *
from torchkeras.ops.crossentropy import *
from torchkeras.ops.ctc import *
from torchkeras.ops.encoding import *
from torchkeras.ops.image_quality import *
from torchkeras.ops.normalization import *
from torchkeras.ops.patches import *
from torchkeras.ops.pooling import *

__all__ = [
    *activations.__all__,
    *attention.__all__,
    *convolutions.__all__,
    *crossentropy.__all__,
    *ctc.__all__,
    *encoding.__all__,
    *image_quality.__all__,
    *normalization.__all__,
    *patches.__all__,
    *pooling.__all__,
    "polar",
]
