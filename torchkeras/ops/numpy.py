"""The functions of `keras.ops` that NumPy also has, under `keras.ops.numpy`."""

# ruff: noqa: F403

from torchkeras.ops import (
    arithmetic,
    creation,
    elementwise,
    indexing,
    products,
    reductions,
    shaping,
)
from torchkeras.ops.arithmetic import *
from torchkeras.ops.creation import *
from torchkeras.ops.elementwise import *
from torchkeras.ops.indexing import *
from torchkeras.ops.products import *
from torchkeras.ops.reductions import *
from torchkeras.ops.shaping import *

__all__ = [
    *arithmetic.__all__,
    *creation.__all__,
    *elementwise.__all__,
    *indexing.__all__,
    *products.__all__,
    *reductions.__all__,
    *shaping.__all__,
]
