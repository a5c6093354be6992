"""The functions of `keras.ops` for images, under `keras.ops.image` alone."""

# ruff: noqa: F403

from torchkeras.ops import (
    image_colors,
    image_filters,
    image_resizing,
    image_warps,
    image_windows,
)
from torchkeras.ops.image_colors import *
from torchkeras.ops.image_filters import *
from torchkeras.ops.image_resizing import *
from torchkeras.ops.image_warps import *
from torchkeras.ops.image_windows import *

__all__ = [
    *image_colors.__all__,
    *image_filters.__all__,
    *image_resizing.__all__,
    *image_warps.__all__,
    *image_windows.__all__,
]
