"""AffineLayer: base of layers that turn, stretch, shear or shift images."""

import torch

from torchkeras.layers.preprocessing.image.bounding_boxes.corners import (
    around_corners,
    corners_of,
)
from torchkeras.layers.preprocessing.image.geometric_layer import GeometricLayer
from torchkeras.ops.geometry import choice_argument
from torchkeras.ops.image_warps import affine_transform

FILL_MODES = ("reflect", "wrap", "constant", "nearest")


class AffineLayer(GeometricLayer):
    """Images after affine transformations; a subclass draws them, and is documented.

    Args:
        fill_mode: what lies beyond the ends of an axis `a b c d`. `"reflect"`: `b a | a b c d | d
            c`; `"wrap"`: `c d | a b c d | a b`; `"nearest"`: `a a | a b c d | d d`; `"constant"`:
            `fill_value`.
        interpolation: `"nearest"` or `"bilinear"`.
        seed: int, or None.
        fill_value: number.
        **kwargs: those of `GeometricLayer`.
    """

    def __init__(self, fill_mode, interpolation, seed, fill_value, **kwargs):
        super().__init__(interpolation=interpolation, **kwargs)
        self.fill_mode = choice_argument(fill_mode, "fill_mode", FILL_MODES)
        self.fill_value = fill_value
        self.set_seed(seed)

    def matrices(self, transformation, height, width):
        """Rows `[a0, a1, a2, b0, b1, b2, 0, 0]`, as `keras.ops.image.affine_transform` has them."""
        raise NotImplementedError

    def warp(self, images, transformation, interpolation):
        matrices = self.matrices(transformation, *self.image_size(images))
        return affine_transform(
            images, matrices, interpolation, self.fill_mode, self.fill_value, self.data_format
        )

    def move_boxes(self, boxes, transformation, height, width):
        # The matrices tell where a pixel comes from; a box goes the other way.
        rows = self.matrices(transformation, height, width).to(boxes.dtype)
        a0, a1, a2, b0, b1, b2, _, _ = rows.reshape(-1, 8, 1, 1).unbind(1)
        x, y = corners_of(boxes)
        x, y = x - a2, y - b2
        size = a0 * b1 - a1 * b0
        return around_corners((b1 * x - a1 * y) / size, (a0 * y - b0 * x) / size)

    def get_config(self):
        return {
            **super().get_config(),
            "fill_mode": self.fill_mode,
            "fill_value": self.fill_value,
            "seed": self.seed,
        }


def affine_rows(like, a0=1.0, a1=0.0, a2=0.0, b0=0.0, b1=1.0, b2=0.0):
    """Rows of eight numbers from columns of them.

    Args:
        like: tensor `(batch,)`, a number for each image.
        a0, a1, a2, b0, b1, b2: tensors `(batch,)`, or numbers.

    Output shape: `(batch, 8)`, float32.

    Example:

    >>> affine_rows(torch.zeros(1), a2=torch.tensor([3.0]))
    tensor([[1., 0., 3., 0., 1., 0., 0., 0.]])
    """
    columns = [
        x.float() if isinstance(x, torch.Tensor) else torch.full_like(like, x, dtype=torch.float32)
        for x in (a0, a1, a2, b0, b1, b2, 0.0, 0.0)
    ]
    return torch.stack(columns, 1)
