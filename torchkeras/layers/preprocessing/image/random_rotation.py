"""RandomRotation: images turned at random."""

import math

import torch

from torchkeras.layers.preprocessing.image.affine_layer import AffineLayer, affine_rows
from torchkeras.layers.preprocessing.image.arguments import factor_range


class RandomRotation(AffineLayer):
    """Turns each image about its middle in training, by an angle of its own.

    Args:
        factor: float, for angles from `-factor` to `factor` full turns; or two floats from -1 to
            1, the least and the greatest. Above 0 the turn is counter-clockwise.
        fill_mode: what lies beyond the ends of an axis `a b c d`. `"reflect"`: `b a | a b c d | d
            c`; `"wrap"`: `c d | a b c d | a b`; `"nearest"`: `a a | a b c d | d d`; `"constant"`:
            `fill_value`.
        interpolation: `"nearest"` or `"bilinear"`.
        seed: int, or None; then draws follow `torch.manual_seed`.
        fill_value: number.
        data_format, bounding_box_format, **kwargs: see `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, or a dict.
    Output shape: that of the input, in the layer's compute dtype. A box becomes the smallest
        upright one around its corners.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> turn = keras.layers.RandomRotation((0.25, 0.25), interpolation="nearest")
    >>> image = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).unsqueeze(-1)
    >>> turn(image).squeeze(-1)
    tensor([[2., 4.],
            [1., 3.]])
    """

    def __init__(
        self,
        factor,
        fill_mode="reflect",
        interpolation="bilinear",
        seed=None,
        fill_value=0.0,
        data_format=None,
        **kwargs,
    ):
        super().__init__(
            fill_mode, interpolation, seed, fill_value, data_format=data_format, **kwargs
        )
        self.factor = factor_range(factor)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        low, high = self.factor
        angle = self.draw_uniform(data, (), low * 360, high * 360, seed)
        images = self.images_of(data)
        matrix = _about_the_middle(angle, *self.image_size(images))
        return {"angle": angle, "rotation_matrix": matrix, "input_shape": images.shape}

    def matrices(self, transformation, height, width):
        return transformation["rotation_matrix"]

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def _about_the_middle(angle, height, width):
    angle = angle * (math.pi / 180)
    cos, sin = torch.cos(angle), torch.sin(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    return affine_rows(angle, cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos)
