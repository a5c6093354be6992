"""RandomPerspective: images seen from aside, at random."""

import torch

from torchkeras.layers.preprocessing.image.arguments import factor_range
from torchkeras.layers.preprocessing.image.bounding_boxes.corners import (
    around_corners,
    corners_of,
)
from torchkeras.layers.preprocessing.image.geometric_layer import GeometricLayer
from torchkeras.ops.image_warps import homography, perspective_transform


class RandomPerspective(GeometricLayer):
    """Moves the corners of images in training, each image's in its own way.

    Args:
        factor: float from 0 to 1, or two of them: the probability that an image is changed is
            drawn between 0 and it, or between the two.
        scale: float from 0 to 1. A corner at `(x, y)` comes to `(x + a x, y + b y)`, with `a` and
            `b` between `-scale / 2` and `scale / 2`.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_value: number, what lies beyond the images.
        seed: int, or None; then draws follow `torch.manual_seed`.
        data_format, bounding_box_format, **kwargs: see `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, or a dict.
    Output shape: that of the input, in the layer's compute dtype. A box becomes the smallest
        upright one around its corners.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> layer = keras.layers.RandomPerspective(factor=(1.0, 1.0), scale=0.5, seed=1)
    >>> layer(torch.ones(2, 8, 8, 3)).shape
    torch.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        factor=1.0,
        scale=1.0,
        interpolation="bilinear",
        fill_value=0.0,
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(interpolation=interpolation, data_format=data_format, **kwargs)
        self.factor = factor_range(factor, (0.0, 1.0))
        if isinstance(scale, bool) or not 0 <= scale <= 1:
            raise ValueError(f"`scale` must be a number from 0 to 1. Received: scale={scale!r}.")
        self.scale = scale
        self.fill_value = fill_value
        self.set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        images = self.images_of(data)
        height, width = self.image_size(images)
        drawn = self.draw_uniform(data, (10,), seed=seed)
        low, high = self.factor
        apply = drawn[:, 0] < low + (high - low) * drawn[:, 1]
        ways = (drawn[:, 2:].reshape(-1, 4, 2) - 0.5) * self.scale
        corner = torch.arange(4, device=drawn.device)
        start = torch.stack([corner % 2 * (width - 1), corner // 2 * (height - 1)], -1)
        start = start.float().expand(ways.shape)
        return {
            "apply_perspective": apply,
            "start_points": start,
            "end_points": start + start * ways,
            "input_shape": images.shape,
        }

    def warp(self, images, transformation, interpolation):
        warped = perspective_transform(
            images,
            transformation["start_points"],
            transformation["end_points"],
            interpolation,
            self.fill_value,
            self.data_format,
        )
        return torch.where(transformation["apply_perspective"][:, None, None, None], warped, images)

    def move_boxes(self, boxes, transformation, height, width):
        forth = homography(transformation["end_points"], transformation["start_points"])
        a0, a1, a2, b0, b1, b2, c0, c1 = forth.to(boxes.dtype).reshape(-1, 8, 1, 1).unbind(1)
        x, y = corners_of(boxes)
        depth = c0 * x + c1 * y + 1
        moved = around_corners((a0 * x + a1 * y + a2) / depth, (b0 * x + b1 * y + b2) / depth)
        return torch.where(transformation["apply_perspective"][:, None, None], moved, boxes)

    def get_config(self):
        return {
            **super().get_config(),
            "factor": self.factor,
            "scale": self.scale,
            "fill_value": self.fill_value,
            "seed": self.seed,
        }
