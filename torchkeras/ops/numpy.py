"""The functions of `keras.ops` that NumPy also has, under `keras.ops.numpy`."""

# ruff: noqa: F403

from torchkeras.ops import (
    arithmetic,
    bits,
    complex,
    creation,
    elementwise,
    indexing,
    nan_reductions,
    numeric,
    products,
    quantiles,
    reductions,
    rows_and_columns,
    searching,
    sequences,
    shaping,
    statistics,
    vectorizing,
    windows,
)
from torchkeras.ops.arithmetic import *
from torchkeras.ops.bits import *
from torchkeras.ops.complex import *
from torchkeras.ops.creation import *
from torchkeras.ops.elementwise import *
from torchkeras.ops.indexing import *
from torchkeras.ops.linalg import slogdet as slogdet
from torchkeras.ops.nan_reductions import *
from torchkeras.ops.numeric import *
from torchkeras.ops.products import *
from torchkeras.ops.quantiles import *
from torchkeras.ops.reductions import *
from torchkeras.ops.rows_and_columns import *
from torchkeras.ops.searching import *
from torchkeras.ops.sequences import *
from torchkeras.ops.shaping import *
from torchkeras.ops.statistics import *
from torchkeras.ops.vectorizing import *
from torchkeras.ops.windows import *

__all__ = [
    *arithmetic.__all__,
    *bits.__all__,
    *complex.__all__,
    *creation.__all__,
    *elementwise.__all__,
    *indexing.__all__,
    *nan_reductions.__all__,
    *numeric.__all__,
    *products.__all__,
    *quantiles.__all__,
    *reductions.__all__,
    *rows_and_columns.__all__,
    *searching.__all__,
    *sequences.__all__,
    *shaping.__all__,
    *statistics.__all__,
    *vectorizing.__all__,
    *windows.__all__,
    "slogdet",
]
