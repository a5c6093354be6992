"""`keras.ops`: functions on tensors, Variables, symbols, arrays and numbers."""

# ruff: noqa: F403

from torchkeras.ops import core, image, linalg, math, nn, numpy
from torchkeras.ops import torch_rules as torch_rules
from torchkeras.ops.core import *
from torchkeras.ops.linalg import *
from torchkeras.ops.math import *
from torchkeras.ops.nn import *
from torchkeras.ops.numpy import *

__all__ = [
    "core",
    "image",
    "linalg",
    "math",
    "nn",
    "numpy",
    *core.__all__,
    *linalg.__all__,
    *math.__all__,
    *nn.__all__,
    *numpy.__all__,
]
